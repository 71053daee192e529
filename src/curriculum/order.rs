//! The order of the rows: what a position in the order of difficulty stands for.

/// Which order a position counts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OrderScope {
    /// All rows.
    All,
    /// The rows of one group, by its number.
    Group(u32),
}

/// Rows from the easiest to the hardest, of all rows and of each group. The score index implements it.
pub trait RowOrder {
    /// The row at `position` of the scope; position 0 is the easiest.
    fn row(&self, scope: OrderScope, position: u64) -> u64;

    /// Replaces each position of the scope by its row.
    ///
    /// The sampler calls this with some hundred positions at a time, so that even behind `dyn` a row costs no call. An index
    /// overrides it in order to find the scope's slice only once.
    fn rows(&self, scope: OrderScope, positions: &mut [u64]) {
        for position in positions {
            *position = self.row(scope, *position);
        }
    }

    /// Number of rows whose score is at most `score`: they are the first of the order of all rows. An order without scores
    /// admits everything; the caller bounds it by the number of rows.
    fn at_most(&self, _score: f64) -> u64 {
        u64::MAX
    }

    /// Number of rows that are admitted when the first `rows` of all rows are and those with equal scores go together.
    /// Without scores all are different.
    fn with_ties(&self, rows: u64) -> u64 {
        rows
    }

    /// Writes the length of each of `rows` in tokens to `out`, which is as long; [`UNKNOWN_LENGTH`] where it is not known.
    fn lengths(&self, _rows: &[u64], out: &mut [u32]) {
        out.fill(UNKNOWN_LENGTH);
    }
}

/// Stands for a length that is not known: more than any.
pub const UNKNOWN_LENGTH: u32 = u32::MAX;

/// The order of the data set itself: what uniform sampling uses. It knows no groups; a position of a group is returned as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Identity;

impl RowOrder for Identity {
    fn row(&self, _scope: OrderScope, position: u64) -> u64 {
        position
    }

    fn rows(&self, _scope: OrderScope, _positions: &mut [u64]) {}
}

impl<T: RowOrder + ?Sized> RowOrder for &T {
    fn row(&self, scope: OrderScope, position: u64) -> u64 {
        (**self).row(scope, position)
    }

    fn rows(&self, scope: OrderScope, positions: &mut [u64]) {
        (**self).rows(scope, positions);
    }

    fn at_most(&self, score: f64) -> u64 {
        (**self).at_most(score)
    }

    fn with_ties(&self, rows: u64) -> u64 {
        (**self).with_ties(rows)
    }

    fn lengths(&self, rows: &[u64], out: &mut [u32]) {
        (**self).lengths(rows, out);
    }
}
