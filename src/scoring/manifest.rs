//! What `curriculum inspect` leaves on the store for the commands that follow.

use std::fs;
use std::iter;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::companions::Companions;
use super::error::ScoringError;
use super::fingerprint::Fingerprint;
use super::overrides::Found;
use super::store::Store;
use super::task::{Format, Task};
use crate::curriculum::filter::Filtered;
use crate::curriculum::split::{HeldOut, Split};

/// Version of the manifest's format.
pub const MANIFEST_VERSION: u32 = 3;
/// Version before the data set could have several files.
const OF_ONE_FILE: u32 = 2;

/// Shape of a data set.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// [`MANIFEST_VERSION`], or a version before that is still read.
    pub version: u32,
    /// Format of the files. A version before did not keep it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// Of CSV: what separates the fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<char>,
    /// Rows.
    pub rows: u64,
    /// Which content of the files was inspected.
    pub source: Fingerprint,
    /// Rows that are held out of training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_out: Option<HeldOut>,
    /// Further rows, which a filter leaves out, and the digest of the file of those that are trained on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filtered: Option<Filtered>,
    /// Which content of files beside the data was there that scorers read; what could not be read is left out.
    #[serde(default, skip_serializing_if = "Companions::is_empty")]
    pub companions: Companions,
    /// What people said of the rows; absent where nobody is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overrides: Option<Found>,
    /// Rows that are bad as a whole, such as lines that are no JSON: at most the task's `maxBadRows`.
    #[serde(default)]
    pub bad_rows: u64,
    /// The groups' values, ordered; empty without a group column.
    pub group_names: Vec<String>,
    /// Rows of each group, held-out ones included.
    pub group_rows: Vec<u64>,
    /// Rows of each group that are held out; empty without groups, and where none are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held_out_group_rows: Vec<u64>,
    /// Rows of each group that the filter leaves out, of those that are not held out; empty without groups or
    /// filter.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filtered_group_rows: Vec<u64>,
    /// The files, in the order of their rows: row numbers run on from one to the next.
    #[serde(default)]
    pub files: Vec<SourceFile>,
}

/// A file of a data set.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SourceFile {
    /// Path relative to the volume's root.
    pub path: String,
    /// Rows.
    pub rows: u64,
    /// Length in bytes.
    pub bytes: u64,
    /// Digest of its ends, see [`super::fingerprint`].
    pub edges: String,
}

impl Manifest {
    /// Reads a manifest. In one of an earlier version the only file has the name `only`.
    ///
    /// # Errors
    /// In words, when it is none.
    pub fn parse(json: &[u8], only: &str) -> Result<Self, String> {
        let mut manifest: Self = serde_json::from_slice(json).map_err(|e| e.to_string())?;
        match manifest.version {
            MANIFEST_VERSION => {}
            OF_ONE_FILE => {
                manifest.files = vec![SourceFile {
                    path: only.to_owned(),
                    rows: manifest.rows,
                    bytes: manifest.source.bytes,
                    edges: manifest.source.edges.clone(),
                }];
            }
            other => return Err(format!("its version is {other}")),
        }
        let rows = manifest
            .files
            .iter()
            .try_fold(0_u64, |rows, file| rows.checked_add(file.rows));
        if rows != Some(manifest.rows) {
            return Err(format!("its files have not {} rows together", manifest.rows));
        }
        Ok(manifest)
    }

    /// The manifest of a task.
    ///
    /// # Errors
    /// When `curriculum inspect` has not run for this task, or the file is not readable.
    pub fn load(store: &Store, task: &Task) -> Result<Self, ScoringError> {
        let path = store.manifest(task);
        store.shared().pull(&path)?;
        let json = fs::read(&path).map_err(|e| ScoringError::io("read", &path, e))?;
        let only = task.path.as_deref().unwrap_or_default();
        Self::parse(&json, only).map_err(|e| ScoringError::store(&path, e))
    }

    /// Rows to train on.
    pub fn trained_rows(&self) -> u64 {
        let held_out = self.held_out.map_or(0, |held_out| held_out.rows);
        let filtered = self.filtered.as_ref().map_or(0, |filtered| filtered.rows);
        self.rows.saturating_sub(held_out).saturating_sub(filtered)
    }

    /// Of these, the rows of each group.
    pub fn trained_group_rows(&self) -> Vec<u64> {
        let held_out = self.held_out_group_rows.iter().chain(iter::repeat(&0));
        let filtered = self.filtered_group_rows.iter().chain(iter::repeat(&0));
        let apart = held_out.zip(filtered);
        let of_group = |(rows, (held_out, filtered)): (&u64, (&u64, &u64))| {
            rows.saturating_sub(*held_out).saturating_sub(*filtered)
        };
        self.group_rows.iter().zip(apart).map(of_group).collect()
    }

    /// Rows that are bad as a whole and may be trained on: none with a filter, whose conditions they do not
    /// meet.
    pub fn trained_bad_rows(&self, task: &Task) -> u64 {
        if task.filter.is_empty() { self.bad_rows } else { 0 }
    }

    /// The held-out rows and all others, where rows are held out.
    pub fn split(&self) -> Option<Split> {
        self.held_out.map(|held_out| Split::new(self.rows, held_out))
    }

    /// Each file with its rows of the whole data set.
    pub fn spans(&self) -> impl Iterator<Item = (&SourceFile, Range<u64>)> {
        let mut next = 0;
        self.files.iter().map(move |file| {
            let first = next;
            next += file.rows;
            (file, first..next)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EARLIER: &[u8] = br#"{"version":2,"rows":5,"source":{"bytes":9,"edges":"sha256:00"},"badRows":0,
        "groupNames":[],"groupRows":[],"offsets":[4]}"#;

    #[test]
    fn a_manifest_of_the_release_before_has_one_file() {
        let manifest = Manifest::parse(EARLIER, "a.csv").unwrap();
        let spans: Vec<_> = manifest.spans().collect();
        let [(file, rows)] = &spans[..] else {
            panic!("{spans:?}")
        };
        assert_eq!((file.path.as_str(), file.bytes, rows), ("a.csv", 9, &(0..5)));
    }

    #[test]
    fn what_is_no_manifest_is_refused() {
        let text = String::from_utf8_lossy(EARLIER);
        let newer = text.replace("\"version\":2", "\"version\":4");
        assert_eq!(Manifest::parse(newer.as_bytes(), "").unwrap_err(), "its version is 4");
        let short = text.replace("\"version\":2", "\"version\":3");
        assert_eq!(
            Manifest::parse(short.as_bytes(), "").unwrap_err(),
            "its files have not 5 rows together"
        );
    }
}
