//! Batches that are counted in tokens: each holds the next rows of the phase's sequence, as many as fit into the budget.
//!
//! ```text
//! slots of the phase   ├─ block ─┼─ block ─┼─ block ─┼─ block ─┼┄   up to 64 slots each, from the segment's first on; shuffled within
//! batches              ├─ t=0 ─────┼ t=1 ┼──── t=2 ──────┼┄         a batch ends before the row that does not fit any more
//! ```
//! What stands in a slot does not depend on where batches begin, but where a batch begins follows from all batches before it. So that
//! any step can be asked for, the first slots of some are kept, and the others are found again from the one before.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Place, SampleError, Sampler, rank_slots};
use crate::curriculum::mix;
use crate::curriculum::order::RowOrder;
use crate::curriculum::permute::Permutation;
use crate::curriculum::plan::{MAX_BLOCK, Plan, TokenBudget};

/// Of so many steps the first slot of one is kept for good: 8 bytes.
const STRIDE: u64 = 64;
/// The first slots of so many steps in a row are kept: several ranks ask for the same steps, each at its own time.
const RECENT: usize = 1024;

/// A batch whose rows are counted in tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packed {
    /// Its rows.
    pub rows: Vec<u64>,
    /// Tokens that each counts as; their sum is within the budget.
    pub lengths: Vec<u32>,
}

impl Packed {
    /// Tokens of the batch.
    pub fn tokens(&self) -> u64 {
        self.lengths.iter().map(|&length| u64::from(length)).sum()
    }

    /// Which rows are those of a rank; see [`bounds`]. `plan` is the one that the batch is of.
    pub fn part(&self, rank: u32, world: u32, plan: &Plan) -> Range<usize> {
        let least = plan.fewest_rows() / u64::from(world.max(1));
        let bounds = bounds(&self.lengths, world, plan.batch_size, least as usize);
        let at = |rank: u32| bounds.get(rank as usize).copied().unwrap_or(self.rows.len());
        at(rank)..at(rank.saturating_add(1))
    }

    fn clear(&mut self) {
        self.rows.clear();
        self.lengths.clear();
    }
}

/// Where the rows of each rank begin among those of a batch, and last how many rows it has.
///
/// A row goes to the rank in whose part of the tokens its middle lies, so that no rank has a whole row more than its part of them. But
/// every rank has `least` rows, if there are enough, and none has more than its part of `batch_size` slots ([`rank_slots`]).
fn bounds(lengths: &[u32], world: u32, batch_size: u64, least: usize) -> Vec<usize> {
    let rows = lengths.len();
    let slots_before = |rank: u32| match rank < world {
        true => rank_slots(batch_size, rank, world).start as usize,
        false => batch_size as usize,
    };
    let total: u64 = lengths.iter().map(|&length| u64::from(length)).sum();
    // Twice, so that the middle of a row is a whole number.
    let middles = lengths.iter().scan(0_u64, |before, &length| {
        let middle = 2 * *before + u64::from(length);
        *before += u64::from(length);
        Some(middle)
    });
    let mut bounds = vec![0];
    let mut middles = middles.peekable();
    let (mut ideal, mut last) = (0, 0);
    for rank in 1..world {
        let edge = 2 * u128::from(total) * u128::from(rank);
        while middles
            .next_if(|middle| u128::from(*middle) * u128::from(world) < edge)
            .is_some()
        {
            ideal += 1;
        }
        // Those behind it need rows too, and have room for so many.
        let behind = least.saturating_mul((world - rank) as usize);
        let room = slots_before(world) - slots_before(rank);
        let from = (last + least).max(rows.saturating_sub(room)).min(rows);
        let to = rows
            .saturating_sub(behind)
            .min(last + slots_before(rank) - slots_before(rank - 1));
        last = ideal.clamp(from.min(to.max(last)), to.max(last));
        bounds.push(last);
    }
    bounds.push(rows);
    bounds
}

/// Where the batches of a phase begin, as far as it is known.
#[derive(Debug, Default)]
pub(super) struct Starts {
    /// Place of the phase in the plan.
    phase: usize,
    /// First slot of the phase's steps 0, [`STRIDE`], 2·[`STRIDE`], …
    kept: Vec<u64>,
    /// First slot of each segment, ascending. It is the first after a block of the segment before.
    segments: Vec<u64>,
    /// First slots of steps in a row, the last ones found.
    recent: VecDeque<u64>,
    /// Step of the phase that `recent` begins with.
    recent_from: u64,
}

impl Starts {
    fn new(phase: usize) -> Self {
        Self {
            phase,
            kept: vec![0],
            segments: vec![0],
            recent: VecDeque::new(),
            recent_from: 0,
        }
    }

    /// The last step of the phase up to `t` whose first slot is known, and that.
    fn before(&self, t: u64) -> (u64, u64) {
        let near = t.checked_sub(self.recent_from).and_then(|ahead| {
            let last = self.recent.len().checked_sub(1)? as u64;
            let place = ahead.min(last);
            Some((self.recent_from + place, self.recent[place as usize]))
        });
        let last = self.kept.len().saturating_sub(1) as u64;
        let number = (t / STRIDE).min(last);
        let far = (number * STRIDE, self.kept.get(number as usize).copied().unwrap_or(0));
        near.filter(|near| near.0 >= far.0).unwrap_or(far)
    }

