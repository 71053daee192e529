//! A process of the operator: the production `reconcile` over stores that lag, held at each of its requests.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context as Waking, Poll, Waker};
use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use prometheus::Registry;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Server, Shared, World};
use crate::api::job::CurriculumJob;
use crate::api::status::CurriculumJobStatus;
use crate::controller::actions::{Delete, Ensure, Event, Kind, SetSuspend};
use crate::controller::cluster::{Answer, Children, Cluster, PodsOf, Said};
use crate::controller::context::Context;
use crate::controller::error::Error;
use crate::controller::lease::Leadership;
use crate::controller::memory::Memory;
use crate::controller::metrics::Metrics;
use crate::controller::observed::{About, Warning};
use crate::controller::reconcile::reconcile;
use crate::controller::test_support::settings;
use crate::controller::watches::{trim_job, trim_pod};

type Turn = Pin<Box<dyn Future<Output = Result<Option<Duration>, Error>> + Send>>;

/// The stores: CurriculumJobs, Jobs, pods, metadata.
pub(crate) const STORES: usize = 4;

/// The connection of one process to the server. Every request waits once before it is made, so that a test decides what
/// happens in between, and whether it happens at all.
struct Connection {
    server: Shared,
    /// How far each store has read the server's history.
    read: [AtomicUsize; STORES],
    /// What the sampler of a running pod answers: steps of the phase, and whether it has lost its index.
    sampler: Mutex<Option<(u64, bool)>>,
    /// What happens to the next request.
    fault: Mutex<Option<Fault>>,
}

/// How a request goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It never arrives.
    Request,
    /// It is done, but the answer is lost.
    Reply,
}

pub(crate) struct Leader {
    context: Arc<Context<Connection>>,
    turn: Option<Turn>,
}

impl Leader {
    pub(crate) fn new(server: &Shared) -> Self {
        let newest = server.at().history.len() - 1;
        let connection = Connection {
            server: server.clone(),
            read: std::array::from_fn(|_| AtomicUsize::new(newest)),
            sampler: Mutex::default(),
            fault: Mutex::default(),
        };
        Self {
            context: Arc::new(Context {
                cluster: connection,
                settings: settings(),
                metrics: Metrics::register(&Registry::new()).unwrap(),
                memory: Memory::default(),
                leadership: Leadership::unrivalled(),
            }),
            turn: None,
        }
    }

    /// Lets a store read on, by so many changes.
    pub(crate) fn catch_up(&self, store: usize, changes: usize) {
        let connection = &self.context.cluster;
        let newest = connection.server.at().history.len() - 1;
        let read = connection.read[store].load(Ordering::Relaxed);
        connection.read[store].store((read + changes).min(newest), Ordering::Relaxed);
    }

    /// Dies and starts again: lists everything, remembers nothing.
    pub(crate) fn crash(&mut self) {
        *self = Self::new(&self.context.cluster.server);
    }

    /// Lets the next request go wrong.
    pub(crate) fn fault(&self, fault: Fault) {
        *self.context.cluster.fault.lock().unwrap() = Some(fault);
    }

    /// Begins a reconcile, up to its first request; an unfinished one is dropped, as after its deadline.
    pub(crate) fn look(&mut self, served: u64, lost_index: bool) {
        let connection = &self.context.cluster;
        *connection.sampler.lock().unwrap() = Some((served, lost_index));
        let job = connection.stored(0).curriculum_job.clone();
        let context = Arc::clone(&self.context);
        self.turn = job.map(|job| -> Turn { Box::pin(async move { reconcile(&context, &job).await }) });
        self.act();
    }

    /// Lets the reconcile make its next request; false when it has come to its end.
    pub(crate) fn act(&mut self) -> bool {
        let Some(turn) = &mut self.turn else { return false };
        let pending = turn.as_mut().poll(&mut Waking::from_waker(Waker::noop())).is_pending();
        if !pending {
            self.turn = None;
        }
        pending
    }

    /// One whole reconcile on the newest state; the number of writes that it asked for.
    pub(crate) fn whole_turn(&mut self, served: u64) -> usize {
        for store in 0..STORES {
            self.catch_up(store, usize::MAX / 2);
        }
        let server = self.context.cluster.server.clone();
        let before = server.at().ledger.writes;
        self.look(served, false);
        while self.act() {}
        let after = server.at().ledger.writes;
        after - before
    }
}

impl Connection {
    /// The newest state that a store has read.
    fn stored(&self, store: usize) -> Arc<World> {
        let server = self.server.at();
        Arc::clone(&server.history[self.read[store].load(Ordering::Relaxed)])
    }

