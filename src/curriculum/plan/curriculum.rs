//! A curriculum whose choices are made: of several kinds of pools and durations each phase has one, and
//! nothing is left to be looked up in the phase before.

use std::collections::BTreeSet;

use super::PlanError;
use crate::api::curriculum::{
    AdvanceSpec, Balance, BatchTokensSpec, CurriculumSpec, DeepSpeedSpec, DurationSpec, Fraction, GroupSharesSpec,
    HardNegativesSpec, MixingSpec, Order, PacingSpec, PhaseSpec, PoolSpec, RegressSpec, ScorePoolSpec, WeightingSpec,
};

/// A curriculum in which each phase says what it is. Its numbers are those of the API: what they may be
/// depends on the data, so they are read when it is compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Curriculum {
    /// Rows in one global batch.
    pub batch_size: i32,
    /// A bound on the tokens of a batch.
    pub batch_tokens: Option<BatchTokensSpec>,
    /// Which rows come first.
    pub order: Order,
    /// How a pool is spread over groups.
    pub balance: Balance,
    /// Share of every batch drawn from all rows.
    pub uniform_floor: Option<Fraction>,
    /// Bounds on the share of every group in a batch.
    pub group_shares: Option<GroupSharesSpec>,
    /// The phases, in the order in which they run.
    pub phases: Vec<Phase>,
    /// The visits of the run, in place of one of each phase; empty: there is no such list.
    pub course: Vec<Leg>,
}

/// A visit that is given beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leg {
    /// Index of the phase.
    pub phase: u32,
    /// Steps after which it is left.
    pub steps: i64,
}

/// A phase, with what it takes from the phase before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phase {
    /// Its name.
    pub name: String,
    /// Which rows it admits.
    pub pool: Pool,
    /// How long it lasts.
    pub duration: Duration,
    /// Share of every batch from the pools of earlier phases.
    pub replay: Option<Fraction>,
    /// A share of every batch from the other end of the order.
    pub hard_negatives: Option<HardNegativesSpec>,
    /// Shares of the groups in the pool.
    pub mixing: Option<MixingSpec>,
    /// Weights of easy and hard rows of the pool.
    pub weighting: Option<WeightingSpec>,
    /// Steps in which the batch goes over from all rows to the phase's own.
    pub warm_up_steps: Option<i64>,
    /// What ends it early.
    pub advance: Option<AdvanceSpec>,
    /// What ends it in favour of an earlier one.
    pub regress: Option<Regress>,
}

/// Going back to an earlier phase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Regress {
    /// Index of that phase.
    pub to: u32,
    /// How often in a run, at least once.
    pub limit: u32,
    /// When.
    pub when: RegressSpec,
}

/// Which rows a phase admits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// How far into the order they reach.
    pub kind: PoolKind,
    /// Of these, only the last ones in the order.
    pub window: Option<Fraction>,
}

/// How far into the order a pool reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PoolKind {
    /// To the same fraction of the rows for the whole phase.
    Fraction(Fraction),
    /// To a fraction that changes from step to step.
    Pacing(PacingSpec),
    /// To a score that may change from step to step.
    Score(ScorePoolSpec),
    /// As far as a schedule of DeepSpeed's says.
    DeepSpeed(DeepSpeedSpec),
}

/// How long a phase lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duration {
    /// Global batches.
    Steps(i64),
    /// Passes over the phase's largest pool.
    Epochs(i32),
}

