//! Which rows are most worth a look by people: those whose place is most in doubt.

use std::collections::BTreeSet;
use std::path::Path;

use super::error::ScoringError;
use super::gather::gather_in;
use super::store::Store;
use crate::index::map::ScoreIndex;
use crate::index::order::to_ranks;

/// A row and why it is worth a look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Item {
    /// The row's number.
    pub row: u64,
    /// Its rank in the index, in (0, 1].
    pub rank: f64,
    /// How far it is from the rank that was asked for, or how much the scorers disagree about it.
    pub measure: f64,
}

/// The `count` rows to train on whose rank is nearest to `threshold`, the nearest first: where that is the fraction of a pool, a small
/// error of their scores takes them in or out (sampling at the margin; Settles 2009, *Active learning literature survey*).
pub fn nearest(index: &ScoreIndex, threshold: f64, count: usize) -> Vec<Item> {
    let items = trained(index).map(|(row, rank)| Item {
        row,
        rank,
        measure: (rank - threshold).abs(),
    });
    best(items.collect(), count, |item| item.measure)
}

/// The `count` rows to train on about which scorers disagree most, the most disputed first (query by committee; Seung, Opper and
/// Sompolinsky 1992). `scores` has each scorer's score of every row, NaN where it has none.
///
/// The measure is the standard deviation of the row's ranks by the scorers that scored it, each among the rows to train on: 0 where all
/// agree, at most 0.5. A row with fewer than two scores is in no dispute.
pub fn disputed(index: &ScoreIndex, scores: Vec<Vec<f64>>, count: usize) -> Vec<Item> {
    let is_trained: BTreeSet<u64> = trained(index).map(|(row, _)| row).collect();
    let ranks: Vec<Vec<f64>> = scores
        .into_iter()
        .map(|mut scores| {
            for (row, score) in (0..).zip(&mut scores) {
                if !is_trained.contains(&row) {
                    *score = f64::NAN;
                }
            }
            to_ranks(&mut scores);
            scores
        })
        .collect();
    let of_row = |row: u64| {
        let of_scorers = ranks.iter().filter_map(|ranks| ranks.get(row as usize));
        deviation(of_scorers.copied().filter(|rank| !rank.is_nan()))
    };
    let items = trained(index).filter_map(|(row, rank)| {
        let measure = of_row(row)?;
        Some(Item { row, rank, measure })
    });
    best(items.collect(), count, |item| -item.measure)
}

/// Rows to train on with their ranks, from easy to hard.
fn trained(index: &ScoreIndex) -> impl Iterator<Item = (u64, f64)> + '_ {
    let all = index.rows().iter().copied().zip(index.ranks().iter().copied());
    all.filter(|(_, rank)| !rank.is_nan())
}

/// Those with the least key; of equal ones the easier.
fn best(mut items: Vec<Item>, count: usize, key: impl Fn(&Item) -> f64) -> Vec<Item> {
    items.sort_by(|a, b| key(a).total_cmp(&key(b)));
    items.truncate(count);
    items
}

/// The standard deviation of two numbers or more.
fn deviation(values: impl Iterator<Item = f64> + Clone) -> Option<f64> {
    let count = values.clone().count();
    if count < 2 {
        return None;
    }
    let mean = values.clone().sum::<f64>() / count as f64;
    let squares = values.map(|value| (value - mean).powi(2)).sum::<f64>();
    Some((squares / count as f64).sqrt())
}

/// The scores of every scorer below `folder`, which is `scores/<key>` of a store, by the scorer's name. `shards` is the number of parts
/// that they were scored in, and may be left out where all were scored in as many.
///
/// # Errors
/// [`ScoringError::ScoresInvalid`] names the folder when there are no scorers, or files of several divisions, or their scores are
/// broken; those of the file system.
pub fn read_scores(
    store: &Store,
    folder: &Path,
    shards: Option<u32>,
    rows: u64,
) -> Result<Vec<(String, Vec<f64>)>, ScoringError> {
    let failed = |error| ScoringError::io("read", folder, error);
    let mut scorers = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') || !entry.file_type().map_err(failed)?.is_dir() {
            continue;
        }
        let shards = match shards {
            Some(shards) => shards,
            None => division(&entry.path())?,
        };
        let gathered = gather_in(store, &entry.path(), shards, rows)?;
        if !gathered.broken.is_empty() {
            let words = format!("scorer `{name}`: {}", gathered.broken.join(", "));
            return Err(ScoringError::ScoresInvalid(words));
        }
        scorers.push((name, gathered.scores));
    }
    scorers.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(scorers)
}

