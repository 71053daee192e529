//! Batches that are counted in tokens.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A bound on the tokens of a global batch. While no lengths are known, as after scoring has failed, a batch has ⌊budget / maxLength⌋ rows.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "self.maxLength <= self.budget", "message": "`maxLength` must not be greater than `budget`: the longest row must fit into a batch",
     "fieldPath": ".maxLength"}
]))]
pub struct BatchTokensSpec {
    /// Most tokens of a global batch. A row that does not fit any more begins the next batch.
    #[schemars(range(min = 1, max = 1_099_511_627_776_i64))]
    pub budget: i64,
    /// Tokens that a longer row counts as: the trainer cuts it there. A row of unknown length counts as so many too.
    #[schemars(range(min = 1, max = 4_294_967_295_i64))]
    pub max_length: i64,
    /// Name of the scorer whose scores are the rows' lengths in tokens, rounded up. With weight `"0"` it is nothing but that.
    #[schemars(length(min = 1, max = 30))]
    pub length_scorer: String,
}
