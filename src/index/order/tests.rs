use std::cmp::Ordering;
use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

#[test]
fn ties_share_a_rank_and_unscored_rows_come_last() {
    let order = Order::new(
        vec![2.0, f64::NAN, 1.0, 2.0, f64::NAN, -0.0, 0.0, f64::NEG_INFINITY],
        1,
        None,
    );
    assert_eq!(order.scored, 6);
    assert_eq!(order.rows[0], 7);
    let mut zeros = order.rows[1..3].to_vec();
    zeros.sort_unstable();
    assert_eq!(zeros, [5, 6]);
    assert_eq!(order.rows[3], 2);
    assert_eq!(order.scores[..6], [f64::NEG_INFINITY, 0.0, 0.0, 1.0, 2.0, 2.0]);
    assert!(order.scores[6..].iter().all(|score| score.is_nan()));
    assert_eq!(
        order.ranks,
        [1.0, 2.5, 2.5, 4.0, 5.5, 5.5, 7.5, 7.5].map(|place| place / 8.0)
    );
}

#[test]
fn a_cut_through_a_tie_depends_on_the_seed_and_favours_no_end_of_the_data() {
    let orders: Vec<Vec<u64>> = (0..50)
        .map(|seed| Order::new(vec![1.0; 1000], seed, None).rows)
        .collect();
    assert_eq!(orders[3], Order::new(vec![1.0; 1000], 3, None).rows);
    assert_ne!(orders[3], orders[4]);
    let first_half: usize = orders
        .iter()
        .map(|rows| rows[..200].iter().filter(|row| **row < 500).count())
        .sum();
    // 10,000 draws with probability 1/2: five standard deviations are 250.
    assert!((4750..=5250).contains(&first_half), "{first_half} of 10000");
}

#[test]
fn groups_keep_the_order_of_all_rows() {
    let order = Order::new(vec![0.5, 0.1, 0.9, 0.3, 0.7], 0, None);
    assert_eq!(order.rows, [1, 3, 0, 4, 2]);
    assert_eq!(order.by_group(&[1, 0, 1, 1, 0], &[2, 3]), [1, 4, 3, 0, 2]);
}

/// Rows in order, by the definition: those with a score by it, then those without one, then those that are apart.
fn defined(scores: &[f64], seed: u64, apart: &[u64]) -> Vec<u64> {
    let mut rows: Vec<u64> = (0..scores.len() as u64).collect();
    let last = |row: &u64| {
        (
            apart.contains(row),
            apart.contains(row) || scores[*row as usize].is_nan(),
        )
    };
    let by_score = |a: &u64, b: &u64| scores[*a as usize].partial_cmp(&scores[*b as usize]).unwrap();
    let by_hash = |a: &u64, b: &u64| mix(a ^ mix(seed)).cmp(&mix(b ^ mix(seed)));
    rows.sort_by(|a, b| {
        let scored = !last(a).1 && !last(b).1;
        let place = last(a).cmp(&last(b));
        place
            .then_with(|| if scored { by_score(a, b) } else { Ordering::Equal })
            .then_with(|| by_hash(a, b))
    });
    rows
}

/// Scores of few values, or behind them as many more distinct ones as are too many to count rows by.
fn many_or_few_values() -> impl Strategy<Value = Vec<f64>> {
    let special = [
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        0.0,
        -0.0,
        f64::MIN_POSITIVE,
        -f64::MAX,
    ];
    let score = prop_oneof![
        prop::sample::select(special.to_vec()),
        (-3..3_i8).prop_map(f64::from),
        any::<f64>()
    ];
    let more = prop::sample::select(vec![0, levels::MOST, 2 * levels::MOST]);
    (prop::collection::vec(score, 1..300), more).prop_map(|(mut scores, more)| {
        scores.extend((0..more as u64).map(|number| mix(number) as f64));
        scores
    })
}

proptest! {
    #[test]
    fn the_order_is_the_defined_one_however_many_values_scores_have(
        scores in many_or_few_values(),
        seed: u64,
        apart in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
    ) {
        let apart: BTreeSet<u64> = apart.iter().map(|index| index.index(scores.len()) as u64).collect();
        let apart: Vec<u64> = apart.into_iter().collect();
        let order = Order::new(scores.clone(), seed, apart.iter().copied());
        prop_assert_eq!(&order.rows, &defined(&scores, seed, &apart));
        let trained = scores.len() - apart.len();
        for (place, row) in order.rows.iter().enumerate() {
            let score = scores[*row as usize];
            if score.is_nan() || place >= trained {
                prop_assert!(order.scores[place].is_nan());
            } else {
                prop_assert_eq!(order.scores[place], score);
            }
            prop_assert_eq!(order.ranks[place].is_nan(), place >= trained);
        }
    }

    #[test]
    fn ranks_are_those_of_the_scored_rows_however_many_values_scores_have(scores in many_or_few_values()) {
        let mut ranks = scores.clone();
        to_ranks(&mut ranks);
        let mut sorted: Vec<f64> = scores.iter().copied().filter(|score| !score.is_nan()).collect();
        sorted.sort_by(|a, b| a.partial_cmp(b).unwrap());
        let sorted_ranks: Vec<f64> = average_ranks(&sorted).collect();
        for (score, rank) in scores.iter().zip(ranks) {
            match sorted.partition_point(|other| other < score) {
                _ if score.is_nan() => prop_assert!(rank.is_nan()),
                first => prop_assert_eq!(rank, sorted_ranks[first]),
            }
        }
    }

    #[test]
    fn keys_compare_as_scores_and_come_back(a: f64, b: f64) {
        prop_assume!(!a.is_nan() && !b.is_nan());
        prop_assert_eq!(sort_key(a).cmp(&sort_key(b)), a.partial_cmp(&b).unwrap());
        prop_assert_eq!(from_sort_key(sort_key(a)), a);
        prop_assert!(sort_key(a) < sort_key(f64::NAN));
    }

    #[test]
    fn a_hash_gives_its_value_back(value: u64) {
        prop_assert_eq!(unmix(mix(value)), value);
    }

    #[test]
    fn an_order_is_an_ascending_permutation(scores in prop::collection::vec(prop_oneof![Just(f64::NAN), -3.0..3.0_f64, Just(1.0)], 1..200), seed: u64) {
        let order = Order::new(scores.clone(), seed, None);
        let mut rows = order.rows.clone();
        rows.sort_unstable();
        prop_assert!(rows.iter().copied().eq(0..scores.len() as u64));
        prop_assert!(order.scores[..order.scored].is_sorted());
        prop_assert!(order.scores[order.scored..].iter().all(|score| score.is_nan()));
        prop_assert!(order.ranks.is_sorted());
        for ((row, score), rank) in order.rows.iter().zip(&order.scores).zip(&order.ranks) {
            prop_assert!(scores[*row as usize] == *score || scores[*row as usize].is_nan() && score.is_nan());
            prop_assert!(*rank > 0.0 && *rank <= 1.0);
        }
    }
}
