//! `CurriculumJob`: one training run that sees its data in a chosen order.
#![allow(clippy::duplicated_attributes, reason = "every printer column has a type of its own")]

use k8s_openapi::api::core::v1::{
    CSIVolumeSource, ConfigMapVolumeSource, EnvVar, HostPathVolumeSource, ImageVolumeSource, LocalObjectReference,
    NFSVolumeSource, PersistentVolumeClaimSpec, PersistentVolumeClaimVolumeSource, PodSecurityContext, PodTemplateSpec,
    ResourceRequirements, Toleration,
};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use super::{
    curriculum::{CurriculumSpec, Fraction},
    schema::{self, MAX_COUNT},
    status::CurriculumJobStatus,
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
        json_path = ".status.currentPhase.name",
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
    /// Retention of the run's snapshots.
    #[serde(default)]
    pub snapshots: SnapshotsSpec,
    /// Seconds after which a finished job is deleted with all it owns. Default: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 315_360_000))]
    pub ttl_seconds_after_finished: Option<i32>,
}

/// The rows 0..N-1 to train on.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "has(self.format) || self.path.matches('\\\\.(parquet|csv|jsonl|ndjson)$')",
     "message": "`path` must end in '.parquet', '.csv', '.jsonl' or '.ndjson', or `format` must be set", "fieldPath": ".path"}
]))]
pub struct DatasetSpec {
    /// The volume that holds the data; mounted read-only at `/curriculum/dataset` into scoring and training pods.
    pub volume: VolumeSpec,
    /// File within the volume: a relative path without `..`.
    #[schemars(length(min = 1, max = 512), extend("x-kubernetes-validations" = [
        {"rule": "!self.startsWith('/') && !self.split('/').exists(s, s == '..')",
         "message": "must be a path relative to the volume's root, without '..'"}]))]
    pub path: String,
    /// Format of the file. Default: by the extension of `path`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// The caller's name for this content, part of the key under which scores are kept. Change it when the data change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub revision: Option<String>,
    /// Column that says to which group (class, domain, annotator, client) a row belongs. At most 256 distinct values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub group_column: Option<String>,
}

/// File format of a data set.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum Format {
    /// Apache Parquet.
    Parquet,
    /// Comma-separated values with a header line.
    Csv,
    /// One JSON object per line.
    JsonLines,
}

/// A volume: exactly one source of `core/v1`.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "[has(self.persistentVolumeClaim), has(self.nfs), has(self.csi), has(self.hostPath), has(self.configMap), has(self.image)].exists_one(x, x)",
     "message": "exactly one of `persistentVolumeClaim`, `nfs`, `csi`, `hostPath`, `configMap` and `image` must be set"}
]))]
pub struct VolumeSpec {
    /// A claim in the namespace of the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::core::<PersistentVolumeClaimVolumeSource>")]
    pub persistent_volume_claim: Option<PersistentVolumeClaimVolumeSource>,
    /// An NFS export.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::core::<NFSVolumeSource>")]
    pub nfs: Option<NFSVolumeSource>,
    /// An inline CSI volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::core::<CSIVolumeSource>")]
    pub csi: Option<CSIVolumeSource>,
    /// A folder of the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::core::<HostPathVolumeSource>")]
    pub host_path: Option<HostPathVolumeSource>,
    /// A ConfigMap in the namespace of the job, for data of up to 1 MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::core::<ConfigMapVolumeSource>")]
    pub config_map: Option<ConfigMapVolumeSource>,
    /// An OCI image or artefact that holds the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::core::<ImageVolumeSource>")]
    pub image: Option<ImageVolumeSource>,
}

/// How difficulty is measured, and what happens when that fails.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "!has(self.parallelism) || self.parallelism <= (has(self.shards) ? self.shards : 1)",
     "message": "`parallelism` must not be greater than `shards`"},
    {"rule": "self.scorers.exists(s, !has(s.weight) || !s.weight.matches('^0*([.]0*)?$'))",
     "message": "`scorers` must have at least one with a `weight` greater than '0'", "fieldPath": ".scorers"},
    {"rule": "!has(self.minCoverage) || !self.minCoverage.matches('^0([.]0*)?$')", "message": "`minCoverage` must be greater than '0'", "fieldPath": ".minCoverage"},
]))]
pub struct ScoringSpec {
    /// The scorers, at most 8.
    #[schemars(length(min = 1, max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub scorers: Vec<ScorerSpec>,
    /// How the scores of several scorers become one.
    #[serde(default)]
    pub combine: Combine,
    /// Number of parts into which the rows are cut. Default 1.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1000))]
    pub shards: i32,
    /// Shards scored at the same time. Default 1.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1000))]
    pub parallelism: i32,
    /// Retries of one shard before scoring counts as failed. Default 2.
    #[serde(default = "two")]
    #[schemars(range(min = 0, max = 100))]
    pub backoff_limit: i32,
    /// Seconds after which each scoring Job is stopped and scoring counts as failed. Default 3600.
    #[serde(default = "hour")]
    #[schemars(range(min = 1, max = 2_592_000))]
    pub timeout_seconds: i32,
    /// Fraction of the rows that must get a finite score. The others are ranked last. Default `"1"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_coverage: Option<Fraction>,
    /// What training uses when scoring fails. Default `Uniform`.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// Settings of the scoring pods.
    #[serde(default)]
    pub pod: ScoringPodSpec,
}

