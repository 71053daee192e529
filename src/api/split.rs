//! `spec.dataset.split`: which rows are never trained on.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::curriculum::Fraction;

/// Rows that are held out of training: in no batch of any phase, with or without scores. Which they are depends on the number of rows,
/// on `heldOut` and on `seed` alone, so that runs over the same data have the same.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SplitSpec {
    /// Fraction of the rows that are held out, as a decimal string between 0 and 1, such as `"0.1"`; rounded up to whole rows.
    #[schemars(extend("x-kubernetes-validations" = [
        {"rule": "self.matches('[1-9]') && !self.matches('^0*1')", "message": "must be greater than 0 and less than 1"}]))]
    pub held_out: Fraction,
    /// Seed of the choice; `spec.seed` plays no part in it. Default 0.
    #[serde(default)]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub seed: i64,
}
