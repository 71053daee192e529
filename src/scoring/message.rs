//! Termination messages: a report as JSON that fits into what the kubelet keeps, and reading one back.

use std::path::Path;

use super::error::shorten;
use super::report::{Report, TERMINATION_MESSAGE_BYTES};
use crate::index::summary::IndexSummary;

/// Environment variable of a scoring container with the bytes that the kubelet keeps of its message, where that is less than
/// [`TERMINATION_MESSAGE_BYTES`].
pub const MESSAGE_BYTES_ENV: &str = "CURRICULUM_MESSAGE_BYTES";

/// Bytes that the kubelet keeps of all termination messages of a pod together; each container, init containers among them, has an
/// equal part (`MaxPodTerminationMessageLogLength` in Kubernetes' `pkg/kubelet/container/runtime.go`).
const POD_BYTES: usize = 12_288;

/// Bytes that the kubelet keeps of the message of one container of a pod with so many.
pub fn bytes_for(containers: usize) -> usize {
    TERMINATION_MESSAGE_BYTES.min(POD_BYTES / containers.max(1))
}

/// The report as JSON of at most `limit` bytes: of a summary the parts that the controller can do without are left out, one after
/// the other until it fits: histogram, group names, mean ranks, group rows where the inspection states the same ones, quantiles, and
/// last the found index as a whole. A failure's message is cut.
///
/// What cannot be left out may be longer than `limit`: the groups' rows of an inspection, up to 2,900 bytes.
pub fn encode(mut report: Report, limit: usize) -> String {
    for step in 0.. {
        let text = serde_json::to_string(&report).unwrap_or_default();
        if text.len() <= limit || !shrink(&mut report, step) {
            return text;
        }
    }
    String::new()
}

/// Why a termination message is no report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoReport {
    /// There is none.
    #[error("it left no report")]
    Empty,
    /// It ends in the middle: the pod has more containers than were reckoned with, and so each one's message fewer bytes.
    #[error("its report was cut off after {0} bytes, because the pod's containers together may leave 12,288")]
    Cut(usize),
    /// It is something else.
    #[error("what it left is no report")]
    Other,
}

/// Reads a termination message. Of a failure that was cut within its words the reason and the first words are left.
///
/// # Errors
/// [`NoReport`] tells a message that was cut from one that was never a report.
pub fn decode(text: &str) -> Result<Report, NoReport> {
    if text.trim().is_empty() {
        return Err(NoReport::Empty);
    }
    match serde_json::from_str(text) {
        Ok(report) => Ok(report),
        Err(error) if error.is_eof() && text.starts_with('{') => cut_failure(text).ok_or(NoReport::Cut(text.len())),
        Err(_) => Err(NoReport::Other),
    }
}

/// A failure whose words end in the middle.
fn cut_failure(text: &str) -> Option<Report> {
    // The longest escape, of two halves of a surrogate pair, has twelve bytes: it may be cut too.
    const ESCAPE: usize = 12;
    let whole = |left_out: usize| {
        let kept = text.get(..text.len().checked_sub(left_out)?)?;
        serde_json::from_str(&format!("{kept}…\"}}}}")).ok()
    };
    (0..ESCAPE)
        .find_map(whole)
        .filter(|report| matches!(report, Report::Error(_)))
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
                return inspection.stale_index.take().is_some();
            };
            match step {
                0..3 => PARTS[step](&mut found.summary),
                3 if found.summary.group_rows == inspection.group_rows => found.summary.group_rows.clear(),
                3 => {}
                4 => found.summary.quantiles.clear(),
                5 => inspection.stale_index = None,
                _ => inspection.found = None,
            }
            true
        }
    }
}

