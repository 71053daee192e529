//! Reading a scorer's shard files and finding what is wrong with them: scorers are other people's programs.

use std::path::Path;

use super::dataset::{Cell, ReadError};
use super::error::{ScoringError, list_names, shorten};
use super::shards::ShardFile;
use super::store::{Shard, Store};
use super::task::{Scorer, Task};

/// A scorer's scores and what was wrong with its files.
#[derive(Debug)]
pub struct Gathered {
    /// One score per row; NaN for rows without a finite one.
    pub scores: Vec<f64>,
    /// What makes the scores unusable as a whole: in words, one entry per kind.
    pub broken: Vec<String>,
    /// What counts against the coverage: in words, one entry per kind.
    pub unscored: Vec<String>,
}

/// A kind of fault with its count, and the shard that had it first: never the row, which may stand for a person.
#[derive(Clone, Copy, Default)]
struct Count {
    count: u64,
    first: u32,
}

impl Count {
    fn add(&mut self, count: u64, shard: Shard) {
        if count > 0 && self.count == 0 {
            self.first = shard.index;
        }
        self.count += count;
    }

    fn describe(self, one: &str, many: &str, shards: u32) -> Option<String> {
        if self.count == 0 {
            return None;
        }
        let what = if self.count == 1 { one } else { many };
        let first = if self.count == 1 { "in" } else { "first in" };
        Some(format!(
            "{} {what} ({first} shard {} of {shards})",
            self.count, self.first
        ))
    }
}

#[derive(Default)]
struct Faults {
    // Unusable.
    no_file: Count,
    unreadable: Vec<String>,
    no_row: Count,
    outside: Count,
    duplicate: Count,
    // Against the coverage.
    nan: Count,
    infinite: Count,
    no_number: Count,
    absent: Count,
    // Parts of `absent` that a built-in scorer explains.
    empty: Count,
    unsuitable: Count,
    not_finite: Count,
    uncounted: Count,
    untokenized: Count,
    other_length: Count,
    undirected: Count,
    damaged: Count,
}

/// Reads a scorer's files of all shards.
///
/// A row has a score when a file of its own shard names it once with a finite number. Everything else is counted by kind.
pub fn gather(task: &Task, store: &Store, scorer: &Scorer, rows: u64) -> Result<Gathered, ScoringError> {
    gather_in(store, &store.scorer(task, &scorer.name), task.shards, rows)
}

/// As [`gather`], of the files in `folder`, which are of so many shards.
pub(super) fn gather_in(store: &Store, folder: &Path, shards: u32, rows: u64) -> Result<Gathered, ScoringError> {
    let failed = |error| ScoringError::io("read scores in", folder, error);
    let mut faults = Faults::default();
    let mut scores = vec![f64::NAN; usize::try_from(rows).unwrap_or(usize::MAX)];
    for index in 0..shards {
        let shard = Shard { index, count: shards };
        let range = shard.rows(rows);
        if range.is_empty() {
            continue;
        }
        let Some(file) = ShardFile::find(store, folder, shard)? else {
            faults.no_file.add(1, shard);
            continue;
        };
        let part = &mut scores[range.start as usize..range.end as usize];
        match read_shard(&file, shard, range.start, part, &mut faults) {
            Ok(()) => {}
            Err(ReadError::Io(error)) => return Err(failed(error)),
            Err(ReadError::Column(_)) => {
                let columns = match file.columns() {
                    Err(ReadError::Io(error)) => return Err(failed(error)),
                    columns => columns.unwrap_or_default(),
                };
                let names = list_names(columns.iter().map(String::as_str));
                faults.unreadable.push(format!(
                    "shard {index} of {shards} has the columns {names}; it needs `row` and `score`, both numeric"
                ));
            }
            Err(ReadError::Content(message)) => {
                let message = shorten(&message, 200);
                faults
                    .unreadable
                    .push(format!("shard {index} of {shards} is not readable: {message}"));
            }
        }
    }
    Ok(faults.describe(shards, scores))
}

