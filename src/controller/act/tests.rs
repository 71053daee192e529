//! The requests that `act` makes, in order, and what it does when one is answered with no.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::client::Body;
use kube::runtime::reflector;
use prometheus::Registry;
use serde_json::{Value, json};

use super::*;
use crate::api::status::CurriculumJobStatus;
use crate::api::status::ScoreSource;
use crate::controller::actions::NextStatus;
use crate::controller::build;
use crate::controller::index::Indexed;
use crate::controller::kube_cluster::{KubeCluster, Stores};
use crate::controller::lease::Leadership;
use crate::controller::memory::Memory;
use crate::controller::metrics::Metrics;
use crate::controller::sampler_client::SamplerClient;
use crate::controller::samplers::Samplers;
use crate::controller::test_support::{at, curriculum_job, settings};
use crate::controller::validate::validate;
use crate::curriculum::plan::{self, Facts};

/// A request as the API server sees it.
#[derive(Debug)]
struct Seen {
    method: Method,
    path: String,
    query: String,
    body: Value,
}

type Reply = (StatusCode, Value);

fn context(client: Client) -> (Context<KubeCluster>, Registry) {
    let registry = Registry::new();
    let stores = Stores {
        curriculum_jobs: reflector::store().0,
        jobs: Arc::new(Indexed::new(|_| None)),
        pods: Arc::new(Indexed::new(|_| None)),
        config_maps: Arc::new(Indexed::new(|_| None)),
        claims: Arc::new(Indexed::new(|_| None)),
        snapshots: Arc::new(Indexed::new(|_| None)),
    };
    let samplers = Samplers::new(SamplerClient::new().unwrap(), |_| {});
    let context = Context {
        cluster: KubeCluster::new(client, stores, samplers),
        settings: settings(),
        metrics: Metrics::register(&registry).unwrap(),
        memory: Memory::default(),
        leadership: Leadership::unrivalled(),
    };
    (context, registry)
}

/// Acts against an API server that gives these answers, in this order, and no more.
async fn play(actions: Actions, script: Vec<Reply>) -> (Result<Ended, Error>, Vec<Seen>, Registry) {
    let (service, mut handle) = tower_test::mock::pair::<Request<Body>, Response<Body>>();
    let server = tokio::spawn(async move {
        let mut seen = Vec::new();
        for (status, body) in script {
            let (request, send) = handle.next_request().await.expect("a request");
            let (parts, sent) = request.into_parts();
            let sent = sent.collect().await.unwrap().to_bytes();
            seen.push(Seen {
                method: parts.method,
                path: parts.uri.path().to_owned(),
                query: parts.uri.query().unwrap_or_default().to_owned(),
                body: serde_json::from_slice(&sent).unwrap_or_default(),
            });
            let body = Body::from(body.to_string().into_bytes());
            send.send_response(Response::builder().status(status).body(body).unwrap());
        }
        seen
    });
    let (context, registry) = context(Client::new(service, "lab"));
    let ended = act(&context, &curriculum_job(json!({})), at(0), actions).await;
    drop(context);
    (ended, server.await.expect("every answer was asked for"), registry)
}

fn plan_map_and_job() -> (ConfigMap, Job) {
    let job = curriculum_job(json!({}));
    let facts = Facts {
        seed: 7,
        rows: 100,
        group_rows: Vec::new(),
        held_out: None,
        filtered: None,
        scores: None,
        lasted: std::collections::BTreeMap::new(),
        groups: std::collections::BTreeMap::new(),
    };
    let plan = plan::compile(&job.spec.curriculum, &facts)
        .unwrap()
        .for_phase(0)
        .unwrap();
    let run = validate(&job).unwrap();
    let train = build::train_job(&settings().build, &run, &plan.phases[0], 0, ScoreSource::Scored);
    (build::plan_config_map(&run.head.id, 0, &plan), train)
}

/// One of everything.
fn actions() -> Actions {
    let (map, job) = plan_map_and_job();
    let current = Some(crate::api::status::CurrentVisit {
        phase_name: "easy".to_owned(),
        ..Default::default()
    });
    Actions {
        ensure: vec![Ensure::ConfigMap(Box::new(map)), Ensure::TrainJob(Box::new(job))],
        suspend: vec![SetSuspend {
            name: "held".to_owned(),
            uid: "uid-held".to_owned(),
            suspend: true,
        }],
        delete: vec![Delete {
            kind: Kind::Job,
            name: "old".to_owned(),
            uid: "uid-old".to_owned(),
        }],
        status: Some(NextStatus::new(CurriculumJobStatus {
            current_visit: current,
            ..Default::default()
        })),
        events: vec![Event {
            warning: true,
            reason: Reason::JobLost,
            action: "Train",
            note: "gone".to_owned(),
        }],
        milestones: vec![crate::controller::actions::Milestone::AttemptFailed],
        requeue: Some(Duration::from_secs(3)),
    }
}

