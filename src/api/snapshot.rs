//! `CurriculumSnapshot`: the immutable record of a curriculum's state at the end of a phase.
#![allow(clippy::duplicated_attributes, reason = "every printer column has a type of its own")]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema::{self, MAX_COUNT};

/// State of a curriculum at a step: enough to say what was shown and to go on from there.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[kube(
    group = "curriculum.dev",
    version = "v1alpha1",
    kind = "CurriculumSnapshot",
    namespaced,
    derive = "PartialEq",
    shortname = "csnap",
    category = "curriculum",
    doc = "CurriculumSnapshot is the immutable record of a curriculum's state at the end of a phase. Each names the digest of the one before it.",
    printcolumn(
        name = "JOB",
        type_ = "string",
        json_path = ".spec.jobName",
        description = "Job that it belongs to."
    ),
    printcolumn(
        name = "PHASE",
        type_ = "string",
        json_path = ".spec.phaseName",
        description = "Phase that ended."
    ),
    printcolumn(
        name = "STEP",
        type_ = "integer",
        json_path = ".spec.step",
        description = "First step that was not served yet."
    ),
    printcolumn(name = "AGE", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "self == oldSelf", "message": "a snapshot is a record and must not be changed; delete it if it is not wanted"}
]))]
pub struct CurriculumSnapshotSpec {
    /// Job that it belongs to.
    #[schemars(length(min = 1, max = 40))]
    pub job_name: String,
    /// UID of that job.
    #[serde(rename = "jobUID")]
    #[schemars(length(min = 1, max = 64))]
    pub job_uid: String,
    /// Index of the phase that ended.
    #[schemars(range(min = 0, max = 31))]
    pub phase_index: i32,
    /// Name of the phase that ended.
    #[schemars(length(min = 1, max = 30))]
    pub phase_name: String,
    /// Number of the visit that completed it.
    #[schemars(range(min = 0, max = 100_000))]
    pub visit: i32,
    /// First step that was not served yet.
    #[schemars(range(min = 0, max = MAX_COUNT))]
    pub step: i64,
    /// When the end of the phase was seen.
    #[schemars(schema_with = "schema::time")]
    pub time: Time,
    /// Digest of `state`: SHA-256 of exactly these bytes, as `sha256:…`.
    #[schemars(length(min = 71, max = 71), regex(pattern = "^sha256:[0-9a-f]{64}$"))]
    pub digest: String,
    /// Digest of the snapshot before this one; absent for the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 71, max = 71), regex(pattern = "^sha256:[0-9a-f]{64}$"))]
    pub previous: Option<String>,
    /// The state as canonical JSON (RFC 8785): plan and score digests, counters, exposure, last metrics.
    #[schemars(length(min = 2, max = 65_536))]
    pub state: String,
}
