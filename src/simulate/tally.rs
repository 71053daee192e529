//! The tally of a simulation: which rows were served, how difficult they are, and of which groups.

use fixedbitset::FixedBitSet;

use super::population::{Lookup, Population};
use super::run::PhaseTotal;

/// Parts of equal size that the order of difficulty is cut into for counting.
pub const BINS: usize = 20;
/// Most rows that are told apart, one bit each.
const MAX_TRACKED: u64 = 1 << 32;
/// Most rows of which every place is kept for quantiles. Those of more are read off [`COARSE`] parts of the order.
const MAX_EXACT: usize = 1 << 22;
const COARSE: usize = 1 << 16;

/// Rows that were served.
#[derive(Clone, Debug)]
pub struct Served {
    /// How many.
    pub rows: u64,
    /// Least difficulty, quartiles and greatest difficulty: of n rows in order, the ⌈q·n⌉-th. NaN for rows without a score.
    /// Of more than four million rows to within a 65,536th of all rows.
    pub quantiles: [f64; 5],
    /// Mean of (place + ½)/N: ½ under uniform sampling.
    pub mean_rank: f64,
    /// Rows of each group; empty without groups.
    pub groups: Vec<u64>,
    /// Rows of each of [`BINS`] parts of the order of difficulty, the easiest first.
    pub bins: [u64; BINS],
}

impl Served {
    /// Share of each group in the rows.
    pub fn group_shares(&self) -> Vec<f64> {
        self.groups.iter().map(|&rows| rows as f64 / self.rows as f64).collect()
    }
}

/// Different rows.
#[derive(Debug)]
struct Seen {
    rows: FixedBitSet,
    len: u64,
}

impl Seen {
    fn new(rows: u64) -> Self {
        Self {
            rows: FixedBitSet::with_capacity(rows as usize),
            len: 0,
        }
    }

    #[inline]
    fn add(&mut self, row: u64) {
        self.len += u64::from(!self.rows.put(row as usize));
    }
}

/// Counts what was drawn.
#[derive(Debug)]
pub(super) struct Tally<'a> {
    lookup: Lookup<'a>,
    rows: u64,
    group_count: usize,
    /// Since step 0.
    seen: Option<Seen>,
    /// Since the phase began.
    seen_in_phase: Option<Seen>,
    phase: usize,
    window: Window,
}

/// What was served since the last shown step.
#[derive(Debug, Default)]
struct Window {
    /// Rows that are not counted yet, or, without coarse counts, all of them.
    pending: Vec<u64>,
    coarse: Option<Vec<u64>>,
    rows: u64,
    groups: Vec<u64>,
    bins: [u64; BINS],
    /// Sum of the places.
    sum: f64,
    /// First and last place of the coarse counts.
    ends: (u64, u64),
}

impl<'a> Tally<'a> {
    /// A tally of the population's rows; whether different rows are to be told apart.
    pub(super) fn new(population: &'a Population, distinct: bool) -> Self {
        let rows = population.rows();
        let seen = || (distinct && rows <= MAX_TRACKED).then(|| Seen::new(population.dataset_rows()));
        Self {
            lookup: population.lookup(),
            rows,
            group_count: population.group_rows().len(),
            seen: seen(),
            seen_in_phase: seen(),
            phase: 0,
            window: Window::default(),
        }
    }

    /// Counts a batch of a phase.
    pub(super) fn count(&mut self, phase: usize, batch: &[u64], totals: &mut [PhaseTotal]) {
        if phase != self.phase {
            self.end_phase(totals);
            self.phase = phase;
        }
        // A row that does not exist comes only out of an index that somebody writes over meanwhile.
        let exists = |row: &&u64| **row < self.rows;
        if let (Some(seen), Some(in_phase)) = (&mut self.seen, &mut self.seen_in_phase) {
            for &row in batch.iter().filter(exists) {
                seen.add(row);
                in_phase.add(row);
            }
        }
        self.window.pending.extend(batch.iter().filter(exists).copied());
        if self.window.pending.len() > MAX_EXACT {
            self.count_window(true);
        }
        if let (true, Some(total)) = (self.group_count > 0, totals.get_mut(phase)) {
            for group in batch.iter().filter_map(|&row| self.lookup.group(row)) {
                total.groups[group] += 1;
            }
        }
    }

    /// Ends the phase: the next one counts its different rows anew.
    pub(super) fn end_phase(&mut self, totals: &mut [PhaseTotal]) {
        if let (Some(seen), Some(total)) = (&mut self.seen_in_phase, totals.get_mut(self.phase)) {
            total.distinct = Some(seen.len);
            seen.rows.clear();
            seen.len = 0;
        }
    }

