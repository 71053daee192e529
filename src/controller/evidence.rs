//! What finished and stuck Jobs say: outcomes, exit codes, termination messages.
//!
//! Pods run other people's programs, so all of it is untrusted: bounded, checked and cleaned before anything is decided
//! on it. Nothing here reads the clock or the cluster.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

mod disruption;

pub(crate) use self::disruption::disruption;
use super::build::SCORER_PREFIX;
use super::untrusted;
use crate::api::conditions::Reason;
use crate::api::names::SAMPLER;
use crate::index::summary::IndexSummary;
use crate::sampler::contract::SamplerStatus;
use crate::scoring::message::{self, NoReport};
use crate::scoring::report::{self, EXIT_DATASET, EXIT_SCORES, Inspection, Report};

/// Waiting reasons that mean: without a change from outside, this container will not start.
const STUCK: [&str; 7] = [
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImageInspectError",
    "CreateContainerConfigError",
    "CreateContainerError",
];
/// What the data set can be at fault for.
const DATASET_REASONS: [Reason; 6] = [
    Reason::DatasetNotFound,
    Reason::DatasetUnreadable,
    Reason::DatasetEmpty,
    Reason::ColumnNotFound,
    Reason::TooManyGroups,
    Reason::InvalidSpec,
];
/// What the scores can be at fault for.
const SCORES_REASONS: [Reason; 3] = [Reason::ScoresInvalid, Reason::CoverageTooLow, Reason::ColumnNotFound];

/// Why something failed: a documented reason, and words for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Reason of the condition and of the event.
    pub reason: Reason,
    /// At most 512 characters of foreign text, without control characters.
    pub message: String,
}

impl Failure {
    pub(crate) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }
}

/// What became of a Job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Not finished: running, waiting, or suspended.
    Live,
    /// It succeeded.
    Complete,
    /// It failed; the Job controller's reason (such as `DeadlineExceeded`) and words.
    Failed { reason: String, message: String },
}

/// The outcome by the Job's final conditions. `FailureTarget` and `SuccessCriteriaMet` are not final: pods may still run.
pub(crate) fn outcome(job: &Job) -> Outcome {
    let status = job.status.as_ref();
    let conditions = status
        .and_then(|status| status.conditions.as_deref())
        .unwrap_or_default();
    let holding = |name: &str| conditions.iter().find(|c| c.type_ == name && c.status == "True");
    if holding("Complete").is_some() {
        return Outcome::Complete;
    }
    holding("Failed").map_or(Outcome::Live, |condition| Outcome::Failed {
        reason: condition.reason.clone().unwrap_or_default(),
        message: untrusted::clean(condition.message.as_deref().unwrap_or_default()),
    })
}

/// Whether a Job can still run pods.
pub(crate) fn is_live(job: &Job) -> bool {
    outcome(job) == Outcome::Live
}

/// Whether every container of the pod has ended for good.
pub(crate) fn has_ended(pod: &Pod) -> bool {
    matches!(phase(pod), Some("Succeeded" | "Failed"))
}

/// The pod's phase as the kubelet gives it.
pub(crate) fn phase(pod: &Pod) -> Option<&str> {
    pod.status.as_ref()?.phase.as_deref()
}

/// When the last of the pod's main containers began to run; `None`: none does.
pub(crate) fn trainer_started(pod: &Pod) -> Option<Timestamp> {
    let containers = pod.status.as_ref()?.container_statuses.as_ref()?;
    let running = containers
        .iter()
        .filter_map(|status| status.state.as_ref()?.running.as_ref());
    running.filter_map(|running| Some(running.started_at.as_ref()?.0)).max()
}

/// What `curriculum inspect` reported.
///
/// # Errors
/// Why there is no valid report.
pub(crate) fn inspection(pods: &[&Pod]) -> Result<Inspection, NoReport> {
    match report_of(pods, "inspect")? {
        Report::Inspected(inspection) => untrusted::inspection(inspection).ok_or(NoReport::Other),
        _ => Err(NoReport::Other),
    }
}

