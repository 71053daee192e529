//! Scores that somebody has already: a file beside the data, joined by row number or by an id.

use std::collections::HashMap;
use std::ops::Range;

use super::companions::Companion;
use super::dataset::{Cell, Field, Kind, Part, ReadError, Root};
use super::error::ScoringError;
use super::joined::{self, Id, Key, id_of};
use super::manifest::Manifest;
use super::shards::Unscored;
use super::task::{Join, ScorerKind, Task};

/// A row's score, or why it has none.
pub(super) type Given = Result<f64, Unscored>;

/// The scores of a file.
pub(super) enum GivenScores {
    /// Of the rows of a shard, from its first one; `None`: the file does not name the row.
    ByRow(Vec<Option<Given>>),
    /// By id.
    ById(HashMap<Id, Given>),
}

/// Why a file's lines are no scores of this data set, counted.
#[derive(Default)]
struct Faults {
    no_key: u64,
    outside: u64,
    twice: u64,
}

impl GivenScores {
    /// Reads the file of the task's scorer `name`, as far as it is about `rows`.
    ///
    /// # Errors
    /// [`ScoringError::ScoresInvalid`] names the field when the file is not the one that was inspected, lacks a column, names a row twice
    /// or one that does not exist; [`ScoringError::Io`] when the disk or the network failed, which may pass.
    pub(super) fn read(
        task: &Task,
        name: &str,
        root: &Root,
        manifest: &Manifest,
        rows: &Range<u64>,
    ) -> Result<Self, ScoringError> {
        let found = task.scorers.iter().find(|scorer| scorer.name == name);
        let Some(ScorerKind::File {
            path,
            format,
            delimiter,
            score_column,
            join,
        }) = found.map(|scorer| &scorer.kind)
        else {
            return Err(ScoringError::InvalidTask(format!(
                "scorer `{name}` reads no file of scores"
            )));
        };
        let companion = Companion::of_name(task, name)?;
        let file = joined::file(root, path, *format, *delimiter);
        companion.check(root, manifest)?;
        let explain = |error| companion.explain(&file.path, error);
        let asked_by = format!("scorer `{name}`");
        let key = joined::column(join);
        let score = Field {
            column: score_column.clone(),
            kind: Kind::Number,
            asked_by: asked_by.clone(),
        };
        let fields = [joined::field(join, &asked_by), score];
        let mut cursor = file.read(&fields, Part::default()).map_err(explain)?;
        let mut faults = Faults::default();
        let (mut named, mut scored) = (0_u64, 0_u64);
        let mut scores = match join {
            Join::Row { .. } => Self::ByRow(vec![None; usize::try_from(rows.end - rows.start).unwrap_or(usize::MAX)]),
            Join::Id { .. } => Self::ById(HashMap::new()),
        };
        while cursor.advance().map_err(explain)? {
            if let Some(what) = cursor.bad() {
                return Err(explain(ReadError::Content(what)));
            }
            let score = match cursor.cell(1) {
                Cell::Number(score) if score.is_finite() => Ok(score),
                Cell::Number(_) => Err(Unscored::NotFinite),
                Cell::Empty => Err(Unscored::Empty),
                Cell::Unreadable => Err(Unscored::Unreadable),
                Cell::Unsuitable | Cell::Text(_) | Cell::Items(_) | Cell::Vector(_) => Err(Unscored::Unsuitable),
            };
            scored += u64::from(score.is_ok());
            named += u64::from(scores.take(cursor.cell(0), score, rows, manifest.rows, &mut faults));
        }
        let faulty = named == 0 || faults.no_key + faults.outside + faults.twice > 0;
        if faulty || scored == 0 {
            // A format without types cannot say that a column is absent.
            let columns = file.columns().map_err(explain)?;
            if let Some(column) = [key, score_column]
                .into_iter()
                .find(|name| !columns.iter().any(|known| known == name))
            {
                return Err(companion.wrong(&format!("which has no column `{column}`")));
            }
        }
        if faulty {
            return Err(companion.wrong(&faults.describe(key, manifest.rows)));
        }
        Ok(scores)
    }

    /// Takes a line over. True when it names a row.
    fn take(&mut self, key: Cell<'_>, score: Given, rows: &Range<u64>, all: u64, faults: &mut Faults) -> bool {
        match (self, Key::of(key)) {
            (Self::ByRow(scores), Some(Key::Row(row))) => {
                if row >= all {
                    faults.outside += 1;
                } else if rows.contains(&row) {
                    let place = &mut scores[(row - rows.start) as usize];
                    faults.twice += u64::from(place.replace(score).is_some());
                }
                true
            }
            (Self::ById(scores), Some(Key::Id(id))) => {
                faults.twice += u64::from(scores.insert(id, score).is_some());
                true
            }
            _ => {
                faults.no_key += 1;
                false
            }
        }
    }

    /// The score of a row by its place in the shard or the cell of its id; `None`: the file does not name it.
    pub(super) fn of(&self, place: usize, id: Option<Cell<'_>>) -> Option<Given> {
        match (self, id) {
            (Self::ByRow(scores), _) => *scores.get(place)?,
            (Self::ById(scores), Some(Cell::Text(id))) => scores.get(&id_of(id)).copied(),
            (Self::ById(_), Some(Cell::Unreadable)) => Some(Err(Unscored::Unreadable)),
            (Self::ById(_), _) => None,
        }
    }
}

impl Faults {
    /// In words, without any row or id.
    fn describe(&self, key: &str, rows: u64) -> String {
        let mut found = Vec::new();
        if self.no_key > 0 {
            found.push(format!("{} lines have no usable value in column `{key}`", self.no_key));
        }
        if self.outside > 0 {
            found.push(format!(
                "{} lines name rows beyond those of the data set, which has {rows}, counted from 0",
                self.outside
            ));
        }
        if self.twice > 0 {
            found.push(format!("{} lines name a row that another one names", self.twice));
        }
        if found.is_empty() {
            found.push("which has no lines".to_owned());
            return found.concat();
        }
        format!("of which {}", found.join(", "))
    }
}
