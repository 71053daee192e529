//! What a segment's batches have in common: its strata, their keys and the quotas.
//!
//! A stratum is a pool's interval of one order. While it stays the same, its draws go through it pass by pass, each a permutation.
//! A pool that moves is sampled by one permutation of all that it holds in the segment, applied until the interval of the step is
//! reached (see [`Permutation::apply_all_within`]): a bijection at every step, and nearly the same from step to step, so that a
//! pass hardly shows a row twice. Where it moves by more than its own size, each step has a permutation of its own interval.

use std::ops::Range;

use super::pass::{Pass, Walk};
use super::{CHUNK, Place};
use crate::api::curriculum::Order;
use crate::curriculum::mix::{self, Purpose};
use crate::curriculum::order::{OrderScope, RowOrder};
use crate::curriculum::permute::Permutation;
use crate::curriculum::plan::{Bounds, PhasePlan, Plan, PoolPlan, Scope, WHOLE};
use crate::curriculum::quota::{Quotas, Weights};
use crate::curriculum::split::Split;

/// A segment, expanded.
#[derive(Debug)]
pub(super) struct SegmentTable {
    /// Places of the phase and of the segment in the plan.
    pub(super) phase: usize,
    pub(super) segment: usize,
    /// First step of the phase: slots and draws are counted from there.
    pub(super) phase_start: u64,
    /// The segment's first slot.
    pub(super) first_slot: u64,
    /// Key of the order of slots.
    pub(super) slots_key: u64,
    pub(super) quotas: Quotas,
    /// In the numbering of `quotas`.
    pub(super) strata: Vec<Stratum>,
    /// Whether a pool moves.
    moves: bool,
}

/// An interval of one order.
#[derive(Debug)]
pub(super) struct Stratum {
    /// Place of its pool in the phase.
    pub(super) pool: usize,
    pub(super) scope: OrderScope,
    /// Rows of the scope.
    pub(super) rows: u64,
    /// Key of the order of its draws.
    key: u64,
    /// Most draws of it in one batch, in the phase where its passes go on from segment to segment.
    most: u64,
    arrangement: Arrangement,
    extent: Extent,
}

#[derive(Debug)]
enum Extent {
    /// The same rows at every step of the phase.
    Fixed(Range<u64>),
    Moving {
        /// Draws of a pass: the fewest rows that the interval has in the segment.
        cells: u64,
        /// All rows that the interval has in the segment, unless they are too many.
        domain: Option<Range<u64>>,
    },
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
        /// Where rows are held out: which these are.
        split: Option<Split>,
    },
    /// A group's rows in an order of the seed; also all rows that a filter leaves, which only the index
    /// knows.
    RandomPositions {
        scope_rows: u64,
        key: u64,
    },
}

impl SegmentTable {
    /// The table of a segment that begins at slot `first_slot` of the phase; `before` is that of the segment before it, if there is
    /// one in the phase. A batch has draws of at most `reach` slots that follow each other.
    pub(super) fn new<O: RowOrder + ?Sized>(
        plan: &Plan,
        (phase, segment): (usize, usize),
        (first_slot, reach): (u64, u64),
        before: Option<&Self>,
        order: &O,
    ) -> Self {
        let of = &plan.phases[phase];
        // First steps stand for phase and segment: they do not depend on which phases the plan holds.
        let key = |purpose, start| mix::child(mix::root(plan.seed, purpose), start);
        let start = of.segments[segment].start_step;
        let end = of.segments.get(segment + 1).map_or(of.end_step, |next| next.start_step);
        let steps = (start - of.start_step)..(end - of.start_step);

        let mut strata = Vec::new();
        let mut weights = Vec::with_capacity(of.pools.len());
        for (number, pool) in of.pools.iter().enumerate() {
            let fixed = pool.is_constant();
            let key = key(Purpose::Stratum, if fixed { of.start_step } else { start });
            let ends = [steps.start, steps.end - 1].map(|t| pool.bounds(t, plan.rows, order));
            let first = strata.len();
            for_each_scope(plan, pool, |scope, rows, part| {
                strata.push(Stratum {
                    pool: number,
                    scope,
                    rows,
                    key: mix::child(mix::child(key, number as u64), part),
                    most: 1,
                    arrangement: Arrangement::new(plan, scope, rows),
                    extent: Extent::new(pool, ends, rows, fixed),
                });
            });
            let rows = strata[first..].iter().map(|stratum| {
                let interval = pool.interval(ends[0], stratum.rows);
                interval.end - interval.start
            });
            weights.push(Weights {
                share: u64::from(of.segments[segment].shares[number]),
                strata: rows.collect(),
            });
        }
        let quotas = match before {
            None => Quotas::new(&weights, key(Purpose::Quota, of.start_step)),
            Some(before) => before.quotas.next(&weights, first_slot),
        };
        for (stratum, rows) in strata.iter_mut().zip(weights.iter().flat_map(|pool| &pool.strata)) {
            let share = of.segments.iter().map(|segment| segment.shares[stratum.pool]).max();
            let all = weights[stratum.pool].strata.iter().sum::<u64>().max(1);
            let exact = u128::from(reach) * u128::from(share.unwrap_or(WHOLE)) * u128::from(*rows);
            let most = exact.div_ceil(u128::from(WHOLE) * u128::from(all)) as u64;
            // Each node of the tree rounds up by less than one; the first of them is in the division.
            stratum.most = (most + u64::from(quotas.depth().saturating_sub(1))).clamp(1, reach);
        }
        Self {
            phase,
            segment,
            phase_start: of.start_step,
            first_slot,
            slots_key: key(Purpose::Slots, of.start_step),
            quotas,
            moves: of.pools.iter().any(|pool| !pool.is_constant()),
            strata,
        }
    }