fn one() -> i32 {
    1
}
fn two() -> i32 {
    2
}
fn hour() -> i32 {
    3600
}

/// One measure of difficulty: exactly one of the four kinds. Higher scores are harder.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "[has(self.column), has(self.length), has(self.rarity), has(self.container)].exists_one(x, x)",
     "message": "exactly one of `column`, `length`, `rarity` and `container` must be set"}
]))]
pub struct ScorerSpec {
    /// Name of the scorer, unique within the job: lower case letters, digits and '-'.
    #[schemars(length(min = 1, max = 30), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"), extend("x-kubernetes-validations" = [
        {"rule": "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
         "message": "must consist of lower case letters, digits and '-', and begin and end with a letter or a digit"}]))]
    pub name: String,
    /// The score stands in a numeric column of the data set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<ColumnScorer>,
    /// The score is the length of a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<LengthScorer>,
    /// The score is the mean negative log frequency of a text's tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rarity: Option<RarityScorer>,
    /// A program computes the score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<ContainerScorer>,
    /// Weight in the combination, as a decimal string from 0 to 1000000. Default `"1"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 17), regex(pattern = r"^([0-9]{1,6}(\.[0-9]{1,9})?|1000000(\.0{1,9})?)$"), extend("x-kubernetes-validations" = [
        {"rule": "self.matches('^([0-9]{1,6}([.][0-9]{1,9})?|1000000([.]0{1,9})?)$')",
         "message": "must be a decimal number from '0' to '1000000' with at most 9 digits after the point, such as '0.5'"}]))]
    pub weight: Option<String>,
}

/// Score from a numeric column.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ColumnScorer {
    /// Name of the column.
    #[schemars(length(min = 1, max = 256))]
    pub column: String,
}

/// Score from the length of a text.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LengthScorer {
    /// Name of the text column.
    #[schemars(length(min = 1, max = 256))]
    pub column: String,
    /// What is counted. Default `Words`.
    #[serde(default)]
    pub unit: LengthUnit,
}

/// Unit of a text's length.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub enum LengthUnit {
    /// Runs of characters between white space.
    #[default]
    Words,
    /// Unicode scalar values.
    Characters,
    /// Bytes of the UTF-8 encoding.
    Bytes,
}

/// Score from token frequencies over the whole data set (Platanios et al. 2019, normalised by length).
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RarityScorer {
    /// Name of the text column. Tokens are runs of characters between white space, in lower case.
    #[schemars(length(min = 1, max = 256))]
    pub column: String,
}

/// Score from a program: it reads the data set and writes one score per row of its shard (see the guide on scorers).
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ContainerScorer {
    /// Image of the program.
    #[schemars(length(min = 1, max = 512), extend("x-kubernetes-validations" = [
        {"rule": "!self.matches('\\\\s')", "message": "must be an image reference, without white space"}]))]
    pub image: String,
    /// Pull policy of the image. Default: as the cluster decides for the image's tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<PullPolicy>,
    /// Command, required: it is started through a small wrapper that tells it its rows.
    #[schemars(length(min = 1, max = 64), inner(length(max = 32_768)))]
    pub command: Vec<String>,
    /// Arguments appended to the command.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 32_768)))]
    pub args: Vec<String>,
    /// Environment. Names that start with `CURRICULUM_` are set by the operator and refused here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::env_list")]
    pub env: Vec<EnvVar>,
    /// Compute resources, GPUs included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::core::<ResourceRequirements>")]
    pub resources: Option<ResourceRequirements>,
}

/// When an image is pulled.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[allow(missing_docs)]
pub enum PullPolicy {
    Always,
    IfNotPresent,
    Never,
}

/// How several scores become one.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub enum Combine {
    /// Weighted mean of the ranks: insensitive to the scores' scales.
    #[default]
    MeanRank,
    /// Weighted sum of the raw scores.
    WeightedScore,
    /// The greatest rank: a row is as hard as its hardest aspect.
    Max,
}

