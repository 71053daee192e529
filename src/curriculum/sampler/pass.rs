//! One pass over a stratum: from draws to positions, so that no batch holds a row of a stratum twice while another is left.
//!
//! A batch may hold the end of one pass and the beginning of the next. With `most` draws of the stratum in a batch:
//! ```text
//! pass p−1                          pass p
//! ┄┄──────────────────┬── most ──┬── most ──┬── most ──┬─────────────────┄┄
//!                     │   tail   │  no row  │ the rows │  as permuted
//!                     └────┬─────┘  of it   │ put off  │
//!                          └────────────────┴──────────┘
//! ```
//! Rows of the tail that the permutation puts among the first are put off until `most` others have gone, so the pass still shows
//! every row once. Shorter passes than three times `most` share one permutation and shuffle blocks of it: a row moves by less than
//! a block from pass to pass, so that `most` draws lie between its two. Where a batch takes the whole stratum, blocks have one row.

use std::ops::Range;

use crate::curriculum::mix;
use crate::curriculum::permute::Permutation;

/// Passes of fewer times `most` draws than this are short: the rows put off must not reach the tail.
const SHORT: u64 = 3;

/// How the draws of one batch go through a stratum.
pub(super) struct Walk {
    /// Draws of a pass.
    pub(super) cells: u64,
    /// Number of the segment's or phase's first draw.
    pub(super) origin: u64,
    /// The interval at this step.
    pub(super) interval: Range<u64>,
    /// What is permuted.
    pub(super) domain: Range<u64>,
}

/// The order of a pass, for some of its draws.
pub(super) struct Pass<'a> {
    walk: &'a Walk,
    permutation: Permutation,
    /// Positions of the draws from `first` on that do not follow the permutation.
    ready: Vec<u64>,
    first: u64,
}

impl<'a> Pass<'a> {
    /// The `number`-th pass, for the draws of one batch. At most `most` draws of the stratum are in a batch.
    #[inline]
    pub(super) fn new(walk: &'a Walk, key: u64, number: u64, most: u64, draws: Range<u64>) -> Self {
        let permutation = |number| Permutation::new(walk.domain.end - walk.domain.start, mix::child(key, number));
        if walk.cells / SHORT < most {
            let base = permutation(0);
            return Self {
                ready: walk.short(&base, mix::child(key, number), most, draws.clone()),
                walk,
                permutation: base,
                first: draws.start,
            };
        }
        let own = permutation(number);
        let ready = match number.checked_sub(1) {
            Some(before) if most > 1 && draws.start < 2 * most => walk.head(&permutation(before), &own, most),
            _ => Vec::new(),
        };
        Self {
            walk,
            permutation: own,
            ready,
            first: 0,
        }
    }

    /// Replaces draws, ascending, by positions.
    #[inline]
    pub(super) fn positions(&self, draws: &mut [u64]) {
        if self.ready.is_empty() {
            self.walk.positions(&self.permutation, draws);
            return;
        }
        let end = self.first + self.ready.len() as u64;
        let (ready, others) = draws.split_at_mut(draws.partition_point(|&draw| draw < end));
        for draw in ready {
            *draw = self.ready[(*draw - self.first) as usize];
        }
        self.walk.positions(&self.permutation, others);
    }
}

impl Walk {
    /// Positions of the first draws of a long pass.
    fn head(&self, before: &Permutation, own: &Permutation, most: u64) -> Vec<u64> {
        let mut tail: Vec<u64> = (self.cells - most..self.cells).collect();
        self.positions(before, &mut tail);
        tail.sort_unstable();
        let mut permuted: Vec<u64> = (0..2 * most).collect();
        self.positions(own, &mut permuted);

        let (mut head, mut put_off) = (Vec::with_capacity(permuted.len()), Vec::new());
        for position in permuted {
            if (head.len() as u64) < most && tail.binary_search(&position).is_ok() {
                put_off.push(position);
                continue;
            }
            if head.len() as u64 == most {
                head.append(&mut put_off);
            }
            head.push(position);
        }
        head.append(&mut put_off);
        head
    }

    /// Positions of some draws of a short pass, in random order among themselves.
    fn short(&self, base: &Permutation, key: u64, most: u64, draws: Range<u64>) -> Vec<u64> {
        // From pass to pass a row moves by less than a block: at least `most` draws lie between its two, or all others.
        let length = self.cells.saturating_sub(most.max(1)) + 1;
        let mut positions: Vec<u64> = draws.clone().collect();
        if length > 1 {
            for block in positions.chunk_by_mut(|a, b| a / length == b / length) {
                let number = block[0] / length;
                let start = number * length;
                let shuffle = Permutation::new(length.min(self.cells - start), mix::child(key, number));
                block.iter_mut().for_each(|draw| *draw -= start);
                shuffle.apply_all(block);
                block.iter_mut().for_each(|draw| *draw += start);
            }
        }
        self.positions(base, &mut positions);
        let mut order: Vec<u64> = (0..positions.len() as u64).collect();
        Permutation::new(order.len() as u64, mix::child(key, !draws.start)).apply_all(&mut order);
        order.iter().map(|&place| positions[place as usize]).collect()
    }

    /// Replaces draws within a pass by positions in the interval.
    #[inline]
    fn positions(&self, permutation: &Permutation, draws: &mut [u64]) {
        let within = self.interval.start - self.domain.start..self.interval.end - self.domain.start;
        if self.domain.start == 0 && within.start == 0 {
            permutation.apply_all_within(within, draws);
            return;
        }
        // The position that is congruent to the draw modulo the pass: when the interval moves on by some rows, the others keep
        // their draws.
        let turn = self.cells - self.interval.start % self.cells;
        for draw in draws.iter_mut() {
            let shifted = *draw + turn;
            let place = if shifted >= self.cells {
                shifted - self.cells
            } else {
                shifted
            };
            *draw = within.start + place;
        }
        permutation.apply_all_within(within, draws);
        draws.iter_mut().for_each(|position| *position += self.domain.start);
    }
}
