//! From an accepted job to a choice of scores.
//!
//! ```text
//! inspect ──► an index of this key on the claim ─────────────────────────────────► Cached
//!    │    └─► [count, with a rarity scorer] ──► score ──► index ──► valid summary ─► Scored
//!    │                       └───────────┴─────────┴──► failure ──► onFailure ─────► LastGood, Uniform, or the run fails
//!    ├──────► the data set is at fault ──► the run fails: no fallback can help
//!    ├──────► any other trouble ──► said, and inspected again after a while, without end
//!    └──────► the curriculum cannot be for these rows and groups ──► the run fails before anything is scored
//! ```
//! Scoring Jobs are idempotent: their work is on the store, under a key. So one that vanished is simply made again. What was
//! inspected is in the status at once, the rest not before the choice is made. That choice ends it: this module is not asked again.

use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use super::conditions::{self, State};
use super::intent;
use super::turn::{Turn, When};
use crate::api::conditions::Reason;
use crate::api::scoring::OnFailure;
use crate::api::status::{
    DatasetStatus, IndexStatus, NamedGroup, OverridesStatus, ScoreSource, ScoresStatus, TrainedRowsStatus,
};
use crate::controller::actions::{Delete, Ensure, Event, Kind, Milestone};
use crate::controller::build;
use crate::controller::evidence::{self, Failure, Fault, Outcome};
use crate::controller::observed::{component, is_deleting};
use crate::controller::validate::Run;
use crate::curriculum::snapshot::OverridesState;
use crate::index::summary::{IndexSummary, Overrides};
use crate::scoring::report::{FoundIndex, Inspection};

const ACTION: &str = "Score";

/// Wait before a data set is inspected again.
const INSPECT_AGAIN: Duration = Duration::from_secs(60);

/// Takes scoring one step further.
pub(super) fn step(turn: &mut Turn<'_>) -> State {
    let build = &turn.settings.build;
    let task = build::task(turn.run);
    let mut found = None;
    if turn.status.dataset.is_none() {
        let inspection = match inspect(turn, build::inspect_job(build, turn.run, &task)) {
            Ok(inspection) => inspection,
            Err(state) => return state,
        };
        let dataset = dataset(turn.run, &inspection);
        // What these groups and rows make impossible is said before hours go into scores.
        if let Err(failure) = intent::compile_for(turn.run, &dataset, None) {
            return State::Failed(failure);
        }
        turn.status.dataset = Some(dataset);
        if let Some(why) = &inspection.stale_index {
            turn.actions.events.push(Event {
                warning: false,
                reason: Reason::StaleIndex,
                action: ACTION,
                note: format!("Scores on the claim are not used again: {why}"),
            });
        }
        found = inspection.found;
    }
    if let Some(FoundIndex { exact: true, summary }) = &found
        && summary.key == task.key
    {
        return choose(turn, Choice::Index(ScoreSource::Cached, summary));
    }
    let stages = [
        build::count_job(build, turn.run, &task),
        Some(build::score_job(build, turn.run, &task)),
        Some(build::index_job(build, turn.run, &task)),
    ];
    let mut pods = Vec::new();
    for job in from_the_last_begun(turn, stages.into_iter().flatten().collect()) {
        pods = match run(turn, job) {
            Standing::Working => return State::Scoring,
            Standing::Stuck(message) => {
                return fall_back(turn, Failure::new(Reason::ImageUnavailable, message));
            }
            Standing::Broke(Fault::Dataset(failure)) => return State::Failed(failure),
            Standing::Broke(Fault::Scoring(failure)) => return fall_back(turn, failure),
            Standing::Done(pods) => pods,
        };
    }
    let fits = |summary: &IndexSummary| {
        turn.status.dataset.as_ref().is_some_and(|dataset| {
            let groups = summary.group_rows.iter().map(count);
            summary.key == task.key
                && count(&summary.rows) == dataset.rows
                && groups.eq(dataset.group_rows.iter().copied())
        })
    };
    match evidence::index_summary(&pods) {
        Ok(summary) if fits(&summary) => choose(turn, Choice::Index(ScoreSource::Scored, &summary)),
        Ok(_) => {
            let message = "indexing ended with exit code 0 but left a summary that does not fit the data set";
            fall_back(turn, Failure::new(Reason::SummaryMissing, message))
        }
        Err(why) => {
            let message = format!("indexing ended with exit code 0, but {why}");
            fall_back(turn, Failure::new(Reason::SummaryMissing, message))
        }
    }
}

