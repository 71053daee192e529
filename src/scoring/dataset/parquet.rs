//! Apache Parquet, flat columns only, the lengths of lists, and lists of numbers.

use std::ops::Range;
use std::panic::{self, AssertUnwindSafe};

use arrow_array::{Array, BinaryArray, Float64Array, LargeStringArray, UInt64Array};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::Schema;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::basic::Compression;

use super::source::Chunks;
use super::{Cell, Cursor, Field, Kind, ReadError, RowFile, find_column};

mod columns;
mod schema;

const BATCH_ROWS: usize = 8192;

/// Rows of a Parquet file.
pub(super) struct ParquetCursor {
    chunks: Chunks,
    reader: ParquetRecordBatchReader,
    fields: Vec<(String, Kind)>,
    columns: Vec<Column>,
    /// Position in the current batch, and its length.
    at: usize,
    length: usize,
}

enum Column {
    Numbers(Float64Array),
    /// Texts as bytes: what is no UTF-8 costs its row only.
    Bytes(BinaryArray),
    Names(LargeStringArray),
    Lengths(UInt64Array),
    Vectors(Vectors),
}

/// Lists of numbers, one behind the other.
struct Vectors {
    offsets: OffsetBuffer<i64>,
    nulls: Option<NullBuffer>,
    numbers: Vec<f64>,
}

impl Vectors {
    fn get(&self, row: usize) -> Option<&[f64]> {
        if self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            return None;
        }
        let [from, to] = [row, row + 1].map(|place| usize::try_from(self.offsets[place]).unwrap_or_default());
        self.numbers.get(from..to)
    }
}

type Builder = ParquetRecordBatchReaderBuilder<Chunks>;

fn metadata(chunks: &Chunks) -> Result<ArrowReaderMetadata, ReadError> {
    guarded(chunks, || {
        ArrowReaderMetadata::load(chunks, ArrowReaderOptions::default())
    })
}

fn open(file: &RowFile) -> Result<(Chunks, ArrowReaderMetadata), ReadError> {
    let chunks = Chunks::open(file.disk.as_ref(), &file.path)?;
    let metadata = metadata(&chunks)?;
    Ok((chunks, metadata))
}

/// Runs a step of the Parquet library, which panics on some damaged files: to us that is one more unreadable file.
fn guarded<T, E: std::fmt::Display>(chunks: &Chunks, step: impl FnOnce() -> Result<T, E>) -> Result<T, ReadError> {
    // Nothing that the step touched is used again after an error.
    match panic::catch_unwind(AssertUnwindSafe(step)) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(chunks.explain(error)),
        Err(_) => Err(chunks.explain("it is damaged")),
    }
}

fn names(schema: &Schema) -> Vec<String> {
    schema.fields().iter().map(|field| field.name().clone()).collect()
}

pub(super) fn check(file: &RowFile, fields: &[Field]) -> Result<u64, ReadError> {
    let (chunks, metadata) = open(file)?;
    let rows = metadata.metadata().file_metadata().num_rows();
    ParquetCursor::over(chunks, &metadata, fields, None)?;
    u64::try_from(rows).map_err(|_| ReadError::Content("its metadata state a negative number of rows".to_owned()))
}

pub(super) fn value(file: &RowFile, key: &str) -> Result<Option<String>, ReadError> {
    let (_, metadata) = open(file)?;
    let values = metadata.metadata().file_metadata().key_value_metadata();
    Ok(values
        .into_iter()
        .flatten()
        .find(|entry| entry.key == key)
        .and_then(|entry| entry.value.clone()))
}

pub(super) fn columns(file: &RowFile) -> Result<Vec<String>, ReadError> {
    open(file).map(|(_, metadata)| names(metadata.schema()))
}

