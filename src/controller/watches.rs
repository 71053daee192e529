//! The watches: each fills a store with what is read of its kind, and puts the name of the CurriculumJob that an object belongs to into
//! the queue after that.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use futures::StreamExt;
use futures::channel::mpsc;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{Pod, PodSpec, Volume};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::Api;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;

use super::index::Indexed;
use super::kube_cluster::{Stores, pod_key};
use super::stored_job::StoredJob;
use crate::api::MANAGER;
use crate::api::names::{ANNOTATION_SUSPENDED, LABEL_COMPONENT, LABEL_JOB, LABEL_MANAGED_BY, LABEL_QUEUE, LABEL_VISIT};

/// Labels and annotations of children that are read.
const LABELS: [&str; 4] = [LABEL_COMPONENT, LABEL_JOB, LABEL_VISIT, LABEL_QUEUE];
const ANNOTATIONS: [&str; 1] = [ANNOTATION_SUSPENDED];

pub(crate) type Names = mpsc::UnboundedSender<ObjectRef<StoredJob>>;

/// Starts every watch in a task of its own; they end when the tasks are dropped.
pub(crate) fn start_watches(client: &Client, namespace: Option<&str>, names: &Names) -> (Stores, JoinSet<()>) {
    let mut tasks = JoinSet::new();
    let stores = Stores {
        curriculum_jobs: watch_jobs(&mut tasks, api(client, namespace), names),
        jobs: watch_children(&mut tasks, api(client, namespace), names, trim_job, owner_uid, owner_of),
        pods: watch_children(
            &mut tasks,
            api(client, namespace),
            names,
            trim_pod,
            key_of_pod,
            label_of,
        ),
        config_maps: watch_metadata(&mut tasks, api(client, namespace), names),
        claims: watch_metadata(&mut tasks, api(client, namespace), names),
        snapshots: watch_metadata(&mut tasks, api(client, namespace), names),
    };
    (stores, tasks)
}

fn api<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// Keeps a store of the CurriculumJobs, and queues each that changed.
fn watch_jobs(tasks: &mut JoinSet<()>, api: Api<StoredJob>, names: &Names) -> Store<StoredJob> {
    let (reader, writer) = reflector::store();
    let names = names.clone();
    let touched = watcher(api, watcher::Config::default())
        .default_backoff()
        .reflect(writer)
        .touched_objects();
    tasks.spawn(touched.for_each(move |event| {
        match event {
            Ok(job) => {
                // The queue is gone only when the process is about to be.
                let _ = names.unbounded_send(name_of(&job));
            }
            Err(error) => tracing::warn!(%error, kind = "CurriculumJob", "the watch is tried again"),
        }
        std::future::ready(())
    }));
    reader
}

/// Keeps copies of objects of ours by their CurriculumJob, without what nobody reads, and queues the job of each that changed.
fn watch_children<K>(
    tasks: &mut JoinSet<()>,
    api: Api<K>,
    names: &Names,
    trim: impl Fn(&mut K) + Send + 'static,
    key_of: fn(&K) -> Option<String>,
    job_of: fn(&K) -> Option<ObjectRef<StoredJob>>,
) -> Arc<Indexed<K>>
where
    K: Resource<DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned + Send + Sync + 'static,
{
    let index = Arc::new(Indexed::new(key_of));
    let (copies, names) = (Arc::clone(&index), names.clone());
    let ours = format!("{LABEL_MANAGED_BY}={MANAGER}");
    let ours = watcher::Config::default().labels(&ours);
    let events = watcher(api, ours).default_backoff().modify(trim);
    tasks.spawn(events.for_each(move |event| {
        match event {
            Ok(event) => {
                copies.take_in(event, |object| {
                    let _ = job_of(object).map(|name| names.unbounded_send(name));
                });
            }
            Err(error) => tracing::warn!(%error, kind = %K::kind(&()), "the watch is tried again"),
        }
        std::future::ready(())
    }));
    index
}

