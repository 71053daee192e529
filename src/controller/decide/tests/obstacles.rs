//! What keeps a run from moving is what its conditions say.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateRunning, ContainerStateTerminated, PodCondition, PodSpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

use super::*;
use crate::controller::actions::{Delete, Kind};
use crate::controller::decide::LOOK_AGAIN;
use crate::controller::observed::{About, Warning};
use crate::controller::test_support::waiting;

use ConditionType::{Failed, Ready, Reconciling};

/// A case whose first training Job was just made.
fn made() -> Case {
    let mut case = scored(json!({}));
    case.turn();
    let mut job = Job::clone(&case.job("train"));
    job.metadata.creation_timestamp = Some(Time(at(0)));
    case.replace(job);
    case
}

fn of_pod(type_: &str, status: &str, reason: Option<&str>, message: &str, since: i64) -> PodCondition {
    PodCondition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: reason.map(ToOwned::to_owned),
        message: Some(message.to_owned()),
        last_transition_time: Some(Time(at(since))),
        ..PodCondition::default()
    }
}

fn pending(case: &mut Case, condition: PodCondition) {
    let job = case.job("train");
    let mut pod = pod(&job, "Pending", vec![waiting("trainer", "ContainerCreating")]);
    pod.status.as_mut().unwrap().conditions = Some(vec![condition]);
    case.has_pod(pod);
}

fn warning(reason: &str, message: &str, seconds: i64) -> Warning {
    Warning {
        reason: reason.to_owned(),
        message: message.to_owned(),
        about: "digits-store".to_owned(),
        at: at(seconds),
    }
}

fn is_ready_before_and_not_after_a_minute(case: &mut Case, reason: &str, words: &str) {
    case.turn();
    assert_eq!(case.says(Ready), ("True", "Training"), "it may pass by itself");
    case.pass(60);
    let actions = case.turn();
    assert_eq!(told(&actions), [reason]);
    assert!(actions.events[0].warning);
    assert!(actions.delete.is_empty());
    assert_eq!(case.says(Ready), ("False", reason));
    assert_eq!(case.says(Reconciling), ("True", "InProgress"));
    assert_eq!(case.says(Failed), ("False", "InProgress"));
    let message = &case.condition(Ready).message;
    assert!(message.contains(words), "{message}");
    assert_eq!(case.turn().status, None, "said once");
    assert_eq!(case.phase(), (0, 0, 0), "and it costs nothing");
}

#[test]
fn a_pod_without_a_node_is_said_in_the_schedulers_words() {
    let mut case = made();
    let words = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.";
    pending(
        &mut case,
        of_pod("PodScheduled", "False", Some("Unschedulable"), words, 0),
    );
    is_ready_before_and_not_after_a_minute(&mut case, "Unschedulable", words);
    let words = "0/4 nodes are available: 4 Insufficient nvidia.com/gpu.";
    pending(
        &mut case,
        of_pod("PodScheduled", "False", Some("Unschedulable"), words, 0),
    );
    assert_eq!(case.turn().status, None, "other numbers are no news");
    case.runs("train");
    case.turn();
    assert_eq!(case.says(Ready), ("True", "Training"));
}

#[test]
fn a_job_that_cannot_make_its_pod_is_said_in_the_words_of_its_events() {
    let words =
        "pods \"digits-train-0-abcde\" is forbidden: exceeded quota: team, requested: requests.nvidia.com/gpu=8";
    let mut case = made();
    case.observed.warnings = vec![warning("FailedCreate", words, 55)];
    is_ready_before_and_not_after_a_minute(&mut case, "PodRefused", words);

    let mut mute = made();
    is_ready_before_and_not_after_a_minute(&mut mute, "PodRefused", "has made no pod, and nothing says why");
}

#[test]
fn a_scoring_job_that_cannot_make_its_pod_is_said_too() {
    let mut case = case(json!({}));
    case.turn();
    case.turn();
    let mut job = Job::clone(&case.job("inspect"));
    job.metadata.creation_timestamp = Some(Time(at(0)));
    case.replace(job);
    case.observed.warnings = vec![warning("FailedCreate", "failed quota: limits.cpu", 55)];
    case.pass(60);
    case.turn();
    assert_eq!(case.says(Ready), ("False", "PodRefused"));
}

#[test]
fn a_volume_that_cannot_be_mounted_is_said() {
    let mut case = made();
    pending(&mut case, of_pod("PodScheduled", "True", None, "", 0));
    case.observed.warnings = vec![warning(
        "FailedMount",
        "MountVolume.SetUp failed for volume \"data\": timed out",
        50,
    )];
    is_ready_before_and_not_after_a_minute(&mut case, "VolumeUnavailable", "volume \"data\": timed out");
    case.observed.warnings = vec![warning("FailedCreatePodSandBox", "network not ready", 50)];
    case.turn();
    assert_eq!(case.says(Ready), ("False", "PodNotStarted"));
    case.pass(300);
    case.turn();
    assert_eq!(
        case.says(Ready),
        ("True", "Training"),
        "an old warning holds no more: an image may take its time"
    );
}

