//! What people say of rows, in a file beside the data: `scoring.overrides`. It stands above what scorers say.
//!
//! ```text
//! file ─read─► a line for each row or id ─see─► rows ─finish─► overrides.csv, counts in the manifest      the inspection
//!                                                                   └─load─► apply: scores of these rows  the index
//! ```
//!
//! Lines name people and their reasons; these stay in the file. What goes on from here are rows, ranks and counts.

mod apply;
mod read;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Write;

use serde::{Deserialize, Serialize};

pub(super) use self::apply::{apply, load};
use self::read::{Line, read};
use super::companions::Companion;
use super::dataset::{Cell, Field, Root};
use super::error::ScoringError;
use super::joined::{self, Id, Key, id_of};
use super::manifest::Manifest;
use super::store::Store;
use super::task::{Overrides, Task};
use crate::curriculum::canonical;
use crate::curriculum::split::Split;
use crate::index::summary;
use crate::store::scratch::write_whole;

/// Most lines of a file.
pub const MAX_LINES: usize = 1_000_000;
/// Most characters of `who`.
pub const MAX_WHO: usize = 256;
/// Most characters of `reason`.
pub const MAX_REASON: usize = 2000;
/// What stands in place of a rank where the row is to be left out.
pub const OUT: &str = "out";

const ASKED_BY: &str = "`scoring.overrides`";

/// What the inspection made of the file.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum Found {
    /// The rows and their ranks are on the store.
    Usable {
        /// SHA-256 of `overrides.csv` as `sha256:…`.
        ranks: String,
        /// What is told of them.
        told: summary::Overrides,
    },
    /// The file is not to be used: why, in words. Scoring fails by it.
    Faulty(String),
}

/// The file as it is named in messages.
pub(super) fn companion(overrides: &Overrides) -> Companion<'_> {
    Companion {
        path: &overrides.path,
        field: "scoring.overrides.path".to_owned(),
    }
}

/// The column of the data set with ids, if people name rows by these.
pub(super) fn field(task: &Task) -> Option<Field> {
    joined::field_of_data(&task.overrides.as_ref()?.join, ASKED_BY)
}

/// Whether people may leave rows out.
pub(super) fn may_leave_out(task: &Task) -> bool {
    task.overrides.as_ref().is_some_and(|overrides| overrides.leave_out)
}

/// What the manifest says of the task's overrides; `None`: it has none.
///
/// # Errors
/// [`ScoringError::ScoresInvalid`] when they are not to be used.
pub(super) fn usable<'a>(
    task: &Task,
    manifest: &'a Manifest,
) -> Result<Option<(&'a str, &'a summary::Overrides)>, ScoringError> {
    match (&task.overrides, &manifest.overrides) {
        (None, _) => Ok(None),
        (Some(_), Some(Found::Usable { ranks, told })) => Ok(Some((ranks, told))),
        (Some(_), Some(Found::Faulty(words))) => Err(ScoringError::ScoresInvalid(words.clone())),
        (Some(overrides), None) => Err(companion(overrides).wrong("which was not inspected")),
    }
}

/// The file while the data set is being inspected.
pub(super) struct Survey<'a> {
    overrides: &'a Overrides,
    /// What was read, or why nothing was.
    lines: Result<Lines, String>,
}

/// The last line about each row or id.
struct Lines {
    last: HashMap<Key, Line>,
    superseded: u64,
    /// SHA-256 of the file before it was read.
    digest: String,
    /// Rows of the data set with an id that a line has.
    met: Vec<(u64, Id)>,
}

/// What people said of each row.
pub(super) struct Said {
    digest: String,
    superseded: u64,
    unknown: u64,
    rows: BTreeMap<u64, Line>,
}

impl<'a> Survey<'a> {
    /// Reads the task's file; `None`: it has none.
    ///
    /// # Errors
    /// [`ScoringError::Io`] when the disk or the network failed, which may pass; and any fault of a file that may leave rows out:
    /// nobody is to train on these.
    pub(super) fn begin(task: &'a Task, root: &Root) -> Result<Option<Self>, ScoringError> {
        let Some(overrides) = &task.overrides else {
            return Ok(None);
        };
        let lines = companion(overrides).digest(root).and_then(|digest| {
            let (last, superseded) = read(overrides, root)?;
            Ok(Lines {
                last,
                superseded,
                digest,
                met: Vec::new(),
            })
        });
        let lines = tolerate(overrides, lines)?;
        Ok(Some(Self { overrides, lines }))
    }

    /// Sees a row with its id.
    pub(super) fn see(&mut self, row: u64, cell: Cell<'_>) {
        if let (Ok(lines), Cell::Text(id)) = (&mut self.lines, cell)
            && !lines.last.is_empty()
        {
            let id = id_of(id);
            if lines.last.contains_key(&Key::Id(id)) {
                lines.met.push((row, id));
            }
        }
    }

