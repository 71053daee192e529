//! JSON Lines: one object per line; lines of white space only are no rows.
//!
//! A line that is no object is a bad row: it keeps its place. The strict parser reads nearly every line; one that it refuses is
//! read again as programs write it, see `json_line.rs`.

use std::fmt;
use std::io::{BufRead, BufReader, Read};

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::json_line::{self, Token};
use super::{Cell, Cursor, Field, Kind, Part, ReadError, RowFile, number_text, source};

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Rows of a JSON Lines file.
pub(super) struct JsonCursor {
    lines: Lines,
    fields: Vec<Field>,
    values: Vec<Value>,
    left: Option<u64>,
    /// What is wrong with the current line.
    bad: Option<String>,
}

/// Non-empty lines with their offsets.
struct Lines {
    reader: BufReader<Box<dyn Read + Send>>,
    /// Whether lines are counted from the file's first one.
    from_start: bool,
    line: Vec<u8>,
    number: u64,
    start: u64,
    next: u64,
}

impl Lines {
    fn open(file: &RowFile, offset: u64) -> Result<Self, ReadError> {
        Ok(Self {
            reader: source::text(file.disk.as_ref(), &file.path, offset)?,
            from_start: offset == 0,
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

    /// Says what is wrong without quoting the line, as the parser's own text of a wrong type would.
    fn explain(&self, error: &serde_json::Error) -> String {
        let what = match error.classify() {
            serde_json::error::Category::Data => "is not a JSON object".to_owned(),
            _ => format!("is not valid JSON: {error}").replace(" at line 1 column ", " at column "),
        };
        if self.from_start {
            format!("line {} {what}", self.number)
        } else {
            format!("the line at byte {} {what}", self.start)
        }
    }
}

/// A value of a field, in buffers that are used again for every row.
struct Value {
    state: State,
    number: f64,
    text: String,
    /// Of a list the numbers; `None`: nobody asks for them.
    numbers: Option<Vec<f64>>,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Empty,
    Number,
    Text,
    Boolean,
    List,
    /// A list with something else in it than the numbers that are asked for.
    OtherList,
    Other,
    Unreadable,
}

pub(super) fn columns(file: &RowFile) -> Result<Vec<String>, ReadError> {
    let mut lines = Lines::open(file, 0)?;
    while lines.advance()? {
        let mut names = Vec::new();
        let read = json_line::entries(&lines.line, |name, _| names.extend(json_line::text(name)));
        if read.is_ok() {
            return Ok(names);
        }
    }
    Ok(Vec::new())
}

impl JsonCursor {
    pub(super) fn open(file: &RowFile, fields: &[Field], part: Part) -> Result<Self, ReadError> {
        let mut skip = part.rows.as_ref().map_or(0, |rows| rows.start);
        let mut offset = 0;
        if let Some((start, behind)) = part.start {
            (offset, skip) = (start, behind);
        }
        let mut lines = Lines::open(file, offset)?;
        for _ in 0..skip {
            lines.advance()?;
        }
        let values = fields
            .iter()
            .map(|field| Value {
                state: State::Empty,
                number: 0.0,
                text: String::new(),
                // Of several fields of one column the first one reads for all.
                numbers: (fields.iter())
                    .any(|other| other.kind == Kind::Vector && other.column == field.column)
                    .then(Vec::new),
            })
            .collect();
        Ok(Self {
            lines,
            fields: fields.to_vec(),
            values,
            left: part.rows.map(|rows| rows.end - rows.start),
            bad: None,
        })
    }

    /// Reads the current line as programs write it; `strict` is what the strict parser said.
    fn read_again(&mut self, strict: &serde_json::Error) {
        self.values.iter_mut().for_each(Value::clear);
        let line = &self.lines.line;
        let (fields, values) = (&self.fields, &mut self.values);
        let read = json_line::entries(line, |name, token| {
            let Some(name) = json_line::text(name) else { return };
            let wanted = fields.iter().zip(values.iter_mut());
            for (_, value) in wanted.filter(|(field, _)| field.column == name) {
                value.take(line, &token);
            }
        });
        if read.is_err() {
            self.bad = Some(self.lines.explain(strict));
        }
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
        self.bad = None;
        self.values.iter_mut().for_each(Value::clear);
        let mut parser = serde_json::Deserializer::from_slice(&self.lines.line);
        let row = Row {
            fields: &self.fields,
            values: &mut self.values,
        };
        if let Err(error) = row.deserialize(&mut parser).and_then(|()| parser.end()) {
            self.read_again(&error);
        }
        Ok(true)
    }

    fn bad(&self) -> Option<String> {
        self.bad.clone()
    }

    fn line(&self) -> Option<u64> {
        self.lines.from_start.then_some(self.lines.number)
    }

    fn cell(&self, field: usize) -> Cell<'_> {
        let value = &self.values[field];
        if self.bad.is_some() {
            return Cell::Unreadable;
        }
        match (self.fields[field].kind, value.state) {
            (_, State::Empty) => Cell::Empty,
            (_, State::Unreadable) => Cell::Unreadable,
            (Kind::Number, State::Number | State::Boolean) => Cell::Number(value.number),
            (Kind::Text | Kind::Length, State::Text) => Cell::Text(&value.text),
            // Exact: the items of a line are fewer than 2⁵³.
            (Kind::Length, State::List | State::OtherList) => Cell::Items(value.number as u64),
            (Kind::Vector, State::List) => Cell::Vector(value.numbers.as_deref().unwrap_or_default()),
            // As in a data frame, where a missing value is NaN.
            (Kind::Group, State::Number) if value.number.is_nan() => Cell::Empty,
            (Kind::Group, State::Text | State::Number | State::Boolean) => Cell::Text(&value.text),
            _ => Cell::Unsuitable,
        }
    }

    fn offset(&self) -> Option<u64> {
        Some(self.lines.start)
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
    fn clear(&mut self) {
        self.state = State::Empty;
    }

    /// Takes the value of a token of `line`.
    fn take(&mut self, line: &[u8], token: &Token) {
        match token {
            Token::Null => self.clear(),
            Token::Boolean(flag) => self.set_flag(*flag),
            Token::Number(at) => self.set_number(&line[at.clone()]),
            Token::Text(at) => match json_line::text(&line[at.clone()]) {
                Some(text) => self.set(State::Text, 0.0, format_args!("{text}")),
                None => self.state = State::Unreadable,
            },
            Token::List(items, at) => {
                let mut state = State::List;
                if let Some(numbers) = &mut self.numbers {
                    match json_line::numbers(&line[at.clone()]) {
                        Some(found) => *numbers = found,
                        None => state = State::OtherList,
                    }
                }
                self.set(state, *items as f64, format_args!(""));
            }
            Token::Object => self.state = State::Other,
        }
    }

    fn set_flag(&mut self, flag: bool) {
        self.set(State::Boolean, f64::from(flag), format_args!("{flag}"));
    }

    fn set_number(&mut self, digits: &[u8]) {
        let number = json_line::number(digits);
        // As a name a whole number keeps all of its digits.
        match str::from_utf8(digits)
            .ok()
            .map(|text| (text.parse::<i64>(), text.parse::<u64>()))
        {
            Some((Ok(whole), _)) => self.set(State::Number, number, format_args!("{whole}")),
            Some((_, Ok(whole))) => self.set(State::Number, number, format_args!("{whole}")),
            _ => self.set(State::Number, number, format_args!("{}", number_text(number))),
        }
    }

    fn copy_from(&mut self, other: &Self) {
        self.state = other.state;
        self.number = other.number;
        self.text.clone_from(&other.text);
        self.numbers.clone_from(&other.numbers);
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
        self.clear();
        Ok(())
    }
    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.set_flag(value);
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
        // As `number_text`, without a text of its own: −0 + 0 is 0.
        self.set(State::Number, value, format_args!("{}", value + 0.0));
        Ok(())
    }
    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.set(State::Text, 0.0, format_args!("{value}"));
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let (mut count, mut state) = (0_u64, State::List);
        if let Some(numbers) = &mut self.numbers {
            numbers.clear();
            while let Some(Item(item)) = items.next_element()? {
                count += 1;
                match item {
                    Some(number) => numbers.push(number),
                    None => state = State::OtherList,
                }
            }
        } else {
            while items.next_element::<IgnoredAny>()?.is_some() {
                count += 1;
            }
        }
        self.set(state, count as f64, format_args!(""));
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        self.state = State::Other;
        Ok(())
    }
}

/// An item of a list of numbers: NaN when it is null, `None` when it is something else.
struct Item(Option<f64>);

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ItemVisitor).map(Self)
    }
}

struct ItemVisitor;

impl<'de> Visitor<'de> for ItemVisitor {
    type Value = Option<f64>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an item")
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Some(f64::NAN))
    }
    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Some(value as f64))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Some(value as f64))
    }
    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Some(value))
    }
    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}