/// What the scheduler says of a pod whose claims are Pending.
const UNBOUND: &str = "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found";

/// The pod of the first training Job waits for these claims.
fn waits_for(case: &mut Case, claims: &[&str]) {
    pending(case, of_pod("PodScheduled", "False", Some("Unschedulable"), UNBOUND, 0));
    let volumes = claims
        .iter()
        .map(|claim| json!({"name": claim, "persistentVolumeClaim": {"claimName": claim}}));
    let spec = json!({"containers": [], "volumes": volumes.collect::<Vec<_>>()});
    case.edit_pod("train", |pod| pod.spec = serde_json::from_value(spec).unwrap());
}

#[test]
fn a_claim_without_a_storage_class_is_said_with_what_would_be_right() {
    let words = "no persistent volumes available for this claim and no storage class is set";
    let mut own = made();
    waits_for(&mut own, &["data", "digits-store"]);
    let silence = own.observed.silence().unwrap();
    assert_eq!(
        silence.about,
        About::Claims(BTreeSet::from(["data".to_owned(), "digits-store".to_owned()]))
    );
    own.observed.warnings = vec![warning("FailedBinding", words, 50)];
    is_ready_before_and_not_after_a_minute(
        &mut own,
        "VolumeUnavailable",
        "'digits-store' gets no volume: no persistent volumes available for this claim and no storage class is set: there must be a \
         default StorageClass, which helps this claim too, or the job must be made anew with `store.claimTemplate.storageClassName`, or \
         with `store.claimName` of a claim that has a volume",
    );

    let mut of_the_user = made();
    waits_for(&mut of_the_user, &["data"]);
    let mut said = warning("FailedBinding", words, 50);
    said.about = "data".to_owned();
    of_the_user.observed.warnings = vec![said];
    is_ready_before_and_not_after_a_minute(
        &mut of_the_user,
        "VolumeUnavailable",
        "'data' gets no volume: no persistent volumes available for this claim and no storage class is set: there must be a \
         default StorageClass, which helps this claim too, or the claim must be made anew with a `storageClassName`",
    );
}

#[test]
fn a_claim_that_gets_no_volume_for_another_cause_is_said_without_advice() {
    let words = "storageclass.storage.k8s.io \"fats\" not found";
    let mut case = made();
    waits_for(&mut case, &["digits-store"]);
    case.observed.warnings = vec![warning("ProvisioningFailed", words, 50)];
    is_ready_before_and_not_after_a_minute(&mut case, "VolumeUnavailable", words);
    assert!(case.condition(Ready).message.ends_with("not found"));
    // Until somebody tells more, the scheduler's words are what there is.
    case.observed.warnings.clear();
    case.turn();
    assert_eq!(case.says(Ready), ("False", "Unschedulable"));
}

/// Events about a pod do not change the pod: unless somebody looks, nobody hears of them.
#[test]
fn a_pod_that_has_not_started_is_looked_at_when_its_grace_is_over_and_from_then_on() {
    let mut case = made();
    pending(&mut case, of_pod("PodScheduled", "True", None, "", 0));
    case.pass(20);
    assert_eq!(case.turn().requeue, Some(Duration::from_secs(40)));
    case.pass(40);
    assert_eq!(case.turn().requeue, Some(LOOK_AGAIN));
    assert_eq!(case.says(Ready), ("True", "Training"), "an image may take its time");
}

#[test]
fn a_job_held_by_a_queue_is_said() {
    let mut case = made();
    case.holds("train", true, false);
    is_ready_before_and_not_after_a_minute(&mut case, "Queued", "held by another controller");
}

#[test]
fn a_sampler_that_crashes_again_and_again_is_said_until_it_stays_up() {
    let mut case = made();
    let job = case.job("train");
    let restarted = |state: ContainerState| {
        let mut sampler = running("sampler");
        sampler.restart_count = 2;
        sampler.state = Some(state);
        sampler.last_state = Some(ContainerState {
            terminated: Some(ContainerStateTerminated {
                exit_code: 70,
                message: Some("no space left".to_owned()),
                ..ContainerStateTerminated::default()
            }),
            ..ContainerState::default()
        });
        sampler
    };
    let up = ContainerState {
        running: Some(ContainerStateRunning {
            started_at: Some(Time(at(0))),
        }),
        ..ContainerState::default()
    };
    let down = waiting("sampler", "CrashLoopBackOff").state.unwrap();
    for state in [down, up] {
        case.has_pod(pod(&job, "Running", vec![running("trainer"), restarted(state)]));
        case.turn();
        assert_eq!(case.says(Ready), ("False", "CrashLooping"));
        assert!(case.condition(Ready).message.contains("exit code 70: no space left"));
    }
    case.pass(60);
    case.turn();
    assert_eq!(case.says(Ready), ("True", "Training"), "it has stayed up");
}

