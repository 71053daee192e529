//! From the spec to the plan: every schedule becomes pools that move in closed form, and segments of constant shares.

mod facts;
mod groups;
mod mixture;
mod read;
mod refresh;

use std::collections::BTreeMap;

use super::curriculum::{Curriculum, Duration, Phase, PoolKind};
use super::{
    Admission, Band, MAX_BATCH, MAX_POOLS, MAX_SEGMENTS, MAX_SHARES, MAX_STEPS, PLAN_VERSION, PhasePlan, Plan,
    PlanError, PoolPlan, Role, Scope, Segment, TokenBudget,
};
use crate::api::curriculum::{Balance, CurriculumSpec, Order};
use crate::curriculum::pacing::Pacing;
use crate::curriculum::share::Share;
use crate::curriculum::transition::{self, MAX_VISITS, Transitions};
pub use facts::Facts;
use groups::{Division, Limits};
use mixture::{Mixture, Source};

const MICRO: u64 = 1_000_000;

/// Compiles a curriculum as the API has it.
///
/// # Errors
/// As [`Curriculum::read`] and [`Curriculum::compile`].
pub fn compile(spec: &CurriculumSpec, facts: &Facts) -> Result<Plan, PlanError> {
    Curriculum::read(spec)?.compile(facts)
}

impl Curriculum {
    /// Compiles it.
    ///
    /// The bounds of the CRD are checked again, since a spec may come from a file. With `facts.scores` the
    /// plan refers to that index, under `Order::Random` too: the groups' rows are read from it. Without, the
    /// plan is uniform: the same phases and steps, and one pool of all rows; so also for `Order::Random`,
    /// because a fallback must not depend on what the spec would have liked.
    ///
    /// # Guarantees
    /// - The shares of each segment sum to exactly [`WHOLE`](super::WHOLE); no two constant pools of a phase
    ///   have the same rows.
    /// - The own pool has at least `min(batchSize, rows)` rows, with `batchTokens` up to half as many more, at least one of each group that has any, and
    ///   all rows at fraction 1; where groups have pools of their own, each has as many rows as it has slots
    ///   in a batch, or all that there are.
    /// - A phase has at most [`MAX_SEGMENTS`] segments, [`MAX_POOLS`] pools and [`MAX_SHARES`] shares.
    ///
    /// # Errors
    /// Names the first field that contradicts the bounds, another field or the data.
    pub fn compile(&self, facts: &Facts) -> Result<Plan, PlanError> {
        let batch_size = u64::try_from(self.batch_size)
            .ok()
            .filter(|b| (1..=MAX_BATCH).contains(b))
            .ok_or_else(|| {
                PlanError::new(
                    "curriculum.batchSize",
                    format!("{} is not between 1 and {MAX_BATCH}", self.batch_size),
                )
            })?;
        let tokens = match &self.batch_tokens {
            Some(spec) => Some(read::tokens(spec, batch_size)?),
            None => None,
        };
        facts.check()?;
        if self.balance == Balance::Group && facts.group_rows.is_empty() {
            return Err(PlanError::new(
                "curriculum.balance",
                "'Group' needs the groups of the rows: set `dataset.groupColumn`, or use 'None'",
            ));
        }
        let floor = match &self.uniform_floor {
            Some(fraction) => read::share("curriculum.uniformFloor".into(), fraction)?,
            None => Share::ZERO,
        };
        facts::check_names(&self.phases)?;
        let limits = match &self.group_shares {
            Some(_) if self.balance == Balance::None => {
                return Err(PlanError::new("curriculum.groupShares", "needs `balance: Group`"));
            }
            Some(limits) => Some(Limits::read(limits, facts)?),
            None => None,
        };

        let mut compiler = Compiler {
            facts,
            order: self.order,
            balance: self.balance,
            batch_size,
            reach: tokens.map_or(batch_size, |_| TokenBudget::reach(batch_size)),
            in_tokens: tokens.is_some(),
            floor,
            limits,
            earlier: Vec::new(),
            next_step: 0,
        };
        let phases = (0..)
            .zip(&self.phases)
            .map(|(index, phase)| compiler.phase(index, phase));
        let phases = phases.collect::<Result<Vec<_>, _>>()?;
        self.check_course(&phases)?;
        let plan = Plan {
            version: PLAN_VERSION,
            seed: facts.seed,
            batch_size,
            tokens,
            order: self.order,
            rows: facts.rows,
            group_rows: if facts.group_rows.is_empty() {
                vec![facts.rows]
            } else {
                facts.group_rows.clone()
            },
            held_out: facts.held_out,
            filtered: facts.filtered.clone(),
            scores: facts.scores.clone(),
            phases,
        };
        Ok(if plan.scores.is_some() { plan } else { plan.uniform() })
    }
}

