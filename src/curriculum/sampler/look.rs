//! What a step's batch is made of, without drawing it: for simulations and for whoever asks a sampler what it does.

use std::ops::Range;

use super::segment::for_each_scope;
use super::{SampleError, Sampler};
use crate::curriculum::order::{OrderScope, RowOrder};
use crate::curriculum::plan::{PoolPlan, Role};
use crate::curriculum::share::Share;

/// A step's batch, as the plan has it.
#[derive(Clone, Debug)]
pub struct Look<'a> {
    /// Place of the phase in the plan.
    pub phase: usize,
    /// Step within the phase.
    pub step_of_phase: u64,
    /// The pools that have a share of the batch, in the order of the plan.
    pub pools: Vec<PoolLook<'a>>,
}

/// One pool of a step.
#[derive(Clone, Debug)]
pub struct PoolLook<'a> {
    /// The pool.
    pub plan: &'a PoolPlan,
    /// Share of the batch in millionths.
    pub share: u32,
    /// Fraction that the pacing function admits, before the pool is raised to hold a batch; `None` for pools by score.
    pub fraction: Option<Share>,
    /// DeepSpeed's difficulty.
    pub difficulty: Option<u64>,
    /// Its interval of each order, by positions from the first row of the curriculum's order on.
    pub intervals: Vec<(OrderScope, Range<u64>)>,
}

impl Look<'_> {
    /// Rows of the phase's own pool, of all groups together.
    pub fn own_rows(&self) -> u64 {
        self.own().map(PoolLook::rows).sum()
    }

    /// The fraction that the phase's own pool admits: the pacing function's; where groups have their own, or a score decides, rows
    /// of the pool over all rows.
    pub fn own_fraction(&self, rows: u64) -> f64 {
        let mut fractions = self.own().map(|pool| pool.fraction);
        let first = fractions.next().flatten();
        match first.filter(|_| fractions.all(|fraction| fraction == first)) {
            Some(fraction) => fraction.to_f64(),
            None => self.own_rows() as f64 / rows as f64,
        }
    }

    /// DeepSpeed's difficulty of the phase's own pool.
    pub fn difficulty(&self) -> Option<u64> {
        self.own().find_map(|pool| pool.difficulty)
    }

    fn own(&self) -> impl Iterator<Item = &PoolLook<'_>> {
        self.pools.iter().filter(|pool| pool.plan.role == Role::Own)
    }
}

impl PoolLook<'_> {
    /// Rows of all its intervals.
    pub fn rows(&self) -> u64 {
        self.intervals
            .iter()
            .map(|(_, interval)| interval.end - interval.start)
            .sum()
    }
}

impl Sampler {
    /// What a step's batch is made of.
    ///
    /// # Errors
    /// When the step is not one of the plan's.
    pub fn look<O: RowOrder + ?Sized>(&self, step: u64, order: &O) -> Result<Look<'_>, SampleError> {
        let plan = self.plan();
        let number = plan.phase_at(step).ok_or(SampleError::Step {
            step,
            start: plan.start_step(),
            end: plan.total_steps(),
        })?;
        let phase = &plan.phases[number];
        let t = step - phase.start_step;
        let shares = &phase.segments[phase.segment_at(step)].shares;
        let pools = phase.pools.iter().zip(shares).filter(|&(_, &share)| share > 0);
        let pools = pools.map(|(pool, &share)| {
            let bounds = pool.bounds(t, plan.rows, order);
            let mut intervals = Vec::new();
            for_each_scope(plan, pool, |scope, rows, _| {
                intervals.push((scope, pool.interval(bounds, rows)));
            });
            PoolLook {
                plan: pool,
                share,
                fraction: pool.fraction(t),
                difficulty: pool.difficulty(t),
                intervals,
            }
        });
        Ok(Look {
            phase: number,
            step_of_phase: t,
            pools: pools.collect(),
        })
    }
}
