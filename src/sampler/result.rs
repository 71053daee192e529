//! The result of an attempt: the sampler's status as the termination message of its container.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

use super::contract::{Details, ESSENTIAL_BYTES, SamplerStatus};
use crate::scoring::report::TERMINATION_MESSAGE_BYTES;

/// The status as two lines of JSON: first what decides whether the attempt succeeded, in at most [`ESSENTIAL_BYTES`], then metrics and
/// exposure, which may be cut off. Of those, what does not fit into 4,096 bytes together is left out: first the exposure, then metrics,
/// those with the earliest step first.
pub fn encode(status: &SamplerStatus) -> String {
    let mut essentials = SamplerStatus {
        store_fault: None,
        metrics: BTreeMap::new(),
        exposure: Vec::new(),
        ..status.clone()
    };
    let mut first = json(&essentials);
    for chars in [200, 100, 50, 0] {
        if first.len() <= ESSENTIAL_BYTES {
            break;
        }
        let because = essentials.decision.as_mut().map(|decision| &mut decision.because);
        let messages = [&mut essentials.source_message, &mut essentials.trainer_fault];
        for text in messages.into_iter().flatten().chain(because) {
            *text = text.chars().take(chars).collect();
        }
        first = json(&essentials);
    }
    let room = TERMINATION_MESSAGE_BYTES.saturating_sub(first.len() + 1);
    format!("{first}\n{}", details(status, room))
}

fn details(status: &SamplerStatus, room: usize) -> String {
    let mut details = Details {
        metrics: status.metrics.clone(),
        exposure: status.exposure.clone(),
    };
    let mut text = json(&details);
    if text.len() > room {
        details.exposure.clear();
        text = json(&details);
    }
    while text.len() > room {
        let oldest = details.metrics.iter().min_by_key(|(_, point)| point.step);
        let oldest = oldest.map(|(name, _)| name.clone());
        if oldest.and_then(|name| details.metrics.remove(&name)).is_none() {
            return String::new();
        }
        text = json(&details);
    }
    text
}

fn json(value: &impl serde::Serialize) -> String {
    // Strings, integers and finite numbers under string keys: there is nothing that JSON cannot hold.
    serde_json::to_string(value).unwrap_or_default()
}

/// Replaces the content of the termination log, which the kubelet made: it is mounted, so it can neither be renamed nor made.
///
/// # Errors
/// When the file is missing or cannot be written.
pub fn write(path: &Path, message: &str) -> io::Result<()> {
    OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(path)?
        .write_all(message.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::curriculum::transition::{Decision, Kind};
    use crate::sampler::contract::{IndexFault, MetricPoint, Source};

    fn status(metrics: u64, groups: usize) -> SamplerStatus {
        let point = |i: u64| {
            (
                format!("{i:0>64}"),
                MetricPoint {
                    value: -123_456_789_012_345.5,
                    step: 1_000_000 + i,
                },
            )
        };
        SamplerStatus {
            plan_digest: format!("sha256:{}", "a".repeat(64)),
            phase_index: 31,
            start_step: 999_999_999,
            end_step: 1_999_999_999,
            unheard: u32::MAX,
            decision: Some(Decision {
                kind: Kind::Advance,
                step: 1_999_999_999,
                reported: 1_999_999_998,
                because: "x".repeat(240),
                evidence: format!("sha256:{}", "c".repeat(64)),
            }),
            served_step: 1_999_999_999,
            resumed_at: None,
            trainer_fault: None,
            source: Source::UniformIndexUnusable,
            source_message: Some("ü".repeat(500)),
            index_fault: Some(IndexFault::DigestMismatch),
            store_fault: None,
            metrics: (0..metrics).map(point).collect::<BTreeMap<_, _>>(),
            exposure: vec![u64::MAX; groups],
            tokens: Some(u64::MAX),
            sequence_digest: Some(format!("sha256:{}", "b".repeat(64))),
        }
    }

    fn lines(text: &str) -> (SamplerStatus, Details) {
        assert!(text.len() <= TERMINATION_MESSAGE_BYTES, "{}", text.len());
        let (first, second) = text.split_once('\n').unwrap();
        assert!(first.len() <= ESSENTIAL_BYTES, "{}", first.len());
        (
            serde_json::from_str(first).unwrap(),
            serde_json::from_str(second).unwrap(),
        )
    }

    #[test]
    fn a_result_that_fits_is_whole() {
        let status = SamplerStatus {
            source_message: Some("gone".into()),
            ..status(10, 20)
        };
        let (essentials, details) = lines(&encode(&status));
        let whole = SamplerStatus {
            metrics: details.metrics,
            exposure: details.exposure,
            ..essentials
        };
        assert_eq!(whole, status);
    }

    #[test]
    fn exposure_goes_first_then_the_oldest_metrics() {
        let (_, details) = lines(&encode(&status(10, 256)));
        assert_eq!((details.exposure.len(), details.metrics.len()), (0, 10));
        let text = encode(&status(32, 256));
        let (_, details) = lines(&text);
        assert!(details.metrics.len() < 32);
        assert!(
            text.len() + 200 > TERMINATION_MESSAGE_BYTES,
            "no more is left out than needed: {}",
            text.len()
        );
        assert!(
            details
                .metrics
                .values()
                .all(|p| p.step >= 1_000_032 - details.metrics.len() as u64)
        );
    }

    /// Quotation marks and control characters take up to six bytes each.
    #[test]
    fn messages_of_any_length_leave_the_essentials() {
        for long in [
            "x".repeat(100_000),
            "\u{1}".repeat(1000),
            "\"".repeat(1000),
            "\u{10ffff}".repeat(1000),
        ] {
            let status = SamplerStatus {
                source_message: Some(long.clone()),
                trainer_fault: Some(long),
                ..status(32, 256)
            };
            assert_eq!(lines(&encode(&status)).0.served_step, status.served_step);
        }
    }

    #[test]
    fn the_termination_log_is_replaced_but_not_made() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        assert_eq!(write(&path, "x").unwrap_err().kind(), io::ErrorKind::NotFound);
        std::fs::write(&path, "a longer message").unwrap();
        write(&path, "short").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "short");
    }
}
