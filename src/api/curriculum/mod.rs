//! `spec.curriculum`: what is shown to the model, and when. Readable without Kubernetes.

mod batch_tokens;
mod mixing;
mod numbers;
mod pacing;
mod pool;
mod transition;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use batch_tokens::BatchTokensSpec;
pub use mixing::{GroupPacing, GroupSharesSpec, GroupWeight, HardNegativesSpec, MixingSpec, WeightingSpec};
pub use numbers::{Fraction, Positive, RootDegree, Score};
pub use pacing::{PacingFunction, PacingPoint, PacingSpec};
pub use pool::{DeepSpeedConfig, DeepSpeedDifficulty, DeepSpeedSchedule, DeepSpeedSpec, PoolSpec, ScorePoolSpec};
pub use transition::{
    AdvanceSpec, CriterionSpec, DropSpec, Extreme, Goal, LegSpec, PlateauSpec, RegressSpec, SlopeSpec,
};

/// The schedule of a run: an ordered list of phases over the rows of the data set.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    // Malformed numbers are named by the rule of their own field; here they must only not fail the conversion.
    {"rule": "has(self.uniformFloor) && !self.uniformFloor.matches('^[01]([.][0-9]+)?$') || self.phases.all(p, \
              has(p.replay) && !p.replay.matches('^[01]([.][0-9]+)?$') || \
              has(p.hardNegatives) && !p.hardNegatives.share.matches('^[01]([.][0-9]+)?$') || \
              (has(p.replay) ? double(p.replay) : 0.0) + (has(p.hardNegatives) ? double(p.hardNegatives.share) : 0.0) + \
              (has(self.uniformFloor) ? double(self.uniformFloor) : 0.0) < 1.0)",
     "message": "`uniformFloor` plus a phase's `replay` and `hardNegatives.share` must be less than 1, so that the phase's own pool keeps a share of every batch"},
    {"rule": "self.phases.size() == 0 || !has(self.phases[0].replay) || self.phases[0].replay.matches('^0([.]0*)?$')",
     "message": "`phases[0].replay` must be absent or '0': the first phase has no earlier phase to replay", "fieldPath": ".phases"},
    {"rule": "self.phases.size() == 0 || !has(self.phases[0].inherit) || !self.phases[0].inherit",
     "message": "`phases[0].inherit` must be false: the first phase has no phase before it", "fieldPath": ".phases"},
    {"rule": "!has(self.course) || self.phases.all(p, !has(p.advance) && !has(p.regress))",
     "message": "`advance` and `regress` must be absent where `course` is set: the course says when a phase is left", "fieldPath": ".phases"},
    {"rule": "!has(self.course) || self.course.all(leg, self.phases.exists(p, p.name == leg.phase))",
     "message": "`course[].phase` must be the name of a phase", "fieldPath": ".course"},
    {"rule": "self.phases.all(p, !has(p.regress) || self.phases.exists(q, q.name == p.regress.to && q.name != p.name))",
     "message": "`regress.to` must be the name of another phase, an earlier one", "fieldPath": ".phases"},
    {"rule": "!has(self.batchTokens) || self.batchSize <= 65536 && self.phases.all(p, !has(p.duration) || !has(p.duration.epochs))",
     "message": "`batchSize` must be at most 65536, and each phase's `duration` be in `steps`, where `batchTokens` is set"},
    {"rule": "has(self.balance) && self.balance == 'Group' || !has(self.groupShares) && self.phases.all(p, !has(p.mixing))",
     "message": "`balance` must be 'Group' where `groupShares` or a phase's `mixing` is set"},
    {"rule": "!has(self.groupShares) || self.phases.all(p, !has(p.warmUpSteps) || p.warmUpSteps == 0)",
     "message": "`warmUpSteps` must be absent where `groupShares` is set: uniform sampling does not keep the groups' shares"},
    {"rule": "(!has(self.balance) || self.balance == 'None') && (!has(self.order) || self.order != 'HardFirst') || \
              self.phases.all(p, !has(p.pool) || !has(p.pool.score) && !has(p.pool.deepSpeed))",
     "message": "`balance` must be 'None', and `order` 'EasyFirst' or 'Random', with pools by `score` or `deepSpeed`: thresholds count from the easiest of all rows"}
]))]
pub struct CurriculumSpec {
    /// Rows in one global batch, that is, one step of the whole training job. With `batchTokens`, at most so many.
    #[schemars(range(min = 1, max = 1_048_576))]
    pub batch_size: i32,
    /// Bounds a batch by the tokens of its rows: it holds the next rows, as many as fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_tokens: Option<BatchTokensSpec>,
    /// Which rows come first. `Random` keeps the pool sizes but ignores the scores: the control arm of an experiment.
    #[serde(default)]
    pub order: Order,
    /// `Group`: the pool holds the first fraction of every group of `dataset.groupColumn`. `None`: of all rows together.
    #[serde(default)]
    pub balance: Balance,
    /// Share of every batch drawn uniformly from all rows, so that no row is starved. Default `"0"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uniform_floor: Option<Fraction>,
    /// Bounds on the share of every group in a batch, so that none is starved or crowds out the others. Needs `balance: Group`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_shares: Option<GroupSharesSpec>,
    /// The phases, in the order in which they run. At most 32.
    #[schemars(length(min = 1, max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub phases: Vec<PhaseSpec>,
    /// The visits of the run, one after the other, in place of one visit of each phase: what `curriculum freeze` writes of a run that
    /// was steered by metrics, so that another one has the same rows. At most 128.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), extend("x-kubernetes-list-type" = "atomic"))]
    pub course: Option<Vec<LegSpec>>,
}

