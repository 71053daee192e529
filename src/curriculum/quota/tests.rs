use proptest::prelude::*;

use super::*;

/// Terms as the sampler makes them: shares that sum to a million, and strata with rows up to the largest data set.
fn terms() -> impl Strategy<Value = Vec<Weights>> {
    let strata = prop::collection::vec(prop_oneof![1 => Just(0), 4 => 1u64..1000, 1 => 1..(1u64 << 45)], 1..20);
    prop::collection::vec((1u64..1000, strata), 1..12).prop_map(|terms| {
        let mut terms: Vec<Weights> = terms
            .into_iter()
            .map(|(share, strata)| Weights { share, strata })
            .collect();
        // At least one stratum has rows.
        terms[0].strata[0] += 1;
        terms
    })
}

/// Exact share of each stratum, as numerator and denominator.
fn exact(terms: &[Weights]) -> Vec<(u128, u128)> {
    let live: u64 = terms
        .iter()
        .filter(|t| t.strata.iter().any(|&w| w > 0))
        .map(|t| t.share)
        .sum();
    let shares = terms.iter().flat_map(|term| {
        let rows: u64 = term.strata.iter().sum();
        term.strata.iter().map(move |&w| {
            (
                u128::from(term.share) * u128::from(w),
                u128::from(live) * u128::from(rows.max(1)),
            )
        })
    });
    shares.collect()
}

proptest! {
    #[test]
    fn sum_to_the_slots(terms in terms(), key: u64, slots in 0..(1u64 << 60)) {
        let counts = Quotas::new(&terms, key).of_first(slots);
        prop_assert_eq!(counts.len(), terms.iter().map(|t| t.strata.len()).sum::<usize>());
        prop_assert_eq!(counts.iter().map(|&c| u128::from(c)).sum::<u128>(), u128::from(slots));
    }

    #[test]
    fn monotone_in_the_slots(terms in terms(), key: u64, start in 0..(1u64 << 60), step in 0u64..3) {
        let quotas = Quotas::new(&terms, key);
        let (before, after) = (quotas.of_first(start), quotas.of_first(start + step));
        for (before, after) in before.iter().zip(&after) {
            prop_assert!(before <= after && after - before <= step);
        }
    }

    #[test]
    fn err_by_less_than_the_depth(terms in terms(), key: u64, slots in 0..(1u64 << 60)) {
        let quotas = Quotas::new(&terms, key);
        let depth = f64::from(quotas.depth());
        for (count, (numerator, denominator)) in quotas.of_first(slots).into_iter().zip(exact(&terms)) {
            // Whole and fractional part of slots · numerator / denominator without overflow.
            let slots = u128::from(slots);
            let whole = slots / denominator * numerator + slots % denominator * numerator / denominator;
            let error = count as i128 - whole as i128;
            prop_assert!((error as f64) < depth + 1.0 && error as f64 > -depth.max(0.5), "error {} at depth {}", error, depth);
        }
    }

    #[test]
    fn two_terms_err_by_less_than_one(share in 1u64..1_000_000, key: u64, slots in 0..(1u64 << 40)) {
        let terms = [share, 1_000_000 - share].map(|share| Weights { share, strata: vec![1] });
        let counts = Quotas::new(&terms, key).of_first(slots);
        let exact = u128::from(slots) * u128::from(share);
        prop_assert!((u128::from(counts[0]) * 1_000_000).abs_diff(exact) < 1_000_000);
    }

    #[test]
    fn a_batch_is_the_difference_of_two_prefixes(terms in terms(), key: u64, start in 0..(1u64 << 50), batch in 0u64..5000) {
        let quotas = Quotas::new(&terms, key);
        let (before, after) = (quotas.of_first(start), quotas.of_first(start + batch));
        let mut drawn = vec![0; before.len()];
        let mut last = None;
        quotas.for_each(start..start + batch, |stratum, draws| {
            assert!(last.replace(stratum) < Some(stratum), "strata in order, each once");
            assert!(!draws.is_empty());
            assert_eq!((draws.start, draws.end), (before[stratum], after[stratum]));
            drawn[stratum] = draws.end - draws.start;
        });
        prop_assert_eq!(drawn.iter().sum::<u64>(), batch);
        for (i, drawn) in drawn.into_iter().enumerate() {
            prop_assert_eq!(drawn, after[i] - before[i]);
        }
    }
}

/// However short a segment is, no stratum is starved on average: the mean over keys is the exact share.
#[test]
fn unbiased_over_keys() {
    let terms = [
        Weights {
            share: 50_000,
            strata: vec![1],
        },
        Weights {
            share: 100_000,
            strata: vec![3, 0, 7],
        },
        Weights {
            share: 850_000,
            strata: vec![1, 1],
        },
    ];
    let (keys, slots) = (40_000, 3);
    let mut totals = [0u64; 6];
    for key in 0..keys {
        for (total, count) in totals
            .iter_mut()
            .zip(Quotas::new(&terms, mix::mix(key)).of_first(slots))
        {
            *total += count;
        }
    }
    for (total, (numerator, denominator)) in totals.into_iter().zip(exact(&terms)) {
        let expected = (keys * slots) as f64 * numerator as f64 / denominator as f64;
        // Five standard deviations of a count that errs by less than one each time.
        let tolerance = 5.0 * expected.sqrt();
        assert!(
            (total as f64 - expected).abs() <= tolerance,
            "{total} instead of {expected}"
        );
    }
}

#[test]
fn strata_without_weight_get_nothing() {
    let terms = [
        Weights {
            share: 500_000,
            strata: vec![0, 5, 0],
        },
        Weights {
            share: 0,
            strata: vec![9],
        },
        Weights {
            share: 500_000,
            strata: vec![0],
        },
    ];
    assert_eq!(Quotas::new(&terms, 1).of_first(100), [0, 100, 0, 0, 0]);
    assert_eq!(Quotas::new(&[], 1).of_first(100), Vec::<u64>::new());
}

#[test]
fn the_depth_is_logarithmic() {
    let terms: Vec<Weights> = (0..33)
        .map(|_| Weights {
            share: 1,
            strata: vec![1; 256],
        })
        .collect();
    assert_eq!(Quotas::new(&terms, 1).depth(), 6 + 8);
}