/// The inspection, or the state of a run that still has none. Without the number of rows there is nothing to fall back to, so only the
/// data set's own fault ends the run; any other trouble is said and tried again.
fn inspect(turn: &mut Turn<'_>, job: Job) -> Result<Inspection, State> {
    let name = job.name_any();
    let trouble = match run(turn, job) {
        // Said until it is over, so that the state does not change with every try.
        Standing::Working => {
            return Err(conditions::still(&turn.status, Reason::InspectionFailed).unwrap_or(State::Scoring));
        }
        Standing::Stuck(message) => return Err(State::ImageUnavailable(message)),
        Standing::Broke(Fault::Dataset(failure)) => return Err(State::Failed(failure)),
        Standing::Broke(Fault::Scoring(failure)) => failure.message,
        Standing::Done(pods) => match evidence::inspection(&pods) {
            // Training must not begin on rows that were to be held out or filtered out.
            Ok(inspection) => match other_rows(turn.run, &inspection) {
                None => return Ok(inspection),
                Some(words) => words.to_owned(),
            },
            Err(why) => format!("it ended with exit code 0, but {why}"),
        },
    };
    let ended = turn.observed.job_named(&name).and_then(evidence::ended_at);
    let over = ended.map_or(When::Due, |ended| turn.after(INSPECT_AGAIN, ended));
    if turn.is_due(over)
        && let Some(job) = turn.observed.job_named(&name)
    {
        forget(turn, job);
    }
    let message = format!("the data set could not be inspected, and is inspected again in a minute: {trouble}");
    Err(State::Blocked(Failure::new(Reason::InspectionFailed, message)))
}

/// Why an inspection, such as one of another version, is not of the rows that the run is to train on.
fn other_rows(run: &Run, inspection: &Inspection) -> Option<&'static str> {
    if run.dataset.split.is_some() != (inspection.held_out_rows > 0) {
        return Some("what it held out is not what `dataset.split` says");
    }
    let key = inspection.filtered.as_ref().map(|filtered| filtered.key.as_str());
    let expected = run.leaves_rows_out().then(|| build::task(run).key);
    (key != expected.as_deref())
        .then_some("what it filtered out is not what `dataset.filter` and `scoring.overrides` say")
}

/// The stages that are still needed: a stage has begun only after those before it were complete, so their Jobs may be gone.
fn from_the_last_begun(turn: &Turn<'_>, stages: Vec<Job>) -> Vec<Job> {
    let begun = stages
        .iter()
        .rposition(|job| turn.observed.job_named(&job.name_any()).is_some());
    stages.into_iter().skip(begun.unwrap_or_default()).collect()
}

/// Where a scoring Job stands.
enum Standing<'a> {
    /// It is to be made, it runs, or it is being deleted.
    Working,
    /// It cannot start, and has not been able to for longer than the grace.
    Stuck(String),
    /// It succeeded; its pods.
    Done(Vec<&'a Pod>),
    /// It failed.
    Broke(Fault),
}

fn run<'a>(turn: &mut Turn<'a>, wanted: Job) -> Standing<'a> {
    let observed = turn.observed;
    let Some(job) = observed.job_named(&wanted.name_any()) else {
        make(turn, wanted);
        return Standing::Working;
    };
    let pods: Vec<&Pod> = observed.pods_of(job).collect();
    match evidence::outcome(job) {
        Outcome::Live => {
            let since = turn.observed.stuck_since;
            let is_over = since.is_some_and(|since| {
                let over = turn.after(turn.settings.image_grace, since);
                turn.is_due(over)
            });
            let stuck = evidence::stuck(&pods).filter(|_| is_over);
            stuck.map_or(Standing::Working, Standing::Stuck)
        }
        Outcome::Failed { .. } => Standing::Broke(evidence::scoring_fault(job, &pods)),
        Outcome::Complete => {
            let reports = matches!(component(&job.metadata), Some("inspect" | "index"));
            if reports && !pods.iter().any(|pod| evidence::has_ended(pod)) {
                forget(turn, job);
                return Standing::Working;
            }
            Standing::Done(pods)
        }
    }
}

/// Makes a Job, and the claim that it mounts.
///
/// Dies before: the next turn makes it. Dies after, or twice: the name is taken by our own Job, which is what was wanted.
/// Stale (the Job exists, but not in our store): the same. Stale (the choice is made, but not in our store): the work is
/// done again on the store under the same key, to the same result, until the Job is seen to be left behind and deleted.
fn make(turn: &mut Turn<'_>, job: Job) {
    if turn.is_suspended() {
        return;
    }
    let claim = build::claim(turn.run)
        .filter(|claim| !turn.observed.claims.iter().any(|meta| meta.name == claim.metadata.name));
    turn.actions
        .ensure
        .extend(claim.map(|claim| Ensure::Claim(Box::new(claim))));
    turn.actions.ensure.push(Ensure::ScoringJob(Box::new(job)));
}

/// Deletes a Job that succeeded but whose pods went before anybody read their reports, so that it is made again.
///
/// Dies before, after or twice: the Job is gone, or the next turn deletes it. Stale: the UID keeps a newer Job safe.
fn forget(turn: &mut Turn<'_>, job: &Job) {
    if !is_deleting(job) {
        let (name, uid) = (job.name_any(), job.uid().unwrap_or_default());
        turn.actions.delete.push(Delete {
            kind: Kind::Job,
            name,
            uid,
        });
    }
}

