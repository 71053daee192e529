//! What became of the snapshots that are put on the store. No run waits for it, and none fails because of it.

use std::time::Duration;

use super::turn::Turn;
use crate::api::conditions::Reason;
use crate::api::status::{Archive, VisitStatus};
use crate::controller::build::names;
use crate::controller::evidence::{self, Outcome};

const ACTION: &str = "Archive";
/// How long a Job may be out of sight before it counts as deleted: longer than a store is ever behind.
const LOST_GRACE: Duration = Duration::from_secs(60);

/// Writes down which of them are there by now.
///
/// The Job was made before the status that calls it pending was written, so that one which is not there was deleted, or is not in the
/// store yet. It is not made again: only it had the snapshot's bytes. Dies before the status: the same is found again.
pub(super) fn step(turn: &mut Turn<'_>) {
    for place in 0..turn.status.visits.len() {
        let visit = turn.status.visits[place].clone();
        if visit.archive != Some(Archive::Pending) {
            continue;
        }
        let found = match look(turn, &visit) {
            None => continue,
            Some(Ok(())) => Archive::Archived,
            Some(Err(why)) => {
                let note = format!(
                    "The snapshot of phase '{}' is not on the store: {why}",
                    visit.phase_name
                );
                turn.warn(ACTION, Reason::SnapshotNotArchived, note);
                Archive::Failed
            }
        };
        turn.status.visits[place].archive = Some(found);
    }
}

/// Whether something is still to become of it.
pub(super) fn is_pending(turn: &Turn<'_>) -> bool {
    let mut visits = turn.status.visits.iter();
    visits.any(|visit| visit.archive == Some(Archive::Pending))
}

/// How it ended; `None`: it has not.
fn look(turn: &mut Turn<'_>, visit: &VisitStatus) -> Option<Result<(), String>> {
    let name = names::archive(&turn.run.head.id.name, visit.visit.unsigned_abs());
    let Some(job) = turn.observed.job_named(&name) else {
        let over = visit.end_time.as_ref().map(|end| turn.after(LOST_GRACE, end.0))?;
        return turn
            .is_due(over)
            .then(|| Err(format!("Job '{name}' is not there: it was refused, or deleted")));
    };
    match evidence::outcome(job) {
        Outcome::Live => None,
        Outcome::Complete => Some(Ok(())),
        Outcome::Failed { .. } => {
            let pods: Vec<_> = turn.observed.pods_of(job).collect();
            Some(Err(evidence::training_failure(job, &pods).message))
        }
    }
}
