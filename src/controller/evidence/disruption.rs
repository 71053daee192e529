//! Whether something outside of a pod ended it: then what it left is no result, and nobody of it is to blame.

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use super::untrusted;

/// What ended the newest of a Job's pods from outside, in words; `None`: the pod ended by itself. Earlier pods do not count: the
/// Job has replaced them.
///
/// A pod without any words of its own counts too: with `pods` empty its node is gone, or somebody removed it.
pub(crate) fn disruption(pods: &[&Pod]) -> Option<String> {
    let newest = pods
        .iter()
        .max_by_key(|pod| pod.creation_timestamp().map(|time| time.0));
    let Some(pod) = newest else {
        return Some("its pod is gone, and with it what it had to say".to_owned());
    };
    let name = pod.name_any();
    let ended = ended_at(pod);
    let came_first = |at: Option<Timestamp>| match (at, ended) {
        // What has ended before was not disturbed. Times have whole seconds, and a tie proves nothing.
        (Some(at), Some(ended)) => at <= ended,
        _ => true,
    };
    if let Some((at, words)) = marked(pod)
        && came_first(at)
    {
        return Some(format!("pod '{name}' was disrupted: {words}"));
    }
    let asked = asked_to_go(pod)?;
    came_first(Some(asked)).then(|| format!("pod '{name}' was deleted while it ran"))
}

/// The mark that everybody who disrupts a pod leaves on it: evictions, preemptions, taints, the kubelet's own shutdown.
fn marked(pod: &Pod) -> Option<(Option<Timestamp>, String)> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let mark = conditions
        .iter()
        .find(|c| c.type_ == "DisruptionTarget" && c.status == "True")?;
    let reason = mark.reason.as_deref().unwrap_or("DisruptionTarget");
    let words = match mark.message.as_deref().map(untrusted::clean) {
        Some(message) if !message.is_empty() => format!("{}: {message}", untrusted::clean(reason)),
        _ => untrusted::clean(reason),
    };
    Some((mark.last_transition_time.as_ref().map(|time| time.0), words))
}

/// When somebody asked for the pod's deletion: the API server writes when the time to obey is over.
fn asked_to_go(pod: &Pod) -> Option<Timestamp> {
    let over = pod.metadata.deletion_timestamp.as_ref()?.0;
    let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or_default().max(0);
    Some(over.checked_sub(SignedDuration::from_secs(grace)).unwrap_or(over))
}

/// When the last of the pod's main containers ended; `None` while one runs or its end is not known.
fn ended_at(pod: &Pod) -> Option<Timestamp> {
    let containers = pod.status.as_ref()?.container_statuses.as_ref()?;
    let ends = containers.iter().map(|status| {
        let state = status.state.as_ref()?.terminated.as_ref()?;
        state.finished_at.as_ref().map(|time| time.0)
    });
    ends.collect::<Option<Vec<_>>>()?.into_iter().max()
}
