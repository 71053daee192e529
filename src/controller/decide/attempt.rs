//! One attempt at a phase: what it says while it runs, and what follows when it has ended.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::SignedDuration;
use kube::ResourceExt;

use super::conditions::State;
use super::training::{begin_phase, compile, progress, waiting};
use super::turn::Turn;
use crate::api::conditions::Reason;
use crate::api::snapshot::CurriculumSnapshot;
use crate::api::status::{CurrentVisit, MetricStatus, Progress, ScoreSource, VisitOutcome, VisitStatus};
use crate::controller::actions::{Ensure, Event, Milestone};
use crate::controller::build::{self, SnapshotInput};
use crate::controller::evidence::{self, Failure};
use crate::curriculum::snapshot;
use crate::sampler::contract::{MetricPoint, SamplerStatus, Source};

const ACTION: &str = "Train";
/// Longest `lastFailure`, in characters: what the schema of the status allows.
const LAST_FAILURE_CHARS: usize = 1024;

/// The sampler's result of a completed Job, if it proves that the phase was trained to its end.
///
/// Exit code 0 alone is no success: the trainer may have stopped early, or not have used the sampler at all.
pub(super) fn result(current: &CurrentVisit, pods: &[&Pod]) -> Result<SamplerStatus, Failure> {
    let mismatch = |message: String| Failure::new(Reason::ResultMismatch, message);
    let Some(result) = evidence::sampler_result(pods) else {
        return Err(mismatch(
            "the trainer exited with code 0, but the sampler left no valid result".to_owned(),
        ));
    };
    if !is_of(&result, current) {
        return Err(mismatch(
            "the trainer exited with code 0, but the sampler's result is of another plan".to_owned(),
        ));
    }
    let (served, end) = (result.served_step, current.end_step);
    if i64::try_from(served) != Ok(end) {
        return Err(mismatch(format!(
            "the trainer exited with code 0 after step {served}, but the phase ends at {end}"
        )));
    }
    Ok(result)
}

fn is_of(status: &SamplerStatus, current: &CurrentVisit) -> bool {
    current.plan_digest.as_ref() == Some(&status.plan_digest)
        && i32::try_from(status.phase_index) == Ok(current.phase_index)
        && i64::try_from(status.end_step) == Ok(current.end_step)
}

/// Takes in what the sampler of the running attempt says: progress and metrics at most once per interval, the loss of the
/// index at once. The phase's first status has said where it begins, so a phase shorter than the interval costs no write.
pub(super) fn hear(turn: &mut Turn<'_>, current: &CurrentVisit, live: &SamplerStatus) {
    if !is_of(live, current) {
        return;
    }
    lose_index(turn, live);
    let Some(before) = turn.status.progress.clone() else {
        return;
    };
    let step = progress(
        live.served_step,
        before.total_steps.unsigned_abs(),
        Some(before.clone()),
    );
    let metrics = metrics(live).unwrap_or_else(|| turn.status.metrics.clone());
    if step == before && metrics == turn.status.metrics {
        return;
    }
    let written = [&before.report_time, &current.start_time];
    let last = written.into_iter().flatten().map(|time| time.0).max();
    if last.is_none_or(|last| turn.has_passed(turn.settings.progress_interval, last)) {
        turn.status.metrics = metrics;
        turn.status.progress = Some(Progress {
            report_time: Some(turn.time()),
            ..step
        });
    }
}

/// The metrics as the status carries them; `None`: the sampler has heard none, as after a restart.
fn metrics(status: &SamplerStatus) -> Option<Vec<MetricStatus>> {
    let of = |(name, point): (&String, &MetricPoint)| MetricStatus {
        name: name.clone(),
        // The shortest text that reads back as the same number; at most 24 characters.
        value: serde_json::Number::from_f64(point.value).map_or_else(String::new, |number| number.to_string()),
        step: i64::try_from(point.step).unwrap_or(i64::MAX),
    };
    (!status.metrics.is_empty()).then(|| status.metrics.iter().map(of).collect())
}

/// Gives up an index that a sampler found unusable: this attempt goes on uniformly, and so does what follows.
fn lose_index(turn: &mut Turn<'_>, said: &SamplerStatus) {
    let Some(scores) = &mut turn.status.scores else { return };
    if said.source != Source::UniformIndexUnusable || scores.source == ScoreSource::Uniform {
        return;
    }
    let message = said
        .source_message
        .clone()
        .unwrap_or_else(|| "the score index cannot be used".to_owned());
    scores.source = ScoreSource::Uniform;
    (scores.digest, scores.key, scores.coverage) = (None, None, None);
    scores.fallback_reason = Some(Reason::IndexUnusable.as_str().to_owned());
    scores.fallback_message = Some(message.clone());
    let time = turn.time();
    if let Some(scores) = &mut turn.status.scores {
        scores.time = Some(time);
    }
    turn.warn(
        ACTION,
        Reason::IndexUnusable,
        format!("The score index is unusable, training goes on uniformly: {message}"),
    );
    turn.count(Milestone::Fallback {
        reason: Reason::IndexUnusable,
        source: ScoreSource::Uniform,
    });
}