#[test]
fn a_pod_on_a_silent_node_is_said_then_deleted_but_never_doubled() {
    let mut case = training(json!({}));
    let silent = vec![
        of_pod("ContainersReady", "True", None, "", 0),
        of_pod("Ready", "False", None, "", 0),
    ];
    case.edit_pod("train", |pod| {
        pod.spec = Some(PodSpec {
            node_name: Some("gpu-7".to_owned()),
            ..PodSpec::default()
        });
        pod.status.as_mut().unwrap().conditions = Some(silent);
    });
    is_ready_before_and_not_after_a_minute(&mut case, "NodeLost", "ode 'gpu-7' of pod");
    case.pass(540);
    let deleted = case.turn().delete;
    let pod = case.observed.pods_of(&case.job("train")).next().unwrap().clone();
    let expected = Delete {
        kind: Kind::Pod,
        name: pod.name_any(),
        uid: pod.uid().unwrap(),
    };
    assert_eq!(deleted, [expected], "by its own deletion, not by force");
    case.edit_pod("train", |pod| pod.metadata.deletion_timestamp = Some(Time(at(630))));
    case.pass(100);
    let actions = case.turn();
    assert!(
        actions.ensure.is_empty() && actions.delete.is_empty(),
        "nobody knows whether it has ended"
    );
    assert_eq!(case.says(Ready), ("False", "NodeLost"));
    assert!(
        case.condition(Ready)
            .message
            .contains("node.kubernetes.io/out-of-service")
    );
}

#[test]
fn a_pod_that_is_not_ready_by_its_own_word_is_on_no_silent_node() {
    let mut case = training(json!({}));
    case.edit_pod("train", |pod| {
        pod.status.as_mut().unwrap().conditions = Some(vec![
            of_pod("ContainersReady", "False", Some("ContainersNotReady"), "", 0),
            of_pod("Ready", "False", Some("ContainersNotReady"), "", 0),
        ]);
    });
    case.pass(3600);
    case.turn();
    assert_eq!(case.says(Ready), ("True", "Training"));
}

#[test]
fn a_hung_trainer_is_given_up_after_its_deadline_and_only_then() {
    let hung = |deadline: Value| {
        let mut case = training(json!({"training": {"progressDeadlineSeconds": deadline}}));
        case.edit_pod("train", |pod| {
            let statuses = pod.status.as_mut().unwrap().container_statuses.as_mut().unwrap();
            statuses[0].state.as_mut().unwrap().running = Some(ContainerStateRunning {
                started_at: Some(Time(at(0))),
            });
        });
        case.observed.sampler = Some(sampler_status(&case.plan_digest(), 0, 3));
        case.pass(20);
        case.turn();
        case
    };
    let mut case = hung(json!(100));
    case.pass(99);
    assert_eq!(case.turn().events, []);
    case.pass(1);
    assert_eq!(told(&case.turn()), ["NoProgress"]);
    assert_eq!(case.phase(), (0, 1, 1));
    assert_eq!(
        case.turn().delete.len(),
        1,
        "given up in the status first, deleted then"
    );

    let mut mute = hung(json!(100));
    mute.observed.sampler = None;
    mute.pass(10_000);
    assert_eq!(
        mute.turn().events,
        [],
        "a sampler that nobody reaches says nothing of its trainer"
    );

    let mut moving = hung(json!(100));
    moving.pass(100);
    moving.observed.sampler = Some(sampler_status(&moving.plan_digest(), 0, 4));
    assert_eq!(moving.turn().events, []);

    let mut told_long_ago = hung(json!(100));
    told_long_ago.pass(300);
    told_long_ago.observed.sampler_age = std::time::Duration::from_secs(201);
    assert_eq!(told_long_ago.turn().events, [], "it was told before the deadline");
    told_long_ago.observed.sampler_age = std::time::Duration::from_secs(200);
    assert_eq!(told(&told_long_ago.turn()), ["NoProgress"]);

    let mut patient = hung(Value::Null);
    patient.pass(100_000);
    assert_eq!(patient.turn().events, [], "off by default");
}

#[test]
fn silence_is_asked_about_only_while_nothing_runs() {
    let mut case = made();
    let silence = case.observed.silence().unwrap();
    assert_eq!(silence.about, About::Object("digits-train-0".to_owned()));
    pending(&mut case, of_pod("PodScheduled", "False", Some("Unschedulable"), "", 0));
    assert_eq!(case.observed.silence(), None, "the pod says it itself");
    pending(&mut case, of_pod("PodScheduled", "True", None, "", 7));
    let silence = case.observed.silence().unwrap();
    assert_eq!(silence.about, About::Object("pod-of-digits-train-0".to_owned()));
    assert_eq!(silence.since, at(7));
    case.runs("train");
    assert_eq!(case.observed.silence(), None);
    assert_eq!(case.turn().requeue, Some(Duration::from_secs(10)));
}
