//! Quotas: how many of the first M slots of a phase fall to each stratum. Closed form, so any batch can be asked for at once.
//!
//! The strata are the leaves of a binary tree. Of the M slots that reach a node, ⌊(M·left + u) / total⌋ go left and the rest
//! right, where `left` and `total` are weights and u is drawn from the seed, uniform in [0, total):
//! ```text
//!                  M
//!            ┌─────┴─────┐                 monotone in M: one more slot goes either left or right
//!     ⌊(M·w₁+u)/w⌋     the rest            exact: each node errs by less than 1, a leaf by less than its depth
//!        floor      ┌─────┴─────┐          unbiased: the mean over seeds is exactly M·w₁/w, however short the phase
//!                replay        pool
//! ```
//! The tree has two levels: pools by their shares, and below each pool its strata by their rows, so that no weight is a product.
//! Where weights change, the tree goes on from the counts that it had, and u from the fraction of a slot that was left over: so the
//! error does not grow with the number of changes.

use std::ops::Range;

use super::mix;

/// Weights below this are scaled up, so that the fraction of a slot that is carried over is not rounded away.
const SCALE_BITS: u32 = 20;

/// A part of every batch, and how it is spread over strata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weights {
    /// Weight of the term among the terms.
    pub share: u64,
    /// Weights of its strata among themselves. Their sum fits in 64 bits.
    pub strata: Vec<u64>,
}

/// The split tree of a segment.
#[derive(Clone, Debug)]
pub struct Quotas {
    nodes: Vec<Node>,
    /// `None`: there are no strata.
    root: Option<Child>,
    /// Slots that each stratum had before the segment.
    before: Vec<u64>,
    depth: u32,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    left_weight: u64,
    weight: u64,
    remainder: u64,
    /// Slots that had reached the node before the segment, and those of them that went left.
    before: u64,
    left_before: u64,
    left: Child,
    right: Child,
}

#[derive(Clone, Copy, Debug)]
enum Child {
    Node(u32),
    Leaf(u32),
}

/// A subtree under construction.
#[derive(Clone, Copy)]
struct Part {
    weight: u64,
    child: Child,
    depth: u32,
}

/// What a node brings from the segment before.
#[derive(Clone, Copy, Default)]
struct Carried {
    before: u64,
    left: u64,
    /// Fraction of a slot, in 2⁻⁶⁴.
    fraction: u64,
}

/// Where the nodes of a new tree get their remainders from.
enum Origin<'a> {
    Seed(u64),
    Before(&'a [Carried]),
}

impl Quotas {
    /// The tree of the terms of a phase's first segment; `key` decides the remainders. Strata are numbered through, term by term.
    /// Those of weight 0 get nothing.
    pub fn new(terms: &[Weights], key: u64) -> Self {
        let strata = terms.iter().map(|term| term.strata.len()).sum();
        Self::build(terms, &Origin::Seed(key), vec![0; strata])
    }

    /// The tree of the next segment, which begins after the first `slots` slots of the phase: the same strata with other weights.
    pub fn next(&self, terms: &[Weights], slots: u64) -> Self {
        let mut carried = vec![Carried::default(); self.nodes.len()];
        if let Some(root) = self.root {
            self.carry(root, slots, &mut carried);
        }
        Self::build(terms, &Origin::Before(&carried), self.of_first(slots))
    }

    fn build(terms: &[Weights], origin: &Origin<'_>, before: Vec<u64>) -> Self {
        let mut nodes = Vec::new();
        let mut strata = 0;
        let mut parts = Vec::with_capacity(terms.len());
        for term in terms {
            let leaves: Vec<Part> = (strata..)
                .zip(&term.strata)
                .map(|(leaf, &weight)| Part {
                    weight,
                    child: Child::Leaf(leaf),
                    depth: 0,
                })
                .collect();
            strata += term.strata.len() as u32;
            if let Some(part) = join(&leaves, &mut nodes, origin) {
                let weight = if part.weight == 0 { 0 } else { term.share };
                parts.push(Part { weight, ..part });
            }
        }
        let root = join(&parts, &mut nodes, origin).filter(|root| root.weight > 0);
        Self {
            nodes,
            root: root.map(|p| p.child),
            before,
            depth: root.map_or(0, |p| p.depth),
        }
    }

    /// Most nodes above a stratum: the count of a stratum differs from its exact share by less than this, or not at all if 0.
    pub const fn depth(&self) -> u32 {
        self.depth
    }

