//! Reading rows of a file, one format each, only the columns that are needed.
//!
//! The data set and the scorers' shard files are read by the same code.

mod csv;
mod jsonl;
mod parquet;

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};

use super::error::{ScoringError, list_names};
use super::manifest::Manifest;
use super::task::{Format, Task};

/// What a column is read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Numbers. In CSV whatever parses as one.
    Number,
    /// Texts.
    Text,
    /// Values that name groups: texts, whole numbers, booleans, as text.
    Group,
}

/// A column to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Name of the column.
    pub column: String,
    /// What it is read as.
    pub kind: Kind,
    /// Who asks for it, for messages: `` scorer `length` ``.
    pub asked_by: String,
}

/// A value of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell<'a> {
    /// Null, absent, or an empty field of CSV that should be a number.
    Empty,
    /// A value of another kind than the field's.
    Unsuitable,
    /// A number, possibly not finite.
    Number(f64),
    /// A text or a group's value.
    Text(&'a str),
}

/// Reads rows one after the other.
pub trait Cursor {
    /// Moves to the next row. False past the last one.
    ///
    /// # Errors
    /// [`ReadError`] when the file is not what its format says.
    fn advance(&mut self) -> Result<bool, ReadError>;

    /// The value of field `field` (position in the fields asked for) in the current row.
    fn cell(&self, field: usize) -> Cell<'_>;

    /// Where the current row begins in the file, in bytes; `None` for formats that need no such offsets.
    fn offset(&self) -> Option<u64> {
        None
    }
}

/// A file of rows cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Its content is not what the format says.
    #[error("{0}")]
    Content(String),
    /// A column is missing or of an unsuitable type.
    #[error("{0}")]
    Column(String),
    /// The disk or the network failed: it may work next time.
    #[error("{0}")]
    Io(#[source] io::Error),
}

impl ReadError {
    /// Tells failures of input and output, which may pass, from contents that will stay wrong.
    fn from_io(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::InvalidData
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::IsADirectory
            | io::ErrorKind::Other => Self::Content(error.to_string()),
            _ => Self::Io(error),
        }
    }

    /// As [`Self::from_io`] for an error that may have one inside.
    fn from_source(error: impl std::error::Error + 'static) -> Self {
        let mut source = error.source();
        while let Some(inner) = source {
            if let Some(inner) = inner.downcast_ref::<io::Error>() {
                return match Self::from_io(io::Error::from(inner.kind())) {
                    Self::Io(_) => Self::Io(io::Error::new(inner.kind(), error.to_string())),
                    _ => Self::Content(error.to_string()),
                };
            }
            source = inner.source();
        }
        Self::Content(error.to_string())
    }
}

/// A file of rows.
#[derive(Clone, Debug)]
pub struct RowFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its format.
    pub format: Format,
}

/// Which rows to read.
#[derive(Clone, Debug, Default)]
pub struct Part {
    /// The rows; `None`: all.
    pub rows: Option<Range<u64>>,
    /// Where to start in CSV and JSON Lines: offset in bytes, and how many rows to skip from there. Default: at the first row.
    pub start: Option<(u64, u64)>,
}

impl RowFile {
    /// Number of rows, for formats that state it.
    ///
    /// # Errors
    /// [`ReadError`] when the file cannot be read.
    pub fn stated_rows(&self) -> Result<Option<u64>, ReadError> {
        match self.format {
            Format::Parquet => parquet::rows(&self.path).map(Some),
            Format::Csv | Format::JsonLines => Ok(None),
        }
    }

    /// A value that the file's writer left beside the rows under `key`; only Parquet has such.
    ///
    /// # Errors
    /// [`ReadError`] when the file cannot be read.
    pub fn stated_value(&self, key: &str) -> Result<Option<String>, ReadError> {
        match self.format {
            Format::Parquet => parquet::value(&self.path, key),
            Format::Csv | Format::JsonLines => Ok(None),
        }
    }

    /// Names of the columns, in the file's order; of JSON Lines the names in the first row.
    ///
    /// # Errors
    /// [`ReadError`] when the file cannot be read.
    pub fn columns(&self) -> Result<Vec<String>, ReadError> {
        match self.format {
            Format::Parquet => parquet::columns(&self.path),
            Format::Csv => csv::columns(&self.path),
            Format::JsonLines => jsonl::columns(&self.path),
        }
    }

    /// Reads `fields` of the rows of `part`.
    ///
    /// # Errors
    /// [`ReadError::Column`] when a column is missing or, where the format knows types, unsuitable; of JSON Lines every
    /// column is thought to exist.
    pub fn read(&self, fields: &[Field], part: Part) -> Result<Box<dyn Cursor>, ReadError> {
        Ok(match self.format {
            Format::Parquet => Box::new(parquet::ParquetCursor::open(&self.path, fields, part.rows)?),
            Format::Csv => Box::new(csv::CsvCursor::open(&self.path, fields, part)?),
            Format::JsonLines => Box::new(jsonl::JsonCursor::open(&self.path, fields, part)?),
        })
    }
}

/// The data set of a task.
#[derive(Clone, Debug)]
pub struct Dataset {
    file: RowFile,
    shown: String,
    bytes: u64,
}

