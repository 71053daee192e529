//! Small objects for tests: one minimal CurriculumJob, and Jobs and pods as their controllers and kubelets leave them.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::batch::v1::{Job, JobCondition, JobStatus};
use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus, Pod,
    PodCondition, PodStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use serde_json::{Value, json};

use super::build;
use super::decide::Settings;
use crate::api::job::CurriculumJob;
use crate::index::summary::{IndexSummary, Overrides};
use crate::sampler::contract::{SamplerStatus, Source};
use crate::scoring::report::{Failure, FoundIndex, Inspection, Report};

pub(crate) const NAMESPACE: &str = "lab";
pub(crate) const ROWS: u64 = 100;
/// Seconds since 1970 at which tests begin.
pub(crate) const START: i64 = 1_800_000_000;

pub(crate) fn settings() -> Settings {
    let build = build::Settings {
        image: "curriculum:test".to_owned(),
        image_pull_policy: None,
    };
    Settings {
        retry_base: Duration::from_secs(10),
        ..Settings::new(build)
    }
}

/// Three phases of 10 steps, one column scorer, and what `patch` says on top (JSON merge patch of the spec).
#[allow(clippy::needless_pass_by_value, reason = "reads better with `json!` at every call")]
pub(crate) fn curriculum_job(patch: Value) -> CurriculumJob {
    let mut spec: Value = serde_saphyr::from_str(
        r#"
        seed: 7
        dataset: {volume: {persistentVolumeClaim: {claimName: data}}, path: train.csv}
        scoring: {scorers: [{name: difficulty, column: {column: score}}]}
        curriculum:
          batchSize: 4
          phases:
          - {name: easy, pool: {fraction: "0.2"}, duration: {steps: 10}}
          - {name: middle, pool: {fraction: "0.6"}, duration: {steps: 10}}
          - {name: all, pool: {fraction: "1"}, duration: {steps: 10}}
        training: {backoffLimit: 2, template: {spec: {containers: [{name: trainer, image: "trainer:1"}]}}}
        "#,
    )
    .unwrap();
    json_patch::merge(&mut spec, &patch);
    let mut job = CurriculumJob::new("digits", serde_json::from_value(spec).unwrap());
    job.metadata.namespace = Some(NAMESPACE.to_owned());
    job.metadata.uid = Some("uid-cjob".to_owned());
    job.metadata.generation = Some(1);
    job.metadata.resource_version = Some("1".to_owned());
    job
}

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(START + seconds).unwrap()
}

/// The Job with that final condition.
pub(crate) fn finished(mut job: Job, condition: &str, reason: &str) -> Job {
    job.status = Some(JobStatus {
        conditions: Some(vec![JobCondition {
            type_: condition.to_owned(),
            status: "True".to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(format!("Job has {condition}")),
            ..JobCondition::default()
        }]),
        ..JobStatus::default()
    });
    job
}

/// A pod of a Job in that phase.
pub(crate) fn pod(job: &Job, phase: &str, statuses: Vec<ContainerStatus>) -> Pod {
    Pod {
        metadata: ObjectMeta {
            name: Some(format!("{}-x", job.name_any())),
            namespace: Some(NAMESPACE.to_owned()),
            uid: Some(format!("pod-of-{}", job.uid().unwrap_or_default())),
            labels: Some(job.labels().clone()),
            owner_references: Some(vec![OwnerReference {
                kind: "Job".to_owned(),
                name: job.name_any(),
                uid: job.uid().unwrap_or_default(),
                controller: Some(true),
                ..OwnerReference::default()
            }]),
            ..ObjectMeta::default()
        },
        status: Some(PodStatus {
            phase: Some(phase.to_owned()),
            start_time: Some(Time(at(0))),
            pod_ip: Some("10.0.0.9".to_owned()),
            container_statuses: Some(statuses),
            ..PodStatus::default()
        }),
        ..Pod::default()
    }
}

/// The mark of an eviction on a pod.
pub(crate) fn evicted() -> PodCondition {
    PodCondition {
        type_: "DisruptionTarget".to_owned(),
        status: "True".to_owned(),
        reason: Some("EvictionByEvictionAPI".to_owned()),
        message: Some("Eviction API: evicting".to_owned()),
        ..PodCondition::default()
    }
}

