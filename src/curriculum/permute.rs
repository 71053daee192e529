//! Keyed permutations of `0..n` that need no memory: position in, position out.
//!
//! A Feistel network over pairs (high, low) with `high < width` and `low < 2^bits`, where width · 2^bits is n or slightly more;
//! what falls at or past n goes through again until it does not ("cycle walking").
//! Source: Black, Rogaway, "Ciphers with arbitrary finite domains", CT-RSA 2002. Both halves have about √n values, and
//! less than √n values lie outside of `0..n`, so that walking costs next to nothing for large n.
//!
//! This is a shuffle, not a cipher: the rounds need to look random to statistics, not to an adversary.

use super::mix;

/// Rounds of the network. Six already pass the tests of this module for n above some hundreds; tiny domains need more,
/// because each round has so few outcomes, and one number for all keeps the loop unrolled.
const ROUNDS: usize = 8;

/// A bijection of `0..n` onto itself.
#[derive(Clone, Copy, Debug)]
pub struct Permutation {
    n: u64,
    /// Values of the high half, at most 2³².
    width: u64,
    /// Bits of the low half, at most 31.
    bits: u32,
    keys: [u64; ROUNDS],
}

impl Permutation {
    /// Largest domain.
    pub const MAX: u64 = 1 << 63;

    /// The permutation of `0..n` that `key` stands for. Costs a few nanoseconds.
    ///
    /// # Assumptions
    /// `n` ≤ [`Permutation::MAX`]; a larger one is treated as `MAX`.
    #[inline]
    pub fn new(n: u64, key: u64) -> Self {
        let n = if n > Self::MAX { Self::MAX } else { n };
        let bits = (u64::BITS - n.saturating_sub(1).leading_zeros()) / 2;
        let width = n.div_ceil(1 << bits);
        let mut keys = [0; ROUNDS];
        let mut state = key;
        for round in &mut keys {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            *round = mix::mix(state);
        }
        Self { n, width, bits, keys }
    }

    /// Size of the domain.
    pub const fn len(&self) -> u64 {
        self.n
    }

    /// Whether the domain has no element.
    pub const fn is_empty(&self) -> bool {
        self.n == 0
    }

    /// The image of `x`.
    ///
    /// # Assumptions
    /// `x < n`. Any other `x` is returned as it is.
    #[inline]
    pub fn apply(&self, x: u64) -> u64 {
        if x >= self.n {
            return x;
        }
        let mut y = self.network(x);
        // Ends: the network is a bijection of a finite set, so the walk comes back to x, which is inside, at the latest.
        while y >= self.n {
            y = self.network(y);
        }
        y
    }

    #[inline]
    fn network(&self, x: u64) -> u64 {
        let mask = (1u64 << self.bits) - 1;
        let (mut high, mut low) = (x >> self.bits, x & mask);
        for pair in self.keys.chunks_exact(2) {
            high += (round(low, pair[0]) * self.width) >> 32;
            if high >= self.width {
                high -= self.width;
            }
            // Addition, not xor: xor of two bits and more is an even permutation always, so half of all would be missing.
            low = (low + round(high, pair[1])) & mask;
        }
        high << self.bits | low
    }
}

/// The round function: 32 pseudo-random bits of 32 bits and a key.
///
/// Two multiplications with a shift between. One is not enough: with tiny halves the results for neighbouring inputs differ
/// by a constant, and the permutations of few elements are visibly not uniform.
#[inline]
const fn round(x: u64, key: u64) -> u64 {
    let h = (x ^ key).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (h ^ (h >> 32)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 32
}

#[cfg(test)]
mod tests;
