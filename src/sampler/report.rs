//! What the trainer measured: `POST /v1/report`, parsed, checked and kept. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::contract::{MAX_METRIC_NAME, MAX_METRICS, MetricPoint};
use crate::curriculum::plan::MAX_GROUPS;
use crate::curriculum::transition::{Evidence, is_metric};

/// Bytes of one report.
pub const REPORT_BYTES: usize = 64 * 1024;

/// A request that cannot be answered: what is wrong with which value, and what would be right. For the caller, as status 400.
#[derive(thiserror::Error, Clone, Debug, PartialEq, Eq)]
#[error("{0}")]
pub struct BadRequest(pub String);

/// Metrics measured at a step.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Step: this many batches had been trained on, counted over the whole run.
    pub step: u64,
    /// Name → finite value.
    pub metrics: BTreeMap<String, f64>,
    /// Group → name → finite value.
    pub groups: BTreeMap<u32, BTreeMap<String, f64>>,
}

impl Report {
    /// Reads the body of a report about a phase of the steps `start..end`.
    ///
    /// # Errors
    /// When it is not an object of `step`, `metrics` and `groups` with numbers that are finite. Nothing of such a report is kept.
    pub fn parse(body: &[u8], start: u64, end: u64) -> Result<Self, BadRequest> {
        let value: Value = serde_json::from_slice(body).map_err(|e| BadRequest(not_json(body, &e)))?;
        let Value::Object(mut fields) = value else {
            return Err(BadRequest(format!(
                "the body is {}; expected an object like {EXAMPLE}",
                kind(&value)
            )));
        };
        let step = step(fields.remove("step"), start, end)?;
        let metrics = numbers(
            "metrics",
            fields.remove("metrics").unwrap_or_else(|| Value::Object(Map::new())),
        )?;
        let groups = fields.remove("groups").map_or_else(|| Ok(BTreeMap::new()), groups)?;
        match fields.keys().next() {
            Some(name) => Err(BadRequest(format!(
                "`{}` is no field of a report; expected {EXAMPLE}",
                cut(name)
            ))),
            None => Ok(Self { step, metrics, groups }),
        }
    }
}

impl Report {
    /// What a transition may look at.
    pub fn evidence(&self) -> Evidence<'_> {
        Evidence {
            step: self.step,
            metrics: &self.metrics,
            groups: &self.groups,
        }
    }
}

const EXAMPLE: &str = r#"{"step": 800, "metrics": {"val_accuracy": 0.883}, "groups": {"3": {"val_accuracy": 0.71}}}"#;

fn not_json(body: &[u8], error: &serde_json::Error) -> String {
    let text = String::from_utf8_lossy(body);
    let not_finite = ["NaN", "Infinity", "nan", "inf"].iter().any(|word| text.contains(word));
    let hint = if not_finite || error.to_string().contains("out of range") {
        "; numbers must be finite: leave out a metric that is NaN or infinite"
    } else {
        ""
    };
    format!("the body is not JSON: {error}{hint}")
}

fn step(value: Option<Value>, start: u64, end: u64) -> Result<u64, BadRequest> {
    let wrong = |found: &str| {
        BadRequest(format!(
            "`step` is {found}; expected the number of batches trained so far, from {start} to {end}"
        ))
    };
    let value = value.ok_or_else(|| wrong("missing"))?;
    let step = value.as_u64().ok_or_else(|| wrong(&kind(&value)))?;
    if (start..=end).contains(&step) {
        Ok(step)
    } else {
        Err(wrong(&step.to_string()))
    }
}

fn groups(value: Value) -> Result<BTreeMap<u32, BTreeMap<String, f64>>, BadRequest> {
    let Value::Object(fields) = value else {
        return Err(BadRequest(format!(
            "`groups` is {}; expected an object of group → metrics",
            kind(&value)
        )));
    };
    let group = |(key, value): (String, Value)| {
        let index = key
            .parse::<u32>()
            .ok()
            .filter(|&g| (g as usize) < MAX_GROUPS)
            .ok_or_else(|| {
                BadRequest(format!(
                    "`groups` has the key `{}`; expected the number of a group, from 0 to 255",
                    cut(&key)
                ))
            })?;
        Ok((index, numbers(&format!("groups.{index}"), value)?))
    };
    fields.into_iter().map(group).collect()
}

