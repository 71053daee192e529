//! `spec.training`: the training pods of every phase.

use k8s_openapi::api::core::v1::{PodTemplateSpec, ResourceRequirements};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{dataset::VolumeSpec, schema};

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
    /// Seconds without a step and without a metric, as the sampler tells, after which an attempt counts as failed. Default: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 60, max = 2_592_000))]
    pub progress_deadline_seconds: Option<i32>,
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
