//! Paths on the store.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::companions::Companions;
use super::dataset::{Disk, LocalDisk};
use super::error::ScoringError;
use super::fingerprint::Fingerprint;
use super::task::Task;
use crate::curriculum::filter::Filtered;
use crate::curriculum::split::HeldOut;
use crate::index::summary::IndexSummary;
use crate::store::Shared;

/// Name of the file beside a manifest that holds where each row begins.
pub const OFFSETS: &str = "offsets.u64";
/// Name of the file beside a manifest that holds the rows to train on, where a filter leaves some out.
pub const TRAINED: &str = "trained.u64";

/// What there is on the store, and where; its layout is in `docs/design/contracts.md` under "The store".
#[derive(Clone, Debug)]
pub struct Store {
    shared: Shared,
    disk: Arc<dyn Disk>,
}

/// Summary of an index on the store: what the controller sees, and what only the store needs.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct StoredSummary {
    /// When the index was written, as RFC 3339 in UTC.
    pub created: jiff::Timestamp,
    /// Length of `index.arrow` in bytes.
    pub bytes: u64,
    /// Which content of the data set was scored. Versions before this field did not keep it: such an index is of unknown data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Fingerprint>,
    /// Rows that are held out of training: they stand at the end of the index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_out: Option<HeldOut>,
    /// Rows that a filter leaves out, among those at the end of the index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filtered: Option<Filtered>,
    /// Which content of files beside the data the scorers read.
    #[serde(default, skip_serializing_if = "Companions::is_empty")]
    pub companions: Companions,
    /// The aggregates.
    #[serde(flatten)]
    pub summary: IndexSummary,
}

/// A shard of a task: completion `index` of `count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// From 0.
    pub index: u32,
    /// Number of shards, at least 1.
    pub count: u32,
}

impl Shard {
    /// The shard's rows of a data set of `rows` rows: ⌊iN/n⌋..⌊(i+1)N/n⌋.
    pub fn rows(self, rows: u64) -> std::ops::Range<u64> {
        let bound = |index: u32| {
            let bound = u128::from(rows) * u128::from(index) / u128::from(self.count);
            u64::try_from(bound).unwrap_or(rows)
        };
        bound(self.index)..bound(self.index + 1)
    }

    /// Name of the shard's files without extension, such as `0-of-4`: shards of another division of the same rows do not mix with them.
    pub fn stem(self) -> String {
        format!("{}-of-{}", self.index, self.count)
    }
}

impl Store {
    /// The store in a folder.
    pub fn new(shared: Shared) -> Self {
        Self::on(Arc::new(LocalDisk), shared)
    }

    /// The store in a folder of a disk, from which the data set is read too.
    pub fn on(disk: Arc<dyn Disk>, shared: Shared) -> Self {
        Self { shared, disk }
    }

    /// The folder, and how its files get to other pods.
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// What files are read from once they are [pulled](Shared::pull).
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// Length of a file in bytes.
    ///
    /// # Errors
    /// Those of the disk, or of the store.
    pub fn bytes(&self, path: &Path) -> Result<u64, ScoringError> {
        if self.shared.is_remote() {
            return Ok(self.shared.bytes(path)?);
        }
        let found = self.disk.look(path);
        Ok(found.map_err(|error| ScoringError::io("open", path, error))?.bytes)
    }

    fn scores(&self, task: &Task) -> PathBuf {
        self.shared.root().join("scores").join(&task.key)
    }

    /// What the inspection found.
    pub fn manifest(&self, task: &Task) -> PathBuf {
        self.scores(task).join("manifest.json")
    }

    /// Where each row of text begins.
    pub fn offsets(&self, task: &Task) -> PathBuf {
        self.scores(task).join(OFFSETS)
    }

    /// One byte for each row: its group's position in the manifest.
    pub fn groups(&self, task: &Task) -> PathBuf {
        self.scores(task).join("groups.u8")
    }

    /// The rows to train on, where a filter leaves some out.
    pub fn trained(&self, task: &Task) -> PathBuf {
        self.scores(task).join(TRAINED)
    }

    /// The rows that people ranked, with their ranks.
    pub fn overrides(&self, task: &Task) -> PathBuf {
        self.scores(task).join("overrides.csv")
    }

    /// Token counts of a shard.
    pub fn counts(&self, task: &Task, scorer: &str, shard: Shard) -> PathBuf {
        self.scores(task)
            .join(".counts")
            .join(scorer)
            .join(format!("{}.json", shard.stem()))
    }

    /// Sketches of a shard's texts.
    pub fn sketches(&self, task: &Task, scorer: &str, shard: Shard) -> PathBuf {
        self.scores(task)
            .join(".counts")
            .join(scorer)
            .join(format!("{}.sketches", shard.stem()))
    }

    /// Sums of a shard's embeddings.
    pub fn sums(&self, task: &Task, scorer: &str, shard: Shard) -> PathBuf {
        self.scores(task)
            .join(".counts")
            .join(scorer)
            .join(format!("{}.sums", shard.stem()))
    }

    /// Token counts of all shards together.
    pub fn all_counts(&self, task: &Task, scorer: &str) -> PathBuf {
        self.scores(task)
            .join(".counts")
            .join(scorer)
            .join(format!("all-of-{}.json", task.shards))
    }

    /// Folder of a scorer's shard files.
    pub fn scorer(&self, task: &Task, scorer: &str) -> PathBuf {
        self.scores(task).join(scorer)
    }

    /// Folder of the folders for programs to write into before their file is renamed.
    pub fn scratch(&self, task: &Task) -> PathBuf {
        self.scores(task).join(".scratch")
    }

    /// The score index of a key.
    pub fn index(&self, key: &str) -> PathBuf {
        self.shared.root().join("index").join(key).join("index.arrow")
    }

    /// Summary of the score index of a key: its presence says that the index is complete.
    pub fn summary(&self, key: &str) -> PathBuf {
        self.shared.root().join("index").join(key).join("summary.json")
    }

    /// The data set's record of the index of a key: its summary.
    pub fn record(&self, task: &Task, key: &str) -> PathBuf {
        self.indexes(task).join(format!("{key}.json"))
    }

    /// Folder of the summaries of a data set's indexes.
    pub fn indexes(&self, task: &Task) -> PathBuf {
        self.shared
            .root()
            .join("datasets")
            .join(&task.dataset_key)
            .join("indexes")
    }
}
