//! Files of the counting pass that hold many numbers: a line of JSON, which says what they are of, and behind it the numbers.

use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use super::dataset::{Disk, Input};
use super::error::ScoringError;
use super::fingerprint::Fingerprint;
use super::manifest::Manifest;
use super::store::Store;
use crate::store::scratch::write_whole;

/// Longest first line: a fingerprint has a few hundred bytes.
const MAX_LINE: u64 = 1 << 16;

/// The first line.
#[derive(Serialize, Deserialize, Debug)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Line<T> {
    source: Fingerprint,
    of: T,
}

/// Writes a file of the data that `manifest` is of; `of` says what else decides its length.
///
/// # Errors
/// Errors of the file system.
pub(super) fn write<T: Serialize>(
    path: &Path,
    manifest: &Manifest,
    of: &T,
    numbers: impl FnOnce(&mut BufWriter<&mut NamedTempFile>) -> io::Result<()>,
) -> Result<(), ScoringError> {
    let failed = |error| ScoringError::io("write", path, error);
    let source = manifest.source.clone();
    let line = serde_json::to_string(&Line { source, of }).map_err(|e| failed(e.into()))?;
    write_whole(path, |writer| {
        writeln!(writer, "{line}")
            .and_then(|()| numbers(writer))
            .map_err(failed)
    })
}

/// Such a file.
#[derive(Debug)]
pub(super) struct CountedFile {
    path: PathBuf,
    disk: Arc<dyn Disk>,
    /// Where the numbers begin.
    start: u64,
}

impl CountedFile {
    /// Opens the file if it is of the data that `manifest` is of. `bytes` says how long the numbers are, or that they are none of this task.
    ///
    /// # Errors
    /// [`ScoringError::Io`] when it cannot be read; [`ScoringError::Store`] when it is of something else, which may be another job's that
    /// counts at this moment.
    pub(super) fn open<T: DeserializeOwned>(
        store: &Store,
        path: PathBuf,
        manifest: &Manifest,
        bytes: impl FnOnce(&T) -> Option<u64>,
    ) -> Result<(Self, T), ScoringError> {
        store.shared().pull(&path)?;
        let (disk, failed) = (store.disk(), |error| ScoringError::io("read", &path, error));
        let length = disk.look(&path).map_err(failed)?.bytes;
        let file = disk.open(&path).map_err(failed)?;
        let mut text = Vec::new();
        BufReader::new(file.take(MAX_LINE))
            .read_until(b'\n', &mut text)
            .map_err(failed)?;
        let line: Line<T> = serde_json::from_slice(&text).map_err(|e| ScoringError::store(&path, e))?;
        if (line.source.bytes, &line.source.edges) != (manifest.source.bytes, &manifest.source.edges) {
            return Err(ScoringError::store(&path, "it is of other data than were inspected"));
        }
        let start = text.len() as u64;
        if bytes(&line.of).and_then(|bytes| bytes.checked_add(start)) != Some(length) {
            return Err(ScoringError::store(&path, "it has not the numbers of this shard"));
        }
        let disk = Arc::clone(disk);
        Ok((Self { path, disk, start }, line.of))
    }

    /// Reads the bytes of the numbers from byte `from` on.
    ///
    /// # Errors
    /// Errors of the file system.
    pub(super) fn read<T>(
        &self,
        from: u64,
        read: impl FnOnce(&mut BufReader<Box<dyn Input>>) -> io::Result<T>,
    ) -> Result<T, ScoringError> {
        let opened = || -> io::Result<BufReader<Box<dyn Input>>> {
            let mut file = self.disk.open(&self.path)?;
            file.seek(SeekFrom::Start(self.start + from))?;
            Ok(BufReader::with_capacity(1 << 18, file))
        };
        opened()
            .and_then(|mut file| read(&mut file))
            .map_err(|error| ScoringError::io("read", &self.path, error))
    }
}
