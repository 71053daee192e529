//! The plan: what a curriculum compiles to. Pure data; [`compile()`] makes it, [`Sampler`](super::sampler::Sampler) reads it.
//!
//! ```text
//! Plan ─► PhasePlan ─┬─► pools      which rows: intervals of the order that move with the step, in closed form
//!                    └─► segments   from which step on which share of a batch comes from which pool
//! ```
//! `curriculum` makes the spec's choices, `compile` turns them into a plan, `check` keeps out plans that it
//! could not have made.

mod check;
mod compile;
mod curriculum;
mod pool;

use serde::{Deserialize, Serialize};

use super::canonical;
use super::filter::Filtered;
use super::split::{HeldOut, Split};
use super::transition::Transitions;
use crate::api::curriculum::Order;

pub use compile::{Facts, compile};
pub use curriculum::{Choice, Curriculum, Duration, Leg, Phase, Pool, PoolKind, Regress, Unclear};
pub(crate) use pool::Bounds;

pub use pool::{Admission, Band, Part, PoolPlan, Role, Scope, ScoreThreshold};

/// Most groups of a data set.
pub const MAX_GROUPS: usize = 256;
/// Most phases of a curriculum.
pub const MAX_PHASES: usize = 32;
/// Most segments of a phase: how often shares change and passes over a moving pool begin anew.
pub const MAX_SEGMENTS: usize = 256;
/// Most pools of a phase.
pub const MAX_POOLS: usize = 4096;
/// Most shares of a phase, pools times segments: a plan of one phase must fit into a ConfigMap.
pub const MAX_SHARES: usize = 1 << 16;
/// Most steps of a phase.
pub const MAX_STEPS: u64 = 1_000_000_000;
/// Most rows of a global batch.
pub const MAX_BATCH: u64 = 1 << 20;
/// Most rows of a global batch that tokens bound.
pub const MAX_PACKED: u64 = 1 << 16;
/// Most tokens of a global batch.
pub const MAX_TOKENS: u64 = 1 << 40;
/// Most slots that are shuffled together where tokens bound a batch.
pub const MAX_BLOCK: u64 = 64;
/// Largest number of rows, and seed: integers up to here are exact in every JSON reader.
pub const MAX_EXACT: u64 = (1 << 53) - 1;
/// The shares of a segment sum to this.
pub const WHOLE: u32 = 1_000_000;

/// Version of the plan's format and of the sampling it stands for: the same plan and version give the same rows.
pub const PLAN_VERSION: u32 = 3;

/// Everything that decides which rows a batch holds, but for the order of the rows itself (the score index).
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Plan {
    /// Always [`PLAN_VERSION`].
    pub version: u32,
    /// Seed of the run.
    pub seed: u64,
    /// Rows in one global batch; with `tokens`, at most so many.
    pub batch_size: u64,
    /// What else bounds a batch; `None`: every batch has `batchSize` rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<TokenBudget>,
    /// Which end of the order comes first.
    pub order: Order,
    /// Rows that are drawn from: those of the data set but for the ones that are held out or filtered out.
    pub rows: u64,
    /// Rows of each group that are drawn from, in the order of the groups; one entry when there are no groups.
    pub group_rows: Vec<u64>,
    /// Rows of the data set that no batch holds; `None`: there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_out: Option<HeldOut>,
    /// Further rows of the data set that no batch holds, because they do not match a filter; `None`: there is
    /// no filter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filtered: Option<Filtered>,
    /// The index that the pools refer to; `None`: uniform sampling, and every phase has one pool of all rows.
    pub scores: Option<PlanScores>,
    /// The phases in this plan: all of them, or just the one that an attempt trains.
    pub phases: Vec<PhasePlan>,
}

/// Batches that are counted in tokens: each holds the next rows, as many as fit.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TokenBudget {
    /// Most tokens of a global batch.
    pub budget: u64,
    /// Tokens that a longer row counts as, and a row of unknown length: the trainer cuts it there. At most `budget`.
    pub max_length: u64,
}

impl TokenBudget {
    /// The fewest rows of a batch that has at most `batch_size`: however long its rows are, so many fit.
    pub fn fewest_rows(self, batch_size: u64) -> u64 {
        (self.budget / self.max_length.max(1)).min(batch_size)
    }

    /// Slots that are shuffled together.
    pub(crate) fn block(batch_size: u64) -> u64 {
        (batch_size / 4).clamp(1, MAX_BLOCK)
    }

