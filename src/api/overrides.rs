//! `spec.scoring.overrides`: what people say of rows.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{dataset::Format, schema};

/// What people say of rows, in a file on the data set's volume. It stands above what scorers say (see the guide on overrides).
///
/// A line has the row's number or id, and the columns `rank`, `who`, `when` and `reason`. `rank` is a number from 0 to 1: the row is
/// as difficult as that fraction of the others. Of several lines about a row the last one by `when` counts.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = schema::joined_file_rules()))]
pub struct OverridesSpec {
    /// The file on the data set's volume: a path relative to the volume's root, without `..`.
    #[schemars(schema_with = "schema::path_on_volume")]
    pub path: String,
    /// Format of the file. Default: by the extension of `path`. CSV has commas, `.tsv` tabs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// Column with the row's number in the data set, from 0. Default `row`, where there is no `idColumn`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub row_column: Option<String>,
    /// Column with an id of the row, in place of its number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub id_column: Option<String>,
    /// Column of the data set with the same ids. Default: of the same name as `idColumn`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub dataset_id_column: Option<String>,
    /// Whether `rank` may be `out`: such a row is in no batch, as if `dataset.filter` left it out. Then a file that cannot be used
    /// fails the run, since nobody knows the rows to train on; otherwise `onFailure` decides. Default false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub leave_out: bool,
}
