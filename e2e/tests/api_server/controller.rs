//! The whole controller against a real API server. Nobody runs pods here: the test is Job controller and kubelet, and
//! gives every Job the end that it wants.

use std::collections::BTreeMap;
use std::time::Duration;

use curriculum_operator::api::job::CurriculumJob;
use curriculum_operator::api::names::LABEL_COMPONENT;
use curriculum_operator::api::snapshot::CurriculumSnapshot;
use curriculum_operator::controller::build;
use curriculum_operator::controller::{Options, Readiness, Settings, run};
use e2e::api_server::ApiServer;
use e2e::played::{self, PlayedJobs};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::wait::{Condition, await_condition};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, ResourceExt};
use prometheus::{Registry, TextEncoder};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::changed;

const LIMIT: Duration = Duration::from_secs(120);
/// Writes in the life of a job without failures: 9, and 5 for every phase.
const BUDGET: u64 = 9;
const BUDGET_PER_PHASE: u64 = 5;

/// A controller in this process; it ends when this is dropped.
struct Operator {
    registry: Registry,
    _stop: oneshot::Sender<()>,
    _task: JoinHandle<()>,
}

impl Operator {
    fn start(client: &Client, namespace: &str) -> Self {
        let registry = Registry::new();
        let image = build::Settings {
            image: "curriculum:test".to_owned(),
            image_pull_policy: None,
        };
        let options = Options {
            settings: Settings {
                retry_base: Duration::from_secs(1),
                ..Settings::new(image)
            },
            namespace: Some(namespace.to_owned()),
            concurrency: 2,
            lease: None,
        };
        let (stop, stopped) = oneshot::channel();
        let stopped = async move { drop(stopped.await) };
        let (client, metrics) = (client.clone(), registry.clone());
        let task = tokio::spawn(async move {
            run(client, options, &metrics, Readiness::default(), stopped)
                .await
                .unwrap();
        });
        Self {
            registry,
            _stop: stop,
            _task: task,
        }
    }

    fn metric(&self, name: &str) -> u64 {
        let text = TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap();
        let values = text
            .lines()
            .filter(|line| line.starts_with(name))
            .filter_map(|line| line.rsplit(' ').next());
        values.map(|value| value.parse::<u64>().unwrap()).sum()
    }

    fn writes(&self) -> u64 {
        self.metric("curriculum_api_writes_total")
    }
}

/// Gives every Job of the namespace a pod, and both the end that `end` says.
fn play_cluster(
    client: &Client,
    namespace: &str,
    end: impl Fn(&Job) -> bool + Send + Sync + 'static,
) -> JoinHandle<()> {
    let played = PlayedJobs::new(client, namespace);
    let (client, jobs) = (client.clone(), Api::<Job>::namespaced(client.clone(), namespace));
    tokio::spawn(async move {
        let mut events = watcher(jobs, watcher::Config::default())
            .default_backoff()
            .applied_objects()
            .boxed();
        while let Some(job) = events.try_next().await.unwrap() {
            if played::has_ended(&job) {
                continue;
            }
            let words = played::last_words(&client, &job, false).await.unwrap();
            if end(&job) {
                played.completes(&job, &words).await.unwrap();
            } else {
                played.fails(&job, &words.container).await.unwrap();
            }
        }
    })
}

async fn prepare(server: &ApiServer, namespace: &str) -> Client {
    server.namespace(namespace).await.unwrap();
    server.client().await.unwrap()
}

async fn submit(client: &Client, namespace: &str, changes: &[(&str, Value)]) -> CurriculumJob {
    let changes: BTreeMap<_, _> = changes
        .iter()
        .map(|(path, value)| ((*path).to_owned(), value.clone()))
        .collect();
    let job: CurriculumJob = serde_json::from_value(changed(&changes)).unwrap();
    Api::namespaced(client.clone(), namespace)
        .create(&PostParams::default(), &job)
        .await
        .unwrap()
}

fn holds(type_: &'static str, reason: &'static str) -> impl Condition<CurriculumJob> {
    move |job: Option<&CurriculumJob>| {
        let conditions = job
            .and_then(|job| job.status.as_ref())
            .map(|status| status.conditions.as_slice());
        conditions
            .unwrap_or_default()
            .iter()
            .any(|c| c.type_ == type_ && c.reason == reason && c.status == "True")
    }
}

