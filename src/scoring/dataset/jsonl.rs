//! JSON Lines: one object per line; lines of white space only are no rows.

use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::Path;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{Cell, Cursor, Field, Kind, Part, ReadError, open_file};

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Rows of a JSON Lines file.
pub(super) struct JsonCursor {
    lines: Lines,
    fields: Vec<Field>,
    values: Vec<Value>,
    left: Option<u64>,
}

/// Non-empty lines with their offsets.
struct Lines {
    reader: BufReader<File>,
    line: Vec<u8>,
    number: u64,
    start: u64,
    next: u64,
}

impl Lines {
    fn open(path: &Path, offset: u64) -> Result<Self, ReadError> {
        let mut reader = BufReader::with_capacity(1 << 18, open_file(path)?);
        reader.seek(SeekFrom::Start(offset)).map_err(ReadError::from_io)?;
        Ok(Self {
            reader,
            line: Vec::new(),
            number: 0,
            start: offset,
            next: offset,
        })
    }

    fn advance(&mut self) -> Result<bool, ReadError> {
        loop {
            self.line.clear();
            let read = self
                .reader
                .read_until(b'\n', &mut self.line)
                .map_err(ReadError::from_io)?;
            self.start = self.next;
            self.next += read as u64;
            self.number += 1;
            if read == 0 {
                return Ok(false);
            }
            if self.start == 0 && self.line.starts_with(BYTE_ORDER_MARK) {
                self.line.drain(..BYTE_ORDER_MARK.len());
            }
            if !self.line.trim_ascii().is_empty() {
                return Ok(true);
            }
        }
    }

    /// `json` says what is wrong without quoting the line, as the parser's own text of a wrong type would.
    fn explain(&self, error: &serde_json::Error) -> ReadError {
        let what = match error.classify() {
            serde_json::error::Category::Data => "is not a JSON object".to_owned(),
            _ => format!("is not valid JSON: {error}").replace(" at line 1 column ", " at column "),
        };
        ReadError::Content(match self.start {
            0 => format!("line {} {what}", self.number),
            start => format!("the line at byte {start} {what}"),
        })
    }
}

/// A value of a field, in buffers that are used again for every row.
struct Value {
    state: State,
    number: f64,
    text: String,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Empty,
    Number,
    Text,
    Boolean,
    Other,
}

pub(super) fn columns(path: &Path) -> Result<Vec<String>, ReadError> {
    let mut lines = Lines::open(path, 0)?;
    if !lines.advance()? {
        return Ok(Vec::new());
    }
    serde_json::from_slice::<Names>(&lines.line)
        .map(|names| names.0)
        .map_err(|e| lines.explain(&e))
}

impl JsonCursor {
    pub(super) fn open(path: &Path, fields: &[Field], part: Part) -> Result<Self, ReadError> {
        let mut skip = part.rows.as_ref().map_or(0, |rows| rows.start);
        let mut offset = 0;
        if let Some((start, behind)) = part.start {
            (offset, skip) = (start, behind);
        }
        let mut lines = Lines::open(path, offset)?;
        for _ in 0..skip {
            lines.advance()?;
        }
        let values = fields
            .iter()
            .map(|_| Value {
                state: State::Empty,
                number: 0.0,
                text: String::new(),
            })
            .collect();
        Ok(Self {
            lines,
            fields: fields.to_vec(),
            values,
            left: part.rows.map(|rows| rows.end - rows.start),
        })
    }
}

impl Cursor for JsonCursor {
    fn advance(&mut self) -> Result<bool, ReadError> {
        match &mut self.left {
            Some(0) => return Ok(false),
            Some(left) => *left -= 1,
            None => {}
        }
        if !self.lines.advance()? {
            return Ok(false);
        }
        for value in &mut self.values {
            value.state = State::Empty;
        }
        let mut parser = serde_json::Deserializer::from_slice(&self.lines.line);
        Row {
            fields: &self.fields,
            values: &mut self.values,
        }
        .deserialize(&mut parser)
        .and_then(|()| parser.end())
        .map_err(|e| self.lines.explain(&e))?;
        Ok(true)
    }

    fn cell(&self, field: usize) -> Cell<'_> {
        let value = &self.values[field];
        match (self.fields[field].kind, value.state) {
            (_, State::Empty) => Cell::Empty,
            (Kind::Number, State::Number) => Cell::Number(value.number),
            (Kind::Text, State::Text) => Cell::Text(&value.text),
            (Kind::Group, State::Text | State::Number | State::Boolean) => Cell::Text(&value.text),
            _ => Cell::Unsuitable,
        }
    }

    fn offset(&self) -> Option<u64> {
        Some(self.lines.start)
    }
}

/// The names in an object.
struct Names(Vec<String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Names;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Names, A::Error> {
                let mut names = Vec::new();
                while let Some((name, IgnoredAny)) = map.next_entry()? {
                    names.push(name);
                }
                Ok(Names(names))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// Reads an object's wanted fields into their buffers and skips the others.
struct Row<'a> {
    fields: &'a [Field],
    values: &'a mut [Value],
}

impl<'de> DeserializeSeed<'de> for Row<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Row<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key_seed(Name(self.fields))? {
            match name {
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
                Some(first) => {
                    map.next_value_seed(&mut self.values[first])?;
                    for other in first + 1..self.fields.len() {
                        if self.fields[other].column == self.fields[first].column {
                            let (done, open) = self.values.split_at_mut(other);
                            open[0].copy_from(&done[first]);
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

/// Finds the first field of a name.
struct Name<'a>(&'a [Field]);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Option<usize>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Option<usize>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }
    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().position(|field| field.column == name))
    }
}

impl Value {
    fn copy_from(&mut self, other: &Self) {
        self.state = other.state;
        self.number = other.number;
        self.text.clone_from(&other.text);
    }

    fn set(&mut self, state: State, number: f64, text: fmt::Arguments<'_>) {
        self.state = state;
        self.number = number;
        self.text.clear();
        // Writing to a String cannot fail.
        let _ = fmt::Write::write_fmt(&mut self.text, text);
    }
}

impl<'de> DeserializeSeed<'de> for &mut Value {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &mut Value {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        self.state = State::Empty;
        Ok(())
    }
    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.set(State::Boolean, 0.0, format_args!("{value}"));
        Ok(())
    }
    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.set(State::Number, value as f64, format_args!("{value}"));
        Ok(())
    }
    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.set(State::Number, value as f64, format_args!("{value}"));
        Ok(())
    }
    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.set(State::Number, value, format_args!("{value}"));
        Ok(())
    }
    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.set(State::Text, 0.0, format_args!("{value}"));
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        self.state = State::Other;
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        self.state = State::Other;
        Ok(())
    }
}
