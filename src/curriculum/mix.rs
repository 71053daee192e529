//! Keys: how every random choice is derived from the seed. Each choice hashes what it is for; there is no stream of
//! random numbers, and so nothing to save or to replay.
//!
//! These few lines are our own because their output is part of the plan's format ([`super::plan::PLAN_VERSION`]): a hashing
//! crate may change its output in any version.

/// What a key is for, so that two choices with the same numbers are still independent.
#[derive(Clone, Copy, Debug)]
#[repr(u64)]
pub(super) enum Purpose {
    /// Remainders of the quotas of a segment.
    Quota = 1,
    /// Order of the rows of a stratum.
    Stratum = 2,
    /// Order of the slots of a batch.
    Slots = 3,
    /// Order of a scope under `Order::Random`.
    RandomOrder = 4,
    /// Which rows are held out of training.
    HeldOut = 5,
}

/// Mixes 64 bits, bijectively: the finalizer of SplitMix64 with Stafford's constants ("Mix13").
/// Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
#[inline]
pub(super) const fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// The key of the `n`-th choice under `key`. Consecutive `n` give independent keys.
#[inline]
pub(super) const fn child(key: u64, n: u64) -> u64 {
    mix(key.wrapping_add(mix(n.wrapping_add(0x9e37_79b9_7f4a_7c15))))
}

/// The key of a purpose under a seed.
#[inline]
pub(super) const fn root(seed: u64, purpose: Purpose) -> u64 {
    child(mix(seed ^ 0x6375_7272_6963_756c), purpose as u64)
}

/// The integer in `[0, n)` that `key` stands for. Its probability differs from 1/n by less than 2⁻⁶⁴.
#[inline]
pub(super) const fn below(key: u64, n: u64) -> u64 {
    ((key as u128 * n as u128) >> 64) as u64
}
