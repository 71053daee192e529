//! What users' clients see: kubectl, and whatever computes health from the status.

use std::fs;
use std::process::Output;

use curriculum_operator::api::crd::{self, MAX_CRD_BYTES};
use curriculum_operator::api::job::CurriculumJob;
use e2e::api_server::ApiServer;
use http::Method;
use kube::api::Api;
use serde_json::{Value, json};

use super::{base, repository, send, server};

/// Runs kubectl in the root of the repository; it must succeed.
fn kubectl(server: &ApiServer, arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } = server
        .kubectl()
        .args(arguments)
        .current_dir(repository())
        .output()
        .unwrap();
    let [stdout, stderr] = [stdout, stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert!(status.success(), "kubectl {arguments:?}: {stdout}{stderr}");
    stdout
}

#[tokio::test]
async fn a_client_side_apply_takes_the_crds_as_they_are_written() {
    let server = server().await;
    kubectl(&server, &["apply", "--server-side=false", "-f", "crds"]);
    for (file, generated) in crd::all() {
        let name = generated["metadata"]["name"].as_str().unwrap();
        let stored: Value = serde_json::from_str(&kubectl(&server, &["get", "crd", name, "-o", "json"])).unwrap();
        let schemas = [&stored, &generated].map(|crd| &crd["spec"]["versions"][0]["schema"]);
        // Not `assert_eq!`, which would print both.
        assert!(
            schemas[0] == schemas[1],
            "{file}: kubectl reads another schema; is the file up to date?"
        );
        let annotation = &stored["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"];
        let bytes = annotation.as_str().unwrap().len();
        assert!(bytes < MAX_CRD_BYTES, "{file} needs an annotation of {bytes} bytes");
        // Set by the API server when a schema is not structural.
        let conditions = stored["status"]["conditions"].as_array().unwrap();
        assert!(
            conditions.iter().all(|c| c["type"] != "NonStructuralSchema"),
            "{conditions:?}"
        );
    }
}

#[tokio::test]
async fn every_sample_is_accepted() {
    let server = server().await;
    server.namespace("samples").await.unwrap();
    let mut samples = 0;
    for entry in fs::read_dir(repository().join("config/samples")).unwrap() {
        let path = entry.unwrap().path();
        // The folder also holds the table of its files.
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let path = path.to_str().unwrap().to_owned();
        for mode in [&["--server-side=false"][..], &["--server-side"]] {
            let arguments = [&["apply", "--namespace=samples", "--dry-run=server", "-f", &path], mode].concat();
            kubectl(&server, &arguments);
        }
        samples += 1;
    }
    assert!(samples >= 14, "only {samples} samples");
}

/// The example of the wire contracts is no sample, but must be as valid as one.
#[tokio::test]
async fn the_example_of_the_contracts_is_accepted() {
    let server = server().await;
    let text = fs::read_to_string(repository().join("docs/design/contracts.md")).unwrap();
    let example = text
        .split("```yaml\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next())
        .unwrap();
    let object: Value = serde_saphyr::from_str(example).unwrap();
    assert_eq!(object["kind"], "CurriculumJob");
    let client = server.client().await.unwrap();
    send(&client, Method::POST, "default/curriculumjobs", "&dryRun=All", &object)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_job_is_unobserved_until_the_operator_has_seen_it() {
    let server = server().await;
    server.namespace("unobserved").await.unwrap();
    let client = server.client().await.unwrap();
    let mut object = base();
    // What a client sends as status is dropped; only the operator writes it.
    object["status"] = json!({"observedGeneration": 1});
    send(&client, Method::POST, "unobserved/curriculumjobs", "", &object)
        .await
        .unwrap();
    let jobs: Api<CurriculumJob> = Api::namespaced(client.clone(), "unobserved");
    let job = jobs.get("column-score").await.unwrap();
    assert_eq!(job.status.as_ref().map(|status| status.observed_generation), Some(-1));
    assert_eq!(job.metadata.generation, Some(1));

    let status = json!({"status": {"observedGeneration": 1}});
    send(
        &client,
        Method::PATCH,
        "unobserved/curriculumjobs/column-score/status",
        "",
        &status,
    )
    .await
    .unwrap();
    let job = jobs.get("column-score").await.unwrap();
    assert_eq!(job.status.as_ref().map(|status| status.observed_generation), Some(1));
    assert_eq!(
        job.metadata.generation,
        Some(1),
        "a status write must not look like a change of the spec"
    );
}

#[tokio::test]
async fn defaults_are_those_of_the_types() {
    let server = server().await;
    server.namespace("defaults").await.unwrap();
    let client = server.client().await.unwrap();
    let created = send(&client, Method::POST, "defaults/curriculumjobs", "", &base())
        .await
        .unwrap();
    let ours: CurriculumJob = serde_json::from_value(base()).unwrap();
    let theirs: CurriculumJob = serde_json::from_value(created).unwrap();
    assert_eq!(theirs.spec, ours.spec);
}

#[tokio::test]
async fn the_columns_fit_a_terminal_and_kubectl_waits() {
    let server = server().await;
    server.namespace("columns").await.unwrap();
    let client = server.client().await.unwrap();
    let mut object = base();
    object["metadata"]["name"] = json!("sentiment-curriculum-7b");
    send(&client, Method::POST, "columns/curriculumjobs", "", &object)
        .await
        .unwrap();
    let condition = |kind: &str, reason: &str| {
        json!({"type": kind, "status": "True", "reason": reason, "message": "m", "observedGeneration": 1,
            "lastTransitionTime": "2026-11-20T08:00:00Z"})
    };
    let status = json!({"status": {
        "observedGeneration": 1,
        "currentVisit": {"phaseIndex": 2, "phaseName": "consolidate", "visit": 2, "startStep": 4000, "endStep": 100_000},
        "progress": {"step": 81_200, "totalSteps": 100_000, "percent": 81, "summary": "81200/100000"},
        "scores": {"source": "LastGood"},
        "conditions": [condition("Ready", "Training"), condition("Succeeded", "Completed")],
    }});
    let path = "columns/curriculumjobs/sentiment-curriculum-7b/status";
    send(&client, Method::PATCH, path, "", &status).await.unwrap();

    let table = kubectl(&server, &["get", "cjob", "-n", "columns"]);
    let lines: Vec<&str> = table.lines().collect();
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(lines[0]), ["NAME", "PHASE", "PROGRESS", "SCORES", "READY", "AGE"]);
    let row = words(lines[1]);
    assert_eq!(
        row[..5],
        [
            "sentiment-curriculum-7b",
            "consolidate",
            "81200/100000",
            "LastGood",
            "True"
        ]
    );
    // No age is longer than this one, of almost three years: "2y364d".
    let width = lines[0].find("AGE").unwrap() + "2y364d".len();
    assert!(width <= 80, "{width} columns:\n{table}");

    let wide = kubectl(&server, &["get", "cjob", "-n", "columns", "-o", "wide"]);
    assert!(wide.contains("REASON") && wide.contains("Training"), "{wide}");
    kubectl(
        &server,
        &[
            "wait",
            "cjob",
            "--all",
            "-n",
            "columns",
            "--for=condition=Succeeded",
            "--timeout=10s",
        ],
    );
    // The category lists both kinds.
    assert!(kubectl(&server, &["get", "curriculum", "-n", "columns"]).contains("sentiment-curriculum-7b"));
}

#[tokio::test]
async fn explain_gives_the_meaning_of_fields_and_values() {
    let server = server().await;
    let text = kubectl(&server, &["explain", "curriculumjobs.spec.curriculum.order"]);
    assert!(text.contains("Highest score first"), "{text}");
}