    /// Different rows since step 0, where they are told apart.
    pub(super) fn seen(&self) -> Option<u64> {
        self.seen.as_ref().map(|seen| seen.len)
    }

    /// Forgets what was served since the last shown step.
    pub(super) fn forget(&mut self) {
        self.window = Window::default();
    }

    /// What was served since the last shown step; begins anew.
    pub(super) fn take(&mut self) -> Option<Served> {
        let coarse = self.window.coarse.is_some();
        self.count_window(coarse);
        let mut window = std::mem::take(&mut self.window);
        let places = match &window.coarse {
            Some(counts) => coarse_quartiles(counts, window.rows, window.ends, self.rows),
            None => quartiles(&mut window.pending)?,
        };
        let served = Served {
            rows: window.rows,
            quantiles: places.map(|place| self.lookup.difficulty(place)),
            mean_rank: (window.sum / window.rows as f64 + 0.5) / self.rows as f64,
            groups: window.groups,
            bins: window.bins,
        };
        // Its memory is used again.
        window.pending.clear();
        self.window.pending = window.pending;
        Some(served)
    }

    /// Counts the pending rows and makes places of them; with `coarse` their places are counted too, and forgotten.
    fn count_window(&mut self, coarse: bool) {
        let window = &mut self.window;
        window.groups.resize(self.group_count, 0);
        window.rows += window.pending.len() as u64;
        let scale = BINS as f64 / self.rows as f64;
        for row in &mut window.pending {
            if let Some(group) = self.lookup.group(*row) {
                window.groups[group] += 1;
            }
            let place = self.lookup.place(*row);
            window.sum += place as f64;
            window.bins[((place as f64 * scale) as usize).min(BINS - 1)] += 1;
            *row = place;
        }
        if coarse {
            let counts = window.coarse.get_or_insert_with(|| {
                window.ends = (u64::MAX, 0);
                vec![0; COARSE]
            });
            let scale = COARSE as f64 / self.rows as f64;
            for &place in &window.pending {
                counts[((place as f64 * scale) as usize).min(COARSE - 1)] += 1;
                window.ends = (window.ends.0.min(place), window.ends.1.max(place));
            }
            window.pending.clear();
        }
    }
}

/// The ⌈q·n⌉-th of n numbers for q = 0 (the first), ¼, ½, ¾, 1; `None` of none.
fn quartiles(numbers: &mut [u64]) -> Option<[u64; 5]> {
    let last = numbers.len().checked_sub(1)?;
    let nth = |numbers: &mut [u64], i: u64| *numbers.select_nth_unstable(i as usize).1;
    let [low, middle, high] = ordinals(numbers.len() as u64);
    Some([
        nth(numbers, 0),
        nth(numbers, low),
        nth(numbers, middle),
        nth(numbers, high),
        nth(numbers, last as u64),
    ])
}

/// The same of `n` places of which only the parts of the order are known.
fn coarse_quartiles(counts: &[u64], n: u64, ends: (u64, u64), rows: u64) -> [u64; 5] {
    let at = |ordinal: u64| {
        let mut sum = 0;
        let part = counts.iter().position(|count| {
            sum += count;
            sum > ordinal
        });
        let part = part.unwrap_or(COARSE) as u128;
        ((part * u128::from(rows) / COARSE as u128) as u64).clamp(ends.0, ends.1)
    };
    let [low, middle, high] = ordinals(n);
    [ends.0, at(low), at(middle), at(high), ends.1]
}

/// Positions of the quartiles in n numbers in order, from 0.
fn ordinals(n: u64) -> [u64; 3] {
    [1, 2, 3].map(|quarter| (n * quarter).div_ceil(4).max(1) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_are_numbers_that_were_served() {
        assert_eq!(quartiles(&mut []), None);
        assert_eq!(quartiles(&mut [7]), Some([7; 5]));
        assert_eq!(quartiles(&mut [4, 1, 3, 2]), Some([1, 1, 2, 3, 4]));
        assert_eq!(quartiles(&mut [5, 4, 1, 3, 2]), Some([1, 2, 3, 4, 5]));
    }

    #[test]
    fn coarse_quartiles_are_within_a_part_of_the_order() {
        let rows = 1 << 20;
        let mut places: Vec<u64> = (0..1000).map(|i| i * i).collect();
        let mut counts = vec![0; COARSE];
        for place in &places {
            counts[(place >> 4) as usize] += 1;
        }
        let found = coarse_quartiles(&counts, 1000, (0, 998_001), rows);
        let exact = quartiles(&mut places).unwrap();
        for (found, exact) in found.into_iter().zip(exact) {
            assert!(found <= exact && exact - found < 16, "{found}, {exact}");
        }
    }
}
