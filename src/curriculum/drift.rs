//! Drift: how far scores have moved from those of before, as a distribution and as an order.

/// Bins of the reference's quantiles that distributions are compared in.
pub const BINS: usize = 10;
/// Least share of a bin, so that an empty one has a finite logarithm.
const LEAST_SHARE: f64 = 1e-4;

/// How two distributions differ.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shift {
    /// Bins that were compared: fewer than [`BINS`] where many scores are equal.
    pub bins: usize,
    /// Population stability index, Σ (c − r) · ln(c / r) over the bins' shares r of the reference and c of the current scores.
    pub psi: f64,
    /// Kullback–Leibler divergence of the current scores from the reference, Σ c · ln(c / r), in nats.
    pub kl: f64,
    /// What the index comes to in one of a hundred cases without any drift, by the number of rows alone. Smaller indices say nothing.
    pub noise: f64,
}

/// Compares current scores with a reference, both ascending and without NaN; `None` when one of them is empty.
///
/// The bins end at the reference's quantiles 1/10, 2/10, …; equal ones are one bin. Without drift, PSI / (1/n + 1/m) is about χ² with
/// one degree of freedom less than there are bins (Yurdakul, *Statistical Properties of Population Stability Index*, 2018); its 99 % point
/// is Wilson and Hilferty's approximation.
pub fn shift(reference: &[f64], current: &[f64]) -> Option<Shift> {
    let (n, m) = (reference.len(), current.len());
    if n == 0 || m == 0 {
        return None;
    }
    let mut edges: Vec<f64> = (1..BINS).map(|i| reference[(i * n / BINS).min(n - 1)]).collect();
    edges.dedup();
    // An edge at the lowest score would have nothing below it.
    edges.retain(|edge| *edge > reference[0]);
    let shares = |scores: &[f64]| -> Vec<f64> {
        let ends = edges.iter().map(|edge| scores.partition_point(|score| score < edge));
        let mut first = 0;
        ends.chain([scores.len()])
            .map(|end| {
                let rows = end - std::mem::replace(&mut first, end);
                (rows as f64 / scores.len() as f64).max(LEAST_SHARE)
            })
            .collect()
    };
    let (expected, found) = (shares(reference), shares(current));
    let pairs = || expected.iter().zip(&found);
    let bins = expected.len();
    Some(Shift {
        bins,
        psi: pairs().map(|(r, c)| (c - r) * (c / r).ln()).sum(),
        kl: pairs().map(|(r, c)| c * (c / r).ln()).sum::<f64>().max(0.0),
        noise: chi_square_99(bins - 1) * (1.0 / n as f64 + 1.0 / m as f64),
    })
}

/// The 99 % point of χ² with that many degrees of freedom, by Wilson and Hilferty (1931); 0 without any.
fn chi_square_99(degrees: usize) -> f64 {
    const NORMAL_99: f64 = 2.326_347_874_040_841;
    if degrees == 0 {
        return 0.0;
    }
    let k = degrees as f64;
    let a = 2.0 / (9.0 * k);
    k * (1.0 - a + NORMAL_99 * a.sqrt()).powi(3)
}

/// Spearman's rank correlation of rows' ranks: Pearson's correlation of the average ranks, from −1 to 1. Pairs without a rank (NaN) on
/// either side are left out. `None` with fewer than two pairs, or where all ranks of a side are equal.
pub fn spearman(pairs: impl Iterator<Item = (f64, f64)> + Clone) -> Option<f64> {
    let known = pairs.filter(|(a, b)| !a.is_nan() && !b.is_nan());
    let (n, sum_a, sum_b) = known
        .clone()
        .fold((0.0, 0.0, 0.0), |(n, a, b), pair| (n + 1.0, a + pair.0, b + pair.1));
    let (mean_a, mean_b) = (sum_a / n, sum_b / n);
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (a, b) in known {
        let (a, b) = (a - mean_a, b - mean_b);
        ab += a * b;
        aa += a * a;
        bb += b * b;
    }
    let correlation = ab / (aa * bb).sqrt();
    correlation.is_finite().then(|| correlation.clamp(-1.0, 1.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn close(a: f64, b: f64, tolerance: f64) -> bool {
        (a - b).abs() <= tolerance
    }

    #[test]
    fn known_answers() {
        let reference: Vec<f64> = (0..1000).map(f64::from).collect();
        let same = shift(&reference, &reference).unwrap();
        assert_eq!((same.bins, same.psi, same.kl), (10, 0.0, 0.0));
        // χ² with 9 degrees of freedom: 21.666 at 99 % (any table).
        assert!(close(same.noise, 21.666 * 0.002, 1e-4), "{}", same.noise);
        // All of the current scores in the last bin: nine empty ones of 0.0001.
        let shifted = shift(&reference, &[2000.0; 50]).unwrap();
        let psi = 9.0 * (1e-4 - 0.1) * (1e-4_f64 / 0.1).ln() + 0.9 * 10_f64.ln();
        assert!(close(shifted.psi, psi, 1e-12), "{} {psi}", shifted.psi);
        // Half in the first bin, half in the second.
        let half: Vec<f64> = (0..100).map(|i| if i < 50 { 1.0 } else { 150.0 }).collect();
        let kl = 2.0 * 0.5 * 5_f64.ln() + 8.0 * 1e-4 * (1e-4_f64 / 0.1).ln();
        assert!(close(shift(&reference, &half).unwrap().kl, kl, 1e-12));
        assert_eq!(shift(&[], &reference), None);
        assert_eq!(
            shift(&[1.0; 5], &[2.0; 5]).map(|s| (s.bins, s.psi)),
            Some((1, 0.0)),
            "one value has one bin"
        );
    }

    /// 1 − 6 Σ d² / (n (n² − 1)), without ties.
    #[test]
    fn the_correlation_is_spearmans() {
        let ranks = |order: &[f64]| order.iter().map(|place| place / order.len() as f64).collect::<Vec<_>>();
        let (a, b) = (ranks(&[1.0, 2.0, 3.0, 4.0, 5.0]), ranks(&[2.0, 1.0, 4.0, 3.0, 5.0]));
        let of = |a: &[f64], b: &[f64]| spearman(a.iter().copied().zip(b.iter().copied()));
        assert!(close(of(&a, &b).unwrap(), 1.0 - 6.0 * 4.0 / (5.0 * 24.0), 1e-12));
        let reversed: Vec<f64> = a.iter().rev().copied().collect();
        assert!(close(of(&a, &reversed).unwrap(), -1.0, 1e-12));
        assert_eq!(of(&a, &[0.5; 5]), None);
        assert!(close(of(&[0.2, f64::NAN, 0.4], &[0.1, 0.9, 0.3]).unwrap(), 1.0, 1e-12));
    }

    proptest! {
        #[test]
        fn no_scores_are_too_strange(
            mut a in prop::collection::vec(-1e9..1e9f64, 1..300),
            mut b in prop::collection::vec(prop_oneof![-1e9..1e9f64, Just(0.0), Just(f64::INFINITY)], 1..300),
        ) {
            a.sort_by(f64::total_cmp);
            b.sort_by(f64::total_cmp);
            let found = shift(&a, &b).unwrap();
            prop_assert!(found.psi >= -1e-12 && found.psi.is_finite() && found.kl >= 0.0 && found.noise >= 0.0);
            prop_assert!((1..=BINS).contains(&found.bins));
            let back = shift(&b, &a).unwrap();
            prop_assert!(back.psi.is_finite());
        }
    }
}
