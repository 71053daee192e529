//! The rows that a simulation draws from: those of a score index, or rows that stand for a data set of some size and groups.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::error::SimulateError;
use crate::curriculum::filter::Filtered;
use crate::curriculum::order::{OrderScope, RowOrder};
use crate::curriculum::plan::{Facts, MAX_GROUPS, PlanScores};
use crate::curriculum::share::Share;
use crate::curriculum::split::{HeldOut, Split};
use crate::index::map::ScoreIndex;
use crate::index::trained;
use crate::scoring::manifest::Manifest;

/// Most rows whose places are kept in memory (4 bytes each): with groups or an index.
const MAX_PLACED: u64 = u32::MAX as u64;

/// Rows, their groups and their order.
#[derive(Debug)]
pub struct Population {
    order: Ordered,
    /// Rows to train on.
    rows: u64,
    held_out: Option<HeldOut>,
    filtered: Option<Filtered>,
    group_names: Vec<String>,
    /// Rows of each group to train on.
    group_rows: Vec<u64>,
}

/// An order of rows.
#[derive(Debug)]
pub enum Ordered {
    /// Rows without scores.
    Even(Even),
    /// A score index.
    Index(ScoreIndex),
}

/// Rows that stand for a data set: row r of N has rank (r + 1)/N, also as its score, and all are different. The rows of a group are
/// spread evenly over the ranks: of n rows, row j is placed as if its rank were (j + ½)/n.
#[derive(Debug)]
pub struct Even {
    rows: u64,
    /// Rows of each group, easy first, one group after the other; empty without groups.
    grouped: Vec<u32>,
    /// Where each group begins in `grouped`, and last the number of rows.
    offsets: Vec<u64>,
}

impl Even {
    /// The rows of groups of these sizes; one order without groups if there is none.
    fn new(rows: u64, group_rows: &[u64]) -> Self {
        let mut offsets = vec![0];
        offsets.extend(group_rows.iter().scan(0, |end, rows| {
            *end += rows;
            Some(*end)
        }));
        let mut grouped = vec![0; if group_rows.is_empty() { 0 } else { rows as usize }];
        // The next row of each group, by its place (j + ½)/n.
        let mut next: BTreeMap<(Place, usize), u64> = BTreeMap::new();
        for (group, &n) in group_rows.iter().enumerate().filter(|&(_, &n)| n > 0) {
            next.insert((Place { odd: 1, n }, group), offsets[group]);
        }
        let mut row = 0;
        while let Some(((place, group), at)) = next.pop_first() {
            grouped[at as usize] = row;
            row += 1;
            if at + 1 < offsets[group + 1] {
                next.insert(
                    (
                        Place {
                            odd: place.odd + 2,
                            ..place
                        },
                        group,
                    ),
                    at + 1,
                );
            }
        }
        Self { rows, grouped, offsets }
    }

    fn scope(&self, scope: OrderScope) -> Option<&[u32]> {
        let OrderScope::Group(group) = scope else { return None };
        let group = group as usize;
        let (start, end) = (self.offsets.get(group)?, self.offsets.get(group + 1)?);
        self.grouped.get(*start as usize..*end as usize)
    }
}

/// odd / 2n.
#[derive(Clone, Copy, Debug)]
struct Place {
    odd: u64,
    n: u64,
}

impl Ord for Place {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let product = |odd: u64, n: u64| u128::from(odd) * u128::from(n);
        // Equal places of groups of different sizes are told apart by the group's number.
        product(self.odd, other.n).cmp(&product(other.odd, self.n))
    }
}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Place {}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl RowOrder for Even {
    fn row(&self, scope: OrderScope, position: u64) -> u64 {
        match self.scope(scope) {
            Some(rows) => rows.get(position as usize).copied().map_or(0, u64::from),
            None => position,
        }
    }

    fn rows(&self, scope: OrderScope, positions: &mut [u64]) {
        if let Some(rows) = self.scope(scope) {
            for position in positions {
                *position = rows.get(*position as usize).copied().map_or(0, u64::from);
            }
        }
    }

    /// ⌊score · N⌋, bounded by 0 and N.
    fn at_most(&self, score: f64) -> u64 {
        // The cast saturates.
        ((score * self.rows as f64).floor() as u64).min(self.rows)
    }
}

impl Ordered {
    /// Whether the rows' lengths in tokens are known.
    fn has_lengths(&self) -> bool {
        matches!(self, Self::Index(index) if index.row_lengths().is_some())
    }
}

impl RowOrder for Ordered {
    fn row(&self, scope: OrderScope, position: u64) -> u64 {
        match self {
            Self::Even(even) => even.row(scope, position),
            Self::Index(index) => index.row(scope, position),
        }
    }

