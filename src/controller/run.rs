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
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::channel::mpsc;
use kube::runtime::controller::{self, Config, applier};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Client, Resource};
use prometheus::Registry;

use super::context::Context;
use super::decide::Settings;
use super::kube_cluster::{KubeCluster, Stores};
use super::lease::{Campaign, Leadership, LeaseOptions, release};
use super::memory::Memory;
use super::metrics::{Jobs, Leader, Metrics};
use super::readiness::Readiness;
use super::reconcile::{on_error, reconcile_stored};
use super::sampler_client::SamplerClient;
use super::samplers::Samplers;
use super::stored_job::StoredJob;
use super::watches::{name_of, start_watches};
use crate::api::job::CurriculumJob;
use crate::api::{GROUP, VERSION};

const CRD_POLL: Duration = Duration::from_secs(5);

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
        |job, context| Box::pin(reconcile_stored(job, context)),
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

fn uids(store: &Store<StoredJob>) -> HashSet<String> {
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