/// What `curriculum index` reported.
///
/// # Errors
/// Why there is no valid report.
pub(crate) fn index_summary(pods: &[&Pod]) -> Result<IndexSummary, NoReport> {
    match report_of(pods, "index")? {
        Report::Indexed(summary) if untrusted::is_plausible_summary(&summary) => Ok(summary),
        _ => Err(NoReport::Other),
    }
}

/// When a Job ended.
pub(crate) fn ended_at(job: &Job) -> Option<Timestamp> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    let ends = conditions
        .iter()
        .filter(|c| c.status == "True" && matches!(c.type_.as_str(), "Complete" | "Failed"));
    ends.filter_map(|c| Some(c.last_transition_time.as_ref()?.0)).max()
}

/// The result that the sampler of a successful training pod left; `None` when it left no valid one.
///
/// A sampler that restarted while the trainer ended left it in its last state, if it had no time to leave it again.
pub(crate) fn sampler_result(pods: &[&Pod]) -> Option<SamplerStatus> {
    let succeeded = pods.iter().filter(|pod| phase(pod) == Some("Succeeded"));
    let left = |pod: &&&Pod| {
        let status = statuses(pod).find(|status| status.name == SAMPLER)?;
        let states = [status.state.as_ref(), status.last_state.as_ref()]
            .into_iter()
            .flatten();
        let mut messages = states.filter_map(|state| state.terminated.as_ref()?.message.as_deref());
        messages.find_map(untrusted::sampler_result)
    };
    succeeded.filter_map(|pod| left(&pod)).next_back()
}

fn report_of(pods: &[&Pod], container: &str) -> Result<Report, NoReport> {
    message::decode(message_of(pods, container).unwrap_or_default())
}

/// Termination message of that container in a pod that succeeded.
fn message_of<'a>(pods: &[&'a Pod], container: &str) -> Option<&'a str> {
    let succeeded = pods.iter().filter(|pod| phase(pod) == Some("Succeeded"));
    succeeded
        .filter_map(|pod| {
            terminations(pod)
                .find(|(name, _)| *name == container)?
                .1
                .message
                .as_deref()
        })
        .next_back()
}

/// Who is at fault for a failed scoring Job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The data set: no fallback can help.
    Dataset(Failure),
    /// Anything else: `onFailure` decides.
    Scoring(Failure),
}

/// Why a scoring Job failed, by the exit codes of `docs/design/contracts.md`, "Scoring pods".
///
/// Only the operator's own containers can blame the data set: a user's scorer that happens to exit with 65 is a scorer
/// that failed, and training goes on.
pub(crate) fn scoring_fault(job: &Job, pods: &[&Pod]) -> Fault {
    let name = job.name_any();
    let Outcome::Failed { reason, message } = outcome(job) else {
        return Fault::Scoring(Failure::new(
            Reason::ScorerFailed,
            format!("Job '{name}' has not failed"),
        ));
    };
    if reason == "DeadlineExceeded" {
        let message = format!("Job '{name}' ran longer than `scoring.timeoutSeconds`");
        return Fault::Scoring(Failure::new(Reason::ScoringTimedOut, message));
    }
    let Some(last) = Failed::worst_of(pods) else {
        let message = if message.is_empty() {
            "it left no pod to ask".to_owned()
        } else {
            message
        };
        return Fault::Scoring(Failure::new(
            Reason::ScorerFailed,
            format!("Job '{name}' failed: {message}"),
        ));
    };
    let own = !last.container.starts_with(SCORER_PREFIX);
    let said = last.report();
    let reason = |allowed: &[Reason], otherwise| {
        let named = said.as_ref().and_then(|failure| Reason::parse(&failure.reason));
        named.filter(|reason| allowed.contains(reason)).unwrap_or(otherwise)
    };
    match last.exit_code() {
        Some(EXIT_DATASET) if own => Fault::Dataset(Failure::new(
            reason(&DATASET_REASONS, Reason::DatasetUnreadable),
            last.words(),
        )),
        Some(EXIT_SCORES) => Fault::Scoring(Failure::new(
            reason(&SCORES_REASONS, Reason::ScoresInvalid),
            last.words(),
        )),
        _ => Fault::Scoring(Failure::new(Reason::ScorerFailed, last.words())),
    }
}

