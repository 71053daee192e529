//! Ranks: difficulty on a scale that does not depend on the scorer's unit.

use std::ops::Range;

/// The rank of every score: its average-rank empirical distribution function, in (0, 1].
///
/// Scores that are equal get the same rank, the mean of the places 1..=n that they take together, divided by n. So the ranks of
/// n different scores are 1/n, 2/n, … 1, their mean is (n+1)/2n with and without ties, and a monotone change of the scores
/// changes nothing. The competence function of Platanios et al. (NAACL 2019) admits a row when this is at most c(t).
///
/// # Assumptions
/// `sorted` is in ascending order and holds no NaN (which equals nothing, itself included). `-0.0` equals `0.0`.
pub fn average_ranks(sorted: &[f64]) -> impl Iterator<Item = f64> + '_ {
    let mut first = 0;
    sorted.chunk_by(|a, b| a == b).flat_map(move |ties| {
        let last = first + ties.len();
        let rank = tied_rank(first..last, sorted.len());
        first = last;
        std::iter::repeat_n(rank, ties.len())
    })
}

/// The rank of scores that are equal and take these places, counted from 0, among `n` scores: see [`average_ranks`].
pub fn tied_rank(places: Range<usize>, n: usize) -> f64 {
    (places.start as f64 + 1.0 + places.end as f64) / 2.0 / n as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ranks(sorted: &[f64]) -> Vec<f64> {
        average_ranks(sorted).collect()
    }

    #[test]
    fn known_answers() {
        assert_eq!(ranks(&[]), Vec::<f64>::new());
        assert_eq!(ranks(&[7.5]), [1.0]);
        assert_eq!(ranks(&[1.0, 2.0, 3.0, 4.0]), [0.25, 0.5, 0.75, 1.0]);
        assert_eq!(ranks(&[1.0, 2.0, 2.0, 3.0]), [0.25, 0.625, 0.625, 1.0]);
        assert_eq!(ranks(&[5.0; 4]), [0.625; 4]);
        assert_eq!(ranks(&[-0.0, 0.0]), [0.75; 2]);
        assert_eq!(ranks(&[f64::NEG_INFINITY, f64::INFINITY]), [0.5, 1.0]);
    }

    proptest! {
        #[test]
        fn ranks_follow_the_definition(mut scores in prop::collection::vec(-4i32..4, 1..200)) {
            scores.sort_unstable();
            let sorted: Vec<f64> = scores.iter().map(|&s| f64::from(s)).collect();
            let n = sorted.len() as f64;
            let ranks = ranks(&sorted);
            prop_assert_eq!(ranks.len(), sorted.len());
            for (score, rank) in sorted.iter().zip(&ranks) {
                let below = sorted.iter().filter(|s| *s < score).count() as f64;
                let equal = sorted.iter().filter(|s| *s == score).count() as f64;
                prop_assert!((rank - (below + (equal + 1.0) / 2.0) / n).abs() < 1e-12);
                prop_assert!(*rank > 0.0 && *rank <= 1.0);
            }
            let mean = ranks.iter().sum::<f64>() / n;
            prop_assert!((mean - (n + 1.0) / (2.0 * n)).abs() < 1e-9);
        }
    }
}
