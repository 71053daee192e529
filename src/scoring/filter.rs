//! `dataset.filter`: which rows are rows of the run at all.
//!
//! The inspection reads the columns of the conditions and writes the rows that meet them, and are not held
//! out, to `trained.u64`.

use super::dataset::{Cell, Field, Kind};
use super::error::ScoringError;
use super::manifest::Manifest;
use super::overrides;
use super::reading::{Reading, Readings};
use super::store::Store;
use super::task::{Condition, Format, MAX_CONDITIONS, Task, Test};
use super::validate;
use crate::curriculum::filter::Filtered;
use crate::curriculum::split::Split;
use crate::index::trained::{self, TrainedError, TrainedRows};
use crate::store::scratch::write_whole;

const _: () = assert!(MAX_CONDITIONS <= u16::BITS as usize, "a row has a bit for each");

/// The columns that the conditions read, in their order.
pub(super) fn fields(task: &Task) -> impl Iterator<Item = Field> {
    task.filter.iter().enumerate().map(|(place, condition)| Field {
        column: condition.column.clone(),
        kind: match condition.test {
            Test::In(_) | Test::NotIn(_) => Kind::Group,
            Test::Range { .. } => Kind::Number,
        },
        asked_by: format!("`dataset.filter[{place}]`"),
    })
}

/// The conditions, and which rows meet which of them.
#[derive(Debug)]
pub(super) struct Sieve {
    conditions: Vec<Condition>,
    /// Of each, the bounds: infinite where none is set.
    bounds: Vec<(f64, f64)>,
    /// The file says of no value what it is.
    untyped: bool,
    readings: Vec<Readings>,
    /// A bit of each row for each condition that it meets: with values that are names, flags and numbers. The
    /// latter two are empty where the file has types.
    met: [Vec<u16>; 3],
}

impl Sieve {
    /// The conditions of a task; `None`: there are none.
    pub(super) fn new(task: &Task) -> Result<Option<Self>, ScoringError> {
        if task.filter.is_empty() {
            return Ok(None);
        }
        Ok(Some(Self {
            bounds: validate::bounds(task)?,
            conditions: task.filter.clone(),
            untyped: task.format == Format::Csv,
            readings: vec![Readings::default(); task.filter.len()],
            met: Default::default(),
        }))
    }

    /// Adds a row with the values that `cell` gives for the conditions. One that is bad as a whole meets
    /// none: what it holds is not known.
    pub(super) fn add<'a>(&mut self, is_bad: bool, cell: impl Fn(usize) -> Cell<'a>) -> Result<(), ScoringError> {
        let mut met = [0_u16; 3];
        let conditions = if is_bad { &[][..] } else { &self.conditions };
        for (place, condition) in conditions.iter().enumerate() {
            let bit = 1 << place;
            let (texts, wanted) = match &condition.test {
                Test::In(texts) => (texts, true),
                Test::NotIn(texts) => (texts, false),
                Test::Range { .. } => {
                    let (min, max) = self.bounds[place];
                    if matches!(cell(place), Cell::Number(number) if number.is_finite() && (min..=max).contains(&number))
                    {
                        met[Reading::Names as usize] |= bit;
                    }
                    continue;
                }
            };
            let text = match cell(place) {
                Cell::Text(text) => text,
                Cell::Empty | Cell::Unreadable => "",
                Cell::Number(_) | Cell::Unsuitable | Cell::Items(_) | Cell::Vector(_) => {
                    return Err(unsuitable(place, &condition.column));
                }
            };
            let readings = &mut self.readings[place];
            readings.see(text);
            for reading in [Reading::Names, Reading::Flags, Reading::Numbers] {
                if reading == Reading::Names || self.untyped && readings.allows(reading) {
                    let name = reading.name(text);
                    // No text of the list is empty, so that a row without a value is in none.
                    if texts.iter().any(|text| *text == name) == wanted {
                        met[reading as usize] |= bit;
                    }
                }
            }
        }
        for (reading, (rows, met)) in self.met.iter_mut().zip(met).enumerate() {
            if reading == Reading::Names as usize || self.untyped {
                rows.push(met);
            }
        }
        Ok(())
    }

    /// Whether each row meets all conditions, and how many rows meet each.
    fn finish(self) -> (Vec<bool>, Vec<u64>) {
        let mut masks = [0_u16; 3];
        for (place, (readings, condition)) in self.readings.iter().zip(&self.conditions).enumerate() {
            let reading = match condition.test {
                Test::In(_) | Test::NotIn(_) if self.untyped => readings.end(),
                _ => Reading::Names,
            };
            masks[reading as usize] |= 1 << place;
        }
        let all = masks.iter().fold(0, |all, mask| all | mask);
        let mut counts = vec![0; self.conditions.len()];
        let kept = (0..self.met[0].len()).map(|row| {
            let of = |(met, mask): (&Vec<u16>, &u16)| met.get(row).map_or(0, |met| met & mask);
            let met = self.met.iter().zip(&masks).map(of).fold(0, |all, met| all | met);
            for (place, count) in counts.iter_mut().enumerate() {
                *count += u64::from((met >> place) & 1);
            }
            met == all
        });
        (kept.collect(), counts)
    }
}

