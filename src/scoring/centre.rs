//! Distance of an embedding from the centre of its group: the mean of the group's embeddings, or of all where there are no groups.
//!
//! Rows near to the centre are typical of their group, rows far from it are not, and harder to learn (Sorscher et al. 2022, "Beyond neural
//! scaling laws: beating power law scaling via data pruning", section 6, with the cosine distance from the nearest of the centres that
//! k-means finds; here the groups of the data set are what k-means would find).
//!
//! Sums are kept as whole multiples of 2⁻⁶⁴, and additions of these are exact. So the centres, and with them the scores, are the same
//! bytes however the rows are divided.

use std::io::{Read, Write};
use std::ops::Range;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::counted::{self, CountedFile};
use super::dataset::{Cell, Field, Inspected, Root};
use super::error::ScoringError;
use super::groups;
use super::manifest::Manifest;
use super::shards::Unscored;
use super::store::{Shard, Store};
use super::task::{Metric, Task};

/// Most numbers of an embedding: with 256 groups their sums take 64 MiB.
pub(super) const MAX_NUMBERS: usize = 1 << 14;
/// Numbers from here on are taken for infinite: the sum of 2³³ smaller ones fits.
const LIMIT: f64 = (1_u64 << 30) as f64;
/// What a number is multiplied by, so that its sum is one of whole numbers.
const SCALE: f64 = (1_u128 << 64) as f64;
const WIDTH: u64 = size_of::<i128>() as u64;
/// Rows that are looked at first for the length of the embeddings.
const FIRST_LOOK: u64 = 64;

/// Why a value is no embedding of this data set; `None`: it is one.
fn fault(cell: &Cell<'_>, length: Option<usize>) -> Option<Unscored> {
    match cell {
        Cell::Empty => Some(Unscored::Empty),
        Cell::Unreadable => Some(Unscored::Unreadable),
        Cell::Vector(numbers) if numbers.iter().any(|number| number.is_nan() || number.abs() >= LIMIT) => {
            Some(Unscored::NotFinite)
        }
        Cell::Vector(numbers) if numbers.is_empty() || length.is_some_and(|length| length != numbers.len()) => {
            Some(Unscored::OtherLength)
        }
        Cell::Vector(_) => None,
        _ => Some(Unscored::Unsuitable),
    }
}

/// How many numbers the embeddings have: as many as the first one of the data set. `None`: there is none.
///
/// # Errors
/// [`ScoringError::ScoresInvalid`] when it has more than [`MAX_NUMBERS`]; those of the data set.
fn length(
    task: &Task,
    root: &Root,
    store: &Store,
    manifest: &Manifest,
    field: &Field,
) -> Result<Option<usize>, ScoringError> {
    let (mut from, mut look, mut found) = (0, FIRST_LOOK, None);
    while from < manifest.rows && found.is_none() {
        let rows = from..from.saturating_add(look).min(manifest.rows);
        let dataset = Inspected::open(task, root, store, manifest, rows.clone())?;
        dataset.for_each_row(std::slice::from_ref(field), |_, cursor| {
            let cell = cursor.cell(0);
            if found.is_none()
                && fault(&cell, None).is_none()
                && let Cell::Vector(numbers) = cell
            {
                found = Some(numbers.len());
            }
            Ok(())
        })?;
        (from, look) = (rows.end, look.saturating_mul(8));
    }
    match found {
        Some(length) if length > MAX_NUMBERS => Err(ScoringError::ScoresInvalid(format!(
            "{} reads column `{}`, whose lists have {length} numbers; at most {MAX_NUMBERS} are taken",
            field.asked_by, field.column
        ))),
        found => Ok(found),
    }
}

/// The sum of a group's embeddings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Sum {
    /// Embeddings in it.
    rows: u64,
    /// In multiples of 2⁻⁶⁴; empty where there are no embeddings.
    numbers: Vec<i128>,
}

impl Sum {
    fn add(&mut self, rows: u64, numbers: impl ExactSizeIterator<Item = i128>) {
        self.numbers.resize(numbers.len(), 0);
        self.rows += rows;
        for (sum, number) in self.numbers.iter_mut().zip(numbers) {
            // Of no data set that there is does the sum reach the end.
            *sum = sum.saturating_add(number);
        }
    }

    fn mean(&self) -> Vec<f64> {
        let count = self.rows.max(1) as f64;
        self.numbers.iter().map(|sum| *sum as f64 / SCALE / count).collect()
    }
}

/// The first line of a file of sums.
#[derive(Serialize, Deserialize, Debug)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Of {
    /// Numbers of an embedding; 0: the data set has none.
    length: u64,
    /// Embeddings of each group.
    rows: Vec<u64>,
}

impl Of {
    /// Length of the sums in bytes: there is one for each group that has embeddings in this shard.
    fn bytes(&self) -> Option<u64> {
        let groups = self.rows.iter().filter(|rows| **rows > 0).count() as u64;
        let length = self.length.checked_mul(WIDTH)?;
        (self.length <= MAX_NUMBERS as u64)
            .then(|| length.checked_mul(groups))
            .flatten()
    }
}

/// Sums of a shard's embeddings, as they are counted.
pub(super) struct Sums {
    length: Option<usize>,
    groups: Groups,
    sums: Vec<Sum>,
}

/// The group of each of a shard's rows.
struct Groups {
    first: u64,
    of_rows: Option<Vec<u8>>,
}

impl Groups {
    fn load(task: &Task, store: &Store, rows: &Range<u64>) -> Result<Self, ScoringError> {
        let of_rows = groups::of_rows(task, store, rows)?;
        let first = rows.start;
        Ok(Self { first, of_rows })
    }

