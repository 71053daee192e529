//! `CurriculumJob.status`: the run's memory. Child objects are evidence that may vanish; this is not.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema::{self, MAX_COUNT};

/// Observed state of a CurriculumJob.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CurriculumJobStatus {
    /// Generation of the spec that this status describes; -1 before the first reconcile.
    #[serde(default = "unobserved")]
    #[schemars(range(min = -1, max = MAX_COUNT))]
    pub observed_generation: i64,
    /// Where the run stands, in one word, for tools that cannot read conditions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<Stage>,
    /// Conditions, one per type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
    /// When the first object of the run was made; from then on the curriculum cannot be edited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub start_time: Option<Time>,
    /// When the run succeeded or failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub completion_time: Option<Time>,
    /// What is known of the data set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<DatasetStatus>,
    /// The scores in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scores: Option<ScoresStatus>,
    /// The visit that runs, or that ran last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_visit: Option<CurrentVisit>,
    /// How far the run is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// Latest value of each metric that the trainer reported, at most 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub metrics: Vec<MetricStatus>,
    /// Visits that ended their phase, in order. A phase that was gone back to has several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["visit"]))]
    pub visits: Vec<VisitStatus>,
}

fn unobserved() -> i64 {
    -1
}

fn is_zero<N: Default + PartialEq>(count: &N) -> bool {
    *count == N::default()
}

/// Where a run stands, in one word.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
pub enum Stage {
    /// Accepted, nothing made yet.
    Pending,
    /// The data set is being inspected, scored or indexed.
    Scoring,
    /// A phase is being trained, or waits for its next visit.
    Training,
    /// `spec.suspend` is true and no pod runs.
    Suspended,
    /// Every phase completed.
    Succeeded,
    /// Failed for good.
    Failed,
}

impl Stage {
    /// Every stage.
    pub const ALL: [Self; 6] = [
        Self::Pending,
        Self::Scoring,
        Self::Training,
        Self::Suspended,
        Self::Succeeded,
        Self::Failed,
    ];

    /// The name in labels of metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Scoring => "scoring",
            Self::Training => "training",
            Self::Suspended => "suspended",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }
}

/// The file of the rows to train on, `scores/<key>/trained.u64` on the store.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrainedRowsStatus {
    /// Key of its folder on the store.
    #[schemars(length(max = 64))]
    pub key: String,
    /// SHA-256 of its bytes, as `sha256:…`.
    #[schemars(length(max = 71))]
    pub digest: String,
}

/// What the inspection of the data set found.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DatasetStatus {
    /// Number of rows to train on.
    #[schemars(range(min = 0, max = MAX_COUNT))]
    pub rows: i64,
    /// Number of rows that `dataset.split` holds out of training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = MAX_COUNT))]
    pub held_out_rows: Option<i64>,
    /// Number of rows that `dataset.filter` and people leave out, of those that are not held out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = MAX_COUNT))]
    pub filtered_rows: Option<i64>,
    /// The file that says which rows `dataset.filter` and people leave to train on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trained_rows: Option<TrainedRowsStatus>,
    /// Number of distinct values of `groupColumn`; 1 without one.
    #[schemars(range(min = 0, max = 256))]
    pub groups: i32,
    /// Rows of each group to train on, in the order of the groups' values; empty without `groupColumn`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(range(min = 0, max = MAX_COUNT)))]
    pub group_rows: Vec<i64>,
    /// The groups that the curriculum names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub named_groups: Vec<NamedGroup>,
    /// The newest earlier index of the same data set on the claim: what `onFailure: LastGood` falls back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_good: Option<IndexStatus>,
}

/// A score index on the claim.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IndexStatus {
    /// Key: the folder that holds it.
    #[schemars(length(max = 64))]
    pub key: String,
    /// SHA-256 of the file as `sha256:…`.
    #[schemars(length(max = 71))]
    pub digest: String,
    /// Fraction of the rows with a finite score, as a decimal string.
    #[schemars(length(max = 11))]
    pub coverage: String,
    /// What people said of the rows; absent where nobody was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overrides: Option<OverridesStatus>,
}

