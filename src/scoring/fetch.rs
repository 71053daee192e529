//! Copies the files of a data set to a folder of this machine, for programs that read paths.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::dataset::{DataFile, Dataset, Inspected, LocalDisk, Root};
use super::error::ScoringError;
use super::fingerprint::Edges;
use super::manifest::Manifest;
use super::scratch;
use super::store::{Shard, Store};
use super::task::Task;

/// Files that are copied at the same time.
const AT_ONCE: usize = 4;

/// Bytes of a quantity, such as `50Gi`; `None`: it is none.
pub fn bytes_of(quantity: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 13] = [
        ("Ki", 1 << 10),
        ("Mi", 1 << 20),
        ("Gi", 1 << 30),
        ("Ti", 1 << 40),
        ("Pi", 1 << 50),
        ("Ei", 1 << 60),
        ("k", 1_000),
        ("M", 1_000_000),
        ("G", 1_000_000_000),
        ("T", 1_000_000_000_000),
        ("P", 1_000_000_000_000_000),
        ("E", 1_000_000_000_000_000_000),
        ("", 1),
    ];
    let (digits, unit) = UNITS
        .iter()
        .find_map(|(suffix, unit)| Some((quantity.strip_suffix(suffix)?, *unit)))?;
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let are_digits =
        |text: &str| !text.is_empty() && text.len() <= 18 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !are_digits(whole) || !are_digits(fraction) {
        return None;
    }
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let part = u128::from(unit) * fraction.parse::<u128>().ok()? / scale;
    u64::try_from(u128::from(unit) * whole.parse::<u128>().ok()? + part).ok()
}

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

/// Which files are wanted.
#[derive(Clone, Copy, Debug)]
pub enum Wanted<'a> {
    /// Those that hold rows of the shard, as they were inspected.
    Of(&'a Store, Shard),
    /// All, as they were inspected where the store has a manifest, else as they are found.
    All(Option<&'a Store>),
}

/// Copies files below `target`, each under its path relative to `root`. A file is there whole or not at all, and one that is there
/// already with the same length and ends is not copied again.
///
/// # Errors
/// [`ScoringError::DatasetUnreadable`] when the files have more than `limit` bytes together, which is told before the first one is
/// copied, or are no longer those that were inspected; [`ScoringError::Io`] when a disk or the network failed.
pub fn fetch(
    task: &Task,
    root: &Root,
    wanted: Wanted<'_>,
    target: &Path,
    limit: Option<u64>,
) -> Result<Fetched, ScoringError> {
    let files = find(task, root, wanted)?;
    let bytes = files.iter().map(|file| file.edges.bytes).sum();
    if let Some(limit) = limit.filter(|limit| bytes > *limit) {
        return Err(ScoringError::DatasetUnreadable(format!(
            "the files to copy to the node have {bytes} bytes, more than `dataset.objectStore.sizeLimit`, {limit}; \
             raise it, or set `dataset.objectStore.trainerReads: Store` and let the trainer read them where they are"
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

fn find(task: &Task, root: &Root, wanted: Wanted<'_>) -> Result<Vec<DataFile>, ScoringError> {
    let inspected = |store: &Store, shard: Shard| {
        let manifest = Manifest::load(store, task)?;
        let found = Inspected::open(task, root, store, &manifest, shard.rows(manifest.rows))?;
        Ok(found.files.into_iter().map(|(file, _)| file).collect())
    };
    match wanted {
        Wanted::Of(store, shard) => inspected(store, shard),
        Wanted::All(Some(store)) if store.manifest(task).exists() => inspected(store, Shard { index: 0, count: 1 }),
        Wanted::All(_) => Ok(Dataset::open(task, root)?.files),
    }
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
    tracing::info!(file = %fs::canonicalize(&path).unwrap_or(path).display(), bytes = copied, "copied");
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantity_is_so_many_bytes() {
        for (text, bytes) in [
            ("0", Some(0)),
            ("12", Some(12)),
            ("1.5Gi", Some(3 << 29)),
            ("50Gi", Some(50 << 30)),
            ("2k", Some(2000)),
            ("0.5M", Some(500_000)),
            ("", None),
            ("Gi", None),
            ("1.Gi", None),
            ("-1", None),
            ("1e3", None),
            ("99999Ei", None),
        ] {
            assert_eq!(bytes_of(text), bytes, "{text}");
        }
    }
}