/// Records a completed phase and the intent of the next one, or the end of the run.
///
/// Dies before the snapshot or before the status: the Job is still complete, so the next turn does all of it again, and the
/// snapshot, a function of plan and result, is already what it would be. Twice: the second status meets a newer version of
/// the object and is refused. Stale: the same.
pub(super) fn complete_phase(turn: &mut Turn<'_>, current: &CurrentVisit, result: &SamplerStatus) -> State {
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
    let snapshot = build::snapshot(turn.job, &input);
    record(turn, current, VisitOutcome::Completed, Some(&snapshot));
    turn.actions.ensure.push(Ensure::Snapshot(Box::new(snapshot)));
    turn.count(Milestone::PhaseCompleted);
    if let Some(metrics) = metrics(result) {
        turn.status.metrics = metrics;
    }
    lose_index(turn, result);
    let next = current.phase_index.unsigned_abs().saturating_add(1);
    if usize::try_from(next).is_ok_and(|next| next < turn.job.spec.curriculum.phases.len()) {
        return begin_phase(turn, next);
    }
    let before = turn.status.progress.take();
    let total = before
        .as_ref()
        .map_or(result.served_step, |progress| progress.total_steps.unsigned_abs());
    turn.status.progress = Some(progress(result.served_step, total, before));
    turn.actions.events.push(Event {
        warning: false,
        reason: Reason::Completed,
        action: "Finish",
        note: "Every phase completed".to_owned(),
    });
    State::Succeeded
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
    snapshot::State {
        version: snapshot::SNAPSHOT_VERSION,
        previous: turn
            .status
            .visits
            .iter()
            .rev()
            .find_map(|phase| phase.snapshot_digest.clone()),
        plan_digest: result.plan_digest.clone(),
        score_digest: turn.status.scores.as_ref().and_then(|scores| scores.digest.clone()),
        phase_index: current.phase_index.unsigned_abs(),
        phase_name: current.phase_name.clone(),
        visit: current.visit.unsigned_abs(),
        step: result.served_step,
        seed: turn.job.spec.seed.unsigned_abs(),
        rows: turn
            .status
            .dataset
            .as_ref()
            .map_or(0, |dataset| dataset.rows.unsigned_abs()),
        exposure: result.exposure.clone(),
        sequence_digest: result.sequence_digest.clone(),
        metrics: metrics(result).unwrap_or_default().into_iter().map(of).collect(),
    }
}

/// Writes down that a phase has ended.
fn record(turn: &mut Turn<'_>, current: &CurrentVisit, outcome: VisitOutcome, snapshot: Option<&CurriculumSnapshot>) {
    let end_time = Some(turn.time());
    turn.status.visits.push(VisitStatus {
        visit: current.visit,
        phase_name: current.phase_name.clone(),
        outcome,
        start_step: current.start_step,
        end_step: current.end_step,
        attempts: current.failures.saturating_add(1),
        snapshot: snapshot.map(ResourceExt::name_any),
        snapshot_digest: snapshot.map(|snapshot| snapshot.spec.digest.clone()),
        start_time: current.start_time.clone(),
        end_time,
    });
}

/// Counts a failed or lost attempt and writes down the intent of the next one, or ends the run.
///
/// Dies before the status: the same failure is found again. Twice: the second status meets a newer version and is refused,
/// so that one failure costs the budget once.
pub(super) fn failed(turn: &mut Turn<'_>, current: &CurrentVisit, failure: Failure) -> State {
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
    if failures > turn.job.spec.training.backoff_limit {
        record(turn, current, VisitOutcome::Failed, None);
        turn.count(Milestone::PhaseFailed);
        let limit = turn.job.spec.training.backoff_limit;
        let message = format!(
            "phase '{}' failed more than {limit} times, the last time with {said}",
            current.phase_name
        );
        return State::Failed(Failure::new(Reason::BackoffLimitExceeded, message));
    }
    turn.count(Milestone::AttemptFailed);
    let digest = match compile(turn) {
        Ok(plan) => plan
            .for_phase(current.phase_index.unsigned_abs())
            .map(|plan| plan.digest()),
        Err(failure) => return State::Failed(failure),
    };
    let retry_time = retry_time(turn, failures);
    let next = CurrentVisit {
        visit: current.visit.saturating_add(1),
        failures,
        plan_digest: digest,
        job_uid: None,
        retry_time,
        last_failure: Some(said.chars().take(LAST_FAILURE_CHARS).collect()),
        ..current.clone()
    };
    let state = waiting(&next);
    turn.status.current_visit = Some(next);
    state
}

/// Gives an attempt that has not begun another number, because its plan is not the one that was written down for it.
pub(super) fn renew(turn: &mut Turn<'_>, current: &CurrentVisit, digest: String) -> State {
    turn.status.current_visit = Some(CurrentVisit {
        visit: current.visit.saturating_add(1),
        plan_digest: Some(digest),
        ..current.clone()
    });
    waiting(current)
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
