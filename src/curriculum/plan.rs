//! The plan: what a curriculum compiles to. Pure data; `compile` makes it, `Sampler` reads it.

use serde::{Deserialize, Serialize};

use crate::api::curriculum::Order;

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
    /// The index that the strata refer to; `None`: uniform sampling, and every segment has one stratum of all rows.
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
    /// Where the rows of a batch come from.
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
