//! Keyed permutations of `0..n` that need no memory: position in, position out.
//!
//! A balanced Feistel network over pairs (high, low) with `high < width` and `low < 2^bits`, where width · 2^bits is n or slightly
//! more; what falls at or past n goes through again until it does not ("cycle walking").
//! Source: Black, Rogaway, "Ciphers with arbitrary finite domains", CT-RSA 2002. Both halves have about √n values, and fewer than
//! √n values lie outside of `0..n`, so that walking costs next to nothing for large n.
//!
//! This is a shuffle, not a cipher: the rounds need to look random to statistics, not to an adversary. How many rounds that takes was
//! measured, by chi-square over keys and pairs of positions: 4 fail clearly up to 10⁶ elements, 6 pass from 1,024 on, 10 from 17 on.
//! Below that halves of a few values mix too slowly for any sensible number, and the elements are simply shuffled.

use std::ops::Range;

use super::mix;

/// Domains up to this size are a table.
const TABLE: usize = 32;
/// Domains from this size on need fewer rounds.
const LARGE: u64 = 1024;
const ROUNDS: usize = 10;
const ROUNDS_LARGE: usize = 6;
/// Elements that go through the network side by side, for the compiler to use vector instructions.
const LANES: usize = 16;

/// A bijection of `0..n` onto itself.
#[derive(Clone, Copy, Debug)]
pub struct Permutation {
    n: u64,
    form: Form,
}

#[derive(Clone, Copy, Debug)]
enum Form {
    Table([u8; TABLE]),
    Network(Network),
}

#[derive(Clone, Copy, Debug)]
struct Network {
    /// Values of the high half, at most 2³².
    width: u64,
    /// Bits of the low half, at most 31.
    bits: u32,
    rounds: usize,
    keys: [RoundKey; ROUNDS],
}

impl Permutation {
    /// Largest domain.
    pub const MAX: u64 = 1 << 63;

    /// The permutation of `0..n` that `key` stands for. Costs some ten nanoseconds.
    ///
    /// # Assumptions
    /// `n` ≤ [`Permutation::MAX`]; a larger one is treated as `MAX`.
    #[inline]
    pub fn new(n: u64, key: u64) -> Self {
        let n = n.min(Self::MAX);
        let form = if n <= TABLE as u64 {
            Form::Table(shuffled(n as usize, key))
        } else {
            Form::Network(Network::new(n, key))
        };
        Self { n, form }
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
        match &self.form {
            Form::Table(table) => u64::from(table[x as usize]),
            Form::Network(network) => network.walk(network.pass(x), |x| x < self.n),
        }
    }

    /// Replaces each of `xs` by its image, several times faster than one by one.
    ///
    /// # Assumptions
    /// As for [`Permutation::apply`].
    #[inline]
    pub fn apply_all(&self, xs: &mut [u64]) {
        self.apply_all_within(0..self.n, xs);
    }

    /// Replaces each of `xs` by its image under the bijection of an interval of `0..n` that comes of applying this permutation until
    /// the interval is reached again. Of two intervals that share most elements, most elements have the same image.
    ///
    /// # Assumptions
    /// Each of `xs` is within the interval, and the interval within `0..n`. Any other `x` is returned as it is. Takes n over the
    /// interval's length passes on average.
    #[inline]
    pub fn apply_all_within(&self, within: Range<u64>, xs: &mut [u64]) {
        let (start, end) = (within.start, within.end.min(self.n));
        let length = end.saturating_sub(start);
        // From 0 on, which is the usual case, one comparison does.
        if start == 0 {
            self.apply_where(|x| x < end, xs);
        } else {
            self.apply_where(|x| x.wrapping_sub(start) < length, xs);
        }
    }