fn numbers(field: &str, value: Value) -> Result<BTreeMap<String, f64>, BadRequest> {
    let Value::Object(fields) = value else {
        return Err(BadRequest(format!(
            "`{field}` is {}; expected an object of name → number",
            kind(&value)
        )));
    };
    let number = |(name, value): (String, Value)| {
        check_name(field, &name)?;
        let finite = value.as_f64().filter(|v| v.is_finite());
        let number = finite.ok_or_else(|| {
            BadRequest(format!(
                "`{field}.{name}` is {}; expected a finite number, or leave it out",
                kind(&value)
            ))
        })?;
        Ok((name, number))
    };
    fields.into_iter().map(number).collect()
}

fn check_name(field: &str, name: &str) -> Result<(), BadRequest> {
    if is_metric(name) {
        return Ok(());
    }
    Err(BadRequest(format!(
        "`{field}` has the name {:?}; expected 1 to {MAX_METRIC_NAME} visible ASCII characters without quotes, backslashes and spaces",
        cut(name)
    )))
}

fn cut(text: &str) -> String {
    text.chars().take(MAX_METRIC_NAME).collect()
}

fn kind(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(b) => b.to_string(),
        Value::Number(n) => n.to_string(),
        Value::String(s) => format!("the string {:?}", cut(s)),
        Value::Array(_) => "an array".into(),
        Value::Object(_) => "an object".into(),
    }
}

/// The latest value of every metric.
///
/// A value replaces an earlier one only when its step is later: the same report sent twice counts once, reports may come in any order,
/// and a trainer that restarted from a checkpoint repeats values that are known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics {
    latest: BTreeMap<String, MetricPoint>,
    groups: BTreeMap<(u32, String), MetricPoint>,
}

/// What became of a report's values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Values that are now the latest.
    pub accepted: u64,
    /// Values of a step at or before the latest one's: duplicates, and reports that came too late.
    pub ignored: u64,
    /// Values of metrics that are too many.
    pub left_out: u64,
}

impl Metrics {
    /// From a journal; what is beyond the bounds is left out.
    pub fn restore(latest: BTreeMap<String, MetricPoint>) -> Self {
        let fine = |(name, point): &(String, MetricPoint)| check_name("", name).is_ok() && point.value.is_finite();
        Self {
            latest: latest.into_iter().filter(fine).take(MAX_METRICS).collect(),
            groups: BTreeMap::new(),
        }
    }

    /// Latest value of every metric.
    pub fn latest(&self) -> &BTreeMap<String, MetricPoint> {
        &self.latest
    }

    /// Latest value of every group's metrics.
    pub fn groups(&self) -> &BTreeMap<(u32, String), MetricPoint> {
        &self.groups
    }

    /// Takes a report in.
    ///
    /// Different metrics beyond [`MAX_METRICS`] are left out: those that were there first stay, and their values still count.
    pub fn take(&mut self, mut report: Report) -> Taken {
        let known = self.latest.keys().chain(self.groups.keys().map(|(_, name)| name));
        let mut names: BTreeSet<String> = known.cloned().collect();
        let mut taken = Taken::default();
        for values in std::iter::once(&mut report.metrics).chain(report.groups.values_mut()) {
            values.retain(|name, _| {
                let fits = names.contains(name) || names.len() < MAX_METRICS;
                if fits {
                    names.insert(name.clone());
                } else {
                    taken.left_out += 1;
                }
                fits
            });
        }
        for (name, value) in report.metrics {
            taken.count(keep(
                &mut self.latest,
                name,
                MetricPoint {
                    value,
                    step: report.step,
                },
            ));
        }
        for (group, values) in report.groups {
            for (name, value) in values {
                taken.count(keep(
                    &mut self.groups,
                    (group, name),
                    MetricPoint {
                        value,
                        step: report.step,
                    },
                ));
            }
        }
        taken
    }
}

impl Taken {
    fn count(&mut self, accepted: bool) {
        *if accepted {
            &mut self.accepted
        } else {
            &mut self.ignored
        } += 1;
    }
}

fn keep<K: Ord>(latest: &mut BTreeMap<K, MetricPoint>, key: K, point: MetricPoint) -> bool {
    let newer = latest.get(&key).is_none_or(|known| known.step < point.step);
    if newer {
        latest.insert(key, point);
    }
    newer
}

#[cfg(test)]
mod tests;
