//! From ranks that people gave to scores of their rows.

use std::fs;

use super::usable;
use crate::curriculum::canonical;
use crate::index::summary::quantile;
use crate::scoring::error::ScoringError;
use crate::scoring::manifest::Manifest;
use crate::scoring::store::Store;
use crate::scoring::task::Task;

/// The rows to train on that people ranked, ascending, with their ranks.
///
/// # Errors
/// [`ScoringError::ScoresInvalid`] when the file was not to be used; those of the store.
pub(in crate::scoring) fn load(
    task: &Task,
    store: &Store,
    manifest: &Manifest,
) -> Result<Vec<(u64, f64)>, ScoringError> {
    let Some((digest, told)) = usable(task, manifest)? else {
        return Ok(Vec::new());
    };
    let path = store.overrides(task);
    store.shared().pull(&path)?;
    let text = fs::read(&path).map_err(|e| ScoringError::io("read", &path, e))?;
    let mut table = csv::ReaderBuilder::new().has_headers(false).from_reader(&text[..]);
    let ranks: Vec<(u64, f64)> = table
        .deserialize()
        .collect::<Result<_, _>>()
        .map_err(|e| ScoringError::store(&path, e))?;
    if canonical::sha256(&text) != digest || ranks.len() as u64 != told.rows {
        return Err(ScoringError::store(&path, "it does not match the manifest"));
    }
    Ok(ranks)
}

/// Gives each row of `ranks` the score that is the quantile of its rank among the scores of all other rows, but for those that are
/// `apart`, linear between order statistics (type 7 of Hyndman and Fan 1996). Where no other row has a score, it is the rank itself.
///
/// So a rank means the same whatever the unit of the scores: 0 is as easy as the easiest of the others, 1 as hard as the hardest.
pub(in crate::scoring) fn apply(scores: &mut [f64], ranks: &[(u64, f64)], apart: impl Iterator<Item = u64>) {
    if ranks.is_empty() {
        return;
    }
    let mut others = scores.to_vec();
    for row in ranks.iter().map(|(row, _)| *row).chain(apart) {
        others[row as usize] = f64::NAN;
    }
    others.retain(|score| !score.is_nan());
    others.sort_unstable_by(f64::total_cmp);
    for (row, rank) in ranks {
        scores[*row as usize] = quantile(&others, *rank).unwrap_or(*rank);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::index::order::Order;

    #[test]
    fn a_rank_is_a_quantile_of_the_others() {
        // The others have 10, 20 and 40; the row that is apart has no say.
        let mut scores = vec![40.0, 1.0, 10.0, 99.0, 20.0, f64::NAN];
        apply(&mut scores, &[(1, 0.75), (5, 0.0)], [3].into_iter());
        assert_eq!(scores, [40.0, 30.0, 10.0, 99.0, 20.0, 10.0]);
        let mut alone = vec![7.0, 8.0];
        apply(&mut alone, &[(0, 0.25), (1, 1.0)], std::iter::empty());
        assert_eq!(alone, [0.25, 1.0]);
    }

    proptest! {
        #[test]
        fn a_ranked_row_stands_where_people_say_and_the_others_as_they_stood(
            scores in prop::collection::vec(-1e300..1e300_f64, 2..200),
            place in any::<prop::sample::Index>(),
            rank in 0.0..=1.0_f64,
        ) {
            let row = place.index(scores.len()) as u64;
            let mut overridden = scores.clone();
            apply(&mut overridden, &[(row, rank)], std::iter::empty());
            let order = |scores: &[f64]| Order::new(scores.to_vec(), 1, []).rows;
            let without = |rows: Vec<u64>| rows.into_iter().filter(|other| *other != row).collect::<Vec<_>>();
            let after = order(&overridden);
            prop_assert_eq!(without(order(&scores)), without(after.clone()));
            let others = scores.len() - 1;
            let at = after.iter().position(|other| *other == row).unwrap();
            // Of n others, rank·(n − 1) steps up; ties are cut by chance, but such scores have none.
            let up = rank * (others - 1) as f64;
            let (least, most) = (up.floor() as usize, up.ceil() as usize + 1);
            prop_assert!((least..=most).contains(&at), "{at} is not in {least}..={most}");
        }

        #[test]
        fn ranks_of_people_are_ordered_as_they_say(
            scores in prop::collection::vec(prop_oneof![Just(f64::NAN), Just(2.5), -9.0..9.0_f64], 4..60),
            mut ranks in prop::collection::vec(0.0..=1.0_f64, 2..4),
        ) {
            let mut overridden = scores;
            ranks.sort_by(f64::total_cmp);
            let pairs: Vec<(u64, f64)> = (0..).zip(ranks).collect();
            apply(&mut overridden, &pairs, std::iter::empty());
            let given: Vec<f64> = overridden[..pairs.len()].to_vec();
            prop_assert!(given.iter().all(|score| score.is_finite()));
            prop_assert!(given.windows(2).all(|pair| pair[0] <= pair[1] + 1e-12), "{given:?}");
        }
    }
}
