//! Mixing: how the rows of a batch are divided over groups, difficulties, and rows outside of the pool.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{Fraction, PacingFunction, Positive};

/// Shares of the groups in the phase's own pool, instead of shares by their rows. Exactly one of `weights` and `exponent`.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "has(self.weights) != has(self.exponent)", "message": "exactly one of `weights` and `exponent` must be set"},
    {"rule": "!has(self.finalExponent) || has(self.exponent)", "message": "`exponent` must be set beside `finalExponent`"}
]))]
pub struct MixingSpec {
    /// Weight of each group by name. Groups that are not listed get no share of the phase's own pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub weights: Option<Vec<GroupWeight>>,
    /// Weights proportional to rows^exponent: `"1"` is by rows, `"0"` makes all groups equal. What multilingual training calls
    /// a sampling temperature of 1/exponent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exponent: Option<Fraction>,
    /// Exponent at the end of the phase, with a straight line in between. Default: `exponent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub final_exponent: Option<Fraction>,
}

/// Weight of one group, and its own pool.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "!has(self.fraction) || !has(self.pacing)", "message": "at most one of `fraction` and `pacing` must be set"},
    {"rule": "!has(self.fraction) || !self.fraction.matches('^0([.]0*)?$')", "message": "`fraction` must be greater than '0': an empty pool has no rows to train on"}
]))]
pub struct GroupWeight {
    /// The group's value in `dataset.groupColumn`.
    #[schemars(length(min = 1, max = 128))]
    pub name: String,
    /// Weight at the phase's first step; the weights need not sum to 1.
    pub weight: Fraction,
    /// Weight at the end of the phase, with a straight line in between. Default: `weight`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub final_weight: Option<Fraction>,
    /// The group's own constant pool, instead of the phase's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fraction: Option<Fraction>,
    /// The group's own pacing, instead of the phase's pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pacing: Option<GroupPacing>,
}

/// A group's own pacing: a function without parameters of its own, from one fraction to another.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "!self.from.matches('^0([.]0*)?$') && (!has(self.to) || !self.to.matches('^0([.]0*)?$'))",
     "message": "`from` and `to` must be greater than '0': an empty pool has no rows to train on"}
]))]
pub struct GroupPacing {
    /// Shape of the growth, as in a phase's `pacing`; Root and Competence of degree 2.
    #[schemars(schema_with = "simple_functions")]
    pub function: PacingFunction,
    /// Fraction of the group admitted at the phase's first step.
    pub from: Fraction,
    /// Fraction admitted at the end. Default `"1"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Fraction>,
    /// Steps from `from` to `to`. Default: the whole phase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub steps: Option<i64>,
}

fn simple_functions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "enum": ["Linear", "Quadratic", "Root", "Exponential", "Logarithmic", "Step", "Competence"]})
}

/// Unequal weights within the pool: its rows are cut into bins of equal size in the order of difficulty, and bin i of n is weighted
/// e^(−d/T) with d = (i + ½)/n and temperature T, a softmax. A small T prefers the first bins, a large one makes all equal.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WeightingSpec {
    /// Number of bins.
    #[schemars(range(min = 2, max = 64))]
    pub bins: i32,
    /// Temperature at the phase's first step.
    pub temperature: Positive,
    /// Temperature at the end of the phase, with a geometric way in between ("annealing"). Default: `temperature`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub final_temperature: Option<Positive>,
}

/// A share of every batch from the other end of the order.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "!self.fraction.matches('^0([.]0*)?$')", "message": "`fraction` must be greater than '0': an empty pool has no rows to train on"}
]))]
pub struct HardNegativesSpec {
    /// Share of every batch.
    pub share: Fraction,
    /// The rows that it is drawn from: this fraction at the end of the order.
    pub fraction: Fraction,
}

/// Bounds on the share of every group in every batch of the run, over all of its parts.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "has(self.minimum) || has(self.maximum)", "message": "at least one of `minimum` and `maximum` must be set"},
    {"rule": "!has(self.minimum) || !self.minimum.matches('^[01]([.][0-9]+)?$') || double(self.minimum) <= 0.5",
     "message": "`minimum` must be at most '0.5': every group gets it, and there are at least two"},
    {"rule": "!has(self.maximum) || !self.maximum.matches('^0([.]0*)?$')", "message": "`maximum` must be greater than '0'"},
    {"rule": "!has(self.minimum) || !has(self.maximum) || !self.minimum.matches('^[01]([.][0-9]+)?$') || !self.maximum.matches('^[01]([.][0-9]+)?$') || \
              double(self.minimum) <= double(self.maximum)",
     "message": "`minimum` must not be greater than `maximum`"}
]))]
pub struct GroupSharesSpec {
    /// Least share of each group that has rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum: Option<Fraction>,
    /// Greatest share of each group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum: Option<Fraction>,
}
