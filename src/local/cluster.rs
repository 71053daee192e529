//! [`Cluster`] over the objects of one run in memory, written to a file after every change.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use kube::core::Status;
use tokio::sync::{mpsc, watch};

use super::error::LocalError;
use super::world::World;
use crate::api::job::CurriculumJob;
use crate::api::names::{ANNOTATION_SUSPENDED, LABEL_COMPONENT};
use crate::api::status::CurriculumJobStatus;
use crate::controller::actions::{Delete, Ensure, Event, Kind, SetSuspend};
use crate::controller::cluster::{Answer, Children, Cluster, PodsOf, Said};
use crate::controller::observed::{About, Warning};
use crate::controller::sampler_client::SamplerClient;
use crate::controller::samplers::Samplers;

/// Shared by the decisions and by who runs the pods.
#[derive(Clone)]
pub(super) struct LocalCluster {
    world: Arc<Mutex<World>>,
    file: PathBuf,
    /// Counts the changes.
    changes: watch::Sender<u64>,
    samplers: Arc<Samplers>,
    /// Where the sampler of a pod tells its status, by the pod's UID.
    addresses: Arc<Mutex<HashMap<String, SocketAddr>>>,
    events: mpsc::UnboundedSender<Event>,
    /// The first write to the file that failed: without it nothing could go on later.
    broken: watch::Sender<Option<String>>,
}

impl LocalCluster {
    /// A cluster that keeps its objects in that file, and tells the events of the run.
    pub(super) fn new(world: World, file: PathBuf, client: SamplerClient) -> (Self, mpsc::UnboundedReceiver<Event>) {
        let (events, told) = mpsc::unbounded_channel();
        let changes = watch::Sender::new(0_u64);
        let changed = changes.clone();
        let news = move |_| changed.send_modify(|changes| *changes += 1);
        let cluster = Self {
            world: Arc::new(Mutex::new(world)),
            file,
            changes,
            samplers: Samplers::new(client, news),
            addresses: Arc::default(),
            events,
            broken: watch::Sender::new(None),
        };
        (cluster, told)
    }

    /// Writes what is there now.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn save(&self) -> Result<(), LocalError> {
        self.world().write(&self.file)
    }

    /// Told of every change.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Told when a change cannot be kept.
    pub(super) fn broken(&self) -> watch::Receiver<Option<String>> {
        self.broken.subscribe()
    }

    /// Reads something.
    pub(super) fn read<T>(&self, read: impl FnOnce(&World) -> T) -> T {
        read(&self.world())
    }

    pub(super) fn curriculum_job(&self) -> CurriculumJob {
        self.read(|world| world.curriculum_job.clone())
    }

    fn world(&self) -> MutexGuard<'_, World> {
        // Every change is whole, so a panic elsewhere has broken nothing.
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes something, keeps it, and tells everybody. What cannot be kept ends the run.
    fn change<T>(&self, change: impl FnOnce(&mut World, Timestamp) -> T) -> T {
        let now = self.now();
        let mut world = self.world();
        let changed = change(&mut world, now);
        if let Err(error) = world.write(&self.file) {
            self.broken.send_replace(Some(error.to_string()));
        }
        drop(world);
        self.changes.send_modify(|changes| *changes += 1);
        changed
    }

    /// Adds a pod, or takes over its new state.
    pub(super) fn put_pod(&self, pod: &Pod) {
        self.change(|world, now| {
            let mut pod = pod.clone();
            world.stamp(&mut pod.metadata, now);
            world.pods.insert(pod.name_any(), pod);
        });
    }

    /// Takes over the state of a Job, unless it is gone.
    pub(super) fn put_job(&self, job: &Job) {
        self.change(|world, now| {
            let name = job.name_any();
            let same = world.jobs.get(&name).is_some_and(|known| known.uid() == job.uid());
            if same {
                let mut job = job.clone();
                world.stamp(&mut job.metadata, now);
                world.jobs.insert(name, job);
            }
        });
    }

    /// Removes the pods of a Job.
    pub(super) fn remove_pods(&self, job_uid: &str) {
        self.change(|world, _| world.pods.retain(|_, pod| !is_of(pod, job_uid)));
    }

    /// Says where the sampler of a pod tells its status; `None`: it has none any more.
    pub(super) fn set_address(&self, pod_uid: &str, at: Option<SocketAddr>) {
        let mut all = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        match at {
            Some(at) => all.insert(pod_uid.to_owned(), at),
            None => all.remove(pod_uid),
        };
    }
}

/// Whether a pod is one of that Job.
pub(super) fn is_of(pod: &Pod, job_uid: &str) -> bool {
    pod.owner_references().iter().any(|owner| owner.uid == job_uid)
}

