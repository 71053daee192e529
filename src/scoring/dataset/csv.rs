//! Delimited values with a header line (RFC 4180); a quoted field may span lines, and empty lines are no rows.
//!
//! A row with more or fewer fields than the header is bad: it keeps its place, but nothing in it is read.

use std::io::{BufReader, Read};

use csv::{ByteRecord, Position, Reader, ReaderBuilder};

use super::number::parse;
use super::{Cell, Cursor, Field, Kind, Part, ReadError, RowFile, find_column, source};

/// Rows of a CSV file.
pub(super) struct CsvCursor {
    file: RowFile,
    reader: CsvReader,
    record: ByteRecord,
    fields: Vec<(usize, Kind)>,
    columns: usize,
    left: Option<u64>,
    /// Whether the reader began at the first byte, so that it knows lines and offsets.
    from_start: bool,
}

type CsvReader = Reader<BufReader<Box<dyn Read + Send>>>;

/// Delimiters that a header is looked through for, when a column is not found.
const USUAL_DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

fn explain(error: csv::Error) -> ReadError {
    let text = error.to_string();
    match error.into_kind() {
        csv::ErrorKind::Io(inner) => ReadError::from_io(inner),
        _ => ReadError::Content(text),
    }
}

fn reader(file: &RowFile, offset: u64) -> Result<CsvReader, ReadError> {
    let text = source::text(file.disk.as_ref(), &file.path, offset)?;
    Ok(builder(file.delimiter).has_headers(offset == 0).from_reader(text))
}

fn builder(delimiter: u8) -> ReaderBuilder {
    let mut builder = ReaderBuilder::new();
    builder.buffer_capacity(1 << 18).delimiter(delimiter).flexible(true);
    builder
}

/// The names in the header line. One that is not UTF-8 has a mark in place of what it is not.
fn names(reader: &mut CsvReader) -> Result<Vec<String>, ReadError> {
    let header = reader.byte_headers().map_err(explain)?;
    Ok(header
        .iter()
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .collect())
}

pub(super) fn columns(file: &RowFile) -> Result<Vec<String>, ReadError> {
    names(&mut reader(file, 0)?)
}

/// Says of a missing column which delimiter the header would have it with.
fn with_delimiter(error: ReadError, field: &Field, columns: &[String], delimiter: u8) -> ReadError {
    let (ReadError::Column(message), [header]) = (&error, columns) else {
        return error;
    };
    let fits = |candidate: &&u8| {
        **candidate != delimiter
            && header
                .split(char::from(**candidate))
                .any(|name| name.trim_matches('"') == field.column)
    };
    match USUAL_DELIMITERS.iter().find(fits) {
        Some(b'\t') => ReadError::Column(format!(
            "{message}; the header has tabs: set `dataset.delimiter: \"\\t\"`"
        )),
        Some(other) => ReadError::Column(format!(
            "{message}; the header looks as if '{0}' separates the columns: set `dataset.delimiter: \"{0}\"`",
            char::from(*other)
        )),
        None => error,
    }
}

impl CsvCursor {
    pub(super) fn open(file: &RowFile, fields: &[Field], part: Part) -> Result<Self, ReadError> {
        let mut reader = reader(file, 0)?;
        let columns = names(&mut reader)?;
        let fields = fields
            .iter()
            .map(|f| match find_column(f, &columns) {
                Ok(_) if f.kind == Kind::Vector => Err(ReadError::Column(format!(
                    "{} names column `{}`, but CSV has no lists of numbers; write the data as Parquet or JSON Lines",
                    f.asked_by, f.column
                ))),
                Ok(place) => Ok((place, f.kind)),
                Err(error) => Err(with_delimiter(error, f, &columns, file.delimiter)),
            })
            .collect::<Result<_, ReadError>>()?;
        let mut skip = part.rows.as_ref().map_or(0, |rows| rows.start);
        let mut from_start = true;
        if let Some((offset, behind)) = part.start.filter(|(offset, _)| *offset > 0) {
            reader = self::reader(file, offset)?;
            (skip, from_start) = (behind, false);
        }
        let mut cursor = Self {
            file: file.clone(),
            reader,
            record: ByteRecord::new(),
            fields,
            columns: columns.len(),
            left: None,
            from_start,
        };
        for _ in 0..skip {
            cursor.advance()?;
        }
        cursor.left = part.rows.map(|rows| rows.end - rows.start);
        Ok(cursor)
    }

    /// Refuses a file whose last record has a quote that is never closed: it swallows the rows behind it without a sign.
    ///
    /// Where the last record is complete, what is put after it is one more record; where it is not, it is more of the same.
    fn check_end(&self) -> Result<(), ReadError> {
        let Some(last) = self.record.position().filter(|_| self.from_start) else {
            return Ok(());
        };
        let text = source::text(self.file.disk.as_ref(), &self.file.path, last.byte())?;
        let mut again = builder(self.file.delimiter)
            .has_headers(false)
            .from_reader(text.chain(&b"\n.\n"[..]));
        let mut record = ByteRecord::new();
        let mut records = 0;
        while records < 2 && again.read_byte_record(&mut record).map_err(explain)? {
            records += 1;
        }
        if records < 2 {
            return Err(ReadError::Content(format!(
                "a quote in the row that begins in line {} is never closed, so that everything behind it is part of that row",
                last.line()
            )));
        }
        Ok(())
    }
}

impl Cursor for CsvCursor {
    fn advance(&mut self) -> Result<bool, ReadError> {
        match &mut self.left {
            Some(0) => return Ok(false),
            Some(left) => *left -= 1,
            None => {}
        }
        let last = self.record.position().cloned();
        let found = self.reader.read_byte_record(&mut self.record).map_err(explain)?;
        if !found {
            // The reader has emptied the record, but where the last row began is still asked for.
            self.record.set_position(last);
            self.check_end()?;
        }
        Ok(found)
    }

    fn bad(&self) -> Option<String> {
        let found = self.record.len();
        if found == self.columns {
            return None;
        }
        let place = self
            .line()
            .map_or_else(|| "a line".to_owned(), |line| format!("line {line}"));
        let fields = if found == 1 { "field" } else { "fields" };
        Some(format!("{place} has {found} {fields}, the header has {}", self.columns))
    }

    fn line(&self) -> Option<u64> {
        let position = self.record.position().filter(|_| self.from_start);
        position.map(Position::line)
    }

    fn cell(&self, field: usize) -> Cell<'_> {
        let (place, kind) = self.fields[field];
        if self.record.len() != self.columns {
            return Cell::Unreadable;
        }
        let Ok(text) = str::from_utf8(self.record.get(place).unwrap_or_default()) else {
            return Cell::Unreadable;
        };
        match kind {
            Kind::Text | Kind::Length => Cell::Text(text),
            Kind::Group if text.is_empty() => Cell::Empty,
            Kind::Group => Cell::Text(text),
            Kind::Vector => Cell::Unsuitable,
            Kind::Number => match text.trim() {
                "" => Cell::Empty,
                number => parse(number).map_or(Cell::Unsuitable, Cell::Number),
            },
        }
    }

    fn offset(&self) -> Option<u64> {
        self.record.position().map(Position::byte)
    }
}
