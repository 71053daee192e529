//! Aggregates of a score index: quantiles, histogram, mean ranks of groups. They name no row.

use serde::{Deserialize, Serialize};

use super::order::Order;
use crate::curriculum::order::UNKNOWN_LENGTH;

/// Quantiles of a summary: 0, 0.05, … 1.
pub const QUANTILES: usize = 21;
/// Bins of a histogram.
pub const BINS: usize = 64;

/// Aggregates of a score index. Never a row number, never a score of a row.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct IndexSummary {
    /// Folder of the index on the store.
    pub key: String,
    /// SHA-256 of `index.arrow` as `sha256:…`.
    pub digest: String,
    /// Rows to train on: those of the index but for the ones at its end that are held out or filtered out.
    pub rows: u64,
    /// Of these, rows with a finite score from every scorer.
    pub scored_rows: u64,
    /// Combined scores at the quantiles 0, 0.05, … 1 (21 values, linear between order statistics); empty without any scored row
    /// or where left out for space.
    pub quantiles: Vec<f64>,
    /// Counts of 64 bins of equal width from the least to the greatest combined score; empty where left out for space.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub histogram: Vec<u64>,
    /// Rows of each group in the order of the groups' values; empty without a group column or, of a found index, where left out
    /// for space: they equal the inspection's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub group_rows: Vec<u64>,
    /// The groups' values; empty without a group column or where left out for space.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub group_names: Vec<String>,
    /// Mean rank of each group, 0 for one without a row to train on; empty without a group column or where
    /// left out for space.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub group_mean_ranks: Vec<f64>,
    /// The lengths of the rows to train on; absent where they are not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lengths: Option<Lengths>,
    /// What people said in place of the scorers; absent where nobody was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overrides: Option<Overrides>,
}

/// What people said of rows, summed up: never who they are, nor of which rows.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Overrides {
    /// SHA-256 of their file, as `sha256:…`.
    pub digest: String,
    /// Rows to train on that they ranked.
    pub rows: u64,
    /// Rows of the data set that they left out of training.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_out: u64,
    /// How many people ranked these rows.
    pub people: u64,
    /// The latest time at which one of these rows was ranked, in whole seconds; absent when none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest: Option<jiff::Timestamp>,
    /// Lines of the file that a later one about the same row replaced.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub superseded: u64,
    /// Ids in the file that the data set does not have.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unknown: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde hands it over")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Lengths of rows in tokens, summed up.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Lengths {
    /// Rows whose length is known.
    pub rows: u64,
    /// Their tokens together.
    pub tokens: u64,
    /// The longest of them.
    pub longest: u32,
}

impl Lengths {
    /// Of the rows that are trained on: the first `trained` of the order. `lengths` has every row's.
    pub fn of(order: &Order, trained: u64, lengths: &[u32]) -> Self {
        let mut sum = Self::default();
        for &row in order.rows.iter().take(usize::try_from(trained).unwrap_or(usize::MAX)) {
            let length = lengths.get(row as usize).copied().unwrap_or(UNKNOWN_LENGTH);
            if length != UNKNOWN_LENGTH {
                sum.rows += 1;
                sum.tokens = sum.tokens.saturating_add(u64::from(length));
                sum.longest = sum.longest.max(length);
            }
        }
        sum
    }
}

/// The quantiles of ascending finite scores, linear between order statistics; empty when there are none.
pub fn quantiles(sorted: &[f64]) -> Vec<f64> {
    let Some(last) = sorted.len().checked_sub(1) else {
        return Vec::new();
    };
    (0..QUANTILES)
        .map(|step| {
            let parts = QUANTILES as u128 - 1;
            let scaled = last as u128 * step as u128;
            let (below, over) = ((scaled / parts) as usize, (scaled % parts) as f64 / parts as f64);
            let above = sorted[(below + 1).min(last)];
            // A difference of two finite numbers may be infinite; this sum cannot.
            sorted[below] * (1.0 - over) + above * over
        })
        .collect()
}

