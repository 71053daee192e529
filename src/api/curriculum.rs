//! `spec.curriculum`: what is shown to the model, and when. Readable without Kubernetes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A number from 0 to 1 as a decimal string with at most 9 digits after the point, such as `"0.25"`.
/// Strings, because an API with floats rounds differently in every client.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(transparent)]
pub struct Fraction(
    #[schemars(length(min = 1, max = 11), regex(pattern = r"^(0(\.[0-9]{1,9})?|1(\.0{1,9})?)$"), extend("x-kubernetes-validations" = [
        {"rule": "self.matches('^(0([.][0-9]{1,9})?|1([.]0{1,9})?)$')",
         "message": "must be a decimal number from '0' to '1' with at most 9 digits after the point, such as '0.25'"}]))]
    pub String,
);

impl From<&str> for Fraction {
    fn from(s: &str) -> Self {
        Self(s.to_owned())
    }
}

/// The schedule of a run: an ordered list of phases over the rows of the data set.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    // Malformed numbers are named by the rule of their own field; here they must only not fail the conversion.
    {"rule": "has(self.uniformFloor) && !self.uniformFloor.matches('^[01]([.][0-9]+)?$') || self.phases.all(p, \
              has(p.replay) && !p.replay.matches('^[01]([.][0-9]+)?$') || \
              (has(p.replay) ? double(p.replay) : 0.0) + (has(self.uniformFloor) ? double(self.uniformFloor) : 0.0) < 1.0)",
     "message": "`uniformFloor` plus a phase's `replay` must be less than 1, so that the phase's own pool keeps a share of every batch"},
    {"rule": "self.phases.size() == 0 || !has(self.phases[0].replay) || self.phases[0].replay.matches('^0([.]0*)?$')",
     "message": "`phases[0].replay` must be absent or '0': the first phase has no earlier phase to replay", "fieldPath": ".phases"}
]))]
pub struct CurriculumSpec {
    /// Rows in one global batch, that is, one step of the whole training job.
    #[schemars(range(min = 1, max = 1_048_576))]
    pub batch_size: i32,
    /// Which rows come first. `Random` keeps the pool sizes but ignores the scores: the control arm of an experiment.
    #[serde(default)]
    pub order: Order,
    /// `Group`: the pool holds the first fraction of every group of `dataset.groupColumn`. `None`: of all rows together.
    #[serde(default)]
    pub balance: Balance,
    /// Share of every batch drawn uniformly from all rows, so that no row is starved. Default `"0"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uniform_floor: Option<Fraction>,
    /// The phases, in the order in which they run. At most 32.
    #[schemars(length(min = 1, max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub phases: Vec<PhaseSpec>,
}

/// Which rows come first.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub enum Order {
    /// Lowest score first.
    #[default]
    EasyFirst,
    /// Highest score first.
    HardFirst,
    /// An order drawn from the seed, independent of the scores.
    Random,
}

/// How the pool is spread over groups.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub enum Balance {
    /// One order over all rows.
    #[default]
    None,
    /// One order per group; the pool holds the same fraction of each.
    Group,
}

/// A named stretch of the curriculum, run by training Jobs of its own.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "!has(self.pool.pacing) || !has(self.duration.steps) || !has(self.pool.pacing.steps) || self.pool.pacing.steps <= self.duration.steps",
     "message": "`pool.pacing.steps` must not be greater than `duration.steps`: the pacing would not end within the phase"}
]))]
pub struct PhaseSpec {
    /// Name of the phase, unique within the curriculum: lower case letters, digits and '-'.
    #[schemars(length(min = 1, max = 30), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"), extend("x-kubernetes-validations" = [
        {"rule": "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
         "message": "must consist of lower case letters, digits and '-', and begin and end with a letter or a digit"}]))]
    pub name: String,
    /// Which rows are admitted.
    pub pool: PoolSpec,
    /// How long the phase lasts.
    pub duration: DurationSpec,
    /// Share of every batch drawn from the pools of earlier phases, against forgetting. Default `"0"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<Fraction>,
}

/// The admitted rows: exactly one of a constant fraction and a pacing function.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "has(self.fraction) != has(self.pacing)", "message": "exactly one of `fraction` and `pacing` must be set"},
    {"rule": "!has(self.fraction) || !self.fraction.matches('^0([.]0*)?$')", "message": "`fraction` must be greater than '0': an empty pool has no rows to train on"}
]))]
pub struct PoolSpec {
    /// The same fraction of the rows for the whole phase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fraction: Option<Fraction>,
    /// A fraction that changes from step to step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pacing: Option<PacingSpec>,
}

/// A pacing function: progress within the phase → admitted fraction.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "!self.from.matches('^0([.]0*)?$')", "message": "`from` must be greater than '0': an empty pool has no rows to train on"},
    {"rule": "!self.to.matches('^0([.]0*)?$')", "message": "`to` must be greater than '0': an empty pool has no rows to train on"}
]))]
pub struct PacingSpec {
    /// Shape of the growth.
    pub function: PacingFunction,
    /// Fraction admitted at the phase's first step.
    pub from: Fraction,
    /// Fraction admitted from step `steps` of the phase on.
    pub to: Fraction,
    /// Steps from `from` to `to`. Default: the whole phase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub steps: Option<i64>,
}

/// Shape of a pacing function.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(extend("type" = "string"))]
pub enum PacingFunction {
    /// `from + (to − from) · t / steps`.
    Linear,
}

/// Length of a phase: exactly one of steps and epochs.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "has(self.steps) != has(self.epochs)", "message": "exactly one of `steps` and `epochs` must be set"}
]))]
pub struct DurationSpec {
    /// Global batches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub steps: Option<i64>,
    /// Passes over the phase's largest pool; the number of steps is rounded up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub epochs: Option<i32>,
}