/// Writes the report to the termination log. A failure is logged only: the exit code still tells what happened.
pub fn write(path: &Path, report: Report, limit: usize) {
    // The kubelet bind-mounts a file: it can be written but not replaced.
    if let Err(error) = std::fs::write(path, encode(report, limit)) {
        tracing::warn!(%error, path = %path.display(), "cannot write the termination message");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::curriculum::filter::Filtered;
    use crate::curriculum::plan::MAX_EXACT;
    use crate::index::summary::Overrides;
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
                    lengths: None,
                    overrides: Some(Overrides {
                        digest: format!("sha256:{}", "d".repeat(64)),
                        rows,
                        left_out: MAX_EXACT,
                        people: rows,
                        latest: Some(jiff::Timestamp::UNIX_EPOCH),
                        superseded: MAX_EXACT,
                        unknown: MAX_EXACT,
                    }),
                }
            })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn an_inspection_fits_and_keeps_what_training_needs(summary in summaries(), exact: bool) {
            let group_rows = summary.group_rows.clone();
            let found = Some(FoundIndex { exact, summary: summary.clone() });
            let filtered = Some(Filtered { rows: 1 << 40, key: "f".repeat(64), digest: format!("sha256:{}", "e".repeat(64)) });
            let text = encode(Report::Inspected(Inspection { rows: summary.rows, held_out_rows: 0, filtered, group_rows: group_rows.clone(), named_groups: vec![Some(255); 64], bad_rows: 7, found, stale_index: Some("x".repeat(300)) }), TERMINATION_MESSAGE_BYTES);
            prop_assert!(text.len() <= TERMINATION_MESSAGE_BYTES, "{} bytes", text.len());
            let Report::Inspected(inspection) = parse(&text) else { panic!("{text}") };
            prop_assert_eq!(inspection.group_rows, group_rows);
            let found = inspection.found.expect("the index is named");
            prop_assert_eq!((found.exact, found.summary.key, found.summary.digest), (exact, summary.key, summary.digest));
        }

        #[test]
        fn an_index_summary_fits_and_keeps_its_groups(summary in summaries()) {
            let text = encode(Report::Indexed(summary.clone()), TERMINATION_MESSAGE_BYTES);
            prop_assert!(text.len() <= TERMINATION_MESSAGE_BYTES, "{} bytes", text.len());
            let Report::Indexed(sent) = parse(&text) else { panic!("{text}") };
            prop_assert_eq!((sent.digest, sent.rows, sent.group_rows), (summary.digest, summary.rows, summary.group_rows));
        }

        #[test]
        fn a_failure_fits_whatever_its_characters(
            message in "\\PC{0,1000}|[\u{1}\"\\\\]{900,1000}",
            // A scoring job has at most 8 programs, the built-in scorers and the tools.
            containers in 1..=12_usize,
        ) {
            let limit = bytes_for(containers);
            let text = encode(Report::Error(Failure { reason: "ScoresInvalid".to_owned(), message: message.clone() }), limit);
            prop_assert!(text.len() <= limit && limit * containers <= 12_288);
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
            lengths: None,
            overrides: None,
        };
        assert_eq!(
            parse(&encode(Report::Indexed(summary.clone()), TERMINATION_MESSAGE_BYTES)),
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
            TERMINATION_MESSAGE_BYTES,
        );
    }

    #[test]
    fn containers_share_what_the_kubelet_keeps() {
        assert_eq!([1, 3, 4, 12].map(bytes_for), [4096, 4096, 3072, 1024]);
    }

    #[test]
    fn a_message_that_was_cut_is_told_from_one_that_is_none() {
        let failure = Failure {
            reason: "ScoresInvalid".to_owned(),
            message: "duplicate rows".to_owned(),
        };
        let text = encode(Report::Error(failure.clone()), TERMINATION_MESSAGE_BYTES);
        assert_eq!(decode(&text), Ok(Report::Error(failure)));
        let words = text.find("duplicate").unwrap();
        for end in 1..text.len() {
            match decode(&text[..end]) {
                Err(found) => assert!(found == NoReport::Cut(end) && end < words, "{end}"),
                Ok(Report::Error(found)) => {
                    assert_eq!(found.reason, "ScoresInvalid");
                    let said = found.message.strip_suffix('…').unwrap();
                    assert!("duplicate rows".starts_with(said), "{said}");
                }
                Ok(other) => panic!("{other:?}"),
            }
        }
        let escaped = "{\"error\":{\"reason\":\"ScoresInvalid\",\"message\":\"a\\ud83d\\ude0";
        let Ok(Report::Error(found)) = decode(escaped) else {
            panic!()
        };
        assert_eq!(found.message, "a…");
        assert_eq!(decode(" \n"), Err(NoReport::Empty));
        assert_eq!(decode("Traceback: out of memory"), Err(NoReport::Other));
        assert_eq!(decode("{\"other\":1}"), Err(NoReport::Other));
        assert_eq!(
            decode("{\"error\":").unwrap_err().to_string(),
            "its report was cut off after 9 bytes, because the pod's containers together may leave 12,288"
        );
    }
}
