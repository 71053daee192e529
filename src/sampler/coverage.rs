//! Which steps were handed out. Pure: requests in, `servedStep` out.
//!
//! A *rank* of a *world* (the number of ranks that share each global batch) asks for intervals of steps. What counts for it is the
//! stretch without a hole that begins where it first asked: at the phase's first step, or at its checkpoint's. A step is served once
//! every rank of one world got it. Asking again changes nothing, intervals may come in any order, and a rank that first asks
//! at or past the phase's end (its checkpoint was complete) is served to the end.
//!
//! A trainer that asks for the last batch only looks like one that resumed there; no bookkeeping of requests can tell them apart.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Greatest accepted world.
pub const MAX_WORLD: u32 = 4096;
/// Worlds that are remembered; a trainer has one, and another after it was restarted on fewer or more devices.
const WORLDS: usize = 4;
/// Separate stretches that are remembered of each rank, for requests that come out of order.
const STRETCHES: usize = 32;

/// What was handed out of one phase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    start: u64,
    end: u64,
    served: u64,
    /// The one that asked last is the last.
    worlds: Vec<World>,
}

/// What one rank got, as the journal keeps it.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RankRecord {
    /// Ranks in its world.
    pub world: u32,
    /// The rank.
    pub rank: u32,
    /// Where it first asked.
    pub first: u64,
    /// First step after the stretch without a hole from there.
    pub served: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct World {
    size: u32,
    ranks: BTreeMap<u32, Rank>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rank {
    first: u64,
    /// First step → first step after it; disjoint and not adjacent.
    stretches: BTreeMap<u64, u64>,
    /// This was read from a journal that may be a moment old: the steps up to the next request count as handed out.
    restored: bool,
}

/// What a request did to the coverage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// It joins what the rank had, or is the rank's first.
    Joined,
    /// Steps before it are missing: it counts only once they were asked for. The first of the missing steps.
    Hole(u64),
}

impl Coverage {
    /// Nothing handed out of the steps `start..end`.
    pub fn new(start: u64, end: u64) -> Self {
        Self {
            start,
            end,
            served: start,
            worlds: Vec::new(),
        }
    }

    /// Everything handed out.
    pub fn complete(start: u64, end: u64) -> Self {
        Self {
            served: end,
            ..Self::new(start, end)
        }
    }

    /// What [`Coverage::records`] of the same phase gave. Records that cannot be of this phase are left out.
    pub fn restore(start: u64, end: u64, served: u64, records: &[RankRecord]) -> Self {
        let mut coverage = Self::new(start, end);
        coverage.served = served.clamp(start, end);
        for r in records {
            let fits = (1..=MAX_WORLD).contains(&r.world) && r.rank < r.world;
            if fits && start <= r.first && r.first <= r.served && r.served <= end {
                let stretches = BTreeMap::from([(r.first, r.served)]);
                coverage.world(r.world).ranks.insert(
                    r.rank,
                    Rank {
                        first: r.first,
                        stretches,
                        restored: true,
                    },
                );
            }
        }
        coverage
    }

    /// What the journal keeps.
    pub fn records(&self) -> Vec<RankRecord> {
        let record = |size, (&rank, r): (&u32, &Rank)| RankRecord {
            world: size,
            rank,
            first: r.first,
            served: r.served(),
        };
        self.worlds
            .iter()
            .flat_map(|w| w.ranks.iter().map(move |r| record(w.size, r)))
            .collect()
    }

    /// First step that was not handed out to every rank.
    pub fn served(&self) -> u64 {
        self.served
    }

    /// Notes that `rank` of `world` got the steps `from..to`; steps outside the phase are cut off, so that a request at or past the end
    /// is the empty interval at the end.
    ///
    /// # Assumptions
    /// `rank < world ≤ MAX_WORLD` and `from ≥ start`, which the server checks.
    pub fn mark(&mut self, world: u32, rank: u32, from: u64, to: u64) -> Mark {
        let (from, to) = (from.clamp(self.start, self.end), to.clamp(self.start, self.end));
        let world = self.world(world);
        let mark = world
            .ranks
            .entry(rank)
            .or_insert_with(|| Rank::first(from))
            .add(from, to.max(from));
        let served = world.served();
        self.served = self.served.max(served.unwrap_or(self.start));
        mark
    }

    fn world(&mut self, size: u32) -> &mut World {
        let known = self
            .worlds
            .iter()
            .position(|w| w.size == size)
            .map(|i| self.worlds.remove(i));
        if known.is_none() && self.worlds.len() == WORLDS {
            self.worlds.remove(0);
        }
        self.worlds.push(known.unwrap_or_else(|| World {
            size,
            ranks: BTreeMap::new(),
        }));
        let last = self.worlds.len() - 1;
        &mut self.worlds[last]
    }
}

impl World {
    fn served(&self) -> Option<u64> {
        let all = self.ranks.len() == self.size as usize;
        self.ranks.values().map(Rank::served).min().filter(|_| all)
    }
}

impl Rank {
    fn first(step: u64) -> Self {
        Self {
            first: step,
            stretches: BTreeMap::from([(step, step)]),
            restored: false,
        }
    }

    /// End of the stretch that holds the first step.
    fn served(&self) -> u64 {
        self.stretches
            .range(..=self.first)
            .next_back()
            .map_or(self.first, |(_, &to)| to.max(self.first))
    }

    fn add(&mut self, mut from: u64, mut to: u64) -> Mark {
        let served = self.served();
        if std::mem::take(&mut self.restored) {
            from = from.min(served);
        }
        let touching: Vec<u64> = self
            .stretches
            .range(..=to)
            .rev()
            .take_while(|&(_, &end)| end >= from)
            .map(|(&start, _)| start)
            .collect();
        for start in touching {
            if let Some(end) = self.stretches.remove(&start) {
                (from, to) = (from.min(start), to.max(end));
            }
        }
        self.stretches.insert(from, to);
        while self.stretches.len() > STRETCHES {
            self.drop_farthest();
        }
        if from > served {
            Mark::Hole(served)
        } else {
            Mark::Joined
        }
    }

    fn drop_farthest(&mut self) {
        let first = self.first;
        let farthest = self
            .stretches
            .iter()
            .filter(|&(&s, &e)| !(s <= first && first <= e))
            .map(|(&s, _)| s);
        if let Some(start) = farthest.max_by_key(|s| s.abs_diff(first)) {
            self.stretches.remove(&start);
        }
    }
}

#[cfg(test)]
mod tests;
