//! The sampler: which rows make up the batch of a step. A pure function of plan, order and step, at the same cost for every step.
//!
//! ```text
//! step ─► slots [M, M+B) of the phase ─► quotas: draws [a, b) of each stratum, an interval of n rows at this step
//!                                          draw j ─► pass ⌊j/n⌋, position π(j mod n) ─► order ─► row
//!                                          slot of the batch: a permutation of 0..B
//! ```
//! Every rank of a distributed job computes the same batch and keeps its part, so the world's size changes nothing.

mod look;
mod packed;
mod pass;
mod segment;

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use super::mix;
use super::order::RowOrder;
use super::permute::Permutation;
use super::plan::{Plan, PlanError};
pub use look::{Look, PoolLook};
pub use packed::Packed;
use packed::Packing;
use segment::SegmentTable;

/// Draws that are looked up together: enough for the memory accesses of a large index to overlap, and little enough for the stack.
const CHUNK: usize = 128;

/// Samples from a plan. Cheap to share between threads.
#[derive(Debug)]
pub struct Sampler {
    plan: Plan,
    /// First step of each segment, ascending, with the segment's place in the plan.
    starts: Vec<(u64, usize, usize)>,
    /// Tables of the segment used last: consecutive batches share it, the next segment's goes on from it, and all tables of a plan
    /// would be too many to keep.
    current: Mutex<Option<Arc<SegmentTable>>>,
    /// Where batches begin, where that is not the same for every index.
    packing: Packing,
}

/// Why there is no batch.
#[derive(thiserror::Error, Clone, Copy, Debug, PartialEq, Eq)]
pub enum SampleError {
    /// The step is not one of the plan's.
    #[error("step {step} is outside of the plan, which has the steps from {start} to before {end}")]
    Step {
        /// The step asked for.
        step: u64,
        /// First step of the plan.
        start: u64,
        /// First step after the plan.
        end: u64,
    },
    /// The rank is not one of the world's.
    #[error("rank {rank} is not less than the world's size {world}")]
    Rank {
        /// The rank asked for.
        rank: u32,
        /// Ranks of the job.
        world: u32,
    },
}

impl Sampler {
    /// A sampler of the plan.
    ///
    /// # Errors
    /// When the plan does not pass [`Plan::check`].
    pub fn new(plan: Plan) -> Result<Self, PlanError> {
        plan.check()?;
        let starts = plan.phases.iter().enumerate().flat_map(|(p, phase)| {
            phase
                .segments
                .iter()
                .enumerate()
                // Of a phase that was left early, the later segments are never reached.
                .filter(|(_, segment)| segment.start_step < phase.end())
                .map(move |(s, segment)| (segment.start_step, p, s))
        });
        Ok(Self {
            starts: starts.collect(),
            plan,
            current: Mutex::new(None),
            packing: Packing::default(),
        })
    }

    /// The plan.
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Fills `out` with the rows of a step's batch: `batchSize` row numbers, or as many as [`Sampler::packed`] finds room for.
    ///
    /// # Assumptions
    /// `order` has the plan's rows and groups, and is the same in every call.
    ///
    /// # Errors
    /// When the step is not one of the plan's. `out` is empty then.
    pub fn batch<O: RowOrder + ?Sized>(&self, step: u64, order: &O, out: &mut Vec<u64>) -> Result<(), SampleError> {
        self.batch_for_rank(step, 0, 1, order, out)
    }

    /// Fills `out` with one rank's part of a step's batch: the slots from ⌊rB/W⌋ to before ⌊(r+1)B/W⌋ of [`Sampler::batch`]. Where
    /// tokens bound the batch, the ranks share its tokens instead.
    ///
    /// # Errors
    /// When the step is not one of the plan's, or the rank not one of the world's. `out` is empty then.
    pub fn batch_for_rank<O: RowOrder + ?Sized>(
        &self,
        step: u64,
        rank: u32,
        world: u32,
        order: &O,
        out: &mut Vec<u64>,
    ) -> Result<(), SampleError> {
        out.clear();
        if rank >= world {
            return Err(SampleError::Rank { rank, world });
        }
        if self.plan.tokens.is_none() {
            return self.slots(step, rank_slots(self.plan.batch_size, rank, world), order, out);
        }
        let mut packed = Packed::default();
        self.packed(step, order, &mut packed)?;
        out.extend_from_slice(&packed.rows[packed.part(rank, world, &self.plan)]);
        Ok(())
    }