async fn until(
    client: &Client,
    namespace: &str,
    name: &str,
    condition: impl Condition<CurriculumJob>,
) -> CurriculumJob {
    let api: Api<CurriculumJob> = Api::namespaced(client.clone(), namespace);
    let waiting = tokio::time::timeout(LIMIT, await_condition(api.clone(), name, condition)).await;
    match waiting {
        Ok(found) => found.unwrap().unwrap(),
        Err(_) => panic!("not within {LIMIT:?}: {:#?}", api.get(name).await.unwrap().status),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_without_failures_succeeds_within_its_budget_and_then_writes_nothing() {
    let server = ApiServer::shared().await.unwrap();
    let namespace = "controller-budget";
    let client = prepare(&server, namespace).await;
    let operator = Operator::start(&client, namespace);
    let _cluster = play_cluster(&client, namespace, |_| true);
    let job = submit(&client, namespace, &[]).await;
    let phases = job.spec.curriculum.phases.len();
    let job = until(&client, namespace, &job.name_any(), holds("Succeeded", "Completed")).await;

    let status = job.status.as_ref().unwrap();
    assert_eq!(status.visits.len(), phases);
    assert_eq!(status.observed_generation, job.metadata.generation.unwrap());
    assert_eq!(status.metrics[0].value, "0.5");
    let snapshots: Api<CurriculumSnapshot> = Api::namespaced(client.clone(), namespace);
    let snapshots = snapshots.list(&ListParams::default()).await.unwrap().items;
    assert_eq!(snapshots.len(), phases);

    // The event is the last write. An edit makes the controller look again; that it has looked is seen in the status.
    let api: Api<CurriculumJob> = Api::namespaced(client.clone(), namespace);
    let edit = json!({"spec": {"ttlSecondsAfterFinished": 3600}});
    api.patch(&job.name_any(), &PatchParams::default(), &Patch::Merge(edit))
        .await
        .unwrap();
    let seen = |job: Option<&CurriculumJob>| {
        job.is_some_and(|job| job.status.as_ref().map(|status| status.observed_generation) == job.metadata.generation)
    };
    until(&client, namespace, &job.name_any(), seen).await;
    let budget = BUDGET + BUDGET_PER_PHASE * u64::try_from(phases).unwrap();
    let writes = operator.writes();
    assert!(
        writes <= budget + 1,
        "{writes} writes, {budget} and one for the edit are allowed"
    );

    let reconciles = operator.metric("curriculum_reconcile_total");
    let edit = json!({"metadata": {"labels": {"looked": "at"}}});
    api.patch(&job.name_any(), &PatchParams::default(), &Patch::Merge(edit))
        .await
        .unwrap();
    tokio::time::timeout(LIMIT, async {
        while operator.metric("curriculum_reconcile_total") == reconciles {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("another reconcile");
    assert_eq!(operator.writes(), writes, "nothing to do, nothing written");
    assert_eq!(operator.metric("curriculum_reconcile_errors_total"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attempts_that_fail_are_retried_by_another_process_and_then_fail_the_run() {
    let server = ApiServer::shared().await.unwrap();
    let namespace = "controller-retry";
    let client = prepare(&server, namespace).await;
    let operator = Operator::start(&client, namespace);
    let _cluster = play_cluster(&client, namespace, |job| job.labels()[LABEL_COMPONENT] != "train");
    let job = submit(&client, namespace, &[("/spec/training/backoffLimit", json!(1))]).await;
    let failed_once = |job: Option<&CurriculumJob>| {
        let current = job.and_then(|job| job.status.as_ref()?.current_visit.as_ref());
        current.is_some_and(|current| current.failures == 1)
    };
    until(&client, namespace, &job.name_any(), failed_once).await;
    drop(operator);

    let _operator = Operator::start(&client, namespace);
    let job = until(
        &client,
        namespace,
        &job.name_any(),
        holds("Failed", "BackoffLimitExceeded"),
    )
    .await;
    let status = job.status.unwrap();
    assert_eq!(status.visits.last().unwrap().attempts, 2);
    let failed = status
        .conditions
        .iter()
        .find(|condition| condition.type_ == "Failed")
        .unwrap();
    assert!(
        failed.message.contains("exited with code 1: out of luck"),
        "{}",
        failed.message
    );
    let jobs: Api<Job> = Api::namespaced(client.clone(), namespace);
    let trained = jobs
        .list(&ListParams::default().labels(&format!("{LABEL_COMPONENT}=train")))
        .await
        .unwrap()
        .items;
    assert_eq!(trained.len(), 2, "one Job for each attempt");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strangers_object_is_named_and_left_alone() {
    let server = ApiServer::shared().await.unwrap();
    let namespace = "controller-stranger";
    let client = prepare(&server, namespace).await;
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let name = format!(
        "{}-scores",
        changed(&BTreeMap::new())["metadata"]["name"].as_str().unwrap()
    );
    let mine: ConfigMap = serde_json::from_value(json!({"metadata": {"name": name}, "data": {"mine": "yes"}})).unwrap();
    maps.create(&PostParams::default(), &mine).await.unwrap();

    let _operator = Operator::start(&client, namespace);
    let _cluster = play_cluster(&client, namespace, |_| true);
    let job = submit(&client, namespace, &[]).await;
    let blocked = |job: Option<&CurriculumJob>| {
        let conditions = job
            .and_then(|job| job.status.as_ref())
            .map(|status| status.conditions.as_slice());
        conditions
            .unwrap_or_default()
            .iter()
            .any(|c| c.type_ == "Ready" && c.status == "False" && c.reason == "NameConflict")
    };
    let job = until(&client, namespace, &job.name_any(), blocked).await;
    let found = maps.get(&name).await.unwrap();
    assert_eq!((found.data, found.metadata.owner_references), (mine.data, None));

    maps.delete(&name, &kube::api::DeleteParams::default()).await.unwrap();
    until(&client, namespace, &job.name_any(), holds("Succeeded", "Completed")).await;
}