/// Why a training Job failed.
pub(crate) fn training_failure(job: &Job, pods: &[&Pod]) -> Failure {
    let message = match (Failed::worst_of(pods), outcome(job)) {
        (Some(last), _) => last.words(),
        (None, Outcome::Failed { message, .. }) if !message.is_empty() => message,
        (None, _) => "the Job failed, and no container of its pods did".to_owned(),
    };
    Failure::new(Reason::TrainerFailed, message)
}

/// A container that ended with an error.
struct Failed<'a> {
    container: &'a str,
    state: &'a ContainerStateTerminated,
}

impl<'a> Failed<'a> {
    /// The container that says most: one that names a culprit by its exit code, else one with words, else the last one.
    fn worst_of(pods: &[&'a Pod]) -> Option<Self> {
        let ended = pods.iter().filter(|pod| has_ended(pod));
        let failed = ended
            .flat_map(|pod| terminations(pod))
            .filter(|(_, state)| state.exit_code != 0);
        failed
            .map(|(container, state)| Self { container, state })
            .max_by_key(|failed| {
                let culprit = match failed.exit_code() {
                    Some(EXIT_DATASET) => 2,
                    Some(EXIT_SCORES) => 1,
                    _ => 0,
                };
                // The sampler is stopped when the trainer has failed, so its end says least.
                let cause = failed.container != SAMPLER;
                let words = failed
                    .state
                    .message
                    .as_ref()
                    .is_some_and(|message| !message.trim().is_empty());
                (
                    culprit,
                    cause,
                    words,
                    failed.state.finished_at.as_ref().map(|time| time.0),
                )
            })
    }

    fn exit_code(&self) -> Option<u8> {
        u8::try_from(self.state.exit_code).ok()
    }

    fn report(&self) -> Option<report::Failure> {
        match message::decode(self.state.message.as_deref()?).ok()? {
            Report::Error(failure) => Some(failure),
            _ => None,
        }
    }

    fn words(&self) -> String {
        if let Some(failure) = self.report() {
            return untrusted::clean(&failure.message);
        }
        let Self { container, state } = self;
        let code = state.exit_code;
        let why = match state.reason.as_deref() {
            None | Some("" | "Error" | "Completed") => String::new(),
            Some(reason) => format!(" ({})", untrusted::clean(reason)),
        };
        match untrusted::clean(state.message.as_deref().unwrap_or_default()) {
            message if message.is_empty() => format!("container '{container}' exited with code {code}{why}"),
            message => format!("container '{container}' exited with code {code}{why}: {message}"),
        }
    }
}

/// A container that cannot start, in words that stay the same while it lasts.
pub(crate) fn stuck(pods: &[&Pod]) -> Option<String> {
    let live = pods
        .iter()
        .filter(|pod| !has_ended(pod) && pod.metadata.deletion_timestamp.is_none());
    live.flat_map(|pod| statuses(pod)).find_map(stuck_container)
}

fn stuck_container(status: &ContainerStatus) -> Option<String> {
    let waiting = status.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.as_deref().filter(|reason| STUCK.contains(reason))?;
    let (name, image) = (&status.name, untrusted::clean(&status.image));
    // The kubelet's own words alternate between an attempt and its back-off; only those of a bad config stay the same.
    Some(if reason.starts_with("CreateContainer") {
        let words = untrusted::clean(waiting.message.as_deref().unwrap_or(reason));
        format!("container '{name}' cannot be created: {words}")
    } else {
        format!("image '{image}' of container '{name}' cannot be pulled")
    })
}

/// Statuses of the pod's containers, init containers first.
pub(crate) fn statuses(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = pod.status.as_ref();
    let init = status
        .and_then(|status| status.init_container_statuses.as_deref())
        .unwrap_or_default();
    let main = status
        .and_then(|status| status.container_statuses.as_deref())
        .unwrap_or_default();
    init.iter().chain(main)
}

fn terminations(pod: &Pod) -> impl Iterator<Item = (&str, &ContainerStateTerminated)> {
    statuses(pod).filter_map(|status| Some((status.name.as_str(), status.state.as_ref()?.terminated.as_ref()?)))
}

#[cfg(test)]
mod tests;
