//! What a Job controller and a kubelet write about a Job, on an API server without either: a pod, its end, the Job's end.

use curriculum_operator::api::job::CurriculumJob;
use curriculum_operator::api::names::LABEL_COMPONENT;
use curriculum_operator::controller::build::{self, ANNOTATION_PLAN_DIGEST};
use curriculum_operator::controller::validate::validate;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use crate::Result;

const NOW: &str = "2030-01-01T00:00:00Z";

/// The Jobs of one namespace.
#[derive(Clone)]
pub struct PlayedJobs {
    jobs: Api<Job>,
    pods: Api<Pod>,
}

/// What the container that matters writes to its termination log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastWords {
    /// Name of the container; `sampler` is an init container, as every sidecar.
    pub container: String,
    /// Its message.
    pub message: String,
}

/// A condition that a Job has.
pub fn condition(name: &str, reason: &str) -> Value {
    json!({"type": name, "status": "True", "reason": reason, "message": reason,
        "lastTransitionTime": NOW, "lastProbeTime": NOW})
}

/// Whether the Job has ended.
pub fn has_ended(job: &Job) -> bool {
    let conditions = job.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions
        .filter(|condition| condition.status == "True")
        .any(|condition| ["Complete", "Failed"].contains(&condition.type_.as_str()))
}

/// Which part of a run the Job is.
pub fn component(job: &Job) -> &str {
    job.labels().get(LABEL_COMPONENT).map_or("", String::as_str)
}

/// What is gone or done already is as it should be.
///
/// # Errors
/// Any other that the API server answered.
pub fn lenient<T>(answer: kube::Result<T>) -> Result {
    match answer {
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(()),
        answer => Ok(answer.map(drop)?),
    }
}

fn pod_of(job: &Job) -> String {
    format!("{}-pod", job.name_any())
}

impl PlayedJobs {
    /// Those of that namespace.
    pub fn new(client: &Client, namespace: &str) -> Self {
        Self {
            jobs: Api::namespaced(client.clone(), namespace),
            pods: Api::namespaced(client.clone(), namespace),
        }
    }

    /// The Job runs: one pod, which is ready.
    ///
    /// # Errors
    /// When a request fails.
    pub async fn runs(&self, job: &Job) -> Result {
        self.pod(job, &json!({"phase": "Running"})).await?;
        self.set(job, &json!({"active": 1, "ready": 1, "startTime": NOW})).await
    }

    /// The Job is suspended, and its pod is gone.
    ///
    /// # Errors
    /// When a request fails.
    pub async fn is_suspended(&self, job: &Job) -> Result {
        self.gone(job).await?;
        let conditions = [condition("Suspended", "JobSuspended")];
        let status = json!({"active": 0, "ready": 0, "startTime": null, "conditions": conditions});
        self.set(job, &status).await
    }

    /// Its pod goes.
    ///
    /// # Errors
    /// When the request fails.
    pub async fn gone(&self, job: &Job) -> Result {
        let at_once = DeleteParams::default().grace_period(0);
        lenient(self.pods.delete(&pod_of(job), &at_once).await)
    }

    /// Its pod says its last words, and the Job is complete.
    ///
    /// # Errors
    /// When a request fails.
    pub async fn completes(&self, job: &Job, words: &LastWords) -> Result {
        self.pod_ends(job, words, true).await?;
        let conditions = ["SuccessCriteriaMet", "Complete"].map(|name| condition(name, "CompletionsReached"));
        let mut status = json!({"succeeded": 1, "completionTime": NOW, "conditions": conditions});
        if job.spec.as_ref().and_then(|spec| spec.completion_mode.as_deref()) == Some("Indexed") {
            status["completedIndexes"] = json!("0");
        }
        self.ends(job, status).await
    }

    /// Its pod fails in that container, and the Job with it.
    ///
    /// # Errors
    /// When a request fails.
    pub async fn fails(&self, job: &Job, container: &str) -> Result {
        let words = LastWords {
            container: container.to_owned(),
            message: "out of luck".to_owned(),
        };
        self.pod_ends(job, &words, false).await?;
        let conditions = ["FailureTarget", "Failed"].map(|name| condition(name, "BackoffLimitExceeded"));
        self.ends(job, json!({"failed": 1, "conditions": conditions})).await
    }

    async fn ends(&self, job: &Job, mut status: Value) -> Result {
        let counts =
            json!({"active": 0, "startTime": NOW, "ready": 0, "terminating": 0, "uncountedTerminatedPods": {}});
        json_patch::merge(&mut status, &counts);
        self.set(job, &status).await
    }

    async fn set(&self, job: &Job, status: &Value) -> Result {
        let patch = Patch::Merge(json!({"metadata": {"uid": job.uid()}, "status": status}));
        let answer = self
            .jobs
            .patch_status(&job.name_any(), &PatchParams::default(), &patch)
            .await;
        lenient(answer)
    }

    async fn pod_ends(&self, job: &Job, words: &LastWords, well: bool) -> Result {
        let state = json!({"terminated": {"exitCode": i32::from(!well), "message": words.message}});
        let container = json!({"name": words.container, "image": "x", "imageID": "x", "ready": false,
            "restartCount": 0, "state": state});
        let list = match words.container.as_str() {
            "sampler" => "initContainerStatuses",
            _ => "containerStatuses",
        };
        let phase = if well { "Succeeded" } else { "Failed" };
        self.pod(job, &json!({"phase": phase, list: [container]})).await
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
        let answer = self
            .pods
            .patch_status(&pod_of(job), &PatchParams::default(), &patch)
            .await;
        lenient(answer)
    }
}

/// What a pod of an operator's Job says at its end when all is well, over a data set of 100 rows; the sampler served what the plan
/// asks for, from the index or, without one, uniformly.
///
/// # Errors
/// When the Job's run or its plan cannot be read.
pub async fn last_words(client: &Client, job: &Job, uniform: bool) -> Result<LastWords> {
    let namespace = job.namespace().ok_or("a namespace")?;
    let owner = job.owner_references().first().ok_or("an owner")?.name.clone();
    let run = Api::<CurriculumJob>::namespaced(client.clone(), &namespace)
        .get(&owner)
        .await?;
    let (container, message) = match component(job) {
        "inspect" => ("inspect", json!({"inspected": {"rows": 100}})),
        "index" => {
            let digest = format!("sha256:{}", "a".repeat(64));
            let run = validate(&run).map_err(|failure| failure.message)?;
            let index = json!({"key": build::task(&run).key, "digest": digest, "rows": 100, "scoredRows": 100,
                "quantiles": []});
            ("index", json!({"indexed": index}))
        }
        "train" => {
            let visit = run.status.and_then(|status| status.current_visit).ok_or("a visit")?;
            let plans: Api<ConfigMap> = Api::namespaced(client.clone(), &namespace);
            let plan = plans.get(&job.name_any().replace("-train-", "-plan-")).await?;
            let result = json!({
                "planDigest": plan.annotations().get(ANNOTATION_PLAN_DIGEST), "phaseIndex": visit.phase_index,
                "startStep": visit.start_step, "endStep": visit.end_step, "servedStep": visit.end_step,
                "source": if uniform { "Uniform" } else { "Index" },
                "metrics": {"val_accuracy": {"value": 0.5, "step": visit.end_step}},
            });
            ("sampler", result)
        }
        other => {
            return Ok(LastWords {
                container: other.to_owned(),
                message: String::new(),
            });
        }
    };
    Ok(LastWords {
        container: container.to_owned(),
        message: message.to_string(),
    })
}
