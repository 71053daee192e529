//! Rows that are held out of training, for validation that is honest.
//!
//! Which rows these are is a pure function of their number, of the number of all rows, and of a seed: so inspection, index and sampler
//! agree without a list, and the same data have the same held-out rows in every run that asks for them. They are the first rows of a
//! keyed permutation of all rows; training draws from the others.

use serde::{Deserialize, Serialize};

use super::mix::{self, Purpose};
use super::order::{OrderScope, RowOrder};
use super::permute::Permutation;
use super::share::Share;

/// How many rows are held out, and by which seed.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HeldOut {
    /// Rows that are held out.
    pub rows: u64,
    /// Seed of the choice, at most 2⁵³ − 1.
    pub seed: u64,
}

impl HeldOut {
    /// ⌈fraction · rows⌉ of `rows` rows.
    pub fn of(fraction: Share, rows: u64, seed: u64) -> Self {
        Self {
            rows: fraction.ceil_of(rows),
            seed,
        }
    }
}

/// The two parts of a data set. As an order of rows it is that of a run without scores: the rows to train on, in no particular order.
#[derive(Clone, Copy, Debug)]
pub struct Split {
    permutation: Permutation,
    rows: u64,
    held_out: u64,
}

impl Split {
    /// The parts of a data set of `rows` rows, at most 2⁵³ − 1, held-out ones included.
    pub fn new(rows: u64, held_out: HeldOut) -> Self {
        Self {
            permutation: Permutation::new(rows, mix::root(held_out.seed, Purpose::HeldOut)),
            rows,
            held_out: held_out.rows.min(rows),
        }
    }

    /// The held-out rows, in no particular order.
    pub fn held_out(&self) -> impl Iterator<Item = u64> + '_ {
        (0..self.held_out).map(|place| self.permutation.apply(place))
    }

    /// The rows to train on, in no particular order.
    pub fn trained(&self) -> impl Iterator<Item = u64> + '_ {
        (self.held_out..self.rows).map(|place| self.permutation.apply(place))
    }
}

impl RowOrder for Split {
    fn row(&self, _scope: OrderScope, position: u64) -> u64 {
        self.permutation.apply(self.held_out + position)
    }

    fn rows(&self, _scope: OrderScope, positions: &mut [u64]) {
        for position in positions.iter_mut() {
            *position += self.held_out;
        }
        self.permutation.apply_all(positions);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_row_is_in_one_part(rows in 1..3000_u64, units in 0..=1_000_000_000_000_u64, seed in any::<u32>()) {
            let held_out = HeldOut::of(Share::from_units(units).unwrap(), rows, u64::from(seed));
            let split = Split::new(rows, held_out);
            let apart: BTreeSet<u64> = split.held_out().collect();
            let trained: Vec<u64> = split.trained().collect();
            prop_assert_eq!(apart.len() as u64, held_out.rows);
            let all: BTreeSet<u64> = trained.iter().chain(&apart).copied().collect();
            prop_assert_eq!((trained.len() + apart.len(), all), (rows as usize, (0..rows).collect()));
            // As an order it is the trained part, one by one and all at once.
            let mut positions: Vec<u64> = (0..rows - held_out.rows).collect();
            let one_by_one: Vec<u64> = positions.iter().map(|&at| split.row(OrderScope::All, at)).collect();
            split.rows(OrderScope::All, &mut positions);
            prop_assert_eq!(&one_by_one, &trained);
            prop_assert_eq!(positions, trained);
        }
    }

    /// Changing them would train on rows that an earlier version of a run held out.
    #[test]
    fn the_rows_are_those_of_every_version() {
        let rows = |seed| {
            Split::new(100, HeldOut { rows: 5, seed })
                .held_out()
                .collect::<Vec<_>>()
        };
        assert_eq!(rows(0), [12, 7, 15, 96, 6]);
        assert_eq!(rows(1), [71, 9, 3, 92, 26]);
    }
}