fn no<T>(code: u16, reason: &str) -> Answer<T> {
    Err(kube::Error::Api(Box::new(Status {
        code,
        ..Status::failure("refused", reason)
    })))
}

impl Cluster for LocalCluster {
    #[expect(clippy::disallowed_methods, reason = "the one place where a decision's time is read")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn children(&self, _: &CurriculumJob) -> Children {
        let world = self.world();
        Children {
            jobs: world.jobs.values().cloned().map(Arc::new).collect(),
            pods: world.pods.values().cloned().map(Arc::new).collect(),
            config_maps: world
                .config_maps
                .values()
                .map(|object| object.metadata.clone())
                .collect(),
            claims: world.claims.values().map(|object| object.metadata.clone()).collect(),
            snapshots: world.snapshots.values().map(|object| object.metadata.clone()).collect(),
        }
    }

    fn sampler(&self, of: &CurriculumJob, at: Option<IpAddr>, interval: Duration) -> Option<Said> {
        // One run trains in one pod at a time, and every pod has this machine's address.
        let known = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let at = at.and_then(|_| known.values().next().copied());
        drop(known);
        self.samplers.latest(of, at, interval)
    }

    fn progress_interval(&self, least: Duration) -> Duration {
        self.samplers.interval(least)
    }

    async fn job(&self, _: &CurriculumJob, name: &str) -> Answer<Option<Job>> {
        Ok(self.read(|world| world.jobs.get(name).cloned()))
    }

    async fn pods(&self, _: &CurriculumJob, which: PodsOf<'_>) -> Answer<Vec<Pod>> {
        let world = self.world();
        let of = match which {
            PodsOf::Trainers => None,
            PodsOf::Job(name) => Some(world.jobs.get(name).and_then(ResourceExt::uid).unwrap_or_default()),
        };
        let wanted = |pod: &&Pod| match &of {
            None => pod
                .labels()
                .get(LABEL_COMPONENT)
                .is_some_and(|component| component == "train"),
            Some(uid) => is_of(pod, uid),
        };
        Ok(world.pods.values().filter(wanted).cloned().collect())
    }

    async fn warnings(&self, _: &CurriculumJob, _: &About) -> Answer<Vec<Warning>> {
        Ok(Vec::new())
    }

    async fn metadata(&self, _: &CurriculumJob, kind: Kind, name: &str) -> Answer<Option<ObjectMeta>> {
        Ok(self.read(|world| world.metadata(kind, name).cloned()))
    }

    async fn create(&self, _: &CurriculumJob, object: &Ensure) -> Answer<ObjectMeta> {
        let name = object.metadata().name.clone().unwrap_or_default();
        let made = self.change(|world, now| match world.metadata(object.kind(), &name) {
            Some(_) => None,
            None => Some(world.add(object, now)),
        });
        made.map_or_else(|| no(409, "AlreadyExists"), Ok)
    }

    async fn suspend(&self, _: &CurriculumJob, hold: &SetSuspend) -> Answer<()> {
        self.change(|world, now| match world.jobs.get(&hold.name).cloned() {
            None => no(404, "NotFound"),
            Some(job) if job.uid().as_deref() != Some(&hold.uid) => no(409, "Conflict"),
            Some(mut job) => {
                job.spec.get_or_insert_default().suspend = Some(hold.suspend);
                if hold.suspend {
                    job.annotations_mut()
                        .insert(ANNOTATION_SUSPENDED.to_owned(), "true".to_owned());
                } else {
                    job.annotations_mut().remove(ANNOTATION_SUSPENDED);
                }
                world.stamp(&mut job.metadata, now);
                world.jobs.insert(hold.name.clone(), job);
                Ok(())
            }
        })
    }

    async fn delete(&self, _: &CurriculumJob, target: &Delete) -> Answer<()> {
        self.change(|world, _| match world.metadata(target.kind, &target.name) {
            None => no(404, "NotFound"),
            Some(found) if found.uid.as_ref() != Some(&target.uid) => no(409, "Conflict"),
            Some(_) => {
                world.remove(target.kind, &target.name);
                Ok(())
            }
        })
    }

    async fn write_status(&self, over: &CurriculumJob, status: &CurriculumJobStatus) -> Answer<ObjectMeta> {
        self.change(|world, now| {
            if world.curriculum_job.metadata.resource_version != over.metadata.resource_version {
                return no(409, "Conflict");
            }
            let mut job = world.curriculum_job.clone();
            job.status = Some(status.clone());
            world.stamp(&mut job.metadata, now);
            world.curriculum_job = job;
            Ok(world.curriculum_job.metadata.clone())
        })
    }

    async fn publish(&self, _: &CurriculumJob, event: &Event) -> Answer<()> {
        // Nobody listens any more when the run is about to end.
        let _ = self.events.send(event.clone());
        Ok(())
    }
}
