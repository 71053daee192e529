//! Bounds on what pods say. A value that breaks one is treated as if it had not been said.

use crate::sampler::contract::SamplerStatus;
use crate::scoring::report::{FoundIndex, IndexSummary, Inspection};

/// Longest foreign text that goes into a condition or an event, in characters.
const MESSAGE_CHARS: usize = 512;
/// Largest integer that JSON clients carry exactly.
const MAX_INTEGER: u64 = 1 << 53;
/// Most groups of a data set.
const MAX_GROUPS: usize = 256;
/// Most metrics of a trainer.
const MAX_METRICS: usize = 32;
/// Longest name of a metric, in characters.
const METRIC_CHARS: usize = 64;

/// The text on one line, without control characters, cut to what a condition can hold.
pub(crate) fn clean(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let line = line.trim();
    match line.char_indices().nth(MESSAGE_CHARS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

/// A sampler's status, if these bytes are one within its bounds.
pub(crate) fn sampler_status(bytes: &[u8]) -> Option<SamplerStatus> {
    let mut status: SamplerStatus = serde_json::from_slice(bytes).ok()?;
    let steps = [status.start_step, status.end_step, status.served_step];
    let metrics_fit = status.metrics.len() <= MAX_METRICS
        && status
            .metrics
            .iter()
            .all(|(name, point)| is_metric_name(name) && point.value.is_finite() && point.step <= MAX_INTEGER);
    let fits = is_digest(&status.plan_digest)
        && steps.iter().all(|step| *step <= MAX_INTEGER)
        && (status.start_step..=status.end_step).contains(&status.served_step)
        && metrics_fit
        && fit_groups(&status.exposure)
        && status.sequence_digest.as_deref().is_none_or(is_digest);
    status.source_message = status.source_message.as_deref().map(clean);
    fits.then_some(status)
}

/// The inspection, if it is within its bounds and agrees with itself. An index that does not fit the data is left out.
pub(crate) fn inspection(inspection: Inspection) -> Option<Inspection> {
    let Inspection {
        rows,
        group_rows,
        found,
    } = inspection;
    let found = found.filter(|FoundIndex { summary, .. }| {
        is_plausible_summary(summary) && summary.rows == rows && summary.group_rows == group_rows
    });
    let fits = (1..=MAX_INTEGER).contains(&rows) && add_up(&group_rows, rows);
    fits.then_some(Inspection {
        rows,
        group_rows,
        found,
    })
}

/// Whether a summary is within its bounds and agrees with itself.
pub(crate) fn is_plausible_summary(summary: &IndexSummary) -> bool {
    is_hex(&summary.key)
        && is_digest(&summary.digest)
        && (1..=MAX_INTEGER).contains(&summary.rows)
        && summary.scored_rows <= summary.rows
        && add_up(&summary.group_rows, summary.rows)
}

fn add_up(group_rows: &[u64], rows: u64) -> bool {
    let sum = group_rows.iter().try_fold(0_u64, |sum, rows| sum.checked_add(*rows));
    fit_groups(group_rows) && (group_rows.is_empty() || sum == Some(rows))
}

fn fit_groups(values: &[u64]) -> bool {
    values.len() <= MAX_GROUPS && values.iter().all(|value| *value <= MAX_INTEGER)
}

fn is_metric_name(name: &str) -> bool {
    (1..=METRIC_CHARS).contains(&name.chars().count()) && !name.chars().any(char::is_control)
}

fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(is_hex)
}

fn is_hex(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}