/// What people said of rows, in counts: who they are, and of which rows, only their file says.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OverridesStatus {
    /// SHA-256 of the file as `sha256:…`.
    #[schemars(length(max = 71))]
    pub digest: String,
    /// Rows to train on that they ranked.
    #[schemars(range(min = 0, max = MAX_COUNT))]
    pub rows: i64,
    /// Rows that they left out of training.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(range(min = 0, max = MAX_COUNT))]
    pub left_out_rows: i64,
    /// How many people ranked these rows.
    #[schemars(range(min = 0, max = MAX_COUNT))]
    pub people: i64,
    /// The latest time at which one of these rows was ranked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub latest_time: Option<Time>,
    /// Lines of the file that a later one about the same row replaced.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(range(min = 0, max = MAX_COUNT))]
    pub superseded_lines: i64,
    /// Ids in the file that the data set does not have.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(range(min = 0, max = MAX_COUNT))]
    pub unknown_ids: i64,
}

/// A group that the curriculum names.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NamedGroup {
    /// The group's value in `dataset.groupColumn`.
    #[schemars(length(max = 128))]
    pub name: String,
    /// Its place among the groups.
    #[schemars(range(min = 0, max = 255))]
    pub group: i32,
}

/// The scores in use.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScoresStatus {
    /// Where they come from.
    pub source: ScoreSource,
    /// SHA-256 of the index file as `sha256:…`; absent when the source is `Uniform`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 71))]
    pub digest: Option<String>,
    /// Key of the index on the claim: the folder that holds it; absent when the source is `Uniform`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub key: Option<String>,
    /// Fraction of the rows with a finite score, as a decimal string.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 11))]
    pub coverage: Option<String>,
    /// What people said of the rows, in place of scorers; absent where nobody was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overrides: Option<OverridesStatus>,
    /// When this source was chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub time: Option<Time>,
    /// Why the source is a fallback: a reason from the documented list; absent otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub fallback_reason: Option<String>,
    /// The failure in words; absent unless the source is a fallback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub fallback_message: Option<String>,
    /// Why the index cannot be used at present: then rows are equally likely, and the next visit tries the index again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub unusable: Option<String>,
    /// Why the store of the index does not answer at present: the running visit goes on with its copy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub store_fault: Option<String>,
}

/// Where the scores in use come from.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum ScoreSource {
    /// Computed for this job.
    Scored,
    /// Computed earlier for the same key on the same claim.
    Cached,
    /// Fallback: the newest earlier index of the same data set on the claim.
    LastGood,
    /// Fallback: no scores, every row is equally likely.
    Uniform,
}

/// One stay in a phase, made by one training Job. Written before that Job is made.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CurrentVisit {
    /// Number of the visit, from 0, over the whole run: a retry of a phase is the next visit of the same phase.
    #[schemars(range(min = 0, max = 100_000))]
    pub visit: i32,
    /// Index of the phase in `spec.curriculum.phases`.
    #[schemars(range(min = 0, max = 31))]
    pub phase_index: i32,
    /// Name of the phase.
    #[schemars(length(max = 30))]
    pub phase_name: String,
    /// Visits of this phase that failed or were lost since it was entered.
    #[serde(default)]
    #[schemars(range(min = 0, max = 10_000))]
    pub failures: i32,
    /// Visits of this phase that something outside of them ended, such as the loss of a node: they cost nothing.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(range(min = 0, max = 100_000))]
    pub interruptions: i32,
    /// First step of the phase, counted over the whole run.
    #[schemars(range(min = 0, max = MAX_COUNT))]
    pub start_step: i64,
    /// First step after the phase.
    #[schemars(range(min = 0, max = MAX_COUNT))]
    pub end_step: i64,
    /// SHA-256 of the canonical JSON of the plan that this visit trains, as `sha256:…`: its result must name the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 71))]
    pub plan_digest: Option<String>,
    /// SHA-256 of what the Job is made from besides the plan, as `sha256:…`. A held Job of another template is replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 71))]
    pub template_digest: Option<String>,
    /// UID of the visit's Job once it was seen; a Job that is missing although this is set was lost.
    #[serde(rename = "jobUID", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub job_uid: Option<String>,
    /// When the phase began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub start_time: Option<Time>,
    /// The Job is not made before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub retry_time: Option<Time>,
    /// What became of the visit before, if it failed or was interrupted: reason and message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub last_failure: Option<String>,
}

