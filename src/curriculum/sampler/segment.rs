//! What a segment's batches have in common: its strata, their keys and the quotas.

use std::ops::Range;

use super::{CHUNK, Place};
use crate::api::curriculum::Order;
use crate::curriculum::mix::{self, Purpose};
use crate::curriculum::order::{OrderScope, RowOrder};
use crate::curriculum::permute::Permutation;
use crate::curriculum::plan::{Plan, Scope, Segment};
use crate::curriculum::quota::{Quotas, Weights};
use crate::curriculum::share::Share;

/// A segment, expanded.
#[derive(Debug)]
pub(super) struct SegmentTable {
    pub(super) start_step: u64,
    /// Key of the order of slots.
    pub(super) slots_key: u64,
    pub(super) quotas: Quotas,
    /// In the numbering of `quotas`.
    pub(super) strata: Vec<Stratum>,
}

/// The first `rows` rows of a scope.
#[derive(Debug)]
pub(super) struct Stratum {
    scope: OrderScope,
    rows: u64,
    /// Key of the order of its draws.
    key: u64,
    arrangement: Arrangement,
}

/// From a position in the pool to a position in the order of difficulty.
#[derive(Clone, Copy, Debug)]
enum Arrangement {
    EasyFirst,
    /// Position p of the pool is the p-th from the end.
    HardFirst {
        last: u64,
    },
    /// All rows in an order of the seed. The index is not asked, so that the control arm is the same whatever the scores are.
    RandomRows {
        scope_rows: u64,
        key: u64,
    },
    /// A group's rows in an order of the seed.
    RandomPositions {
        scope_rows: u64,
        key: u64,
    },
}

impl SegmentTable {
    pub(super) fn new(plan: &Plan, segment: &Segment) -> Self {
        // The segment's first step stands for the segment: it does not depend on which phases the plan holds.
        let key = |purpose| mix::child(mix::root(plan.seed, purpose), segment.start_step);
        let strata_key = key(Purpose::Stratum);
        let mut strata = Vec::new();
        let mut weights = Vec::with_capacity(segment.terms.len());
        for (number, term) in (0..).zip(&segment.terms) {
            let fraction = Share::from_units(term.fraction).unwrap_or(Share::ONE);
            let first = strata.len();
            let term_key = mix::child(strata_key, number);
            let mut push = |scope, scope_rows, number| {
                strata.push(Stratum {
                    scope,
                    rows: fraction.ceil_of(scope_rows),
                    key: mix::child(term_key, number),
                    arrangement: Arrangement::new(plan, scope, scope_rows),
                });
            };
            match term.scope {
                Scope::All => push(OrderScope::All, plan.rows, 0),
                Scope::EachGroup => {
                    for (group, &rows) in (0..).zip(&plan.group_rows) {
                        push(OrderScope::Group(group), rows, u64::from(group));
                    }
                }
            }
            let rows = strata[first..].iter().map(|stratum| stratum.rows).collect();
            weights.push(Weights {
                share: u64::from(term.share),
                strata: rows,
            });
        }
        Self {
            start_step: segment.start_step,
            slots_key: key(Purpose::Slots),
            quotas: Quotas::new(&weights, key(Purpose::Quota)),
            strata,
        }
    }
}

impl Arrangement {
    fn new(plan: &Plan, scope: OrderScope, scope_rows: u64) -> Self {
        let key = |number| mix::child(mix::root(plan.seed, Purpose::RandomOrder), number);
        match (plan.order, scope) {
            // Without scores there is no order to turn around or to shuffle.
            _ if plan.scores.is_none() => Self::EasyFirst,
            (Order::EasyFirst, _) => Self::EasyFirst,
            (Order::HardFirst, _) => Self::HardFirst {
                last: scope_rows.saturating_sub(1),
            },
            (Order::Random, OrderScope::All) => Self::RandomRows {
                scope_rows,
                key: key(0),
            },
            (Order::Random, OrderScope::Group(group)) => Self::RandomPositions {
                scope_rows,
                key: key(1 + u64::from(group)),
            },
        }
    }

    /// Replaces positions in the pool by rows.
    #[inline]
    fn rows<O: RowOrder + ?Sized>(&self, scope: OrderScope, positions: &mut [u64], order: &O) {
        match *self {
            Self::EasyFirst => {}
            Self::HardFirst { last } => positions.iter_mut().for_each(|p| *p = last - *p),
            Self::RandomRows { scope_rows, key } | Self::RandomPositions { scope_rows, key } => {
                let random = Permutation::new(scope_rows, key);
                random.apply_all(positions);
            }
        }
        if !matches!(self, Self::RandomRows { .. }) {
            order.rows(scope, positions);
        }
    }
}

impl Stratum {
    /// Puts the rows of some draws, counted from the segment's first slot, where they belong.
    ///
    /// The stratum has a row, or else the quotas give it no draw.
    #[inline]
    pub(super) fn draw<O: RowOrder + ?Sized>(&self, draws: Range<u64>, order: &O, place: &mut Place<'_>) {
        let mut draw = draws.start;
        while draw < draws.end {
            let (pass, first) = (draw / self.rows, draw % self.rows);
            let last = (first + (draws.end - draw)).min(self.rows);
            let permutation = Permutation::new(self.rows, mix::child(self.key, pass));
            draw += last - first;

            let mut chunk = first;
            while chunk < last {
                let end = last.min(chunk + CHUNK as u64);
                self.draw_chunk(chunk..end, &permutation, order, place);
                chunk = end;
            }
        }
    }

    #[inline]
    fn draw_chunk<O: RowOrder + ?Sized>(
        &self,
        indices: Range<u64>,
        permutation: &Permutation,
        order: &O,
        place: &mut Place<'_>,
    ) {
        let mut slots = [0; CHUNK];
        let mut positions = [0; CHUNK];
        let wanted = place.take(&mut slots, &mut positions, indices);
        let (slots, positions) = (&slots[..wanted], &mut positions[..wanted]);
        permutation.apply_all(positions);
        self.arrangement.rows(self.scope, positions, order);
        for (&slot, &row) in slots.iter().zip(&*positions) {
            place.out[slot as usize] = row;
        }
    }
}
