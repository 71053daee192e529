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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::scoring::report::{Failure, FoundIndex, Inspection};

    fn parse(text: &str) -> Report {
        serde_json::from_str(text).unwrap()
    }

    /// Summaries of up to 256 groups and 2.5·10¹² rows: the greatest that the message must hold.
    fn summaries() -> impl Strategy<Value = IndexSummary> {
        (
            prop::collection::vec((1..10_u64.pow(10), ".{0,40}", 0.0..1.0_f64), 0..=256),
            any::<[u64; 64]>(),
            any::<[f64; 21]>(),
        )
            .prop_map(|(groups, histogram, quantiles)| {
                let group_rows: Vec<u64> = groups.iter().map(|(rows, _, _)| *rows).collect();
                let rows = group_rows.iter().sum::<u64>().max(1);
                IndexSummary {
                    key: "f".repeat(64),
                    digest: format!("sha256:{}", "e".repeat(64)),
                    rows,
                    scored_rows: rows,
                    quantiles: quantiles.iter().map(|q| if q.is_finite() { *q } else { 0.0 }).collect(),
                    histogram: histogram.iter().map(|count| count % rows).collect(),
                    group_rows,
                    group_names: groups.iter().map(|(_, name, _)| name.clone()).collect(),
                    group_mean_ranks: groups.iter().map(|(_, _, rank)| (rank * 1e6).round() / 1e6).collect(),
                }
            })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn an_inspection_fits_and_keeps_what_training_needs(summary in summaries(), exact: bool) {
            let group_rows = summary.group_rows.clone();
            let found = Some(FoundIndex { exact, summary: summary.clone() });
            let text = encode(Report::Inspected(Inspection { rows: summary.rows, group_rows: group_rows.clone(), named_groups: vec![Some(255); 64], found }));
            prop_assert!(text.len() <= TERMINATION_MESSAGE_BYTES, "{} bytes", text.len());
            let Report::Inspected(inspection) = parse(&text) else { panic!("{text}") };
            prop_assert_eq!(inspection.group_rows, group_rows);
            let found = inspection.found.expect("the index is named");
            prop_assert_eq!((found.exact, found.summary.key, found.summary.digest), (exact, summary.key, summary.digest));
        }

        #[test]
        fn an_index_summary_fits_and_keeps_its_groups(summary in summaries()) {
            let text = encode(Report::Indexed(summary.clone()));
            prop_assert!(text.len() <= TERMINATION_MESSAGE_BYTES, "{} bytes", text.len());
            let Report::Indexed(sent) = parse(&text) else { panic!("{text}") };
            prop_assert_eq!((sent.digest, sent.rows, sent.group_rows), (summary.digest, summary.rows, summary.group_rows));
        }

        #[test]
        fn a_failure_fits_whatever_its_characters(message in "\\PC{0,1000}|[\u{1}\"\\\\]{900,1000}") {
            let text = encode(Report::Error(Failure { reason: "ScoresInvalid".to_owned(), message: message.clone() }));
            prop_assert!(text.len() <= TERMINATION_MESSAGE_BYTES);
            let Report::Error(sent) = parse(&text) else { panic!("{text}") };
            prop_assert_eq!(sent.message.is_empty(), message.is_empty());
        }
    }

    #[test]
    fn a_small_summary_is_left_whole() {
        let summary = IndexSummary {
            key: "a".repeat(64),
            digest: "sha256:0".to_owned(),
            rows: 2,
            scored_rows: 2,
            quantiles: vec![0.5; 21],
            histogram: vec![1; 64],
            group_rows: vec![1, 1],
            group_names: vec!["x".to_owned(), "y".to_owned()],
            group_mean_ranks: vec![0.5, 1.0],
        };
        assert_eq!(
            parse(&encode(Report::Indexed(summary.clone()))),
            Report::Indexed(summary)
        );
    }

    #[test]
    fn a_log_that_cannot_be_written_is_no_failure() {
        write(
            Path::new("/nonexistent/log"),
            Report::Error(Failure {
                reason: String::new(),
                message: String::new(),
            }),
        );
    }
}
