//! The lines of a file of overrides: which row, and the columns `rank`, `who`, `when` and `reason`.

use std::collections::HashMap;

use jiff::Timestamp;

use super::{ASKED_BY, MAX_LINES, MAX_REASON, MAX_WHO, OUT, companion};
use crate::scoring::dataset::{Cell, Cursor, Field, Kind, Part, Root};
use crate::scoring::error::ScoringError;
use crate::scoring::joined::{self, Id, Key, id_of};
use crate::scoring::task::{Format, Overrides};

/// What somebody said of a row.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line {
    /// As difficult as that fraction of the rows; `None`: the row is to be left out.
    pub(super) rank: Option<f64>,
    /// Who said it.
    pub(super) who: Id,
    /// When.
    pub(super) when: Timestamp,
    /// The line of the file, from 1; of Parquet the row of the file.
    pub(super) place: u64,
}

/// A kind of fault: how many lines have it, and the first of them.
#[derive(Clone, Copy, Default)]
pub(super) struct Fault {
    count: u64,
    first: u64,
}

impl Fault {
    pub(super) fn add(&mut self, place: u64) {
        self.first = if self.count == 0 { place } else { self.first.min(place) };
        self.count += 1;
    }

    /// In words, without what the lines hold; `None`: there are none.
    pub(super) fn describe(self, format: Format, what: &str) -> Option<String> {
        let lines = match format {
            Format::Parquet => "rows",
            Format::Csv | Format::JsonLines => "lines",
        };
        (self.count > 0).then(|| format!("{} {lines} (the first is {}) {what}", self.count, self.first))
    }
}

#[derive(Default)]
struct Faults {
    bad: Fault,
    key: Fault,
    rank: Fault,
    who: Fault,
    when: Fault,
    reason: Fault,
}

/// The last line about each row or id, by `when`, of two at one time the later in the file; and how many others there are.
///
/// # Errors
/// [`ScoringError::ScoresInvalid`] counts the lines that say nothing; [`ScoringError::Io`].
pub(super) fn read(overrides: &Overrides, root: &Root) -> Result<(HashMap<Key, Line>, u64), ScoringError> {
    let companion = companion(overrides);
    let file = joined::file(root, &overrides.path, overrides.format, overrides.delimiter);
    let explain = |error| companion.explain(&file.path, error);
    let field = |column: &str, kind| Field {
        column: column.to_owned(),
        kind,
        asked_by: ASKED_BY.to_owned(),
    };
    let fields = [
        joined::field(&overrides.join, ASKED_BY),
        // Numbers and words may stand beside each other, and people may have numbers for names.
        field("rank", Kind::Group),
        field("who", Kind::Group),
        field("when", Kind::Text),
        field("reason", Kind::Text),
    ];
    let mut cursor = file.read(&fields, Part::default()).map_err(explain)?;
    let (mut last, mut faults) = (HashMap::new(), Faults::default());
    let (mut lines, mut superseded) = (0, 0);
    while cursor.advance().map_err(explain)? {
        lines += 1;
        if lines > MAX_LINES {
            return Err(companion.wrong(&format!(
                "which has more than {MAX_LINES} lines; leave out those that later ones replace"
            )));
        }
        let place = cursor.line().unwrap_or(lines as u64);
        if cursor.bad().is_some() {
            faults.bad.add(place);
            continue;
        }
        let Some((key, line)) = faults.line(cursor.as_ref(), place, overrides.leave_out) else {
            continue;
        };
        match last.get(&key) {
            Some(Line { when, .. }) if *when > line.when => superseded += 1,
            _ => superseded += u64::from(last.insert(key, line).is_some()),
        }
    }
    match faults.describe(overrides) {
        None => Ok((last, superseded)),
        Some(words) => Err(companion.wrong(&format!("of which {words}"))),
    }
}

impl Faults {
    /// The line, unless something is wrong with it.
    fn line(&mut self, cursor: &dyn Cursor, place: u64, leave_out: bool) -> Option<(Key, Line)> {
        let key = Key::of(cursor.cell(0));
        let rank = match cursor.cell(1) {
            Cell::Text(text) => rank_of(text, leave_out),
            _ => None,
        };
        let who = text_of(cursor.cell(2), MAX_WHO).map(id_of);
        let when = text_of(cursor.cell(3), usize::MAX).and_then(|text| text.parse::<Timestamp>().ok());
        let reason = text_of(cursor.cell(4), MAX_REASON);
        for (fault, is_there) in [
            (&mut self.key, key.is_some()),
            (&mut self.rank, rank.is_some()),
            (&mut self.who, who.is_some()),
            (&mut self.when, when.is_some()),
            (&mut self.reason, reason.is_some()),
        ] {
            if !is_there {
                fault.add(place);
            }
        }
        reason?;
        let line = Line {
            rank: rank?,
            who: who?,
            when: when?,
            place,
        };
        Some((key?, line))
    }

    fn describe(&self, overrides: &Overrides) -> Option<String> {
        let column = joined::column(&overrides.join);
        let out = if overrides.leave_out { ", nor `out`" } else { "" };
        let found: Vec<String> = [
            (self.bad, "cannot be read".to_owned()),
            (self.key, format!("have no usable value in column `{column}`")),
            (self.rank, format!("have no `rank` from 0 to 1{out}")),
            (self.who, format!("have no `who` of 1 to {MAX_WHO} characters")),
            (
                self.when,
                "have no `when` as RFC 3339, such as 2026-11-20T09:30:00Z".to_owned(),
            ),
            (self.reason, format!("have no `reason` of 1 to {MAX_REASON} characters")),
        ]
        .into_iter()
        .filter_map(|(fault, what)| fault.describe(overrides.format, &what))
        .collect();
        (!found.is_empty()).then(|| found.join(", "))
    }
}

/// A rank, or `None` in it for a row to be left out.
fn rank_of(text: &str, leave_out: bool) -> Option<Option<f64>> {
    let text = text.trim();
    if leave_out && text == OUT {
        return Some(None);
    }
    let rank = text.parse::<f64>().ok()?;
    // Not −0, which would be another text in the file of ranks.
    (0.0..=1.0).contains(&rank).then_some(Some(rank.abs()))
}

/// A text of at least one character and at most `limit`, blanks at its ends not counted.
fn text_of(cell: Cell<'_>, limit: usize) -> Option<&str> {
    let Cell::Text(text) = cell else { return None };
    let text = text.trim();
    (!text.is_empty() && text.chars().nth(limit).is_none()).then_some(text)
}
