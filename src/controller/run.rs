//! Runs the controller: watches, stores, the queue of CurriculumJobs to look at, and its end.
//!
//! ```text
//! CurriculumJobs ──────────────────► store ─┐
//! Jobs, pods ──────────────────────► store ─┤ names of CurriculumJobs ─► queue ─► reconcile, at most `concurrency` at once
//! metadata of ConfigMaps, claims, ─► store ─┘                              ▲        and never two for the same one
//! snapshots                                                                └── requeue
//! ```
//! Each watch fills its store in a task of its own and puts a name into the queue after that, so that a reconcile sees at
//! least what triggered it, and slow reconciles never hold up a watch.

use std::collections::HashSet;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::channel::mpsc;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::Api;
use kube::core::{DeserializeGuard, PartialObjectMeta};
use kube::runtime::controller::{self, Config, applier};
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, Resource, ResourceExt};
use prometheus::Registry;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;

use super::context::Context;
use super::decide::Settings;
use super::index::Indexed;
use super::kube_cluster::{KubeCluster, Stores, pod_key};
use super::lease::{Campaign, Leadership, LeaseOptions, release};
use super::memory::Memory;
use super::metrics::{Jobs, Leader, Metrics};
use super::readiness::Readiness;
use super::reconcile::{on_error, reconcile_safely};
use super::sampler_client::SamplerClient;
use super::samplers::Samplers;
use crate::api::job::CurriculumJob;
use crate::api::names::{LABEL_COMPONENT, LABEL_JOB, LABEL_MANAGED_BY, LABEL_VISIT};
use crate::api::{GROUP, MANAGER, VERSION};

const CRD_POLL: Duration = Duration::from_secs(5);

type Guarded = DeserializeGuard<CurriculumJob>;
type Names = mpsc::UnboundedSender<ObjectRef<Guarded>>;

/// What the operator's installation decides about the controller.
#[derive(Clone, Debug)]
pub struct Options {
    /// What decisions depend on.
    pub settings: Settings,
    /// The one namespace to watch; `None`: all of them.
    pub namespace: Option<String>,
    /// Reconciles at the same time.
    pub concurrency: u16,
    /// The Lease that must be held to act; `None`: there is no other operator.
    pub lease: Option<LeaseOptions>,
}