/// The quantile of a fraction from 0 to 1 of ascending finite numbers, linear between order statistics; `None` when there are none.
pub fn quantile(sorted: &[f64], fraction: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let place = fraction * last as f64;
    let below = (place.floor() as usize).min(last);
    let (low, high) = (*sorted.get(below)?, *sorted.get((below + 1).min(last))?);
    let over = place - place.floor();
    // Rounding must not part what is equal.
    Some((low * (1.0 - over) + high * over).clamp(low, high))
}

/// Counts of [`BINS`] bins of equal width from the least to the greatest of ascending finite scores; all in the first bin when
/// they are equal; empty when there are none.
pub fn histogram(sorted: &[f64]) -> Vec<u64> {
    let (Some(least), Some(greatest)) = (sorted.first(), sorted.last()) else {
        return Vec::new();
    };
    // Halves, because the width itself may be infinite.
    let half_width = greatest / 2.0 - least / 2.0;
    let mut counts = vec![0; BINS];
    for score in sorted {
        let place = (score / 2.0 - least / 2.0) / half_width * BINS as f64;
        // The cast takes NaN (a width of 0) to 0.
        counts[(place as usize).min(BINS - 1)] += 1;
    }
    counts
}

/// Mean rank of each group, to six decimals, of the rows that are trained on: `group_rows` of each.
pub fn mean_ranks(order: &Order, groups: &[u8], group_rows: &[u64]) -> Vec<f64> {
    let mut sums = vec![0.0; group_rows.len()];
    let trained = group_rows.iter().sum::<u64>() as usize;
    for (row, rank) in order.rows.iter().zip(&order.ranks).take(trained) {
        sums[usize::from(groups[*row as usize])] += rank;
    }
    // No row of a group may be trained on: then it has the mean 0, since JSON has no NaN.
    sums.iter()
        .zip(group_rows)
        .map(|(sum, rows)| (sum / (*rows).max(1) as f64 * 1e6).round() / 1e6)
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quantiles_lie_between_order_statistics() {
        let sorted: Vec<f64> = (0..11).map(f64::from).collect();
        let expected: Vec<f64> = (0..QUANTILES).map(|step| step as f64 / 2.0).collect();
        assert_eq!(quantiles(&sorted), expected);
        assert_eq!(quantiles(&[7.0]), [7.0; QUANTILES]);
        assert!(quantiles(&[]).is_empty());
    }

    #[test]
    fn histogram_counts_bins_of_equal_width() {
        let sorted: Vec<f64> = (0..128).map(f64::from).collect();
        let counts = histogram(&sorted);
        assert_eq!(counts.len(), BINS);
        assert!(counts.iter().all(|count| (1..=3).contains(count)), "{counts:?}");
        assert_eq!(histogram(&[3.0; 5])[0], 5);
        assert!(histogram(&[]).is_empty());
    }

    #[test]
    fn mean_ranks_of_groups() {
        let order = Order::new(vec![0.5, 0.1, 0.9, 0.3], 0, None);
        assert_eq!(mean_ranks(&order, &[0, 0, 1, 1], &[2, 2]), [0.5, 0.75]);
    }

    proptest! {
        #[test]
        fn every_score_is_counted_and_quantiles_ascend(mut scores in prop::collection::vec(prop::num::f64::NORMAL | prop::num::f64::ZERO, 1..300)) {
            scores.sort_by(f64::total_cmp);
            prop_assert_eq!(histogram(&scores).iter().sum::<u64>(), scores.len() as u64);
            let quantiles = quantiles(&scores);
            prop_assert_eq!(quantiles[0], scores[0]);
            prop_assert_eq!(quantiles[QUANTILES - 1], scores[scores.len() - 1]);
            prop_assert!(quantiles.iter().all(|q| q.is_finite()));
        }
    }
}
