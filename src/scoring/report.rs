//! What the scoring pods tell the controller, in their termination messages (at most 4,096 bytes) and on the store.

use serde::{Deserialize, Serialize};

use crate::curriculum::filter::Filtered;
use crate::index::summary::IndexSummary;

/// Bytes that the kubelet keeps of a container's termination message, unless the pod has more than three containers: then it is less,
/// see `message.rs`.
pub const TERMINATION_MESSAGE_BYTES: usize = 4096;

/// Exit code of a command when the data set itself is at fault: neither a retry nor a fallback can help.
pub const EXIT_DATASET: u8 = 65;
/// Exit code of a command when the scores are at fault: a retry cannot help, a fallback can.
pub const EXIT_SCORES: u8 = 66;
/// Exit code of a command when it could not read or write a file: a retry may help.
pub const EXIT_IO: u8 = 74;

/// Termination message of every scoring command.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub enum Report {
    /// `curriculum inspect` succeeded.
    Inspected(Inspection),
    /// `curriculum index` succeeded.
    Indexed(IndexSummary),
    /// A command failed.
    Error(Failure),
}

/// Why a scoring command failed.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// Name of a `Reason`, such as `DatasetNotFound` or `ScoresInvalid`.
    pub reason: String,
    /// In words: the field or column, the value, counts, and what would be right. At most 1,000 characters, no sample's content.
    pub message: String,
}

/// What the inspection found.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Inspection {
    /// Rows to train on: all of the data set but for those that are held out or filtered out.
    pub rows: u64,
    /// Rows that are held out.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub held_out_rows: u64,
    /// Further rows, which the filter leaves out; `None`: there is no filter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filtered: Option<Filtered>,
    /// Rows of each group that are trained on, in the order of the groups' values; empty without a group column. At most 256.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub group_rows: Vec<u64>,
    /// Place of each of the task's `namedGroups` among the groups; `None` where the data set has no such group.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub named_groups: Vec<Option<u32>>,
    /// Rows that are bad as a whole, at most `dataset.maxBadRows`: they are rows, but have no score.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub bad_rows: u64,
    /// An index on the store that this job could use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<FoundIndex>,
    /// Why an index on the store is not used although it was made for this job's key or, where none was, for the same path: in
    /// words, such as "the data have changed: …". No word of an index that never was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_index: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde hands it over")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// An index found on the store.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct FoundIndex {
    /// True: it has this job's key and rows (`Cached`). False: an earlier one of the same data set (`LastGood`).
    pub exact: bool,
    /// Its summary. When the message would be too long, parts of it are left out: see `message.rs`.
    pub summary: IndexSummary,
}