/// The controller could not be started, or cannot go on.
#[derive(thiserror::Error, Debug)]
pub enum StartError {
    /// A metric of ours was registered by somebody else.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// A watch broke, and with it the local copy that it fills.
    #[error("a watch has ended; the operator begins anew")]
    WatchEnded,
    /// No HTTP client for the samplers.
    #[error("client for samplers: {0}")]
    SamplerClient(#[from] reqwest::Error),
}

/// Runs until `shutdown` resolves and the reconciles under way have ended.
///
/// # Errors
/// Before it starts, or when a watch breaks; everything else is retried.
pub async fn run(
    client: Client,
    options: Options,
    registry: &Registry,
    readiness: Readiness,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), StartError> {
    let metrics = Metrics::register(registry)?;
    let samplers = SamplerClient::new()?;
    let (stop, mut stopping) = tokio::sync::watch::channel(false);
    tokio::spawn(async move {
        shutdown.await;
        stop.send_replace(true);
    });
    // An error means that the sender is gone, and then so is the wish to go on.
    let mut until_stopped = stopping.clone();
    tokio::select! {
        () = wait_for_crds(&client, &readiness) => {}
        _ = until_stopped.wait_for(|stop| *stop) => return Ok(()),
    }
    let (names, queue) = mpsc::unbounded();
    let (stores, mut watches) = start_watches(&client, options.namespace.as_deref(), &names);
    Jobs::register(registry, stores.curriculum_jobs.clone())?;
    tokio::select! {
        () = wait_for_stores(&stores) => readiness.set_ready(),
        _ = until_stopped.wait_for(|stop| *stop) => return Ok(()),
    }
    tracing::info!("the controller has started");
    let reader = stores.curriculum_jobs.clone();
    let lease = options.lease;
    let (leadership, campaign) = match &lease {
        None => (Leadership::unrivalled(), None),
        Some(lease) => {
            let campaign = Campaign::new(client.clone(), lease.clone());
            let leadership = campaign.leadership();
            let (all, names) = (reader.clone(), names.clone());
            // What happened while somebody else led was seen by the stores, but by no reconcile.
            let look_at_everything = move || {
                for job in all.state() {
                    let _ = names.unbounded_send(name_of(&job));
                }
            };
            (leadership, Some(tokio::spawn(campaign.run(look_at_everything))))
        }
    };
    Leader::register(registry, leadership.clone())?;
    let queue_of_news = names.clone();
    let news = move |job: ObjectRef<CurriculumJob>| {
        let name = ObjectRef::new(&job.name);
        let _ = queue_of_news.unbounded_send(match &job.namespace {
            Some(namespace) => name.within(namespace),
            None => name,
        });
    };
    let context = Arc::new(Context {
        cluster: KubeCluster::new(client.clone(), stores, Samplers::new(samplers, news)),
        settings: options.settings,
        metrics,
        memory: Memory::default(),
        leadership: leadership.clone(),
    });
    let queue = queue.map(Ok::<_, std::convert::Infallible>).take_until(async move {
        let _ = stopping.wait_for(|stop| *stop).await;
    });
    let config = Config::default().concurrency(options.concurrency);
    let turns = applier(
        |job, context| Box::pin(reconcile_safely(job, context)),
        on_error,
        Arc::clone(&context),
        reader,
        queue,
        config,
    );
    let turns = turns.for_each(|turn| {
        // Errors of reconciles went through `on_error`; a name without an object is one whose object is gone.
        if let Err(error) = turn.as_ref()
            && !matches!(
                error,
                controller::Error::ReconcilerFailed(..) | controller::Error::ObjectNotFound(_)
            )
        {
            tracing::error!(%error, "the queue broke");
        }
        forget_the_gone(&context);
        std::future::ready(())
    });
    // A watch ends only by a panic. Its store would stand still, and nobody would notice: better to begin anew.
    let broken = tokio::select! {
        () = turns => false,
        _ = watches.join_next() => true,
    };
    if let (Some(campaign), Some(lease)) = (campaign, &lease) {
        campaign.abort();
        // Aborted at its next wait; until then it could take what is being set free.
        let _ = campaign.await;
        release(client, lease, &leadership).await;
    }
    if broken {
        return Err(StartError::WatchEnded);
    }
    tracing::info!("the controller has stopped");
    Ok(())
}

fn forget_the_gone(context: &Context<KubeCluster>) {
    let store = &context.cluster.stores().curriculum_jobs;
    context.memory.prune(store.len(), || {
        let known = uids(store);
        context.cluster.samplers().prune(|uid| known.contains(uid));
        known
    });
}

fn uids(store: &Store<Guarded>) -> HashSet<String> {
    store.state().iter().filter_map(|job| job.meta().uid.clone()).collect()
}

/// Waits until the API server serves our kinds: the operator may well be there before its CRDs.
async fn wait_for_crds(client: &Client, readiness: &Readiness) {
    let version = format!("{GROUP}/{VERSION}");
    loop {
        let problem = match client.list_api_group_resources(&version).await {
            Ok(list) if list.resources.iter().any(|resource| resource.kind == "CurriculumJob") => return,
            Ok(_) => "the CustomResourceDefinitions are not there".to_owned(),
            Err(kube::Error::Api(status)) if status.is_not_found() => {
                "the CustomResourceDefinitions are not there".to_owned()
            }
            Err(error) => format!("the API server does not answer: {error}"),
        };
        if readiness.set_waiting(&format!("waiting for {version}: {problem}")) {
            tracing::warn!("waiting for {version}: {problem}");
        }
        tokio::time::sleep(CRD_POLL).await;
    }
}

async fn wait_for_stores(stores: &Stores) {
    let Stores {
        curriculum_jobs,
        jobs,
        pods,
        config_maps,
        claims,
        snapshots,
    } = stores;
    // A dropped writer means that the process is ending; the caller sees that by itself.
    let _ = futures::join!(
        curriculum_jobs.wait_until_ready(),
        jobs.wait_until_ready(),
        pods.wait_until_ready(),
        config_maps.wait_until_ready(),
        claims.wait_until_ready(),
        snapshots.wait_until_ready(),
    );
}

/// Starts every watch in a task of its own; they end when the tasks are dropped.
fn start_watches(client: &Client, namespace: Option<&str>, names: &Names) -> (Stores, JoinSet<()>) {
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
        config_maps: watch_children(
            &mut tasks,
            api(client, namespace),
            names,
            trim_metadata,
            owner_uid,
            owner_of,
        ),
        claims: watch_children(
            &mut tasks,
            api(client, namespace),
            names,
            trim_metadata,
            owner_uid,
            owner_of,
        ),
        snapshots: watch_children(
            &mut tasks,
            api(client, namespace),
            names,
            trim_metadata,
            owner_uid,
            owner_of,
        ),
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
fn watch_jobs(tasks: &mut JoinSet<()>, api: Api<Guarded>, names: &Names) -> Store<Guarded> {
    let (reader, writer) = reflector::store();
    let names = names.clone();
    let touched = watcher(api, watcher::Config::default())
        .default_backoff()
        .modify(|job: &mut Guarded| forget_writers(job))
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
    job_of: fn(&K) -> Option<ObjectRef<Guarded>>,
) -> Arc<Indexed<K>>
where
    K: Resource<DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned + Send + Sync + 'static,
{
    let index = Arc::new(Indexed::new(key_of));
    let (copies, names) = (Arc::clone(&index), names.clone());
    let ours = watcher::Config::default().labels(&format!("{LABEL_MANAGED_BY}={MANAGER}"));
    let events = watcher(api, ours).default_backoff().modify(move |object: &mut K| {
        forget_writers(object);
        trim(object);
    });
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

/// Who wrote which field, and the manifest as it was applied: as large as the object itself, and never read.
fn forget_writers(object: &mut impl Resource) {
    let meta = object.meta_mut();
    meta.managed_fields = None;
    if let Some(annotations) = &mut meta.annotations {
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    }
}

/// Of a Job's spec only `suspend` is read; its pod template is most of its size.
fn trim_job(job: &mut Job) {
    if let Some(spec) = &mut job.spec {
        *spec = JobSpec {
            suspend: spec.suspend,
            ..JobSpec::default()
        };
    }
}

/// Of a pod's spec only its node is read, and of its containers neither what they mount nor which image it was exactly.
fn trim_pod(pod: &mut Pod) {
    if let Some(spec) = &mut pod.spec {
        *spec = PodSpec {
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

/// Of ConfigMaps, claims and snapshots only names, owners and two labels are read.
fn trim_metadata<K>(object: &mut PartialObjectMeta<K>) {
    let meta = &mut object.metadata;
    meta.annotations = None;
    meta.labels = meta.labels.take().and_then(|mut labels| {
        labels.retain(|label, _| [LABEL_COMPONENT, LABEL_VISIT].contains(&label.as_str()));
        (!labels.is_empty()).then_some(labels)
    });
}

fn name_of(job: &Guarded) -> ObjectRef<Guarded> {
    ObjectRef::from_obj(job)
}

fn controller_of<K: Resource>(object: &K) -> Option<&OwnerReference> {
    let owners = object.meta().owner_references.as_deref().unwrap_or_default();
    owners.iter().find(|owner| owner.controller == Some(true))
}

fn owner_uid<K: Resource>(object: &K) -> Option<String> {
    controller_of(object).map(|owner| owner.uid.clone())
}

fn owner_of<K: Resource>(object: &K) -> Option<ObjectRef<Guarded>> {
    let owner = controller_of(object)?;
    ObjectRef::from_owner_ref(object.meta().namespace.as_deref(), owner, ())
}

fn key_of_pod(pod: &Pod) -> Option<String> {
    let job = pod.labels().get(LABEL_JOB)?;
    Some(pod_key(pod.metadata.namespace.as_deref(), job))
}

fn label_of(pod: &Pod) -> Option<ObjectRef<Guarded>> {
    let name = pod.labels().get(LABEL_JOB)?;
    Some(ObjectRef::new(name).within(pod.metadata.namespace.as_deref()?))
}
