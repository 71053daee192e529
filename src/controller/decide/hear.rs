//! What a sampler says, live or at its end: progress, metrics, and the loss of the index.

use super::attempt::is_of;
use super::intent::progress;
use super::turn::{Turn, When};
use crate::api::conditions::Reason;
use crate::api::status::{CurrentVisit, MetricStatus, Progress, ScoreSource};
use crate::controller::actions::Milestone;
use crate::sampler::contract::{MetricPoint, SamplerStatus, Source};

/// Takes in what the sampler of the running visit says: progress and metrics at most once per interval, the loss of the
/// index at once. The phase's first status has said where it begins, so a phase shorter than the interval costs no write.
pub(super) fn live(turn: &mut Turn<'_>, current: &CurrentVisit, live: &SamplerStatus) {
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
    let due = last.map_or(When::Due, |last| turn.after(turn.settings.progress_interval, last));
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

/// Gives up an index that a sampler found unusable: this attempt goes on uniformly, and so does what follows.
pub(super) fn lose_index(turn: &mut Turn<'_>, said: &SamplerStatus) {
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
        "Train",
        Reason::IndexUnusable,
        format!("The score index is unusable, training goes on uniformly: {message}"),
    );
    turn.count(Milestone::Fallback {
        reason: Reason::IndexUnusable,
        source: ScoreSource::Uniform,
    });
}