/// Into how many shards the rows were divided whose files are in a folder.
fn division(folder: &Path) -> Result<u32, ScoringError> {
    let failed = |error| ScoringError::io("read", folder, error);
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let name = name.to_string_lossy();
        let stem = name.split_once('.').map_or(&*name, |(stem, _)| stem);
        found.extend(stem.split_once("-of-").and_then(|(_, count)| count.parse::<u32>().ok()));
    }
    match found.iter().collect::<Vec<_>>()[..] {
        [only] => Ok(*only),
        [] => Err(ScoringError::store(folder, "it holds no scores")),
        _ => Err(ScoringError::store(
            folder,
            "its rows were scored in several divisions; say in how many shards with `--shards`",
        )),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::index::file::{self, IndexContent};
    use crate::index::order::Order;

    /// An index of these scores, without the rows `apart`.
    fn index(scores: &[f64], apart: &[u64]) -> (tempfile::TempDir, ScoreIndex) {
        let folder = tempfile::tempdir().unwrap();
        let content = IndexContent {
            key: "abc".to_owned(),
            group_rows: Vec::new(),
            group_names: Vec::new(),
            order: Order::new(scores.to_vec(), 1, apart.iter().copied()),
            grouped: None,
            lengths: None,
        };
        let path = folder.path().join("index.arrow");
        file::write(&path, content).unwrap();
        let index = ScoreIndex::open(&path, None).unwrap();
        (folder, index)
    }

    fn rows(items: &[Item]) -> Vec<u64> {
        items.iter().map(|item| item.row).collect()
    }

    #[test]
    fn rows_near_a_threshold_are_the_nearest_first() {
        let scores: Vec<f64> = (0..8).map(f64::from).collect();
        let (_folder, index) = index(&scores, &[]);
        // Row n has the rank (n + 1) / 8; of two that are as near the easier is first.
        assert_eq!(rows(&nearest(&index, 0.4375, 4)), [2, 3, 1, 4]);
        assert_eq!(rows(&nearest(&index, 1.0, 2)), [7, 6]);
        assert_eq!(nearest(&index, 0.0, 99).len(), 8);
    }

    #[test]
    fn rows_in_dispute_are_those_whose_ranks_are_far_apart() {
        let (_folder, index) = index(&[0.0, 1.0, 2.0, 3.0, 9.0], &[4]);
        let scores = vec![vec![1.0, 2.0, 3.0, 4.0, 0.0], vec![10.0, 40.0, 30.0, 20.0, 50.0]];
        let items = disputed(&index, scores, 9);
        // Ranks 1 and 1, 2 and 4, 3 and 3, 4 and 2, in quarters; row 4 is not trained on.
        assert_eq!(rows(&items), [1, 3, 0, 2]);
        assert_eq!(
            items.iter().map(|item| item.measure).collect::<Vec<_>>(),
            [0.25, 0.25, 0.0, 0.0]
        );
        let some = vec![vec![1.0, 2.0, f64::NAN, 4.0, 0.0], vec![10.0, 40.0, 30.0, 20.0, 50.0]];
        assert!(!rows(&disputed(&index, some, 9)).contains(&2));
    }

    proptest! {
        #[test]
        fn no_row_that_is_left_is_worth_more(scores in prop::collection::vec(0..20_u8, 1..80), threshold in 0.0..=1.0_f64, count in 1..80_usize) {
            let scores: Vec<f64> = scores.into_iter().map(f64::from).collect();
            let (_folder, index) = index(&scores, &[]);
            let chosen = nearest(&index, threshold, count);
            prop_assert_eq!(chosen.len(), count.min(scores.len()));
            let worst = chosen.iter().map(|item| item.measure).fold(0.0, f64::max);
            let chosen = rows(&chosen);
            for item in nearest(&index, threshold, scores.len()) {
                prop_assert!(chosen.contains(&item.row) || item.measure >= worst);
            }
        }
    }
}
