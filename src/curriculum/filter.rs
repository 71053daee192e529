//! Rows that a filter leaves out of training.
//!
//! Which rows these are depends on the data, so nobody can reckon it: the inspection writes the numbers of
//! the rows to train on into a file, `trained.u64`, and manifest and plan name that file by its digest. The
//! core knows no files; it only keeps the record.

use serde::{Deserialize, Serialize};

/// What a filter left, and by which file it is known.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Filtered {
    /// Rows that are filtered out; of rows that are held out, none counts here.
    pub rows: u64,
    /// Folder of the file on the store: `scores/<key>/trained.u64`.
    pub key: String,
    /// SHA-256 of that file as `sha256:…`.
    pub digest: String,
}

impl Filtered {
    /// Whether two filters leave the same rows, wherever that is written.
    pub fn same_rows(a: Option<&Self>, b: Option<&Self>) -> bool {
        match (a, b) {
            (Some(a), Some(b)) => a.rows == b.rows && a.digest == b.digest,
            (a, b) => a.is_none() && b.is_none(),
        }
    }
}
