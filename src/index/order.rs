//! From one score of each row to the order of all rows: ranks and ties.

use crate::curriculum::rank::average_ranks;

/// Puts in each score's place its average rank among the rows with a score, as a fraction in (0, 1]; NaN stays.
pub fn to_ranks(scores: &mut [f64]) {
    let mut pairs: Vec<(u64, u64)> = sort_keys(scores).collect();
    pairs.sort_unstable();
    pairs.truncate(count_scored(&pairs));
    let sorted: Vec<f64> = pairs.iter().map(|(key, _)| from_sort_key(*key)).collect();
    for ((_, row), rank) in pairs.iter().zip(average_ranks(&sorted)) {
        scores[*row as usize] = rank;
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
        let seed = mix(seed);
        // The hash stands for the row, which it gives back: so the sort compares two integers and nothing else.
        let mut pairs: Vec<(u64, u64)> = sort_keys(&scores).map(|(key, row)| (key, mix(row ^ seed))).collect();
        drop(scores);
        let mut trained = pairs.len();
        for row in apart {
            pairs[row as usize].0 = APART;
            trained -= 1;
        }
        pairs.sort_unstable();
        let scored = count_scored(&pairs);
        // Rows without a score take the last places together, as if they were equally hard and harder than all others.
        let place = |key| {
            if key >= UNSCORED {
                f64::INFINITY
            } else {
                from_sort_key(key)
            }
        };
        let mut scores: Vec<f64> = pairs.iter().map(|(key, _)| place(*key)).collect();
        // The standard library collects them in the memory of the pairs, which is twice as much as they need.
        let mut rows: Vec<u64> = pairs.into_iter().map(|(_, hash)| unmix(hash) ^ seed).collect();
        rows.shrink_to_fit();
        let mut ranks: Vec<f64> = average_ranks(&scores[..trained]).collect();
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

/// How many of the sorted pairs have a score.
fn count_scored(sorted: &[(u64, u64)]) -> usize {
    sorted.partition_point(|(key, _)| *key < UNSCORED)
}

/// Sort key of rows that are not trained on, behind all others.
const APART: u64 = u64::MAX;
/// Sort key of rows without a score: greater than that of any number.
const UNSCORED: u64 = u64::MAX - 1;
const SIGN: u64 = 1 << 63;

/// (key, row) of every row: keys compare as the scores do, −0 is 0, NaN comes last.
fn sort_keys(scores: &[f64]) -> impl Iterator<Item = (u64, u64)> {
    scores.iter().zip(0..).map(|(score, row)| (sort_key(*score), row))
}

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
