//! Pools: from an admitted fraction to numbers of rows, over all rows or over each group.

use super::plan::Scope;
use super::share::Share;

/// The rows that a fraction is taken of.
#[derive(Clone, Debug)]
pub(super) struct Population {
    scope: Scope,
    /// Sizes of the scope's parts: one, or one per group.
    parts: Vec<u64>,
    /// The smallest fraction whose pool fills a batch, or holds all rows if they are fewer.
    least: Share,
}

impl Population {
    /// A population of at least one row in `parts`.
    pub(super) fn new(scope: Scope, parts: Vec<u64>, batch_size: u64) -> Self {
        let rows: u64 = parts.iter().sum();
        let enough = batch_size.max(1).min(rows);
        let mut population = Self {
            scope,
            parts,
            least: Share::ONE,
        };
        // Pools grow with the fraction, and all rows are enough.
        let (mut too_small, mut large_enough) = (0, Share::ONE.units());
        while large_enough - too_small > 1 {
            let middle = too_small + (large_enough - too_small) / 2;
            match Share::from_units(middle) {
                Some(share) if population.size(share) < enough => too_small = middle,
                _ => large_enough = middle,
            }
        }
        population.least = Share::from_units(large_enough).unwrap_or(Share::ONE);
        population
    }

    /// The pool of a phase that asks for a fraction: no less than a batch, so that no batch repeats a row for want of others.
    pub(super) fn admit(&self, wanted: Share) -> Pool {
        let fraction = wanted.max(self.least);
        Pool {
            scope: self.scope,
            fraction,
            size: self.size(fraction),
        }
    }

    /// All rows together.
    pub(super) fn everything(&self) -> Pool {
        Pool {
            scope: Scope::All,
            fraction: Share::ONE,
            size: self.parts.iter().sum(),
        }
    }

    /// ⌈f·n⌉ of each part.
    fn size(&self, fraction: Share) -> u64 {
        self.parts.iter().map(|&n| fraction.ceil_of(n)).sum()
    }
}

/// The first rows of a scope. Of one population, pools of the same scope and size are the same pool.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pool {
    pub(super) scope: Scope,
    pub(super) fraction: Share,
    /// Rows, of all groups together.
    pub(super) size: u64,
}
