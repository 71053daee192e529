//! Files of a scorer's scores for one shard: writing them, and finding and reading them in any of the three formats.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_schema::{DataType, Field as ArrowField, Schema};
use parquet::arrow::{ArrowSchemaConverter, add_encoded_arrow_schema_to_metadata};
use parquet::basic::Encoding;
use parquet::data_type::{DataType as ParquetType, DoubleType, Int64Type};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::ColumnPath;
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use super::dataset::{Cursor, Field, Kind, Part, ReadError, RowFile, is_missing};
use super::error::ScoringError;
use super::store::{Shard, Store};
use super::task::Format;
use crate::store::scratch;

/// Formats of shard files by extension.
pub const EXTENSIONS: [(&str, Format); 3] = [
    ("parquet", Format::Parquet),
    ("csv", Format::Csv),
    ("jsonl", Format::JsonLines),
];

/// Rows that are held before they are written, a column after the other.
const GROUP_ROWS: usize = 1 << 20;
const UNSCORED_KEY: &str = "curriculum.unscored";

/// Why a built-in scorer gave a row no score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unscored {
    /// The value is null or absent.
    Empty,
    /// The value is of the wrong kind, such as text where a number is needed.
    Unsuitable,
    /// The value is NaN or infinite.
    NotFinite,
    /// The text has a token that was not counted.
    Uncounted,
    /// The tokenizer has no token for some part of the text.
    Untokenized,
    /// The list is empty, or has another length than the first one of the data set.
    OtherLength,
    /// The list, or the centre of its group, has no direction: all of its numbers are zero.
    Undirected,
    /// The text is not valid UTF-8, or the row is bad as a whole.
    Unreadable,
}

/// How many rows a built-in scorer gave no score, by reason.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(default)]
pub struct UnscoredCounts {
    /// See [`Unscored::Empty`].
    pub empty: u64,
    /// See [`Unscored::Unsuitable`].
    pub unsuitable: u64,
    /// See [`Unscored::NotFinite`].
    pub not_finite: u64,
    /// See [`Unscored::Uncounted`].
    pub uncounted: u64,
    /// See [`Unscored::Untokenized`].
    pub untokenized: u64,
    /// See [`Unscored::OtherLength`].
    pub other_length: u64,
    /// See [`Unscored::Undirected`].
    pub undirected: u64,
    /// See [`Unscored::Unreadable`].
    pub unreadable: u64,
}

impl UnscoredCounts {
    /// All of them together.
    pub fn total(&self) -> u64 {
        let of_values = self.empty + self.unsuitable + self.not_finite + self.unreadable;
        of_values + self.uncounted + self.untokenized + self.other_length + self.undirected
    }
}

/// Writes a shard file of a built-in scorer.
pub struct ShardWriter {
    path: PathBuf,
    writer: SerializedFileWriter<NamedTempFile>,
    /// Row numbers, which Parquet has as signed ones.
    rows: Vec<i64>,
    scores: Vec<f64>,
    unscored: UnscoredCounts,
}

impl ShardWriter {
    /// Starts the file that will be `path`.
    ///
    /// # Errors
    /// Errors of the file system.
    pub fn create(path: PathBuf) -> Result<Self, ScoringError> {
        let schema = Schema::new(vec![
            ArrowField::new("row", DataType::UInt64, false),
            ArrowField::new("score", DataType::Float64, false),
        ]);
        // Rows that follow each other take next to nothing as differences; scores are not worth the time to compress them.
        let mut properties = WriterProperties::builder()
            .set_dictionary_enabled(false)
            .set_statistics_enabled(EnabledStatistics::None)
            .set_column_encoding(ColumnPath::from("row"), Encoding::DELTA_BINARY_PACKED)
            .build();
        add_encoded_arrow_schema_to_metadata(&schema, &mut properties);
        let file = scratch::file(&path)?;
        let writer = ArrowSchemaConverter::new()
            .convert(&schema)
            .and_then(|schema| SerializedFileWriter::new(file, schema.root_schema_ptr(), Arc::new(properties)));
        Ok(Self {
            writer: writer.map_err(|e| failed(&path, e))?,
            path,
            rows: Vec::new(),
            scores: Vec::new(),
            unscored: UnscoredCounts::default(),
        })
    }

    /// Adds a row's score.
    ///
    /// # Errors
    /// Errors of the file system.
    pub fn push(&mut self, row: u64, score: f64) -> Result<(), ScoringError> {
        self.rows.push(row as i64);
        self.scores.push(score);
        if self.rows.len() == GROUP_ROWS {
            self.flush()
        } else {
            Ok(())
        }
    }

