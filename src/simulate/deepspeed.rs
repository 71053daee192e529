//! A configuration of DeepSpeed as a curriculum of one phase: its data efficiency library, or the older `curriculum_learning`.

use serde_json::{Map, Value};

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
/// Fields of the older form that are none of a metric.
const TYPE: &str = "curriculum_type";
const ENABLED: &str = "enabled";
/// Where the rows of a batch stand.
const BATCH: &str = "train_batch_size";
const MICRO_BATCH: &str = "train_micro_batch_size_per_gpu";
const ACCUMULATION: &str = "gradient_accumulation_steps";

/// What was found in a file.
#[derive(Debug)]
pub struct Found {
    /// Where the metric stands; empty if it is the whole file.
    pub path: String,
    /// The metric.
    pub metric: Value,
    /// Rows of a batch.
    pub batch_size: i32,
    /// What was assumed, and what is not the same here as there; for whoever reads the result.
    pub notes: Vec<String>,
}

/// The one metric of a configuration: the whole configuration of a training run, a part of it that holds the metrics, or the
/// metric itself; of the older form too. `None` when the value is no such thing.
pub fn find(value: &Value) -> Option<Result<Found, PlanError>> {
    let library = value
        .pointer("/data_efficiency/data_sampling/curriculum_learning")
        .is_some();
    let older = !library && value.get(PATH[2]).is_some_and(is_metric);
    let from = match older {
        true => Some(2),
        false => PATH.iter().position(|name| value.get(name).is_some()),
    };
    if from.is_none() && !is_metric(value) {
        return None;
    }
    let path = match from {
        // The older form: the schedule stands right there, without a metric's name.
        Some(_) if older => &PATH[2..3],
        Some(from) => &PATH[from..],
        None => &[],
    };
    Some(descend(value, path))
}

fn is_metric(value: &Value) -> bool {
    [
        "schedule_type",
        "schedule_config",
        "min_difficulty",
        "max_difficulty",
        TYPE,
    ]
    .iter()
    .any(|name| value.get(name).is_some())
}

fn fail<T>(field: &str, problem: impl Into<String>) -> Result<T, PlanError> {
    Err(PlanError {
        field: field.to_owned(),
        problem: problem.into(),
    })
}

fn descend(whole: &Value, path: &[&str]) -> Result<Found, PlanError> {
    let mut value = whole;
    let mut field = String::new();
    let mut notes = Vec::new();
    for name in path {
        field = join(&field, name);
        match value.get(name) {
            Some(inner) => value = inner,
            None => return fail(&field, "is missing; it leads to the metric"),
        }
        // A snippet that begins further down has left out what is around it, but not these.
        if *name != PATH[3] {
            check_enabled(&field, value, &mut notes)?;
        }
    }
    if !is_metric(value) {
        let metrics: Vec<_> = value.as_object().into_iter().flatten().collect();
        match metrics[..] {
            [(name, metric)] => {
                field = join(&field, name);
                value = metric;
            }
            [] => return fail(&field, "has no metric; expected is one"),
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
    let mut metric = value.clone();
    if let Some(fields) = metric.as_object_mut() {
        strip(&field, path.is_empty(), fields, &mut notes)?;
    }
    let batch_size = batch_size(whole, &mut notes)?;
    Ok(Found {
        path: field,
        metric,
        batch_size,
        notes,
    })
}

/// DeepSpeed trains without a curriculum where one of the sections is not enabled.
fn check_enabled(field: &str, section: &Value, notes: &mut Vec<String>) -> Result<(), PlanError> {
    let name = join(field, ENABLED);
    match section.get(ENABLED) {
        Some(Value::Bool(true)) => Ok(()),
        Some(Value::Bool(false)) => fail(
            &name,
            "is false: DeepSpeed trains without this curriculum, and there is nothing to simulate; set it to true to see the schedule",
        ),
        Some(other) => fail(&name, format!("{other} is neither true nor false")),
        None => {
            notes.push(format!(
                "`{name}` is missing, which DeepSpeed takes as false: simulated as if it were true."
            ));
            Ok(())
        }
    }
}

/// Takes the fields of the older form out of a metric, and says what they mean.
fn strip(
    field: &str,
    whole_file: bool,
    metric: &mut Map<String, Value>,
    notes: &mut Vec<String>,
) -> Result<(), PlanError> {
    let kind = metric.remove(TYPE);
    match &kind {
        None => {}
        Some(Value::String(kind)) if kind == "seqlen" => notes.push(
            "DeepSpeed's `curriculum_learning` with `curriculum_type: seqlen` shows all rows and cuts each to the length of the step; \
             here the rows of at most that length are admitted whole."
                .to_owned(),
        ),
        Some(other) => return fail(&join(field, TYPE), format!("{other} is not \"seqlen\", the only one there is")),
    }
    let enabled = metric.remove(ENABLED);
    if let (true, Some(enabled)) = (whole_file, enabled) {
        let mut section = Map::new();
        section.insert(ENABLED.to_owned(), enabled);
        check_enabled(field, &Value::Object(section), notes)?;
    }
    Ok(())
}

/// Rows of a batch: `train_batch_size`, else those of one worker in all its micro batches, else 1. What is `"auto"` is not known.
fn batch_size(whole: &Value, notes: &mut Vec<String>) -> Result<i32, PlanError> {
    let mut rows = |name: &str| match whole.get(name) {
        None => Ok(None),
        Some(Value::String(auto)) if auto == "auto" => {
            notes.push(format!(
                "`{name}` is \"auto\": the trainer fills it in, here it is not known."
            ));
            Ok(None)
        }
        Some(given) => match given.as_i64().filter(|&rows| rows > 0) {
            Some(rows) => Ok(Some(rows)),
            None => fail(name, format!("{given} is no number such as 64")),
        },
    };
    let [whole_batch, micro, accumulation] = [rows(BATCH)?, rows(MICRO_BATCH)?, rows(ACCUMULATION)?];
    let of_one = micro.map(|micro| (micro, accumulation.unwrap_or(1)));
    let size = match (whole_batch, of_one) {
        (Some(rows), _) => Some(rows),
        (None, Some((micro, accumulation))) => {
            notes.push(format!(
                "A batch is assumed to have {micro} × {accumulation} rows, `{MICRO_BATCH}` × `{ACCUMULATION}` of one worker; with \
                 W workers it has W times as many: set `{BATCH}`."
            ));
            micro.checked_mul(accumulation)
        }
        (None, None) => {
            notes.push(format!("A batch is assumed to have 1 row: set `{BATCH}`."));
            Some(1)
        }
    };
    let field = if whole_batch.is_some() { BATCH } else { MICRO_BATCH };
    match size.and_then(|rows| i32::try_from(rows).ok()) {
        Some(rows) => Ok(rows),
        None => fail(field, "makes more rows of a batch than are possible"),
    }
}

fn join(parent: &str, child: &str) -> String {
    match parent {
        "" => child.to_owned(),
        parent => format!("{parent}.{child}"),
    }
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
        course: None,
        batch_size,
        batch_tokens: None,
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
            advance: None,
            regress: None,
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
