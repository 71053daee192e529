//! Job controller, kubelet and user of one namespace. Every run that it plays has a failed attempt and a suspension; scoring
//! succeeds or fails.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use curriculum_operator::api::conditions::ConditionType;
use curriculum_operator::api::job::CurriculumJob;
use curriculum_operator::api::names::{LABEL_COMPONENT, LABEL_VISIT};
use curriculum_operator::controller::build::{self, ANNOTATION_PLAN_DIGEST};
use e2e::{Result, wait};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use tokio::task::JoinSet;

const NOW: &str = "2030-01-01T00:00:00Z";

/// What happens to the run of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Story {
    /// Scored; the first attempt fails; suspended in the second one.
    Scored,
    /// The scorer fails; the rest as before.
    Fallback,
    /// Nothing goes wrong.
    Plain,
}

/// Names of the Jobs that were made, each with the UIDs that it has had.
pub(crate) type Made = BTreeMap<String, BTreeSet<String>>;

/// Ends when it is dropped.
pub(crate) struct Player {
    made: Arc<Mutex<Made>>,
    _task: JoinSet<()>,
}

impl Player {
    pub(crate) fn start(client: &Client, namespace: &str, story: Story) -> Self {
        let made = Arc::<Mutex<Made>>::default();
        let mut stage = Stage {
            jobs: Api::namespaced(client.clone(), namespace),
            pods: Api::namespaced(client.clone(), namespace),
            runs: Api::namespaced(client.clone(), namespace),
            plans: Api::namespaced(client.clone(), namespace),
            story,
            made: Arc::clone(&made),
            held: BTreeMap::new(),
        };
        let mut task = JoinSet::new();
        task.spawn(async move {
            let jobs =
                watcher(stage.jobs.clone(), watcher::Config::default()).map_ok(|event| Seen::Job(Box::new(event)));
            let runs = watcher(stage.runs.clone(), watcher::Config::default())
                .applied_objects()
                .map_ok(|run| Seen::Run(Box::new(run)));
            let mut events = stream::select(jobs.boxed(), runs.boxed());
            while let Some(event) = events.next().await {
                let result = match event {
                    Ok(Seen::Job(event)) => match *event {
                        Event::Apply(job) | Event::InitApply(job) => stage.job(&job).await,
                        Event::Delete(job) => stage.gone(&job).await,
                        Event::Init | Event::InitDone => Ok(()),
                    },
                    Ok(Seen::Run(run)) => stage.run(&run).await,
                    Err(error) => Err(error.into()),
                };
                if let Err(error) = result {
                    eprintln!("the player of the cluster: {error}");
                }
            }
        });
        Self { made, _task: task }
    }

