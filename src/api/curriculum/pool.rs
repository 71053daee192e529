//! Pools: which rows a phase admits.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{Fraction, PacingFunction, PacingSpec, Positive, RootDegree, Score};

/// The admitted rows: exactly one of a constant fraction, a pacing function, score thresholds and a DeepSpeed curriculum.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "[has(self.fraction), has(self.pacing), has(self.score), has(self.deepSpeed)].filter(set, set).size() == 1",
     "message": "exactly one of `fraction`, `pacing`, `score` and `deepSpeed` must be set"},
    {"rule": "!has(self.fraction) || !self.fraction.matches('^0([.]0*)?$')", "message": "`fraction` must be greater than '0': an empty pool has no rows to train on"},
    {"rule": "!has(self.window) || has(self.fraction) || has(self.pacing) && self.pacing.function != 'OnePass'",
     "message": "`window` must stand beside `fraction` or `pacing`, and not OnePass, whose buckets are windows already"},
    {"rule": "!has(self.window) || !self.window.matches('^0([.]0*)?$')", "message": "`window` must be greater than '0': an empty pool has no rows to train on"}
]))]
pub struct PoolSpec {
    /// The same fraction of the rows for the whole phase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fraction: Option<Fraction>,
    /// A fraction that changes from step to step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pacing: Option<PacingSpec>,
    /// The rows whose score is at most a threshold that may change from step to step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<ScorePoolSpec>,
    /// A schedule as DeepSpeed's data efficiency library writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deep_speed: Option<DeepSpeedSpec>,
    /// A moving band: of the admitted rows only the last ones in the order, this fraction of all rows. Default: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Fraction>,
}

/// The rows with at most a score, in the scorer's own unit. Ties are never split.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "has(self.to) || !has(self.function) && !has(self.steps) && !has(self.degree)",
     "message": "`to` must be set beside `function`, `steps` or `degree`"},
    {"rule": "!has(self.degree) || has(self.function) && self.function in ['Root', 'Polynomial']",
     "message": "`degree` must be absent but for Root and Polynomial"}
]))]
pub struct ScorePoolSpec {
    /// Greatest score admitted at the phase's first step.
    pub from: Score,
    /// Greatest score admitted at the end. Default: `from`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Score>,
    /// Shape of the way from `from` to `to`. Default Linear.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "score_functions")]
    pub function: Option<PacingFunction>,
    /// Steps from `from` to `to`. Default: the whole phase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub steps: Option<i64>,
    /// Degree of Root and Polynomial. Default 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub degree: Option<Positive>,
}

fn score_functions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "enum": ["Linear", "Quadratic", "Root", "Polynomial", "Exponential", "Logarithmic", "Step"]})
}

/// One metric of DeepSpeed's `curriculum_metrics`, with DeepSpeed's own names: its steps count from 1, difficulties are rounded down
/// to a multiple of `difficulty_step`, and once `max_difficulty` was reached it stays.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "self.min_difficulty <= self.max_difficulty", "message": "`min_difficulty` must not be greater than `max_difficulty`"},
    {"rule": "(self.schedule_type == 'fixed_discrete') == has(self.schedule_config.difficulty)",
     "message": "`schedule_config.difficulty` and `max_step` must be set for fixed_discrete, and only for it"},
    {"rule": "(self.schedule_type != 'fixed_discrete') == has(self.schedule_config.total_curriculum_step)",
     "message": "`schedule_config.total_curriculum_step` and `difficulty_step` must be set for fixed_linear and fixed_root, and only for them"},
    {"rule": "(self.schedule_type == 'fixed_root') == has(self.schedule_config.root_degree)",
     "message": "`schedule_config.root_degree` must be set for fixed_root, and only for it"}
]))]
pub struct DeepSpeedSpec {
    /// Difficulty at the start.
    #[schemars(range(min = 0, max = 1_000_000_000))]
    pub min_difficulty: i64,
    /// Difficulty at the end.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub max_difficulty: i64,
    /// Shape of the schedule.
    pub schedule_type: DeepSpeedSchedule,
    /// Parameters of the schedule.
    pub schedule_config: DeepSpeedConfig,
    /// `value`: rows whose score is at most the difficulty. `percentile`: the difficulty is a percentage of the rows. Default value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difficulty_type: Option<DeepSpeedDifficulty>,
    /// Accepted so that a configuration can be pasted; rows are never clustered here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub clustering_type: Option<String>,
    /// Accepted so that a configuration can be pasted; the score index takes its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub index_to_sample_path: Option<String>,
    /// Accepted so that a configuration can be pasted; the score index takes its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub index_to_metric_path: Option<String>,
}

/// Schedules of DeepSpeed.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(extend("type" = "string"))]
pub enum DeepSpeedSchedule {
    /// Linear in the step.
    FixedLinear,
    /// The root of degree `root_degree` of the step.
    FixedRoot,
    /// A list of difficulties, each up to and including a step.
    FixedDiscrete,
}

/// What a difficulty of DeepSpeed counts.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(extend("type" = "string"))]
pub enum DeepSpeedDifficulty {
    /// The score itself.
    #[default]
    Value,
    /// Parts of the rows: `max_difficulty` is all of them.
    Percentile,
}

/// `schedule_config` of DeepSpeed.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "has(self.total_curriculum_step) == has(self.difficulty_step)", "message": "`total_curriculum_step` and `difficulty_step` must be set together"},
    {"rule": "has(self.difficulty) == has(self.max_step)", "message": "`difficulty` and `max_step` must be set together"},
    {"rule": "!has(self.difficulty) || !has(self.max_step) || self.difficulty.size() == self.max_step.size() + 1",
     "message": "`difficulty` must have one entry more than `max_step`: the last difficulty has no last step"}
]))]
pub struct DeepSpeedConfig {
    /// Step at which `max_difficulty` is reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub total_curriculum_step: Option<i64>,
    /// Difficulties are multiples of this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub difficulty_step: Option<i64>,
    /// Degree of the root: a whole number, or a decimal string such as `"0.5"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_degree: Option<RootDegree>,
    /// The difficulties, one after the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), inner(range(min = 1, max = 1_000_000_000)))]
    pub difficulty: Option<Vec<i64>>,
    /// The last step of each difficulty but the last, ascending.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255), inner(range(min = 0, max = 1_000_000_000)))]
    pub max_step: Option<Vec<i64>>,
}