impl Curriculum {
    /// Whether no visit of the course is longer than its phase, or judged by metrics too.
    fn check_course(&self, phases: &[PhasePlan]) -> Result<(), PlanError> {
        if self.course.len() > MAX_VISITS {
            let problem = format!("{} visits; at most {MAX_VISITS} are possible", self.course.len());
            return Err(PlanError::new("curriculum.course", problem));
        }
        for (i, leg) in self.course.iter().enumerate() {
            let Some(phase) = phases.get(leg.phase as usize) else {
                continue;
            };
            let fits = u64::try_from(leg.steps).is_ok_and(|steps| (1..=phase.steps()).contains(&steps));
            if !fits {
                let problem = format!(
                    "{} is not between 1 and the {} steps of phase '{}'",
                    leg.steps,
                    phase.steps(),
                    phase.name
                );
                return Err(PlanError::new(format!("curriculum.course[{i}].steps"), problem));
            }
        }
        match self
            .phases
            .iter()
            .position(|phase| phase.advance.is_some() || phase.regress.is_some())
        {
            Some(i) if !self.course.is_empty() => Err(PlanError::new(
                format!("curriculum.phases[{i}]"),
                "`advance` and `regress` must be absent where `course` is set: the course says when a phase is left",
            )),
            _ => Ok(()),
        }
    }
}

/// What the phases compiled so far leave to the next one.
struct Compiler<'a> {
    facts: &'a Facts,
    order: Order,
    balance: Balance,
    batch_size: u64,
    /// Slots in a row that a batch may have rows of: a pool with as many rows shows none twice in a batch.
    reach: u64,
    /// Whether tokens bound a batch.
    in_tokens: bool,
    floor: Share,
    limits: Option<Limits>,
    /// Final pools of each earlier phase, with their shares of it.
    earlier: Vec<Vec<(f64, PoolPlan)>>,
    next_step: u64,
}