    fn of(&self, row: u64) -> usize {
        let groups = self.of_rows.as_ref();
        groups.map_or(0, |groups| usize::from(groups[(row - self.first) as usize]))
    }
}

fn group_count(manifest: &Manifest) -> usize {
    manifest.group_rows.len().max(1)
}

impl Sums {
    /// For the rows of a shard.
    ///
    /// # Errors
    /// [`ScoringError::ScoresInvalid`] when the embeddings are too long; those of the data set and the store.
    pub(super) fn new(
        task: &Task,
        root: &Root,
        store: &Store,
        manifest: &Manifest,
        field: &Field,
        rows: &Range<u64>,
    ) -> Result<Self, ScoringError> {
        Ok(Self {
            length: length(task, root, store, manifest, field)?,
            groups: Groups::load(task, store, rows)?,
            sums: vec![Sum::default(); group_count(manifest)],
        })
    }

    /// Adds a row.
    pub(super) fn add(&mut self, row: u64, cell: Cell<'_>) {
        if let (None, Cell::Vector(numbers)) = (fault(&cell, self.length), cell)
            && let Some(sum) = self.sums.get_mut(self.groups.of(row))
        {
            sum.add(1, numbers.iter().map(|number| (number * SCALE) as i128));
        }
    }

    /// Leaves them at that path.
    pub(super) fn write(self, path: &Path, manifest: &Manifest) -> Result<(), ScoringError> {
        let of = Of {
            length: self.length.unwrap_or_default() as u64,
            rows: self.sums.iter().map(|sum| sum.rows).collect(),
        };
        counted::write(path, manifest, &of, |writer| {
            let mut numbers = self.sums.iter().flat_map(|sum| &sum.numbers);
            numbers.try_for_each(|number| writer.write_all(&number.to_le_bytes()))
        })
    }
}

/// The centres of all groups, and the groups of a shard's rows.
pub(super) struct Centres {
    metric: Metric,
    length: Option<usize>,
    groups: Groups,
    centres: Vec<Centre>,
}

#[derive(Default)]
struct Centre {
    mean: Vec<f64>,
    /// Its Euclidean length.
    norm: f64,
}

impl Centres {
    /// The centres by the sums of all shards, for the rows of one.
    ///
    /// # Errors
    /// When the sums of a shard are missing or not readable.
    pub(super) fn load(
        store: &Store,
        task: &Task,
        scorer: &str,
        metric: Metric,
        shard: Shard,
        manifest: &Manifest,
    ) -> Result<Self, ScoringError> {
        let mut sums = vec![Sum::default(); group_count(manifest)];
        let mut lengths = None;
        for index in 0..task.shards {
            let path = store.sums(task, scorer, Shard { index, ..shard });
            let (file, of) = CountedFile::open(store, path.clone(), manifest, |of: &Of| {
                (of.rows.len() == sums.len()).then(|| of.bytes()).flatten()
            })?;
            if *lengths.get_or_insert(of.length) != of.length {
                return Err(ScoringError::store(
                    &path,
                    "its lists have another length than those of other shards",
                ));
            }
            file.read(0, |file| {
                for (sum, rows) in sums.iter_mut().zip(of.rows).filter(|(_, rows)| *rows > 0) {
                    let mut bytes = vec![0; (of.length * WIDTH) as usize];
                    file.read_exact(&mut bytes)?;
                    let numbers = bytes.as_chunks::<{ WIDTH as usize }>().0.iter();
                    sum.add(rows, numbers.map(|number| i128::from_le_bytes(*number)));
                }
                Ok(())
            })?;
        }
        let centre = |sum: &Sum| {
            let mean = sum.mean();
            let norm = product(&mean, &mean).sqrt();
            Centre { mean, norm }
        };
        Ok(Self {
            metric,
            length: lengths.map(|length| length as usize),
            groups: Groups::load(task, store, &shard.rows(manifest.rows))?,
            centres: sums.iter().map(centre).collect(),
        })
    }

    /// The distance of a row's embedding x from the centre c of its group: 1 − x·c / (|x| |c|), from 0 to 2, or |x − c|.
    pub(super) fn distance(&self, row: u64, cell: Cell<'_>) -> Result<f64, Unscored> {
        let centre = self.centres.get(self.groups.of(row));
        let (Cell::Vector(numbers), Some(centre)) = (cell, centre) else {
            return Err(fault(&cell, None).unwrap_or(Unscored::Unsuitable));
        };
        if let Some(reason) = fault(&cell, self.length) {
            return Err(reason);
        }
        match self.metric {
            Metric::Cosine => {
                let norms = product(numbers, numbers).sqrt() * centre.norm;
                if norms > 0.0 {
                    let cosine = product(numbers, &centre.mean) / norms;
                    Ok((1.0 - cosine).clamp(0.0, 2.0))
                } else {
                    Err(Unscored::Undirected)
                }
            }
            Metric::Euclidean => {
                let square = |number: f64, mean: f64| (number - mean) * (number - mean);
                Ok(sum(numbers, &centre.mean, square).sqrt())
            }
        }
    }
}

fn product(a: &[f64], b: &[f64]) -> f64 {
    sum(a, b, |a, b| a * b)
}

/// The sum over the pairs, always in the same order: in eight sums side by side, which the processor adds at once.
fn sum(a: &[f64], b: &[f64], term: impl Fn(f64, f64) -> f64) -> f64 {
    let mut sums = [0.0; 8];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    for (a, b) in a.iter().zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += term(*a, *b);
        }
    }
    for ((sum, a), b) in sums.iter_mut().zip(a_rest).zip(b_rest) {
        *sum += term(*a, *b);
    }
    sums.iter().sum()
}
