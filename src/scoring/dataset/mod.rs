//! Reading rows of a file, one format each, only the columns that are needed.
//!
//! The data set and the scorers' shard files are read by the same code.

mod csv;
mod find;
mod json_line;
mod jsonl;
mod located;
mod number;
mod parquet;
mod read_error;
mod source;

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use super::error::list_names;
use super::task::Format;

pub use find::MAX_FILES;
pub use located::{DataFile, Dataset, Inspected};
pub(super) use number::{is_decimal, number_text};
pub use read_error::ReadError;
pub(super) use read_error::{is_lasting, is_missing};
pub use source::{Disk, Entry, EntryKind, Found, Input, LocalDisk, Root};

/// What a column is read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Numbers; booleans are 0 and 1, and in Parquet dates and times are seconds since 1970. In CSV whatever parses as one.
    Number,
    /// Texts.
    Text,
    /// What has a length: texts and lists.
    Length,
    /// Lists of numbers, such as embeddings. CSV has none.
    Vector,
    /// Values that name groups: texts, numbers and booleans, as text.
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
    /// A text that is not valid UTF-8, or any value of a row that is [bad](Cursor::bad).
    Unreadable,
    /// A number, possibly not finite.
    Number(f64),
    /// A text or a group's value.
    Text(&'a str),
    /// A list of so many items.
    Items(u64),
    /// A list of numbers, NaN where an item is null.
    Vector(&'a [f64]),
}

/// Reads rows one after the other.
pub trait Cursor {
    /// Moves to the next row. False past the last one.
    ///
    /// # Errors
    /// [`ReadError`] when the file is not what its format says.
    fn advance(&mut self) -> Result<bool, ReadError>;

    /// What is wrong with the current row as a whole, and in which line. Such a row is a row all the same: those after it keep
    /// their numbers.
    fn bad(&self) -> Option<String> {
        None
    }

    /// The value of field `field` (position in the fields asked for) in the current row.
    fn cell(&self, field: usize) -> Cell<'_>;

    /// The numbers of field `field` in the current row and in those behind it that are at hand with it; `None` where a row lacks
    /// one, and in formats that have no columns.
    fn numbers(&self, _field: usize) -> Option<&[f64]> {
        None
    }

    /// Moves over so many further rows that are at hand: see [`Self::numbers`].
    fn pass(&mut self, _rows: usize) {}

    /// The line of the file that the current row begins in, from 1; `None` for formats without lines, and where it was not read from
    /// the file's first line on.
    fn line(&self) -> Option<u64> {
        None
    }

    /// Where the current row begins in the file, in bytes; `None` for formats that need no such offsets.
    fn offset(&self) -> Option<u64> {
        None
    }
}

/// A file of rows.
#[derive(Clone, Debug)]
pub struct RowFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its format.
    pub format: Format,
    /// What separates the fields of CSV.
    pub delimiter: u8,
    /// Where it is read from.
    pub disk: Arc<dyn Disk>,
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
    /// A file of this machine, with commas if it is CSV.
    pub fn new(path: impl Into<PathBuf>, format: Format) -> Self {
        Self {
            path: path.into(),
            format,
            delimiter: b',',
            disk: Arc::new(LocalDisk),
        }
    }

    /// Whether `fields` can be read, as far as that shows before the first row; and the number of rows, for formats that state it.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn check(&self, fields: &[Field]) -> Result<Option<u64>, ReadError> {
        match self.format {
            Format::Parquet => parquet::check(self, fields).map(Some),
            Format::Csv | Format::JsonLines => self.read(fields, Part::default()).map(|_| None),
        }
    }

    /// A value that the file's writer left beside the rows under `key`; only Parquet has such.
    ///
    /// # Errors
    /// [`ReadError`] when the file cannot be read.
    pub fn stated_value(&self, key: &str) -> Result<Option<String>, ReadError> {
        match self.format {
            Format::Parquet => parquet::value(self, key),
            Format::Csv | Format::JsonLines => Ok(None),
        }
    }

    /// Names of the columns, in the file's order; of JSON Lines the names in the first row that is not bad.
    ///
    /// # Errors
    /// [`ReadError`] when the file cannot be read.
    pub fn columns(&self) -> Result<Vec<String>, ReadError> {
        match self.format {
            Format::Parquet => parquet::columns(self),
            Format::Csv => csv::columns(self),
            Format::JsonLines => jsonl::columns(self),
        }
    }

    /// Reads `fields` of the rows of `part`.
    ///
    /// # Errors
    /// [`ReadError::Column`] when a column is missing or, where the format knows types, unsuitable; of JSON Lines every
    /// column is thought to exist.
    pub fn read(&self, fields: &[Field], part: Part) -> Result<Box<dyn Cursor>, ReadError> {
        Ok(match self.format {
            Format::Parquet => Box::new(parquet::ParquetCursor::open(self, fields, part.rows)?),
            Format::Csv => Box::new(csv::CsvCursor::open(self, fields, part)?),
            Format::JsonLines => Box::new(jsonl::JsonCursor::open(self, fields, part)?),
        })
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