    fn rows(&self, scope: OrderScope, positions: &mut [u64]) {
        match self {
            Self::Even(even) => even.rows(scope, positions),
            Self::Index(index) => RowOrder::rows(index, scope, positions),
        }
    }

    fn at_most(&self, score: f64) -> u64 {
        match self {
            Self::Even(even) => even.at_most(score),
            Self::Index(index) => index.at_most(score),
        }
    }

    fn with_ties(&self, rows: u64) -> u64 {
        match self {
            Self::Even(even) => even.with_ties(rows),
            Self::Index(index) => index.with_ties(rows),
        }
    }

    fn lengths(&self, rows: &[u64], out: &mut [u32]) {
        match self {
            Self::Even(even) => even.lengths(rows, out),
            Self::Index(index) => index.lengths(rows, out),
        }
    }
}

impl Population {
    /// `rows` rows, in groups of given names and sizes if there are any.
    ///
    /// # Errors
    /// When the groups do not have `rows` rows together, or are too many.
    pub fn even(rows: u64, groups: Vec<(String, u64)>, argument: &'static str) -> Result<Self, SimulateError> {
        let (group_names, group_rows): (Vec<String>, Vec<u64>) = groups.into_iter().unzip();
        let sum: u128 = group_rows.iter().map(|&n| u128::from(n)).sum();
        let problem = if group_rows.is_empty() {
            None
        } else if group_rows.len() > MAX_GROUPS {
            Some(format!(
                "{} groups; at most {MAX_GROUPS} are possible",
                group_rows.len()
            ))
        } else if sum != u128::from(rows) {
            Some(format!(
                "the groups have {sum} rows together, but there are {rows} rows"
            ))
        } else if rows > MAX_PLACED {
            Some(format!(
                "{rows} rows with groups; at most {MAX_PLACED} can be simulated: divide all numbers by the same"
            ))
        } else {
            None
        };
        if let Some(problem) = problem {
            return Err(SimulateError::argument(argument, problem));
        }
        Ok(Self {
            order: Ordered::Even(Even::new(rows, &group_rows)),
            rows,
            held_out: None,
            filtered: None,
            group_names,
            group_rows,
        })
    }

    /// The rows and scores of a score index, of which `split` (fraction and seed) holds some out and a filter
    /// leaves some out.
    ///
    /// # Errors
    /// When the file is no index that can be used, or one of another split or without a filter.
    pub fn index(path: &Path, split: Option<(Share, u64)>, is_filtered: bool) -> Result<Self, SimulateError> {
        let index = ScoreIndex::open(path, None).map_err(|source| SimulateError::Index {
            path: path.to_owned(),
            source,
        })?;
        let rows = index.len();
        if rows > MAX_PLACED {
            let problem = format!("{rows} rows; an index of at most {MAX_PLACED} can be simulated");
            return Err(SimulateError::argument("--index", problem));
        }
        let group_names = index.group_names().to_vec();
        let mut group_rows = if group_names.is_empty() {
            Vec::new()
        } else {
            index.group_rows()
        };
        let held_out = split.map(|(fraction, seed)| HeldOut::of(fraction, rows, seed));
        let mut trained_rows = rows - held_out.map_or(0, |held_out| held_out.rows);
        let mut filtered = None;
        if held_out.is_some() || is_filtered {
            // Rows that are not trained on are the last ones of the index, and of each group, and have no
            // rank.
            if is_filtered {
                trained_rows = index.ranks().partition_point(|rank| !rank.is_nan()) as u64;
            }
            let (trained, tail) = index.rows().split_at(trained_rows as usize);
            let mut apart = vec![false; rows as usize];
            tail.iter().for_each(|row| apart[*row as usize] = true);
            let split = held_out.map(|held_out| Split::new(rows, held_out));
            if !split.iter().flat_map(Split::held_out).all(|row| apart[row as usize]) {
                let problem = "its last rows are not those that the job's `dataset.split` holds out: it is the index of another job";
                return Err(SimulateError::argument("--index", problem.to_owned()));
            }
            if trained.is_empty() {
                let problem = "it has no row to train on: it is the index of another job";
                return Err(SimulateError::argument("--index", problem.to_owned()));
            }
            for (group, count) in (0_u32..).zip(&mut group_rows) {
                let scope = OrderScope::Group(group);
                *count = (0..*count).filter(|at| !apart[index.row(scope, *at) as usize]).count() as u64;
            }
            // As the inspection has it, so that the plan is the operator's.
            let ascending = (0..rows).filter(|row| !apart[*row as usize]);
            filtered = is_filtered.then(|| Filtered {
                rows: tail.len() as u64 - held_out.map_or(0, |held_out| held_out.rows),
                key: index.key().to_owned(),
                digest: trained::digest_of(ascending),
            });
        }
        Ok(Self {
            rows: trained_rows,
            held_out,
            filtered,
            group_rows,
            group_names,
            order: Ordered::Index(index),
        })
    }