/// Keeps the metadata of children, which is all that is read of them.
fn watch_metadata<K>(
    tasks: &mut JoinSet<()>,
    api: Api<PartialObjectMeta<K>>,
    names: &Names,
) -> Arc<Indexed<PartialObjectMeta<K>>>
where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static,
{
    let trim = |object: &mut PartialObjectMeta<K>| trim_meta(&mut object.metadata);
    watch_children(tasks, api, names, trim, owner_uid, owner_of)
}

/// Of a Job's spec only `suspend` is read; its pod template is most of its size.
pub(crate) fn trim_job(job: &mut Job) {
    trim_meta(&mut job.metadata);
    if let Some(spec) = &mut job.spec {
        *spec = JobSpec {
            suspend: spec.suspend,
            ..JobSpec::default()
        };
    }
}

/// Of a pod's spec only its node is read, the claims of one that has none, and of its containers neither what they mount nor which image it was exactly.
pub(crate) fn trim_pod(pod: &mut Pod) {
    trim_meta(&mut pod.metadata);
    if let Some(spec) = &mut pod.spec {
        *spec = PodSpec {
            volumes: spec
                .volumes
                .take()
                .and_then(|all| claims_without_node(all, spec.node_name.as_deref())),
            node_name: spec.node_name.take(),
            ..PodSpec::default()
        };
    }
    let Some(status) = &mut pod.status else { return };
    (status.pod_ips, status.host_ips) = (None, None);
    let lists = [&mut status.init_container_statuses, &mut status.container_statuses];
    for container in lists.into_iter().flatten().flatten() {
        (container.resources, container.allocated_resources) = (None, None);
        (container.volume_mounts, container.container_id) = (None, None);
        container.image_id.clear();
    }
}

fn claims_without_node(mut volumes: Vec<Volume>, node: Option<&str>) -> Option<Vec<Volume>> {
    volumes.retain(|volume| node.is_none() && volume.persistent_volume_claim.is_some());
    (!volumes.is_empty()).then_some(volumes)
}

/// Of a child's metadata its name, owners, age, end and a few labels are read.
fn trim_meta(meta: &mut ObjectMeta) {
    (meta.managed_fields, meta.resource_version, meta.generation) = (None, None, None);
    meta.annotations = meta.annotations.take().and_then(|all| only(all, &ANNOTATIONS));
    meta.labels = meta.labels.take().and_then(|all| only(all, &LABELS));
}

fn only(mut all: BTreeMap<String, String>, read: &[&str]) -> Option<BTreeMap<String, String>> {
    all.retain(|key, _| read.contains(&key.as_str()));
    (!all.is_empty()).then_some(all)
}

pub(crate) fn name_of(job: &StoredJob) -> ObjectRef<StoredJob> {
    ObjectRef::from_obj(job)
}

fn controller_of<K: Resource>(object: &K) -> Option<&OwnerReference> {
    let owners = object.meta().owner_references.as_deref().unwrap_or_default();
    owners.iter().find(|owner| owner.controller == Some(true))
}

fn owner_uid<K: Resource>(object: &K) -> Option<String> {
    controller_of(object).map(|owner| owner.uid.clone())
}

fn owner_of<K: Resource>(object: &K) -> Option<ObjectRef<StoredJob>> {
    let owner = controller_of(object)?;
    ObjectRef::from_owner_ref(object.meta().namespace.as_deref(), owner, ())
}

fn key_of_pod(pod: &Pod) -> Option<String> {
    let job = pod.labels().get(LABEL_JOB)?;
    Some(pod_key(pod.metadata.namespace.as_deref(), job))
}

fn label_of(pod: &Pod) -> Option<ObjectRef<StoredJob>> {
    let name = pod.labels().get(LABEL_JOB)?;
    Some(ObjectRef::new(name).within(pod.metadata.namespace.as_deref()?))
}
