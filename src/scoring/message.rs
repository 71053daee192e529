//! Termination messages: a report as JSON that fits into what the kubelet keeps.

use std::path::Path;

use super::error::shorten;
use super::report::{IndexSummary, Report, TERMINATION_MESSAGE_BYTES};

/// The report as JSON of at most [`TERMINATION_MESSAGE_BYTES`] bytes: of a summary the parts that the controller can do
/// without are left out, one after the other until it fits: histogram, group names, mean ranks, group rows where the
/// inspection states the same ones, quantiles, and last the found index as a whole. A failure's message is cut.
pub fn encode(mut report: Report) -> String {
    for step in 0.. {
        let text = serde_json::to_string(&report).unwrap_or_default();
        if text.len() <= TERMINATION_MESSAGE_BYTES || !shrink(&mut report, step) {
            return text;
        }
    }
    String::new()
}

/// Leaves out one more part. False when nothing is left to leave out.
fn shrink(report: &mut Report, step: usize) -> bool {
    const PARTS: [fn(&mut IndexSummary); 3] = [
        |s| s.histogram.clear(),
        |s| s.group_names.clear(),
        |s| s.group_mean_ranks.clear(),
    ];
    match report {
        Report::Error(failure) => {
            let length = failure.message.chars().count();
            failure.message = shorten(&failure.message, length * 3 / 4);
            length > 1
        }
        Report::Indexed(summary) => {
            match step {
                0..3 => PARTS[step](summary),
                3 => summary.quantiles.clear(),
                _ => return false,
            }
            true
        }
        Report::Inspected(inspection) => {
            let Some(found) = &mut inspection.found else {
                return false;
            };
            match step {
                0..3 => PARTS[step](&mut found.summary),
                3 if found.summary.group_rows == inspection.group_rows => found.summary.group_rows.clear(),
                3 => {}
                4 => found.summary.quantiles.clear(),
                _ => inspection.found = None,
            }
            true
        }
    }
}

/// Writes the report to the termination log. A failure is logged only: the exit code still tells what happened.
pub fn write(path: &Path, report: Report) {
    // The kubelet bind-mounts a file: it can be written but not replaced.
    if let Err(error) = std::fs::write(path, encode(report)) {
        tracing::warn!(%error, path = %path.display(), "cannot write the termination message");
    }
}