/// Why a curriculum does not say what its phases are.
#[derive(thiserror::Error, Clone, Debug, PartialEq, Eq)]
pub enum Unclear {
    /// The first phase inherits.
    #[error("`{FIRST_INHERITS}`: {NOTHING_BEFORE}")]
    NothingBefore,
    /// A phase has not chosen one thing.
    #[error("{} in `{}` of phase '{phase}'", choice.problem(), choice.field())]
    NotOne {
        /// What it has to choose.
        choice: Choice,
        /// Whether it says anything of it.
        given: bool,
        /// Place of the phase, from 0.
        index: usize,
        /// Its name.
        phase: String,
    },
    /// A phase goes back to what is no earlier phase.
    #[error("`{to}` in `curriculum.phases[{index}].regress.to` {NOT_EARLIER}")]
    NotEarlier {
        /// Place of the phase, from 0.
        index: usize,
        /// What it says.
        to: String,
    },
    /// The course visits what is no phase.
    #[error("`{phase}` in `curriculum.course[{index}].phase` {NO_PHASE}")]
    NoPhase {
        /// Place of the visit, from 0.
        index: usize,
        /// What it says.
        phase: String,
    },
}

const NO_PHASE: &str = "is not the name of a phase";
const NOT_EARLIER: &str = "is not the name of an earlier phase";
const FIRST_INHERITS: &str = "curriculum.phases[0].inherit";
const NOTHING_BEFORE: &str = "the first phase has no phase before it";

/// What a phase has to choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Steps or epochs.
    Duration,
    /// A fraction, a pacing function, a score or a schedule of DeepSpeed's.
    Pool,
}

impl Choice {
    fn field(self) -> &'static str {
        match self {
            Self::Duration => "duration",
            Self::Pool => "pool",
        }
    }

    fn problem(self) -> &'static str {
        match self {
            Self::Duration => "exactly one of `steps` and `epochs` must be set",
            Self::Pool => "exactly one of `fraction`, `pacing`, `score` and `deepSpeed` must be set",
        }
    }
}

impl From<Unclear> for PlanError {
    fn from(unclear: Unclear) -> Self {
        match unclear {
            Unclear::NothingBefore => Self::new(FIRST_INHERITS, NOTHING_BEFORE),
            Unclear::NoPhase { index, phase } => Self::new(
                format!("curriculum.course[{index}].phase"),
                format!("'{phase}' {NO_PHASE}"),
            ),
            Unclear::NotEarlier { index, to } => Self::new(
                format!("curriculum.phases[{index}].regress.to"),
                format!("'{to}' {NOT_EARLIER}"),
            ),
            Unclear::NotOne {
                choice, given, index, ..
            } => {
                let problem = if given {
                    choice.problem()
                } else {
                    "must be set, or `inherit` be true"
                };
                Self::new(format!("curriculum.phases[{index}].{}", choice.field()), problem)
            }
        }
    }
}

impl Curriculum {
    /// Takes over what a spec has chosen, and gives each phase what it inherits.
    ///
    /// # Errors
    /// The first phase that has, or inherits, a pool or a duration of no kind or of several.
    pub fn read(spec: &CurriculumSpec) -> Result<Self, Unclear> {
        let mut phases: Vec<Phase> = Vec::with_capacity(spec.phases.len());
        for (index, phase) in spec.phases.iter().enumerate() {
            phases.push(Phase::read(index, phase, &phases)?);
        }
        Ok(Self {
            batch_size: spec.batch_size,
            batch_tokens: spec.batch_tokens.clone(),
            order: spec.order,
            balance: spec.balance,
            uniform_floor: spec.uniform_floor.clone(),
            group_shares: spec.group_shares.clone(),
            course: course(spec)?,
            phases,
        })
    }

    /// Whether a phase may end early.
    pub fn has_transitions(&self) -> bool {
        self.phases
            .iter()
            .any(|phase| phase.advance.is_some() || phase.regress.is_some())
    }

    /// Whether phases may begin elsewhere than where they are planned, one after the other.
    pub fn moves(&self) -> bool {
        self.has_transitions() || !self.course.is_empty()
    }

    /// The groups that it names, without repetition, in the order of their bytes.
    pub fn named_groups(&self) -> BTreeSet<&str> {
        let mixings = self.phases.iter().filter_map(|phase| phase.mixing.as_ref());
        let weights = mixings.filter_map(|mixing| mixing.weights.as_ref()).flatten();
        weights.map(|group| group.name.as_str()).collect()
    }
}

