//! `CurriculumJob`: one training run that sees its data in a chosen order.
#![allow(clippy::duplicated_attributes, reason = "every printer column has a type of its own")]

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    curriculum::CurriculumSpec, dataset::DatasetSpec, schema::MAX_COUNT, scoring::ScoringSpec,
    status::CurriculumJobStatus, store::StoreSpec, training::TrainingSpec,
};

/// A training run that moves through the phases of a curriculum: samples are scored for difficulty, the scores become
/// an index, and one training Job per phase draws its batches from the rows that the curriculum admits.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[kube(
    group = "curriculum.dev",
    version = "v1alpha1",
    kind = "CurriculumJob",
    namespaced,
    status = "CurriculumJobStatus",
    derive = "PartialEq",
    shortname = "cjob",
    category = "curriculum",
    doc = "CurriculumJob trains a model on data in an order of difficulty. It is reconciled into scoring Jobs, a score index, and one training Job per phase of the curriculum.",
    printcolumn(
        name = "PHASE",
        type_ = "string",
        json_path = ".status.currentVisit.phaseName",
        description = "Phase that is running or ran last."
    ),
    printcolumn(
        name = "PROGRESS",
        type_ = "string",
        json_path = ".status.progress.summary",
        description = "Steps done of all steps."
    ),
    printcolumn(
        name = "SCORES",
        type_ = "string",
        json_path = ".status.scores.source",
        description = "Where the scores in use come from."
    ),
    printcolumn(
        name = "READY",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status",
        description = "True while the run is on course or has succeeded."
    ),
    printcolumn(
        name = "REASON",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        priority = 1,
        description = "Why it is or is not ready."
    ),
    printcolumn(name = "AGE", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "!has(self.curriculum.balance) || self.curriculum.balance != 'Group' || has(self.dataset.groupColumn)",
     "message": "`dataset.groupColumn` must be set when `curriculum.balance` is 'Group'", "fieldPath": ".dataset"},
    {"rule": "!has(self.curriculum.batchTokens) || self.scoring.scorers.exists(s, s.name == self.curriculum.batchTokens.lengthScorer)",
     "message": "`curriculum.batchTokens.lengthScorer` must be the name of one of `scoring.scorers`", "fieldPath": ".curriculum"},
    {"rule": "!has(self.training.sampling) || self.training.sampling != 'File' || self.curriculum.phases.all(p, !has(p.advance) && !has(p.regress))",
     "message": "`training.sampling` must be 'Http' where a phase has `advance` or `regress`: a file cannot end early", "fieldPath": ".training"},
]))]
pub struct CurriculumJobSpec {
    /// While true, no pod of this job runs and its state is kept; false lets it go on where it was. Queueing controllers flip this.
    #[serde(default)]
    pub suspend: bool,
    /// Seed of every random choice: the same seed, scores and curriculum give the same batches. Default 0.
    #[serde(default)]
    #[schemars(range(min = 0, max = MAX_COUNT))]
    pub seed: i64,
    /// The training data.
    pub dataset: DatasetSpec,
    /// How difficult is each row?
    pub scoring: ScoringSpec,
    /// Where the score index lives. Default: a claim of 1Gi named `<job>-store`, owned by this job.
    #[serde(default)]
    pub store: StoreSpec,
    /// What is shown to the model, and when.
    pub curriculum: CurriculumSpec,
    /// The training pods.
    pub training: TrainingSpec,
    /// The run's snapshots: how many are kept, and whether they are archived.
    #[serde(default)]
    pub snapshots: SnapshotsSpec,
    /// Seconds after which a finished job is deleted with all it owns. Default: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 315_360_000))]
    pub ttl_seconds_after_finished: Option<i32>,
}

/// Retention of snapshots.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SnapshotsSpec {
    /// Snapshots of this job that are kept; the oldest go first. Default 10.
    #[serde(default = "ten")]
    #[schemars(range(min = 1, max = 100))]
    pub keep: i32,
    /// Whether each snapshot is also put on the store, as `snapshots/<namespace>/<job>/<UID of the job>/<visit>.json`. Nothing removes
    /// it there: it outlives the job, its namespace and the cluster.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub archive: bool,
}

impl Default for SnapshotsSpec {
    fn default() -> Self {
        Self {
            keep: ten(),
            archive: false,
        }
    }
}

fn ten() -> i32 {
    10
}
