//! Apache Parquet, flat columns only.

use std::fs::File;
use std::ops::Range;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{Array, Float64Array, LargeStringArray, StringArray};
use arrow_cast::cast;
use arrow_schema::{DataType, Schema};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use super::{Cell, Cursor, Field, Kind, ReadError, find_column, open_file};

const BATCH_ROWS: usize = 8192;

/// Rows of a Parquet file.
pub(super) struct ParquetCursor {
    reader: ParquetRecordBatchReader,
    fields: Vec<(String, Kind)>,
    columns: Vec<Column>,
    /// Position in the current batch, and its length.
    at: usize,
    length: usize,
}

enum Column {
    Numbers(Float64Array),
    Texts(StringArray),
    LargeTexts(LargeStringArray),
}

fn builder(path: &Path) -> Result<ParquetRecordBatchReaderBuilder<File>, ReadError> {
    let file = open_file(path)?;
    guarded(|| ParquetRecordBatchReaderBuilder::try_new(file).map_err(ReadError::from_source))
}

/// Runs a step of the Parquet library, which panics on some damaged files: to us that is one more unreadable file.
fn guarded<T>(step: impl FnOnce() -> Result<T, ReadError>) -> Result<T, ReadError> {
    // Nothing that the step touched is used again after an error.
    panic::catch_unwind(AssertUnwindSafe(step)).unwrap_or_else(|_| Err(ReadError::Content("it is damaged".to_owned())))
}

fn names(schema: &Schema) -> Vec<String> {
    schema.fields().iter().map(|field| field.name().clone()).collect()
}

pub(super) fn rows(path: &Path) -> Result<u64, ReadError> {
    let rows = builder(path)?.metadata().file_metadata().num_rows();
    u64::try_from(rows).map_err(|_| ReadError::Content("its metadata state a negative number of rows".to_owned()))
}

pub(super) fn value(path: &Path, key: &str) -> Result<Option<String>, ReadError> {
    let builder = builder(path)?;
    let values = builder.metadata().file_metadata().key_value_metadata();
    Ok(values
        .into_iter()
        .flatten()
        .find(|entry| entry.key == key)
        .and_then(|entry| entry.value.clone()))
}

pub(super) fn columns(path: &Path) -> Result<Vec<String>, ReadError> {
    builder(path).map(|builder| names(builder.schema()))
}

fn check_type(field: &Field, found: &DataType) -> Result<(), ReadError> {
    let value = match found {
        DataType::Dictionary(_, value) => value,
        other => other,
    };
    let text = matches!(value, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let (suitable, wanted) = match field.kind {
        Kind::Number => (value.is_numeric(), "a numeric column"),
        Kind::Text => (text, "a text column"),
        Kind::Group => (
            text || value.is_numeric() || *value == DataType::Boolean,
            "a column of texts, whole numbers or booleans",
        ),
    };
    if suitable {
        return Ok(());
    }
    Err(ReadError::Column(format!(
        "{} names column `{}`, which has type {found}; it needs {wanted}",
        field.asked_by, field.column
    )))
}

impl ParquetCursor {
    pub(super) fn open(path: &Path, fields: &[Field], rows: Option<Range<u64>>) -> Result<Self, ReadError> {
        let mut builder = builder(path)?;
        let columns = names(builder.schema());
        let mut places = Vec::with_capacity(fields.len());
        for field in fields {
            let place = find_column(field, &columns)?;
            check_type(field, builder.schema().field(place).data_type())?;
            places.push(place);
        }
        let mask = ProjectionMask::roots(builder.parquet_schema(), places);
        if let Some(rows) = rows {
            let (groups, offset) = overlapping(&builder, &rows);
            let limit = usize::try_from(rows.end - rows.start).unwrap_or(usize::MAX);
            builder = builder.with_row_groups(groups).with_offset(offset).with_limit(limit);
        }
        let builder = builder.with_projection(mask).with_batch_size(BATCH_ROWS);
        let reader = guarded(|| builder.build().map_err(ReadError::from_source))?;
        let fields = fields.iter().map(|field| (field.column.clone(), field.kind)).collect();
        Ok(Self {
            reader,
            fields,
            columns: Vec::new(),
            at: 0,
            length: 0,
        })
    }

    fn load(&mut self) -> Result<bool, ReadError> {
        let batch = guarded(|| self.reader.next().transpose().map_err(ReadError::from_source))?;
        let Some(batch) = batch else { return Ok(false) };
        self.columns.clear();
        for (name, kind) in &self.fields {
            let lost = || ReadError::Content(format!("column `{name}` is missing in a part of the file"));
            let found = batch.column_by_name(name).ok_or_else(lost)?;
            self.columns.push(match kind {
                Kind::Number => {
                    let numbers = cast(found, &DataType::Float64).map_err(ReadError::from_source)?;
                    Column::Numbers(numbers.as_primitive::<Float64Type>().clone())
                }
                // The usual type needs no conversion: it would copy every text.
                Kind::Text | Kind::Group if *found.data_type() == DataType::Utf8 => {
                    Column::Texts(found.as_string::<i32>().clone())
                }
                Kind::Text | Kind::Group => {
                    let texts = cast(found, &DataType::LargeUtf8).map_err(ReadError::from_source)?;
                    Column::LargeTexts(texts.as_string::<i64>().clone())
                }
            });
        }
        (self.at, self.length) = (0, batch.num_rows());
        Ok(true)
    }
}

/// The row groups that hold `rows`, and the place of `rows.start` in the first of them.
fn overlapping(builder: &ParquetRecordBatchReaderBuilder<File>, rows: &Range<u64>) -> (Vec<usize>, usize) {
    let mut first = 0_u64;
    let mut groups = Vec::new();
    let mut offset = 0;
    for (place, group) in builder.metadata().row_groups().iter().enumerate() {
        let end = first + u64::try_from(group.num_rows()).unwrap_or(0);
        if first < rows.end && end > rows.start {
            if groups.is_empty() {
                offset = rows.start - first;
            }
            groups.push(place);
        }
        first = end;
    }
    (groups, usize::try_from(offset).unwrap_or(usize::MAX))
}

impl Cursor for ParquetCursor {
    fn advance(&mut self) -> Result<bool, ReadError> {
        if self.at + 1 < self.length {
            self.at += 1;
            return Ok(true);
        }
        loop {
            if !self.load()? {
                self.length = 0;
                return Ok(false);
            }
            if self.length > 0 {
                return Ok(true);
            }
        }
    }

    fn cell(&self, field: usize) -> Cell<'_> {
        match &self.columns[field] {
            Column::Numbers(numbers) if numbers.is_valid(self.at) => Cell::Number(numbers.value(self.at)),
            Column::Texts(texts) if texts.is_valid(self.at) => Cell::Text(texts.value(self.at)),
            Column::LargeTexts(texts) if texts.is_valid(self.at) => Cell::Text(texts.value(self.at)),
            _ => Cell::Empty,
        }
    }
}