    /// Waits once, then makes the request.
    async fn ask<T>(&self, request: impl FnOnce(&mut Server) -> Answer<T>) -> Answer<T> {
        self.ask_after(true, request).await
    }

    /// Makes the request, after all others that somebody else may want to make before, or at once.
    async fn ask_after<T>(&self, others: bool, request: impl FnOnce(&mut Server) -> Answer<T>) -> Answer<T> {
        let mut waited = !others;
        std::future::poll_fn(|_| {
            if std::mem::replace(&mut waited, true) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
        let lost = || kube::Error::Service("the connection broke".into());
        match self.fault.lock().unwrap().take() {
            None => request(&mut self.server.at()),
            Some(Fault::Request) => Err(lost()),
            Some(Fault::Reply) => request(&mut self.server.at()).and(Err(lost())),
        }
    }
}

/// The objects as the stores keep them: without what is said to be read by nobody, and written down meanwhile.
fn kept<K>(objects: impl IntoIterator<Item = Arc<K>>, trim: fn(&mut K)) -> Vec<Arc<K>>
where
    K: Clone + Serialize + DeserializeOwned,
{
    let kept = objects.into_iter().map(|object| {
        let mut object = K::clone(&object);
        trim(&mut object);
        let written = serde_json::to_vec(&object).unwrap();
        Arc::new(serde_json::from_slice(&written).unwrap())
    });
    kept.collect()
}

impl Cluster for Connection {
    fn now(&self) -> Timestamp {
        self.server.at().now
    }

    fn children(&self, of: &CurriculumJob) -> Children {
        let uid = of.uid().unwrap_or_default();
        let rest = self.stored(3);
        Children {
            jobs: kept(self.stored(1).jobs_of(&uid), trim_job),
            pods: kept(self.stored(2).pods.values().cloned(), trim_pod),
            config_maps: rest.config_maps.values().map(|map| map.metadata.clone()).collect(),
            claims: rest.claims.values().map(|claim| claim.metadata.clone()).collect(),
            snapshots: rest
                .snapshots
                .values()
                .map(|snapshot| snapshot.metadata.clone())
                .collect(),
        }
    }

    fn sampler(&self, _: &CurriculumJob, at: Option<IpAddr>, _: Duration) -> Option<Said> {
        at?;
        let (served, lost_index) = (*self.sampler.lock().unwrap())?;
        let status = self.server.at().sampler(served, lost_index)?;
        let age = Duration::ZERO;
        Some(Said { status, age })
    }

    fn progress_interval(&self, least: Duration) -> Duration {
        least
    }

    async fn job(&self, _: &CurriculumJob, name: &str) -> Answer<Option<Job>> {
        self.ask(|server| Ok(server.world.jobs.get(name).map(|job| Job::clone(job))))
            .await
    }

    async fn pods(&self, _: &CurriculumJob, which: PodsOf<'_>) -> Answer<Vec<Pod>> {
        self.ask(|server| Ok(server.pods(which))).await
    }

    async fn warnings(&self, _: &CurriculumJob, _: &About) -> Answer<Vec<Warning>> {
        self.ask(|_| Ok(Vec::new())).await
    }

    async fn metadata(&self, _: &CurriculumJob, kind: Kind, name: &str) -> Answer<Option<ObjectMeta>> {
        self.ask(|server| Ok(server.world.metadata(kind, name))).await
    }

    async fn create(&self, _: &CurriculumJob, object: &Ensure) -> Answer<ObjectMeta> {
        // What no answer can exclude is the time until the next request: in it, another leader, which the lease excludes, would have
        // to make the Job, and somebody to delete it. See `is_newest` in `act`.
        let asked_before = matches!(object, Ensure::TrainJob(_));
        self.ask_after(!asked_before, |server| server.create(object)).await
    }

    async fn suspend(&self, _: &CurriculumJob, hold: &SetSuspend) -> Answer<()> {
        self.ask(|server| server.suspend(hold)).await
    }

    async fn delete(&self, _: &CurriculumJob, target: &Delete) -> Answer<()> {
        self.ask(|server| server.delete(target)).await
    }

    async fn write_status(&self, over: &CurriculumJob, status: &CurriculumJobStatus) -> Answer<ObjectMeta> {
        self.ask(|server| server.write_status(over, status)).await
    }

    async fn publish(&self, _: &CurriculumJob, event: &Event) -> Answer<()> {
        self.ask(|server| server.publish(event)).await
    }
}