fn ok(body: Value) -> Reply {
    (StatusCode::OK, body)
}

fn no(code: u16, reason: &str) -> Reply {
    let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": "because"});
    (StatusCode::from_u16(code).unwrap(), body)
}

fn cjob(version: &str) -> Reply {
    let mut job = serde_json::to_value(curriculum_job(json!({}))).unwrap();
    job["metadata"]["resourceVersion"] = json!(version);
    ok(job)
}

fn stored<T: serde::Serialize>(object: &T, uid: &str) -> Reply {
    let mut object = serde_json::to_value(object).unwrap();
    object["metadata"]["uid"] = json!(uid);
    ok(object)
}

fn held() -> Reply {
    ok(json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "held"}}))
}

fn calls(seen: &[Seen]) -> Vec<String> {
    let short = |path: &str| {
        path.rsplit_once("/namespaces/lab/")
            .map_or(path, |(_, short)| short)
            .to_owned()
    };
    seen.iter()
        .map(|seen| format!("{} {}", seen.method, short(&seen.path)))
        .collect()
}

#[tokio::test]
async fn everything_in_order_then_one_status_then_events() {
    let (map, job) = plan_map_and_job();
    let script = vec![
        held(),
        stored(&map, "uid-map"),
        cjob("1"),
        stored(&job, "uid-job"),
        ok(json!({"kind": "Status", "status": "Success"})),
        cjob("2"),
        ok(json!({"metadata": {"name": "event"}})),
    ];
    let (ended, seen, registry) = play(actions(), script).await;
    assert_eq!(ended.unwrap(), Ended::Done(Some(Duration::from_secs(3))));
    assert_eq!(
        calls(&seen),
        [
            "PATCH jobs/held",
            "POST configmaps",
            "GET curriculumjobs/digits",
            "POST jobs",
            "DELETE jobs/old",
            "PATCH curriculumjobs/digits/status",
            "POST events",
        ]
    );
    assert_eq!(
        seen[0].body,
        json!({"metadata": {"uid": "uid-held", "annotations": {"curriculum.dev/suspended": "true"}}, "spec": {"suspend": true}})
    );
    assert_eq!(seen[4].body["preconditions"]["uid"], "uid-old");
    assert_eq!(seen[4].body["propagationPolicy"], "Background");
    let status = &seen[5];
    assert_eq!(status.query, "&fieldManager=curriculum-operator");
    assert_eq!(
        status.body["metadata"]["resourceVersion"], "1",
        "only over the version that was decided on"
    );
    assert_eq!(
        status.body["status"]["currentVisit"]["jobUID"], "uid-job",
        "what the API server answered"
    );
    let metrics = prometheus::TextEncoder::new()
        .encode_to_string(&registry.gather())
        .unwrap();
    assert!(
        metrics.contains("curriculum_phase_transitions_total{outcome=\"Retried\"} 1"),
        "{metrics}"
    );
    assert!(
        metrics.contains("curriculum_api_writes_total{resource=\"jobs\",verb=\"create\"} 1"),
        "{metrics}"
    );
}

#[tokio::test]
async fn an_object_that_is_there_and_ours_is_what_was_wanted() {
    let (map, job) = plan_map_and_job();
    let script = vec![
        held(),
        no(409, "AlreadyExists"),
        stored(&map, "uid-map"),
        cjob("1"),
        no(409, "AlreadyExists"),
        stored(&job, "uid-of-the-first"),
        no(404, "NotFound"), // The Job to delete has gone by itself.
        cjob("2"),
        ok(json!({"metadata": {"name": "event"}})),
    ];
    let (ended, seen, _) = play(actions(), script).await;
    assert!(matches!(ended, Ok(Ended::Done(_))), "{ended:?}");
    assert_eq!(seen[7].body["status"]["currentVisit"]["jobUID"], "uid-of-the-first");
}

