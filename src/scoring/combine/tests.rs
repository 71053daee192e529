use super::*;

fn combined(how: Combine, scorers: &[(&[f64], f64)]) -> Vec<f64> {
    let weights: Vec<f64> = scorers.iter().map(|(_, weight)| *weight).collect();
    let mut combination = Combination::new(how, &weights);
    for (scores, _) in scorers {
        combination.add(scores.to_vec());
    }
    combination.finish()
}

#[test]
fn mean_rank_weighs_ranks() {
    let scorers: [(&[f64], f64); 2] = [(&[10.0, 20.0, 30.0, 40.0], 3.0), (&[0.4, 0.3, 0.2, 0.1], 1.0)];
    assert_eq!(combined(Combine::MeanRank, &scorers), [0.4375, 0.5625, 0.6875, 0.8125]);
}

#[test]
fn weighted_score_sums_raw_scores() {
    let scorers: [(&[f64], f64); 2] = [(&[1.0, 2.0], 0.5), (&[10.0, -10.0], 2.0)];
    assert_eq!(combined(Combine::WeightedScore, &scorers), [20.5, -19.0]);
}

#[test]
fn max_keeps_the_greatest_rank() {
    let scorers: [(&[f64], f64); 2] = [(&[1.0, 2.0, 3.0, 4.0], 1.0), (&[9.0, 7.0, 7.0, 1.0], 0.0)];
    assert_eq!(combined(Combine::Max, &scorers), [1.0, 0.625, 0.75, 1.0]);
}

#[test]
fn a_single_scorer_keeps_its_scores() {
    for how in [Combine::MeanRank, Combine::Max] {
        assert_eq!(combined(how, &[(&[5.0, -3.0], 0.25)]), [5.0, -3.0]);
    }
}

#[test]
fn a_row_without_one_of_its_scores_has_none() {
    for how in [Combine::MeanRank, Combine::WeightedScore, Combine::Max] {
        for scorers in [
            [(&[f64::NAN, 2.0][..], 1.0), (&[1.0, 2.0][..], 1.0)],
            [(&[1.0, 2.0][..], 1.0), (&[f64::NAN, 2.0][..], 0.0)],
        ] {
            let all = combined(how, &scorers);
            assert!(all[0].is_nan() && all[1].is_finite(), "{how:?}: {all:?}");
        }
    }
}

#[test]
fn a_sum_beyond_the_greatest_number_is_none() {
    assert!(combined(Combine::WeightedScore, &[(&[f64::MAX], 1.0), (&[f64::MAX], 1.0)])[0].is_nan());
}