/// What training uses when scoring fails.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub enum OnFailure {
    /// Every row is equally likely; steps and phases stay as planned.
    #[default]
    Uniform,
    /// The newest index of the same data set on the claim; where there is none, `Uniform`.
    LastGood,
    /// The job fails and nothing is trained.
    Fail,
}

/// Settings of the scoring pods.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScoringPodSpec {
    /// Service account of the pods. Its token is not mounted. Default: the namespace's default account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"), extend("x-kubernetes-validations" = [
        {"rule": "self.matches('^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$')",
         "message": "must be the name of an object in the job's namespace: lower case letters, digits, '-' and '.'"}]))]
    pub service_account_name: Option<String>,
    /// Labels that the node must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::label_map")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that the pods tolerate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::core_list::<Toleration>")]
    pub tolerations: Vec<Toleration>,
    /// Secrets for pulling the scorers' images.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::core_list::<LocalObjectReference>")]
    pub image_pull_secrets: Vec<LocalObjectReference>,
    /// Security context of the pods. Default: user, group and fsGroup 65532, not root, seccomp `RuntimeDefault`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::core::<PodSecurityContext>")]
    pub security_context: Option<PodSecurityContext>,
}

/// Where the score index lives: a claim of the user's, or one made for this job.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "!(has(self.claimName) && has(self.claimTemplate))", "message": "at most one of `claimName` and `claimTemplate` must be set"}
]))]
pub struct StoreSpec {
    /// An existing claim, which several jobs may share; scores with the same key are computed once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"), extend("x-kubernetes-validations" = [
        {"rule": "self.matches('^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$')",
         "message": "must be the name of an object in the job's namespace: lower case letters, digits, '-' and '.'"}]))]
    pub claim_name: Option<String>,
    /// Spec of the claim `<job>-store`. Default: 1Gi, ReadWriteOnce, the default storage class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::core::<PersistentVolumeClaimSpec>")]
    pub claim_template: Option<PersistentVolumeClaimSpec>,
}

/// The training pods of every phase.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TrainingSpec {
    /// The pod. The trainer is the container named `trainer`, else the first one.
    #[schemars(schema_with = "schema::pod_template")]
    pub template: PodTemplateSpec,
    /// Retries of one phase before the job fails. Default 3.
    #[serde(default = "three")]
    #[schemars(range(min = 0, max = 100))]
    pub backoff_limit: i32,
    /// How the trainer gets its rows: from the sampler over HTTP on localhost, or from a file written before it starts.
    #[serde(default)]
    pub sampling: Sampling,
    /// Where the trainer keeps its checkpoint from phase to phase and attempt to attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<CheckpointSpec>,
    /// The sampler sidecar.
    #[serde(default)]
    pub sampler: SamplerSpec,
}

fn three() -> i32 {
    3
}

/// How the trainer gets its rows.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub enum Sampling {
    /// `GET /v1/batches` on the sampler.
    #[default]
    Http,
    /// The file named by `CURRICULUM_ROWS_FILE`: little-endian 64-bit row numbers, one batch after the other.
    File,
}

/// Where the trainer keeps its checkpoint.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "!has(self.volume.configMap) && !has(self.volume.image)",
     "message": "must be a volume that can be written to: `persistentVolumeClaim`, `nfs`, `csi` or `hostPath`", "fieldPath": ".volume"},
    {"rule": "!has(self.volume.persistentVolumeClaim) || !has(self.volume.persistentVolumeClaim.readOnly) || !self.volume.persistentVolumeClaim.readOnly",
     "message": "`persistentVolumeClaim.readOnly` must be absent or false: the trainer writes its checkpoint there", "fieldPath": ".volume"}
]))]
pub struct CheckpointSpec {
    /// The volume, mounted read-write at `/curriculum/checkpoint`.
    pub volume: VolumeSpec,
    /// Folder within the volume, made if it is missing. Default: the volume's root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), extend("x-kubernetes-validations" = [
        {"rule": "!self.startsWith('/') && !self.split('/').exists(s, s == '..')",
         "message": "must be a path relative to the volume's root, without '..'"}]))]
    pub path: Option<String>,
}

/// The sampler sidecar.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SamplerSpec {
    /// Compute resources. Default: requests of 50m CPU and 64Mi memory, no limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::core::<ResourceRequirements>")]
    pub resources: Option<ResourceRequirements>,
}

/// Retention of snapshots.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SnapshotsSpec {
    /// Snapshots of this job that are kept; the oldest go first. Default 10.
    #[serde(default = "ten")]
    #[schemars(range(min = 1, max = 100))]
    pub keep: i32,
}

impl Default for SnapshotsSpec {
    fn default() -> Self {
        Self { keep: ten() }
    }
}

fn ten() -> i32 {
    10
}
