//! The plan: what a curriculum compiles to. Pure data; [`compile()`] makes it, [`Sampler`](super::sampler::Sampler) reads it.
//!
//! `compile` turns the spec into a plan, `check` keeps out plans that it could not have made.

mod check;
mod compile;

use serde::{Deserialize, Serialize};

use super::canonical;
use super::share::Share;
use crate::api::curriculum::Order;

pub use compile::{Facts, compile};

/// Most groups of a data set.
pub const MAX_GROUPS: usize = 256;
/// Most phases of a curriculum.
pub const MAX_PHASES: usize = 32;
/// Most segments of a phase: how often pacing is looked at.
pub const MAX_SEGMENTS: usize = 256;
/// Most steps of a phase.
pub const MAX_STEPS: u64 = 1_000_000_000;
/// Most rows of a global batch.
pub const MAX_BATCH: u64 = 1 << 20;
/// Largest number of rows, and seed: integers up to here are exact in every JSON reader.
pub const MAX_EXACT: u64 = (1 << 53) - 1;
/// The shares of a segment's terms sum to this.
pub const WHOLE: u32 = 1_000_000;

/// Version of the plan's format and of the sampling it stands for: the same plan and version give the same rows.
pub const PLAN_VERSION: u32 = 1;

/// Everything that decides which rows a batch holds, but for the order of the rows itself (the score index).
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Plan {
    /// Always [`PLAN_VERSION`].
    pub version: u32,
    /// Seed of the run.
    pub seed: u64,
    /// Rows in one global batch.
    pub batch_size: u64,
    /// Which end of the order comes first.
    pub order: Order,
    /// Rows of the data set.
    pub rows: u64,
    /// Rows of each group, in the order of the groups; one entry when there are no groups.
    pub group_rows: Vec<u64>,
    /// The index that the strata refer to; `None`: uniform sampling, and every segment has one term of all rows.
    pub scores: Option<PlanScores>,
    /// The phases in this plan: all of them, or just the one that an attempt trains.
    pub phases: Vec<PhasePlan>,
}

/// Reference to a score index.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlanScores {
    /// Folder of the index on the store: `index/<key>/`.
    pub key: String,
    /// SHA-256 of `index.arrow` as `sha256:…`.
    pub digest: String,
}

/// One phase.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PhasePlan {
    /// Index in the curriculum.
    pub index: u32,
    /// Name.
    pub name: String,
    /// First step, counted over the whole run.
    pub start_step: u64,
    /// First step after the phase.
    pub end_step: u64,
    /// Consecutive; the first begins at `start_step`, each lasts until the next begins.
    pub segments: Vec<Segment>,
}

/// A stretch of steps with constant strata.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Segment {
    /// First step.
    pub start_step: u64,
    /// Where the rows of a batch come from: the uniform floor, the pools of earlier phases, and last the phase's own pool.
    /// No two have the same rows.
    pub terms: Vec<Term>,
}

/// A share of every batch that is drawn from an interval of the order, of all rows or of each group.
///
/// A term over [`Scope::EachGroup`] stands for one stratum per group, weighted by the stratum's rows.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Term {
    /// Share of the batch in millionths; the shares of a segment sum to 1,000,000.
    pub share: u32,
    /// Of all rows together or of each group.
    pub scope: Scope,
    /// The admitted fraction of the scope's rows, in units of 10⁻¹²: the stratum is the first ⌈f·n⌉ of n rows.
    pub fraction: u64,
}

/// What a term's interval is taken of.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All rows in one order.
    All,
    /// Every group in an order of its own.
    EachGroup,
}

/// Why there is no plan: which field, what it says, and what would be right.
#[derive(thiserror::Error, Clone, Debug, PartialEq, Eq)]
#[error("{field}: {problem}")]
pub struct PlanError {
    /// Path of the field, such as `curriculum.phases[1].pool.fraction`.
    pub field: String,
    /// The field's value and what would be right.
    pub problem: String,
}

impl PlanError {
    fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            problem: problem.into(),
        }
    }
}

impl Plan {
    /// First step of the plan.
    pub fn start_step(&self) -> u64 {
        self.phases.first().map_or(0, |phase| phase.start_step)
    }

    /// First step after the plan's last phase: the number of steps of the run, if that phase is the curriculum's last.
    pub fn total_steps(&self) -> u64 {
        self.phases.last().map_or(0, |phase| phase.end_step)
    }

    /// The plan with only the phase of that index in the curriculum: what an attempt trains. Its batches are the same as the
    /// whole plan's.
    pub fn for_phase(&self, index: u32) -> Option<Self> {
        let phase = self.phases.iter().find(|phase| phase.index == index)?;
        Some(Self {
            phases: vec![phase.clone()],
            ..self.without_phases()
        })
    }

    /// The same steps and phases with every row equally likely: what a run falls back to without a score index. It is what
    /// [`compile()`] makes of the same spec without scores.
    pub fn uniform(&self) -> Self {
        let terms = [Term {
            share: WHOLE,
            scope: Scope::All,
            fraction: Share::ONE.units(),
        }];
        let phases = self.phases.iter().map(|phase| PhasePlan {
            name: phase.name.clone(),
            segments: vec![Segment {
                start_step: phase.start_step,
                terms: terms.to_vec(),
            }],
            ..*phase
        });
        Self {
            scores: None,
            phases: phases.collect(),
            ..self.without_phases()
        }
    }

    /// Rows that a term admits, of all groups together.
    pub fn rows_of(&self, term: &Term) -> u64 {
        // A fraction above 1 does not pass `check`.
        let fraction = Share::from_units(term.fraction).unwrap_or(Share::ONE);
        match term.scope {
            Scope::All => fraction.ceil_of(self.rows),
            Scope::EachGroup => self.group_rows.iter().map(|&rows| fraction.ceil_of(rows)).sum(),
        }
    }

    /// The segment that a step belongs to; `None` outside of the plan.
    pub fn segment_at(&self, step: u64) -> Option<&Segment> {
        let phase = self
            .phases
            .iter()
            .find(|phase| (phase.start_step..phase.end_step).contains(&step))?;
        phase.segments.iter().rev().find(|segment| segment.start_step <= step)
    }

    /// The plan as canonical JSON (RFC 8785): the same plan is the same bytes.
    #[expect(
        clippy::expect_used,
        reason = "a plan holds strings, integers and lists of them only"
    )]
    pub fn to_canonical_json(&self) -> String {
        canonical::to_json(self).expect("a plan is representable as canonical JSON")
    }

    /// SHA-256 of the canonical JSON, as `sha256:…`.
    pub fn digest(&self) -> String {
        canonical::sha256(self.to_canonical_json())
    }

    fn without_phases(&self) -> Self {
        Self {
            group_rows: self.group_rows.clone(),
            scores: self.scores.clone(),
            phases: Vec::new(),
            ..*self
        }
    }
}

impl Segment {
    /// The phase's own pool: the last term.
    pub fn pool(&self) -> Option<&Term> {
        self.terms.last()
    }
}

#[cfg(test)]
mod tests;
