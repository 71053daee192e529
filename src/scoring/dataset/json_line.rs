//! One line of JSON as programs write it, where the strict parser gives up: with `NaN` and infinities, numbers that are too large,
//! halves of surrogate pairs, and bytes that are not UTF-8.
//!
//! Python's `json`, pandas and others write and read such lines. What is wrong in one value is no reason to lose the others.

use std::ops::Range;

/// A value's place in the line, by what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// `null`.
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// A number as it stands there, `NaN`, `Infinity` or `-Infinity` among them.
    Number(Range<usize>),
    /// A text with its quotes.
    Text(Range<usize>),
    /// A list of so many items, with its brackets.
    List(u64, Range<usize>),
    /// An object.
    Object,
}

/// The line is not an object, even so: where that shows, counted from 0.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) usize);

/// Hands the name (with its quotes) and the value of each entry of the line's object to `entry`.
pub(super) fn entries(line: &[u8], mut entry: impl FnMut(&[u8], Token)) -> Result<(), Malformed> {
    let mut scanner = Scanner { line, at: 0 };
    scanner.space();
    scanner.expect(b'{')?;
    scanner.space();
    if !scanner.take(b'}') {
        loop {
            scanner.space();
            let name = scanner.text()?;
            scanner.space();
            scanner.expect(b':')?;
            let value = scanner.value()?;
            entry(&line[name], value);
            scanner.space();
            if scanner.take(b'}') {
                break;
            }
            scanner.expect(b',')?;
        }
    }
    scanner.space();
    if scanner.at == line.len() {
        Ok(())
    } else {
        Err(Malformed(scanner.at))
    }
}

/// A text without its quotes; `None` when it is not valid UTF-8 or has half of a surrogate pair.
pub(super) fn text(token: &[u8]) -> Option<String> {
    serde_json::from_slice(token).ok()
}

/// The value of a number, infinite when it is too large.
pub(super) fn number(token: &[u8]) -> f64 {
    match token {
        b"NaN" => f64::NAN,
        b"Infinity" => f64::INFINITY,
        b"-Infinity" => f64::NEG_INFINITY,
        digits => str::from_utf8(digits)
            .ok()
            .and_then(|digits| digits.parse().ok())
            .unwrap_or(f64::NAN),
    }
}

/// The numbers of a list with its brackets, NaN where an item is null; `None` when it has something else in it.
pub(super) fn numbers(list: &[u8]) -> Option<Vec<f64>> {
    let inside = list.strip_prefix(b"[")?.strip_suffix(b"]")?;
    if inside.trim_ascii().is_empty() {
        return Some(Vec::new());
    }
    let item = |item: &[u8]| match item.trim_ascii() {
        b"null" => Some(f64::NAN),
        [b'0'..=b'9' | b'-' | b'N' | b'I', ..] => Some(number(item.trim_ascii())),
        _ => None,
    };
    inside.split(|byte| *byte == b',').map(item).collect()
}

/// An open list or object: what may come next.
enum Open {
    List,
    Object,
}

struct Scanner<'a> {
    line: &'a [u8],
    at: usize,
}