impl<'a> Compiler<'a> {
    fn phase(&mut self, index: u32, spec: &Phase) -> Result<PhasePlan, PlanError> {
        let field = format!("curriculum.phases[{index}]");
        self.check_combination(&field, spec)?;
        let steps = self.duration(&field, spec)?;
        let start_step = self.next_step;
        let mut slots = vec![1; self.facts.group_rows.len()];
        // Larger pools move less, so that segments may begin elsewhere and have other shares: until all pools are large enough.
        let mut before: Option<(Mixture<'_>, Vec<Segment>)> = None;
        let (mixture, segments) = loop {
            let mixture = self.mixture(&field, spec, steps, &slots)?;
            let known = before.filter(|(before, _)| mixture.has_shares_of(before));
            let known = known.map(|(_, segments)| segments).unwrap_or_default();
            let segments = segments(&mixture, start_step, steps, known)?;
            let needed = mixture.slots(&segments, self.reach);
            if slots.iter().zip(&needed).all(|(slots, needed)| needed <= slots) {
                break (mixture, segments);
            }
            slots
                .iter_mut()
                .zip(needed)
                .for_each(|(slots, needed)| *slots = needed.max(*slots));
            before = Some((mixture, segments));
        };
        let lasted = self.facts.lasted.get(&index).copied().unwrap_or(steps);
        self.earlier.push(mixture.leaves(lasted.clamp(1, steps) - 1)?);
        self.next_step = start_step + steps;
        Ok(PhasePlan {
            index,
            name: spec.name.clone(),
            start_step,
            end_step: self.next_step,
            left_at: None,
            pools: mixture.into_pools(),
            segments,
            transitions: self.transitions(&field, spec, steps)?,
        })
    }

    /// What may end the phase before its `steps` are over.
    fn transitions(&self, field: &str, spec: &Phase, steps: u64) -> Result<Option<Transitions>, PlanError> {
        let advance = spec.advance.as_ref();
        let advance = advance.map(|spec| transition::advance(&format!("{field}.advance"), spec, steps));
        let regress = spec.regress.as_ref();
        let regress = regress.map(|spec| transition::regress(&format!("{field}.regress"), &spec.when, steps));
        let transitions = Transitions {
            advance: advance.transpose()?,
            regress: regress.transpose()?,
        };
        if transitions.looks_at_groups() && self.facts.group_rows.is_empty() {
            let problem = "a criterion of `advance` or `regress` looks at `groups`, which needs `dataset.groupColumn`";
            return Err(PlanError::new(field, problem));
        }
        Ok(Some(transitions).filter(|transitions| !transitions.is_empty()))
    }

    fn check_combination(&self, field: &str, spec: &Phase) -> Result<(), PlanError> {
        let threshold = match spec.pool.kind {
            PoolKind::Fraction(_) | PoolKind::Pacing(_) => None,
            PoolKind::Score(_) => Some("score"),
            PoolKind::DeepSpeed(_) => Some("deepSpeed"),
        };
        let problem = match (self.balance, self.order) {
            (Balance::Group, _) => Some("needs `balance: None`: thresholds count from the easiest of all rows"),
            (_, Order::HardFirst) => Some("needs `order` EasyFirst or Random: thresholds count from the easiest row"),
            _ if spec.weighting.is_some() => Some("does not go with `weighting`: bins need a known number of rows"),
            _ if matches!(spec.duration, Duration::Epochs(_)) => {
                Some("does not go with `duration.epochs`: how many rows it admits is not known; use `steps`")
            }
            _ => None,
        };
        if let (Some(name), Some(problem)) = (threshold, problem) {
            return Err(PlanError::new(format!("{field}.pool.{name}"), problem));
        }
        if spec.mixing.is_some() && self.balance == Balance::None {
            return Err(PlanError::new(format!("{field}.mixing"), "needs `balance: Group`"));
        }
        Ok(())
    }

    fn duration(&self, field: &str, spec: &Phase) -> Result<u64, PlanError> {
        match spec.duration {
            Duration::Steps(steps) => read::count(format!("{field}.duration.steps"), steps),
            Duration::Epochs(_) if self.in_tokens => Err(PlanError::new(
                format!("{field}.duration.epochs"),
                "does not go with `curriculum.batchTokens`: how many rows a batch has is not known; use `steps`",
            )),
            Duration::Epochs(epochs) => {
                // The duration does not change what values a pacing function takes, only when.
                let largest = self.largest(&format!("{field}.pool"), spec)?;
                let field = format!("{field}.duration.epochs");
                let passes = u64::try_from(epochs)
                    .ok()
                    .filter(|&e| e > 0)
                    .ok_or_else(|| PlanError::new(&field, format!("{epochs} is less than 1")))?;
                let steps = (u128::from(passes) * u128::from(largest)).div_ceil(u128::from(self.batch_size));
                u64::try_from(steps).ok().filter(|&s| s <= MAX_STEPS).ok_or_else(|| {
                    let problem = format!(
                        "{epochs} passes over {largest} rows in batches of {} are {steps} steps; at most {MAX_STEPS} are \
                         possible: use fewer epochs or a larger batch",
                        self.batch_size
                    );
                    PlanError::new(field, problem)
                })
            }
        }
    }

    /// Rows of the phase's pool where it is largest.
    fn largest(&self, field: &str, spec: &Phase) -> Result<u64, PlanError> {
        let (admits, _) = read::pool(field, &spec.pool, 1)?;
        let Admission::Fraction(pacing) = admits else {
            return Ok(self.facts.rows);
        };
        let pool = self.own_pool(
            Admission::Fraction(Pacing::Constant(pacing.largest(u64::MAX).units())),
            Band::Whole,
        );
        Ok(mixture::rows_of(&pool, self.facts))
    }

    /// The pool of all groups together, or of all rows.
    fn own_pool(&self, admits: Admission, band: Band) -> PoolPlan {
        let (scope, parts) = self.population();
        bounded(Role::Own, scope, admits, band, &parts, self.reach)
    }

    fn population(&self) -> (Scope, Vec<u64>) {
        match self.balance {
            Balance::None => (Scope::All, vec![self.facts.rows]),
            Balance::Group => (Scope::EachGroup, self.facts.group_rows.clone()),
        }
    }

    /// Everything that a batch of the phase is made of. `slots`: what each group's own pool has in a batch at most.
    fn mixture(&self, field: &str, spec: &Phase, steps: u64, slots: &[u64]) -> Result<Mixture<'a>, PlanError> {
        let replay = match &spec.replay {
            Some(fraction) => read::share(format!("{field}.replay"), fraction)?,
            None => Share::ZERO,
        };
        if replay > Share::ZERO && self.earlier.is_empty() {
            return Err(PlanError::new(
                format!("{field}.replay"),
                "the first phase has no earlier phase to replay; leave it out or set '0'",
            ));
        }
        let (hard_share, hard_fraction) = match &spec.hard_negatives {
            Some(hard) => (
                read::share(format!("{field}.hardNegatives.share"), &hard.share)?,
                read::admitted(format!("{field}.hardNegatives.fraction"), &hard.fraction)?,
            ),
            None => (Share::ZERO, Share::ONE),
        };
        let taken = self.floor.units() + replay.units() + hard_share.units();
        if taken >= Share::ONE.units() {
            let problem = format!(
                "`uniformFloor` ({}), `replay` ({}) and `hardNegatives.share` ({}) leave nothing to the phase's own pool; their sum must \
                 be less than 1",
                decimal(self.floor),
                decimal(replay),
                decimal(hard_share)
            );
            return Err(PlanError::new(field, problem));
        }

        let (scope, parts) = self.population();
        let mut mixture = Mixture::new(
            self.facts,
            steps,
            Share::from_units(Share::ONE.units() - taken).unwrap_or(Share::ONE),
        );
        mixture.add(PoolPlan::everything(Role::Floor), Source::Floor(self.floor));
        let phases = self.earlier.len().max(1) as f64;
        for (share, pool) in self.earlier.iter().flatten() {
            mixture.add(pool.clone(), Source::Fixed(replay.to_f64() * share / phases));
        }
        let everything = Admission::Fraction(Pacing::Constant(Share::ONE.units()));
        let hard = bounded(
            Role::HardNegatives,
            scope,
            everything,
            Band::Width(hard_fraction.units()),
            &parts,
            self.reach,
        );
        mixture.add(hard, Source::Fixed(hard_share.to_f64()));
        self.add_own(field, spec, steps, slots, &mut mixture)?;
        mixture.warm_up(field, spec.warm_up_steps)?;
        if mixture.pools().len() > MAX_POOLS {
            let problem = format!(
                "groups, bins and replayed pools make {} pools; at most {MAX_POOLS} are possible: use fewer bins",
                mixture.pools().len()
            );
            return Err(PlanError::new(field, problem));
        }
        Ok(mixture)
    }

