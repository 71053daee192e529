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

proptest! {
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