impl Scanner<'_> {
    fn peek(&self) -> Option<u8> {
        self.line.get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.take(byte) {
            Ok(())
        } else {
            Err(Malformed(self.at))
        }
    }

    /// A value, however deep: the open brackets are kept in a list, so that no line can use up the stack.
    fn value(&mut self) -> Result<Token, Malformed> {
        let mut open: Vec<Open> = Vec::new();
        let mut items = 0;
        self.space();
        let start = self.at;
        loop {
            self.space();
            let value = match self.peek() {
                Some(b'[') => {
                    self.at += 1;
                    self.space();
                    if !self.take(b']') {
                        items += u64::from(open.is_empty());
                        open.push(Open::List);
                        continue;
                    }
                    Token::List(0, start..self.at)
                }
                Some(b'{') => {
                    self.at += 1;
                    self.space();
                    if !self.take(b'}') {
                        open.push(Open::Object);
                        self.name()?;
                        continue;
                    }
                    Token::Object
                }
                _ => self.scalar()?,
            };
            if let Some(done) = self.close(value, &mut open, &mut items)? {
                return Ok(match done {
                    Token::List(items, _) => Token::List(items, start..self.at),
                    other => other,
                });
            }
        }
    }

    /// What follows a complete value: ends of lists and objects, and what comes after a comma. The outermost value when it is whole.
    fn close(&mut self, mut value: Token, open: &mut Vec<Open>, items: &mut u64) -> Result<Option<Token>, Malformed> {
        loop {
            let Some(innermost) = open.last() else {
                return Ok(Some(value));
            };
            self.space();
            let (end, closed) = match innermost {
                Open::List => (b']', Token::List(*items, 0..0)),
                Open::Object => (b'}', Token::Object),
            };
            let is_object = matches!(innermost, Open::Object);
            if self.take(end) {
                open.pop();
                value = closed;
                continue;
            }
            self.expect(b',')?;
            // Of nested lists only the outermost one's items are counted.
            *items += u64::from(open.len() == 1 && !is_object);
            if is_object {
                self.name()?;
            }
            return Ok(None);
        }
    }

    fn name(&mut self) -> Result<(), Malformed> {
        self.space();
        self.text()?;
        self.space();
        self.expect(b':')
    }

    fn scalar(&mut self) -> Result<Token, Malformed> {
        if self.peek() == Some(b'"') {
            return self.text().map(Token::Text);
        }
        let start = self.at;
        while self
            .peek()
            .is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'+' | b'.'))
        {
            self.at += 1;
        }
        match &self.line[start..self.at] {
            b"null" => Ok(Token::Null),
            b"true" => Ok(Token::Boolean(true)),
            b"false" => Ok(Token::Boolean(false)),
            b"NaN" | b"Infinity" | b"-Infinity" => Ok(Token::Number(start..self.at)),
            word if str::from_utf8(word).is_ok_and(super::is_decimal) => Ok(Token::Number(start..self.at)),
            _ => Err(Malformed(start)),
        }
    }

    /// A text with its quotes. Bytes that are not UTF-8 and escapes that name no character are part of it.
    fn text(&mut self) -> Result<Range<usize>, Malformed> {
        let start = self.at;
        self.expect(b'"')?;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(start..self.at);
                }
                Some(b'\\') => {
                    let escape = self.line.get(self.at + 1).copied();
                    self.at += match escape {
                        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
                        Some(b'u') if self.is_hexadecimal() => 6,
                        _ => return Err(Malformed(self.at)),
                    };
                }
                Some(0x20..) => self.at += 1,
                _ => return Err(Malformed(self.at)),
            }
        }
    }

    fn is_hexadecimal(&self) -> bool {
        let digits = self.line.get(self.at + 2..self.at + 6);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(line: &[u8]) -> Result<Vec<(String, Token)>, Malformed> {
        let mut found = Vec::new();
        entries(line, |name, value| {
            found.push((String::from_utf8_lossy(name).into_owned(), value));
        })?;
        Ok(found)
    }

    #[test]
    fn what_programs_write_is_read() {
        let line = br#" {"a": NaN, "b":[1,[2,3],{"x":[4,5]}] , "c":{"d":-Infinity},"e":"\ud83d","f":1e400,"g":[],"h":{},"i":null} "#;
        let found: Vec<Token> = read(line).unwrap().into_iter().map(|(_, value)| value).collect();
        assert_eq!(
            found,
            [
                Token::Number(7..10),
                Token::List(3, 16..37),
                Token::Object,
                Token::Text(64..72),
                Token::Number(77..82),
                Token::List(0, 87..89),
                Token::Object,
                Token::Null
            ]
        );
        assert_eq!(text(&line[64..72]), None);
        assert_eq!(text(br#""a\ud83d\ude00""#).as_deref(), Some("a\u{1f600}"));
        assert_eq!(text(b"\"a\xff\""), None);
        assert!(number(b"NaN").is_nan());
        assert_eq!(
            [number(b"-1e400"), number(b"2.5"), number(b"-Infinity")],
            [f64::NEG_INFINITY, 2.5, f64::NEG_INFINITY]
        );
    }

    #[test]
    fn what_is_no_object_is_not() {
        for (line, at) in [
            (&b""[..], 0),
            (b"[1]", 0),
            (b"{\"a\":1", 6),
            (b"{\"a\":}", 5),
            (b"{\"a\":1]", 6),
            (b"{\"a\":1} x", 8),
            (b"{\"a\":nan}", 5),
            (b"{\"a\":-NaN}", 5),
            (b"{\"a\":01}", 5),
            (b"{\"a\":[1,]}", 8),
            (b"{\"a\":{\"b\"}}", 9),
            (b"{\"a\":\"\\x\"}", 6),
            (b"{\"a\":\"\t\"}", 6),
            (b"{\"a\":1,}", 7),
        ] {
            assert_eq!(read(line), Err(Malformed(at)), "{}", String::from_utf8_lossy(line));
        }
    }

    #[test]
    fn no_depth_uses_up_the_stack() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(1 << 20), "]".repeat(1 << 20));
        let list = Token::List(1, 5..5 + (2 << 20));
        assert_eq!(read(deep.as_bytes()).unwrap(), [("\"a\"".to_owned(), list)]);
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            (-1e300..1e300_f64).prop_map(Into::into),
            ".{0,6}".prop_map(Into::into),
        ];
        leaf.prop_recursive(3, 20, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                prop::collection::btree_map(".{0,4}", inner, 0..4)
                    .prop_map(|map| map.into_iter().collect::<serde_json::Value>()),
            ]
        })
    }

    proptest! {
        #[test]
        fn strict_json_is_read_as_the_strict_parser_does(map in prop::collection::btree_map(".{0,4}", json(), 0..5)) {
            let line = serde_json::to_string(&map).unwrap();
            let found = read(line.as_bytes()).unwrap();
            prop_assert_eq!(found.len(), map.len());
            for ((name, token), (expected, value)) in found.iter().zip(&map) {
                prop_assert_eq!(&text(name.as_bytes()).unwrap(), expected);
                let same = match (token, value) {
                    (Token::Null, serde_json::Value::Null) | (Token::Object, serde_json::Value::Object(_)) => true,
                    (Token::Boolean(a), serde_json::Value::Bool(b)) => a == b,
                    (Token::Number(at), serde_json::Value::Number(n)) => Some(number(&line.as_bytes()[at.clone()])) == n.as_f64(),
                    (Token::Text(at), serde_json::Value::String(s)) => text(&line.as_bytes()[at.clone()]).as_ref() == Some(s),
                    (Token::List(n, at), serde_json::Value::Array(items)) => {
                        let of_numbers = items.iter().all(|item| item.is_number() || item.is_null());
                        let numbers = numbers(&line.as_bytes()[at.clone()]);
                        let read = |(found, item): (f64, &serde_json::Value)| found == item.as_f64().unwrap_or(found) || item.is_null();
                        *n == items.len() as u64
                            && numbers.is_some() == of_numbers
                            && numbers.into_iter().flatten().zip(items).all(read)
                    }
                    _ => false,
                };
                prop_assert!(same, "{token:?} {value:?}");
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(prop::sample::select(br#"{}[]",:\u1eNaI-.x "#.to_vec()), 0..60)) {
            let _ = read(&bytes);
        }
    }
}
