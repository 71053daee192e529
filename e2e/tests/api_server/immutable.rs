//! What may change before a run has started, after it, and while it is suspended.

use std::sync::Arc;

use e2e::api_server::ApiServer;
use http::Method;
use kube::Client;
use serde_json::{Value, json};

use super::{base, send, server};

/// A job in a namespace of its own.
struct Job {
    _server: Arc<ApiServer>,
    client: Client,
    path: String,
}

impl Job {
    async fn create(namespace: &str, object: &Value) -> Self {
        let server = server().await;
        server.namespace(namespace).await.unwrap();
        let client = server.client().await.unwrap();
        send(
            &client,
            Method::POST,
            &format!("{namespace}/curriculumjobs"),
            "",
            object,
        )
        .await
        .unwrap();
        Self {
            _server: server,
            client,
            path: format!("{namespace}/curriculumjobs/column-score"),
        }
    }

    async fn start(&self) {
        let status = json!({"status": {"observedGeneration": 1, "startTime": "2026-11-20T08:00:00Z"}});
        send(
            &self.client,
            Method::PATCH,
            &format!("{}/status", self.path),
            "",
            &status,
        )
        .await
        .unwrap();
    }

    /// Would a merge patch of the spec be accepted?
    async fn would_take(&self, spec: &Value) -> Result<(), String> {
        let patch = json!({"spec": spec});
        send(&self.client, Method::PATCH, &self.path, "&dryRun=All", &patch)
            .await
            .map(|_| ())
    }

    async fn suspend(&self, suspend: bool) {
        send(
            &self.client,
            Method::PATCH,
            &self.path,
            "",
            &json!({"spec": {"suspend": suspend}}),
        )
        .await
        .unwrap();
    }
}

/// A change of each field that is frozen by the start, among them one that only adds and one that only removes.
fn frozen() -> Vec<(&'static str, Value)> {
    vec![
        ("seed", json!({"seed": 7})),
        ("dataset", json!({"dataset": {"revision": "2"}})),
        ("dataset", json!({"dataset": {"groupColumn": null}})),
        ("scoring", json!({"scoring": {"onFailure": "Fail"}})),
        (
            "scoring",
            json!({"scoring": {"scorers": [{"name": "other", "column": {"column": "difficulty"}}]}}),
        ),
        ("store", json!({"store": {"claimName": "shared"}})),
        ("curriculum", json!({"curriculum": {"batchSize": 65}})),
    ]
}

fn training() -> Vec<Value> {
    vec![
        json!({"training": {"backoffLimit": 9}}),
        json!({"training": {"template": {"spec": {"containers": [{"name": "trainer", "image": "example.com/trainer:2"}]}}}}),
        json!({"training": {"template": {"metadata": {"labels": {"a": "b"}}}}}),
    ]
}

fn always_free() -> Vec<Value> {
    vec![
        json!({"suspend": true}),
        json!({"ttlSecondsAfterFinished": 60}),
        json!({"snapshots": {"keep": 3}}),
    ]
}

fn with_group() -> Value {
    let mut object = base();
    object["spec"]["dataset"]["groupColumn"] = json!("label");
    object
}

#[tokio::test]
async fn before_the_start_everything_may_change() {
    let job = Job::create("before-start", &with_group()).await;
    for change in frozen()
        .into_iter()
        .map(|(_, change)| change)
        .chain(training())
        .chain(always_free())
    {
        job.would_take(&change)
            .await
            .unwrap_or_else(|message| panic!("{change}: {message}"));
    }
}

#[tokio::test]
async fn after_the_start_the_curriculum_is_frozen_and_training_too_unless_suspended() {
    let job = Job::create("after-start", &with_group()).await;
    job.start().await;
    for change in always_free() {
        job.would_take(&change)
            .await
            .unwrap_or_else(|message| panic!("{change}: {message}"));
    }
    for change in training() {
        let message = job.would_take(&change).await.expect_err(&change.to_string());
        assert!(message.contains("spec.training: Invalid value"), "{message}");
        assert!(
            message.contains("may be changed only while `suspend` is true; set `suspend` to true first"),
            "{message}"
        );
        // A queue stops a run and gives its template back in one request.
        let mut both = change.clone();
        both["suspend"] = json!(true);
        job.would_take(&both)
            .await
            .unwrap_or_else(|message| panic!("{both}: {message}"));
    }
    refuses_frozen(&job).await;

    job.suspend(true).await;
    for change in training().into_iter().chain(always_free()) {
        job.would_take(&change)
            .await
            .unwrap_or_else(|message| panic!("{change}: {message}"));
    }
    refuses_frozen(&job).await;

    job.suspend(false).await;
    job.would_take(&training()[0]).await.expect_err("the run goes on");
}

