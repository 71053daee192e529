//! What goes when its time is over: snapshots beyond `snapshots.keep`, and a finished job after `ttlSecondsAfterFinished`.

use super::archive;
use super::turn::Turn;
use crate::controller::actions::{Delete, Kind};
use crate::controller::observed::visit;

/// Deletes the oldest snapshots beyond the number to keep.
///
/// The chain stays verifiable from the status: `status.visits` keeps every digest.
pub(super) fn snapshots(turn: &mut Turn<'_>) {
    let keep = turn.run.snapshots_to_keep;
    let mut snapshots: Vec<_> = turn
        .observed
        .snapshots
        .iter()
        .filter(|meta| meta.deletion_timestamp.is_none())
        .collect();
    let excess = snapshots.len().saturating_sub(keep);
    snapshots.sort_by_key(|meta| visit(meta));
    turn.actions
        .delete
        .extend(snapshots.into_iter().take(excess).map(|meta| Delete {
            kind: Kind::Snapshot,
            name: meta.name.clone().unwrap_or_default(),
            uid: meta.uid.clone().unwrap_or_default(),
        }));
}

/// Deletes a job that has been over for `ttlSecondsAfterFinished`, once nothing of it is on its way to the archive.
pub(super) fn finished_job(turn: &mut Turn<'_>) {
    let (Some(ttl), Some(ended)) = (turn.run.time_to_live, turn.status.completion_time.clone()) else {
        return;
    };
    let over = turn.after(ttl, ended.0);
    if turn.is_due(over) && !archive::is_pending(turn) {
        turn.actions.delete.push(Delete {
            kind: Kind::CurriculumJob,
            name: turn.run.head.id.name.clone(),
            uid: turn.run.head.id.uid.clone(),
        });
    }
}
