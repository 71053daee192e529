//! The result of an attempt: the sampler's status as the termination message of its container.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

use super::contract::SamplerStatus;
use crate::scoring::report::TERMINATION_MESSAGE_BYTES;

/// The status as JSON of at most 4,096 bytes: the kubelet cuts longer messages, and half a JSON object is none.
///
/// What does not fit is left out: first the exposure, then metrics, those with the earliest step first.
pub fn encode(status: &SamplerStatus) -> String {
    let mut status = status.clone();
    let mut text = json(&status);
    if text.len() > TERMINATION_MESSAGE_BYTES {
        status.exposure.clear();
        text = json(&status);
    }
    while text.len() > TERMINATION_MESSAGE_BYTES {
        let oldest = status
            .metrics
            .iter()
            .min_by_key(|(_, point)| point.step)
            .map(|(name, _)| name.clone());
        if oldest.and_then(|name| status.metrics.remove(&name)).is_none() {
            status.source_message = status.source_message.map(|m| m.chars().take(100).collect());
            return json(&status);
        }
        text = json(&status);
    }
    text
}

fn json(status: &SamplerStatus) -> String {
    // Strings, integers and finite numbers under string keys: there is nothing that JSON cannot hold.
    serde_json::to_string(status).unwrap_or_default()
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
    use std::collections::BTreeMap;

    use super::*;
    use crate::sampler::contract::{MetricPoint, Source};

    fn status(metrics: u64, groups: usize) -> SamplerStatus {
        let point = |i: u64| {
            (
                format!("{i:0>64}"),
                MetricPoint {
                    value: -1.234_567_890_123_456_7e-300,
                    step: 1_000_000 + i,
                },
            )
        };
        SamplerStatus {
            plan_digest: format!("sha256:{}", "a".repeat(64)),
            phase_index: 31,
            start_step: 999_999_999,
            end_step: 1_999_999_999,
            served_step: 1_999_999_999,
            resumed_at: None,
            trainer_fault: None,
            source: Source::UniformIndexUnusable,
            source_message: Some("ü".repeat(500)),
            metrics: (0..metrics).map(point).collect::<BTreeMap<_, _>>(),
            exposure: vec![u64::MAX; groups],
            sequence_digest: Some(format!("sha256:{}", "b".repeat(64))),
        }
    }

    #[test]
    fn a_result_that_fits_is_whole() {
        let status = status(10, 20);
        assert_eq!(encode(&status), serde_json::to_string(&status).unwrap());
    }

    #[test]
    fn exposure_goes_first_then_the_oldest_metrics() {
        let text = encode(&status(10, 256));
        let back: SamplerStatus = serde_json::from_str(&text).unwrap();
        assert_eq!((back.exposure.len(), back.metrics.len()), (0, 10));
        let text = encode(&status(32, 256));
        let back: SamplerStatus = serde_json::from_str(&text).unwrap();
        assert!(text.len() <= TERMINATION_MESSAGE_BYTES && back.metrics.len() < 32);
        assert!(
            text.len() + 200 > TERMINATION_MESSAGE_BYTES,
            "no more is left out than needed: {}",
            text.len()
        );
        assert!(
            back.metrics
                .values()
                .all(|p| p.step >= 1_000_032 - back.metrics.len() as u64)
        );
    }

    #[test]
    fn a_message_of_any_length_fits() {
        let long = SamplerStatus {
            source_message: Some("x".repeat(100_000)),
            ..status(32, 256)
        };
        assert!(encode(&long).len() <= TERMINATION_MESSAGE_BYTES);
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
