//! What keeps a Job from getting on, from the objects that know: the Job, its pods, and the events about them.
//!
//! | seen | reason |
//! |---|---|
//! | somebody else holds the Job, or gates keep its pod from the scheduler | `Queued` |
//! | the Job has made no pod | `PodRefused`, with the Job controller's words |
//! | a claim of the pod gets no volume | `VolumeUnavailable`, with the words of events about the claim |
//! | the scheduler finds no node | `Unschedulable`, with its words |
//! | a pod has a node, no container has started, and there are warnings | `VolumeUnavailable`, `PodNotStarted` |
//! | a container of some pods cannot start, while others of the Job have | `ImageUnavailable` |
//! | a container was restarted twice and has not run for long since | `CrashLooping` |
//! | a pod is not confirmed to be gone, or its node does not answer | `NodeLost` |
//!
//! Each of them may pass by itself, so each is said only after a grace, and none of them costs anything.

use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use super::children;
use super::conditions::State;
use super::turn::{Turn, When};
use crate::api::conditions::Reason;
use crate::api::names::LABEL_QUEUE;
use crate::controller::actions::{Delete, Kind};
use crate::controller::build::names;
use crate::controller::evidence::{self, Failure};
use crate::controller::observed::{About, Warning, component, is_deleting};
use crate::controller::untrusted;
use crate::controller::validate::Store;

/// How old a warning may be to count: the kubelet repeats those that still hold at least every 123 s.
const RECENT: Duration = Duration::from_secs(300);
/// Restarts after which a container that does not stay up counts as crashing.
const RESTARTS: i32 = 2;
/// What the cluster says of a claim without a class where no class is the default.
const NO_STORAGE_CLASS: &str = "no storage class is set";
/// How often to look at something in the way: events about a pod do not change the pod.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// Something in the way.
struct Obstacle {
    failure: Failure,
    since: Option<Timestamp>,
}

impl Obstacle {
    fn new(reason: Reason, since: Option<Timestamp>, message: String) -> Self {
        Self {
            failure: Failure::new(reason, message),
            since,
        }
    }
}

/// The state, unless something has been in the way for longer than the grace.
pub(super) fn in_the_way(turn: &mut Turn<'_>, state: State) -> State {
    if turn.is_suspended() || !matches!(state, State::Scoring | State::Training) {
        return state;
    }
    let observed = turn.observed;
    let Some(job) = observed.awaited_job() else {
        return state;
    };
    let pods: Vec<&Pod> = observed.pods_of(job).filter(|pod| !evidence::has_ended(pod)).collect();
    give_up_lost_nodes(turn, &pods);
    let Some(Obstacle { failure, since }) = find(turn, job, &pods) else {
        return state;
    };
    let over = since.map_or(When::Due, |since| turn.after(turn.settings.image_grace, since));
    if !turn.is_due(over) {
        return state;
    }
    turn.look_again_in(LOOK_AGAIN);
    State::Blocked(failure)
}

fn find(turn: &mut Turn<'_>, job: &Job, pods: &[&Pod]) -> Option<Obstacle> {
    if let Some(obstacle) = queued(job) {
        return Some(obstacle);
    }
    if let Some(obstacle) = pods.iter().find_map(|pod| lost(pod)) {
        return Some(obstacle);
    }
    if let Some(obstacle) = pods.iter().find_map(|pod| crashing(turn, pod)) {
        return Some(obstacle);
    }
    // One shard that runs is a run that moves.
    if pods.iter().any(|pod| evidence::phase(pod) == Some("Running")) {
        return None;
    }
    if let Some(obstacle) = pods.iter().find_map(|pod| on_a_bad_node(job, pod)) {
        return Some(obstacle);
    }
    if let Some(obstacle) = without_volume(turn) {
        return Some(obstacle);
    }
    if let Some(obstacle) = pods.iter().find_map(|pod| without_node(pod)) {
        return Some(obstacle);
    }
    silent(turn, job, pods)
}

fn queued(job: &Job) -> Option<Obstacle> {
    if !children::is_held(job) || children::is_held_by_us(job) {
        return None;
    }
    let conditions = job.status.as_ref().and_then(|status| status.conditions.as_ref());
    let held = conditions
        .into_iter()
        .flatten()
        .find(|c| c.type_ == "Suspended" && c.status == "True");
    let since = held.and_then(|condition| condition.last_transition_time.clone());
    let since = since.or_else(|| job.creation_timestamp()).map(|time| time.0);
    let queue = job
        .labels()
        .get(LABEL_QUEUE)
        .map_or_else(String::new, |queue| format!(" of queue '{}'", untrusted::clean(queue)));
    let message = format!("Job '{}' is held by another controller{queue}", job.name_any());
    Some(Obstacle::new(Reason::Queued, since, message))
}

