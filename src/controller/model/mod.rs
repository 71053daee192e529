//! An in-memory cluster to try decisions on: an API server with resource versions, a Job controller, kubelets, users, and
//! leaders whose stores lag behind. It knows nothing of curricula: what is right is said by [`invariants`] alone.
//!
//! ```text
//! Op ─► Leader: catch up │ look and decide │ one effect │ crash
//!   └─► Cluster: pod starts │ pod ends │ Job ends │ something vanishes │ user suspends │ time passes
//! every change of the World ─► history (what stale stores read) and invariants
//! ```

mod cluster;
mod invariants;
mod leader;
mod property;

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod};

use crate::api::job::CurriculumJob;
use crate::api::snapshot::CurriculumSnapshot;

pub(super) use self::cluster::{Cluster, Fate};
pub(super) use self::leader::Leader;

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
