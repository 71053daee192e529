//! From the spec to the plan: every schedule becomes segments of constant terms.

use std::collections::HashSet;

use super::{
    MAX_BATCH, MAX_EXACT, MAX_GROUPS, MAX_PHASES, MAX_SEGMENTS, MAX_STEPS, PLAN_VERSION, PhasePlan, Plan, PlanError,
    PlanScores, Scope, Segment, Term, WHOLE,
};
use crate::api::curriculum::{Balance, CurriculumSpec, DurationSpec, Fraction, PacingFunction, PhaseSpec, PoolSpec};
use crate::curriculum::pacing::Pacing;
use crate::curriculum::pool::{Pool, Population};
use crate::curriculum::share::Share;

/// What a plan needs to know besides the spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Seed of the run, at most 2⁵³ − 1.
    pub seed: u64,
    /// Rows of the data set.
    pub rows: u64,
    /// Rows of each group, in the order of the groups; empty without a group column.
    pub group_rows: Vec<u64>,
    /// The score index to use; `None`: go without, every row equally likely.
    pub scores: Option<PlanScores>,
}

/// Compiles a curriculum.
///
/// The bounds of the CRD are checked again, since a spec may come from a file. With `facts.scores` the plan refers to that index,
/// under `Order::Random` too: the groups' rows are read from it. Without, the plan is uniform: the same phases and steps, and one
/// term of all rows; so also for `Order::Random`, because a fallback must not depend on what the spec would have liked.
///
/// # Guarantees
/// - The shares of each segment sum to exactly [`WHOLE`]; no two of its terms have the same rows; its last term is the pool.
/// - A pool has at least `min(batchSize, rows)` rows, at least one of each group that has any, and all rows at fraction 1.
/// - A phase has at most [`MAX_SEGMENTS`] segments, and no two neighbours have the same terms.
///
/// # Errors
/// Names the first field that contradicts the bounds, another field or the data.
pub fn compile(spec: &CurriculumSpec, facts: &Facts) -> Result<Plan, PlanError> {
    let batch_size = u64::try_from(spec.batch_size)
        .ok()
        .filter(|b| (1..=MAX_BATCH).contains(b))
        .ok_or_else(|| {
            PlanError::new(
                "curriculum.batchSize",
                format!("{} is not between 1 and {MAX_BATCH}", spec.batch_size),
            )
        })?;
    check_facts(facts)?;
    let population = match spec.balance {
        Balance::None => Population::new(Scope::All, vec![facts.rows], batch_size),
        Balance::Group if facts.group_rows.is_empty() => {
            return Err(PlanError::new(
                "curriculum.balance",
                "'Group' needs the groups of the rows: set `dataset.groupColumn`, or use 'None'",
            ));
        }
        Balance::Group => Population::new(Scope::EachGroup, facts.group_rows.clone(), batch_size),
    };
    let floor = match &spec.uniform_floor {
        Some(fraction) => share("curriculum.uniformFloor".into(), fraction)?,
        None => Share::ZERO,
    };
    check_names(&spec.phases)?;

    let mut compiler = Compiler {
        population,
        batch_size,
        floor,
        earlier: Vec::new(),
        next_step: 0,
    };
    let phases = (0..)
        .zip(&spec.phases)
        .map(|(index, phase)| compiler.phase(index, phase));
    let plan = Plan {
        version: PLAN_VERSION,
        seed: facts.seed,
        batch_size,
        order: spec.order,
        rows: facts.rows,
        group_rows: if facts.group_rows.is_empty() {
            vec![facts.rows]
        } else {
            facts.group_rows.clone()
        },
        scores: facts.scores.clone(),
        phases: phases.collect::<Result<_, _>>()?,
    };
    Ok(if plan.scores.is_some() { plan } else { plan.uniform() })
}

