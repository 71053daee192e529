//! The Jobs of scoring: inspect, count, score, index.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        batch::v1::{Job, JobSpec},
        core::v1::{
            Affinity, Container, PodAffinity, PodAffinityTerm, PodSecurityContext, PodSpec, PodTemplateSpec,
            VolumeMount, WeightedPodAffinityTerm,
        },
    },
    apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta},
};

use super::{
    Settings, Visit,
    copies::{self, Wanted},
    job_metadata, key, labels, names,
    pod::{FALLBACK_TO_LOGS, USER, env, failure_policy, no_privileges, own_container, requests, runtime_default},
    remote,
    volumes::{self, Mounted, Volumes, mount, mount_read_only},
};
use crate::{
    api::{
        names::{LABEL_JOB, MOUNT_DATASET, MOUNT_STORE, MOUNT_TOOLS},
        scoring::{ContainerScorer, PullPolicy},
    },
    controller::validate::{self, Run, Store},
    scoring::message::{self, MESSAGE_BYTES_ENV},
    scoring::report::TERMINATION_MESSAGE_BYTES,
    scoring::task::{ScorerKind, TASK_ENV, Task},
};

/// Containers whose names start so run a user's scorer; all others of scoring pods run the operator's binary.
pub(crate) const SCORER_PREFIX: &str = "scorer-";

/// Name of the container that copies the operator's binary.
const TOOLS_CONTAINER: &str = "tools";

/// Seconds from SIGTERM to SIGKILL: a shard that is cut off has nothing to save, as its file appears by a rename.
const GRACE_SECONDS: i64 = 5;

/// Containers that something else may put into a pod, such as a service mesh with its init container: they share the bytes that the
/// kubelet keeps of a pod's termination messages.
const INJECTED: usize = 2;

/// The Job that finds out what the data set holds and whether the store has an index for it.
pub fn inspect_job(settings: &Settings, run: &Run, task: &Task) -> Job {
    single(
        settings,
        run,
        task,
        "inspect",
        names::inspect(&run.head.id.name, &task.key),
    )
}

/// The Job that finds out what scorers need to know of all rows, one completion per shard; `None` when none needs it.
pub fn count_job(settings: &Settings, run: &Run, task: &Task) -> Option<Job> {
    let needed = task.scorers.iter().any(|scorer| scorer.kind.is_counted());
    needed.then(|| {
        let name = names::count(&run.head.id.name, &task.key);
        let pod = pod(run, vec![own(settings, run, "count", task)], vec![]);
        indexed(run, "count", name, pod, task)
    })
}

/// The Job that scores the rows, one completion per shard: the built-in scorers in one container, and a container for
/// each of the others.
pub fn score_job(settings: &Settings, run: &Run, task: &Task) -> Job {
    let programs: Vec<Container> = run
        .scoring
        .scorers
        .iter()
        .filter_map(|scorer| match &scorer.kind {
            validate::ScorerKind::Container(container) => Some(program(&scorer.name, container, task)),
            _ => None,
        })
        .collect();
    let built_in = task.scorers.iter().any(|scorer| scorer.kind != ScorerKind::Container);
    let mut before = vec![];
    if !programs.is_empty() {
        before.push(tools(settings));
        // Programs read paths.
        let wanted = Wanted::OfShard(volumes::store_to_read(run, volumes::STORE.to_owned()));
        let copy = |store| copies::container(settings, store, task, wanted);
        before.extend(run.dataset.objects().map(copy));
    }
    let containers = built_in
        .then(|| own(settings, run, "score", task))
        .into_iter()
        .chain(programs)
        .collect();
    let name = names::score(&run.head.id.name, &task.key);
    indexed(run, "score", name, pod(run, containers, before), task)
}

/// The Job that makes the score index of the shards' scores.
pub fn index_job(settings: &Settings, run: &Run, task: &Task) -> Job {
    single(settings, run, task, "index", names::index(&run.head.id.name, &task.key))
}

fn single(settings: &Settings, run: &Run, task: &Task, component: &str, name: String) -> Job {
    let mut made = job_of(
        run,
        component,
        name,
        pod(run, vec![own(settings, run, component, task)], vec![]),
    );
    if let Some(spec) = &mut made.spec {
        spec.backoff_limit = Some(signed(run.scoring.backoff_limit));
    }
    made
}

/// Each shard has its own retries, and the first one that has used them up ends the Job: without its rows the others are in vain.
fn indexed(run: &Run, component: &str, name: String, pod: PodSpec, task: &Task) -> Job {
    let mut made = job_of(run, component, name, pod);
    if let Some(spec) = &mut made.spec {
        let shards = signed(task.shards);
        spec.completion_mode = Some("Indexed".to_owned());
        spec.completions = Some(shards);
        spec.parallelism = Some(signed(run.scoring.parallelism).min(shards));
        spec.backoff_limit_per_index = Some(signed(run.scoring.backoff_limit));
        spec.max_failed_indexes = Some(0);
    }
    made
}

