//! What the inspection found of the data set's files, for trainers that read rows by their numbers.
//!
//! ```text
//! <store>/scores/<key>/manifest.json ─► GET /v1/dataset    the files, and how many rows each has
//!                      offsets.u64   ─► GET /v1/offsets    where each row begins in its file
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use axum::body::Bytes;
use serde_json::json;
use tracing::warn;

use super::report::BadRequest;
use super::sessions::Refusal;
use crate::scoring::manifest::Manifest;
use crate::scoring::offsets::Offsets;
use crate::scoring::store::OFFSETS;
use crate::store::{Shared, StoreError};

/// Rows of the longest reply with offsets.
pub const OFFSETS_ROWS: u64 = 1 << 16;

/// The files of the data set, read from the store when they are first asked for.
#[derive(Debug)]
pub struct DatasetFiles {
    store: Shared,
    manifest: Option<PathBuf>,
    known: OnceLock<Known>,
    /// One of the many workers that ask at once reads.
    reading: Mutex<()>,
}

#[derive(Debug)]
struct Known {
    rows: u64,
    reply: Bytes,
    offsets: Option<Offsets>,
}

/// Files or offsets cannot be told.
#[derive(thiserror::Error, Debug)]
pub enum FilesError {
    /// The caller can do something about it, or do without.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The store cannot be read now.
    #[error("cannot read the inspection's files on the store: {0}")]
    Io(#[from] io::Error),
}

/// A stretch of rows, as `from` and `count` of a query say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowRange {
    from: u64,
    count: u64,
}

impl RowRange {
    /// Reads `from` and `count`.
    ///
    /// # Errors
    /// When one of them is missing or no whole number, or `count` is beyond [`OFFSETS_ROWS`].
    pub fn parse(query: &BTreeMap<String, String>) -> Result<Self, BadRequest> {
        let number = |name: &str| {
            let given = query.get(name).map_or("", String::as_str);
            given
                .parse::<u64>()
                .map_err(|_| BadRequest(format!("`{name}` is `{given}`; it must be a whole number")))
        };
        let (from, count) = (number("from")?, number("count")?);
        if count > OFFSETS_ROWS {
            return Err(BadRequest(format!(
                "`count` is {count}; a reply has at most {OFFSETS_ROWS} rows"
            )));
        }
        Ok(Self { from, count })
    }
}

impl DatasetFiles {
    /// Those of the manifest at this path of the store; `None`: nothing is known of any.
    pub fn new(store: Shared, manifest: Option<PathBuf>) -> Self {
        Self {
            store,
            manifest,
            known: OnceLock::new(),
            reading: Mutex::new(()),
        }
    }

    /// Makes copies of what will be told, while the store is known to answer; what cannot be had is tried again when it is asked for.
    pub fn prepare(&self) {
        if self.store.is_remote() && self.manifest.is_some() {
            let _ = self.known();
        }
    }

    /// Format, rows and files, as JSON.
    ///
    /// # Errors
    /// [`Refusal::Unknown`] when there is no manifest.
    pub fn list(&self) -> Result<Bytes, FilesError> {
        Ok(self.known()?.reply.clone())
    }

    /// Where rows begin in their files, as little-endian u64: those of `range` that there are.
    ///
    /// # Errors
    /// [`Refusal::Unknown`] when there is no manifest, or the format needs no offsets.
    pub fn offsets(&self, range: RowRange) -> Result<Vec<u8>, FilesError> {
        let known = self.known()?;
        let Some(offsets) = &known.offsets else {
            return Err(unknown("the inspection left no offsets: Parquet needs none").into());
        };
        let from = range.from.min(known.rows);
        // At most `OFFSETS_ROWS`.
        let count = range.count.min(known.rows - from) as usize;
        Ok(offsets.read(from, count)?)
    }

    fn known(&self) -> Result<&Known, FilesError> {
        if let Some(known) = self.known.get() {
            return Ok(known);
        }
        let Some(manifest) = &self.manifest else {
            return Err(unknown("the sampler was not told of the data set's files: no scores are in use").into());
        };
        let _reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = self.known.get() {
            return Ok(known);
        }
        let read = Known::read(&self.store, manifest)?;
        Ok(self.known.get_or_init(|| read))
    }
}

impl Known {
    fn read(store: &Shared, path: &Path) -> Result<Self, FilesError> {
        let away = |error: &dyn std::fmt::Display| {
            warn!(%error, "the files of the data set cannot be told");
            unknown("the store of the scores does not answer; its files are not known here")
        };
        // Who asks goes on without, at once: a training does not wait for a store.
        match store.pull(path) {
            Err(error) if error.is_missing() => {}
            Err(error @ StoreError::Io { .. }) if store.is_remote() => return Err(away(&error).into()),
            pulled => pulled.map_err(io::Error::from)?,
        }
        let json = match fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(unknown("the store has no manifest of the inspection any more").into());
            }
            json => json?,
        };
        let invalid = |words: String| io::Error::new(io::ErrorKind::InvalidData, words);
        let manifest = Manifest::parse(&json, "").map_err(invalid)?;
        if manifest.format.is_none() {
            return Err(unknown("an earlier version inspected the data set, and did not keep its files").into());
        }
        let files: Vec<_> = manifest
            .files
            .iter()
            .map(|file| json!({"path": file.path, "rows": file.rows, "bytes": file.bytes}))
            .collect();
        let reply = json!({
            "format": manifest.format,
            "delimiter": manifest.delimiter,
            "rows": manifest.rows,
            "files": files,
        });
        Ok(Self {
            rows: manifest.rows,
            reply: Bytes::from(reply.to_string()),
            offsets: match Offsets::of_store(store, &path.with_file_name(OFFSETS), manifest.rows) {
                Err(error @ StoreError::Io { .. }) if store.is_remote() => return Err(away(&error).into()),
                offsets => offsets.map_err(io::Error::from)?,
            },
        })
    }
}

fn unknown(words: &str) -> Refusal {
    Refusal::Unknown(words.to_owned())
}