    fn slots<O: RowOrder + ?Sized>(
        &self,
        step: u64,
        slots: Range<u64>,
        order: &O,
        out: &mut Vec<u64>,
    ) -> Result<(), SampleError> {
        out.clear();
        let table = self.table_at(step, order)?;
        out.resize((slots.end - slots.start) as usize, 0);

        let phase = &self.plan.phases[table.phase];
        let bounds = table.bounds(&self.plan, phase, step, order);
        let batch = self.plan.batch_size;
        // A stratum's draws are in random order already: what the shuffle adds is the mixture of several strata.
        let shuffle = (table.strata.len() > 1).then(|| Permutation::new(batch, mix::child(table.slots_key, step)));
        let first = (step - table.phase_start) * batch;
        let place = Place {
            shuffle: shuffle.as_ref(),
            next: 0,
            batch_size: batch,
            slots,
            out: out.as_mut_slice(),
        };
        table.draw(first..first + batch, phase, &bounds, order, place);
        Ok(())
    }

    /// Phase and segment of a step, by their places in the plan.
    fn place(&self, step: u64) -> Result<(usize, usize), SampleError> {
        let (start, end) = (self.plan.start_step(), self.plan.total_steps());
        // Segments follow each other without a gap, so every step from the first to the end has one.
        let after = self.starts.partition_point(|&(first, ..)| first <= step);
        let place = after
            .checked_sub(1)
            .and_then(|i| self.starts.get(i))
            .filter(|_| step < end);
        let &(_, phase, segment) = place.ok_or(SampleError::Step { step, start, end })?;
        Ok((phase, segment))
    }

    /// The table of a step of a plan whose batches all have `batchSize` rows.
    fn table_at<O: RowOrder + ?Sized>(&self, step: u64, order: &O) -> Result<Arc<SegmentTable>, SampleError> {
        let (phase, segment) = self.place(step)?;
        let first_slot = |segment: usize| {
            let of = &self.plan.phases[phase];
            (of.segments[segment].start_step - of.start_step) * self.plan.batch_size
        };
        Ok(self.table(phase, segment, first_slot, order))
    }

    /// The table of a segment; `first_slot` tells where it, and those of the phase before it, begin.
    fn table<O: RowOrder + ?Sized>(
        &self,
        phase: usize,
        segment: usize,
        first_slot: impl Fn(usize) -> u64,
        order: &O,
    ) -> Arc<SegmentTable> {
        let lock = || self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let known = lock()
            .clone()
            .filter(|table| table.phase == phase && table.segment <= segment);
        if let Some(table) = known.as_ref().filter(|table| table.segment == segment) {
            return Arc::clone(table);
        }
        let make = |next: usize, before: Option<&SegmentTable>| {
            let slots = (first_slot(next), self.plan.reach());
            Arc::new(SegmentTable::new(&self.plan, (phase, next), slots, before, order))
        };
        // Quotas go on from segment to segment.
        let mut table = known.unwrap_or_else(|| make(0, None));
        for next in table.segment + 1..=segment {
            table = make(next, Some(&table));
        }
        *lock() = Some(Arc::clone(&table));
        table
    }
}

/// The slots of a rank: [⌊rB/W⌋, ⌊(r+1)B/W⌋). The ranges of all ranks make up the batch and differ by at most one in length.
pub fn rank_slots(batch_size: u64, rank: u32, world: u32) -> Range<u64> {
    let bound = |r: u64| (u128::from(r) * u128::from(batch_size) / u128::from(world.max(1))) as u64;
    bound(u64::from(rank))..bound(u64::from(rank) + 1)
}

/// Where the draws of a batch go.
struct Place<'a> {
    /// From draws to slots; `None`: the same.
    shuffle: Option<&'a Permutation>,
    /// Number of the next draw within the batch.
    next: u64,
    batch_size: u64,
    /// The slots that are wanted.
    slots: Range<u64>,
    out: &'a mut [u64],
}

impl Place<'_> {
    /// Finds the slots of the next draws, one for each of `indices`. Writes those that are wanted, counted from the first wanted one,
    /// with their indices, and returns how many they are.
    #[inline]
    fn take(&mut self, slots: &mut [u64; CHUNK], kept: &mut [u64; CHUNK], indices: Range<u64>) -> usize {
        let count = (indices.end - indices.start) as usize;
        for (slot, draw) in slots[..count].iter_mut().zip(self.next..) {
            *slot = draw;
        }
        self.next += count as u64;
        if let Some(shuffle) = self.shuffle {
            shuffle.apply_all(&mut slots[..count]);
        }
        for (kept, index) in kept.iter_mut().zip(indices) {
            *kept = index;
        }
        let length = self.slots.end - self.slots.start;
        if length == self.batch_size {
            return count;
        }
        let mut wanted = 0;
        for i in 0..count {
            let slot = slots[i].wrapping_sub(self.slots.start);
            // Written always, counted only if wanted: whether a slot is this rank's is as good as random, and a branch would miss.
            (slots[wanted], kept[wanted]) = (slot, kept[i]);
            wanted += usize::from(slot < length);
        }
        wanted
    }
}

#[cfg(test)]
mod tests;