    /// The phase's own pools: one, or one per group, each cut into bins where bins are weighted.
    fn add_own(
        &self,
        field: &str,
        spec: &Phase,
        steps: u64,
        slots: &[u64],
        mixture: &mut Mixture<'a>,
    ) -> Result<(), PlanError> {
        let (admits, band) = read::pool(&format!("{field}.pool"), &spec.pool, steps)?;
        mixture.weigh_bins(&format!("{field}.weighting"), spec.weighting.as_ref())?;
        if spec.mixing.is_none() && self.limits.is_none() {
            mixture.add_bins(&self.own_pool(admits, band), None);
            return Ok(());
        }
        let field = format!("{field}.mixing");
        let division = Division::read(&field, spec.mixing.as_ref(), self.facts)?;
        let mut own: BTreeMap<usize, Pacing> = BTreeMap::new();
        for (i, group) in spec
            .mixing
            .iter()
            .flat_map(|mixing| mixing.weights.iter().flatten())
            .enumerate()
        {
            let field = format!("{field}.weights[{i}]");
            let pacing = match (&group.fraction, &group.pacing) {
                (None, None) => continue,
                (Some(fraction), None) => {
                    Pacing::Constant(read::admitted(format!("{field}.fraction"), fraction)?.units())
                }
                (None, Some(pacing)) => read::group_pacing(&format!("{field}.pacing"), pacing, steps)?,
                (Some(_), Some(_)) => {
                    return Err(PlanError::new(
                        field,
                        "at most one of `fraction` and `pacing` must be set",
                    ));
                }
            };
            own.insert(groups::place(&field, &group.name, self.facts)?, pacing);
        }
        for (number, &rows) in (0..).zip(&self.facts.group_rows) {
            if rows == 0 {
                continue;
            }
            let place = number as usize;
            let (admits, band) = match own.remove(&place) {
                Some(pacing) => (Admission::Fraction(pacing), Band::Whole),
                None => (admits.clone(), band),
            };
            let slots = slots.get(place).copied().unwrap_or(1);
            let pool = bounded(Role::Own, Scope::Group(number), admits, band, &[rows], slots);
            mixture.add_bins(&pool, Some(place));
        }
        mixture.divide(division, self.limits, &field);
        Ok(())
    }
}

