//! What `curriculum inspect` leaves on the store for the commands that follow.

use serde::{Deserialize, Serialize};

use super::error::ScoringError;
use super::fingerprint::Fingerprint;
use super::store::{Store, read_json};
use super::task::Task;
use super::tokens::TokenizerDigests;

/// Version of the manifest's format.
pub const MANIFEST_VERSION: u32 = 2;

/// Rows between two recorded offsets.
pub const OFFSET_STRIDE: u64 = 4096;

/// Shape of a data set.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Manifest {
    /// Always [`MANIFEST_VERSION`].
    pub version: u32,
    /// Rows.
    pub rows: u64,
    /// Which content of the file was inspected.
    pub source: Fingerprint,
    /// Which content of the tokenizers' files was there; what could not be read is left out.
    #[serde(default, skip_serializing_if = "TokenizerDigests::is_empty")]
    pub tokenizers: TokenizerDigests,
    /// Rows that are bad as a whole, such as lines that are no JSON: at most the task's `maxBadRows`.
    #[serde(default)]
    pub bad_rows: u64,
    /// The groups' values, ordered; empty without a group column.
    pub group_names: Vec<String>,
    /// Rows of each group.
    pub group_rows: Vec<u64>,
    /// Where rows begin: entry k is the offset of row k·[`OFFSET_STRIDE`] in bytes of the text, unpacked where the file is packed.
    /// Empty for Parquet, which has its own index.
    pub offsets: Vec<u64>,
}

impl Manifest {
    /// The manifest of a task.
    ///
    /// # Errors
    /// When `curriculum inspect` has not run for this task, or the file is not readable.
    pub fn load(store: &Store, task: &Task) -> Result<Self, ScoringError> {
        let path = store.manifest(task);
        let manifest: Self = read_json(&path)?;
        if manifest.version != MANIFEST_VERSION {
            return Err(ScoringError::store(
                &path,
                format!("its version is {}", manifest.version),
            ));
        }
        Ok(manifest)
    }

    /// Where to start reading for row `row`: the recorded offset at or before it, and how many rows to skip from there.
    pub fn seek(&self, row: u64) -> Option<(u64, u64)> {
        let entry = usize::try_from(row / OFFSET_STRIDE)
            .ok()?
            .min(self.offsets.len().checked_sub(1)?);
        Some((self.offsets[entry], row - entry as u64 * OFFSET_STRIDE))
    }
}
