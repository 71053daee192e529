//! Conditions: the state of a run as others read it.
//!
//! | state | Ready | Reconciling | Stalled | kstatus | Argo CD |
//! |---|---|---|---|---|---|
//! | held by `spec.suspend`, no pod runs | False | False | False | InProgress | Suspended |
//! | held by `spec.suspend`, pods are ending | False | True | False | InProgress | Progressing |
//! | Scoring, Training | True | True | False | InProgress | Progressing |
//! | Retrying, ImageUnavailable, Blocked | False | True | False | InProgress | Progressing |
//! | Invalid | False | False | True | Failed | Degraded |
//! | Succeeded | True | False | False | Current | Healthy |
//! | Failed | False | False | True | Failed | Degraded |
//!
//! A suspended run is not reconciling: it waits for somebody else. kstatus still calls it InProgress, because Ready is
//! False and it is not Stalled, which is right: it is neither done nor broken.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::turn::Turn;
use super::{children, words};
use crate::api::conditions::{ConditionType, Reason};
use crate::api::status::{CurriculumJobStatus, ScoreSource, ScoresStatus, Stage};
use crate::controller::evidence::Failure;
use crate::controller::validate::Head;

/// Where a run stands, as one turn found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The data set is being inspected, scored or indexed.
    Scoring,
    /// An attempt at a phase runs, or is about to.
    Training,
    /// An attempt failed and the next one waits.
    Retrying(String),
    /// A container that nothing can stand in for cannot start.
    ImageUnavailable(String),
    /// Something is in the way that may pass by itself or that somebody else can clear.
    Blocked(Failure),
    /// The spec contradicts itself; an edit can help.
    Invalid(Failure),
    /// Every phase completed.
    Succeeded,
    /// Over, without success.
    Failed(Failure),
}

/// The stage that a status tells of; `None`: there is no status yet.
pub(crate) fn stage(status: Option<&CurriculumJobStatus>) -> Stage {
    let Some(status) = status else { return Stage::Pending };
    if holds(status, ConditionType::Succeeded) {
        Stage::Succeeded
    } else if holds(status, ConditionType::Failed) {
        Stage::Failed
    } else if holds(status, ConditionType::Suspended) {
        Stage::Suspended
    } else if status.start_time.is_none() {
        Stage::Pending
    } else if status.scores.is_none() {
        Stage::Scoring
    } else {
        Stage::Training
    }
}

/// Whether the run is over: absorbing.
pub(crate) fn is_terminal(status: &CurriculumJobStatus) -> bool {
    holds(status, ConditionType::Succeeded) || holds(status, ConditionType::Failed)
}

fn holds(status: &CurriculumJobStatus, type_: ConditionType) -> bool {
    condition(status, type_).is_some_and(|condition| condition.status == "True")
}

fn condition(status: &CurriculumJobStatus, type_: ConditionType) -> Option<&Condition> {
    status
        .conditions
        .iter()
        .find(|condition| condition.type_ == type_.as_str())
}

/// The state that a status says with that reason, while it holds on.
pub(super) fn still(status: &CurriculumJobStatus, reason: Reason) -> Option<State> {
    let ready = condition(status, ConditionType::Ready)?;
    (ready.status == "False" && ready.reason == reason.as_str())
        .then(|| State::Blocked(Failure::new(reason, ready.message.clone())))
}

/// Keeps the conditions of a run that is over; they only follow the generation, so that their readers trust them.
pub(super) fn keep(turn: &mut Turn<'_>) {
    let generation = turn.head().generation;
    for condition in &mut turn.status.conditions {
        condition.observed_generation = generation;
    }
    turn.status.observed_generation = generation.unwrap_or_default();
}

