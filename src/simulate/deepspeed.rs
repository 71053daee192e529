//! A configuration of DeepSpeed's data efficiency library as a curriculum of one phase.

use serde_json::Value;

use crate::api::curriculum::{Balance, CurriculumSpec, DeepSpeedSpec, DurationSpec, Order, PhaseSpec, PoolSpec};
use crate::curriculum::plan::{MAX_STEPS, PlanError};

/// Name of the one phase.
pub const PHASE: &str = "deepspeed";

/// Where the metrics stand in a configuration.
const PATH: [&str; 4] = [
    "data_efficiency",
    "data_sampling",
    "curriculum_learning",
    "curriculum_metrics",
];

/// What was found in a file.
#[derive(Debug)]
pub struct Found {
    /// Where the metric stands; empty if it is the whole file.
    pub path: String,
    /// The metric.
    pub metric: Value,
    /// `train_batch_size`, or 1.
    pub batch_size: i32,
}

/// The one metric of a configuration: the whole configuration of a training run, a part of it that holds the metrics, or the
/// metric itself. `None` when the value is no such thing.
pub fn find(value: &Value) -> Option<Result<Found, PlanError>> {
    let from = PATH.iter().position(|name| value.get(name).is_some());
    if from.is_none() && !is_metric(value) {
        return None;
    }
    Some(descend(value, from.map_or(&[], |from| &PATH[from..])))
}

fn is_metric(value: &Value) -> bool {
    ["schedule_type", "schedule_config", "min_difficulty", "max_difficulty"]
        .iter()
        .any(|name| value.get(name).is_some())
}

fn descend(whole: &Value, path: &[&str]) -> Result<Found, PlanError> {
    let fail = |field: &str, problem: String| {
        Err(PlanError {
            field: field.to_owned(),
            problem,
        })
    };
    let mut value = whole;
    let mut field = String::new();
    for name in path {
        field = if field.is_empty() {
            (*name).to_owned()
        } else {
            format!("{field}.{name}")
        };
        match value.get(name) {
            Some(inner) => value = inner,
            None => return fail(&field, "is missing; it leads to the metric".to_owned()),
        }
    }
    if !is_metric(value) {
        let metrics = value
            .as_object()
            .map(|metrics| metrics.iter().collect::<Vec<_>>())
            .unwrap_or_default();
        match metrics[..] {
            [(name, metric)] => {
                field = format!("{field}.{name}");
                value = metric;
            }
            [] => return fail(&field, "has no metric; expected is one".to_owned()),
            _ => {
                let names: Vec<&str> = metrics.iter().map(|(name, _)| name.as_str()).collect();
                let problem = format!(
                    "has {} metrics ({}); expected is one: a row has one difficulty here. Make one of several scores with \
                     `combine: Max` in `spec.scoring`, and write its schedule as the one metric",
                    names.len(),
                    names.join(", ")
                );
                return fail(&field, problem);
            }
        }
    }
    let batch_size = match whole.get("train_batch_size") {
        None => 1,
        Some(given) => match given.as_i64().and_then(|rows| i32::try_from(rows).ok()) {
            Some(rows) => rows,
            None => return fail("train_batch_size", format!("{given} is no number of rows such as 64")),
        },
    };
    Ok(Found {
        path: field,
        metric: value.clone(),
        batch_size,
    })
}

/// The curriculum of a metric: one phase that ends one step after the schedule's last change, at `total_curriculum_step` + 1 or the
/// last `max_step` + 1. DeepSpeed's step s is step s − 1 here.
pub fn curriculum(metric: &DeepSpeedSpec, batch_size: i32) -> CurriculumSpec {
    let config = &metric.schedule_config;
    let last_change = config.max_step.iter().flatten().max().copied();
    let steps = config
        .total_curriculum_step
        .or(last_change)
        .unwrap_or(0)
        .saturating_add(1);
    CurriculumSpec {
        batch_size,
        order: Order::EasyFirst,
        balance: Balance::None,
        uniform_floor: None,
        group_shares: None,
        phases: vec![PhaseSpec {
            name: PHASE.to_owned(),
            inherit: false,
            pool: Some(PoolSpec {
                deep_speed: Some(metric.clone()),
                ..PoolSpec::default()
            }),
            duration: Some(DurationSpec {
                // What is out of bounds here is so in the metric, whose fields have their own errors.
                steps: Some(steps.clamp(1, MAX_STEPS as i64)),
                epochs: None,
            }),
            replay: None,
            hard_negatives: None,
            mixing: None,
            weighting: None,
            warm_up_steps: None,
        }],
    }
}

/// Lets the phase last until before step `end`: a configuration has no end, its last difficulty stays.
pub fn extend(spec: &mut CurriculumSpec, end: u64) {
    let durations = spec.phases.iter_mut().filter_map(|phase| phase.duration.as_mut());
    for steps in durations.filter_map(|duration| duration.steps.as_mut()) {
        *steps = (*steps).max(i64::try_from(end.min(MAX_STEPS)).unwrap_or(i64::MAX));
    }
}