fn course(spec: &CurriculumSpec) -> Result<Vec<Leg>, Unclear> {
    let legs = spec.course.iter().flatten().enumerate();
    let legs = legs.map(|(index, leg)| {
        let place = spec.phases.iter().position(|phase| phase.name == leg.phase);
        let phase = place.and_then(|place| u32::try_from(place).ok());
        Ok(Leg {
            phase: phase.ok_or_else(|| Unclear::NoPhase {
                index,
                phase: leg.phase.clone(),
            })?,
            steps: leg.steps,
        })
    });
    legs.collect()
}

impl Phase {
    fn read(index: usize, spec: &PhaseSpec, earlier: &[Self]) -> Result<Self, Unclear> {
        let before = match earlier.last() {
            None if spec.inherit => return Err(Unclear::NothingBefore),
            before => before.filter(|_| spec.inherit),
        };
        let not_one = |choice, given| Unclear::NotOne {
            choice,
            given,
            index,
            phase: spec.name.clone(),
        };
        let duration = match &spec.duration {
            Some(spec) => Duration::read(spec).ok_or_else(|| not_one(Choice::Duration, true)),
            None => before
                .map(|before| before.duration)
                .ok_or_else(|| not_one(Choice::Duration, false)),
        };
        let pool = match &spec.pool {
            Some(spec) => Pool::read(spec).ok_or_else(|| not_one(Choice::Pool, true)),
            None => before
                .map(|before| before.pool.clone())
                .ok_or_else(|| not_one(Choice::Pool, false)),
        };
        Ok(Self {
            name: spec.name.clone(),
            pool: pool?,
            duration: duration?,
            replay: or(&spec.replay, before.map(|before| &before.replay)),
            hard_negatives: or(&spec.hard_negatives, before.map(|before| &before.hard_negatives)),
            mixing: or(&spec.mixing, before.map(|before| &before.mixing)),
            weighting: or(&spec.weighting, before.map(|before| &before.weighting)),
            warm_up_steps: or(&spec.warm_up_steps, before.map(|before| &before.warm_up_steps)),
            advance: spec.advance.clone(),
            regress: match &spec.regress {
                Some(when) => Some(Regress::read(index, when, earlier)?),
                None => None,
            },
        })
    }
}

impl Regress {
    fn read(index: usize, when: &RegressSpec, earlier: &[Phase]) -> Result<Self, Unclear> {
        let place = earlier.iter().position(|phase| phase.name == when.to);
        let to = place.and_then(|place| u32::try_from(place).ok());
        Ok(Self {
            to: to.ok_or_else(|| Unclear::NotEarlier {
                index,
                to: when.to.clone(),
            })?,
            limit: u32::try_from(when.limit.unwrap_or(1)).unwrap_or(0).max(1),
            when: when.clone(),
        })
    }
}

fn or<T: Clone>(own: &Option<T>, inherited: Option<&Option<T>>) -> Option<T> {
    own.clone().or_else(|| inherited.cloned().flatten())
}

impl Pool {
    fn read(spec: &PoolSpec) -> Option<Self> {
        let kind = match (&spec.fraction, &spec.pacing, &spec.score, &spec.deep_speed) {
            (Some(fraction), None, None, None) => PoolKind::Fraction(fraction.clone()),
            (None, Some(pacing), None, None) => PoolKind::Pacing(pacing.clone()),
            (None, None, Some(score), None) => PoolKind::Score(score.clone()),
            (None, None, None, Some(schedule)) => PoolKind::DeepSpeed(schedule.clone()),
            _ => return None,
        };
        Some(Self {
            kind,
            window: spec.window.clone(),
        })
    }
}

impl Duration {
    fn read(spec: &DurationSpec) -> Option<Self> {
        match (spec.steps, spec.epochs) {
            (Some(steps), None) => Some(Self::Steps(steps)),
            (None, Some(epochs)) => Some(Self::Epochs(epochs)),
            _ => None,
        }
    }
}
