//! Which steps one rank got: stretches of steps, in any order. Pure.
//!
//! What counts is the stretch without a hole that begins at the first step, the one that the rank announced. Asking again changes
//! nothing, and a stretch beyond a hole counts once the hole is filled.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Separate stretches that are remembered, for requests that come out of order.
const STRETCHES: usize = 32;

/// Steps that were handed out to one rank.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Stretches {
    first: u64,
    /// First step → first step after it; disjoint and not adjacent.
    stretches: BTreeMap<u64, u64>,
}

/// What a request did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// It joins what the rank had.
    Joined,
    /// Steps before it are missing: it counts only once they were asked for. The first of the missing steps.
    Hole(u64),
}

impl Stretches {
    /// Nothing handed out from `first` on.
    pub fn new(first: u64) -> Self {
        Self {
            first,
            stretches: BTreeMap::from([(first, first)]),
        }
    }

    /// The first step that counts.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// First step after the stretch without a hole from the first step on.
    pub fn served(&self) -> u64 {
        let holding = self.stretches.range(..=self.first).next_back();
        holding.map_or(self.first, |(_, &to)| to.max(self.first))
    }

    /// Whether this can be about a phase of the steps `start..end`.
    pub fn fits(&self, start: u64, end: u64) -> bool {
        let inside = |(&from, &to): (&u64, &u64)| start <= from && from <= to && to <= end;
        start <= self.first
            && self.first <= end
            && self.stretches.len() <= STRETCHES
            && self.stretches.iter().all(inside)
    }

    /// Notes the steps `from..to`.
    pub fn add(&mut self, mut from: u64, mut to: u64) -> Mark {
        let (served, asked) = (self.served(), from);
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
        if asked > served {
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