/// Refuses what would be found only when the rows are read: a compression that this build has not.
fn check_compression(field: &Field, place: usize, metadata: &ArrowReaderMetadata) -> Result<(), ReadError> {
    let schema = metadata.parquet_schema();
    let leaves = (0..schema.num_columns()).filter(|leaf| schema.get_column_root_idx(*leaf) == place);
    let leaves: Vec<usize> = leaves.collect();
    for group in metadata.metadata().row_groups() {
        for column in leaves.iter().filter_map(|leaf| group.columns().get(*leaf)) {
            let name = match column.compression() {
                Compression::BROTLI(_) => "Brotli",
                Compression::LZO => "LZO",
                _ => continue,
            };
            return Err(ReadError::Content(format!(
                "column `{}`, which {} names, is compressed with {name}; write the file with Zstandard, Snappy, gzip or LZ4",
                field.column, field.asked_by
            )));
        }
    }
    Ok(())
}

impl ParquetCursor {
    pub(super) fn open(file: &RowFile, fields: &[Field], rows: Option<Range<u64>>) -> Result<Self, ReadError> {
        let (chunks, metadata) = open(file)?;
        Self::over(chunks, &metadata, fields, rows)
    }

    fn over(
        chunks: Chunks,
        metadata: &ArrowReaderMetadata,
        fields: &[Field],
        rows: Option<Range<u64>>,
    ) -> Result<Self, ReadError> {
        let columns = names(metadata.schema());
        let mut places = Vec::with_capacity(fields.len());
        for field in fields {
            let place = find_column(field, &columns)?;
            schema::check_type(field, metadata.schema().field(place).data_type())?;
            check_compression(field, place, metadata)?;
            places.push(place);
        }
        let metadata = guarded(&chunks, || schema::without_text(metadata, &places))?;
        let mut builder = Builder::new_with_metadata(chunks.clone(), metadata);
        let mask = ProjectionMask::roots(builder.parquet_schema(), places);
        if let Some(rows) = rows {
            let (groups, offset) = overlapping(&builder, &rows);
            let limit = usize::try_from(rows.end - rows.start).unwrap_or(usize::MAX);
            builder = builder.with_row_groups(groups).with_offset(offset).with_limit(limit);
        }
        let builder = builder.with_projection(mask).with_batch_size(BATCH_ROWS);
        let reader = guarded(&chunks, || builder.build())?;
        let fields = fields.iter().map(|field| (field.column.clone(), field.kind)).collect();
        Ok(Self {
            chunks,
            reader,
            fields,
            columns: Vec::new(),
            at: 0,
            length: 0,
        })
    }

    fn load(&mut self) -> Result<bool, ReadError> {
        let batch = guarded(&self.chunks, || self.reader.next().transpose())?;
        let Some(batch) = batch else { return Ok(false) };
        self.columns.clear();
        for (name, kind) in &self.fields {
            let lost = || ReadError::Content(format!("column `{name}` is missing in a part of the file"));
            let found = batch.column_by_name(name).ok_or_else(lost)?;
            let column = columns::read(found, *kind).map_err(|e| self.chunks.explain(e))?;
            self.columns.push(column);
        }
        (self.at, self.length) = (0, batch.num_rows());
        Ok(true)
    }
}

/// The row groups that hold `rows`, and the place of `rows.start` in the first of them.
fn overlapping(builder: &Builder, rows: &Range<u64>) -> (Vec<usize>, usize) {
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
            Column::Bytes(texts) if texts.is_valid(self.at) => {
                str::from_utf8(texts.value(self.at)).map_or(Cell::Unreadable, Cell::Text)
            }
            Column::Names(names) if names.is_valid(self.at) => Cell::Text(names.value(self.at)),
            Column::Lengths(lengths) if lengths.is_valid(self.at) => Cell::Items(lengths.value(self.at)),
            Column::Vectors(vectors) => vectors.get(self.at).map_or(Cell::Empty, Cell::Vector),
            _ => Cell::Empty,
        }
    }

    fn numbers(&self, field: usize) -> Option<&[f64]> {
        match self.columns.get(field) {
            Some(Column::Numbers(numbers)) if numbers.null_count() == 0 => numbers.values().get(self.at..),
            _ => None,
        }
    }

    fn pass(&mut self, rows: usize) {
        self.at = self.at.saturating_add(rows).min(self.length.saturating_sub(1));
    }
}
