//! What a sampler says, live or at its end: progress, metrics, and whether it has the index.

use super::attempt::is_of;
use super::intent::progress;
use super::turn::{Turn, When};
use super::words;
use crate::api::conditions::Reason;
use crate::api::status::{CurrentVisit, MetricStatus, Progress, ScoreSource};
use crate::controller::actions::{Event, Milestone};
use crate::sampler::contract::{MetricPoint, SamplerStatus, Source};

/// Takes in what the sampler of the running visit says: progress and metrics at most once per interval, the loss and
/// the return of the index at once. The phase's first status has said where it begins, so a phase shorter than the interval costs no write.
pub(super) fn live(turn: &mut Turn<'_>, current: &CurrentVisit, live: &SamplerStatus) {
    if !is_of(live, current) {
        return;
    }
    index(turn, live);
    store(turn, live);
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
    let due = last.map_or(When::Due, |last| turn.after(turn.observed.progress_interval, last));
    if turn.is_due(due) {
        turn.status.metrics = metrics;
        turn.status.progress = Some(Progress {
            report_time: Some(turn.time()),
            ..step
        });
    }
}

/// The metrics as the status carries them; `None`: the sampler has heard none, as after a restart.
pub(super) fn metrics(status: &SamplerStatus) -> Option<Vec<MetricStatus>> {
    let of = |(name, point): (&String, &MetricPoint)| MetricStatus {
        name: name.clone(),
        // The shortest text that reads back as the same number; at most 24 characters.
        value: serde_json::Number::from_f64(point.value).map_or_else(String::new, |number| number.to_string()),
        step: i64::try_from(point.step).unwrap_or(i64::MAX),
    };
    (!status.metrics.is_empty()).then(|| status.metrics.iter().map(of).collect())
}

/// Takes in whether the index is in use. One that is not makes this visit go on uniformly; the next visit tries it again, whatever
/// the matter was: what is back is used again.
pub(super) fn index(turn: &mut Turn<'_>, said: &SamplerStatus) {
    let Some(scores) = &mut turn.status.scores else { return };
    if scores.source == ScoreSource::Uniform {
        return;
    }
    match (said.source, &scores.unusable) {
        (Source::UniformIndexUnusable, None) => {
            let message = said
                .source_message
                .as_deref()
                .unwrap_or("the score index cannot be used");
            scores.unusable = Some(message.to_owned());
            let note = format!("The score index is unusable, this visit goes on uniformly: {message}");
            turn.warn("Train", Reason::IndexUnusable, note);
            turn.count(Milestone::Fallback {
                reason: Reason::IndexUnusable,
                source: ScoreSource::Uniform,
            });
        }
        (Source::Index, Some(_)) => {
            scores.unusable = None;
            turn.actions.events.push(Event {
                warning: false,
                reason: Reason::IndexUsable,
                action: "Train",
                note: "The score index is in use again".to_owned(),
            });
        }
        _ => {}
    }
}

/// Takes in whether the store of the index answers. The visit goes on with the copy that its pod has; a pod that starts meanwhile
/// has none. Only a live sampler knows: a result says nothing of it.
pub(super) fn store(turn: &mut Turn<'_>, said: &SamplerStatus) {
    if said.source != Source::Index {
        forget_store(turn);
        return;
    }
    let Some(scores) = &mut turn.status.scores else { return };
    match (&said.store_fault, &scores.store_fault) {
        (Some(fault), None) => {
            scores.store_fault = Some(fault.clone());
            let note =
                format!("The score store does not answer, this visit goes on with its copy of the index: {fault}");
            turn.warn("Train", Reason::StoreUnavailable, note);
        }
        (Some(fault), Some(before)) if !words::same(before, fault) => scores.store_fault = Some(fault.clone()),
        (None, Some(_)) => {
            scores.store_fault = None;
            turn.actions.events.push(Event {
                warning: false,
                reason: Reason::StoreAvailable,
                action: "Train",
                note: "The score store answers again".to_owned(),
            });
        }
        _ => {}
    }
}

/// Of a visit that is over, or that has no copy, nobody says whether the store answers.
pub(super) fn forget_store(turn: &mut Turn<'_>) {
    if let Some(scores) = &mut turn.status.scores {
        scores.store_fault = None;
    }
}
