//! Where rows come from, as the rest of the sampler sees it.

use std::ops::Range;

/// The rows of every batch: a pure function of step and slot.
pub trait Rows: Send + Sync {
    /// Appends the row numbers of the given slots of the global batch of `step`.
    fn rows(&self, step: u64, slots: Range<u64>, out: &mut Vec<u64>);
}

impl std::fmt::Debug for dyn Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rows")
    }
}

/// The group of every row; one byte each, because a data set has at most 256 groups.
#[derive(Clone, Debug)]
pub struct RowGroups {
    count: usize,
    of: Vec<u8>,
}

impl RowGroups {
    /// `of[row]` is the row's group, less than `count`.
    pub fn new(count: usize, of: Vec<u8>) -> Self {
        Self { count, of }
    }

    /// Groups.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The group of a row; `None` when there is no such row.
    pub fn of(&self, row: u64) -> Option<usize> {
        self.of.get(usize::try_from(row).ok()?).map(|&g| usize::from(g))
    }
}
