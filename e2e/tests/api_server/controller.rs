//! The whole controller against a real API server. Nobody runs pods here: the test is Job controller and kubelet, and
//! gives every Job the end that it wants.

use std::collections::BTreeMap;
use std::time::Duration;

use curriculum_operator::api::job::CurriculumJob;
use curriculum_operator::api::names::LABEL_COMPONENT;
use curriculum_operator::api::snapshot::CurriculumSnapshot;
use curriculum_operator::controller::build::{self, ANNOTATION_PLAN_DIGEST};
use curriculum_operator::controller::{Options, Readiness, Settings, run};
use e2e::api_server::ApiServer;
use futures::TryStreamExt;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, ServiceAccount};
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
    let (client, namespace) = (client.clone(), namespace.to_owned());
    let jobs: Api<Job> = Api::namespaced(client.clone(), &namespace);
    tokio::spawn(async move {
        let events = watcher(jobs.clone(), watcher::Config::default())
            .default_backoff()
            .applied_objects();
        events
            .try_for_each(|job| {
                let (client, namespace, jobs) = (client.clone(), namespace.clone(), jobs.clone());
                let well = end(&job);
                async move {
                    let over = job.status.as_ref().is_some_and(|status| status.conditions.is_some());
                    if !over {
                        end_pod(&client, &namespace, &job, well).await;
                        let patch = Patch::Merge(json!({"status": job_status(&job, well)}));
                        jobs.patch_status(&job.name_any(), &PatchParams::default(), &patch)
                            .await
                            .unwrap();
                    }
                    Ok(())
                }
            })
            .await
            .unwrap();
    })
}

fn job_status(job: &Job, well: bool) -> Value {
    let now = "2030-01-01T00:00:00Z";
    let condition = |name: &str, reason: &str| json!({"type": name, "status": "True", "reason": reason, "message": reason, "lastTransitionTime": now, "lastProbeTime": now});
    let counts = json!({"startTime": now, "ready": 0, "terminating": 0, "uncountedTerminatedPods": {}});
    let mut status = if well {
        json!({"succeeded": 1, "completionTime": now, "conditions": [
            condition("SuccessCriteriaMet", "CompletionsReached"), condition("Complete", "CompletionsReached")]})
    } else {
        json!({"failed": 1, "conditions": [
            condition("FailureTarget", "BackoffLimitExceeded"), condition("Failed", "BackoffLimitExceeded")]})
    };
    json_patch::merge(&mut status, &counts);
    if well && job.spec.as_ref().unwrap().completion_mode.as_deref() == Some("Indexed") {
        status["completedIndexes"] = json!("0");
    }
    status
}

async fn end_pod(client: &Client, namespace: &str, job: &Job, well: bool) {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let template = job.spec.as_ref().unwrap().template.clone();
    let mut metadata = template.metadata.unwrap_or_default();
    metadata.name = Some(format!("{}-pod", job.name_any()));
    let labels = metadata.labels.get_or_insert_default();
    labels.insert("batch.kubernetes.io/job-name".to_owned(), job.name_any());
    let mut owner = json!({"apiVersion": "batch/v1", "kind": "Job", "name": job.name_any(), "controller": true});
    owner["uid"] = json!(job.uid());
    metadata.owner_references = Some(vec![serde_json::from_value(owner).unwrap()]);
    let pod = Pod {
        metadata,
        spec: template.spec,
        status: None,
    };
    let pod = pods.create(&PostParams::default(), &pod).await.unwrap();
    let (container, message) = last_words(client, namespace, job).await;
    let state = json!({"terminated": {"exitCode": i32::from(!well), "message": if well { message } else { "out of luck".to_owned() }}});
    let status =
        json!({"name": container, "image": "x", "imageID": "x", "ready": false, "restartCount": 0, "state": state});
    let phase = if well { "Succeeded" } else { "Failed" };
    let statuses = if container == "sampler" {
        "initContainerStatuses"
    } else {
        "containerStatuses"
    };
    let patch = json!({"status": {"phase": phase, statuses: [status]}});
    pods.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(patch))
        .await
        .unwrap();
}

/// Which container says what at the end of a pod that ends well.
async fn last_words(client: &Client, namespace: &str, job: &Job) -> (String, String) {
    let owner = job.owner_references()[0].name.clone();
    let cjob = Api::<CurriculumJob>::namespaced(client.clone(), namespace)
        .get(&owner)
        .await
        .unwrap();
    let component = job.labels()[LABEL_COMPONENT].clone();
    match component.as_str() {
        "inspect" => (component, json!({"inspected": {"rows": 100}}).to_string()),
        "index" => {
            let digest = format!("sha256:{}", "a".repeat(64));
            let summary = json!({"key": build::task(&cjob).key, "digest": digest, "rows": 100, "scoredRows": 100, "quantiles": []});
            (component, json!({"indexed": summary}).to_string())
        }
        "train" => {
            let current = cjob.status.unwrap().current_visit.unwrap();
            let phase = current.phase_index;
            let plan = job.name_any().replace("-train-", "-plan-");
            let plan = Api::<ConfigMap>::namespaced(client.clone(), namespace)
                .get(&plan)
                .await
                .unwrap();
            let result = json!({
                "planDigest": plan.annotations()[ANNOTATION_PLAN_DIGEST], "phaseIndex": phase, "startStep": current.start_step,
                "endStep": current.end_step, "servedStep": current.end_step, "source": "Index",
                "metrics": {"val_accuracy": {"value": 0.5, "step": current.end_step}},
            });
            ("sampler".to_owned(), result.to_string())
        }
        _ => (component, String::new()),
    }
}

async fn prepare(server: &ApiServer, namespace: &str) -> Client {
    server.namespace(namespace).await.unwrap();
    let client = server.client().await.unwrap();
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let account: ServiceAccount = serde_json::from_value(json!({"metadata": {"name": "default"}})).unwrap();
    accounts.create(&PostParams::default(), &account).await.unwrap();
    client
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