impl Dataset {
    /// Finds the data set's file below `root`.
    ///
    /// # Errors
    /// [`ScoringError::DatasetNotFound`], and [`ScoringError::DatasetUnreadable`] when it is not a file.
    pub fn open(task: &Task, root: &Path) -> Result<Self, ScoringError> {
        let shown = task.path.clone();
        let inside = Path::new(&task.path)
            .components()
            .all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
        if !inside || shown.is_empty() {
            return Err(ScoringError::InvalidTask(format!(
                "`dataset.path` is `{shown}`; it must be a path relative to the volume's root, without `..`"
            )));
        }
        let path = root.join(&task.path);
        let found = match fs::metadata(&path) {
            Ok(found) => found,
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Err(ScoringError::DatasetNotFound(format!(
                    "`dataset.path` is `{shown}`, but the volume has no such file; give the path of a {} file relative to \
                     the volume's root{}",
                    format_name(task.format),
                    hint(&path)
                )));
            }
            Err(e) => {
                return Err(ScoringError::DatasetUnreadable(format!(
                    "`dataset.path` `{shown}`: {e}"
                )));
            }
        };
        if !found.is_file() {
            return Err(ScoringError::DatasetUnreadable(format!(
                "`dataset.path` is `{shown}`, which is a folder; give the path of one {} file",
                format_name(task.format)
            )));
        }
        Ok(Self {
            file: RowFile {
                path,
                format: task.format,
            },
            shown,
            bytes: found.len(),
        })
    }

    /// Finds the data set's file and checks that it is still as long as when it was inspected.
    ///
    /// # Errors
    /// As [`Self::open`], and [`ScoringError::DatasetUnreadable`] when it has changed.
    pub fn open_inspected(task: &Task, root: &Path, manifest: &Manifest) -> Result<Self, ScoringError> {
        let dataset = Self::open(task, root)?;
        if dataset.bytes != manifest.bytes {
            return Err(ScoringError::DatasetUnreadable(format!(
                "`dataset.path` `{}` had {} bytes when it was inspected and now has {}; a data set must not change during a run",
                dataset.shown, manifest.bytes, dataset.bytes
            )));
        }
        Ok(dataset)
    }

    /// The file.
    pub fn file(&self) -> &RowFile {
        &self.file
    }

    /// Length in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Turns an error of reading this data set into the command's.
    pub fn explain(&self, error: ReadError) -> ScoringError {
        match error {
            ReadError::Content(message) => ScoringError::DatasetUnreadable(format!(
                "`dataset.path` `{}` cannot be read as {}: {message}",
                self.shown,
                format_name(self.file.format)
            )),
            ReadError::Column(message) => ScoringError::ColumnNotFound(message),
            ReadError::Io(source) => ScoringError::io("read", &self.file.path, source),
        }
    }

    /// Reads `fields` of the rows `rows` and hands each row's number and cursor to `visit`.
    ///
    /// # Errors
    /// See [`RowFile::read`]; [`ScoringError::DatasetUnreadable`] when there are fewer rows than the manifest says;
    /// whatever `visit` returns.
    pub fn for_each_row(
        &self,
        fields: &[Field],
        rows: Range<u64>,
        manifest: &Manifest,
        mut visit: impl FnMut(u64, &dyn Cursor) -> Result<(), ScoringError>,
    ) -> Result<(), ScoringError> {
        if rows.is_empty() {
            return Ok(());
        }
        let start = manifest.seek(rows.start);
        let part = Part {
            rows: Some(rows.clone()),
            start,
        };
        let mut cursor = self.file.read(fields, part).map_err(|e| self.explain(e))?;
        for row in rows {
            if !cursor.advance().map_err(|e| self.explain(e))? {
                return Err(ScoringError::DatasetUnreadable(format!(
                    "`dataset.path` `{}` has fewer rows than when it was inspected; a data set must not change during a run",
                    self.shown
                )));
            }
            visit(row, cursor.as_ref())?;
        }
        Ok(())
    }
}

/// Name of a format in messages.
fn format_name(format: Format) -> &'static str {
    match format {
        Format::Parquet => "Parquet",
        Format::Csv => "CSV",
        Format::JsonLines => "JSON Lines",
    }
}

/// Names of data files beside a missing one: the usual cause is a misspelt name or a wrong folder.
fn hint(missing: &Path) -> String {
    const EXTENSIONS: [&str; 5] = ["parquet", "csv", "jsonl", "ndjson", "json"];
    const READ: usize = 10_000;
    let Some(entries) = missing.parent().and_then(|folder| fs::read_dir(folder).ok()) else {
        return String::new();
    };
    let mut names: Vec<String> = entries
        .take(READ)
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| {
            Path::new(name)
                .extension()
                .is_some_and(|e| EXTENSIONS.iter().any(|known| e == *known))
        })
        .collect();
    names.sort();
    if names.is_empty() {
        return String::new();
    }
    format!(" (that folder has {})", list_names(names.iter().map(String::as_str)))
}

/// Opens a file for reading.
fn open_file(path: &Path) -> Result<File, ReadError> {
    File::open(path).map_err(ReadError::from_io)
}

/// The error of a column that does not exist.
fn missing_column(field: &Field, columns: &[String]) -> ReadError {
    ReadError::Column(format!(
        "{} names column `{}`, which does not exist; the columns are {}",
        field.asked_by,
        field.column,
        list_names(columns.iter().map(String::as_str))
    ))
}

/// Position of a field's column among the file's.
fn find_column(field: &Field, columns: &[String]) -> Result<usize, ReadError> {
    let mut places = columns
        .iter()
        .enumerate()
        .filter(|(_, name)| **name == field.column)
        .map(|(place, _)| place);
    let Some(place) = places.next() else {
        return Err(missing_column(field, columns));
    };
    if places.next().is_some() {
        return Err(ReadError::Column(format!(
            "{} names column `{}`, which exists more than once; column names must differ",
            field.asked_by, field.column
        )));
    }
    Ok(place)
}