    /// Notes that a step of that segment begins at a slot.
    fn enter(&mut self, segment: usize, slot: u64, block: u64) {
        while self.segments.len() <= segment {
            let last = self.segments.last().copied().unwrap_or(0);
            self.segments
                .push(last + slot.saturating_sub(last).div_ceil(block) * block);
        }
    }

    /// The segment that a slot is drawn by, in a step of segment `last` or of one before.
    fn segment_of(&self, slot: u64, last: usize) -> usize {
        let begun = &self.segments[..self.segments.len().min(last + 1)];
        begun.partition_point(|first| *first <= slot).saturating_sub(1)
    }

    /// Notes where a step begins.
    fn note(&mut self, t: u64, slot: u64) {
        if t == self.kept.len() as u64 * STRIDE {
            self.kept.push(slot);
        }
        let next = self.recent_from + self.recent.len() as u64;
        if self.recent.is_empty() || t > next {
            self.recent.clear();
            self.recent_from = t;
        } else if t < next {
            return;
        }
        self.recent.push_back(slot);
        if self.recent.len() > RECENT {
            self.recent.pop_front();
            self.recent_from += 1;
        }
    }
}

impl Sampler {
    /// Fills `out` with a step's batch of a plan with [`tokens`](crate::curriculum::plan::Plan::tokens): at least
    /// [`fewest_rows`](crate::curriculum::plan::Plan::fewest_rows), and one more would not fit, or the batch has `batchSize` rows.
    /// Without `tokens` it is [`Sampler::batch`], each row of as many tokens as the order says.
    ///
    /// The first call for a late step of a phase draws the batches before it.
    ///
    /// # Errors
    /// When the step is not one of the plan's. `out` is empty then.
    pub fn packed<O: RowOrder + ?Sized>(&self, step: u64, order: &O, out: &mut Packed) -> Result<(), SampleError> {
        out.clear();
        let Some(budget) = self.plan.tokens else {
            self.batch(step, order, &mut out.rows)?;
            out.lengths.resize(out.rows.len(), 0);
            order.lengths(&out.rows, &mut out.lengths);
            return Ok(());
        };
        let (phase, _) = self.place(step)?;
        let phase_start = self.plan.phases[phase].start_step;
        let mut starts = self.starts_of(phase);
        let (mut t, mut slot) = starts.before(step - phase_start);
        loop {
            let at = phase_start + t;
            self.fill(at, &mut starts, slot, budget, order, out)?;
            starts.note(t, slot);
            slot += out.rows.len() as u64;
            starts.note(t + 1, slot);
            if at == step {
                return Ok(());
            }
            t += 1;
        }
    }

    fn starts_of(&self, phase: usize) -> MutexGuard<'_, Starts> {
        let mut starts = self.packing.lock().unwrap_or_else(PoisonError::into_inner);
        if starts.phase != phase || starts.kept.is_empty() {
            *starts = Starts::new(phase);
        }
        starts
    }

    /// Replaces `out` by the rows from slot `first` on that fit. The first slots of all segments before the step's are known: it was
    /// come to through them.
    fn fill<O: RowOrder + ?Sized>(
        &self,
        step: u64,
        starts: &mut Starts,
        first: u64,
        TokenBudget { budget, max_length }: TokenBudget,
        order: &O,
        out: &mut Packed,
    ) -> Result<(), SampleError> {
        out.clear();
        let (place, segment) = self.place(step)?;
        let phase = &self.plan.phases[place];
        let size = TokenBudget::block(self.plan.batch_size);
        starts.enter(segment, first, size);
        let (mut rows, mut lengths) = ([0; MAX_BLOCK as usize], [0; MAX_BLOCK as usize]);
        let (mut tokens, mut next) = (0, first);
        loop {
            // What is left of a block is drawn as it began, though the shares have changed: so no draw is lost.
            let drawn_by = starts.segment_of(next, segment);
            let first_slot = |segment: usize| starts.segments.get(segment).copied().unwrap_or(first);
            let table = self.table(place, drawn_by, first_slot, order);
            let bounds = table.bounds(&self.plan, phase, step, order);
            let ahead = next - table.first_slot;
            let (block, within) = (ahead / size, (ahead % size) as usize);
            let (rows, lengths) = (&mut rows[within..size as usize], &mut lengths[within..size as usize]);
            let slots = table.first_slot + block * size..table.first_slot + (block + 1) * size;
            let key = mix::child(mix::child(table.slots_key, phase.segments[drawn_by].start_step), block);
            let shuffle = (table.strata.len() > 1).then(|| Permutation::new(size, key));
            let place = Place {
                shuffle: shuffle.as_ref(),
                next: 0,
                batch_size: size,
                slots: within as u64..size,
                out: rows,
            };
            next = slots.end;
            table.draw(slots, phase, &bounds, order, place);
            order.lengths(rows, lengths);
            for (&row, &length) in rows.iter().zip(&*lengths) {
                let length = u64::from(length).clamp(1, max_length);
                if tokens + length > budget || out.rows.len() as u64 == self.plan.batch_size {
                    return Ok(());
                }
                tokens += length;
                out.rows.push(row);
                // At most the greatest length, which fits.
                out.lengths.push(u32::try_from(length).unwrap_or(u32::MAX));
            }
        }
    }
}

/// What a sampler keeps of where batches begin.
pub(super) type Packing = Mutex<Starts>;

#[cfg(test)]
mod tests;