/// A pod that cannot start where others of its Job have: not the image is bad, but its node. The Job waits for it up to its deadline.
fn on_a_bad_node(job: &Job, pod: &Pod) -> Option<Obstacle> {
    let message = evidence::stuck(&[pod])?;
    job.status.as_ref()?.succeeded.filter(|succeeded| *succeeded > 0)?;
    let node = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.node_name.as_deref())
        .unwrap_or("?");
    let message = format!(
        "{message} on node '{node}', where pod '{}' is; others of its Job have run",
        pod.name_any()
    );
    let since = pod.creation_timestamp().map(|time| time.0);
    Some(Obstacle::new(Reason::ImageUnavailable, since, message))
}

/// A claim that gets no volume. Without a default StorageClass that is what becomes of every claim that names none.
fn without_volume(turn: &mut Turn<'_>) -> Option<Obstacle> {
    let observed = turn.observed;
    let silence = observed.silence()?;
    let About::Claims(_) = silence.about else { return None };
    let newest = newest_warning(turn)?;
    let claim = untrusted::clean(&newest.about);
    let is_own = matches!(turn.run.store, Store::Own(_)) && claim == names::store_claim(&observed.name);
    let mend = match (newest.message.contains(NO_STORAGE_CLASS), is_own) {
        (false, _) => "",
        (true, true) => {
            ": there must be a default StorageClass, which helps this claim too, or the job must be made anew with \
             `store.claimTemplate.storageClassName`, or with `store.claimName` of a claim that has a volume"
        }
        (true, false) => {
            ": there must be a default StorageClass, which helps this claim too, or the claim must be made anew with a \
             `storageClassName`"
        }
    };
    let message = format!(
        "claim '{claim}' gets no volume: {}{mend}",
        untrusted::clean(&newest.message)
    );
    Some(Obstacle::new(Reason::VolumeUnavailable, Some(silence.since), message))
}

fn without_node(pod: &Pod) -> Option<Obstacle> {
    let condition = condition(pod, "PodScheduled").filter(|condition| condition.status == "False")?;
    let name = pod.name_any();
    let since = condition.last_transition_time.as_ref().map(|time| time.0);
    let words = untrusted::clean(condition.message.as_deref().unwrap_or_default());
    Some(if condition.reason.as_deref() == Some("SchedulingGated") {
        Obstacle::new(
            Reason::Queued,
            since,
            format!("pod '{name}' waits for its scheduling gates: {words}"),
        )
    } else {
        Obstacle::new(
            Reason::Unschedulable,
            since,
            format!("pod '{name}' has no node: {words}"),
        )
    })
}

/// The newest warning about what is silent, if it still holds.
fn newest_warning<'a>(turn: &Turn<'a>) -> Option<&'a Warning> {
    let recent = |warning: &&Warning| turn.after(RECENT, warning.at) != When::Due;
    turn.observed
        .warnings
        .iter()
        .filter(recent)
        .max_by_key(|warning| warning.at)
}

/// What the events say of a Job without pods, or of a pod that has a node and does not start.
fn silent(turn: &mut Turn<'_>, job: &Job, pods: &[&Pod]) -> Option<Obstacle> {
    let observed = turn.observed;
    let silence = observed.silence()?;
    let newest = newest_warning(turn);
    let since = Some(silence.since);
    let Some(pod) = pods.first() else {
        let name = job.name_any();
        let message = newest.map_or_else(
            || format!("Job '{name}' has made no pod, and nothing says why: see `kubectl describe job {name}`"),
            |warning| {
                format!(
                    "Job '{name}' cannot make its pod: {}",
                    untrusted::clean(&warning.message)
                )
            },
        );
        return Some(Obstacle::new(Reason::PodRefused, since, message));
    };
    let Some(newest) = newest else {
        // Events are asked for once the grace is over, and no change of the pod comes with them.
        if turn.is_due(turn.after(turn.settings.image_grace, silence.since)) {
            turn.look_again_in(LOOK_AGAIN);
        }
        return None;
    };
    let reason = match newest.reason.as_str() {
        "FailedMount" | "FailedAttachVolume" | "FailedMapVolume" => Reason::VolumeUnavailable,
        _ => Reason::PodNotStarted,
    };
    let message = format!(
        "pod '{}' cannot start: {}",
        pod.name_any(),
        untrusted::clean(&newest.message)
    );
    Some(Obstacle::new(reason, since, message))
}

