//! Jobs that live on although the status has moved past them, and Jobs to hold or to let go on.

use std::sync::Arc;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::conditions::is_terminal;
use super::turn::Turn;
use crate::api::names::ANNOTATION_SUSPENDED;
use crate::api::status::{CurrentVisit, CurriculumJobStatus};
use crate::controller::actions::{Delete, Kind, SetSuspend};
use crate::controller::build::ARCHIVE;
use crate::controller::evidence;
use crate::controller::observed::{Observed, component, is_deleting, visit};
use crate::controller::validate::Head;

/// Deletes live Jobs that the *stored* status has left behind, and passes `spec.suspend` on to the others.
///
/// Only what is written counts, never what this turn is about to write: a Job is given up in the status first and deleted
/// afterwards, so that a crash between the two cannot make a later turn start the same work again. Finished Jobs stay for
/// whoever debugs the run; they go with their owner.
pub(super) fn tidy<R: AsRef<Head>>(turn: &mut Turn<'_, R>) {
    let Some(status) = turn.stored() else { return };
    let live = turn
        .observed
        .jobs
        .iter()
        .filter(|job| evidence::is_live(job) && !is_deleting(job.as_ref()));
    let (left, wanted): (Vec<_>, Vec<_>) = live.partition(|job| is_left_behind(job, status));
    turn.actions.delete.extend(left.into_iter().map(|job| Delete {
        kind: Kind::Job,
        name: job.name_any(),
        uid: job.uid().unwrap_or_default(),
    }));
    let suspend = turn.is_suspended();
    // A queueing controller holds Jobs too. So only what bears our mark is let go on; the mark is on the Job itself, because
    // a status that said so could be written by a turn that had not seen the Job yet, and the Job would be held for ever.
    // A Job that we hold but another one has let go on is not held again: that would be a fight without an end. A training Job of
    // that kind is replaced by `advance`, and so is one whose template was edited; a scoring Job goes and is made again.
    let outdated = status
        .current_visit
        .as_ref()
        .is_some_and(|current| is_outdated(turn.head(), current));
    let (fought_over, wanted): (Vec<_>, Vec<_>) = wanted
        .into_iter()
        .partition(|job| suspend && is_held_by_us(job) && !is_held(job));
    let scoring = fought_over
        .into_iter()
        .filter(|job| !is_training(job) && !is_archiving(job));
    turn.actions.delete.extend(scoring.map(|job| Delete {
        kind: Kind::Job,
        name: job.name_any(),
        uid: job.uid().unwrap_or_default(),
    }));
    let over = is_terminal(status);
    let other = wanted.into_iter().filter(|job| {
        if suspend && !over {
            !is_held(job)
        } else {
            is_held_by_us(job) && !(outdated && is_training(job))
        }
    });
    turn.actions.suspend.extend(other.map(|job| SetSuspend {
        name: job.name_any(),
        uid: job.uid().unwrap_or_default(),
        suspend,
    }));
}

/// Never true for a Job of a later visit than the status knows: then it is the status that is old.
fn is_left_behind(job: &Job, status: &CurriculumJobStatus) -> bool {
    // It may outlast the run: the snapshot would be lost with it.
    if is_archiving(job) {
        return false;
    }
    if is_terminal(status) {
        return true;
    }
    match component(&job.metadata) {
        Some("train") => {
            let current = status.current_visit.as_ref().map(|current| current.visit);
            visit(&job.metadata).is_some() && visit(&job.metadata) < current
        }
        _ => status.scores.is_some(),
    }
}

fn is_archiving(job: &Job) -> bool {
    component(&job.metadata) == Some(ARCHIVE)
}

fn is_training(job: &Job) -> bool {
    component(&job.metadata) == Some("train")
}

/// Whether `training` is not what it was when the visit was written down. A status of an earlier version says nothing of it.
pub(super) fn is_outdated(head: &Head, current: &CurrentVisit) -> bool {
    let made_from = current.template_digest.as_ref();
    made_from.is_some_and(|digest| *digest != head.template_digest)
}

/// Whether pods of the run still run, or a Job is not held yet that may make some.
pub(super) fn anything_runs(observed: &Observed) -> bool {
    let may_make = |job: &&Arc<Job>| evidence::is_live(job) && !is_held(job) && !is_deleting(job.as_ref());
    let of_ours = |pod: &&Arc<Pod>| {
        let ours = |job: &Arc<Job>| {
            pod.owner_references()
                .iter()
                .any(|owner| Some(&owner.uid) == job.metadata.uid.as_ref())
        };
        component(&pod.metadata) == Some("train") || observed.jobs.iter().any(ours)
    };
    let runs = |pod: &&Arc<Pod>| !evidence::has_ended(pod) && of_ours(pod);
    observed.jobs.iter().any(|job| may_make(&job)) || observed.pods.iter().any(|pod| runs(&pod))
}

pub(super) fn is_held(job: &Job) -> bool {
    job.spec.as_ref().and_then(|spec| spec.suspend) == Some(true)
}

pub(super) fn is_held_by_us(job: &Job) -> bool {
    job.annotations().contains_key(ANNOTATION_SUSPENDED)
}
