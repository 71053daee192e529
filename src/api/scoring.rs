//! `spec.scoring`: how difficulty is measured, and what happens when that fails.

use k8s_openapi::api::core::v1::{
    EnvFromSource, EnvVar, LocalObjectReference, PodSecurityContext, ResourceRequirements, Toleration,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use super::{curriculum::Fraction, dataset::Format, overrides::OverridesSpec, schema, scorer_volume::ScorerVolume};

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
    /// What people say of rows, in a file with a `rank` from 0 to 1 for each: it stands above what the scorers say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overrides: Option<OverridesSpec>,
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

/// One measure of difficulty: exactly one of the seven kinds. Higher scores are harder.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "[has(self.column), has(self.length), has(self.rarity), has(self.duplicates), has(self.centreDistance), has(self.file), has(self.container)].exists_one(x, x)",
     "message": "exactly one of `column`, `length`, `rarity`, `duplicates`, `centreDistance`, `file` and `container` must be set"}
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
    /// The score is how much of a text an earlier row has already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duplicates: Option<DuplicatesScorer>,
    /// The score is the distance of an embedding from the centre of its group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub centre_distance: Option<CentreDistanceScorer>,
    /// The score stands in a file beside the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<FileScorer>,
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
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "has(self.tokenizer) == (has(self.unit) && self.unit == 'Tokens')",
     "message": "`tokenizer` must be set where `unit` is 'Tokens', and only there", "fieldPath": ".tokenizer"}
]))]
pub struct LengthScorer {
    /// Name of the text column.
    #[schemars(length(min = 1, max = 256))]
    pub column: String,
    /// What is counted. Default `Words`.
    #[serde(default)]
    pub unit: LengthUnit,
    /// What makes tokens of a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<TokenizerSpec>,
}

/// A tokenizer: a `tokenizer.json` of Hugging Face's tokenizers library.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TokenizerSpec {
    /// The file on the data set's volume, beside the data: a path relative to the volume's root, without `..`.
    #[schemars(schema_with = "schema::path_on_volume")]
    pub path: String,
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
    /// Tokens of `tokenizer`, without special tokens such as `[CLS]`.
    Tokens,
}

/// Score from token frequencies over the whole data set (Platanios et al. 2019, normalised by length).
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RarityScorer {
    /// Name of the text column. Tokens are runs of characters between white space, in lower case.
    #[schemars(length(min = 1, max = 256))]
    pub column: String,
}

/// Score from near-duplicates: the Jaccard similarity, from 0 to 1, of a text's shingles with those of the most similar row before it,
/// as MinHash estimates it (Broder 1997). The first of several copies has 0, the others have 1.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DuplicatesScorer {
    /// Name of the text column. Words are runs of characters between white space, in lower case.
    #[schemars(length(min = 1, max = 256))]
    pub column: String,
    /// Words of a shingle, the run of words by which texts are compared. Fewer find looser copies. Default 5.
    #[serde(default = "five")]
    #[schemars(range(min = 1, max = 100))]
    pub shingle: i32,
}

fn five() -> i32 {
    5
}

/// Score from embeddings: the distance of a row's embedding from the mean of its group's, or from the mean of all where there is no
/// `dataset.groupColumn`. Rows far from it are not typical, and count as hard (Sorscher et al. 2022).
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CentreDistanceScorer {
    /// Name of the column with the embeddings: lists of numbers, at most 16384 and of all rows as many. CSV has no lists.
    #[schemars(length(min = 1, max = 256))]
    pub column: String,
    /// How the distance is measured. Default `Cosine`.
    #[serde(default)]
    pub metric: DistanceMetric,
}

/// A distance of an embedding x from a centre c.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub enum DistanceMetric {
    /// 1 − x·c / (|x| |c|), from 0 to 2.
    #[default]
    Cosine,
    /// |x − c|.
    Euclidean,
}

/// Scores that you have already, in a file on the data set's volume: a line for each row, joined by the row's number or by an id.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = schema::joined_file_rules()))]
pub struct FileScorer {
    /// The file on the data set's volume: a path relative to the volume's root, without `..`.
    #[schemars(schema_with = "schema::path_on_volume")]
    pub path: String,
    /// Format of the file. Default: by the extension of `path`. CSV has commas, `.tsv` tabs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// Column with the score. Default `score`.
    #[serde(default = "score_column")]
    #[schemars(length(min = 1, max = 256))]
    pub score_column: String,
    /// Column with the row's number in the data set, from 0. Default `row`, where there is no `idColumn`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub row_column: Option<String>,
    /// Column with an id of the row, in place of its number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub id_column: Option<String>,
    /// Column of the data set with the same ids. Default: of the same name as `idColumn`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub dataset_id_column: Option<String>,
}

fn score_column() -> String {
    "score".to_owned()
}

/// Score from a program: it reads the data set and writes one score per row of its shard (see the guide on scorers).
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "!has(self.volumes) || self.volumes.all(v, self.volumes.exists_one(w, w.mountPath == v.mountPath))",
     "message": "each of `volumes` must have a `mountPath` of its own", "fieldPath": ".volumes"},
    {"rule": "!has(self.sharedMemory) || !has(self.volumes) || !self.volumes.exists(v, v.mountPath == '/dev/shm')",
     "message": "no `mountPath` may be '/dev/shm' where `sharedMemory` is set, which is mounted there", "fieldPath": ".volumes"}
]))]
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
    /// Secrets and ConfigMaps whose every key becomes a variable, such as a hub's token. The operator never reads them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::env_from_list")]
    pub env_from: Vec<EnvFromSource>,
    /// Volumes of the program's own: weights, configuration, a cache. Mounted read-only by default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub volumes: Vec<ScorerVolume>,
    /// Size of `/dev/shm`, such as `1Gi`, for data loaders of several processes and for GPU libraries. It is memory: what is
    /// in it counts against the container's limit. Default: what the cluster gives, most often 64Mi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::memory_size")]
    pub shared_memory: Option<Quantity>,
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
    #[schemars(schema_with = "schema::object_name")]
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
    /// Compute resources of the operator's own containers in these pods, limits included. Default: small requests, no limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::core::<ResourceRequirements>")]
    pub resources: Option<ResourceRequirements>,
    /// Labels of the pods, such as one that a service mesh looks for. Those of the operator stay its own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::own_labels")]
    pub labels: BTreeMap<String, String>,
    /// Annotations of the pods, such as `sidecar.istio.io/inject: "false"`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::annotation_map")]
    pub annotations: BTreeMap<String, String>,
    /// Security context of the pods. Default: user, group and fsGroup 65532, not root, seccomp `RuntimeDefault`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::core::<PodSecurityContext>")]
    pub security_context: Option<PodSecurityContext>,
}
