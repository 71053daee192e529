//! What every CurriculumJob has, whatever its spec says: enough to name its children, to hold its Jobs, and
//! to say what is wrong.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource, ResourceExt};
use serde_json::json;

use crate::api::job::CurriculumJob;
use crate::api::training::TrainingSpec;
use crate::curriculum::canonical;

/// Which CurriculumJob it is: what the names, the labels and the owner of its children are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobId {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
}

impl JobId {
    /// Of that CurriculumJob. Every object that was read from an API server has all three.
    pub fn of(job: &CurriculumJob) -> Self {
        Self {
            namespace: job.namespace().unwrap_or_default(),
            name: job.name_any(),
            uid: job.uid().unwrap_or_default(),
        }
    }

    /// Makes it the controller of a child, so that the child goes when the job goes.
    pub fn owner_reference(&self) -> OwnerReference {
        OwnerReference {
            api_version: CurriculumJob::api_version(&()).into_owned(),
            kind: CurriculumJob::kind(&()).into_owned(),
            name: self.name.clone(),
            uid: self.uid.clone(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        }
    }
}

/// What is known of a CurriculumJob even when its spec contradicts itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Which one it is.
    pub id: JobId,
    /// Version of its spec.
    pub generation: Option<i64>,
    /// Whether it is on its way out.
    pub deleting: bool,
    /// Whether no pod of it is to run.
    pub suspended: bool,
    /// SHA-256 of what the user may change of a training Job while the run is suspended, as `sha256:…`.
    pub template_digest: String,
}

impl Head {
    /// Of that CurriculumJob.
    pub fn of(job: &CurriculumJob) -> Self {
        Self {
            id: JobId::of(job),
            generation: job.metadata.generation,
            deleting: job.metadata.deletion_timestamp.is_some(),
            suspended: job.spec.suspend,
            template_digest: template_digest(&job.spec.training),
        }
    }
}

impl AsRef<Head> for Head {
    fn as_ref(&self) -> &Head {
        self
    }
}

/// Taken of the API's own form: earlier versions wrote such digests into statuses, and this one compares with
/// them.
fn template_digest(training: &TrainingSpec) -> String {
    let made_from = json!({
        "template": training.template,
        "sampling": training.sampling,
        "checkpoint": training.checkpoint,
        "sampler": training.sampler,
    });
    // Numbers beyond 2^53 have no canonical JSON; then the order of the fields has to do.
    canonical::sha256(canonical::to_json(&made_from).unwrap_or_else(|_| made_from.to_string()))
}