#[tokio::test]
async fn a_strangers_object_is_left_alone_and_named() {
    let (mut map, _) = plan_map_and_job();
    let owner = &mut map.metadata.owner_references.as_mut().unwrap()[0];
    (owner.kind, owner.name, owner.uid) = ("Notebook".to_owned(), "mine".to_owned(), "uid-other".to_owned());
    let (ended, seen, _) = play(
        actions(),
        vec![held(), no(409, "AlreadyExists"), stored(&map, "uid-map")],
    )
    .await;
    let Ok(Ended::Blocked(failure)) = ended else {
        panic!("{ended:?}")
    };
    assert_eq!(failure.reason, Reason::NameConflict);
    assert!(
        failure
            .message
            .contains("'digits-plan-0' exists and is controlled by Notebook 'mine'"),
        "{}",
        failure.message
    );
    assert_eq!(seen.len(), 3, "nothing after it");
}

/// As by a webhook on its way in: no watch of ours would show it.
#[tokio::test]
async fn an_object_that_lost_the_label_of_its_watch_is_named() {
    let (mut map, _) = plan_map_and_job();
    let labels = map.metadata.labels.as_mut().unwrap();
    labels.insert(LABEL_MANAGED_BY.to_owned(), "Helm".to_owned());
    for script in [
        vec![held(), stored(&map, "uid-map")],
        vec![held(), no(409, "AlreadyExists"), stored(&map, "uid-map")],
    ] {
        let asked = script.len();
        let (ended, seen, _) = play(actions(), script).await;
        let Ok(Ended::Blocked(failure)) = ended else {
            panic!("{ended:?}")
        };
        assert_eq!(failure.reason, Reason::ObjectRefused);
        let message = failure.message;
        assert!(message.contains("'digits-plan-0' lost its label"), "{message}");
        assert_eq!(seen.len(), asked, "nothing after it");
    }
}

#[tokio::test]
async fn an_object_that_is_going_is_waited_for() {
    let (mut map, _) = plan_map_and_job();
    map.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(0)));
    let (ended, _, _) = play(
        actions(),
        vec![held(), no(409, "AlreadyExists"), stored(&map, "uid-map")],
    )
    .await;
    assert_eq!(ended.unwrap_err().category(), "terminating");
}

#[tokio::test]
async fn a_newer_version_of_the_job_ends_the_turn_before_a_training_job_is_made() {
    let (map, _) = plan_map_and_job();
    let (ended, seen, _) = play(actions(), vec![held(), stored(&map, "uid-map"), cjob("2")]).await;
    assert_eq!(ended.unwrap(), Ended::Stale);
    assert_eq!(calls(&seen).last().unwrap(), "GET curriculumjobs/digits");
}

#[tokio::test]
async fn a_refused_object_is_told_in_the_api_servers_words() {
    for (code, reason) in [(403, "Forbidden"), (422, "Invalid")] {
        let (ended, seen, _) = play(actions(), vec![held(), no(code, reason)]).await;
        let Ok(Ended::Blocked(failure)) = ended else {
            panic!("{ended:?}")
        };
        assert_eq!(failure.reason, Reason::ObjectRefused);
        assert!(
            failure.message.ends_with("'digits-plan-0': because"),
            "{}",
            failure.message
        );
        assert_eq!(seen.len(), 2);
    }
}

#[tokio::test]
async fn an_error_half_way_ends_the_turn_and_nothing_is_told() {
    let (map, _) = plan_map_and_job();
    let (ended, seen, registry) = play(
        actions(),
        vec![held(), stored(&map, "uid-map"), cjob("1"), no(500, "InternalError")],
    )
    .await;
    assert_eq!(ended.unwrap_err().category(), "server");
    assert_eq!(calls(&seen).last().unwrap(), "POST jobs");
    let metrics = prometheus::TextEncoder::new()
        .encode_to_string(&registry.gather())
        .unwrap();
    assert!(!metrics.contains("curriculum_phase_transitions_total{"), "{metrics}");
}

#[tokio::test]
async fn a_conflict_on_the_status_ends_the_turn_without_events() {
    let only_status = Actions {
        ensure: Vec::new(),
        suspend: Vec::new(),
        delete: Vec::new(),
        ..actions()
    };
    let (ended, seen, registry) = play(only_status, vec![no(409, "Conflict")]).await;
    assert_eq!(ended.unwrap(), Ended::Stale);
    assert_eq!(calls(&seen), ["PATCH curriculumjobs/digits/status"]);
    let metrics = prometheus::TextEncoder::new()
        .encode_to_string(&registry.gather())
        .unwrap();
    assert!(!metrics.contains("curriculum_phase_transitions_total{"), "{metrics}");
}