fn check_facts(facts: &Facts) -> Result<(), PlanError> {
    if facts.seed > MAX_EXACT {
        return Err(PlanError::new(
            "seed",
            format!("{} is not between 0 and {MAX_EXACT}", facts.seed),
        ));
    }
    if !(1..=MAX_EXACT).contains(&facts.rows) {
        return Err(PlanError::new(
            "dataset",
            format!("{} rows; needed are between 1 and {MAX_EXACT}", facts.rows),
        ));
    }
    let groups = &facts.group_rows;
    if groups.len() > MAX_GROUPS {
        let problem = format!("{} groups; at most {MAX_GROUPS} are possible", groups.len());
        return Err(PlanError::new("dataset.groupColumn", problem));
    }
    let in_groups: u128 = groups.iter().map(|&n| u128::from(n)).sum();
    if !groups.is_empty() && in_groups != u128::from(facts.rows) {
        let problem = format!(
            "the groups have {in_groups} rows together, but the data set has {}",
            facts.rows
        );
        return Err(PlanError::new("dataset.groupColumn", problem));
    }
    Ok(())
}

fn check_names(phases: &[PhaseSpec]) -> Result<(), PlanError> {
    if !(1..=MAX_PHASES).contains(&phases.len()) {
        let problem = format!("{} phases; needed are between 1 and {MAX_PHASES}", phases.len());
        return Err(PlanError::new("curriculum.phases", problem));
    }
    let mut seen = HashSet::new();
    match phases.iter().position(|phase| !seen.insert(&phase.name)) {
        None => Ok(()),
        Some(i) => Err(PlanError::new(
            format!("curriculum.phases[{i}].name"),
            format!(
                "'{}' is the name of an earlier phase too; names must be unique",
                phases[i].name
            ),
        )),
    }
}

/// What the phases compiled so far leave to the next one.
struct Compiler {
    population: Population,
    batch_size: u64,
    floor: Share,
    /// Final pool of each earlier phase.
    earlier: Vec<Pool>,
    next_step: u64,
}

impl Compiler {
    fn phase(&mut self, index: u32, spec: &PhaseSpec) -> Result<PhasePlan, PlanError> {
        let field = format!("curriculum.phases[{index}]");
        let paced = Paced::read(&field, &spec.pool)?;
        let steps = self.duration(&field, &spec.duration, &paced)?;
        let pacing = paced.over(&field, steps)?;
        let replay = match &spec.replay {
            Some(fraction) => share(format!("{field}.replay"), fraction)?,
            None => Share::ZERO,
        };
        let mixture = self.mixture(&field, replay)?;

        let start_step = self.next_step;
        let mut segments = Vec::new();
        let mut current: Option<Pool> = None;
        for t in pacing.refreshes(steps, MAX_SEGMENTS as u64) {
            let pool = self.population.admit(pacing.at(t));
            if current.replace(pool).is_none_or(|before| before.size != pool.size) {
                segments.push(Segment {
                    start_step: start_step + t,
                    terms: self.terms(&mixture, pool),
                });
            }
        }
        self.earlier.extend(current);
        self.next_step = start_step + steps;
        Ok(PhasePlan {
            index,
            name: spec.name.clone(),
            start_step,
            end_step: self.next_step,
            segments,
        })
    }

