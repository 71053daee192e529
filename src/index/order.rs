//! From one score of each row to the order of all rows: ranks and ties.

mod levels;

use crate::curriculum::rank::{average_ranks, tied_rank};
use levels::{ByKey, levels};

/// Puts in each score's place its average rank among the rows with a score, as a fraction in (0, 1]; NaN stays.
pub fn to_ranks(scores: &mut [f64]) {
    if let Some(mut levels) = levels(scores.iter().map(|score| sort_key(*score))) {
        levels.retain(|(key, _)| *key < UNSCORED);
        let scored = levels.last().map_or(0, |(_, places)| places.end);
        let rank = |(key, places)| (key, tied_rank(places, scored));
        let ranks: ByKey<f64> = levels.into_iter().map(rank).collect();
        for score in scores {
            *score = ranks.get(&sort_key(*score)).copied().unwrap_or(*score);
        }
        return;
    }
    let mut pairs: Vec<(u64, u64)> = scores.iter().map(|score| sort_key(*score)).zip(0..).collect();
    pairs.sort_unstable();
    pairs.truncate(pairs.partition_point(|(key, _)| *key < UNSCORED));
    let mut first = 0;
    for ties in pairs.chunk_by(|a, b| a.0 == b.0) {
        let last = first + ties.len();
        let rank = tied_rank(first..last, pairs.len());
        ties.iter().for_each(|(_, row)| scores[*row as usize] = rank);
        first = last;
    }
}

/// All rows from easy to hard.
#[derive(Debug, PartialEq)]
pub struct Order {
    /// Row numbers; those without a score come last.
    pub rows: Vec<u64>,
    /// Combined score of each, aligned with `rows`; NaN for rows without one.
    pub scores: Vec<f64>,
    /// Average rank of each among all rows, as a fraction in (0, 1], aligned with `rows`; ties are equal, and so are all rows
    /// without a score. Those of rows that are not trained on are NaN.
    pub ranks: Vec<f64>,
    /// Rows with a score.
    pub scored: usize,
}

impl Order {
    /// Sorts rows by their scores. Rows of equal scores follow in an order that depends only on `seed`, so
    /// that a cut through a tie favours no part of the data set. The rows `apart`, each named once, are not
    /// trained on: they come behind all others, without a score.
    pub fn new(scores: Vec<f64>, seed: u64, apart: impl IntoIterator<Item = u64>) -> Self {
        let mut keys: Vec<u64> = scores.into_iter().map(sort_key).collect();
        let mut trained = keys.len();
        for row in apart {
            keys[row as usize] = APART;
            trained -= 1;
        }
        let (rows, keys) = sort(keys, mix(seed));
        let scored = keys.partition_point(|key| *key < UNSCORED);
        // Rows without a score take the last places together, as if they were equally hard and harder than all others.
        let place = |key| {
            if key >= UNSCORED {
                f64::INFINITY
            } else {
                from_sort_key(key)
            }
        };
        let mut scores: Vec<f64> = keys.into_iter().map(place).collect();
        let mut ranks = Vec::with_capacity(scores.len());
        ranks.extend(average_ranks(&scores[..trained]));
        ranks.resize(scores.len(), f64::NAN);
        scores[scored..].fill(f64::NAN);
        Self {
            rows,
            scores,
            ranks,
            scored,
        }
    }

    /// The rows of each group from easy to hard, one group after the other. `groups` has each row's group, `group_rows`
    /// the groups' sizes.
    pub fn by_group(&self, groups: &[u8], group_rows: &[u64]) -> Vec<u64> {
        let mut next: Vec<usize> = Vec::with_capacity(group_rows.len());
        let mut start = 0;
        for rows in group_rows {
            next.push(start);
            start += *rows as usize;
        }
        let mut grouped = vec![0; self.rows.len()];
        for &row in &self.rows {
            let place = &mut next[usize::from(groups[row as usize])];
            grouped[*place] = row;
            *place += 1;
        }
        grouped
    }
}

/// All rows by their keys, and the keys in that order. Rows of equal keys follow by the hash of seed and row.
fn sort(mut keys: Vec<u64>, seed: u64) -> (Vec<u64>, Vec<u64>) {
    // The hash stands for the row, which it gives back: so a sort compares integers and nothing else.
    let hash = |row| mix(row ^ seed);
    let row = |hash| unmix(hash) ^ seed;
    if let Some(levels) = levels(keys.iter().copied()) {
        let mut rows = levels::sort(&keys, &levels, hash);
        rows.iter_mut().for_each(|hash| *hash = row(*hash));
        for (key, places) in levels {
            keys[places].fill(key);
        }
        return (rows, keys);
    }
    let mut pairs: Vec<(u64, u64)> = keys.into_iter().zip((0..).map(hash)).collect();
    pairs.sort_unstable();
    let keys = pairs.iter().map(|(key, _)| *key).collect();
    // The standard library collects them in the memory of the pairs, which is twice as much as they need.
    let mut rows: Vec<u64> = pairs.into_iter().map(|(_, hash)| row(hash)).collect();
    rows.shrink_to_fit();
    (rows, keys)
}

/// Sort key of rows that are not trained on, behind all others.
const APART: u64 = u64::MAX;
/// Sort key of rows without a score: greater than that of any number.
const UNSCORED: u64 = u64::MAX - 1;
const SIGN: u64 = 1 << 63;

/// Keys compare as the scores do; −0 is 0, NaN comes last.
fn sort_key(score: f64) -> u64 {
    if score.is_nan() {
        return UNSCORED;
    }
    let bits = (score + 0.0).to_bits();
    if bits & SIGN == 0 { bits | SIGN } else { !bits }
}

fn from_sort_key(key: u64) -> f64 {
    match key {
        UNSCORED.. => f64::NAN,
        key if key & SIGN == 0 => f64::from_bits(!key),
        key => f64::from_bits(key & !SIGN),
    }
}

/// A bijection on 64 bits that looks random: the finaliser of SplitMix64 (Steele, Lea, Flood 2014).
fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The inverse of [`mix`].
fn unmix(value: u64) -> u64 {
    let mut z = value ^ (value >> 31) ^ (value >> 62);
    z = z.wrapping_mul(0x3196_42b2_d24d_8ec3);
    z = (z ^ (z >> 27) ^ (z >> 54)).wrapping_mul(0x96de_1b17_3f11_9089);
    (z ^ (z >> 30) ^ (z >> 60)).wrapping_sub(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests;
