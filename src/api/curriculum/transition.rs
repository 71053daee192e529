//! Transitions: what the trainer's metrics must say for a phase to end before its last step.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Fraction, Score};

/// Ends the phase before its last step, and goes on with the next one. Exactly one of `anyOf` and `allOf`.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "has(self.anyOf) != has(self.allOf)", "message": "exactly one of `anyOf` and `allOf` must be set"}
]))]
pub struct AdvanceSpec {
    /// It takes place when one of these holds. At most 8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 8), extend("x-kubernetes-list-type" = "atomic"))]
    pub any_of: Option<Vec<CriterionSpec>>,
    /// It takes place when all of these hold. At most 8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 8), extend("x-kubernetes-list-type" = "atomic"))]
    pub all_of: Option<Vec<CriterionSpec>>,
    /// Steps of the phase that are trained whatever the metrics say. Default 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub minimum_steps: Option<i64>,
}

/// Ends the phase, and goes back to an earlier one, which begins anew. Exactly one of `anyOf` and `allOf`.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "has(self.anyOf) != has(self.allOf)", "message": "exactly one of `anyOf` and `allOf` must be set"}
]))]
pub struct RegressSpec {
    /// Name of the earlier phase.
    #[schemars(length(min = 1, max = 30))]
    pub to: String,
    /// It takes place when one of these holds. At most 8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 8), extend("x-kubernetes-list-type" = "atomic"))]
    pub any_of: Option<Vec<CriterionSpec>>,
    /// It takes place when all of these hold. At most 8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 8), extend("x-kubernetes-list-type" = "atomic"))]
    pub all_of: Option<Vec<CriterionSpec>>,
    /// Steps of the phase that are trained whatever the metrics say. Default 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub minimum_steps: Option<i64>,
    /// How often this phase may be left this way in the whole run; after that it runs to its end. Default 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 8))]
    pub limit: Option<i32>,
}

/// A signal made of the trainer's reports, and exactly one test of it: `atLeast`, `atMost`, `plateau`, `slope` or `drop`.
/// It holds from the report that makes it true to the one that makes it false; before the first value it does not hold.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "[has(self.atLeast), has(self.atMost), has(self.plateau), has(self.slope), has(self.drop)].filter(given, given).size() == 1",
     "message": "exactly one of `atLeast`, `atMost`, `plateau`, `slope` and `drop` must be set"},
    {"rule": "!has(self.minus) || !has(self.groups)", "message": "at most one of `minus` and `groups` must be set"},
    {"rule": "!has(self.smoothing) || !self.smoothing.matches('^1([.]0*)?$')", "message": "`smoothing` must be less than '1': new values would count nothing",
     "fieldPath": ".smoothing"}
]))]
pub struct CriterionSpec {
    /// Name of the metric, as the trainer reports it: visible ASCII characters without quotes and backslashes.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[!#-\[\]-~]+$"))]
    pub metric: String,
    /// Name of another metric, whose latest value is taken from this one's: a gap between training and validation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[!#-\[\]-~]+$"))]
    pub minus: Option<String>,
    /// The metric of the group that has the lowest or the highest latest value, once every group has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<Extreme>,
    /// Weight b of the past in a moving average, m = b·m + (1 − b)·x, which begins with the first value. Default `"0"`: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub smoothing: Option<Fraction>,
    /// How many values in a row must pass the test. Default 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub consecutive: Option<i32>,
    /// The value is at least this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<Score>,
    /// The value is at most this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<Score>,
    /// The value gets no better.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plateau: Option<PlateauSpec>,
    /// The value goes up or down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slope: Option<SlopeSpec>,
    /// The value is worse than it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drop: Option<DropSpec>,
}

/// Which of the groups' values.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum Extreme {
    /// The lowest one.
    Lowest,
    /// The highest one.
    Highest,
}

/// Which values of a metric are better.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum Goal {
    /// Higher ones, such as those of an accuracy.
    Maximize,
    /// Lower ones, such as those of a loss.
    Minimize,
}

/// The last `patience` values were no better than the best one before them.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "!has(self.minDelta) || !self.minDelta.startsWith('-')", "message": "`minDelta` must not be negative", "fieldPath": ".minDelta"}
]))]
pub struct PlateauSpec {
    /// Which values are better.
    pub goal: Goal,
    /// By how much a value must be better than the best one to count as such. Default `"0"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_delta: Option<Score>,
    /// Values in a row that are no better.
    #[schemars(range(min = 1, max = 1000))]
    pub patience: i32,
}

/// The slope of the least-squares line through the last values, per 1,000 steps. Exactly one of `atLeast` and `atMost`.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "has(self.atLeast) != has(self.atMost)", "message": "exactly one of `atLeast` and `atMost` must be set"}
]))]
pub struct SlopeSpec {
    /// Values that the line goes through; before there are so many, the test is not passed.
    #[schemars(range(min = 2, max = 1000))]
    pub window: i32,
    /// The slope is at least this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<Score>,
    /// The slope is at most this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<Score>,
}

/// The value is worse than the best one of this visit of the phase.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "!self.by.startsWith('-')", "message": "`by` must not be negative", "fieldPath": ".by"}
]))]
pub struct DropSpec {
    /// Which values are better.
    pub goal: Goal,
    /// By at least how much it is worse.
    pub by: Score,
}

/// One visit of a course.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LegSpec {
    /// Name of the phase.
    #[schemars(length(min = 1, max = 30))]
    pub phase: String,
    /// Steps after which it is left, at most those of its `duration`. Its pool and its shares go on as they were planned for that.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub steps: i64,
}
