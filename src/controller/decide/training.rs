//! From a choice of scores through every phase, one attempt after the other.
//!
//! | the status says | the attempt's Job | what follows |
//! |---|---|---|
//! | phase k, attempt a, no UID | is not there | it is made, and its UID is written: now it has existed |
//! | phase k, attempt a, no UID | is there | its UID is written; it was made by a turn that died before that |
//! | phase k, attempt a, UID u | is not there | lost: costs the budget, never made again under this attempt |
//! | phase k, attempt a, UID u | lives | progress is read |
//! | phase k, attempt a, UID u | failed | attempt a+1 after a back-off, or the run fails |
//! | phase k, attempt a, UID u | completed | with a matching result: snapshot, phase k+1; else as if it had failed |

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::attempt::{self, complete_phase};
use super::conditions::State;
use super::turn::Turn;
use crate::api::conditions::Reason;
use crate::api::job::CurriculumJob;
use crate::api::status::{CurrentVisit, DatasetStatus, Progress, ScoreSource};
use crate::controller::actions::Ensure;
use crate::controller::build;
use crate::controller::evidence::{self, Failure, Outcome};
use crate::controller::observed::{component, train_job_name};
use crate::curriculum::plan::{self, Facts, Plan, PlanError, PlanScores};

/// How long a pod may wait for its plan before the plan is made again, in seconds: longer than a store is ever behind.
const PLAN_GRACE_SECONDS: u64 = 60;

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