/// The scores that training will use.
enum Choice<'a> {
    /// An index of this job's own key.
    Index(ScoreSource, &'a IndexSummary),
    /// What `onFailure` allows, and why.
    Fallback(Option<IndexStatus>, Failure),
}

fn fall_back(turn: &mut Turn<'_>, failure: Failure) -> State {
    match turn.run.scoring.on_failure {
        OnFailure::Fail => State::Failed(failure),
        OnFailure::LastGood => {
            let last_good = turn
                .status
                .dataset
                .as_ref()
                .and_then(|dataset| dataset.last_good.clone());
            choose(turn, Choice::Fallback(last_good, failure))
        }
        OnFailure::Uniform => choose(turn, Choice::Fallback(None, failure)),
    }
}

/// Writes down the scores, and the intent to train the first phase with them.
fn choose(turn: &mut Turn<'_>, choice: Choice<'_>) -> State {
    let (source, index, failure) = match choice {
        Choice::Index(source, summary) => {
            // Made anew when this turn is repeated: our own object of that name is what was wanted.
            turn.actions
                .ensure
                .push(Ensure::ConfigMap(Box::new(build::scores_config_map(
                    &turn.run.head.id,
                    summary,
                ))));
            (source, Some(index_of(summary)), None)
        }
        Choice::Fallback(Some(index), failure) => (ScoreSource::LastGood, Some(index), Some(failure)),
        Choice::Fallback(None, failure) => (ScoreSource::Uniform, None, Some(failure)),
    };
    if let Some(Failure { reason, message }) = &failure {
        turn.warn(
            ACTION,
            *reason,
            format!("Scoring failed, training goes on with source {source:?}: {message}"),
        );
        turn.count(Milestone::Fallback {
            reason: *reason,
            source,
        });
    }
    turn.status.scores = Some(ScoresStatus {
        source,
        digest: index.as_ref().map(|index| index.digest.clone()),
        key: index.as_ref().map(|index| index.key.clone()),
        coverage: index.as_ref().map(|index| index.coverage.clone()),
        overrides: index.and_then(|index| index.overrides),
        time: Some(turn.time()),
        fallback_reason: failure.as_ref().map(|failure| failure.reason.as_str().to_owned()),
        fallback_message: failure.map(|failure| failure.message),
        unusable: None,
        store_fault: None,
    });
    intent::enter(turn)
}

fn index_of(summary: &IndexSummary) -> IndexStatus {
    IndexStatus {
        key: summary.key.clone(),
        digest: summary.digest.clone(),
        coverage: build::coverage(summary.scored_rows, summary.rows),
        overrides: summary.overrides.as_ref().map(overrides_of),
    }
}

fn overrides_of(overrides: &Overrides) -> OverridesStatus {
    OverridesStatus {
        digest: overrides.digest.clone(),
        rows: count(&overrides.rows),
        left_out_rows: count(&overrides.left_out),
        people: count(&overrides.people),
        latest_time: overrides.latest.map(Time),
        superseded_lines: count(&overrides.superseded),
        unknown_ids: count(&overrides.unknown),
    }
}

/// What people said of the rows of these scores, as a snapshot records it.
pub(super) fn recorded(scores: &ScoresStatus) -> Option<OverridesState> {
    let told = scores.overrides.as_ref()?;
    Some(OverridesState {
        digest: told.digest.clone(),
        rows: told.rows.unsigned_abs(),
        left_out: told.left_out_rows.unsigned_abs(),
        people: told.people.unsigned_abs(),
        latest: told.latest_time.as_ref().map(|time| time.0.to_string()),
    })
}

fn count(rows: &u64) -> i64 {
    i64::try_from(*rows).unwrap_or(i64::MAX)
}

/// What the inspection found, as the status keeps it.
fn dataset(run: &Run, inspection: &Inspection) -> DatasetStatus {
    // The inspection was asked for the names in the same order, that of `Curriculum::named_groups`.
    let places = run.curriculum.named_groups().into_iter().zip(&inspection.named_groups);
    DatasetStatus {
        rows: count(&inspection.rows),
        held_out_rows: (inspection.held_out_rows > 0).then(|| count(&inspection.held_out_rows)),
        filtered_rows: inspection.filtered.as_ref().map(|filtered| count(&filtered.rows)),
        trained_rows: inspection.filtered.as_ref().map(|filtered| TrainedRowsStatus {
            key: filtered.key.clone(),
            digest: filtered.digest.clone(),
        }),
        groups: i32::try_from(inspection.group_rows.len().max(1)).unwrap_or(i32::MAX),
        group_rows: inspection.group_rows.iter().map(count).collect(),
        last_good: inspection.found.as_ref().map(|found| index_of(&found.summary)),
        named_groups: places
            .filter_map(|(name, place)| {
                let group = i32::try_from((*place)?).ok()?;
                Some(NamedGroup {
                    name: name.to_owned(),
                    group,
                })
            })
            .collect(),
    }
}
