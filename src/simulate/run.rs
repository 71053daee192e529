//! The run of a simulation: step by step, what the sampler serves is drawn and counted.

use std::ops::Range;

use super::error::SimulateError;
use super::population::Population;
use super::tally::{Served, Tally};
use crate::curriculum::order::OrderScope;
use crate::curriculum::plan::{Band, Plan, PoolPlan, Role};
use crate::curriculum::sampler::{Look, Packed, PoolLook, Sampler};

/// About how many draws a simulation may cost: a few seconds. What costs more is not drawn step by step.
const MAX_DRAWS: u64 = 150_000_000;
/// What a step costs beside its rows, and each of its strata, in draws.
const STEP_COST: u64 = 20;
const STRATUM_COST: u64 = 1;

/// The steps that are shown: from `start` on every `every`-th before `end`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The steps.
    pub steps: Range<u64>,
    /// Distance of two of them.
    pub every: u64,
    /// Whether the last step is shown whatever the distance.
    pub last: bool,
}

impl Shown {
    /// The shown steps, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u64> + use<> {
        let (start, every) = (self.steps.start, self.every.max(1));
        let count = (self.steps.end - start).div_ceil(every);
        let regular = (0..count).map(move |i| start + i * every);
        let last = self
            .steps
            .end
            .checked_sub(1)
            .filter(|last| self.last && (last - start) % every != 0);
        regular.chain(last)
    }

    /// The last of them.
    fn last_step(&self) -> Option<u64> {
        let last = self.steps.end.checked_sub(1).filter(|&last| last >= self.steps.start)?;
        Some(if self.last {
            last
        } else {
            last - (last - self.steps.start) % self.every.max(1)
        })
    }

    fn len(&self) -> u64 {
        (self.steps.end - self.steps.start).div_ceil(self.every.max(1)) + 1
    }
}

/// Which batches are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Those of all steps from 0 to the last shown one.
    Every,
    /// Only those of the shown steps: all would take too long.
    Shown,
    /// None.
    Nothing,
}

/// A shown step.
#[derive(Clone, Debug)]
pub struct Point {
    /// The step.
    pub step: u64,
    /// Place of its phase in the plan.
    pub phase: usize,
    /// Rows of the phase's own pool.
    pub pool: u64,
    /// Admitted fraction.
    pub fraction: f64,
    /// DeepSpeed's difficulty.
    pub difficulty: Option<u64>,
    /// Share of the batch that comes from each kind of pool.
    pub shares: Vec<(Role, f64)>,
    /// What was served since the shown step before (for the first: at this step).
    pub served: Option<Served>,
    /// Different rows served from step 0 up to this one.
    pub seen: Option<u64>,
}

/// What a phase comes to.
#[derive(Clone, Debug)]
pub struct PhaseTotal {
    /// Steps of the phase, as far as simulated.
    pub steps: Range<u64>,
    /// Steps that the whole phase has.
    pub planned: u64,
    /// Rows served, with repetition. Where tokens bound a batch and not all were drawn: at most so many.
    pub rows: u64,
    /// What was counted of batches that tokens bound; `None` without any, or when not all were drawn.
    pub packed: Option<PackedTotal>,
    /// Different rows among them; `None` when not all were drawn.
    pub distinct: Option<u64>,
    /// Rows of the smallest and the largest own pool.
    pub pool: (u64, u64),
    /// Rows drawn of each group; empty without groups.
    pub groups: Vec<u64>,
    /// Where the pool was too small for a batch, and therefore raised.
    pub raised: Option<Raised>,
}

impl PhaseTotal {
    /// Rows served over rows of the largest pool: what `duration.epochs` counts.
    pub fn passes(&self) -> f64 {
        self.rows as f64 / self.pool.1.max(1) as f64
    }
}

/// Batches of a phase that tokens bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PackedTotal {
    /// Tokens of all of them.
    pub tokens: u64,
    /// Rows of the smallest and of the largest one.
    pub rows: (u64, u64),
}

