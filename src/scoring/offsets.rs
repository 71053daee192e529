//! Where each row of CSV or JSON Lines begins in its file: one little-endian u64 per row, in `offsets.u64` on the store.
//!
//! The inspection writes it, in the one pass over the text that it makes. Shards begin to read where their rows begin, and the sampler
//! tells trainers, who then read any row without reading those before it.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::dataset::is_missing;
use super::error::ScoringError;
use crate::store::{Shared, StoreError, scratch};

const WIDTH: u64 = 8;

/// Writes the offsets of a data set, row by row.
pub(super) struct OffsetsWriter {
    path: PathBuf,
    writer: BufWriter<NamedTempFile>,
}

impl OffsetsWriter {
    /// Starts the file that will be `path`.
    pub(super) fn create(path: PathBuf) -> Result<Self, ScoringError> {
        let writer = BufWriter::with_capacity(1 << 16, scratch::file(&path)?);
        Ok(Self { path, writer })
    }

    /// Adds the next row, which begins at byte `offset` of its file's text.
    pub(super) fn push(&mut self, offset: u64) -> Result<(), ScoringError> {
        let written = self.writer.write_all(&offset.to_le_bytes());
        written.map_err(|e| ScoringError::io("write", &self.path, e))
    }

    /// Puts the file in its place.
    pub(super) fn finish(self) -> Result<(), ScoringError> {
        let file = self.writer.into_inner();
        let file = file.map_err(|e| ScoringError::io("write", &self.path, e.into_error()))?;
        Ok(scratch::commit(file, &self.path)?)
    }
}

/// The offsets of a data set's rows.
#[derive(Debug)]
pub struct Offsets(File);

impl Offsets {
    /// Opens the file of the store; `None` where there is none.
    ///
    /// # Errors
    /// [`StoreError::Content`] when it has not one offset for each of `rows` rows, [`StoreError::Io`] when it cannot be read.
    pub fn of_store(shared: &Shared, path: &Path, rows: u64) -> Result<Option<Self>, StoreError> {
        match shared.pull(path) {
            Err(error) if error.is_missing() => return Ok(None),
            pulled => pulled?,
        }
        Self::open(path, rows).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => StoreError::content(path, error),
            _ => StoreError::io("open", path, error),
        })
    }

    /// Opens the file; `None` where there is none: the format needs none, or an earlier version inspected the data set.
    ///
    /// # Errors
    /// Those of the file system; [`io::ErrorKind::InvalidData`] when it has not one offset for each of `rows` rows.
    pub fn open(path: &Path, rows: u64) -> io::Result<Option<Self>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let bytes = file.metadata()?.len();
        if Some(bytes) != rows.checked_mul(WIDTH) {
            let words = format!("it has {bytes} bytes, which are not the offsets of {rows} rows");
            return Err(io::Error::new(io::ErrorKind::InvalidData, words));
        }
        Ok(Some(Self(file)))
    }

    /// Where row `row` begins in its file, in bytes; of packed text, in the unpacked text.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn at(&self, row: u64) -> io::Result<u64> {
        let mut bytes = [0; WIDTH as usize];
        self.0.read_exact_at(&mut bytes, row * WIDTH)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// The offsets of `count` rows from row `from` on, as little-endian u64.
    ///
    /// # Errors
    /// Those of the file system, also when there are not so many rows.
    pub fn read(&self, from: u64, count: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; count * WIDTH as usize];
        self.0.read_exact_at(&mut bytes, from * WIDTH)?;
        Ok(bytes)
    }
}
