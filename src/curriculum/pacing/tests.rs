use proptest::prelude::*;

use super::*;

fn linear(from: &str, to: &str, steps: u64) -> Pacing {
    Pacing::Linear {
        from: Share::parse(from).unwrap(),
        to: Share::parse(to).unwrap(),
        steps,
    }
}

/// Pool sizes of the linear family as published with Wu, Dyer, Neyshabur (ICLR 2021), which truncate where we round up:
/// N = 5,000 rows, all of them from step a·T = 100 on.
#[test]
fn agrees_with_wu_within_a_row() {
    let pacing = linear("0.0025", "1", 100);
    for (step, published) in [
        (0, 12),
        (1, 62),
        (2, 112),
        (3, 162),
        (99, 4950),
        (100, 5000),
        (101, 5000),
        (1000, 5000),
    ] {
        let size = pacing.at(step).ceil_of(5000);
        assert!(
            size == published || size == published + 1,
            "step {step}: {size}, published {published}"
        );
    }
}

/// Competence with p = 1 of Platanios et al. (NAACL 2019): c₀ = 0.01, T = 100.
#[test]
fn agrees_with_competence() {
    let pacing = linear("0.01", "1", 100);
    for (step, published) in [(0, 0.01), (5, 0.0595), (10, 0.109), (15, 0.1585), (100, 1.0)] {
        assert_eq!(pacing.at(step), Share::from_f64(published).unwrap(), "step {step}");
    }
}

#[test]
fn a_whole_number_of_rows_is_not_rounded_up() {
    // f = 2/3, no multiple of the unit.
    assert_eq!(linear("0.5", "1", 3).at(1).ceil_of(3), 2);
    assert_eq!(linear("0.000000001", "1", 3).at(1).units(), 333_333_334_000);
    assert_eq!(linear("0.25", "1", 9).at(3).ceil_of(4), 2);
}

#[test]
fn shrinks_too() {
    let pacing = linear("0.8", "0.2", 6);
    let units: Vec<u64> = (0..8).map(|t| pacing.at(t).units() / 1_000_000_000).collect();
    assert_eq!(units, [800, 700, 600, 500, 400, 300, 200, 200]);
    assert_eq!(pacing.largest(), Share::parse("0.8").unwrap());
}

#[test]
fn refreshes_every_step_or_256_times() {
    let of = |steps, duration| linear("0.1", "1", steps).refreshes(duration, 256).collect::<Vec<_>>();
    assert_eq!(of(3, 5), [0, 1, 2, 3]);
    assert_eq!(of(5, 5), [0, 1, 2, 3, 4]);
    assert_eq!(of(256, 256), (0..256).collect::<Vec<_>>());
    assert_eq!(of(255, 1000), (0..256).collect::<Vec<_>>());
    let long = of(1_000_000_000, 1_000_000_000);
    assert_eq!((long.len(), long[1]), (256, 3_906_250));
    let settled = of(10_000, 20_000);
    assert_eq!((settled.len(), settled.last()), (256, Some(&10_000)));
    assert_eq!(
        Pacing::Constant(Share::ONE).refreshes(1_000, 256).collect::<Vec<_>>(),
        [0]
    );
}

proptest! {
    #[test]
    fn growth_is_monotone_between_its_ends(a in 1..=1_000_000_000_000u64, b in 1..=1_000_000_000_000u64, steps in 1..=1_000_000_000u64, t in 0..=1_000_000_000u64) {
        let share = |units| Share::from_units(units).unwrap();
        let pacing = Pacing::Linear { from: share(a.min(b)), to: share(a.max(b)), steps };
        prop_assert_eq!(pacing.at(0), share(a.min(b)));
        prop_assert_eq!(pacing.at(steps), share(a.max(b)));
        prop_assert!(pacing.at(t) <= pacing.at(t + 1));
        prop_assert!(pacing.at(t) <= pacing.largest());
    }

    #[test]
    fn refreshes_are_ascending_within_the_phase(steps in 1..=1_000_000_000u64, duration in 1..=1_000_000_000u64) {
        let pacing = linear("0.1", "1", steps);
        let at: Vec<u64> = pacing.refreshes(duration, 256).collect();
        prop_assert!(at.len() <= 256 && at[0] == 0);
        prop_assert!(at.windows(2).all(|w| w[0] < w[1]));
        prop_assert!(at.iter().all(|&t| t < duration));
        prop_assert_eq!(at.contains(&steps), steps < duration);
    }
}
