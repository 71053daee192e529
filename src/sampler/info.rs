//! `GET /v1/plan`: what the trainer may want to know before it starts.

use serde::Serialize;

use super::contract::Source;
use super::source::Opened;
use crate::api::curriculum::Order;
use crate::curriculum::plan::{PlanScores, PoolPlan, Segment, TokenBudget};
use crate::curriculum::transition::Transitions;

/// The plan in effect.
#[derive(Serialize, Clone, Debug)]
#[serde(rename_all = "camelCase")]
pub struct PlanInfo {
    /// SHA-256 of the plan as `sha256:…`.
    pub plan_digest: String,
    /// The run: what a checkpoint is of. Absent where the sampler was not told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Name of the phase.
    pub phase: String,
    /// Its index in the curriculum.
    pub phase_index: u32,
    /// First step of the phase, counted over the whole run.
    pub start_step: u64,
    /// First step after the phase.
    pub end_step: u64,
    /// Slots in one global batch: as many rows, unless tokens bound it.
    pub batch_size: u64,
    /// What else bounds a batch: then its last slots may be empty. Absent where every slot has a row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<TokenBudget>,
    /// Rows of the data set, also those that are held out or filtered out.
    pub rows: u64,
    /// Rows that are held out of training; absent without any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_out_rows: Option<u64>,
    /// Further rows, which do not match the filter; absent without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filtered_rows: Option<u64>,
    /// Seed of the run.
    pub seed: u64,
    /// Which rows come first.
    pub order: Order,
    /// Where the rows come from.
    pub source: Source,
    /// Why all rows are equally likely although the plan says otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_message: Option<String>,
    /// The score index that the plan names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scores: Option<PlanScores>,
    /// Where the rows of a batch may come from.
    pub pools: Vec<PoolPlan>,
    /// From which step on which shares of a batch are drawn from which pool.
    pub segments: Vec<Segment>,
    /// What may end the phase before `endStep`; absent: nothing does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transitions: Option<Transitions>,
}

impl PlanInfo {
    /// About what was opened, for a run.
    pub fn new(opened: &Opened, run: Option<&str>) -> Self {
        let (plan, phase) = (&opened.plan, opened.phase());
        Self {
            plan_digest: opened.plan_digest.clone(),
            run: run.map(str::to_owned),
            phase: phase.name.clone(),
            phase_index: phase.index,
            start_step: phase.start_step,
            end_step: phase.end(),
            batch_size: plan.batch_size,
            tokens: plan.tokens,
            rows: plan.dataset_rows(),
            held_out_rows: plan.held_out.map(|held_out| held_out.rows),
            filtered_rows: plan.filtered.as_ref().map(|filtered| filtered.rows),
            seed: plan.seed,
            order: plan.order,
            source: opened.source,
            source_message: opened.source_message.clone(),
            scores: plan.scores.clone(),
            pools: phase.pools.clone(),
            segments: phase.segments.clone(),
            transitions: phase.transitions.clone(),
        }
    }
}
