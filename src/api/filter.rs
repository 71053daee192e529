//! `spec.dataset.filter`: which rows are rows of the run at all.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::curriculum::Score;

/// A condition that a row meets or not, by its value in one column. A row is trained on when it meets all of
/// them.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "[has(self.__in__), has(self.notIn), has(self.min) || has(self.max)].exists_one(x, x)",
     "message": "exactly one of `in`, `notIn`, and `min` or `max` or both must be set"},
    {"rule": "!has(self.min) || !has(self.max) || ![self.min, self.max].all(n, n.matches('^-?[0-9]{1,9}([.][0-9]{1,6})?$')) || double(self.min) <= double(self.max)",
     "message": "`min` must not be greater than `max`", "fieldPath": ".min"}
]))]
pub struct FilterSpec {
    /// Name of the column.
    #[schemars(length(min = 1, max = 256))]
    pub column: String,
    /// The row's value is one of these, as text; a row without a value does not match. Values have the names
    /// that the values of `groupColumn` have: a whole number has no point.
    #[serde(rename = "in", default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 256)))]
    pub is_in: Vec<String>,
    /// The row's value is none of these; a row without a value matches.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 256)))]
    pub not_in: Vec<String>,
    /// The row's value is a number of at least this, as a decimal string such as `"0.5"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<Score>,
    /// The row's value is a number of at most this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Score>,
}