    /// The Jobs that were made until now.
    pub(crate) fn made(&self) -> Made {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

enum Seen {
    Job(Box<Event<Job>>),
    Run(Box<CurriculumJob>),
}

/// What becomes of a Job.
enum End {
    Well,
    Badly,
    /// It runs until the user has suspended it and lets it go on.
    Held,
}

/// A Job that is held.
#[derive(PartialEq, Eq)]
enum Held {
    Running,
    Suspended,
}

struct Stage {
    jobs: Api<Job>,
    pods: Api<Pod>,
    runs: Api<CurriculumJob>,
    plans: Api<ConfigMap>,
    story: Story,
    made: Arc<Mutex<Made>>,
    held: BTreeMap<String, Held>,
}

/// What is gone or done already is as it should be.
fn lenient<T>(answer: kube::Result<T>) -> Result {
    match answer {
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(()),
        answer => Ok(answer.map(drop)?),
    }
}

fn component(job: &Job) -> &str {
    job.labels().get(LABEL_COMPONENT).map_or("", String::as_str)
}

fn pod_of(job: &Job) -> String {
    format!("{}-pod", job.name_any())
}

impl Stage {
    fn end(&self, job: &Job) -> End {
        let visit = job.labels().get(LABEL_VISIT).map_or("", String::as_str);
        match (self.story, component(job), visit) {
            (Story::Plain, ..) => End::Well,
            (Story::Fallback, "score", _) | (_, "train", "0") => End::Badly,
            (_, "train", "1") => End::Held,
            _ => End::Well,
        }
    }

    async fn job(&mut self, job: &Job) -> Result {
        let uid = job.uid().unwrap_or_default();
        {
            let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
            made.entry(job.name_any()).or_default().insert(uid.clone());
        }
        let conditions = job.status.iter().flat_map(|status| status.conditions.iter().flatten());
        let is_over = conditions
            .filter(|condition| condition.status == "True")
            .any(|condition| ["Complete", "Failed"].contains(&condition.type_.as_str()));
        if is_over {
            return Ok(());
        }
        let is_suspended = job.spec.as_ref().is_some_and(|spec| spec.suspend == Some(true));
        let held = self.held.get(&uid);
        if is_suspended {
            if held != Some(&Held::Suspended) {
                self.held.insert(uid, Held::Suspended);
                self.gone(job).await?;
                let condition = json!({"type": "Suspended", "status": "True", "reason": "JobSuspended",
                    "message": "", "lastTransitionTime": NOW, "lastProbeTime": NOW});
                let status = json!({"active": 0, "ready": 0, "startTime": null, "conditions": [condition]});
                self.set(job, &status).await?;
            }
            return Ok(());
        }
        match (self.end(job), held) {
            (End::Held, None) => {
                self.held.insert(uid, Held::Running);
                self.pod(job, &json!({"phase": "Running"})).await?;
                self.set(job, &json!({"active": 1, "ready": 1, "startTime": NOW}))
                    .await?;
                self.suspend(job, true).await
            }
            (End::Held, Some(Held::Running)) => Ok(()),
            (End::Well | End::Held, _) => self.ends(job, true).await,
            (End::Badly, _) => self.ends(job, false).await,
        }
    }

    /// The user lets the run go on once it says that it is suspended.
    async fn run(&mut self, run: &CurriculumJob) -> Result {
        if run.spec.suspend && wait::is_true(run, ConditionType::Suspended) {
            let patch = Patch::Merge(json!({"spec": {"suspend": false}}));
            lenient(self.runs.patch(&run.name_any(), &PatchParams::default(), &patch).await)?;
        }
        Ok(())
    }

    async fn suspend(&self, job: &Job, suspend: bool) -> Result {
        let Some(owner) = job.owner_references().first() else {
            return Ok(());
        };
        let patch = Patch::Merge(json!({"spec": {"suspend": suspend}}));
        lenient(self.runs.patch(&owner.name, &PatchParams::default(), &patch).await)
    }

    async fn gone(&self, job: &Job) -> Result {
        lenient(
            self.pods
                .delete(&pod_of(job), &DeleteParams::default().grace_period(0))
                .await,
        )
    }

    async fn set(&self, job: &Job, status: &Value) -> Result {
        let patch = Patch::Merge(json!({"metadata": {"uid": job.uid()}, "status": status}));
        lenient(
            self.jobs
                .patch_status(&job.name_any(), &PatchParams::default(), &patch)
                .await,
        )
    }

    async fn pod(&self, job: &Job, status: &Value) -> Result {
        let template = job.spec.as_ref().ok_or("a spec")?.template.clone();
        let mut metadata = template.metadata.unwrap_or_default();
        metadata.name = Some(pod_of(job));
        let labels = metadata.labels.get_or_insert_default();
        labels.insert("batch.kubernetes.io/job-name".to_owned(), job.name_any());
        let owner = json!({"apiVersion": "batch/v1", "kind": "Job", "name": job.name_any(), "controller": true,
            "uid": job.uid()});
        metadata.owner_references = Some(vec![serde_json::from_value(owner)?]);
        let pod = Pod {
            metadata,
            spec: template.spec,
            status: None,
        };
        lenient(self.pods.create(&PostParams::default(), &pod).await)?;
        let patch = Patch::Merge(json!({"status": status}));
        lenient(
            self.pods
                .patch_status(&pod_of(job), &PatchParams::default(), &patch)
                .await,
        )
    }

    async fn ends(&self, job: &Job, well: bool) -> Result {
        let (container, message) = self.last_words(job).await?;
        let message = if well { message } else { "out of luck".to_owned() };
        let state = json!({"terminated": {"exitCode": i32::from(!well), "message": message}});
        let container_status = json!({"name": container, "image": "x", "imageID": "x", "ready": false,
            "restartCount": 0, "state": state});
        let statuses = if container == "sampler" {
            "initContainerStatuses"
        } else {
            "containerStatuses"
        };
        let phase = if well { "Succeeded" } else { "Failed" };
        self.pod(job, &json!({"phase": phase, statuses: [container_status]}))
            .await?;
        let condition = |name: &str, reason: &str| {
            json!({"type": name, "status": "True", "reason": reason, "message": reason,
                "lastTransitionTime": NOW, "lastProbeTime": NOW})
        };
        let mut status = if well {
            json!({"succeeded": 1, "completionTime": NOW, "conditions": [
                condition("SuccessCriteriaMet", "CompletionsReached"), condition("Complete", "CompletionsReached")]})
        } else {
            json!({"failed": 1, "conditions": [
                condition("FailureTarget", "BackoffLimitExceeded"), condition("Failed", "BackoffLimitExceeded")]})
        };
        let counts =
            json!({"active": 0, "startTime": NOW, "ready": 0, "terminating": 0, "uncountedTerminatedPods": {}});
        json_patch::merge(&mut status, &counts);
        let indexed = job.spec.as_ref().and_then(|spec| spec.completion_mode.as_deref()) == Some("Indexed");
        if well && indexed {
            status["completedIndexes"] = json!("0");
        }
        self.set(job, &status).await
    }

    /// Which container says what at the end of a pod that ends well.
    async fn last_words(&self, job: &Job) -> Result<(String, String)> {
        let owner = job.owner_references().first().ok_or("an owner")?.name.clone();
        let run = self.runs.get(&owner).await?;
        let component = component(job).to_owned();
        let message = match component.as_str() {
            "inspect" => json!({"inspected": {"rows": 100}}),
            "index" => {
                let digest = format!("sha256:{}", "a".repeat(64));
                json!({"indexed": {"key": build::task(&run).key, "digest": digest, "rows": 100, "scoredRows": 100,
                    "quantiles": []}})
            }
            "train" => {
                let visit = run.status.and_then(|status| status.current_visit).ok_or("a visit")?;
                let plan = self.plans.get(&job.name_any().replace("-train-", "-plan-")).await?;
                let source = if self.story == Story::Fallback {
                    "Uniform"
                } else {
                    "Index"
                };
                let result = json!({
                    "planDigest": plan.annotations().get(ANNOTATION_PLAN_DIGEST), "phaseIndex": visit.phase_index,
                    "startStep": visit.start_step, "endStep": visit.end_step, "servedStep": visit.end_step,
                    "source": source, "metrics": {"val_accuracy": {"value": 0.5, "step": visit.end_step}},
                });
                return Ok(("sampler".to_owned(), result.to_string()));
            }
            _ => return Ok((component, String::new())),
        };
        Ok((component, message.to_string()))
    }
}