/// Writes down which rows are trained on, and returns them: those that the sieve leaves, that people do not leave `out`, and that are
/// not held out.
pub(super) fn leave(
    task: &Task,
    store: &Store,
    manifest: &mut Manifest,
    groups: &[u8],
    sieve: Option<Sieve>,
    out: impl Iterator<Item = u64>,
) -> Result<Vec<bool>, ScoringError> {
    let every = || {
        (
            vec![true; usize::try_from(manifest.rows).unwrap_or(usize::MAX)],
            Vec::new(),
        )
    };
    let (mut kept, counts) = sieve.map_or_else(every, Sieve::finish);
    let matching = kept.iter().filter(|kept| **kept).count();
    if matching == 0 {
        return Err(none_left(task, manifest.rows, &counts));
    }
    for row in out {
        kept[row as usize] = false;
    }
    for row in manifest.split().iter().flat_map(Split::held_out) {
        kept[row as usize] = false;
    }
    let trained = (0..).zip(&kept).filter(|(_, kept)| **kept).map(|(row, _)| row);
    let count = trained.clone().count() as u64;
    if count == 0 && overrides::may_leave_out(task) {
        return Err(ScoringError::DatasetEmpty(format!(
            "none of {} rows is left to train on: `scoring.overrides`, `dataset.split` and `dataset.filter` leave out all of them \
             together; let more rows pass",
            manifest.rows
        )));
    }
    if count == 0 {
        return Err(ScoringError::DatasetEmpty(format!(
            "`dataset.filter` leaves {matching} of {} rows, and `dataset.split` holds all of these out; lower \
             `dataset.split.heldOut`, or let more rows pass",
            manifest.rows
        )));
    }
    let path = store.trained(task);
    let digest = write_whole(&path, |writer| {
        trained::write(writer, trained.clone()).map_err(|e| ScoringError::io("write", &path, e))
    })?;
    if !groups.is_empty() {
        manifest.filtered_group_rows = manifest.trained_group_rows();
        for row in trained {
            manifest.filtered_group_rows[usize::from(groups[row as usize])] -= 1;
        }
    }
    manifest.filtered = Some(Filtered {
        rows: manifest.trained_rows() - count,
        key: task.key.clone(),
        digest,
    });
    Ok(kept)
}

/// Which rows are filtered out and not held out, by their numbers; `None` without a filter.
pub(super) fn filtered_out(task: &Task, store: &Store, manifest: &Manifest) -> Result<Option<Vec<bool>>, ScoringError> {
    let Some(filtered) = &manifest.filtered else {
        return Ok(None);
    };
    let path = store.trained(task);
    store.shared().pull(&path)?;
    let trained = TrainedRows::open(&path, &filtered.digest, manifest.trained_rows(), manifest.rows);
    let trained = trained.map_err(|error| match error {
        TrainedError::Io(error) => ScoringError::io("read", &path, error),
        other => ScoringError::store(&path, other),
    })?;
    let mut out = vec![true; usize::try_from(manifest.rows).unwrap_or(usize::MAX)];
    let held_out = manifest.split();
    let others = held_out.iter().flat_map(Split::held_out);
    for row in trained.as_slice().iter().copied().chain(others) {
        out[row as usize] = false;
    }
    Ok(Some(out))
}

fn unsuitable(place: usize, column: &str) -> ScoringError {
    ScoringError::ColumnNotFound(format!(
        "`dataset.filter[{place}]` names column `{column}`, which has values that are neither text nor number nor boolean; name a \
         column with one plain value per row"
    ))
}

fn none_left(task: &Task, rows: u64, counts: &[u64]) -> ScoringError {
    let conditions = task.filter.iter().zip(counts);
    let each: Vec<String> = conditions
        .map(|(condition, count)| format!("`{}` {count}", condition.column))
        .collect();
    ScoringError::DatasetEmpty(format!(
        "`dataset.filter` leaves none of {rows} rows; the condition on each column leaves by itself: {}",
        each.join(", ")
    ))
}