    #[inline]
    fn apply_where(&self, inside: impl Fn(u64) -> bool + Copy, xs: &mut [u64]) {
        match &self.form {
            Form::Table(table) => {
                for x in xs.iter_mut().filter(|x| inside(**x)) {
                    *x = u64::from(table[*x as usize]);
                    while !inside(*x) {
                        *x = u64::from(table[*x as usize]);
                    }
                }
            }
            Form::Network(network) => {
                let (chunks, rest) = xs.as_chunks_mut::<LANES>();
                for chunk in chunks {
                    let images = network.pass_all(chunk);
                    for (x, image) in chunk.iter_mut().zip(images) {
                        *x = if inside(*x) { network.walk(image, inside) } else { *x };
                    }
                }
                for x in rest.iter_mut().filter(|x| inside(**x)) {
                    *x = network.walk(network.pass(*x), inside);
                }
            }
        }
    }
}

impl Network {
    #[inline]
    fn new(n: u64, key: u64) -> Self {
        let bits = (u64::BITS - (n - 1).leading_zeros()) / 2;
        let rounds = if n < LARGE { ROUNDS } else { ROUNDS_LARGE };
        let mut keys = [RoundKey { add: 0, multiply: 0 }; ROUNDS];
        for (key, random) in keys[..rounds].iter_mut().zip(stream(key)) {
            *key = RoundKey {
                add: random as u32,
                multiply: (random >> 32) as u32 | 1,
            };
        }
        Self {
            width: n.div_ceil(1 << bits),
            bits,
            rounds,
            keys,
        }
    }

    /// The value inside that `x` leads to. Ends: the network is a bijection of a finite set, so a walk that came from
    /// inside comes back there.
    #[inline]
    fn walk(&self, mut x: u64, inside: impl Fn(u64) -> bool) -> u64 {
        while !inside(x) {
            x = self.pass(x);
        }
        x
    }

    #[inline]
    fn pass(&self, x: u64) -> u64 {
        let [y] = self.pass_all(&[x]);
        y
    }

    #[inline]
    fn pass_all<const N: usize>(&self, xs: &[u64; N]) -> [u64; N] {
        let mask = (1u64 << self.bits) - 1;
        let mut high = xs.map(|x| x >> self.bits);
        let mut low = xs.map(|x| x & mask);
        for pair in self.keys[..self.rounds].chunks_exact(2) {
            for (high, low) in high.iter_mut().zip(&low) {
                let sum = *high + ((pair[0].round(*low) * self.width) >> 32);
                // The remainder by `width` without a branch and without a comparison that old vector units lack.
                let less = sum.wrapping_sub(self.width);
                *high = less.wrapping_add(self.width & ((less as i64) >> 63) as u64);
            }
            for (low, high) in low.iter_mut().zip(&high) {
                // Addition, not xor: xor of two bits and more is an even permutation always, so half of all would be missing.
                *low = (*low + pair[1].round(*high)) & mask;
            }
        }
        std::array::from_fn(|i| high[i] << self.bits | low[i])
    }
}

#[derive(Clone, Copy, Debug)]
struct RoundKey {
    add: u32,
    /// Odd.
    multiply: u32,
}

impl RoundKey {
    /// The round function: 32 pseudo-random bits of 32 bits.
    ///
    /// One multiplication with both halves of the product folded together, as in wyhash: cheap, and one vector instruction.
    /// The multiplier is part of the key; with a constant one, the results for neighbouring inputs would differ by a constant.
    #[inline]
    const fn round(self, x: u64) -> u64 {
        let product = (x as u32 ^ self.add) as u64 * self.multiply as u64;
        (product ^ (product >> 32)) & 0xffff_ffff
    }
}

/// The numbers 0..n shuffled (Fisher, Yates), n at most [`TABLE`].
fn shuffled(n: usize, key: u64) -> [u8; TABLE] {
    let mut table: [u8; TABLE] = std::array::from_fn(|i| i as u8);
    for (last, random) in (1..n).rev().zip(stream(key)) {
        table.swap(last, mix::below(random, last as u64 + 1) as usize);
    }
    table
}

/// The random numbers of a key: SplitMix64.
#[inline]
fn stream(key: u64) -> impl Iterator<Item = u64> {
    (1..).map(move |i: u64| mix::mix(key.wrapping_add(i.wrapping_mul(0x9e37_79b9_7f4a_7c15))))
}

#[cfg(test)]
mod tests;
