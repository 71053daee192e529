//! From one visit to the next, until every phase has been trained.

use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::attempt::{self, Attempt, Running};
use super::conditions::State;
use super::objection::{self, Objection};
use super::turn::{Turn, When};
use super::{children, hear, intent};
use crate::api::conditions::Reason;
use crate::api::snapshot::CurriculumSnapshot;
use crate::api::status::{Archive, CurrentVisit, DecisionStatus, MetricStatus, ScoreSource, VisitOutcome, VisitStatus};
use crate::controller::actions::{Ensure, Event, Milestone};
use crate::controller::build::{self, SnapshotInput};
use crate::controller::evidence::{self, Failure};
use crate::controller::observed::component;
use crate::curriculum::snapshot;
use crate::curriculum::transition::{Decision, Kind};
use crate::sampler::contract::{SamplerStatus, Source};

const ACTION: &str = "Train";
/// How long a pod may wait for its plan before the plan is made again: longer than a store is ever behind.
const PLAN_GRACE: Duration = Duration::from_secs(60);

/// Takes training one step further.
pub(super) fn step(turn: &mut Turn<'_>) -> State {
    let Some(current) = turn.status.current_visit.clone() else {
        return intent::enter(turn);
    };
    // Its end is recorded, but the next phase could not be entered then.
    let last = turn.status.visits.last();
    if last.is_some_and(|last| last.visit == current.visit) {
        return intent::enter(turn);
    }
    let attempt = attempt::look(turn.observed, &current);
    if !matches!(attempt, Attempt::ToMake(_)) {
        record_uid(turn, &current);
    }
    match attempt {
        Attempt::ToMake(name) => start(turn, &current, &name),
        Attempt::Running(running) => watch(turn, &current, &running),
        Attempt::Trained(result) => match objection::to(turn, &current, &result) {
            None => complete(turn, &current, &result),
            Some(Objection::Later(failure)) => State::Blocked(failure),
            Some(Objection::Failed(failure)) => failed(turn, &current, failure),
            Some(Objection::Final(failure)) => {
                record(turn, &current, VisitOutcome::Failed, None);
                turn.count(Milestone::PhaseFailed);
                State::Failed(failure)
            }
        },
        Attempt::Interrupted(words) => interrupted(turn, &current, &words),
        Attempt::Failed(failure) => failed(turn, &current, failure),
    }
}

/// Writes the UID of a Job that was made by a turn which died before it could.
fn record_uid(turn: &mut Turn<'_>, current: &CurrentVisit) {
    let job = turn.observed.job_named(&turn.observed.train_job_name(current));
    if let (Some(visit), None, Some(job)) = (&mut turn.status.current_visit, &current.job_uid, job) {
        visit.job_uid = job.uid();
        visit.retry_time = None;
    }
}

