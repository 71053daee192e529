//! Jobs that live on although the status has moved past them, and Jobs to hold or to let go on.

use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;

use super::conditions::is_terminal;
use super::turn::Turn;
use crate::api::names::ANNOTATION_SUSPENDED;
use crate::api::status::CurriculumJobStatus;
use crate::controller::actions::{Delete, Kind, SetSuspend};
use crate::controller::evidence;
use crate::controller::observed::{component, is_deleting, visit};

/// Deletes live Jobs that the *stored* status has left behind, and passes `spec.suspend` on to the others.
///
/// Only what is written counts, never what this turn is about to write: a Job is given up in the status first and deleted
/// afterwards, so that a crash between the two cannot make a later turn start the same work again. Finished Jobs stay for
/// whoever debugs the run; they go with their owner.
pub(super) fn tidy(turn: &mut Turn<'_>) {
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
    let other = wanted
        .into_iter()
        .filter(|job| if suspend { !is_held(job) } else { is_held_by_us(job) });
    turn.actions.suspend.extend(other.map(|job| SetSuspend {
        name: job.name_any(),
        uid: job.uid().unwrap_or_default(),
        suspend,
    }));
}

/// Never true for a Job of a later visit than the status knows: then it is the status that is old.
fn is_left_behind(job: &Job, status: &CurriculumJobStatus) -> bool {
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

fn is_held(job: &Job) -> bool {
    job.spec.as_ref().and_then(|spec| spec.suspend) == Some(true)
}

fn is_held_by_us(job: &Job) -> bool {
    job.annotations().contains_key(ANNOTATION_SUSPENDED)
}
