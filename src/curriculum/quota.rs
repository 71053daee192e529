//! Quotas: how many of the first M slots of a segment fall to each stratum. Closed form, so any batch can be asked for at once.
//!
//! The strata are the leaves of a binary tree. Of the M slots that reach a node, ⌊(M·left + u) / total⌋ go left and the rest
//! right, where `left` and `total` are weights and u is drawn from the seed, uniform in [0, total):
//! ```text
//!                  M
//!            ┌─────┴─────┐                 monotone in M: one more slot goes either left or right
//!     ⌊(M·w₁+u)/w⌋     the rest            exact: each node errs by less than 1, a leaf by less than its depth
//!        floor      ┌─────┴─────┐          unbiased: the mean over seeds is exactly M·w₁/w, however short the segment
//!                replay        pool
//! ```
//! The tree has two levels: terms by their shares, and below each term its strata by their rows, so that no weight is a product.

use std::ops::Range;

use super::mix;

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
    /// `None`: every weight is 0.
    root: Option<Child>,
    strata: usize,
    depth: u32,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    left_weight: u64,
    weight: u64,
    remainder: u64,
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

impl Quotas {
    /// The tree of the terms; `key` decides the remainders. Strata are numbered through, term by term. Those of weight 0 get nothing.
    pub fn new(terms: &[Weights], key: u64) -> Self {
        let mut nodes = Vec::new();
        let mut strata = 0;
        let mut parts = Vec::with_capacity(terms.len());
        for term in terms {
            let leaves: Vec<Part> = (strata..)
                .zip(&term.strata)
                .filter(|&(_, &weight)| weight > 0)
                .map(|(leaf, &weight)| Part {
                    weight,
                    child: Child::Leaf(leaf),
                    depth: 0,
                })
                .collect();
            strata += term.strata.len() as u32;
            if term.share > 0
                && let Some(part) = join(&leaves, &mut nodes, key)
            {
                parts.push(Part {
                    weight: term.share,
                    ..part
                });
            }
        }
        let root = join(&parts, &mut nodes, key);
        Self {
            nodes,
            root: root.map(|p| p.child),
            strata: strata as usize,
            depth: root.map_or(0, |p| p.depth),
        }
    }

    /// Most nodes above a stratum: the count of a stratum differs from its exact share by less than this, or not at all if 0.
    pub const fn depth(&self) -> u32 {
        self.depth
    }

    /// How many of the first `slots` slots fall to each stratum.
    pub fn of_first(&self, slots: u64) -> Vec<u64> {
        let mut counts = vec![0; self.strata];
        self.for_each(0..slots, |stratum, draws| counts[stratum] = draws.end);
        counts
    }

    /// Calls `visit` with each stratum that has one of the `slots`, and which of its draws these are, counted from the segment's
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
}

impl Node {
    #[inline]
    fn left_of(&self, slots: u64) -> u64 {
        let numerator = u128::from(slots) * u128::from(self.left_weight) + u128::from(self.remainder);
        // The quotient is at most `slots`. The narrow division is several times faster and the usual case.
        match u64::try_from(numerator) {
            Ok(numerator) => numerator / self.weight,
            Err(_) => (numerator / u128::from(self.weight)) as u64,
        }
    }
}

/// Joins parts into one by halving the list; `None` without parts.
fn join(parts: &[Part], nodes: &mut Vec<Node>, key: u64) -> Option<Part> {
    match parts {
        [] => None,
        [one] => Some(*one),
        _ => {
            let (left, right) = parts.split_at(parts.len() / 2);
            let (left, right) = (join(left, nodes, key)?, join(right, nodes, key)?);
            let weight = left.weight + right.weight;
            let index = nodes.len() as u32;
            let remainder = mix::below(mix::child(key, u64::from(index)), weight);
            nodes.push(Node {
                left_weight: left.weight,
                weight,
                remainder,
                left: left.child,
                right: right.child,
            });
            Some(Part {
                weight,
                child: Child::Node(index),
                depth: 1 + left.depth.max(right.depth),
            })
        }
    }
}

#[cfg(test)]
mod tests;