    /// Adds the scores of rows that follow each other, the first of them `row`.
    ///
    /// # Errors
    /// Errors of the file system.
    pub fn extend(&mut self, row: u64, mut scores: &[f64]) -> Result<(), ScoringError> {
        let mut rows = row as i64..;
        while !scores.is_empty() {
            let (now, later) = scores.split_at(scores.len().min(GROUP_ROWS - self.rows.len()));
            self.rows.extend(rows.by_ref().take(now.len()));
            self.scores.extend_from_slice(now);
            scores = later;
            if self.rows.len() == GROUP_ROWS {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Counts a row without a score.
    pub fn skip(&mut self, reason: Unscored) {
        let counts = &mut self.unscored;
        match reason {
            Unscored::Empty => counts.empty += 1,
            Unscored::Unsuitable => counts.unsuitable += 1,
            Unscored::NotFinite => counts.not_finite += 1,
            Unscored::Uncounted => counts.uncounted += 1,
            Unscored::Untokenized => counts.untokenized += 1,
            Unscored::OtherLength => counts.other_length += 1,
            Unscored::Undirected => counts.undirected += 1,
            Unscored::Unreadable => counts.unreadable += 1,
        }
    }

    fn flush(&mut self) -> Result<(), ScoringError> {
        if self.rows.is_empty() {
            return Ok(());
        }
        self.write_group().map_err(|e| failed(&self.path, e))?;
        self.rows.clear();
        self.scores.clear();
        Ok(())
    }

    fn write_group(&mut self) -> ParquetResult<()> {
        let mut group = self.writer.next_row_group()?;
        write_column::<Int64Type>(&mut group, &self.rows)?;
        write_column::<DoubleType>(&mut group, &self.scores)?;
        group.close().map(|_| ())
    }

    /// Completes the file, renames it, and puts it where the index is made of it.
    ///
    /// # Errors
    /// Errors of the file system and of the store.
    pub fn finish(mut self, store: &Store) -> Result<(), ScoringError> {
        self.flush()?;
        let counts = serde_json::to_string(&self.unscored).unwrap_or_default();
        self.writer
            .append_key_value_metadata(KeyValue::new(UNSCORED_KEY.to_owned(), counts));
        let file = self.writer.into_inner().map_err(|e| failed(&self.path, e))?;
        scratch::commit(file, &self.path)?;
        hand_in(store, &self.path)
    }
}

fn write_column<T: ParquetType>(
    group: &mut SerializedRowGroupWriter<'_, NamedTempFile>,
    values: &[T::T],
) -> ParquetResult<()> {
    let column = group.next_column()?;
    let mut column = column.ok_or_else(|| ParquetError::General("the schema has too few columns".to_owned()))?;
    column.typed::<T>().write_batch(values, None, None)?;
    column.close()
}

fn failed(path: &Path, error: ParquetError) -> ScoringError {
    ScoringError::io("write", path, std::io::Error::other(error))
}

/// Puts a shard's file where the index is made of it, and removes those of other extensions: an earlier attempt may have written
/// another format.
///
/// # Errors
/// Errors of the file system and of the store.
pub fn hand_in(store: &Store, path: &Path) -> Result<(), ScoringError> {
    store.shared().push(path)?;
    let others = EXTENSIONS.map(|(extension, _)| path.with_extension(extension));
    let mut others = others.iter().filter(|other| *other != path);
    Ok(others.try_for_each(|other| store.shared().remove(other))?)
}

/// A shard's file of scores.
#[derive(Debug)]
pub struct ShardFile(RowFile);

impl ShardFile {
    /// The shard's file in a scorer's folder. `None` when there is none.
    ///
    /// # Errors
    /// Those of the file system, except that there is no such file.
    pub fn find(store: &Store, folder: &Path, shard: Shard) -> Result<Option<Self>, ScoringError> {
        let (stem, disk) = (shard.stem(), store.disk());
        for (extension, format) in EXTENSIONS {
            let path = folder.join(format!("{stem}.{extension}"));
            match store.shared().pull(&path) {
                Err(error) if error.is_missing() => continue,
                pulled => pulled?,
            }
            match disk.look(&path) {
                Ok(found) if found.is_file => {
                    return Ok(Some(Self(RowFile {
                        path,
                        format,
                        delimiter: b',',
                        disk: Arc::clone(disk),
                    })));
                }
                Err(e) if !is_missing(&e) => return Err(ScoringError::io("read", &path, e)),
                _ => {}
            }
        }
        Ok(None)
    }

    /// Reads its columns `row` (field 0) and `score` (field 1).
    ///
    /// # Errors
    /// [`ReadError`] when it is not such a file.
    pub fn read(&self) -> Result<Box<dyn Cursor>, ReadError> {
        let field = |column: &str| Field {
            column: column.to_owned(),
            kind: Kind::Number,
            asked_by: "a score file".to_owned(),
        };
        self.0.read(&[field("row"), field("score")], Part::default())
    }

    /// Names of its columns.
    ///
    /// # Errors
    /// [`ReadError`] when it cannot be read.
    pub fn columns(&self) -> Result<Vec<String>, ReadError> {
        self.0.columns()
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// What a built-in scorer says of the rows without a score; zeros for other files.
    ///
    /// # Errors
    /// [`ReadError`] when it cannot be read.
    pub fn unscored(&self) -> Result<UnscoredCounts, ReadError> {
        let text = self.0.stated_value(UNSCORED_KEY)?;
        Ok(text
            .and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or_default())
    }
}
