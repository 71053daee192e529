//! Copies the files of a data set to a folder of this machine, for programs that read paths.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::dataset::{DataFile, Dataset, Inspected, LocalDisk, Root};
use super::error::ScoringError;
use super::fingerprint::Edges;
use super::manifest::Manifest;
use super::store::{Shard, Store};
use super::task::Task;
use crate::store::scratch;

/// Files that are copied at the same time.
const AT_ONCE: usize = 4;

/// What was copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    /// Files of the data set, or of the shard.
    pub files: usize,
    /// Of these, those that were there already.
    pub present: usize,
    /// Bytes of all of them.
    pub bytes: u64,
}

/// Copies files below `target`, each under its path relative to `root`: of a shard those that hold its rows, else all of them, as they
/// were inspected or, where the store has no manifest, as they are found. A file is there whole or not at all, and one that is there
/// already with the same length and ends is not copied again.
///
/// # Errors
/// [`ScoringError::DatasetUnreadable`] when the files have more than `limit` bytes together, which is told before the first one is
/// copied, or are no longer those that were inspected; [`ScoringError::Io`] when a disk or the network failed.
pub fn fetch(
    task: &Task,
    root: &Root,
    store: &Store,
    shard: Option<Shard>,
    target: &Path,
    limit: Option<u64>,
) -> Result<Fetched, ScoringError> {
    let files = find(task, root, store, shard)?;
    let bytes = files.iter().map(|file| file.edges.bytes).sum();
    if let Some(limit) = limit.filter(|limit| bytes > *limit) {
        let mend = match shard {
            Some(_) => "raise it, or score in more shards",
            None => {
                "raise it, or set `dataset.objectStore.trainerReads: Store` and let the trainer read them where they are"
            }
        };
        return Err(ScoringError::DatasetUnreadable(format!(
            "the files to copy to the node have {bytes} bytes, more than `dataset.objectStore.sizeLimit`, {limit}; {mend}"
        )));
    }
    let (next, present) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let failed = Mutex::new(None);
    let work = || {
        while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            match copy(file, root, target) {
                Ok(true) => {}
                Ok(false) => drop(present.fetch_add(1, Ordering::Relaxed)),
                Err(error) => {
                    // The others stop where they are.
                    next.store(files.len(), Ordering::Relaxed);
                    failed
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .get_or_insert(error);
                }
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(files.len()) {
            scope.spawn(work);
        }
    });
    match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => Ok(Fetched {
            files: files.len(),
            present: present.into_inner(),
            bytes,
        }),
    }
}

fn find(task: &Task, root: &Root, store: &Store, shard: Option<Shard>) -> Result<Vec<DataFile>, ScoringError> {
    let manifest = match Manifest::load(store, task) {
        // A trainer does not wait for a store: it gets what is there now.
        Err(error) if shard.is_none() => {
            tracing::warn!(%error, "the files are those that are found, not those that were inspected");
            return Ok(Dataset::open(task, root)?.files);
        }
        loaded => loaded?,
    };
    let rows = shard.map_or(0..manifest.rows, |shard| shard.rows(manifest.rows));
    let found = Inspected::find(task, root, &manifest, &rows)?;
    Ok(found.into_iter().map(|(file, _)| file).collect())
}

/// False when the file is there already.
fn copy(file: &DataFile, root: &Root, target: &Path) -> Result<bool, ScoringError> {
    let path = target.join(&file.name);
    let same = |there: Edges| (there.bytes, there.digest) == (file.edges.bytes, file.edges.digest.clone());
    if Edges::take(&LocalDisk, &path, file.edges.edge).is_ok_and(same) {
        return Ok(false);
    }
    let reading = |error: io::Error| ScoringError::io("read", &file.file.path, error);
    let mut source = root.disk.open(&file.file.path).map_err(reading)?;
    let mut out = scratch::file(&path)?;
    let copied = io::copy(&mut source, out.as_file_mut()).map_err(|error| ScoringError::io("copy to", &path, error))?;
    if copied != file.edges.bytes {
        let words = format!("{copied} of {} bytes came", file.edges.bytes);
        return Err(reading(io::Error::new(io::ErrorKind::ConnectionAborted, words)));
    }
    out.persist(&path)
        .map_err(|error| ScoringError::io("rename to", &path, error.error))?;
    tracing::info!(file = file.name, bytes = copied, "copied");
    Ok(true)
}
