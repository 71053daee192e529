//! What the executor needs of a cluster: the few reads and writes of `observe` and `act`, and the clock.
//!
//! [`super::kube_cluster`] speaks to an API server; the tests' model implements the same trait in memory, so that what they
//! prove is proven of the code that runs.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;

use super::actions::{Delete, Ensure, Event, Kind, SetSuspend};
use super::observed::{About, Warning};
use crate::api::job::CurriculumJob;
use crate::api::status::CurriculumJobStatus;
use crate::sampler::contract::SamplerStatus;

/// What a request was answered with.
pub(crate) type Answer<T> = Result<T, kube::Error>;

/// What the local copies hold of one CurriculumJob. Each list may be older than the others.
#[derive(Clone, Debug, Default)]
pub(crate) struct Children {
    /// Jobs that it controls, finished ones included.
    pub(crate) jobs: Vec<Arc<Job>>,
    /// Pods that carry its name as a label.
    pub(crate) pods: Vec<Arc<Pod>>,
    /// Metadata of ConfigMaps that it controls.
    pub(crate) config_maps: Vec<ObjectMeta>,
    /// Metadata of claims that it controls.
    pub(crate) claims: Vec<ObjectMeta>,
    /// Metadata of snapshots that it controls.
    pub(crate) snapshots: Vec<ObjectMeta>,
}

/// What a sampler last said.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Said {
    pub(crate) status: SamplerStatus,
    /// How long ago.
    pub(crate) age: Duration,
}

/// Pods to list.
#[derive(Clone, Copy, Debug)]
pub(crate) enum PodsOf<'a> {
    /// All training pods of the CurriculumJob.
    Trainers,
    /// The pods of the Job of that name.
    Job(&'a str),
}

/// A cluster, as seen by one process of the operator.
///
/// # Guarantees
/// A request that is answered with an error has been done or not: only the answer is missing. A future that is dropped is
/// the same. Requests are those of one CurriculumJob, in its namespace.
pub(crate) trait Cluster: Send + Sync {
    /// The time. Only `observe` asks for it.
    fn now(&self) -> Timestamp;

    /// What the local copies hold; asks nobody.
    fn children(&self, of: &CurriculumJob) -> Children;

    /// What the sampler at that address last said; asks nobody now, but sees to it that it is asked again when the interval is over.
    /// `None`: not asked yet, no answer in time, or none within its bounds. Without an address: no sampler runs.
    fn sampler(&self, of: &CurriculumJob, at: Option<IpAddr>, interval: Duration) -> Option<Said>;

    /// Least time between two reports of a job's progress: that of the settings, or more while very many jobs run.
    fn progress_interval(&self, least: Duration) -> Duration;

    /// A Job as the API server has it now.
    fn job(&self, of: &CurriculumJob, name: &str) -> impl Future<Output = Answer<Option<Job>>> + Send;

    /// Pods as the API server has them now.
    fn pods(&self, of: &CurriculumJob, which: PodsOf<'_>) -> impl Future<Output = Answer<Vec<Pod>>> + Send;

    /// Events that say what is wrong: those of type Warning, and of claims that nothing provides a volume for.
    fn warnings(&self, of: &CurriculumJob, about: &About) -> impl Future<Output = Answer<Vec<Warning>>> + Send;

    /// Metadata of an object as the API server has it now.
    fn metadata(
        &self,
        of: &CurriculumJob,
        kind: Kind,
        name: &str,
    ) -> impl Future<Output = Answer<Option<ObjectMeta>>> + Send;

    /// Creates an object; refused with `AlreadyExists` where the name is taken. Returns its metadata.
    fn create(&self, of: &CurriculumJob, object: &Ensure) -> impl Future<Output = Answer<ObjectMeta>> + Send;

    /// Holds a Job of that name and UID and marks it, or lets it go on; refused with `Conflict` when it has another UID.
    fn suspend(&self, of: &CurriculumJob, hold: &SetSuspend) -> impl Future<Output = Answer<()>> + Send;

    /// Deletes an object of that name and UID, its dependents afterwards; refused with `Conflict` when it has another UID.
    fn delete(&self, of: &CurriculumJob, target: &Delete) -> impl Future<Output = Answer<()>> + Send;

    /// Writes the status over exactly the version given; refused with `Conflict` when that is not the newest one. Returns the
    /// metadata that the write made.
    fn write_status(
        &self,
        over: &CurriculumJob,
        status: &CurriculumJobStatus,
    ) -> impl Future<Output = Answer<ObjectMeta>> + Send;

    /// Publishes an event about the CurriculumJob.
    fn publish(&self, about: &CurriculumJob, event: &Event) -> impl Future<Output = Answer<()>> + Send;
}