/// A container that was restarted and does not stay up. It keeps counting until it has run for the grace, so that the state does not
/// change with every restart.
fn crashing(turn: &mut Turn<'_>, pod: &Pod) -> Option<Obstacle> {
    let status = evidence::statuses(pod).find(|status| status.restart_count >= RESTARTS && !runs_well(turn, status))?;
    let ended = status.last_state.as_ref()?.terminated.as_ref()?;
    let words = untrusted::clean(ended.message.as_deref().unwrap_or_default());
    let message = format!(
        "container '{}' of pod '{}' was restarted again and again, the last time after exit code {}{}{words}",
        status.name,
        pod.name_any(),
        ended.exit_code,
        if words.is_empty() { "" } else { ": " },
    );
    Some(Obstacle::new(Reason::CrashLooping, None, message))
}

fn runs_well(turn: &mut Turn<'_>, status: &ContainerStatus) -> bool {
    let Some(state) = &status.state else { return false };
    let Some(running) = &state.running else {
        // What has ended for good is judged when the pod has.
        return state.terminated.is_some();
    };
    let Some(started) = &running.started_at else {
        return true;
    };
    let long_enough = turn.after(turn.settings.image_grace, started.0);
    turn.is_due(long_enough)
}

/// A pod that was to be gone by now, or whose node the node controller has given up.
fn lost(pod: &Pod) -> Option<Obstacle> {
    let name = pod.name_any();
    let node = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.node_name.as_deref())
        .unwrap_or("?");
    if let Some(gone_by) = &pod.metadata.deletion_timestamp {
        let message = format!(
            "pod '{name}' is deleted, but node '{node}' does not confirm its end: training goes on elsewhere once the node is back, or \
             its Node object is deleted or tainted with `node.kubernetes.io/out-of-service`"
        );
        return Some(Obstacle::new(Reason::NodeLost, Some(gone_by.0), message));
    }
    let since = unanswered(pod)?;
    let message = format!("node '{node}' of pod '{name}' does not answer, and nobody knows whether the pod still runs");
    Some(Obstacle::new(Reason::NodeLost, Some(since), message))
}

/// Since when the node controller has marked a running pod as not ready, although its containers were when the node was last heard of.
fn unanswered(pod: &Pod) -> Option<Timestamp> {
    let ready = condition(pod, "Ready").filter(|condition| condition.status == "False")?;
    let containers = condition(pod, "ContainersReady").filter(|condition| condition.status == "True")?;
    let of_a_gate = ready.reason.as_deref() == Some("ReadinessGatesNotReady");
    let at = ready.last_transition_time.as_ref().map(|time| time.0)?;
    let before = containers.last_transition_time.as_ref().is_none_or(|time| time.0 <= at);
    (evidence::phase(pod) == Some("Running") && !of_a_gate && before).then_some(at)
}

/// Deletes training pods whose node has been silent for longer than the grace, unless the cluster has done so already. Not by force: a
/// pod is gone when its kubelet says so, when its Node object is deleted, or when an administrator taints the node as out of service,
/// so that there are never two trainers.
///
/// Dies before: the next turn deletes it. Dies after, or twice: it is on its way out. Stale: the UID keeps a newer pod safe; a pod whose
/// node has just come back is interrupted, which costs nothing but the way back to its checkpoint.
fn give_up_lost_nodes(turn: &mut Turn<'_>, pods: &[&Pod]) {
    for pod in pods {
        if component(&pod.metadata) != Some("train") || is_deleting(*pod) {
            continue;
        }
        let Some(since) = unanswered(pod) else { continue };
        let over = turn.after(turn.settings.node_grace, since);
        if turn.is_due(over) {
            turn.actions.delete.push(Delete {
                kind: Kind::Pod,
                name: pod.name_any(),
                uid: pod.uid().unwrap_or_default(),
            });
        }
    }
}

fn condition<'a>(pod: &'a Pod, type_: &str) -> Option<&'a PodCondition> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == type_)
}
