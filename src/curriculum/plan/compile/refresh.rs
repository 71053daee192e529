//! Refreshes: the steps at which a phase's segments begin.
//!
//! A pool that moves is sampled without repetition within a segment only as far as it stays the same (see `sampler/segment.rs`), so
//! segments begin where it has changed by an eighth. Where that would be too often, they begin where it has changed by more.

use super::super::{Admission, PoolPlan};
use crate::curriculum::pacing::first_above;

/// By how much a pool may change within a segment, tried in turn.
const RATIOS: [f64; 6] = [1.125, 1.5, 2.0, 4.0, 16.0, 256.0];

/// The steps of a phase of `duration` steps, the first 0 and at most `limit`, at which passes over the pools begin anew.
pub(super) fn of_pools(pools: &[PoolPlan], duration: u64, limit: usize) -> Vec<u64> {
    let mut steps = vec![0];
    let mut seen: Vec<&PoolPlan> = Vec::new();
    for pool in pools.iter().filter(|pool| !pool.is_constant()) {
        // Groups and bins of one pool move together.
        if seen
            .iter()
            .any(|other| other.admits == pool.admits && other.band == pool.band && other.least == pool.least)
        {
            continue;
        }
        seen.push(pool);
        steps.extend(of_pool(pool, duration, limit));
    }
    steps.sort_unstable();
    steps.dedup();
    thin(&mut steps, limit);
    steps
}

/// Evenly spaced steps from 0 to before `end`, at most `limit`.
pub(super) fn evenly(end: u64, limit: usize) -> Vec<u64> {
    let intervals = end.clamp(1, limit.max(1) as u64);
    (0..intervals)
        .map(|k| (u128::from(k) * u128::from(end) / u128::from(intervals)) as u64)
        .collect()
}

fn thin(steps: &mut Vec<u64>, limit: usize) {
    let keep = steps.len().div_ceil(limit.max(1));
    if keep > 1 {
        *steps = steps.iter().copied().step_by(keep).collect();
    }
}

fn of_pool(pool: &PoolPlan, duration: u64, limit: usize) -> Vec<u64> {
    match &pool.admits {
        Admission::Fraction(pacing) => {
            let span = |t| pool.shares_at(t).unwrap_or((0, 1));
            let turns = pacing.turns();
            RATIOS
                .iter()
                .find_map(|&ratio| by_ratio(&span, &turns, duration, ratio, limit))
                .unwrap_or_else(|| evenly(duration, limit))
        }
        // How many rows a score admits is not known here.
        Admission::Score(threshold) => evenly(threshold.steps.min(duration), limit),
        Admission::DeepSpeed(schedule) => schedule
            .changes(duration, limit)
            .unwrap_or_else(|| evenly(duration, limit)),
    }
}

/// The steps at which what the pool held since the step before is more than `ratio` times what it holds at the least; `None` when
/// they are more than `limit`.
fn by_ratio(
    span: &impl Fn(u64) -> (u64, u64),
    turns: &[u64],
    duration: u64,
    ratio: f64,
    limit: usize,
) -> Option<Vec<u64>> {
    let mut steps = Vec::new();
    let mut start = 0;
    // Pieces in which both ends move in one direction.
    let ends = turns
        .iter()
        .copied()
        .filter(|&t| t > 0 && t < duration)
        .chain([duration]);
    for end in ends {
        loop {
            let (from, to) = span(start);
            let moved = |t| {
                let (other_from, other_to) = span(t);
                let union = to.max(other_to) - from.min(other_from);
                let least = (to - from).min(other_to - other_from);
                union as f64 > least as f64 * ratio
            };
            if start + 1 >= end || !moved(end - 1) {
                break;
            }
            start = first_above(start, end, moved);
            if steps.len() == limit {
                return None;
            }
            steps.push(start);
        }
        if end < duration && end > start {
            start = end;
            if steps.len() == limit {
                return None;
            }
            steps.push(end);
        }
    }
    Some(steps)
}