/// Sets every condition, and ends the run when the state is an end.
///
/// A failure that the run can live with is told by its own event where it is found; the two states that only show here,
/// [`State::ImageUnavailable`] and those that refuse something, get their event when they begin.
pub(super) fn set<R: AsRef<Head>>(turn: &mut Turn<'_, R>, state: State) {
    if let State::Succeeded | State::Failed(_) = state {
        turn.status.completion_time = Some(turn.time());
    }
    let before = condition(&turn.status, ConditionType::Ready).map(|c| (c.reason.clone(), c.message.clone()));
    let generation = turn.head().generation;
    let view = View {
        state: &state,
        held: turn.is_suspended(),
        ending: children::anything_runs(turn.observed),
        status: &turn.status,
    };
    let foreign = matches!(state, State::Blocked(_));
    let wanted = ConditionType::ALL.map(|type_| (type_, view.condition(type_)));
    let conditions = wanted.map(|(type_, Wanted(status, reason, message))| {
        let since = condition(&turn.status, type_).filter(|old| old.status == status);
        let said = since.filter(|old| foreign && old.reason == reason.as_str() && words::same(&old.message, &message));
        Condition {
            type_: type_.as_str().to_owned(),
            status: status.to_owned(),
            reason: reason.as_str().to_owned(),
            message: said.map_or(message, |old| old.message.clone()),
            observed_generation: generation,
            last_transition_time: since.map_or_else(|| turn.time(), |old| old.last_transition_time.clone()),
        }
    });
    turn.status.conditions = conditions.into();
    turn.status.observed_generation = generation.unwrap_or_default();
    turn.status.stage = Some(stage(Some(&turn.status)));
    let news = match state {
        State::ImageUnavailable(message) => Some(("Train", Failure::new(Reason::ImageUnavailable, message))),
        State::Blocked(failure) => Some(("Run", failure)),
        State::Invalid(failure) => Some(("Validate", failure)),
        State::Failed(failure) => Some(("Finish", failure)),
        _ => None,
    };
    if let Some((action, Failure { reason, message })) = news
        && !before.is_some_and(|(old, said)| old == reason.as_str() && words::same(&said, &sentence(&message)))
    {
        turn.warn(action, reason, sentence(&message));
    }
}