    /// Slots that a stratum had before the segment.
    pub fn before(&self, stratum: usize) -> u64 {
        self.before.get(stratum).copied().unwrap_or(0)
    }

    /// How many of the phase's first `slots` slots fall to each stratum; `slots` is not before the segment.
    pub fn of_first(&self, slots: u64) -> Vec<u64> {
        let mut counts = self.before.clone();
        self.for_each(0..slots, |stratum, draws| counts[stratum] = draws.end);
        counts
    }

    /// Calls `visit` with each stratum that has one of the `slots`, and which of its draws these are, counted from the phase's
    /// first slot. In the order of the strata; the lengths of the ranges add up to the number of slots. Allocates nothing.
    #[inline]
    pub fn for_each(&self, slots: Range<u64>, mut visit: impl FnMut(usize, Range<u64>)) {
        if let Some(root) = self.root {
            self.descend(root, slots, &mut visit);
        }
    }

    fn descend(&self, child: Child, slots: Range<u64>, visit: &mut impl FnMut(usize, Range<u64>)) {
        if slots.is_empty() {
            return;
        }
        match child {
            Child::Leaf(stratum) => visit(stratum as usize, slots),
            Child::Node(node) => {
                let node = &self.nodes[node as usize];
                let left = node.left_of(slots.start)..node.left_of(slots.end);
                let right = slots.start - left.start..slots.end - left.end;
                self.descend(node.left, left, visit);
                self.descend(node.right, right, visit);
            }
        }
    }

    fn carry(&self, child: Child, slots: u64, carried: &mut [Carried]) {
        if let Child::Node(index) = child {
            let node = &self.nodes[index as usize];
            let left = node.left_of(slots);
            carried[index as usize] = Carried {
                before: slots,
                left,
                fraction: node.fraction_left(slots),
            };
            self.carry(node.left, left, carried);
            self.carry(node.right, slots - left, carried);
        }
    }
}

impl Node {
    /// How many of the first `slots` that reach the node go left. Before the segment: none, so that its first batch can begin at any slot.
    #[inline]
    fn left_of(&self, slots: u64) -> u64 {
        match slots.checked_sub(self.before) {
            None | Some(0) => slots.min(self.left_before),
            Some(_) if self.weight == 0 => self.left_before,
            Some(new) => {
                let numerator = u128::from(new) * u128::from(self.left_weight) + u128::from(self.remainder);
                // The quotient is at most `new`. The narrow division is several times faster and the usual case.
                let left = match u64::try_from(numerator) {
                    Ok(numerator) => numerator / self.weight,
                    Err(_) => (numerator / u128::from(self.weight)) as u64,
                };
                self.left_before + left
            }
        }
    }

    /// The fraction of a slot that the left side is owed after the first `slots`, in 2⁻⁶⁴.
    fn fraction_left(&self, slots: u64) -> u64 {
        let weight = u128::from(self.weight.max(1));
        let numerator =
            u128::from(slots.saturating_sub(self.before)) * u128::from(self.left_weight) + u128::from(self.remainder);
        (((numerator % weight) << 64) / weight) as u64
    }
}

/// Joins parts into one by halving the list; `None` without parts.
fn join(parts: &[Part], nodes: &mut Vec<Node>, origin: &Origin<'_>) -> Option<Part> {
    match parts {
        [] => None,
        [one] => Some(*one),
        _ => {
            let (left, right) = parts.split_at(parts.len() / 2);
            let (left, right) = (join(left, nodes, origin)?, join(right, nodes, origin)?);
            let total = left.weight + right.weight;
            let shift = SCALE_BITS.saturating_sub(u64::BITS - total.leading_zeros());
            let (left_weight, weight) = (left.weight << shift, total << shift);
            let index = nodes.len();
            let (carried, remainder) = match origin {
                Origin::Seed(key) => (Carried::default(), mix::below(mix::child(*key, index as u64), weight)),
                Origin::Before(carried) => {
                    let carried = carried.get(index).copied().unwrap_or_default();
                    (carried, mix::below(carried.fraction, weight))
                }
            };
            nodes.push(Node {
                left_weight,
                weight,
                remainder,
                before: carried.before,
                left_before: carried.left,
                left: left.child,
                right: right.child,
            });
            Some(Part {
                weight: total,
                child: Child::Node(index as u32),
                depth: 1 + left.depth.max(right.depth),
            })
        }
    }
}

#[cfg(test)]
mod tests;
