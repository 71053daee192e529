//! Conditions: the state of a run as others read it.
//!
//! | state | Ready | Reconciling | Stalled | kstatus | Argo CD |
//! |---|---|---|---|---|---|
//! | held by `spec.suspend` | False | False | False | InProgress | Suspended |
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
use crate::api::conditions::{ConditionType, Reason};
use crate::api::status::{CurriculumJobStatus, ScoreSource, ScoresStatus};
use crate::controller::evidence::Failure;

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
    /// The API server refused an object.
    Blocked(Failure),
    /// The spec contradicts itself; an edit can help.
    Invalid(Failure),
    /// Every phase completed.
    Succeeded,
    /// Over, without success.
    Failed(Failure),
}

/// The state of a run in one word: the label of the metric `curriculum_jobs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Stage {
    Pending,
    Scoring,
    Training,
    Suspended,
    Succeeded,
    Failed,
}

impl Stage {
    pub(crate) const ALL: [Self; 6] = [
        Self::Pending,
        Self::Scoring,
        Self::Training,
        Self::Suspended,
        Self::Succeeded,
        Self::Failed,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Scoring => "scoring",
            Self::Training => "training",
            Self::Suspended => "suspended",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }

    /// The stage that a status tells of; `None`: there is no status yet.
    pub(crate) fn of(status: Option<&CurriculumJobStatus>) -> Self {
        let Some(status) = status else { return Self::Pending };
        if holds(status, ConditionType::Succeeded) {
            Self::Succeeded
        } else if holds(status, ConditionType::Failed) {
            Self::Failed
        } else if holds(status, ConditionType::Suspended) {
            Self::Suspended
        } else if status.start_time.is_none() {
            Self::Pending
        } else if status.scores.is_none() {
            Self::Scoring
        } else {
            Self::Training
        }
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

/// Keeps the conditions of a run that is over; they only follow the generation, so that their readers trust them.
pub(super) fn keep(turn: &mut Turn<'_>) {
    let generation = turn.job.metadata.generation;
    for condition in &mut turn.status.conditions {
        condition.observed_generation = generation;
    }
    turn.status.observed_generation = generation.unwrap_or_default();
}

/// Sets every condition, and ends the run when the state is an end.
///
/// A failure that the run can live with is told by its own event where it is found; the two states that only show here,
/// [`State::ImageUnavailable`] and those that refuse something, get their event when they begin.
pub(super) fn set(turn: &mut Turn<'_>, state: State) {
    if let State::Succeeded | State::Failed(_) = state {
        turn.status.completion_time = Some(turn.time());
    }
    let before = condition(&turn.status, ConditionType::Ready).map(|c| (c.reason.clone(), c.message.clone()));
    let generation = turn.job.metadata.generation;
    let view = View {
        state: &state,
        held: turn.is_suspended(),
        status: &turn.status,
    };
    let wanted = ConditionType::ALL.map(|type_| (type_, view.condition(type_)));
    let conditions = wanted.map(|(type_, Wanted(status, reason, message))| {
        let since = condition(&turn.status, type_).filter(|old| old.status == status);
        Condition {
            type_: type_.as_str().to_owned(),
            status: status.to_owned(),
            reason: reason.as_str().to_owned(),
            message,
            observed_generation: generation,
            last_transition_time: since.map_or_else(|| turn.time(), |old| old.last_transition_time.clone()),
        }
    });
    turn.status.conditions = conditions.into();
    turn.status.observed_generation = generation.unwrap_or_default();
    let news = match state {
        State::ImageUnavailable(message) => Some(("Train", Failure::new(Reason::ImageUnavailable, message))),
        State::Blocked(failure) => Some(("Create", failure)),
        State::Invalid(failure) => Some(("Validate", failure)),
        State::Failed(failure) => Some(("Finish", failure)),
        _ => None,
    };
    if let Some((action, Failure { reason, message })) = news
        && before.as_ref() != Some(&(reason.as_str().to_owned(), sentence(&message)))
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
            _ if self.held => Wanted::is(Reason::Suspended, HELD),
            _ => Wanted::is_not(Reason::NotSuspended, "`spec.suspend` is false"),
        }
    }

    fn scores_ready(&self) -> Wanted {
        match (&self.status.scores, self.state) {
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
            ) => Wanted::is(Reason::Cached, "the claim had an index of these scores"),
            (Some(scores), _) => Wanted::is_not(fallback_reason(scores), fallback_message(scores)),
            (None, State::Failed(Failure { reason, message })) => Wanted::is_not(*reason, message),
            (None, _) if self.status.start_time.is_none() => {
                Wanted("Unknown", Reason::Pending, sentence("scoring has not begun"))
            }
            (None, _) => Wanted("Unknown", Reason::Scoring, sentence("scoring has not ended")),
        }
    }

    fn degraded(&self) -> Wanted {
        let Some(scores) = self.status.scores.as_ref().filter(|scores| is_fallback(scores.source)) else {
            return Wanted::is_not(Reason::AsExpected, "no fallback is in use");
        };
        let message = fallback_message(scores);
        match (scores.source, fallback_reason(scores)) {
            (_, Reason::IndexUnusable) => {
                Wanted::is(Reason::IndexUnusable, format!("every row is equally likely: {message}"))
            }
            (ScoreSource::LastGood, _) => Wanted::is(
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