impl PhaseTotal {
    fn add(&mut self, batch: &Packed) {
        let rows = batch.rows.len() as u64;
        let total = self.packed.get_or_insert_with(|| {
            self.rows = 0;
            PackedTotal {
                tokens: 0,
                rows: (rows, rows),
            }
        });
        self.rows += rows;
        total.tokens += batch.tokens();
        total.rows = (total.rows.0.min(rows), total.rows.1.max(rows));
    }
}

/// A pool that was raised to hold a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raised {
    /// First and last step seen.
    pub steps: (u64, u64),
    /// Fewest rows that the schedule admits.
    pub wanted: u64,
    /// Rows that it was raised to.
    pub held: u64,
}

/// A simulation, ready to run.
#[derive(Debug)]
pub struct Simulation<'a> {
    sampler: &'a Sampler,
    population: &'a Population,
    shown: Shown,
    depth: Depth,
}

impl<'a> Simulation<'a> {
    /// Decides what can be drawn in a few seconds.
    pub fn new(sampler: &'a Sampler, population: &'a Population, shown: Shown) -> Self {
        let plan = sampler.plan();
        let strata = |pools: &[_]| pools.len() as u64 * plan.group_rows.len() as u64;
        let strata = plan.phases.iter().map(|phase| strata(&phase.pools)).max().unwrap_or(0);
        let cost = |steps: u64| steps.saturating_mul(plan.batch_size + STEP_COST + STRATUM_COST * strata);
        let depth = match shown.last_step() {
            None => Depth::Nothing,
            Some(last) if cost(last + 1) <= MAX_DRAWS => Depth::Every,
            // Where a batch begins that tokens bound, follows from all before it.
            Some(_) if plan.tokens.is_none() && cost(shown.len()) <= MAX_DRAWS => Depth::Shown,
            Some(_) => Depth::Nothing,
        };
        Self {
            sampler,
            population,
            shown,
            depth,
        }
    }

    /// Which batches are drawn.
    pub const fn depth(&self) -> Depth {
        self.depth
    }

    /// Runs, hands over each shown step in turn, and returns what the phases come to up to the last of them.
    ///
    /// # Errors
    /// When a shown step is not one of the plan's, or `visit` fails.
    pub fn run<E: From<SimulateError>>(
        &self,
        mut visit: impl FnMut(Point) -> Result<(), E>,
    ) -> Result<Vec<PhaseTotal>, E> {
        let plan = self.sampler.plan();
        let Some(end) = self.shown.last_step().map(|last| last + 1) else {
            return Ok(Vec::new());
        };
        let mut totals = self.totals(end)?;
        let mut tally = (self.depth != Depth::Nothing).then(|| Tally::new(self.population, self.depth == Depth::Every));
        let mut batch = Packed::default();
        let mut next = 0;
        for shown in self.shown.iter() {
            let skipped = if self.depth == Depth::Every { next..shown } else { 0..0 };
            next = shown + 1;
            if let Some(tally) = &mut tally {
                for step in skipped.chain([shown]) {
                    if step == self.shown.steps.start {
                        tally.forget();
                    }
                    let drawn = match plan.tokens {
                        Some(_) => self.sampler.packed(step, self.population.order(), &mut batch),
                        None => self.sampler.batch(step, self.population.order(), &mut batch.rows),
                    };
                    drawn.map_err(SimulateError::from)?;
                    let phase = plan.phase_at(step).unwrap_or(0);
                    if let (Some(_), Some(total)) = (plan.tokens, totals.get_mut(phase)) {
                        total.add(&batch);
                    }
                    tally.count(phase, &batch.rows, &mut totals);
                }
            }
            let look = self
                .sampler
                .look(shown, self.population.order())
                .map_err(SimulateError::from)?;
            self.measure(&look, shown, &mut totals);
            visit(self.point(shown, &look, tally.as_mut()))?;
        }
        if let Some(tally) = &mut tally {
            tally.end_phase(&mut totals);
        }
        Ok(totals)
    }