/// How far the run is.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// Steps whose batches were handed to the trainer.
    #[schemars(range(min = 0, max = MAX_COUNT))]
    pub step: i64,
    /// Steps of the whole run.
    #[schemars(range(min = 0, max = MAX_COUNT))]
    pub total_steps: i64,
    /// `100 · step / totalSteps`, rounded down.
    #[schemars(range(min = 0, max = 100))]
    pub percent: i32,
    /// The same for a table: `"812/3000"`.
    #[schemars(length(max = 41))]
    pub summary: String,
    /// When the step was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub report_time: Option<Time>,
}

/// Latest value of a metric.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MetricStatus {
    /// Name, as the trainer reported it.
    #[schemars(length(max = 64))]
    pub name: String,
    /// Value as a decimal string.
    #[schemars(length(max = 32))]
    pub value: String,
    /// Step at which it was measured.
    #[schemars(range(min = 0, max = MAX_COUNT))]
    pub step: i64,
}

/// Record of a visit that ended its phase.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VisitStatus {
    /// Number of the visit.
    #[schemars(range(min = 0, max = 100_000))]
    pub visit: i32,
    /// Name of the phase.
    #[schemars(length(max = 30))]
    pub phase_name: String,
    /// How it ended.
    pub outcome: VisitOutcome,
    /// First step.
    #[schemars(range(min = 0, max = MAX_COUNT))]
    pub start_step: i64,
    /// First step that it did not train.
    #[schemars(range(min = 0, max = MAX_COUNT))]
    pub end_step: i64,
    /// Why it ended there; absent where it ended as planned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<DecisionStatus>,
    /// Visits that it took, those that failed included.
    #[schemars(range(min = 0, max = 10_001))]
    pub attempts: i32,
    /// Tokens of its batches, where they bound a batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = MAX_COUNT))]
    pub tokens: Option<i64>,
    /// Name of the snapshot taken at its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub snapshot: Option<String>,
    /// Digest of that snapshot, the chain's link to the next one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 71))]
    pub snapshot_digest: Option<String>,
    /// Whether its snapshot is on the store; absent without `snapshots.archive`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive: Option<Archive>,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub start_time: Option<Time>,
    /// When its end was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub end_time: Option<Time>,
}

/// Why a phase ended by what the trainer reported.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DecisionStatus {
    /// Step of the report that decided it.
    #[schemars(range(min = 0, max = MAX_COUNT))]
    pub reported: i64,
    /// The criteria that held, in words.
    #[schemars(length(max = 1024))]
    pub because: String,
    /// SHA-256 over the values that counted up to there, as `sha256:…`.
    #[schemars(length(max = 71))]
    pub evidence: String,
}

/// What became of putting a snapshot on the store.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum Archive {
    /// A Job is to do it.
    Pending,
    /// It is there.
    Archived,
    /// It is not: an event said why. Training went on.
    Failed,
}

/// How the last visit of a phase ended.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum VisitOutcome {
    /// Every step was served and the trainer exited 0.
    Completed,
    /// It ended early, by `advance` of its phase: every step up to there was served and the trainer exited 0.
    Advanced,
    /// It ended by `regress` of its phase, in the same way; an earlier phase came next.
    Regressed,
    /// The retries of its phase are used up.
    Failed,
}

impl VisitOutcome {
    /// Whether the visit was trained as far as it was to go.
    pub const fn is_trained(self) -> bool {
        !matches!(self, Self::Failed)
    }
}
