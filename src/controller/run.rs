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

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::channel::mpsc;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{Pod, PodSpec};
use kube::api::Api;
use kube::core::DeserializeGuard;
use kube::runtime::controller::{self, Config, applier};
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, Resource, ResourceExt};
use prometheus::Registry;
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;

use super::context::Context;
use super::decide::Settings;
use super::kube_cluster::{KubeCluster, Stores};
use super::lease::{Campaign, Leadership, LeaseOptions, release};
use super::memory::Memory;
use super::metrics::{Jobs, Leader, Metrics};
use super::readiness::Readiness;
use super::reconcile::{on_error, reconcile_safely};
use super::sampler_client::SamplerClient;
use crate::api::job::CurriculumJob;
use crate::api::names::{LABEL_JOB, LABEL_MANAGED_BY};
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

/// The controller could not be started.
#[derive(thiserror::Error, Debug)]
pub enum StartError {
    /// A metric of ours was registered by somebody else.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// No HTTP client for the samplers.
    #[error("client for samplers: {0}")]
    SamplerClient(#[from] reqwest::Error),
}

/// Runs until `shutdown` resolves and the reconciles under way have ended.
///
/// # Errors
/// Only before it starts; afterwards everything is retried.
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
    let (stores, _watches) = start_watches(&client, options.namespace.as_deref(), &names);
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
    let context = Arc::new(Context {
        cluster: KubeCluster::new(client.clone(), stores, samplers),
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
    turns
        .for_each(|turn| {
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
        })
        .await;
    if let (Some(campaign), Some(lease)) = (campaign, &lease) {
        campaign.abort();
        // Aborted at its next wait; until then it could take what is being set free.
        let _ = campaign.await;
        release(client, lease, &leadership).await;
    }
    tracing::info!("the controller has stopped");
    Ok(())
}

fn forget_the_gone(context: &Context<KubeCluster>) {
    let store = &context.cluster.stores().curriculum_jobs;
    context.memory.prune(store.len(), |uid| {
        store.find(|job| job.meta().uid.as_deref() == Some(uid)).is_some()
    });
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
    let all = watcher::Config::default;
    let ours = || watcher::Config::default().labels(&format!("{LABEL_MANAGED_BY}={MANAGER}"));
    let stores = Stores {
        curriculum_jobs: watch(
            &mut tasks,
            api(client, namespace),
            all(),
            names,
            |_| {},
            |job| Some(name_of(job)),
        ),
        jobs: watch(&mut tasks, api(client, namespace), ours(), names, trim_job, owner_of),
        pods: watch(&mut tasks, api(client, namespace), ours(), names, trim_pod, label_of),
        config_maps: watch(&mut tasks, api(client, namespace), ours(), names, |_| {}, owner_of),
        claims: watch(&mut tasks, api(client, namespace), ours(), names, |_| {}, owner_of),
        snapshots: watch(&mut tasks, api(client, namespace), ours(), names, |_| {}, owner_of),
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

/// Keeps a store of what is watched, without what nobody reads, and queues the CurriculumJob of every object that changed.
fn watch<K>(
    tasks: &mut JoinSet<()>,
    api: Api<K>,
    config: watcher::Config,
    names: &Names,
    trim: impl Fn(&mut K) + Send + 'static,
    job_of: impl Fn(&K) -> Option<ObjectRef<Guarded>> + Send + 'static,
) -> Store<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let (reader, writer) = reflector::store();
    let names = names.clone();
    let trim = move |object: &mut K| {
        object.managed_fields_mut().clear();
        trim(object);
    };
    let touched = watcher(api, config)
        .default_backoff()
        .modify(trim)
        .reflect(writer)
        .touched_objects();
    tasks.spawn(touched.for_each(move |event| {
        match event {
            Ok(object) => {
                // The queue is gone only when the process is about to be.
                let _ = job_of(&object).map(|name| names.unbounded_send(name));
            }
            Err(error) => tracing::warn!(%error, kind = %K::kind(&()), "the watch is tried again"),
        }
        std::future::ready(())
    }));
    reader
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

/// Of a pod's spec only its node is read.
fn trim_pod(pod: &mut Pod) {
    if let Some(spec) = &mut pod.spec {
        *spec = PodSpec {
            node_name: spec.node_name.take(),
            ..PodSpec::default()
        };
    }
}

fn name_of(job: &Guarded) -> ObjectRef<Guarded> {
    ObjectRef::from_obj(job)
}

fn owner_of(object: &impl Resource) -> Option<ObjectRef<Guarded>> {
    let owner = object
        .owner_references()
        .iter()
        .find(|owner| owner.controller == Some(true))?;
    ObjectRef::from_owner_ref(object.meta().namespace.as_deref(), owner, ())
}

fn label_of(pod: &Pod) -> Option<ObjectRef<Guarded>> {
    let name = pod.labels().get(LABEL_JOB)?;
    Some(ObjectRef::new(name).within(pod.metadata.namespace.as_deref()?))
}