    /// What was said of the rows of the data set, once all were seen.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub(super) fn end(self, manifest: &Manifest) -> Result<Result<Said, String>, ScoringError> {
        let companion = companion(self.overrides);
        let lines = match self.lines {
            Ok(lines) => lines,
            Err(words) => return Ok(Err(words)),
        };
        let changed = companion.compare(&lines.digest, manifest);
        let said = changed.and_then(|()| lines.of_rows(manifest.rows, &companion, self.overrides));
        tolerate(self.overrides, said)
    }
}

impl Lines {
    fn of_rows(self, rows: u64, companion: &Companion<'_>, overrides: &Overrides) -> Result<Said, ScoringError> {
        let Self {
            mut last,
            superseded,
            digest,
            met,
        } = self;
        let mut outside = read::Fault::default();
        let mut ids: HashSet<Id> = HashSet::new();
        let mut said: BTreeMap<u64, Line> = BTreeMap::new();
        for (row, id) in met {
            ids.insert(id);
            said.extend(last.get(&Key::Id(id)).map(|line| (row, line.clone())));
        }
        last.retain(|key, line| match key {
            Key::Row(row) if *row < rows => {
                said.insert(*row, line.clone());
                false
            }
            Key::Row(_) => {
                outside.add(line.place);
                false
            }
            Key::Id(id) => !ids.contains(id),
        });
        let what = format!("name a row that the data set does not have: it has {rows}, counted from 0");
        match outside.describe(overrides.format, &what) {
            Some(words) => Err(companion.wrong(&format!("of which {words}"))),
            None => Ok(Said {
                digest,
                superseded,
                unknown: last.len() as u64,
                rows: said,
            }),
        }
    }
}

impl Said {
    /// The rows that are to be left out.
    pub(super) fn left_out(&self) -> impl Iterator<Item = u64> + '_ {
        let out = self.rows.iter().filter(|(_, line)| line.rank.is_none());
        out.map(|(row, _)| *row)
    }
}

/// Writes the ranks of the rows that are trained on to the store, and what is told of them to the manifest. `kept` has these rows,
/// where some are filtered out.
///
/// # Errors
/// Those of the store.
pub(super) fn leave(
    task: &Task,
    store: &Store,
    manifest: &mut Manifest,
    said: Result<Said, String>,
    kept: Option<&[bool]>,
) -> Result<(), ScoringError> {
    let said = match said {
        Ok(said) => said,
        Err(words) => {
            tracing::warn!("the overrides are not used: {words}");
            manifest.overrides = Some(Found::Faulty(words));
            return Ok(());
        }
    };
    let held_out: HashSet<u64> = manifest
        .split()
        .iter()
        .flat_map(Split::held_out)
        .filter(|row| said.rows.contains_key(row))
        .collect();
    let is_kept = |row: &u64| kept.is_none_or(|kept| kept.get(*row as usize).copied().unwrap_or(false));
    let trained = said
        .rows
        .iter()
        .filter(|(row, _)| !held_out.contains(row) && is_kept(row));
    let left_out = said.left_out().count() as u64;
    let (mut people, mut latest, mut rows) = (HashSet::new(), None, 0);
    let mut table = csv::Writer::from_writer(Vec::new());
    let path = store.overrides(task);
    for (row, line) in trained {
        let Some(rank) = line.rank else { continue };
        people.insert(line.who);
        latest = latest.max(Some(line.when));
        rows += 1;
        let written = table.serialize((row, rank));
        written.map_err(|e| ScoringError::io("write", &path, e.into()))?;
    }
    let table = table
        .into_inner()
        .map_err(|e| ScoringError::io("write", &path, e.into_error()))?;
    write_whole(&path, |writer| {
        let written = writer.write_all(&table);
        written.map_err(|e| ScoringError::io("write", &path, e))
    })?;
    manifest.overrides = Some(Found::Usable {
        ranks: canonical::sha256(&table),
        told: summary::Overrides {
            digest: said.digest,
            rows,
            left_out,
            people: people.len() as u64,
            // As times are told elsewhere.
            latest: latest.and_then(|latest| jiff::Timestamp::from_second(latest.as_second()).ok()),
            superseded: said.superseded,
            unknown: said.unknown,
        },
    });
    Ok(())
}

/// A fault of the file is scoring's affair, unless rows may be left out by it.
fn tolerate<T>(overrides: &Overrides, done: Result<T, ScoringError>) -> Result<Result<T, String>, ScoringError> {
    match done {
        Ok(done) => Ok(Ok(done)),
        Err(ScoringError::ScoresInvalid(words)) if overrides.leave_out => Err(ScoringError::DatasetUnreadable(words)),
        Err(ScoringError::ScoresInvalid(words)) => Ok(Err(words)),
        Err(error) => Err(error),
    }
}