    /// How many slots in a row a batch may have rows of: it begins and ends within a block.
    pub(crate) fn reach(batch_size: u64) -> u64 {
        batch_size + 2 * (Self::block(batch_size) - 1)
    }
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
    /// First step after the phase, as it was planned: the rows depend on it.
    pub end_step: u64,
    /// First step that is not drawn any more, where the phase was left early; the next phase begins there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_at: Option<u64>,
    /// Where the rows of a batch may come from; at least one.
    pub pools: Vec<PoolPlan>,
    /// Consecutive; the first begins at `start_step`, each lasts until the next begins.
    pub segments: Vec<Segment>,
    /// What may end it before `end_step`; `None`: nothing does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transitions: Option<Transitions>,
}

/// A stretch of steps with constant shares. Passes over pools that move begin anew with each segment; quotas go on.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Segment {
    /// First step.
    pub start_step: u64,
    /// Share of the batch that comes from each pool of the phase, in millionths; they sum to 1,000,000.
    pub shares: Vec<u32>,
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
    pub(in crate::curriculum) fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
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
        self.phases.last().map_or(0, PhasePlan::end)
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

    /// The plan of a visit: only the phase of that index, begun at that step of the run. Phases that ended early, or were gone back
    /// to, move where the later ones begin; how their pools and shares go on from there stays as it is.
    pub fn for_visit(&self, index: u32, start_step: u64) -> Option<Self> {
        let mut plan = self.for_phase(index)?;
        plan.phases.iter_mut().for_each(|phase| phase.begin_at(start_step));
        Some(plan)
    }

    /// Rows of the data set, also those that are held out or filtered out.
    pub fn dataset_rows(&self) -> u64 {
        let held_out = self.held_out.map_or(0, |held_out| held_out.rows);
        let filtered = self.filtered.as_ref().map_or(0, |filtered| filtered.rows);
        self.rows.saturating_add(held_out).saturating_add(filtered)
    }

    /// The held-out rows and all others, where rows are held out; of a filter it knows nothing.
    pub fn split(&self) -> Option<Split> {
        Some(Split::new(self.dataset_rows(), self.held_out?))
    }

    /// How many slots in a row a batch may have rows of.
    pub(crate) fn reach(&self) -> u64 {
        self.tokens
            .map_or(self.batch_size, |_| TokenBudget::reach(self.batch_size))
    }

    /// The fewest rows of a global batch.
    pub fn fewest_rows(&self) -> u64 {
        self.tokens
            .map_or(self.batch_size, |tokens| tokens.fewest_rows(self.batch_size))
    }

    /// The same steps and phases with every row equally likely: what a run falls back to without a score index. It is what
    /// [`compile()`] makes of the same spec without scores. No length of a row is known then, so that batches with `tokens` have as
    /// many rows as fit whatever their lengths are.
    pub fn uniform(&self) -> Self {
        let phases = self.phases.iter().map(|phase| PhasePlan {
            name: phase.name.clone(),
            pools: vec![PoolPlan::everything(Role::Own)],
            segments: vec![Segment {
                start_step: phase.start_step,
                shares: vec![WHOLE],
            }],
            transitions: phase.transitions.clone(),
            ..*phase
        });
        Self {
            scores: None,
            phases: phases.collect(),
            ..self.without_phases()
        }
    }

    /// The place of the phase that a step belongs to; `None` outside of the plan.
    pub fn phase_at(&self, step: u64) -> Option<usize> {
        let place = self.phases.partition_point(|phase| phase.end() <= step);
        self.phases
            .get(place)
            .filter(|phase| phase.start_step <= step)
            .map(|_| place)
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
            filtered: self.filtered.clone(),
            scores: self.scores.clone(),
            phases: Vec::new(),
            ..*self
        }
    }
}

impl PhasePlan {
    /// Moves all of its steps.
    fn begin_at(&mut self, start_step: u64) {
        let planned = self.start_step;
        let moved = |step: u64| start_step.saturating_add(step.saturating_sub(planned));
        (self.start_step, self.end_step) = (start_step, moved(self.end_step));
        self.left_at = self.left_at.map(moved);
        for segment in &mut self.segments {
            segment.start_step = moved(segment.start_step);
        }
    }

    /// First step after the phase.
    pub fn end(&self) -> u64 {
        self.left_at.unwrap_or(self.end_step)
    }

    /// Steps that it has at most.
    pub fn steps(&self) -> u64 {
        self.end() - self.start_step
    }

    /// The place of the segment that a step belongs to; the last one for later steps.
    pub fn segment_at(&self, step: u64) -> usize {
        let after = self.segments.partition_point(|segment| segment.start_step <= step);
        after.saturating_sub(1)
    }
}

#[cfg(test)]
mod tests;