async fn refuses_frozen(job: &Job) {
    for (field, change) in frozen() {
        let message = job.would_take(&change).await.expect_err(&change.to_string());
        assert!(message.contains(&format!("spec.{field}: Invalid value")), "{message}");
        assert!(
            message.contains(&format!("`{field}` must not be changed once the run has started")),
            "{message}"
        );
        assert!(
            message.contains("`suspend`, `ttlSecondsAfterFinished` and `snapshots` may be changed at any time"),
            "{message}"
        );
        assert!(message.contains("`training` while `suspend` is true"), "{message}");
    }
}

/// The rules must stay within the API server's cost limits for the largest objects, or such a job could never change again.
#[tokio::test]
async fn the_largest_job_can_still_be_suspended() {
    let env = |count: usize, bytes: usize| -> Vec<Value> {
        (0..count)
            .map(|i| json!({"name": format!("VARIABLE_{i}"), "value": "x".repeat(bytes)}))
            .collect()
    };
    let mut object = base();
    let container = |i: usize| json!({"name": format!("c{i}"), "image": "example.com/c", "env": env(128, 100)});
    object["spec"]["training"]["template"]["spec"]["containers"] = (0..32).map(container).collect();
    let scorer = |i: usize| json!({"name": format!("s{i}"), "container": {"image": "example.com/s", "command": ["score"], "env": env(256, 200)}});
    object["spec"]["scoring"]["scorers"] = (0..8).map(scorer).collect();
    let phase = |i: usize| {
        json!({"name": format!("p{i}"), "pool": {"pacing": {"function": "Linear", "from": "0.1", "to": "0.9"}},
            "duration": {"steps": 10}, "replay": if i == 0 { "0" } else { "0.1" }})
    };
    object["spec"]["curriculum"]["phases"] = (0..32).map(phase).collect();
    assert!(
        object.to_string().len() > 900_000,
        "etcd takes 1.5 MB: {}",
        object.to_string().len()
    );
    let job = Job::create("largest", &object).await;
    job.start().await;
    job.suspend(true).await;
    refuses(&job, &json!({"seed": 1})).await;
    job.would_take(&json!({"training": {"backoffLimit": 1}})).await.unwrap();
}

async fn refuses(job: &Job, change: &Value) {
    let message = job.would_take(change).await.expect_err("frozen");
    assert!(!message.contains("cost"), "{message}");
}

#[tokio::test]
async fn a_snapshot_never_changes() {
    let server = server().await;
    server.namespace("snapshot").await.unwrap();
    let client = server.client().await.unwrap();
    let snapshot = json!({
        "apiVersion": "curriculum.dev/v1alpha1", "kind": "CurriculumSnapshot", "metadata": {"name": "digits-0"},
        "spec": {
            "jobName": "digits", "jobUID": "3a24e81d-0b89-4ac9-bc30-c47c7471a346", "phaseIndex": 0, "phaseName": "easy",
            "visit": 0, "step": 300, "time": "2026-11-20T08:05:00Z", "digest": format!("sha256:{}", "0".repeat(64)),
            "state": "{}",
        },
    });
    send(&client, Method::POST, "snapshot/curriculumsnapshots", "", &snapshot)
        .await
        .unwrap();
    let path = "snapshot/curriculumsnapshots/digits-0";
    for change in [
        json!({"step": 301}),
        json!({"previous": format!("sha256:{}", "1".repeat(64))}),
    ] {
        let message = send(&client, Method::PATCH, path, "", &json!({"spec": change}))
            .await
            .expect_err("immutable");
        assert!(message.contains("spec: Invalid value"), "{message}");
        assert!(
            message.contains("a snapshot is a record and must not be changed"),
            "{message}"
        );
    }
    send(
        &client,
        Method::PATCH,
        path,
        "",
        &json!({"metadata": {"labels": {"keep": "yes"}}}),
    )
    .await
    .unwrap();

    let mut wrong = snapshot;
    wrong["metadata"]["name"] = json!("digits-1-0");
    wrong["spec"]["digest"] = json!("0000");
    let message = send(&client, Method::POST, "snapshot/curriculumsnapshots", "", &wrong)
        .await
        .expect_err("digest");
    assert!(message.contains("spec.digest"), "{message}");
}