    /// Draws the rows of some slots of the phase and puts them where `place` says; `bounds` are those of the step.
    #[inline]
    pub(super) fn draw<O: RowOrder + ?Sized>(
        &self,
        slots: Range<u64>,
        phase: &PhasePlan,
        bounds: &[Bounds],
        order: &O,
        mut place: Place<'_>,
    ) {
        let mut drawn = 0;
        self.quotas.for_each(slots, |number, draws| {
            let stratum = &self.strata[number];
            place.next = drawn;
            drawn += draws.end - draws.start;
            let interval = || phase.pools[stratum.pool].interval(bounds[stratum.pool], stratum.rows);
            stratum.draw(draws, self.quotas.before(number), interval, order, &mut place);
        });
    }

    /// Both ends of every pool at a step; empty when no pool moves.
    pub(super) fn bounds<O: RowOrder + ?Sized>(
        &self,
        plan: &Plan,
        phase: &PhasePlan,
        step: u64,
        order: &O,
    ) -> Vec<Bounds> {
        if !self.moves {
            return Vec::new();
        }
        let t = step - self.phase_start;
        phase
            .pools
            .iter()
            .map(|pool| pool.bounds(t, plan.rows, order))
            .collect()
    }
}

/// Calls `visit` with each order that a pool is an interval of, its rows if it has any, and a number.
pub(super) fn for_each_scope(plan: &Plan, pool: &PoolPlan, mut visit: impl FnMut(OrderScope, u64, u64)) {
    match pool.scope {
        Scope::All => visit(OrderScope::All, plan.rows, 0),
        Scope::EachGroup => {
            for (group, &rows) in (0..).zip(&plan.group_rows).filter(|&(_, &rows)| rows > 0) {
                visit(OrderScope::Group(group), rows, u64::from(group));
            }
        }
        Scope::Group(group) => {
            let rows = plan.group_rows.get(group as usize).copied().unwrap_or(0);
            if rows > 0 {
                visit(OrderScope::Group(group), rows, 0);
            }
        }
    }
}

impl Extent {
    /// From the ends of the interval at the first and at the last step of the segment.
    fn new(pool: &PoolPlan, ends: [Bounds; 2], rows: u64, fixed: bool) -> Self {
        let [first, last] = ends.map(|bounds| pool.interval(bounds, rows));
        if fixed {
            return Self::Fixed(first);
        }
        let cells = (first.end - first.start).min(last.end - last.start);
        let domain = first.start.min(last.start)..first.end.max(last.end);
        Self::Moving {
            cells,
            domain: Some(domain).filter(|domain| domain.end - domain.start <= 2 * cells),
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
            (Order::Random, OrderScope::All) if plan.filtered.is_some() => Self::RandomPositions {
                scope_rows,
                key: key(0),
            },
            (Order::Random, OrderScope::All) => Self::RandomRows {
                scope_rows,
                key: key(0),
                split: plan.split(),
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
            Self::RandomRows { scope_rows, key, .. } | Self::RandomPositions { scope_rows, key } => {
                let random = Permutation::new(scope_rows, key);
                random.apply_all(positions);
            }
        }
        match self {
            Self::RandomRows { split: None, .. } => {}
            Self::RandomRows { split: Some(split), .. } => split.rows(scope, positions),
            _ => order.rows(scope, positions),
        }
    }
}

impl Stratum {
    /// Puts the rows of some draws, counted from the phase's first slot, where they belong. `before` of them lie before the segment;
    /// `interval` is the stratum's at this step, needed where it moves.
    ///
    /// The stratum has a row, or else the quotas give it no draw.
    #[inline]
    pub(super) fn draw<O: RowOrder + ?Sized>(
        &self,
        draws: Range<u64>,
        before: u64,
        interval: impl FnOnce() -> Range<u64>,
        order: &O,
        place: &mut Place<'_>,
    ) {
        let walk = match &self.extent {
            Extent::Fixed(interval) => Walk {
                cells: interval.end - interval.start,
                origin: 0,
                interval: interval.clone(),
                domain: interval.clone(),
            },
            Extent::Moving { cells, domain } => {
                let interval = interval();
                let covers = |domain: &Range<u64>| domain.start <= interval.start && interval.end <= domain.end;
                let rows = interval.end - interval.start;
                Walk {
                    // What a plan from a file does between the ends of a segment is not known. A pass is no shorter than a batch
                    // where the interval is not.
                    cells: (*cells).max(self.most).min(rows),
                    origin: before,
                    domain: domain.clone().filter(covers).unwrap_or_else(|| interval.clone()),
                    interval,
                }
            }
        };
        let (mut draw, end) = (draws.start - walk.origin, draws.end - walk.origin);
        while draw < end {
            let (pass, first) = (draw / walk.cells, draw % walk.cells);
            let last = (first + (end - draw)).min(walk.cells);
            let permuted = Pass::new(&walk, self.key, pass, self.most, first..last);
            draw += last - first;

            let mut chunk = first;
            while chunk < last {
                let end = last.min(chunk + CHUNK as u64);
                self.draw_chunk(chunk..end, &permuted, order, place);
                chunk = end;
            }
        }
    }

    #[inline]
    fn draw_chunk<O: RowOrder + ?Sized>(&self, indices: Range<u64>, pass: &Pass<'_>, order: &O, place: &mut Place<'_>) {
        let mut slots = [0; CHUNK];
        let mut positions = [0; CHUNK];
        let wanted = place.take(&mut slots, &mut positions, indices);
        let (slots, positions) = (&slots[..wanted], &mut positions[..wanted]);
        pass.positions(positions);
        self.arrangement.rows(self.scope, positions, order);
        for (&slot, &row) in slots.iter().zip(&*positions) {
            place.out[slot as usize] = row;
        }
    }
}