/// A number as Kubernetes has it.
fn signed(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn job_of(run: &Run, component: &str, name: String, pod: PodSpec) -> Job {
    // Of a program's exit code only its author knows what it means: the policy is for the operator's own containers.
    let own = pod
        .containers
        .iter()
        .map(|c| c.name.as_str())
        .filter(|name| *name == component);
    Job {
        metadata: job_metadata(run, name, component, None),
        spec: Some(JobSpec {
            active_deadline_seconds: Some(i64::try_from(run.scoring.timeout.as_secs()).unwrap_or(i64::MAX)),
            pod_failure_policy: Some(failure_policy(&own.collect::<Vec<_>>())),
            pod_replacement_policy: Some("Failed".to_owned()),
            template: PodTemplateSpec {
                metadata: Some(pod_metadata(run, component, None)),
                spec: Some(pod),
            },
            ..JobSpec::default()
        }),
        status: None,
    }
}

pub(super) fn pod_metadata(run: &Run, component: &str, visit: Option<Visit<'_>>) -> ObjectMeta {
    let settings = &run.scoring.pod;
    let mut all = settings.labels.clone();
    all.extend(labels(&run.head.id, component, visit));
    ObjectMeta {
        labels: Some(all),
        annotations: Some(settings.annotations.clone()).filter(|map| !map.is_empty()),
        ..ObjectMeta::default()
    }
}

/// Keeps the shards of a store that one node at a time can mount on one node: elsewhere they would wait for the volume until the Job's
/// time is over. Of a claim that the user names the access modes are not known, so there it is a wish.
fn on_one_node(run: &Run) -> Option<Affinity> {
    if run.scoring.parallelism <= 1 {
        return None;
    }
    match run.store {
        Store::Own(_) => may_be_held(run).then(|| Affinity {
            pod_affinity: Some(PodAffinity {
                required_during_scheduling_ignored_during_execution: Some(vec![node_of_others(run)]),
                ..PodAffinity::default()
            }),
            ..Affinity::default()
        }),
        Store::Claim(_) | Store::Remote(_) => beside_others(run),
    }
}

/// The wish to run on the node of the run's other pods, which may hold the volume of the store.
pub(super) fn beside_others(run: &Run) -> Option<Affinity> {
    may_be_held(run).then(|| Affinity {
        pod_affinity: Some(PodAffinity {
            preferred_during_scheduling_ignored_during_execution: Some(vec![WeightedPodAffinityTerm {
                pod_affinity_term: node_of_others(run),
                weight: 100,
            }]),
            ..PodAffinity::default()
        }),
        ..Affinity::default()
    })
}

/// Whether one node at a time may be all that can mount the store.
fn may_be_held(run: &Run) -> bool {
    let many_nodes = |modes: &Vec<String>| modes.iter().any(|mode| mode == "ReadWriteMany");
    match &run.store {
        Store::Remote(_) => false,
        Store::Claim(_) => true,
        Store::Own(claim) => !claim.access_modes.as_ref().is_some_and(many_nodes),
    }
}

fn node_of_others(run: &Run) -> PodAffinityTerm {
    PodAffinityTerm {
        label_selector: Some(LabelSelector {
            match_labels: Some(BTreeMap::from([(LABEL_JOB.to_owned(), run.head.id.name.clone())])),
            ..LabelSelector::default()
        }),
        topology_key: "kubernetes.io/hostname".to_owned(),
        ..PodAffinityTerm::default()
    }
}

fn pod(run: &Run, mut containers: Vec<Container>, mut init_containers: Vec<Container>) -> PodSpec {
    let settings = &run.scoring.pod;
    let mut volumes = Volumes::new(vec![]);
    let bytes = message::bytes_for(containers.len() + init_containers.len() + INJECTED);
    if bytes < TERMINATION_MESSAGE_BYTES {
        for container in &mut containers {
            let variable = env(MESSAGE_BYTES_ENV, &bytes.to_string());
            container.env.get_or_insert_default().insert(1, variable);
        }
    }
    // Of objects only programs have files.
    let has_files = run.dataset.objects().is_none() || !init_containers.is_empty();
    let dataset = has_files.then(|| mount_read_only(volumes.add(volumes::dataset(run)), MOUNT_DATASET));
    let store = mount(volumes.add(volumes::store(run, false)), MOUNT_STORE);
    let mounts: Vec<VolumeMount> = dataset.into_iter().chain([store]).collect();
    let asking = containers.iter_mut().chain(&mut init_containers);
    for container in asking.filter(|container| container.name != TOOLS_CONTAINER) {
        remote::let_ask(run, &mut volumes, container);
    }
    if let Some(resources) = &settings.resources {
        let own = containers.iter_mut().chain(&mut init_containers);
        for container in own.filter(|container| !container.name.starts_with(SCORER_PREFIX)) {
            container.resources = Some(resources.clone());
        }
    }
    for container in &mut containers {
        let of_scorer = run
            .scoring
            .scorers
            .iter()
            .find(|scorer| container.name == program_name(&scorer.name));
        let all = container.volume_mounts.get_or_insert_default();
        all.splice(0..0, mounts.iter().cloned());
        for Mounted { volume, mut mount } in of_scorer.map(volumes::of_scorer).unwrap_or_default() {
            mount.name = volumes.add(volume);
            all.push(mount);
        }
    }
    if !init_containers.is_empty() {
        volumes.add(volumes::empty_dir(volumes::TOOLS));
    }
    pod_of(run, on_one_node(run), init_containers, containers, volumes)
}

/// A pod that runs once, beside others with the store.
pub(super) fn pod_of(
    run: &Run,
    affinity: Option<Affinity>,
    init_containers: Vec<Container>,
    containers: Vec<Container>,
    volumes: Volumes,
) -> PodSpec {
    let settings = &run.scoring.pod;
    PodSpec {
        restart_policy: Some("Never".to_owned()),
        termination_grace_period_seconds: Some(GRACE_SECONDS),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        service_account_name: settings.service_account_name.clone(),
        affinity,
        node_selector: Some(settings.node_selector.clone()).filter(|map| !map.is_empty()),
        tolerations: Some(settings.tolerations.clone()).filter(|list| !list.is_empty()),
        image_pull_secrets: Some(settings.image_pull_secrets.clone()).filter(|list| !list.is_empty()),
        security_context: Some(
            settings
                .security_context
                .clone()
                .unwrap_or_else(default_security_context),
        ),
        init_containers: Some(init_containers).filter(|list| !list.is_empty()),
        containers,
        volumes: Some(volumes.into_vec()),
        ..PodSpec::default()
    }
}

fn default_security_context() -> PodSecurityContext {
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: Some(USER),
        run_as_group: Some(USER),
        fs_group: Some(USER),
        fs_group_change_policy: Some("OnRootMismatch".to_owned()),
        seccomp_profile: Some(runtime_default()),
        ..PodSecurityContext::default()
    }
}

