//! The snapshot taken at the end of a phase.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{Visit, metadata, names};
use crate::{
    api::snapshot::{CurriculumSnapshot, CurriculumSnapshotSpec},
    controller::validate::JobId,
};

/// What a snapshot records.
#[derive(Clone, Debug, PartialEq)]
pub struct SnapshotInput {
    /// Index of the phase that ended, below 32.
    pub phase_index: u32,
    /// Its name.
    pub phase_name: String,
    /// Number of the visit that completed it.
    pub visit: u32,
    /// First step that was not served yet.
    pub step: u64,
    /// When the end of the phase was seen.
    pub time: Time,
    /// Digest of the snapshot before; `None` for the first.
    pub previous: Option<String>,
    /// The state as canonical JSON.
    pub state_json: String,
    /// SHA-256 of `state_json` as `sha256:…`.
    pub digest: String,
}

/// The snapshot `<job>-<visit>`. It goes with its job: a later job of the same name starts a chain of its own.
pub fn snapshot(of: &JobId, input: &SnapshotInput) -> CurriculumSnapshot {
    let name = names::snapshot(&of.name, input.visit);
    let visit = Visit {
        number: input.visit,
        phase: &input.phase_name,
    };
    CurriculumSnapshot {
        metadata: metadata(of, name, "snapshot", Some(visit)),
        spec: CurriculumSnapshotSpec {
            job_name: of.name.clone(),
            job_uid: of.uid.clone(),
            phase_index: i32::try_from(input.phase_index).unwrap_or(i32::MAX),
            phase_name: input.phase_name.clone(),
            visit: i32::try_from(input.visit).unwrap_or(i32::MAX),
            step: i64::try_from(input.step).unwrap_or(i64::MAX),
            time: input.time.clone(),
            digest: input.digest.clone(),
            previous: input.previous.clone(),
            state: input.state_json.clone(),
        },
    }
}