    fn duration(&self, field: &str, spec: &DurationSpec, paced: &Paced) -> Result<u64, PlanError> {
        match (spec.steps, spec.epochs) {
            (Some(steps), None) => u64::try_from(steps)
                .ok()
                .filter(|s| (1..=MAX_STEPS).contains(s))
                .ok_or_else(|| {
                    PlanError::new(
                        format!("{field}.duration.steps"),
                        format!("{steps} is not between 1 and {MAX_STEPS}"),
                    )
                }),
            (None, Some(epochs)) => {
                let field = format!("{field}.duration.epochs");
                let largest = self.population.admit(paced.largest()).size;
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
            _ => Err(PlanError::new(
                format!("{field}.duration"),
                "exactly one of `steps` and `epochs` must be set",
            )),
        }
    }

    /// The shares of floor and replay in millionths. The pool gets the rest.
    fn mixture(&self, field: &str, replay: Share) -> Result<Mixture, PlanError> {
        let mixture = Mixture {
            floor: self.floor.millionths(),
            replay: replay.millionths(),
        };
        if mixture.replay > 0 && self.earlier.is_empty() {
            return Err(PlanError::new(
                format!("{field}.replay"),
                "the first phase has no earlier phase to replay; leave it out or set '0'",
            ));
        }
        if mixture.floor + mixture.replay >= WHOLE {
            let problem = format!(
                "`uniformFloor` ({}) and `replay` ({}) leave nothing to the phase's own pool; their sum must be less than 1",
                decimal(mixture.floor),
                decimal(mixture.replay)
            );
            return Err(PlanError::new(field, problem));
        }
        Ok(mixture)
    }

    /// Floor, replay and pool as terms. Those with the same rows become one, at the place of the last of them.
    fn terms(&self, mixture: &Mixture, pool: Pool) -> Vec<Term> {
        let phases = self.earlier.len() as u64;
        // Part i of k equal parts that sum to the whole.
        let part = |i: u64| (u64::from(mixture.replay) * i / phases.max(1)) as u32;
        let replays = (0..)
            .zip(&self.earlier)
            .map(|(i, &earlier)| (part(i + 1) - part(i), earlier));
        let floor = (mixture.floor, self.population.everything());
        let own = (WHOLE - mixture.floor - mixture.replay, pool);

        let mut terms: Vec<(u32, Pool)> = Vec::new();
        for (mut share, pool) in [floor]
            .into_iter()
            .chain(replays)
            .chain([own])
            .filter(|&(share, _)| share > 0)
        {
            terms.retain(|&(other, its)| {
                let same = its.scope == pool.scope && its.size == pool.size;
                share += if same { other } else { 0 };
                !same
            });
            terms.push((share, pool));
        }
        terms
            .into_iter()
            .map(|(share, pool)| Term {
                share,
                scope: pool.scope,
                fraction: pool.fraction.units(),
            })
            .collect()
    }
}

struct Mixture {
    floor: u32,
    replay: u32,
}

/// A pool's spec, read but for the duration that a pacing function may borrow from the phase.
enum Paced {
    Constant(Share),
    Growing {
        function: PacingFunction,
        from: Share,
        to: Share,
        steps: Option<u64>,
    },
}

impl Paced {
    fn read(field: &str, spec: &PoolSpec) -> Result<Self, PlanError> {
        match (&spec.fraction, &spec.pacing) {
            (Some(fraction), None) => Ok(Self::Constant(admitted(format!("{field}.pool.fraction"), fraction)?)),
            (None, Some(pacing)) => Ok(Self::Growing {
                function: pacing.function,
                from: admitted(format!("{field}.pool.pacing.from"), &pacing.from)?,
                to: admitted(format!("{field}.pool.pacing.to"), &pacing.to)?,
                steps: match pacing.steps {
                    None => None,
                    Some(steps) => Some(u64::try_from(steps).ok().filter(|&s| s > 0).ok_or_else(|| {
                        PlanError::new(format!("{field}.pool.pacing.steps"), format!("{steps} is less than 1"))
                    })?),
                },
            }),
            _ => Err(PlanError::new(
                format!("{field}.pool"),
                "exactly one of `fraction` and `pacing` must be set",
            )),
        }
    }

    fn largest(&self) -> Share {
        match self {
            Self::Constant(share) => *share,
            // The duration does not change what values a pacing function takes, only when.
            Self::Growing { .. } => self.pacing(1).largest(),
        }
    }

    fn over(&self, field: &str, duration: u64) -> Result<Pacing, PlanError> {
        match self {
            Self::Growing { steps: Some(steps), .. } if *steps > duration => Err(PlanError::new(
                format!("{field}.pool.pacing.steps"),
                format!("{steps} is more than the {duration} steps of the phase; the pacing would not end within it"),
            )),
            _ => Ok(self.pacing(duration)),
        }
    }

    fn pacing(&self, duration: u64) -> Pacing {
        match *self {
            Self::Constant(share) => Pacing::Constant(share),
            Self::Growing {
                function: PacingFunction::Linear,
                from,
                to,
                steps,
            } => Pacing::Linear {
                from,
                to,
                steps: steps.unwrap_or(duration),
            },
        }
    }
}

fn share(field: String, fraction: &Fraction) -> Result<Share, PlanError> {
    Share::try_from(fraction).map_err(|error| PlanError::new(field, error.to_string()))
}

fn admitted(field: String, fraction: &Fraction) -> Result<Share, PlanError> {
    match share(field.clone(), fraction)? {
        Share::ZERO => Err(PlanError::new(
            field,
            format!("'{}' is not greater than '0': an empty pool has no rows", fraction.0),
        )),
        share => Ok(share),
    }
}

fn decimal(millionths: u32) -> String {
    format!("'{}.{:06}'", millionths / WHOLE, millionths % WHOLE)
}