/// A container of the operator's image; it runs as the pod's user, so that all containers can read each other's files.
fn own(settings: &Settings, run: &Run, command: &str, task: &Task) -> Container {
    Container {
        env_from: run.dataset.objects().and_then(copies::env_from),
        env: Some(vec![env(TASK_ENV, &task_json(task))]),
        resources: Some(requests("100m", "128Mi")),
        termination_message_policy: Some(FALLBACK_TO_LOGS.to_owned()),
        ..own_container(settings, command, vec![command.to_owned()])
    }
}

/// Copies the operator's binary to where the programs' wrapper is started from.
fn tools(settings: &Settings) -> Container {
    Container {
        resources: Some(requests("10m", "32Mi")),
        volume_mounts: Some(vec![mount(volumes::TOOLS.to_owned(), MOUNT_TOOLS)]),
        ..own_container(
            settings,
            TOOLS_CONTAINER,
            vec!["install-self".to_owned(), MOUNT_TOOLS.to_owned()],
        )
    }
}

/// Name of the container of a scorer's program.
fn program_name(scorer: &str) -> String {
    format!("{SCORER_PREFIX}{scorer}")
}

/// A container scorer: the user's program, started through `curriculum exec`.
fn program(name: &str, scorer: &ContainerScorer, task: &Task) -> Container {
    let binary = format!("{MOUNT_TOOLS}/curriculum");
    let wrapper = [binary.as_str(), "exec", "--scorer", name, "--"].map(str::to_owned);
    let pull_policy = scorer.image_pull_policy.map(|policy| match policy {
        PullPolicy::Always => "Always",
        PullPolicy::IfNotPresent => "IfNotPresent",
        PullPolicy::Never => "Never",
    });
    Container {
        name: program_name(name),
        image: Some(scorer.image.clone()),
        image_pull_policy: pull_policy.map(str::to_owned),
        command: Some(wrapper.into_iter().chain(scorer.command.iter().cloned()).collect()),
        args: Some(scorer.args.clone()).filter(|args| !args.is_empty()),
        env: Some(
            std::iter::once(env(TASK_ENV, &task_json(task)))
                .chain(scorer.env.iter().cloned())
                .collect(),
        ),
        env_from: Some(scorer.env_from.clone()).filter(|list| !list.is_empty()),
        resources: scorer.resources.clone(),
        security_context: Some(no_privileges()),
        termination_message_policy: Some(FALLBACK_TO_LOGS.to_owned()),
        volume_mounts: Some(vec![mount_read_only(volumes::TOOLS.to_owned(), MOUNT_TOOLS)]),
        ..Container::default()
    }
}

fn task_json(task: &Task) -> String {
    key::value(task).to_string()
}
