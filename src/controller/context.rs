//! What every reconcile has at hand.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod};
use kube::Client;
use kube::core::{DeserializeGuard, PartialObjectMeta};
use kube::runtime::events::Recorder;
use kube::runtime::reflector::Store;

use super::decide::Settings;
use super::memory::Memory;
use super::metrics::Metrics;
use super::sampler_client::SamplerClient;
use crate::api::job::CurriculumJob;
use crate::api::snapshot::CurriculumSnapshot;

/// Local copies of what is watched. Jobs and pods are whole, of the others only the metadata is kept.
#[derive(Clone)]
pub(crate) struct Stores {
    pub(crate) curriculum_jobs: Store<DeserializeGuard<CurriculumJob>>,
    pub(crate) jobs: Store<Job>,
    pub(crate) pods: Store<Pod>,
    pub(crate) config_maps: Store<PartialObjectMeta<ConfigMap>>,
    pub(crate) claims: Store<PartialObjectMeta<PersistentVolumeClaim>>,
    pub(crate) snapshots: Store<PartialObjectMeta<CurriculumSnapshot>>,
}

/// Shared by all reconciles.
pub(crate) struct Context {
    pub(crate) client: Client,
    pub(crate) recorder: Recorder,
    pub(crate) stores: Stores,
    pub(crate) samplers: SamplerClient,
    pub(crate) settings: Settings,
    pub(crate) metrics: Metrics,
    pub(crate) memory: Memory,
}