fn read_shard(
    file: &ShardFile,
    shard: Shard,
    first: u64,
    scores: &mut [f64],
    faults: &mut Faults,
) -> Result<(), ReadError> {
    let mut seen = vec![false; scores.len()];
    let mut cursor = file.read()?;
    let (mut named, mut no_row) = (0_u64, 0);
    while cursor.advance()? {
        if let Some(what) = cursor.bad() {
            return Err(ReadError::Content(what));
        }
        let row = match cursor.cell(0) {
            Cell::Number(row) if row >= 0.0 && row.fract() == 0.0 => row,
            _ => {
                no_row += 1;
                continue;
            }
        };
        named += 1;
        // Exact: a data set has fewer than 2⁵³ rows; the cast of a greater number saturates and is outside anyway.
        let place = (row as u64)
            .checked_sub(first)
            .and_then(|place| usize::try_from(place).ok());
        let Some(place) = place.filter(|place| *place < scores.len()) else {
            faults.outside.add(1, shard);
            continue;
        };
        if std::mem::replace(&mut seen[place], true) {
            faults.duplicate.add(1, shard);
            continue;
        }
        match cursor.cell(1) {
            Cell::Number(score) if score.is_finite() => scores[place] = score,
            Cell::Number(score) if score.is_nan() => faults.nan.add(1, shard),
            Cell::Number(_) => faults.infinite.add(1, shard),
            _ => faults.no_number.add(1, shard),
        }
    }
    // A format without types cannot say that a column is absent.
    if named == 0 && no_row > 0 && !file.columns()?.iter().any(|name| name == "row") {
        return Err(ReadError::Column(String::new()));
    }
    faults.no_row.add(no_row, shard);
    let absent = seen.iter().filter(|seen| !**seen).count() as u64;
    let explained = file.unscored()?;
    faults.empty.add(explained.empty, shard);
    faults.unsuitable.add(explained.unsuitable, shard);
    faults.not_finite.add(explained.not_finite, shard);
    faults.uncounted.add(explained.uncounted, shard);
    faults.untokenized.add(explained.untokenized, shard);
    faults.other_length.add(explained.other_length, shard);
    faults.undirected.add(explained.undirected, shard);
    faults.damaged.add(explained.unreadable, shard);
    let known = explained.total();
    faults.absent.add(absent.saturating_sub(known), shard);
    Ok(())
}

impl Faults {
    fn describe(self, shards: u32, scores: Vec<f64>) -> Gathered {
        let mut broken: Vec<String> = self.unreadable;
        broken.extend(
            [
                self.no_file
                    .describe("shard without a file", "shards without a file", shards),
                self.no_row
                    .describe("line without a row number", "lines without a row number", shards),
                self.outside
                    .describe("row outside of its shard", "rows outside of their shard", shards),
                self.duplicate.describe("duplicate row", "duplicate rows", shards),
            ]
            .into_iter()
            .flatten(),
        );
        let unscored = [
            self.nan.describe("NaN", "NaN", shards),
            self.infinite.describe("infinite score", "infinite scores", shards),
            self.no_number
                .describe("score that is no number", "scores that are no numbers", shards),
            self.absent
                .describe("row without a score", "rows without a score", shards),
            self.empty
                .describe("row without a value", "rows without a value", shards),
            self.unsuitable
                .describe("value of the wrong kind", "values of the wrong kind", shards),
            self.not_finite
                .describe("value that is not finite", "values that are not finite", shards),
            self.uncounted
                .describe("text with uncounted tokens", "texts with uncounted tokens", shards),
            self.untokenized.describe(
                "text that the tokenizer has no tokens for",
                "texts that the tokenizer has no tokens for",
                shards,
            ),
            self.other_length
                .describe("list of another length", "lists of another length", shards),
            self.undirected
                .describe("list without a direction", "lists without a direction", shards),
            self.damaged
                .describe("value that is not readable", "values that are not readable", shards),
        ];
        Gathered {
            scores,
            broken,
            unscored: unscored.into_iter().flatten().collect(),
        }
    }
}
