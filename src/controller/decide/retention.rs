//! What goes when its time is over: snapshots beyond `snapshots.keep`, and a finished job after `ttlSecondsAfterFinished`.

use std::time::Duration;

use kube::ResourceExt;

use super::turn::Turn;
use crate::controller::actions::{Delete, Kind};
use crate::controller::observed::visit;

/// Deletes the oldest snapshots beyond the number to keep.
///
/// The chain stays verifiable from the status: `status.visits` keeps every digest.
pub(super) fn snapshots(turn: &mut Turn<'_>) {
    let keep = usize::try_from(turn.job.spec.snapshots.keep).unwrap_or(1).max(1);
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

/// Deletes a job that has been over for `ttlSecondsAfterFinished`.
pub(super) fn finished_job(turn: &mut Turn<'_>) {
    let (Some(ttl), Some(ended)) = (
        turn.job.spec.ttl_seconds_after_finished,
        turn.status.completion_time.clone(),
    ) else {
        return;
    };
    let over = turn.after(Duration::from_secs(u64::try_from(ttl).unwrap_or_default()), ended.0);
    if turn.is_due(over) {
        turn.actions.delete.push(Delete {
            kind: Kind::CurriculumJob,
            name: turn.job.name_any(),
            uid: turn.job.uid().unwrap_or_default(),
        });
    }
}
