//! Comma-separated values with a header line (RFC 4180); a quoted field may span lines.

use std::fs::File;
use std::path::Path;

use csv::{ByteRecord, Position, Reader, ReaderBuilder};

use super::{Cell, Cursor, Field, Kind, Part, ReadError, find_column, open_file};

/// Rows of a CSV file.
pub(super) struct CsvCursor {
    reader: Reader<File>,
    record: ByteRecord,
    fields: Vec<(usize, Kind)>,
    left: Option<u64>,
}

fn explain(error: csv::Error) -> ReadError {
    let text = error.to_string();
    match error.into_kind() {
        csv::ErrorKind::Io(inner) => ReadError::from_io(inner),
        _ => ReadError::Content(text),
    }
}

fn reader(path: &Path) -> Result<(Reader<File>, Vec<String>), ReadError> {
    let mut reader = ReaderBuilder::new()
        .buffer_capacity(1 << 18)
        .from_reader(open_file(path)?);
    let columns = reader.headers().map_err(explain)?.iter().map(str::to_owned).collect();
    Ok((reader, columns))
}

pub(super) fn columns(path: &Path) -> Result<Vec<String>, ReadError> {
    reader(path).map(|(_, columns)| columns)
}

impl CsvCursor {
    pub(super) fn open(path: &Path, fields: &[Field], part: Part) -> Result<Self, ReadError> {
        let (mut reader, columns) = reader(path)?;
        let fields = fields
            .iter()
            .map(|f| Ok((find_column(f, &columns)?, f.kind)))
            .collect::<Result<_, ReadError>>()?;
        let mut skip = part.rows.as_ref().map_or(0, |rows| rows.start);
        if let Some((offset, behind)) = part.start {
            let mut position = Position::new();
            position.set_byte(offset);
            reader.seek(position).map_err(explain)?;
            skip = behind;
        }
        let mut cursor = Self {
            reader,
            record: ByteRecord::new(),
            fields,
            left: None,
        };
        for _ in 0..skip {
            cursor.advance()?;
        }
        cursor.left = part.rows.map(|rows| rows.end - rows.start);
        Ok(cursor)
    }
}

impl Cursor for CsvCursor {
    fn advance(&mut self) -> Result<bool, ReadError> {
        match &mut self.left {
            Some(0) => return Ok(false),
            Some(left) => *left -= 1,
            None => {}
        }
        self.reader.read_byte_record(&mut self.record).map_err(explain)
    }

    fn cell(&self, field: usize) -> Cell<'_> {
        let (place, kind) = self.fields[field];
        let Ok(text) = str::from_utf8(self.record.get(place).unwrap_or_default()) else {
            return Cell::Unsuitable;
        };
        match kind {
            Kind::Text => Cell::Text(text),
            Kind::Group if text.is_empty() => Cell::Empty,
            Kind::Group => Cell::Text(text),
            Kind::Number => match text.trim() {
                "" => Cell::Empty,
                number => number.parse().map_or(Cell::Unsuitable, Cell::Number),
            },
        }
    }

    fn offset(&self) -> Option<u64> {
        self.record.position().map(Position::byte)
    }
}