/// Makes the Job of a visit that the status calls for, once its back-off is over and nothing of an earlier one runs.
///
/// Dies before: the next turn makes it. Dies between the Job and its UID in the status: the next turn finds the Job by its
/// name and writes the UID; should the Job vanish before that, it is made again, which is right, because as far as anybody
/// knows it never ran. Twice: the name is taken by our own Job. Stale (a newer status exists): `act` asks for the newest
/// version of the CurriculumJob right before it makes the Job, and gives the turn up if this is not it.
fn start(turn: &mut Turn<'_>, current: &CurrentVisit, name: &str) -> State {
    let waiting = intent::waiting(current);
    let due = current.retry_time.as_ref().map_or(When::Due, |time| turn.at(time.0));
    if turn.is_suspended() || !turn.is_due(due) {
        return waiting;
    }
    if let Some(other) = running_elsewhere(turn, name) {
        return State::Retrying(format!("waiting for {other} of an earlier attempt to end"));
    }
    // The run was accepted as it is: where this version sees it otherwise, it waits for one that does not.
    let plan = intent::compile_visit(turn, current);
    let plan = match plan.and_then(|plan| intent::keeps_steps(&plan, current).map(|()| plan)) {
        Ok(plan) => plan,
        Err(failure) => return State::Blocked(failure),
    };
    let digest = plan.digest();
    if current.plan_digest.as_ref() != Some(&digest) {
        // Another version of the operator wrote the intent, and perhaps an immutable plan under this visit's name.
        return intent::renew(turn, current, Some(digest));
    }
    let Some(phase) = plan.phases.first() else {
        return waiting;
    };
    let number = current.visit.unsigned_abs();
    turn.actions
        .ensure
        .push(Ensure::ConfigMap(Box::new(build::plan_config_map(
            &turn.run.head.id,
            number,
            &plan,
        ))));
    // There is no plan before the scores are chosen.
    let source = turn
        .status
        .scores
        .as_ref()
        .map_or(ScoreSource::Uniform, |scores| scores.source);
    let job = build::train_job(&turn.settings.build, turn.run, phase, number, source);
    turn.actions.ensure.push(Ensure::TrainJob(Box::new(job)));
    let template_digest = turn.run.head.template_digest.clone();
    if let Some(current) = &mut turn.status.current_visit {
        current.retry_time = None;
        current.template_digest = Some(template_digest);
    }
    State::Training
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

/// Follows a live visit: progress, a sampler that lost its index, an image that does not come.
fn watch(turn: &mut Turn<'_>, current: &CurrentVisit, running: &Running<'_>) -> State {
    let Running { job, pods } = running;
    if is_outdated(turn, current, job) || is_let_go_by_another(turn, job) {
        return intent::renew(turn, current, None);
    }
    if let Some(live) = turn.observed.sampler.clone() {
        hear::live(turn, current, &live);
    }
    if let Some(failure) = hung(turn, current, pods) {
        return failed(turn, current, failure);
    }
    if pods.iter().any(|pod| evidence::phase(pod) == Some("Running")) {
        turn.look_again_in(turn.observed.progress_interval);
    } else if !turn.is_suspended() {
        keep_plan(turn, current, job);
    }
    // A trainer that cannot start costs nothing and may start any time: it is said, not counted as a failure.
    let is_over = turn.observed.stuck_since.is_some_and(|since| {
        let over = turn.after(turn.settings.image_grace, since);
        turn.is_due(over)
    });
    let stuck = evidence::stuck(pods).filter(|_| is_over);
    stuck.map_or(State::Training, State::ImageUnavailable)
}

/// A trainer without progress for `training.progressDeadlineSeconds`. Only a sampler that answers and says so is believed: one that
/// nobody can reach says nothing of its trainer.
fn hung(turn: &mut Turn<'_>, current: &CurrentVisit, pods: &[&Pod]) -> Option<Failure> {
    let deadline = turn.run.training.progress_deadline?;
    let live = turn
        .observed
        .sampler
        .as_ref()
        .filter(|live| attempt::is_of(live, current))?;
    let written = turn.status.progress.as_ref()?;
    let step = i64::try_from(live.served_step).unwrap_or(i64::MAX).max(written.step);
    let started = pods.iter().filter_map(|pod| evidence::trainer_started(pod)).max()?;
    let last = written.report_time.as_ref().map_or(started, |time| time.0.max(started));
    let over = turn.after(deadline, last);
    if step != written.step || !turn.is_due(over) {
        return None;
    }
    // What the sampler said before the deadline tells nothing of the time since: the next look has its next answer.
    if turn.after(deadline.saturating_add(turn.observed.sampler_age), last) != When::Due {
        return None;
    }
    let seconds = deadline.as_secs();
    let message =
        format!("the trainer has made no progress at step {step} for {seconds} s (`training.progressDeadlineSeconds`)");
    Some(Failure::new(Reason::NoProgress, message))
}

/// Whether `training` was edited since a Job was made that does not run, or is about to end. A Job that runs is left alone: `training`
/// cannot have been edited then, and another version of the operator may write the same template otherwise.
fn is_outdated(turn: &Turn<'_>, current: &CurrentVisit, job: &Job) -> bool {
    (turn.is_suspended() || children::is_held_by_us(job)) && children::is_outdated(turn.head(), current)
}

/// Whether a queueing controller let a Job go on that we hold. Holding it again would be a fight without an end, so the Job goes,
/// and another one is made when the suspension is over.
fn is_let_go_by_another(turn: &Turn<'_>, job: &Job) -> bool {
    turn.is_suspended() && children::is_held_by_us(job) && !children::is_held(job)
}

/// Makes the plan of a waiting visit again if somebody deleted it: without it the pod would wait for ever.
fn keep_plan(turn: &mut Turn<'_>, current: &CurrentVisit, job: &Job) {
    let number = current.visit.unsigned_abs();
    let name = build::names::plan(&turn.run.head.id.name, number);
    let exists = turn
        .observed
        .config_maps
        .iter()
        .any(|meta| meta.name.as_ref() == Some(&name));
    let Some(created) = job.metadata.creation_timestamp.clone() else {
        return;
    };
    let over = turn.after(PLAN_GRACE, created.0);
    if exists || !turn.is_due(over) {
        return;
    }
    let plan = intent::compile_visit(turn, current).ok();
    if let Some(plan) = plan.filter(|plan| current.plan_digest == Some(plan.digest())) {
        turn.actions
            .ensure
            .push(Ensure::ConfigMap(Box::new(build::plan_config_map(
                &turn.run.head.id,
                number,
                &plan,
            ))));
    }
}

/// Records a completed phase and the intent of the next one, or the end of the run.
///
/// Dies before the snapshot or before the status: the Job is still complete, so the next turn does all of it again, and the
/// snapshot, a function of plan and result, is already what it would be. Twice: the second status meets a newer version of
/// the object and is refused. Stale: the same.
fn complete(turn: &mut Turn<'_>, current: &CurrentVisit, result: &SamplerStatus) -> State {
    let state = state(turn, current, result);
    let input = SnapshotInput {
        phase_index: state.phase_index,
        phase_name: state.phase_name.clone(),
        visit: state.visit,
        step: state.step,
        time: turn.time(),
        previous: state.previous.clone(),
        state_json: state.to_canonical_json(),
        digest: state.digest(),
    };
    let snapshot = build::snapshot(&turn.run.head.id, &input);
    let outcome = match result.decision.as_ref().map(|decision| decision.kind) {
        None => VisitOutcome::Completed,
        Some(Kind::Advance) => VisitOutcome::Advanced,
        Some(Kind::Regress) => VisitOutcome::Regressed,
    };
    record(turn, current, outcome, Some((&snapshot, result)));
    let archiving = turn.run.archives_snapshots.then(|| {
        let job = build::archive_job(&turn.settings.build, turn.run, current.visit.unsigned_abs(), &snapshot);
        Ensure::ArchiveJob(Box::new(job))
    });
    turn.actions.ensure.push(Ensure::Snapshot(Box::new(snapshot)));
    turn.actions.ensure.extend(archiving);
    turn.count(Milestone::PhaseCompleted);
    if let Some(metrics) = hear::metrics(result) {
        turn.status.metrics = metrics;
    }
    hear::index(turn, result);
    hear::forget_store(turn);
    tell(turn, current, result);
    if turn.run.curriculum.following(&intent::ended(turn)).is_some() {
        return intent::enter(turn);
    }
    let before = turn.status.progress.take();
    turn.status.progress = Some(intent::progress(result.served_step, result.served_step, before));
    turn.actions.events.push(Event {
        warning: false,
        reason: Reason::Completed,
        action: "Finish",
        note: "Every phase completed".to_owned(),
    });
    State::Succeeded
}

/// Says what of a transition is no milestone: that it went back, or that it could not be judged.
fn tell(turn: &mut Turn<'_>, current: &CurrentVisit, result: &SamplerStatus) {
    let name = &current.phase_name;
    match &result.decision {
        Some(Decision {
            kind: Kind::Regress,
            step,
            because,
            ..
        }) => {
            let note = format!("Phase '{name}' was left at step {step} for an earlier one: {because}");
            turn.actions.events.push(Event {
                warning: false,
                reason: Reason::Regressed,
                action: ACTION,
                note,
            });
        }
        Some(_) => {}
        None if result.unheard == 0 => {}
        None => {
            let plan = intent::compile_visit(turn, current).ok();
            let transitions = plan.and_then(|plan| plan.phases.first()?.transitions.clone());
            let missing = transitions
                .iter()
                .flat_map(|transitions| transitions.missing(result.unheard));
            let missing: Vec<&str> = missing.collect();
            if !missing.is_empty() {
                let note = format!(
                    "Phase '{name}' ran to its last step: the trainer never reported what may end it early, {}",
                    missing.join(", ")
                );
                turn.warn(ACTION, Reason::MetricsMissing, note);
            }
        }
    }
}

/// The state that a snapshot records: a function of the status and the result, so that it is the same when made again.
fn state(turn: &Turn<'_>, current: &CurrentVisit, result: &SamplerStatus) -> snapshot::State {
    let of = |metric: MetricStatus| {
        let step = metric.step.unsigned_abs();
        (
            metric.name,
            snapshot::MetricState {
                value: metric.value,
                step,
            },
        )
    };
    // A phase that was drawn uniformly names no index, whatever the plan says.
    let scores = turn.status.scores.as_ref().filter(|_| result.source == Source::Index);
    snapshot::State {
        version: snapshot::SNAPSHOT_VERSION,
        previous: turn
            .status
            .visits
            .iter()
            .rev()
            .find_map(|phase| phase.snapshot_digest.clone()),
        plan_digest: result.plan_digest.clone(),
        score_digest: scores.and_then(|scores| scores.digest.clone()),
        overrides: scores.and_then(super::scoring::recorded),
        phase_index: current.phase_index.unsigned_abs(),
        phase_name: current.phase_name.clone(),
        visit: current.visit.unsigned_abs(),
        step: result.served_step,
        decision: result.decision.clone(),
        seed: turn.run.seed,
        rows: turn
            .status
            .dataset
            .as_ref()
            .map_or(0, |dataset| dataset.rows.unsigned_abs()),
        exposure: result.exposure.clone(),
        tokens: result.tokens,
        sequence_digest: result.sequence_digest.clone(),
        metrics: hear::metrics(result).unwrap_or_default().into_iter().map(of).collect(),
    }
}

/// Writes down that a phase has ended; `trained`: its snapshot, and the sampler's result.
fn record(
    turn: &mut Turn<'_>,
    current: &CurrentVisit,
    outcome: VisitOutcome,
    trained: Option<(&CurriculumSnapshot, &SamplerStatus)>,
) {
    let (snapshot, result) = trained.unzip();
    let steps = |step: u64| i64::try_from(step).unwrap_or(i64::MAX);
    let decision = result.and_then(|result| result.decision.as_ref());
    let tokens = result.and_then(|result| result.tokens);
    let end_time = Some(turn.time());
    turn.status.visits.push(VisitStatus {
        visit: current.visit,
        phase_name: current.phase_name.clone(),
        outcome,
        start_step: current.start_step,
        end_step: result.map_or(current.end_step, |result| steps(result.served_step)),
        decision: decision.map(|decision| DecisionStatus {
            reported: steps(decision.reported),
            because: decision.because.clone(),
            evidence: decision.evidence.clone(),
        }),
        attempts: current.failures.saturating_add(1),
        tokens: tokens.map(steps),
        archive: snapshot.and(turn.run.archives_snapshots.then_some(Archive::Pending)),
        snapshot: snapshot.map(ResourceExt::name_any),
        snapshot_digest: snapshot.map(|snapshot| snapshot.spec.digest.clone()),
        start_time: current.start_time.clone(),
        end_time,
    });
}

/// Writes down that the visit was interrupted, and the intent of the next one. Nobody is to blame, so the budget stays.
///
/// Dies before the status: the same is found again. Twice: the second status meets a newer version and is refused.
fn interrupted(turn: &mut Turn<'_>, current: &CurrentVisit, words: &str) -> State {
    hear::forget_store(turn);
    let reason = Reason::Interrupted;
    turn.warn(
        ACTION,
        reason,
        format!(
            "Visit {} of phase '{}' was interrupted and goes on with the next one: {words}",
            current.visit, current.phase_name
        ),
    );
    turn.count(Milestone::AttemptInterrupted);
    intent::resume(turn, current, &format!("{}: {words}", reason.as_str()))
}

/// Counts a failed or lost visit and writes down the intent of the next one, or ends the run.
///
/// Dies before the status: the same failure is found again. Twice: the second status meets a newer version and is refused,
/// so that one failure costs the budget once.
fn failed(turn: &mut Turn<'_>, current: &CurrentVisit, failure: Failure) -> State {
    hear::forget_store(turn);
    let failures = current.failures.saturating_add(1);
    let Failure { reason, message } = failure;
    let said = format!("{}: {message}", reason.as_str());
    turn.warn(
        ACTION,
        reason,
        format!(
            "Visit {} of phase '{}' failed: {message}",
            current.visit, current.phase_name
        ),
    );
    let limit = turn.run.training.backoff_limit;
    if i64::from(failures) > i64::from(limit) {
        record(turn, current, VisitOutcome::Failed, None);
        turn.count(Milestone::PhaseFailed);
        let message = format!(
            "phase '{}' failed more than {limit} times, the last time with {said}",
            current.phase_name
        );
        return State::Failed(Failure::new(Reason::BackoffLimitExceeded, message));
    }
    turn.count(Milestone::AttemptFailed);
    intent::retry(turn, current, failures, &said)
}