    /// As many rows, in the same groups, as a data set has of which `curriculum inspect` left a manifest.
    ///
    /// # Errors
    /// When the file is no manifest.
    pub fn manifest(path: &Path) -> Result<Self, SimulateError> {
        let io = |source| SimulateError::Io {
            path: path.to_owned(),
            source,
        };
        let text = fs::read(path).map_err(io)?;
        let wrong = |problem: String| SimulateError::File {
            path: path.to_owned(),
            problem,
        };
        // The name of a file plays no part here.
        let manifest = Manifest::parse(&text, "").map_err(|e| wrong(format!("no manifest: {e}")))?;
        if manifest.group_names.len() != manifest.group_rows.len() {
            return Err(wrong("`groupNames` and `groupRows` differ in number".to_owned()));
        }
        let (rows, group_rows) = (manifest.trained_rows(), manifest.trained_group_rows());
        let groups = manifest.group_names.into_iter().zip(group_rows).collect();
        Self::even(rows, groups, "--manifest")
    }

    /// Number of rows in the data set: row numbers are less.
    pub fn dataset_rows(&self) -> u64 {
        let held_out = self.held_out.map_or(0, |held_out| held_out.rows);
        self.rows + held_out + self.filtered.as_ref().map_or(0, |filtered| filtered.rows)
    }

    /// Number of rows to train on.
    pub const fn rows(&self) -> u64 {
        self.rows
    }

    /// The order, for the sampler.
    pub const fn order(&self) -> &Ordered {
        &self.order
    }

    /// The groups' values; empty without groups.
    pub fn group_names(&self) -> &[String] {
        &self.group_names
    }

    /// Rows of each group; empty without groups.
    pub fn group_rows(&self) -> &[u64] {
        &self.group_rows
    }

    /// Whether the rows' lengths in tokens are known.
    pub fn has_lengths(&self) -> bool {
        self.order.has_lengths()
    }

    /// Whether rows have the scores of a scorer.
    pub const fn has_scores(&self) -> bool {
        matches!(self.order, Ordered::Index(_))
    }

    /// The order, without what is known of groups.
    pub fn into_order(self) -> Ordered {
        self.order
    }

    /// What a plan needs to know.
    pub fn facts(&self, seed: u64) -> Facts {
        Facts {
            seed,
            rows: self.rows,
            group_rows: self.group_rows.clone(),
            groups: self.group_names.iter().cloned().zip(0..).collect(),
            held_out: self.held_out,
            filtered: self.filtered.clone(),
            // Which index it is decides over no row.
            scores: Some(PlanScores {
                key: "simulated".to_owned(),
                digest: "sha256:simulated".to_owned(),
            }),
            lasted: BTreeMap::new(),
        }
    }

    /// Tables from rows to their places and groups, for counting what was drawn.
    pub fn lookup(&self) -> Lookup<'_> {
        let places = match &self.order {
            Ordered::Even(_) => None,
            Ordered::Index(index) => {
                let mut places = vec![0; self.dataset_rows() as usize];
                for (place, &row) in (0..).zip(index.rows()) {
                    if let Some(slot) = places.get_mut(row as usize) {
                        *slot = place;
                    }
                }
                Some(places)
            }
        };
        let mut groups = vec![
            0;
            if self.group_rows.is_empty() {
                0
            } else {
                self.dataset_rows() as usize
            }
        ];
        for (group, &rows) in (0_u8..=255).zip(&self.group_rows) {
            for position in 0..rows {
                let row = self.order.row(OrderScope::Group(u32::from(group)), position);
                if let Some(slot) = groups.get_mut(row as usize) {
                    *slot = group;
                }
            }
        }
        Lookup {
            population: self,
            places,
            groups,
        }
    }
}

/// Place and group of every row.
#[derive(Debug)]
pub struct Lookup<'a> {
    population: &'a Population,
    /// `None`: a row's number is its place.
    places: Option<Vec<u32>>,
    groups: Vec<u8>,
}

impl Lookup<'_> {
    /// The place of a row in the order of all rows, 0 for the easiest.
    #[inline]
    pub fn place(&self, row: u64) -> u64 {
        match &self.places {
            None => row,
            Some(places) => places.get(row as usize).copied().map_or(0, u64::from),
        }
    }

    /// The group of a row; `None` without groups.
    #[inline]
    pub fn group(&self, row: u64) -> Option<usize> {
        self.groups.get(row as usize).map(|&group| usize::from(group))
    }

    /// The difficulty at a place: the score of an index, or NaN without one; without an index the rank.
    pub fn difficulty(&self, place: u64) -> f64 {
        match &self.population.order {
            Ordered::Even(even) => (place + 1) as f64 / even.rows as f64,
            Ordered::Index(index) => index.scores().get(place as usize).copied().unwrap_or(f64::NAN),
        }
    }
}
