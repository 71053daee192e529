//! Names for the values of a column whose file says of no value what it is, as CSV does.

use std::borrow::Cow;

use super::dataset::{is_decimal, number_text};

/// What the texts of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// Names: each is what it is.
    Names,
    /// Flags: `True` is `true`.
    Flags,
    /// Numbers: `1.0` is `1`, and `nan` is no value.
    Numbers,
}

/// What the texts of a column can be, by those that were seen.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Readings {
    other_than_flag: bool,
    other_than_number: bool,
    a_number: bool,
}

impl Readings {
    /// Looks at a further text; the empty one is no value and may be anything.
    pub(super) fn see(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        self.other_than_flag |= flag(text).is_none();
        let number = is_decimal(text);
        self.a_number |= number;
        self.other_than_number |= !number && !is_nan(text);
    }

    /// Whether the texts may still be read so.
    pub(super) fn allows(self, reading: Reading) -> bool {
        match reading {
            Reading::Names => true,
            Reading::Flags => !self.other_than_flag,
            Reading::Numbers => !self.other_than_number,
        }
    }

    /// What they are.
    pub(super) fn end(self) -> Reading {
        match self {
            _ if self.allows(Reading::Flags) => Reading::Flags,
            _ if self.allows(Reading::Numbers) && self.a_number => Reading::Numbers,
            _ => Reading::Names,
        }
    }
}

impl Reading {
    /// The name of a value that may be read so, as a file with types would have it.
    pub(super) fn name(self, text: &str) -> Cow<'_, str> {
        match self {
            Self::Names => Cow::Borrowed(text),
            Self::Flags => Cow::Borrowed(flag(text).unwrap_or_default()),
            Self::Numbers if is_nan(text) => Cow::Borrowed(""),
            Self::Numbers => match text.parse::<f64>() {
                // A whole number that is written as one keeps all of its digits.
                Ok(number) if number == 0.0 || text.contains(['.', 'e', 'E']) => Cow::Owned(number_text(number)),
                _ => Cow::Borrowed(text),
            },
        }
    }
}

fn flag(text: &str) -> Option<&'static str> {
    match text {
        "True" | "TRUE" | "true" => Some("true"),
        "False" | "FALSE" | "false" => Some("false"),
        _ => None,
    }
}

fn is_nan(text: &str) -> bool {
    text.eq_ignore_ascii_case("nan")
}
