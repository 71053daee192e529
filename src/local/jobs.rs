//! Runs the Jobs of a run, as the Job controller does: as many pods as are asked for, again after a failure, and what became of it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream;
use k8s_openapi::api::batch::v1::{Job, JobCondition, JobSpec};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use kube::ResourceExt;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::error::LocalError;
use super::pod::{COMPLETION_INDEX, Host};
use super::process::{self, Stop, exit_code};
use crate::controller::evidence::{self, is_live};

/// Wait before the second pod of a Job; it doubles with every failure.
const RETRY: Duration = Duration::from_secs(1);
/// Longest such wait.
const RETRY_CAP: Duration = Duration::from_secs(60);

/// The Jobs that run.
pub(super) struct Jobs {
    host: Arc<Host>,
    running: HashMap<String, Running>,
    problems: mpsc::UnboundedSender<LocalError>,
}

struct Running {
    stop: Stop,
    task: JoinHandle<()>,
}

impl Jobs {
    /// Nothing runs yet; `problems` are told what keeps a pod from being started at all.
    pub(super) fn new(host: Arc<Host>, problems: mpsc::UnboundedSender<LocalError>) -> Self {
        Self {
            host,
            running: HashMap::new(),
            problems,
        }
    }

    /// Starts the Jobs that are to run and do not, and stops those that are to run no more.
    pub(super) fn follow(&mut self) {
        self.running.retain(|_, running| !running.task.is_finished());
        let wanted: Vec<Job> = self.host.cluster.read(|world| {
            let jobs = world.jobs.values().filter(|job| is_live(job) && !is_held(job));
            jobs.cloned().collect()
        });
        for (uid, running) in &self.running {
            if wanted.iter().all(|job| job.uid().as_ref() != Some(uid)) {
                running.stop.ask();
            }
        }
        for job in wanted {
            let uid = job.uid().unwrap_or_default();
            // One that is being stopped has to end before it may begin again.
            if self.running.contains_key(&uid) {
                continue;
            }
            let stop = Stop::default();
            let task = run(Arc::clone(&self.host), job, stop.clone(), self.problems.clone());
            let task = tokio::spawn(task);
            self.running.insert(uid, Running { stop, task });
        }
    }

    /// Whether a pod may still run.
    pub(super) fn are_at_work(&self) -> bool {
        self.running.values().any(|running| !running.task.is_finished())
    }

    /// Stops everything and waits for its end.
    pub(super) async fn stop(self) {
        for running in self.running.values() {
            running.stop.ask();
        }
        for running in self.running.into_values() {
            // A panic of the task is as good as its end.
            let _ = running.task.await;
        }
    }
}

fn is_held(job: &Job) -> bool {
    job.spec.as_ref().and_then(|spec| spec.suspend) == Some(true)
}

/// What became of a Job, or of one of its indexes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum End {
    Complete,
    Failed {
        reason: &'static str,
        message: String,
    },
    /// It was told to stop.
    Stopped,
}

async fn run(host: Arc<Host>, mut job: Job, stop: Stop, problems: mpsc::UnboundedSender<LocalError>) {
    let uid = job.uid().unwrap_or_default();
    let status = job.status.get_or_insert_default();
    status.start_time = Some(Time(process::now()));
    host.cluster.put_job(&job);
    let deadline = job.spec.as_ref().and_then(|spec| spec.active_deadline_seconds);
    let all = run_pods(&host, &job, &stop);
    let end = match deadline.and_then(|seconds| u64::try_from(seconds).ok()) {
        None => all.await,
        Some(seconds) => {
            tokio::pin!(all);
            tokio::select! {
                end = &mut all => end,
                () = tokio::time::sleep(Duration::from_secs(seconds)) => {
                    stop.ask();
                    all.await.map(|_| End::Failed {
                        reason: "DeadlineExceeded",
                        message: "Job was active longer than specified deadline".to_owned(),
                    })
                }
            }
        }
    };
    match end {
        Err(problem) => {
            // Nobody listens any more when the run is about to end.
            let _ = problems.send(problem);
            host.cluster.remove_pods(&uid);
        }
        // Its pods go with it: what they did not finish counts for nothing.
        Ok(End::Stopped) => host.cluster.remove_pods(&uid),
        Ok(End::Complete) => finish(&host, job, "Complete", "CompletionsReached", String::new()),
        Ok(End::Failed { reason, message }) => finish(&host, job, "Failed", reason, message),
    }
}

fn finish(host: &Host, mut job: Job, condition: &str, reason: &str, message: String) {
    let now = Time(process::now());
    let status = job.status.get_or_insert_default();
    status.conditions = Some(vec![JobCondition {
        type_: condition.to_owned(),
        status: "True".to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message),
        last_transition_time: Some(now.clone()),
        ..JobCondition::default()
    }]);
    if condition == "Complete" {
        status.completion_time = Some(now);
        status.succeeded = job.spec.as_ref().and_then(|spec| spec.completions).or(Some(1));
    }
    host.cluster.put_job(&job);
}