/// Which rows come first.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub enum Order {
    /// Lowest score first.
    #[default]
    EasyFirst,
    /// Highest score first.
    HardFirst,
    /// An order drawn from the seed, independent of the scores.
    Random,
}

/// How the pool is spread over groups.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub enum Balance {
    /// One order over all rows.
    #[default]
    None,
    /// One order per group; the pool holds the same fraction of each.
    Group,
}

/// A named stretch of the curriculum, run by training Jobs of its own.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "has(self.pool) || has(self.inherit) && self.inherit", "message": "`pool` must be set unless `inherit` is true"},
    {"rule": "has(self.duration) || has(self.inherit) && self.inherit", "message": "`duration` must be set unless `inherit` is true"},
    {"rule": "!has(self.weighting) || !has(self.pool) || !has(self.pool.score) && !has(self.pool.deepSpeed)",
     "message": "`weighting` must stand beside a pool of `fraction` or `pacing`: bins of equal size need a known number of rows"},
    {"rule": "!has(self.duration) || !has(self.duration.steps) || (!has(self.advance) || !has(self.advance.minimumSteps) || \
              self.advance.minimumSteps <= self.duration.steps) && (!has(self.regress) || !has(self.regress.minimumSteps) || \
              self.regress.minimumSteps <= self.duration.steps)",
     "message": "`minimumSteps` of `advance` and `regress` must not be greater than `duration.steps`"},
    {"rule": "!has(self.duration) || !has(self.duration.epochs) || !has(self.pool) || !has(self.pool.score) && !has(self.pool.deepSpeed)",
     "message": "`duration.epochs` must stand beside a pool of `fraction` or `pacing`: how many rows a threshold admits is not known; use `steps`"}
]))]
pub struct PhaseSpec {
    /// Name of the phase, unique within the curriculum: lower case letters, digits and '-'.
    #[schemars(length(min = 1, max = 30), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"), extend("x-kubernetes-validations" = [
        {"rule": "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
         "message": "must consist of lower case letters, digits and '-', and begin and end with a letter or a digit"}]))]
    pub name: String,
    /// Take every field that is not set here from the phase before, so that only what differs need be written; `advance` and
    /// `regress` are never taken.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub inherit: bool,
    /// Which rows are admitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<PoolSpec>,
    /// How long the phase lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<DurationSpec>,
    /// Share of every batch drawn from the pools of earlier phases, against forgetting. Default `"0"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<Fraction>,
    /// A share of every batch from the hard end of the order, next to the pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hard_negatives: Option<HardNegativesSpec>,
    /// Shares of the groups in the pool. Default: by their rows. Needs `balance: Group`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mixing: Option<MixingSpec>,
    /// Unequal weights of easy and hard rows of the pool. Default: every row is equally likely.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weighting: Option<WeightingSpec>,
    /// Steps at the phase's beginning in which the batch goes over from uniform sampling of all rows to the phase's own mixture,
    /// in a straight line. Default 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000_000))]
    pub warm_up_steps: Option<i64>,
    /// Ends the phase early when the trainer's metrics say so; `duration` is its longest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advance: Option<AdvanceSpec>,
    /// Goes back to an earlier phase when the trainer's metrics say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regress: Option<RegressSpec>,
}

/// Length of a phase: exactly one of steps and epochs.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "has(self.steps) != has(self.epochs)", "message": "exactly one of `steps` and `epochs` must be set"}
]))]
pub struct DurationSpec {
    /// Global batches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub steps: Option<i64>,
    /// Passes over the phase's largest pool; the number of steps is rounded up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub epochs: Option<i32>,
}