    fn point(&self, step: u64, look: &Look<'_>, tally: Option<&mut Tally<'_>>) -> Point {
        let mut shares: Vec<(Role, f64)> = Vec::new();
        for pool in &look.pools {
            let share = f64::from(pool.share) / 1e6;
            match shares.iter_mut().find(|(role, _)| *role == pool.plan.role) {
                Some((_, sum)) => *sum += share,
                None => shares.push((pool.plan.role, share)),
            }
        }
        let seen = tally.as_ref().and_then(|tally| tally.seen());
        Point {
            step,
            phase: look.phase,
            pool: look.own_rows(),
            fraction: look.own_fraction(self.population.rows()),
            difficulty: look.difficulty(),
            shares,
            served: tally.and_then(Tally::take),
            seen,
        }
    }

    /// The phases up to `end`, with the sizes of their pools at all steps at which these turn.
    fn totals(&self, end: u64) -> Result<Vec<PhaseTotal>, SimulateError> {
        let plan = self.sampler.plan();
        let phases = plan.phases.iter().filter(|phase| phase.start_step < end);
        let mut totals: Vec<PhaseTotal> = phases
            .map(|phase| {
                let steps = phase.start_step..phase.end().min(end);
                PhaseTotal {
                    planned: phase.steps(),
                    rows: (steps.end - steps.start) * plan.batch_size,
                    steps,
                    packed: None,
                    distinct: None,
                    pool: (u64::MAX, 0),
                    groups: vec![0; self.population.group_rows().len()],
                    raised: None,
                }
            })
            .collect();
        for phase in plan.phases.iter().filter(|phase| phase.start_step < end) {
            let starts = phase.segments.iter().map(|segment| segment.start_step);
            let before = starts
                .clone()
                .filter(|&start| start > phase.start_step)
                .map(|start| start - 1);
            let last = phase.end().min(end) - 1;
            let mut turns: Vec<u64> = starts.chain(before).chain([last]).filter(|&step| step < end).collect();
            turns.sort_unstable();
            for step in turns {
                let look = self.sampler.look(step, self.population.order())?;
                self.measure(&look, step, &mut totals);
            }
        }
        Ok(totals)
    }

    fn measure(&self, look: &Look<'_>, step: u64, totals: &mut [PhaseTotal]) {
        let Some(total) = totals.get_mut(look.phase) else {
            return;
        };
        let rows = look.own_rows();
        total.pool = (total.pool.0.min(rows), total.pool.1.max(rows));
        let own = look.pools.iter().filter(|pool| pool.plan.role == Role::Own);
        let sizes = own.map(|pool| self.admitted(pool, look.step_of_phase));
        let (wanted, held) = sizes.fold((0, 0), |sum, size| (sum.0 + size.0, sum.1 + size.1));
        if wanted < held {
            let raised = total.raised.get_or_insert(Raised {
                steps: (step, step),
                wanted,
                held,
            });
            raised.steps = (raised.steps.0.min(step), raised.steps.1.max(step));
            if wanted < raised.wanted {
                (raised.wanted, raised.held) = (wanted, held);
            }
        }
    }

    /// Rows that a pool's schedule admits, and those that it holds to make up a batch.
    fn admitted(&self, pool: &PoolLook<'_>, t: u64) -> (u64, u64) {
        // Of the bins of one pool the first stands for all.
        if pool.plan.part.is_some_and(|part| part.index > 0) {
            return (0, 0);
        }
        let plan = self.sampler.plan();
        let order = self.population.order();
        let rows = |pool_plan: &PoolPlan| {
            let bounds = pool_plan.bounds(t, plan.rows, order);
            let scopes = pool.intervals.iter().map(|&(scope, _)| rows_of(plan, scope));
            let lengths = scopes
                .map(|rows| pool_plan.interval(bounds, rows))
                .map(|rows| rows.end - rows.start);
            lengths.sum::<u64>()
        };
        let held = PoolPlan {
            // A window is no part of what a schedule admits; a bucket is.
            band: if pool.plan.band == Band::Bucket {
                Band::Bucket
            } else {
                Band::Whole
            },
            part: None,
            ..pool.plan.clone()
        };
        let wanted = PoolPlan {
            least: 1,
            ..held.clone()
        };
        (rows(&wanted), rows(&held))
    }
}

fn rows_of(plan: &Plan, scope: OrderScope) -> u64 {
    match scope {
        OrderScope::All => plan.rows,
        OrderScope::Group(group) => plan.group_rows.get(group as usize).copied().unwrap_or(0),
    }
}
