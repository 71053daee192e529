//! `sampling: File`: all rows of the phase in one file, for trainers that want no HTTP.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use arrow_buffer::ToByteSlice;

use super::info::PlanInfo;
use super::part::Part;
use super::source::{DrawError, Opened};

/// The rows file could not be written.
#[derive(thiserror::Error, Debug)]
pub enum RowsFileError {
    /// A file operation failed.
    #[error("rows file {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A batch cannot be drawn.
    #[error("rows file {path}: {source}")]
    Sample {
        /// The file.
        path: PathBuf,
        /// Why.
        source: DrawError,
    },
}

/// Bytes of the longest rows file, 8 GiB: it lies on the node's disk.
pub const MAX_BYTES: u128 = 8 << 30;

/// Bytes of the rows file of a phase.
pub fn bytes(opened: &Opened) -> u128 {
    let steps = opened.steps();
    u128::from(steps.end - steps.start) * u128::from(opened.plan.batch_size) * 8
}

/// Whether the file is there in its whole length.
pub fn is_whole(path: &Path, opened: &Opened) -> bool {
    fs::metadata(path).is_ok_and(|m| u128::from(m.len()) == bytes(opened))
}

/// Writes the rows of all batches as little-endian u64 row numbers, byte for byte what `GET /v1/batches` returns for a world of one rank,
/// and `<name>.json`, what `GET /v1/plan` returns.
///
/// # Guarantees
/// Under its name the file is whole, and the plan is there before: it is written under another one, `<name>.tmp`, and renamed.
///
/// # Errors
/// When the files cannot be written.
pub fn write(path: &Path, opened: &Opened, info: &PlanInfo) -> Result<(), RowsFileError> {
    let io = |source| RowsFileError::Io {
        path: path.to_owned(),
        source,
    };
    let beside = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let plan = serde_json::to_vec(info).map_err(|e| io(e.into()))?;
    fs::write(beside(".json"), plan).map_err(io)?;
    let scratch = beside(".tmp");
    let mut out = BufWriter::with_capacity(1 << 20, File::create(&scratch).map_err(io)?);
    write_steps(&mut out, opened, path)?;
    out.into_inner().map_err(|e| io(e.into_error()))?;
    fs::rename(&scratch, path).map_err(io)
}

fn write_steps(out: &mut impl Write, opened: &Opened, path: &Path) -> Result<(), RowsFileError> {
    let mut rows = Vec::new();
    for step in opened.steps() {
        for part in Part::WHOLE.pieces(opened.plan.batch_size) {
            opened
                .rows
                .batch(step, part, &mut rows)
                .map_err(|source| RowsFileError::Sample {
                    path: path.to_owned(),
                    source,
                })?;
            rows.iter_mut().for_each(|row| *row = row.to_le());
            let written = out.write_all(rows.as_slice().to_byte_slice());
            written.map_err(|source| RowsFileError::Io {
                path: path.to_owned(),
                source,
            })?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampler::source::tests::{attempt_plan, index, no_filter};

    #[test]
    fn the_file_holds_all_batches_in_order_and_appears_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rows.u64");
        let opened = Opened::new(attempt_plan(), index, no_filter).unwrap();
        assert!(!is_whole(&path, &opened));
        write(&path, &opened, &PlanInfo::new(&opened, Some("this run"))).unwrap();
        assert!(is_whole(&path, &opened));
        let mut expected = Vec::new();
        let mut batch = Vec::new();
        for step in 10..30 {
            opened.rows.batch(step, Part::WHOLE, &mut batch).unwrap();
            expected.extend(batch.iter().flat_map(|row| row.to_le_bytes()));
        }
        assert_eq!(fs::read(&path).unwrap(), expected);
        let plan: serde_json::Value =
            serde_json::from_slice(&fs::read(dir.path().join("rows.u64.json")).unwrap()).unwrap();
        assert_eq!((&plan["run"], &plan["startStep"]), (&"this run".into(), &10.into()));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_folder_that_is_missing_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("missing/rows.u64");
        let opened = Opened::new(attempt_plan(), index, no_filter).unwrap();
        let message = write(&path, &opened, &PlanInfo::new(&opened, None))
            .unwrap_err()
            .to_string();
        assert!(
            message.ends_with("missing/rows.u64: No such file or directory (os error 2)"),
            "{message}"
        );
    }
}
