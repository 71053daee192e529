//! Bounds on what pods say. A value that breaks one is treated as if it had not been said.

use crate::curriculum::plan::{MAX_EXACT, MAX_GROUPS};
use crate::index::summary::{IndexSummary, Overrides};
use crate::sampler::contract::{Details, MAX_METRIC_NAME, MAX_METRICS, SamplerStatus};
use crate::scoring::report::{FoundIndex, Inspection};

/// Longest foreign text that goes into a condition or an event, in characters.
const MESSAGE_CHARS: usize = 512;

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
    status.source_message = status.source_message.as_deref().map(clean);
    status.trainer_fault = status.trainer_fault.as_deref().map(clean);
    status.store_fault = status.store_fault.as_deref().map(clean);
    if let Some(decision) = &mut status.decision {
        decision.because = clean(&decision.because);
    }
    // So many do not fit into the status; the steps count all the same.
    status.tokens = status.tokens.filter(|tokens| *tokens <= MAX_EXACT);
    fits(&status).then_some(status)
}

fn fits(status: &SamplerStatus) -> bool {
    let steps = [status.start_step, status.end_step, status.served_step];
    let metrics_fit = status.metrics.len() <= MAX_METRICS
        && status
            .metrics
            .iter()
            .all(|(name, point)| is_metric_name(name) && point.value.is_finite() && point.step <= MAX_EXACT);
    is_digest(&status.plan_digest)
        && steps.iter().all(|step| *step <= MAX_EXACT)
        && (status.start_step..=status.end_step).contains(&status.served_step)
        && metrics_fit
        && fit_groups(&status.exposure)
        && status
            .resumed_at
            .is_none_or(|step| (status.start_step..=status.end_step).contains(&step))
        && status.sequence_digest.as_deref().is_none_or(is_digest)
        && status.decision.as_ref().is_none_or(|decision| {
            let within = |step| (status.start_step..=status.end_step).contains(&step);
            within(decision.step) && within(decision.reported) && is_digest(&decision.evidence)
        })
}

/// A sampler's result, if its first line is one within its bounds. The second line may be cut off anywhere, and is then left out.
pub(crate) fn sampler_result(message: &str) -> Option<SamplerStatus> {
    let (first, second) = message.split_once('\n').unwrap_or((message, ""));
    let essentials = sampler_status(first.as_bytes())?;
    let Ok(Details { metrics, exposure }) = serde_json::from_str(second) else {
        return Some(essentials);
    };
    let whole = SamplerStatus {
        metrics,
        exposure,
        ..essentials.clone()
    };
    Some(if fits(&whole) { whole } else { essentials })
}

/// The inspection, if it is within its bounds and agrees with itself. An index that does not fit the data is left out.
pub(crate) fn inspection(inspection: Inspection) -> Option<Inspection> {
    let Inspection {
        rows,
        held_out_rows,
        filtered,
        group_rows,
        named_groups,
        bad_rows,
        found,
        stale_index,
    } = inspection;
    let found = found.filter(|FoundIndex { summary, .. }| {
        is_plausible_summary(summary) && summary.rows == rows && summary.group_rows == group_rows
    });
    let places_fit = named_groups
        .iter()
        .flatten()
        .all(|&place| (place as usize) < group_rows.len());
    let filtered_rows = filtered.as_ref().map_or(0, |filtered| filtered.rows);
    let all = rows.saturating_add(held_out_rows).saturating_add(filtered_rows);
    let filter_fits = filtered
        .as_ref()
        .is_none_or(|filtered| is_hex(&filtered.key) && is_digest(&filtered.digest));
    let fits = (1..=MAX_EXACT).contains(&rows)
        && all <= MAX_EXACT
        && add_up(&group_rows, rows)
        && bad_rows <= all
        && named_groups.len() <= MAX_GROUPS
        && places_fit
        && filter_fits;
    fits.then_some(Inspection {
        rows,
        held_out_rows,
        filtered,
        group_rows,
        named_groups,
        bad_rows,
        found,
        stale_index: stale_index.as_deref().map(clean),
    })
}

/// Whether a summary is within its bounds and agrees with itself.
pub(crate) fn is_plausible_summary(summary: &IndexSummary) -> bool {
    is_hex(&summary.key)
        && is_digest(&summary.digest)
        && (1..=MAX_EXACT).contains(&summary.rows)
        && summary.scored_rows <= summary.rows
        && add_up(&summary.group_rows, summary.rows)
        && summary.lengths.is_none_or(|lengths| lengths.rows <= summary.rows)
        && summary
            .overrides
            .as_ref()
            .is_none_or(|overrides| are_plausible(overrides, summary.rows))
}

/// Whether what is told of overrides is within its bounds; `rows` are those to train on.
fn are_plausible(overrides: &Overrides, rows: u64) -> bool {
    let counts = [overrides.left_out, overrides.superseded, overrides.unknown];
    is_digest(&overrides.digest)
        && overrides.rows <= rows
        && overrides.people <= overrides.rows
        && counts.iter().all(|count| *count <= MAX_EXACT)
}

fn add_up(group_rows: &[u64], rows: u64) -> bool {
    let sum = group_rows.iter().try_fold(0_u64, |sum, rows| sum.checked_add(*rows));
    fit_groups(group_rows) && (group_rows.is_empty() || sum == Some(rows))
}

fn fit_groups(values: &[u64]) -> bool {
    values.len() <= MAX_GROUPS && values.iter().all(|value| *value <= MAX_EXACT)
}

fn is_metric_name(name: &str) -> bool {
    (1..=MAX_METRIC_NAME).contains(&name.chars().count()) && !name.chars().any(char::is_control)
}

fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(is_hex)
}

fn is_hex(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::*;
    use crate::controller::test_support::{overrides, sampler_status as status_of, summary};
    use crate::sampler::contract::MetricPoint;

    fn said() -> Value {
        let mut status = status_of(&format!("sha256:{}", "a".repeat(64)), 0, 3);
        status
            .metrics
            .insert("loss".to_owned(), MetricPoint { value: 0.5, step: 3 });
        serde_json::to_value(status).unwrap()
    }

    fn hear(said: &Value) -> Option<SamplerStatus> {
        sampler_status(said.to_string().as_bytes())
    }

    #[test]
    fn a_status_within_its_bounds_is_heard() {
        assert_eq!(hear(&said()).unwrap().served_step, 3);
    }

    #[test]
    fn a_status_that_breaks_a_bound_is_not_heard() {
        let many: BTreeMap<_, _> = (0..33)
            .map(|i| (format!("m{i}"), json!({"value": 1.0, "step": 1})))
            .collect();
        let broken = [
            ("/planDigest", json!("sha256:short")),
            ("/planDigest", json!(format!("sha256:{}", "A".repeat(64)))),
            ("/servedStep", json!(11)),
            ("/endStep", json!(1_u64 << 60)),
            ("/servedStep", json!(-1)),
            ("/metrics", json!(many)),
            ("/metrics", json!({"": {"value": 1.0, "step": 1}})),
            ("/metrics", json!({"a\nb": {"value": 1.0, "step": 1}})),
            ("/metrics", json!({"x".repeat(65): {"value": 1.0, "step": 1}})),
            ("/metrics/loss/value", json!("NaN")),
            ("/metrics/loss/step", json!(1_u64 << 60)),
        ];
        for (field, value) in broken {
            let mut said = said();
            *said.pointer_mut(field).unwrap() = value;
            assert_eq!(hear(&said), None, "{field}");
        }
        let mut said = said();
        said["exposure"] = json!(vec![1; 257]);
        assert_eq!(hear(&said), None);
        assert_eq!(sampler_status(b"{\"planDigest\":1e999}"), None);
        assert_eq!(sampler_status(b""), None);
    }

    /// 12,288 bytes over five containers.
    const SHARE: usize = 2457;

    fn result() -> SamplerStatus {
        let mut status: SamplerStatus = serde_json::from_value(said()).unwrap();
        let point = MetricPoint {
            value: 0.123_456_789,
            step: 3,
        };
        status.metrics = (0..32).map(|i| (format!("{i:0>64}"), point)).collect();
        status.exposure = vec![1 << 40; 256];
        status.source_message = Some("ü".repeat(500));
        status
    }

    #[test]
    fn a_result_that_the_kubelet_cut_still_says_what_was_served() {
        let text = crate::sampler::result::encode(&result());
        assert!(text.len() > SHARE);
        for end in [SHARE, 1024, 1100, text.len()] {
            let cut = String::from_utf8_lossy(&text.as_bytes()[..end]);
            let heard = sampler_result(&cut).unwrap();
            assert_eq!(
                (heard.served_step, heard.sequence_digest),
                (3, result().sequence_digest)
            );
            assert_eq!(
                heard.metrics.is_empty(),
                end < text.len(),
                "metrics are whole or left out"
            );
        }
        assert_eq!(sampler_result(&text[..150]), None);
    }

    #[test]
    fn a_result_of_one_line_or_with_wrong_details_is_heard_without_them() {
        assert_eq!(
            sampler_result(&said().to_string()).unwrap().metrics.len(),
            1,
            "as earlier samplers wrote it"
        );
        for second in ["{", "null", r#"{"metrics":{"":{"value":1,"step":1}}}"#] {
            let mut essentials = said();
            essentials["metrics"] = json!({});
            let heard = sampler_result(&format!("{essentials}\n{second}")).unwrap();
            assert_eq!((heard.served_step, heard.metrics.len()), (3, 0), "{second}");
        }
    }

    #[test]
    fn foreign_text_is_one_short_line() {
        assert_eq!(clean("  a\u{1b}[31m\nb\0  "), "a [31m b");
        assert_eq!(clean(&"ü".repeat(600)).chars().count(), 513);
    }

    #[test]
    fn a_summary_agrees_with_itself() {
        let good = || IndexSummary {
            group_rows: vec![60, 40],
            ..summary(&"0".repeat(64))
        };
        let with_overrides = |change: fn(&mut Overrides)| {
            let mut overrides = overrides();
            change(&mut overrides);
            IndexSummary {
                overrides: Some(overrides),
                ..good()
            }
        };
        assert!(is_plausible_summary(&good()) && is_plausible_summary(&with_overrides(|_| {})));
        let wrong = [
            IndexSummary {
                key: "../../etc".to_owned(),
                ..good()
            },
            IndexSummary {
                digest: "md5:0".to_owned(),
                ..good()
            },
            IndexSummary {
                rows: 0,
                scored_rows: 0,
                group_rows: Vec::new(),
                ..good()
            },
            IndexSummary {
                scored_rows: 101,
                ..good()
            },
            IndexSummary {
                group_rows: vec![60, 41],
                ..good()
            },
            with_overrides(|overrides| overrides.rows = 101),
            with_overrides(|overrides| overrides.people = 4),
            with_overrides(|overrides| overrides.digest = "none".to_owned()),
            with_overrides(|overrides| overrides.unknown = u64::MAX),
            IndexSummary {
                group_rows: vec![u64::MAX, 101],
                ..good()
            },
        ];
        for summary in wrong {
            assert!(!is_plausible_summary(&summary), "{summary:?}");
        }
    }
}
