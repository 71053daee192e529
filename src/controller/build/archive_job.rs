//! The Job that puts a snapshot on the store.

use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{Container, PodTemplateSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::Resource;
use serde_json::json;

use super::pod::{FALLBACK_TO_LOGS, env, failure_policy, own_container, requests};
use super::scoring_jobs::{beside_others, pod_metadata, pod_of};
use super::volumes::{self, Volumes, mount};
use super::{Settings, Visit, metadata, names, remote};
use crate::api::names::{ENV_ARCHIVE_PATH, ENV_SNAPSHOT, MOUNT_STORE};
use crate::api::snapshot::CurriculumSnapshot;
use crate::controller::validate::Run;

/// What the Job and its pods are for, by their label.
pub(crate) const ARCHIVE: &str = "archive";
/// Tries before the snapshot is left where it is.
const RETRIES: i32 = 4;
/// Seconds after which it is given up: it has a few kilobytes to write, and must not keep a volume from the training pod for long.
const DEADLINE_SECONDS: i64 = 300;

/// The Job `<job>-archive-<visit>`. It brings the snapshot with it, so that it needs no access to the API server.
///
/// It has no labels of a queue: it asks for next to nothing, and the run does not wait for it.
pub fn archive_job(settings: &Settings, run: &Run, visit: u32, snapshot: &CurriculumSnapshot) -> Job {
    let of = Some(Visit {
        number: visit,
        phase: &snapshot.spec.phase_name,
    });
    let id = &run.head.id;
    let manifest = json!({
        "apiVersion": CurriculumSnapshot::api_version(&()),
        "kind": CurriculumSnapshot::kind(&()),
        "metadata": {"name": snapshot.metadata.name, "namespace": id.namespace},
        "spec": snapshot.spec,
    });
    let path = format!("snapshots/{}/{}/{}/{visit}.json", id.namespace, id.name, id.uid);
    let mut volumes = Volumes::new(vec![]);
    let store = mount(volumes.add(volumes::store(run, false)), MOUNT_STORE);
    let mut container = Container {
        env: Some(vec![
            env(ENV_ARCHIVE_PATH, &path),
            env(ENV_SNAPSHOT, &manifest.to_string()),
        ]),
        resources: Some(next_to_nothing(run)),
        termination_message_policy: Some(FALLBACK_TO_LOGS.to_owned()),
        volume_mounts: Some(vec![store]),
        ..own_container(settings, ARCHIVE, vec![ARCHIVE.to_owned()])
    };
    remote::let_ask(run, &mut volumes, &mut container);
    Job {
        metadata: metadata(id, names::archive(&id.name, visit), ARCHIVE, of),
        spec: Some(JobSpec {
            backoff_limit: Some(RETRIES),
            active_deadline_seconds: Some(DEADLINE_SECONDS),
            pod_failure_policy: Some(failure_policy(&[])),
            pod_replacement_policy: Some("Failed".to_owned()),
            template: PodTemplateSpec {
                metadata: Some(pod_metadata(run, ARCHIVE, of)),
                // The next phase is trained meanwhile, and its sampler reads the same volume.
                spec: Some(pod_of(run, beside_others(run), vec![], vec![container], volumes)),
            },
            ..JobSpec::default()
        }),
        status: None,
    }
}

/// Little is asked for, whatever scoring needs. Its limits stay, as a quota may want some.
fn next_to_nothing(run: &Run) -> ResourceRequirements {
    let limits = run
        .scoring
        .pod
        .resources
        .as_ref()
        .and_then(|resources| resources.limits.clone());
    let limits = limits.map(|limits| {
        let wanted = |(name, _): &(String, Quantity)| matches!(name.as_str(), "cpu" | "memory");
        limits.into_iter().filter(wanted).collect()
    });
    ResourceRequirements {
        limits,
        ..requests("10m", "32Mi")
    }
}
