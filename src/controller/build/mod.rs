//! Child objects of a CurriculumJob as pure functions of its [`Run`]: no client, no clock, and nothing can
//! fail.
//!
//! ```text
//! key ─► Task ─► scoring_jobs   Job inspect, count, score, index
//!                store          PVC, ConfigMap of the scores' metadata
//!        Plan ─► plan           ConfigMap of one visit
//!   PhasePlan ─► train_job      Job of one visit
//!                snapshot       CurriculumSnapshot ─► archive_job   Job that puts it on the store
//! ```
//! `names`, `pod` and `volumes` hold what those have in common. Whoever creates the objects decides when and in which order.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::validate::{JobId, Run};
use crate::api::{MANAGER, names as api_names};

mod archive_job;
mod copies;
mod key;
pub mod names;
mod plan;
mod pod;
mod remote;
mod scoring_jobs;
mod snapshot;
mod store;
mod train_job;
mod volumes;

pub(crate) use archive_job::ARCHIVE;
pub use archive_job::archive_job;
pub use key::task;
pub use plan::{ANNOTATION_PLAN_DIGEST, PLAN_FILE, plan_config_map};
pub(crate) use pod::BINARY;
pub(crate) use scoring_jobs::SCORER_PREFIX;
pub use scoring_jobs::{count_job, index_job, inspect_job, score_job};
pub use snapshot::{SnapshotInput, snapshot};
pub use store::{claim, coverage, scores_config_map};
pub use train_job::train_job;
pub(crate) use volumes::{
    checkpoint as checkpoint_volume, credentials as credentials_volume, dataset as dataset_volume,
    of_scorer as scorer_volumes,
};

#[cfg(test)]
mod tests;

/// What the operator's own installation decides about the pods it makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The operator's image: it also runs the built-in scorers and the sampler.
    pub image: String,
    /// Pull policy of that image; `None`: as the cluster decides for its tag.
    pub image_pull_policy: Option<String>,
}

/// Metadata of a Job, with the labels that a queueing controller looks for.
fn job_metadata(run: &Run, name: String, component: &str, visit: Option<Visit<'_>>) -> ObjectMeta {
    let mut meta = metadata(&run.head.id, name, component, visit);
    meta.labels.get_or_insert_default().extend(run.queue_labels.clone());
    meta
}

/// The visit of the objects that belong to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Visit<'a> {
    number: u32,
    phase: &'a str,
}

/// Labels of a child object and of its pods.
fn labels(of: &JobId, component: &str, visit: Option<Visit<'_>>) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::from([
        (api_names::LABEL_NAME.to_owned(), "curriculum".to_owned()),
        (api_names::LABEL_COMPONENT.to_owned(), component.to_owned()),
        (api_names::LABEL_MANAGED_BY.to_owned(), MANAGER.to_owned()),
        (api_names::LABEL_JOB.to_owned(), of.name.clone()),
    ]);
    if let Some(Visit { number, phase }) = visit {
        labels.insert(api_names::LABEL_PHASE.to_owned(), phase.to_owned());
        labels.insert(api_names::LABEL_VISIT.to_owned(), number.to_string());
    }
    labels
}

/// Metadata of a child object: in the job's namespace and controlled by it, so that it goes when the job goes.
fn metadata(of: &JobId, name: String, component: &str, visit: Option<Visit<'_>>) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(of.namespace.clone()),
        labels: Some(labels(of, component, visit)),
        owner_references: Some(vec![of.owner_reference()]),
        ..ObjectMeta::default()
    }
}