fn container(name: &str, state: ContainerState) -> ContainerStatus {
    ContainerStatus {
        name: name.to_owned(),
        image: format!("{name}:1"),
        state: Some(state),
        ..ContainerStatus::default()
    }
}

pub(crate) fn running(name: &str) -> ContainerStatus {
    let running = Some(ContainerStateRunning::default());
    container(
        name,
        ContainerState {
            running,
            ..ContainerState::default()
        },
    )
}

pub(crate) fn waiting(name: &str, reason: &str) -> ContainerStatus {
    let waiting = Some(ContainerStateWaiting {
        reason: Some(reason.to_owned()),
        message: Some("words".to_owned()),
    });
    container(
        name,
        ContainerState {
            waiting,
            ..ContainerState::default()
        },
    )
}

pub(crate) fn exited(name: &str, exit_code: i32, message: Option<&str>) -> ContainerStatus {
    let terminated = Some(ContainerStateTerminated {
        exit_code,
        message: message.map(ToOwned::to_owned),
        reason: Some(if exit_code == 0 { "Completed" } else { "Error" }.to_owned()),
        ..ContainerStateTerminated::default()
    });
    container(
        name,
        ContainerState {
            terminated,
            ..ContainerState::default()
        },
    )
}

pub(crate) fn summary(key: &str) -> IndexSummary {
    IndexSummary {
        key: key.to_owned(),
        digest: format!("sha256:{}", "a".repeat(64)),
        rows: ROWS,
        scored_rows: ROWS,
        quantiles: vec![0.0; 21],
        histogram: Vec::new(),
        group_rows: Vec::new(),
        group_names: Vec::new(),
        group_mean_ranks: Vec::new(),
        lengths: None,
        overrides: None,
    }
}

/// What is told of three rows that two people ranked.
pub(crate) fn overrides() -> Overrides {
    Overrides {
        digest: format!("sha256:{}", "b".repeat(64)),
        rows: 3,
        left_out: 0,
        people: 2,
        latest: Some(at(0)),
        superseded: 1,
        unknown: 0,
    }
}

pub(crate) fn inspected(found: Option<FoundIndex>) -> String {
    say(&Report::Inspected(Inspection {
        held_out_rows: 0,
        filtered: None,
        named_groups: Vec::new(),
        rows: ROWS,
        group_rows: Vec::new(),
        bad_rows: 0,
        found,
        stale_index: None,
    }))
}

/// What an inspection says of a data set with groups: their rows, and the places of those that the curriculum names.
pub(crate) fn inspected_groups(group_rows: &[u64], named_groups: &[Option<u32>]) -> String {
    say(&Report::Inspected(Inspection {
        held_out_rows: 0,
        filtered: None,
        named_groups: named_groups.to_vec(),
        rows: group_rows.iter().sum(),
        group_rows: group_rows.to_vec(),
        bad_rows: 0,
        found: None,
        stale_index: None,
    }))
}

pub(crate) fn indexed(summary: IndexSummary) -> String {
    say(&Report::Indexed(summary))
}

pub(crate) fn complains(reason: &str, message: &str) -> String {
    say(&Report::Error(Failure {
        reason: reason.to_owned(),
        message: message.to_owned(),
    }))
}

fn say(report: &Report) -> String {
    serde_json::to_string(report).unwrap()
}

/// What a sampler says at a step of a phase of ten steps.
pub(crate) fn sampler_status(plan_digest: &str, phase: u32, served: u64) -> SamplerStatus {
    let start = u64::from(phase) * 10;
    SamplerStatus {
        plan_digest: plan_digest.to_owned(),
        phase_index: phase,
        start_step: start,
        end_step: start + 10,
        decision: None,
        unheard: 0,
        served_step: start + served,
        resumed_at: None,
        trainer_fault: None,
        source: Source::Index,
        source_message: None,
        index_fault: None,
        store_fault: None,
        metrics: BTreeMap::new(),
        exposure: Vec::new(),
        tokens: None,
        sequence_digest: None,
    }
}

pub(crate) fn as_json<T: serde::Serialize>(value: &T) -> String {
    json!(value).to_string()
}
