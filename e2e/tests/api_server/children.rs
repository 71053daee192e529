//! The objects that the operator makes for each sample pass the API server's validation, and its own pods are admitted
//! where the namespace enforces the `restricted` pod security standard.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use curriculum_operator::api::job::CurriculumJob;
use curriculum_operator::api::status::ScoreSource;
use curriculum_operator::controller::build::{self, Settings, SnapshotInput};
use curriculum_operator::controller::validate::validate;
use curriculum_operator::curriculum::plan::{PLAN_VERSION, PhasePlan, Plan, PoolPlan, Role, Segment, WHOLE};
use curriculum_operator::index::summary::IndexSummary;
use e2e::api_server::ApiServer;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use crate::repository;

fn samples() -> Vec<CurriculumJob> {
    let folder = repository().join("config/samples");
    let mut jobs = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        // The folder also holds the table of its files.
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let text = std::fs::read_to_string(path).unwrap();
        let documents = serde_saphyr::from_multiple::<Value>(&text).unwrap();
        jobs.extend(
            documents
                .into_iter()
                .filter(|document| document["kind"] == "CurriculumJob")
                .map(|document| serde_json::from_value::<CurriculumJob>(document).unwrap()),
        );
    }
    for job in &mut jobs {
        job.metadata.uid = Some("11111111-2222-3333-4444-555555555555".into());
    }
    jobs
}

fn plan(job: &CurriculumJob) -> Plan {
    let segments = vec![Segment {
        start_step: 0,
        shares: vec![WHOLE],
    }];
    let name = job.spec.curriculum.phases[0].name.clone();
    Plan {
        version: PLAN_VERSION,
        seed: 0,
        batch_size: 64,
        tokens: None,
        order: job.spec.curriculum.order,
        rows: 1000,
        group_rows: vec![1000],
        held_out: None,
        filtered: None,
        scores: None,
        phases: vec![PhasePlan {
            index: 0,
            name,
            start_step: 0,
            end_step: 10,
            left_at: None,
            pools: vec![PoolPlan::everything(Role::Own)],
            segments,
            transitions: None,
        }],
    }
}

fn scoring_jobs(settings: &Settings, job: &CurriculumJob) -> Vec<Job> {
    let run = validate(job).unwrap();
    let task = build::task(&run);
    build::count_job(settings, &run, &task)
        .into_iter()
        .chain([
            build::inspect_job(settings, &run, &task),
            build::score_job(settings, &run, &task),
            build::index_job(settings, &run, &task),
        ])
        .collect()
}

/// Every object that the operator makes for a job, but for the Jobs of scoring.
fn other_children(settings: &Settings, job: &CurriculumJob) -> Vec<Value> {
    let plan = plan(job);
    let digest = format!("sha256:{}", "0".repeat(64));
    let summary = IndexSummary {
        key: "0".repeat(64),
        digest: digest.clone(),
        rows: 1000,
        scored_rows: 999,
        quantiles: vec![0.0; 21],
        histogram: vec![1; 64],
        group_rows: vec![1000],
        group_names: vec!["a".into()],
        group_mean_ranks: vec![0.5],
        lengths: None,
        overrides: None,
    };
    let snapshot = SnapshotInput {
        phase_index: 0,
        phase_name: plan.phases[0].name.clone(),
        visit: 0,
        step: 10,
        time: Time("2026-11-20T10:00:00Z".parse().unwrap()),
        previous: None,
        state_json: "{}".into(),
        digest,
    };
    let run = validate(job).unwrap();
    let of = &run.head.id;
    let claim = build::claim(&run).map(|claim| json!(claim));
    claim
        .into_iter()
        .chain([
            json!(build::scores_config_map(of, &summary)),
            json!(build::plan_config_map(of, 0, &plan)),
            json!(build::train_job(
                settings,
                &run,
                &plan.phases[0],
                0,
                ScoreSource::Scored
            )),
            json!(build::snapshot(of, &snapshot)),
        ])
        .collect()
}

/// Has the API server check the objects without storing them; gives what kubectl says of each on failure.
fn check(server: &ApiServer, namespace: &str, objects: &[Value]) {
    for object in objects {
        let mut object = object.clone();
        object["metadata"]["namespace"] = json!(namespace);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), object.to_string()).unwrap();
        let output = server
            .kubectl()
            .args(["create", "--dry-run=server", "--validate=strict", "--filename"])
            .arg(file.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        // A warning counts as well: deprecated or ineffective fields, and pods that the standard would refuse.
        assert!(output.status.success() && said.is_empty(), "{said}\n{object:#}");
    }
}

#[tokio::test]
async fn every_child_of_every_sample_is_valid() {
    let server = ApiServer::shared().await.unwrap();
    server.namespace("children").await.unwrap();
    let settings = Settings {
        image: "curriculum-operator:0.1.0".into(),
        image_pull_policy: None,
    };
    let jobs = samples();
    assert!(jobs.len() >= 15, "{}", jobs.len());
    for job in &jobs {
        let scoring = scoring_jobs(&settings, job).into_iter().map(|job| json!(job));
        check(
            &server,
            "children",
            &scoring.chain(other_children(&settings, job)).collect::<Vec<_>>(),
        );
    }
}

#[tokio::test]
async fn scoring_pods_are_admitted_where_pods_are_restricted() {
    let server = ApiServer::shared().await.unwrap();
    server.namespace("restricted-scoring").await.unwrap();
    let label = [
        "label",
        "namespace",
        "restricted-scoring",
        "pod-security.kubernetes.io/enforce=restricted",
    ];
    assert!(server.kubectl().args(label).output().unwrap().status.success());
    let settings = Settings {
        image: "curriculum-operator:0.1.0".into(),
        image_pull_policy: Some("Never".into()),
    };
    // NFS and host paths are not allowed there, and a security context of the user's own is the user's.
    let of_ours_only = |job: &CurriculumJob| {
        let volume = job.spec.dataset.volume.as_ref();
        volume.is_none_or(|volume| volume.nfs.is_none() && volume.host_path.is_none())
            && job.spec.scoring.pod.security_context.is_none()
    };
    let mut jobs: Vec<_> = samples().into_iter().filter(of_ours_only).collect();
    assert!(jobs.len() >= 2, "{}", jobs.len());
    let scorers = jobs.iter_mut().flat_map(|job| &mut job.spec.scoring.scorers);
    let programs: Vec<_> = scorers.filter_map(|scorer| scorer.container.as_mut()).collect();
    assert!(!programs.is_empty());
    for program in programs {
        program.shared_memory = Some(Quantity("1Gi".into()));
        program.volumes = serde_json::from_value(json!([
            {"name": "claim", "mountPath": "/claim", "persistentVolumeClaim": {"claimName": "models"}},
            {"name": "map", "mountPath": "/map", "configMap": {"name": "map"}},
            {"name": "secret", "mountPath": "/secret", "secret": {"secretName": "secret"}},
            {"name": "csi", "mountPath": "/csi", "csi": {"driver": "csi.example.com"}},
            {"name": "cache", "mountPath": "/cache", "emptyDir": {}},
        ]))
        .unwrap();
    }
    for job in &jobs {
        let pods = scoring_jobs(&settings, job).into_iter().map(|job| {
            let spec = job.spec.unwrap().template.spec.unwrap();
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": spec})
        });
        check(&server, "restricted-scoring", &pods.collect::<Vec<_>>());
    }
}
