//! What became of the visit that the status names. Looks, and decides nothing.
//!
//! | the status says | its Job | it is |
//! |---|---|---|
//! | visit v, no UID | is not there | to be made |
//! | visit v, no UID | is there | made by a turn that died before the UID was written; it counts as if the UID were written |
//! | visit v, UID u | is not there, or is another one | lost |
//! | visit v, UID u | lives | running |
//! | visit v, UID u | ended, and its pod was disrupted or is gone | interrupted |
//! | visit v, UID u | failed otherwise | failed |
//! | visit v, UID u | completed otherwise | trained with a matching result, else failed |

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use crate::api::conditions::Reason;
use crate::api::status::CurrentVisit;
use crate::controller::evidence::{self, Failure, Outcome};
use crate::controller::observed::Observed;
use crate::sampler::contract::SamplerStatus;

/// What became of a visit.
pub(super) enum Attempt<'a> {
    /// Its Job is still to be made, under this name.
    ToMake(String),
    /// Its Job lives.
    Running(Running<'a>),
    /// It trained its phase to the end.
    Trained(Box<SamplerStatus>),
    /// Something outside of the trainer ended it, in words: nobody is to blame, and whatever it left is no result.
    Interrupted(String),
    /// It failed or was lost.
    Failed(Failure),
}

/// A live training Job.
pub(super) struct Running<'a> {
    pub(super) job: &'a Job,
    pub(super) pods: Vec<&'a Pod>,
}

/// Looks at the Job of a visit.
pub(super) fn look<'a>(observed: &'a Observed, current: &CurrentVisit) -> Attempt<'a> {
    let name = observed.train_job_name(current);
    let lost = |message| Attempt::Failed(Failure::new(Reason::JobLost, message));
    let Some(job) = observed.job_named(&name) else {
        return match current.job_uid {
            None => Attempt::ToMake(name),
            Some(_) => lost(format!("Job '{name}' is gone")),
        };
    };
    if current.job_uid.is_some() && current.job_uid != job.uid() {
        return lost(format!("Job '{name}' is gone and another one has its name"));
    }
    let pods: Vec<&Pod> = observed.pods_of(job).collect();
    let outcome = evidence::outcome(job);
    if outcome != Outcome::Live
        && let Some(words) = evidence::disruption(&pods)
    {
        return Attempt::Interrupted(words);
    }
    match outcome {
        Outcome::Live => Attempt::Running(Running { job, pods }),
        Outcome::Failed { .. } => Attempt::Failed(evidence::training_failure(job, &pods)),
        Outcome::Complete => {
            result(current, &pods).map_or_else(Attempt::Failed, |result| Attempt::Trained(Box::new(result)))
        }
    }
}

/// The sampler's result of a completed Job, if it proves that the phase was trained to its end.
///
/// Exit code 0 alone is no success: the trainer may have stopped early, or not have used the sampler at all.
fn result(current: &CurrentVisit, pods: &[&Pod]) -> Result<SamplerStatus, Failure> {
    let mismatch = |message: String| Failure::new(Reason::ResultMismatch, message);
    let Some(result) = evidence::sampler_result(pods) else {
        return Err(mismatch(
            "the trainer exited with code 0, but the sampler left no valid result".to_owned(),
        ));
    };
    if !is_of(&result, current) {
        return Err(mismatch(
            "the trainer exited with code 0, but the sampler's result is of another plan".to_owned(),
        ));
    }
    if let Some(fault) = &result.trainer_fault {
        return Err(mismatch(format!(
            "the trainer exited with code 0, but nothing of it counts: {fault}"
        )));
    }
    let (served, end) = (result.served_step, result.end());
    if served != end {
        return Err(mismatch(format!(
            "the trainer exited with code 0 after step {served}, but the phase ends at {end}"
        )));
    }
    Ok(result)
}

/// Whether a status is of the plan and the steps of this visit.
pub(super) fn is_of(status: &SamplerStatus, current: &CurrentVisit) -> bool {
    current.plan_digest.as_ref() == Some(&status.plan_digest)
        && i32::try_from(status.phase_index) == Ok(current.phase_index)
        && i64::try_from(status.end_step) == Ok(current.end_step)
}