/// The segments of a phase from `start_step` on. `known` are those of a mixture with the same shares.
fn segments(
    mixture: &Mixture<'_>,
    start_step: u64,
    steps: u64,
    known: Vec<Segment>,
) -> Result<Vec<Segment>, PlanError> {
    let limit = (MAX_SHARES / mixture.pools().len()).clamp(16, MAX_SEGMENTS);
    let mut starts = refresh::of_pools(mixture.pools(), steps, limit / 2);
    starts.extend(mixture.refreshes(steps, limit / 2));
    starts.sort_unstable();
    starts.dedup();
    let known_starts = known.iter().map(|segment| segment.start_step - start_step);
    if starts.iter().copied().eq(known_starts) {
        return Ok(known);
    }

    let ends = starts.iter().skip(1).copied().chain([steps]);
    let segments = starts.iter().zip(ends).map(|(&start, end)| {
        Ok(Segment {
            start_step: start_step + start,
            shares: mixture.shares(start..end)?,
        })
    });
    segments.collect()
}

/// A pool that holds at least `enough` rows of `parts` whatever else it says, or all if they are fewer.
fn bounded(role: Role, scope: Scope, admits: Admission, band: Band, parts: &[u64], enough: u64) -> PoolPlan {
    let least = least(parts, enough);
    PoolPlan {
        role,
        scope,
        admits,
        band,
        least,
        part: None,
    }
}

/// The smallest fraction whose pool has `enough` rows, or all rows if they are fewer.
fn least(parts: &[u64], enough: u64) -> u64 {
    let size = |units: u64| -> u64 {
        let share = Share::from_units(units).unwrap_or(Share::ONE);
        parts.iter().map(|&n| share.ceil_of(n)).sum()
    };
    let enough = enough.max(1).min(size(Share::ONE.units()));
    // Pools grow with the fraction, and all rows are enough.
    let (mut too_small, mut large_enough) = (0, Share::ONE.units());
    while large_enough - too_small > 1 {
        let middle = too_small + (large_enough - too_small) / 2;
        if size(middle) < enough {
            too_small = middle;
        } else {
            large_enough = middle;
        }
    }
    large_enough
}

fn decimal(share: Share) -> String {
    format!(
        "'{}.{:06}'",
        share.units() / Share::ONE.units(),
        share.units() % Share::ONE.units() / 1_000_000
    )
}
