//! What the data set itself calls its rows: values of a column, for people who compare batches with their data.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use super::error::SimulateError;
use crate::scoring::dataset::{Cell, Field, Kind, Part, ReadError, RowFile};
use crate::scoring::task::Format;

const ARGUMENT: &str = "--ids";

/// The values of some rows.
#[derive(Debug)]
pub struct Ids(HashMap<u64, String>);

impl Ids {
    /// Reads `column` of the data set in these files, one after the other, and keeps the values of `wanted`. `rows` is the number of rows
    /// that there must be.
    ///
    /// # Errors
    /// When a file's name does not tell its format, a file cannot be read or lacks the column, or the rows are not so many.
    pub fn read(files: &[PathBuf], column: &str, wanted: &BTreeSet<u64>, rows: u64) -> Result<Self, SimulateError> {
        let field = [Field {
            column: column.to_owned(),
            kind: Kind::Group,
            asked_by: ARGUMENT.to_owned(),
        }];
        let (mut ids, mut row) = (HashMap::new(), 0);
        for path in files {
            let failed = |error| match error {
                ReadError::Io(source) => SimulateError::Io {
                    path: path.clone(),
                    source,
                },
                ReadError::Column(problem) | ReadError::Content(problem) => SimulateError::File {
                    path: path.clone(),
                    problem,
                },
            };
            let mut cursor = file(path)?.read(&field, Part::default()).map_err(failed)?;
            while cursor.advance().map_err(failed)? {
                if let Cell::Text(id) = cursor.cell(0)
                    && wanted.contains(&row)
                {
                    ids.insert(row, id.to_owned());
                }
                row += 1;
            }
        }
        if row != rows {
            let problem = format!("the files of --data have {row} rows, the data set of the curriculum has {rows}");
            return Err(SimulateError::argument("--data", problem));
        }
        if ids.is_empty() && !wanted.is_empty() {
            let problem = format!("no row of these batches has a value in column '{column}'");
            return Err(SimulateError::argument(ARGUMENT, problem));
        }
        Ok(Self(ids))
    }

    /// The value of a row; `None` where it has none.
    pub fn of(&self, row: u64) -> Option<&str> {
        self.0.get(&row).map(String::as_str)
    }
}

/// A file, in the format that its name tells.
fn file(path: &Path) -> Result<RowFile, SimulateError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let (format, delimiter) = Format::of_name(&name).ok_or_else(|| SimulateError::File {
        path: path.to_owned(),
        problem:
            "its name must end in .parquet, .csv, .tsv, .jsonl or .ndjson, of text also with .gz or .zst behind it"
                .to_owned(),
    })?;
    let delimiter = if delimiter == '\t' { b'\t' } else { b',' };
    Ok(RowFile {
        delimiter,
        ..RowFile::new(path, format)
    })
}