/// Runs the pods of all indexes, a few at a time. The first one that fails for good stops the others.
async fn run_pods(host: &Host, job: &Job, stop: &Stop) -> Result<End, LocalError> {
    let spec = job.spec.clone().unwrap_or_default();
    let indexes: Vec<Option<i32>> = match spec.completion_mode.as_deref() {
        Some("Indexed") => (0..spec.completions.unwrap_or(1)).map(Some).collect(),
        _ => vec![None],
    };
    let at_once = usize::try_from(spec.parallelism.unwrap_or(1)).unwrap_or(1).max(1);
    let mut ends = stream::iter(indexes)
        .map(|index| run_index(host, job, &spec, index, stop))
        .buffer_unordered(at_once);
    let mut succeeded = 0;
    let mut worst = None;
    while let Some(end) = ends.next().await {
        if matches!(end, Ok(End::Complete)) {
            succeeded += 1;
            let mut job = job.clone();
            job.status.get_or_insert_default().succeeded = Some(succeeded);
            host.cluster.put_job(&job);
        } else if worst.is_none() {
            stop.ask();
            worst = Some(end);
        }
    }
    worst.unwrap_or(Ok(End::Complete))
}

async fn run_index(host: &Host, job: &Job, spec: &JobSpec, index: Option<i32>, stop: &Stop) -> Result<End, LocalError> {
    let retries = match index {
        Some(_) => spec.backoff_limit_per_index.or(spec.backoff_limit),
        None => spec.backoff_limit,
    };
    let mut wait = RETRY;
    for attempt in 0..=retries.unwrap_or(6).max(0) {
        if stop.is_asked() {
            return Ok(End::Stopped);
        }
        let pod = host.run(new_pod(job, spec, index, attempt), stop).await?;
        if stop.is_asked() {
            return Ok(End::Stopped);
        }
        if evidence::phase(&pod) == Some("Succeeded") {
            return Ok(End::Complete);
        }
        if let Some(message) = hopeless(spec, &pod) {
            let reason = "PodFailurePolicy";
            return Ok(End::Failed { reason, message });
        }
        if attempt < retries.unwrap_or(6) {
            stop.asked_within(wait).await;
            wait = (wait * 2).min(RETRY_CAP);
        }
    }
    Ok(match index {
        Some(_) => End::Failed {
            reason: "MaxFailedIndexesExceeded",
            message: "Job has exceeded the specified maximal number of failed indexes".to_owned(),
        },
        None => End::Failed {
            reason: "BackoffLimitExceeded",
            message: "Job has reached the specified backoff limit".to_owned(),
        },
    })
}

/// Why another pod cannot help, by the exit codes of the Job's failure policy.
fn hopeless(spec: &JobSpec, pod: &Pod) -> Option<String> {
    let policy = spec.pod_failure_policy.as_ref()?;
    let rules = policy.rules.iter().filter(|rule| rule.action == "FailJob");
    rules.filter_map(|rule| rule.on_exit_codes.as_ref()).find_map(|rule| {
        let named = |name: &str| rule.container_name.as_ref().is_none_or(|wanted| wanted == name);
        let status =
            evidence::statuses(pod).find(|status| named(&status.name) && rule.values.contains(&exit_code(status)))?;
        let (name, code) = (&status.name, exit_code(status));
        Some(format!(
            "Container {name} for pod {} failed with exit code {code}",
            pod.name_any()
        ))
    })
}

fn new_pod(job: &Job, spec: &JobSpec, index: Option<i32>, attempt: i32) -> Pod {
    let template = spec.template.clone();
    let mut name = job.name_any();
    let mut metadata = template.metadata.unwrap_or_default();
    if let Some(index) = index {
        name += &format!("-{index}");
        let annotations = metadata.annotations.get_or_insert_default();
        annotations.insert(COMPLETION_INDEX.to_owned(), index.to_string());
    }
    if attempt > 0 {
        name += &format!(".{attempt}");
    }
    let labels = metadata.labels.get_or_insert_default();
    labels.insert("batch.kubernetes.io/job-name".to_owned(), job.name_any());
    Pod {
        metadata: ObjectMeta {
            uid: Some(format!("{}.{}", job.uid().unwrap_or_default(), name)),
            name: Some(name),
            namespace: job.namespace(),
            owner_references: Some(vec![OwnerReference {
                api_version: "batch/v1".to_owned(),
                kind: "Job".to_owned(),
                name: job.name_any(),
                uid: job.uid().unwrap_or_default(),
                controller: Some(true),
                block_owner_deletion: Some(true),
            }]),
            creation_timestamp: Some(Time(process::now())),
            ..metadata
        },
        spec: template.spec,
        status: None,
    }
}
