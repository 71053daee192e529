//! What the status says is to be trained next: written before anything of it is made.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::SignedDuration;

use super::conditions::State;
use super::turn::Turn;
use crate::api::conditions::Reason;
use crate::api::job::CurriculumJob;
use crate::api::status::{CurrentVisit, DatasetStatus, Progress, ScoreSource};
use crate::controller::evidence::Failure;
use crate::curriculum::plan::{self, Facts, Plan, PlanError, PlanScores};

/// Longest `lastFailure`, in characters: what the schema of the status allows.
const LAST_FAILURE_CHARS: usize = 1024;

/// Compiles the whole curriculum for what the status knows of data and scores.
pub(super) fn compile(turn: &Turn<'_>) -> Result<Plan, Failure> {
    let status = &turn.status;
    let (Some(dataset), Some(scores)) = (&status.dataset, &status.scores) else {
        return Err(Failure::new(
            Reason::InvalidSpec,
            "the status has scores but no data set",
        ));
    };
    let scores = match (scores.source, &scores.key, &scores.digest) {
        (ScoreSource::Uniform, _, _) => None,
        (_, Some(key), Some(digest)) => Some(PlanScores {
            key: key.clone(),
            digest: digest.clone(),
        }),
        _ => None,
    };
    compile_for(turn.job, dataset, scores)
}

/// Compiles the whole curriculum for a data set. Without scores it is checked all the same.
pub(super) fn compile_for(
    job: &CurriculumJob,
    dataset: &DatasetStatus,
    scores: Option<PlanScores>,
) -> Result<Plan, Failure> {
    let facts = Facts {
        seed: job.spec.seed.unsigned_abs(),
        rows: dataset.rows.unsigned_abs(),
        group_rows: dataset.group_rows.iter().map(|rows| rows.unsigned_abs()).collect(),
        groups: dataset
            .named_groups
            .iter()
            .map(|group| (group.name.clone(), group.group.unsigned_abs()))
            .collect(),
        scores,
    };
    plan::compile(&job.spec.curriculum, &facts).map_err(|PlanError { field, problem }| {
        // In quotes: a message gets a capital first, and a field must not.
        Failure::new(Reason::InvalidSpec, format!("`{field}`: {problem}"))
    })
}

/// Writes down the intent to enter phase `index`.
pub(super) fn enter(turn: &mut Turn<'_>, index: u32) -> State {
    let plan = match compile(turn) {
        Ok(plan) => plan,
        Err(failure) => return State::Failed(failure),
    };
    let Some(phase_plan) = plan.for_phase(index) else {
        return State::Succeeded;
    };
    let Some(phase) = phase_plan.phases.first() else {
        return State::Succeeded;
    };
    turn.status.current_visit = Some(CurrentVisit {
        visit: turn
            .status
            .current_visit
            .as_ref()
            .map_or(0, |last| last.visit.saturating_add(1)),
        phase_index: i32::try_from(index).unwrap_or(i32::MAX),
        phase_name: phase.name.clone(),
        start_step: i64::try_from(phase.start_step).unwrap_or(i64::MAX),
        end_step: i64::try_from(phase.end_step).unwrap_or(i64::MAX),
        plan_digest: Some(phase_plan.digest()),
        start_time: Some(turn.time()),
        ..CurrentVisit::default()
    });
    let total = plan.total_steps();
    turn.status.progress = Some(progress(phase.start_step, total, turn.status.progress.take()));
    State::Training
}

/// Writes down the intent to visit the phase again after a failure, once its back-off is over.
pub(super) fn retry(turn: &mut Turn<'_>, current: &CurrentVisit, failures: i32, said: &str) -> State {
    let digest = match compile(turn) {
        Ok(plan) => plan
            .for_phase(current.phase_index.unsigned_abs())
            .map(|plan| plan.digest()),
        Err(failure) => return State::Failed(failure),
    };
    let next = CurrentVisit {
        visit: current.visit.saturating_add(1),
        failures,
        plan_digest: digest,
        job_uid: None,
        retry_time: retry_time(turn, failures),
        last_failure: Some(said.chars().take(LAST_FAILURE_CHARS).collect()),
        ..current.clone()
    };
    let state = waiting(&next);
    turn.status.current_visit = Some(next);
    state
}

/// Gives a visit that has not begun another number, because its plan is not the one that was written down for it.
pub(super) fn renew(turn: &mut Turn<'_>, current: &CurrentVisit, digest: String) -> State {
    turn.status.current_visit = Some(CurrentVisit {
        visit: current.visit.saturating_add(1),
        plan_digest: Some(digest),
        ..current.clone()
    });
    waiting(current)
}

/// The state of an visit whose Job is still to be made.
pub(super) fn waiting(current: &CurrentVisit) -> State {
    current.last_failure.as_ref().map_or(State::Training, |failure| {
        State::Retrying(format!(
            "the last visit of phase '{}' failed, the next one follows: {failure}",
            current.phase_name
        ))
    })
}

/// The progress at a step; when it was last read stays what it was.
pub(super) fn progress(step: u64, total: u64, before: Option<Progress>) -> Progress {
    let percent = u128::from(step) * 100 / u128::from(total.max(1));
    Progress {
        step: i64::try_from(step).unwrap_or(i64::MAX),
        total_steps: i64::try_from(total).unwrap_or(i64::MAX),
        percent: i32::try_from(percent.min(100)).unwrap_or(100),
        summary: format!("{step}/{total}"),
        report_time: before.and_then(|progress| progress.report_time),
    }
}

/// Now + base · 2^(failures − 1), at most the cap; whole seconds, rounded up.
fn retry_time(turn: &Turn<'_>, failures: i32) -> Option<Time> {
    let doublings = failures.saturating_sub(1).unsigned_abs().min(16);
    let wait = turn
        .settings
        .retry_base
        .saturating_mul(1 << doublings)
        .min(turn.settings.retry_cap);
    let wait = SignedDuration::try_from(wait.max(Duration::from_millis(1))).ok()?;
    let at = turn.now().checked_add(wait).ok()?;
    let whole = at.as_second() + i64::from(at.subsec_nanosecond() > 0);
    k8s_openapi::jiff::Timestamp::from_second(whole).ok().map(Time)
}