struct Wanted(&'static str, Reason, String);

impl Wanted {
    fn is(reason: Reason, message: impl AsRef<str>) -> Self {
        Self("True", reason, sentence(message.as_ref()))
    }

    fn is_not(reason: Reason, message: impl AsRef<str>) -> Self {
        Self("False", reason, sentence(message.as_ref()))
    }
}

/// A message as a sentence: a capital first, whoever wrote it.
fn sentence(message: &str) -> String {
    let mut chars = message.chars();
    chars
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

struct View<'a> {
    state: &'a State,
    held: bool,
    /// Whether pods still run, or Jobs that may make some.
    ending: bool,
    status: &'a CurriculumJobStatus,
}

impl View<'_> {
    fn condition(&self, type_: ConditionType) -> Wanted {
        match type_ {
            ConditionType::Ready => self.ready(),
            ConditionType::Reconciling => self.reconciling(),
            ConditionType::Stalled => self.stalled(),
            ConditionType::Suspended => self.suspended(),
            ConditionType::ScoresReady => self.scores_ready(),
            ConditionType::Degraded => self.degraded(),
            ConditionType::Succeeded => self.succeeded(),
            ConditionType::Failed => self.failed(),
        }
    }

    fn ready(&self) -> Wanted {
        let phase = self
            .status
            .current_visit
            .as_ref()
            .map_or("", |current| current.phase_name.as_str());
        match self.state {
            State::Succeeded => Wanted::is(Reason::Completed, "every phase completed"),
            State::Failed(Failure { reason, message })
            | State::Invalid(Failure { reason, message })
            | State::Blocked(Failure { reason, message }) => Wanted::is_not(*reason, message),
            _ if self.held && self.ending => Wanted::is_not(Reason::Suspending, ENDING),
            _ if self.held => Wanted::is_not(Reason::Suspended, HELD),
            State::Scoring => Wanted::is(Reason::Scoring, "the data set is being inspected, scored and indexed"),
            State::Training => Wanted::is(Reason::Training, format!("phase '{phase}' is being trained")),
            State::Retrying(message) => Wanted::is_not(Reason::Retrying, message),
            State::ImageUnavailable(message) => Wanted::is_not(Reason::ImageUnavailable, message),
        }
    }

    fn reconciling(&self) -> Wanted {
        match self.state {
            State::Succeeded => Wanted::is_not(Reason::Completed, "the run is over"),
            State::Failed(Failure { reason, .. }) => Wanted::is_not(*reason, "the run is over"),
            State::Invalid(_) => Wanted::is_not(Reason::InvalidSpec, "nothing can be done with this spec"),
            _ if self.held && self.ending => Wanted::is(Reason::InProgress, ENDING),
            _ if self.held => Wanted::is_not(Reason::Suspended, HELD),
            _ => Wanted::is(Reason::InProgress, "the run has not ended"),
        }
    }

    fn stalled(&self) -> Wanted {
        match self.state {
            State::Failed(Failure { reason, message }) | State::Invalid(Failure { reason, message }) => {
                Wanted::is(*reason, message)
            }
            _ => Wanted::is_not(Reason::AsExpected, "nothing is in the way"),
        }
    }

    fn suspended(&self) -> Wanted {
        match self.state {
            State::Succeeded | State::Failed(_) => Wanted::is_not(Reason::NotSuspended, "the run is over"),
            _ if self.held && self.ending => Wanted::is_not(Reason::Suspending, ENDING),
            _ if self.held => Wanted::is(Reason::Suspended, HELD),
            _ => Wanted::is_not(Reason::NotSuspended, "`spec.suspend` is false"),
        }
    }

    fn scores_ready(&self) -> Wanted {
        match (&self.status.scores, self.state) {
            (
                Some(ScoresStatus {
                    unusable: Some(why), ..
                }),
                _,
            ) => Wanted::is_not(Reason::IndexUnusable, why),
            (
                Some(ScoresStatus {
                    source: ScoreSource::Scored,
                    ..
                }),
                _,
            ) => Wanted::is(Reason::Scored, "the scores were computed for this job"),
            (
                Some(ScoresStatus {
                    source: ScoreSource::Cached,
                    ..
                }),
                _,
            ) => Wanted::is(Reason::Cached, "the store had an index of these scores"),
            (Some(scores), _) => Wanted::is_not(fallback_reason(scores), fallback_message(scores)),
            (None, State::Failed(Failure { reason, message })) => Wanted::is_not(*reason, message),
            (None, _) if self.status.start_time.is_none() => {
                Wanted("Unknown", Reason::Pending, sentence("scoring has not begun"))
            }
            (None, _) => Wanted("Unknown", Reason::Scoring, sentence("scoring has not ended")),
        }
    }

    fn degraded(&self) -> Wanted {
        if let Some(why) = self.status.scores.as_ref().and_then(|scores| scores.unusable.as_ref()) {
            let message = format!("every row is equally likely until a visit can use the index again: {why}");
            return Wanted::is(Reason::IndexUnusable, message);
        }
        let is_training = matches!(self.state, State::Training) && !self.held;
        let fault = self
            .status
            .scores
            .as_ref()
            .and_then(|scores| scores.store_fault.as_ref());
        if let Some(why) = fault.filter(|_| is_training) {
            let message = format!(
                "training goes on with the copy of the index that its pod has; a pod that starts finds none: {why}"
            );
            return Wanted::is(Reason::StoreUnavailable, message);
        }
        let Some(scores) = self.status.scores.as_ref().filter(|scores| is_fallback(scores.source)) else {
            return Wanted::is_not(Reason::AsExpected, "no fallback is in use");
        };
        let message = fallback_message(scores);
        match scores.source {
            ScoreSource::LastGood => Wanted::is(
                Reason::LastGoodFallback,
                format!("an earlier index of this data set is in use: {message}"),
            ),
            _ => Wanted::is(
                Reason::UniformFallback,
                format!("every row is equally likely: {message}"),
            ),
        }
    }

    fn succeeded(&self) -> Wanted {
        match self.state {
            State::Succeeded => Wanted::is(Reason::Completed, "every phase completed"),
            State::Failed(Failure { reason, .. }) => Wanted::is_not(*reason, "the run failed"),
            _ => Wanted::is_not(Reason::InProgress, "the run has not ended"),
        }
    }

    fn failed(&self) -> Wanted {
        match self.state {
            State::Failed(Failure { reason, message }) => Wanted::is(*reason, message),
            State::Succeeded => Wanted::is_not(Reason::Completed, "the run succeeded"),
            _ => Wanted::is_not(Reason::InProgress, "the run has not ended"),
        }
    }
}

const ENDING: &str = "`spec.suspend` is true, and pods of the run are ending";
const HELD: &str = "no pod runs while `spec.suspend` is true";

fn is_fallback(source: ScoreSource) -> bool {
    matches!(source, ScoreSource::LastGood | ScoreSource::Uniform)
}

fn fallback_reason(scores: &ScoresStatus) -> Reason {
    scores
        .fallback_reason
        .as_deref()
        .and_then(Reason::parse)
        .unwrap_or(Reason::ScorerFailed)
}

fn fallback_message(scores: &ScoresStatus) -> &str {
    scores.fallback_message.as_deref().unwrap_or("scoring failed")
}
