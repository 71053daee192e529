//! An in-memory cluster to run the production `reconcile` on: an API server with resource versions, a Job controller, kubelets,
//! users, and leaders whose stores lag behind. It knows nothing of curricula: what is right is said by [`invariants`] alone.
//!
//! ```text
//! Op ─► Leader: catch up │ look and decide │ one request │ crash
//!   └─► Server: pod starts │ pod ends │ Job ends │ something vanishes │ user suspends │ time passes
//! every change of the World ─► history (what stale stores read) and invariants
//! ```

mod answers;
mod invariants;
mod leader;
mod property;
mod server;

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::api::job::CurriculumJob;
use crate::api::snapshot::CurriculumSnapshot;
use crate::controller::actions::Kind;
use crate::controller::observed::is_controlled_by;

pub(super) use self::leader::Leader;
pub(super) use self::server::{Fate, Server, Shared};

/// Everything that the API server has, at one time.
#[derive(Clone, Default)]
pub(super) struct World {
    pub(super) curriculum_job: Option<Arc<CurriculumJob>>,
    pub(super) jobs: BTreeMap<String, Arc<Job>>,
    pub(super) pods: BTreeMap<String, Arc<Pod>>,
    pub(super) config_maps: BTreeMap<String, Arc<ConfigMap>>,
    pub(super) claims: BTreeMap<String, Arc<PersistentVolumeClaim>>,
    pub(super) snapshots: BTreeMap<String, Arc<CurriculumSnapshot>>,
}

impl World {
    /// The Jobs that the CurriculumJob of that UID controls.
    fn jobs_of(&self, uid: &str) -> Vec<Arc<Job>> {
        let jobs = self.jobs.values();
        jobs.filter(|job| is_controlled_by(&job.metadata, uid))
            .cloned()
            .collect()
    }

    fn metadata(&self, kind: Kind, name: &str) -> Option<ObjectMeta> {
        match kind {
            Kind::Claim => self.claims.get(name).map(|claim| claim.metadata.clone()),
            Kind::ConfigMap => self.config_maps.get(name).map(|map| map.metadata.clone()),
            Kind::Job => self.jobs.get(name).map(|job| job.metadata.clone()),
            Kind::Snapshot => self.snapshots.get(name).map(|snapshot| snapshot.metadata.clone()),
            Kind::Pod => self.pods.get(name).map(|pod| pod.metadata.clone()),
            Kind::CurriculumJob => self.curriculum_job.as_ref().map(|job| job.metadata.clone()),
        }
    }
}
