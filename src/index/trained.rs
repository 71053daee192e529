//! The rows to train on, where a filter leaves some out: `trained.u64` on the store, one little-endian u64
//! per row, ascending.
//!
//! The inspection writes it. As an order of rows it is that of a run without scores: the rows in no
//! particular order of difficulty.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use arrow_buffer::ScalarBuffer;
use sha2::{Digest, Sha256};

use super::map;
use crate::curriculum::canonical;
use crate::curriculum::order::{OrderScope, RowOrder};

const WIDTH: usize = 8;

/// Why the rows cannot be known.
#[derive(Debug, thiserror::Error)]
pub enum TrainedError {
    /// The file does not exist or cannot be read.
    #[error("cannot open the rows to train on: {0}")]
    Io(#[from] io::Error),
    /// The file is not the one that was promised.
    #[error("the rows to train on have digest {found}, expected {expected}")]
    Digest {
        /// Digest of the file.
        found: String,
        /// Digest that was promised.
        expected: String,
    },
    /// The file holds something else.
    #[error("the file does not hold the rows to train on: {0}")]
    Invalid(&'static str),
}

/// The digest that the file of these rows has, which ascend.
pub fn digest_of(rows: impl Iterator<Item = u64>) -> String {
    let mut hash = Sha256::new();
    rows.for_each(|row| hash.update(row.to_le_bytes()));
    canonical::digest(hash)
}

/// Writes rows, which ascend; the digest of what was written.
///
/// # Errors
/// Those of the writer.
pub fn write(out: &mut impl Write, rows: impl Iterator<Item = u64>) -> io::Result<String> {
    let mut hash = Sha256::new();
    for row in rows {
        let bytes = row.to_le_bytes();
        hash.update(bytes);
        out.write_all(&bytes)?;
    }
    Ok(canonical::digest(hash))
}

/// The rows to train on, mapped into memory.
#[derive(Clone, Debug)]
pub struct TrainedRows(ScalarBuffer<u64>);

impl TrainedRows {
    /// Maps the file at `path`, after checking its SHA-256 (`sha256:…`), and that it holds `rows` rows of a
    /// data set of `all`.
    ///
    /// # Errors
    /// [`TrainedError`]; never panics on a file's content.
    ///
    /// # Assumptions
    /// As of a [`ScoreIndex`](super::map::ScoreIndex): nobody shortens the file while it is mapped.
    pub fn open(path: &Path, digest: &str, rows: u64, all: u64) -> Result<Self, TrainedError> {
        if cfg!(target_endian = "big") {
            return Err(TrainedError::Invalid("this machine is big-endian, the file is not"));
        }
        let mut file = File::open(path)?;
        let found = map::digest_of(&mut file)?;
        if found != digest {
            let expected = digest.to_owned();
            return Err(TrainedError::Digest { found, expected });
        }
        let length = usize::try_from(rows).ok().and_then(|rows| rows.checked_mul(WIDTH));
        if length != usize::try_from(file.metadata()?.len()).ok() {
            return Err(TrainedError::Invalid("it has another number of rows"));
        }
        let rows = ScalarBuffer::<u64>::from(map::mapped(&file)?.1);
        let ascend = rows.windows(2).all(|pair| pair[0] < pair[1]);
        if !ascend || rows.last().is_some_and(|last| *last >= all) {
            return Err(TrainedError::Invalid("its rows do not ascend, or do not exist"));
        }
        Ok(Self(rows))
    }

    /// The rows, ascending.
    pub fn as_slice(&self) -> &[u64] {
        &self.0
    }
}

impl RowOrder for TrainedRows {
    /// # Assumptions
    /// The position exists, as it does when the plan's rows are as many as the file's; row 0 otherwise.
    fn row(&self, _scope: OrderScope, position: u64) -> u64 {
        self.0.get(position as usize).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn written(rows: &[u64]) -> (tempfile::TempDir, std::path::PathBuf, String) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("trained.u64");
        let mut bytes = Vec::new();
        let digest = write(&mut bytes, rows.iter().copied()).unwrap();
        fs::write(&path, bytes).unwrap();
        (dir, path, digest)
    }

    #[test]
    fn what_was_written_is_read() {
        let (_dir, path, digest) = written(&[0, 3, 4, 9]);
        assert_eq!(digest, digest_of([0, 3, 4, 9].into_iter()));
        let trained = TrainedRows::open(&path, &digest, 4, 10).unwrap();
        assert_eq!(trained.as_slice(), [0, 3, 4, 9]);
        let mut positions = [3, 0, 2];
        trained.rows(OrderScope::All, &mut positions);
        assert_eq!(positions, [9, 0, 4]);
    }

    #[test]
    fn another_file_is_refused() {
        let refusal = |rows: &[u64], promised: Option<&str>, count, all| {
            let (_dir, path, digest) = written(rows);
            let opened = TrainedRows::open(&path, promised.unwrap_or(&digest), count, all);
            opened.unwrap_err().to_string()
        };
        assert!(refusal(&[1, 2], Some("sha256:0"), 2, 9).contains("expected sha256:0"));
        for (rows, count, all) in [(&[1, 2][..], 3, 9), (&[2, 1], 2, 9), (&[1, 1], 2, 9), (&[1, 9], 2, 9)] {
            let said = refusal(rows, None, count, all);
            assert!(
                said.starts_with("the file does not hold the rows to train on"),
                "{said}"
            );
        }
        let missing = TrainedRows::open(Path::new("/nonexistent/trained.u64"), "sha256:0", 1, 1);
        assert!(matches!(missing, Err(TrainedError::Io(_))));
    }
}