/// Writes down the intent to train phase `index`; nothing is made before that is in the status.
pub(super) fn begin_phase(turn: &mut Turn<'_>, index: u32) -> State {
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

/// Takes training one step further.
pub(super) fn step(turn: &mut Turn<'_>) -> State {
    let Some(current) = turn.status.current_visit.clone() else {
        return begin_phase(turn, 0);
    };
    let name = train_job_name(turn.job, &current);
    let Some(job) = turn.observed.job_named(&name) else {
        return match current.job_uid {
            None => start(turn, &current, &name),
            Some(_) => attempt::failed(
                turn,
                &current,
                Failure::new(Reason::JobLost, format!("Job '{name}' is gone")),
            ),
        };
    };
    match (&current.job_uid, job.uid()) {
        (Some(recorded), Some(uid)) if *recorded != uid => {
            let message = format!("Job '{name}' is gone and another one has its name");
            return attempt::failed(turn, &current, Failure::new(Reason::JobLost, message));
        }
        (None, uid) => {
            if let Some(current) = &mut turn.status.current_visit {
                current.job_uid = uid;
                current.retry_time = None;
            }
        }
        _ => {}
    }
    let pods: Vec<&Pod> = turn.observed.pods_of(job).collect();
    match evidence::outcome(job) {
        Outcome::Live => watch(turn, &current, job, &pods),
        Outcome::Failed { .. } => attempt::failed(turn, &current, evidence::training_failure(job, &pods)),
        Outcome::Complete => match attempt::result(&current, &pods) {
            Ok(result) => complete_phase(turn, &current, &result),
            Err(failure) => attempt::failed(turn, &current, failure),
        },
    }
}

/// Makes the Job of an attempt that the status calls for, once its back-off is over and nothing of an earlier one runs.
///
/// Dies before: the next turn makes it. Dies between the Job and its UID in the status: the next turn finds the Job by its
/// name and writes the UID; should the Job vanish before that, it is made again, which is right, because as far as anybody
/// knows it never ran. Twice: the name is taken by our own Job. Stale (a newer status exists): `act` asks for the newest
/// version of the CurriculumJob right before it makes the Job, and gives the turn up if this is not it.
fn start(turn: &mut Turn<'_>, current: &CurrentVisit, name: &str) -> State {
    let waiting = waiting(current);
    if turn.is_suspended() || current.retry_time.as_ref().is_some_and(|time| !turn.has_come(time.0)) {
        return waiting;
    }
    if let Some(other) = running_elsewhere(turn, name) {
        return State::Retrying(format!("waiting for {other} of an earlier attempt to end"));
    }
    let plan = match compile(turn) {
        Ok(plan) => plan,
        Err(failure) => return State::Failed(failure),
    };
    let index = current.phase_index.unsigned_abs();
    let Some(plan) = plan.for_phase(index) else {
        return State::Succeeded;
    };
    let Some(phase) = plan.phases.first() else {
        return State::Succeeded;
    };
    let digest = plan.digest();
    if current.plan_digest.as_ref() != Some(&digest) {
        // Another version of the operator wrote the intent, and perhaps an immutable plan under this attempt's name.
        return attempt::renew(turn, current, digest);
    }
    let number = current.visit.unsigned_abs();
    turn.actions
        .ensure
        .push(Ensure::ConfigMap(Box::new(build::plan_config_map(
            turn.job, number, &plan,
        ))));
    let job = build::train_job(&turn.settings.build, turn.job, phase, number);
    turn.actions.ensure.push(Ensure::TrainJob(Box::new(job)));
    if let Some(current) = &mut turn.status.current_visit {
        current.retry_time = None;
    }
    State::Training
}

/// The state of an attempt whose Job is still to be made.
pub(super) fn waiting(current: &CurrentVisit) -> State {
    current.last_failure.as_ref().map_or(State::Training, |failure| {
        State::Retrying(format!(
            "the last attempt at phase '{}' failed, the next one follows: {failure}",
            current.phase_name
        ))
    })
}

/// What still runs of another training Job of this run: two trainers must never write one checkpoint.
///
/// A Job that was deleted goes before its pods do, so pods count on their own.
fn running_elsewhere(turn: &Turn<'_>, name: &str) -> Option<String> {
    let others = turn
        .observed
        .jobs
        .iter()
        .filter(|job| component(&job.metadata) == Some("train"));
    let live = others.filter(|job| job.name_any() != name && evidence::is_live(job));
    if let Some(job) = live.into_iter().next() {
        return Some(format!("Job '{}'", job.name_any()));
    }
    let mut pods = turn
        .observed
        .pods
        .iter()
        .filter(|pod| component(&pod.metadata) == Some("train"));
    let pod = pods.find(|pod| !evidence::has_ended(pod))?;
    Some(format!("pod '{}'", pod.name_any()))
}

/// Follows a live attempt: progress, a sampler that lost its index, an image that does not come.
fn watch(turn: &mut Turn<'_>, current: &CurrentVisit, job: &Job, pods: &[&Pod]) -> State {
    if let Some(live) = turn.observed.sampler.clone() {
        attempt::hear(turn, current, &live);
    }
    if pods.iter().any(|pod| evidence::phase(pod) == Some("Running")) {
        turn.look_again_in(turn.settings.progress_interval);
    } else if !turn.is_suspended() {
        keep_plan(turn, current, job);
    }
    match evidence::stuck(pods) {
        // A trainer that cannot start costs nothing and may start any time: it is said, not counted as a failure.
        Some(stuck) if turn.has_passed(turn.settings.image_grace, stuck.since) => {
            State::ImageUnavailable(stuck.message)
        }
        _ => State::Training,
    }
}

/// Makes the plan of a waiting attempt again if somebody deleted it: without it the pod would wait for ever.
fn keep_plan(turn: &mut Turn<'_>, current: &CurrentVisit, job: &Job) {
    let number = current.visit.unsigned_abs();
    let index = current.phase_index.unsigned_abs();
    let name = build::names::plan(&turn.job.name_any(), number);
    let exists = turn
        .observed
        .config_maps
        .iter()
        .any(|meta| meta.name.as_ref() == Some(&name));
    let Some(created) = job.metadata.creation_timestamp.clone() else {
        return;
    };
    if exists || !turn.has_passed(std::time::Duration::from_secs(PLAN_GRACE_SECONDS), created.0) {
        return;
    }
    let plan = compile(turn).ok().and_then(|plan| plan.for_phase(index));
    if let Some(plan) = plan.filter(|plan| current.plan_digest == Some(plan.digest())) {
        turn.actions
            .ensure
            .push(Ensure::ConfigMap(Box::new(build::plan_config_map(
                turn.job, number, &plan,
            ))));
    }
}
