//! Pools whose ends move with the step.

use super::*;

/// One phase of a moving pool.
fn moving(pool: &serde_json::Value, batch_size: u64, steps: u64, rows: u64, seed: u64) -> Sampler {
    let spec = json!({"batchSize": batch_size, "phases": [{"name": "a", "pool": pool, "duration": {"steps": steps}}]});
    Sampler::new(plan(spec, seed, &[rows])).unwrap()
}

fn pools() -> impl Strategy<Value = serde_json::Value> {
    let fraction = || (1..100u32).prop_map(|percent| format!("0.{percent:02}"));
    let ramp = (
        prop::sample::select(vec!["Linear", "Root", "Exponential", "Logarithmic", "Quadratic"]),
        fraction(),
        fraction(),
        1..400u64,
    )
        .prop_map(|(function, from, to, steps)| json!({"function": function, "from": from, "to": to, "steps": steps}));
    let buckets = (prop::sample::select(vec!["BabyStep", "OnePass"]), 1..20u32)
        .prop_map(|(function, buckets)| json!({"function": function, "buckets": buckets}));
    let window = prop::option::of(fraction());
    (prop_oneof![3 => ramp, 1 => buckets], window).prop_map(|(pacing, window)| match window {
        Some(window) if pacing["function"] != "OnePass" => json!({"pacing": pacing, "window": window}),
        _ => json!({"pacing": pacing}),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However a pool moves: a batch holds rows of the pool of its step, none twice, and resuming changes nothing.
    #[test]
    fn a_moving_pool_is_sampled_exactly(pool in pools(), batch_size in 1..40u64, rows in 40..2000u64, seed in 0..1u64 << 53, at in 0..300u64) {
        let whole = moving(&pool, batch_size, 300, rows, seed);
        for step in 0..300 {
            let look = whole.look(step, &Tagged).unwrap();
            let interval = look.pools[0].intervals[0].1.clone();
            let shown = batch(&whole, step);
            prop_assert!(shown.iter().all(|row| interval.contains(row)), "step {}: {:?} outside of {:?}", step, shown, interval);
            if step == at {
                prop_assert_eq!(&shown, &batch(&moving(&pool, batch_size, 300, rows, seed), step));
            }
            prop_assert!(is_even(&shown, interval.end - interval.start), "step {}: {:?}", step, shown);
        }
    }
}

/// While a pool grows, its rows have equal chances at every step, and a pass hardly shows one twice.
#[test]
fn a_growing_pool_is_uniform_and_its_passes_go_round() {
    let pool = json!({"pacing": {"function": "Linear", "from": "0.5", "to": "1", "steps": 1000}});
    let (mut tenths, mut draws) = ([0u64; 10], 0);
    for seed in 0..2000 {
        let sampler = moving(&pool, 10, 1000, 1000, seed);
        // 775 rows, in the middle of a segment.
        let rows = own_rows(sampler.plan(), 550);
        for row in batch(&sampler, 550) {
            tenths[(row * 10 / rows) as usize] += 1;
            draws += 1;
        }
    }
    let expected = draws as f64 / 10.0;
    let chi: f64 = tenths.iter().map(|&n| (n as f64 - expected).powi(2) / expected).sum();
    // 99.9 % of a chi-square with 9 degrees of freedom.
    assert!(chi < 27.9, "{chi}: {tenths:?}");

    // From 500 to 550 rows in 100 steps of 5 draws: one pass. Independent draws would show some 37 % fewer different rows.
    let sampler = moving(
        &json!({"pacing": {"function": "Linear", "from": "0.5", "to": "1", "steps": 1000}}),
        5,
        1000,
        1000,
        7,
    );
    let mut shown: Vec<u64> = (0..100).flat_map(|step| batch(&sampler, step)).collect();
    shown.sort_unstable();
    shown.dedup();
    assert!(shown.len() > 470, "{}", shown.len());
}

/// A window that moves on keeps what it has shown apart: over the time that a row is in it, it is shown as often as any other.
#[test]
fn a_sliding_window_shows_its_rows_evenly() {
    let pool = json!({"pacing": {"function": "Linear", "from": "0.1", "to": "1", "steps": 9000}, "window": "0.1"});
    let sampler = moving(&pool, 10, 9000, 10_000, 3);
    let mut counts = vec![0u32; 10_000];
    for step in 0..9000 {
        batch(&sampler, step)
            .into_iter()
            .for_each(|row| counts[row as usize] += 1);
    }
    // A row is in the window for 1,000 steps of 10 of its 1,000 rows: ten times.
    let middle = &counts[1000..9000];
    assert!(
        middle.iter().all(|&count| (3..=19).contains(&count)),
        "{:?} to {:?}",
        middle.iter().min(),
        middle.iter().max()
    );
    let near = middle.iter().filter(|&&count| (8..=12).contains(&count)).count();
    assert!(near > 6400, "{near} of 8000");
}

/// Shares that change 100 times are met over the run within the depth of the tree.
#[test]
fn moving_shares_are_exact_over_the_phase() {
    let weights = json!([{"name": "a", "weight": "0.9", "finalWeight": "0.1"}, {"name": "b", "weight": "0.1", "finalWeight": "0.9"}]);
    let spec = json!({"batchSize": 7, "balance": "Group", "uniformFloor": "0.1", "phases": [
        {"name": "a", "pool": {"fraction": "1"}, "mixing": {"weights": weights}, "duration": {"steps": 5000}}]});
    let facts = Facts {
        rows: 1000,
        group_rows: vec![500, 500],
        groups: [("a".to_owned(), 0), ("b".to_owned(), 1)].into(),
        held_out: None,
        filtered: None,
        scores: Some(arbitrary::scores()),
        ..Facts::default()
    };
    for seed in 0..20 {
        let plan = compile(
            &serde_json::from_value(spec.clone()).unwrap(),
            &Facts { seed, ..facts.clone() },
        )
        .unwrap();
        assert!(plan.phases[0].segments.len() > 60);
        let sampler = Sampler::new(plan).unwrap();
        let (mut counts, mut exact) = ([0u64; 3], [0.0; 3]);
        let phase = &sampler.plan().phases[0];
        for step in 0..5000 {
            for (exact, &share) in exact.iter_mut().zip(&phase.segments[phase.segment_at(step)].shares) {
                *exact += 7.0 * f64::from(share) / 1e6;
            }
            for row in batch(&sampler, step) {
                let place = match Tagged::read(row).0 {
                    OrderScope::All => 0,
                    OrderScope::Group(group) => 1 + group as usize,
                };
                counts[place] += 1;
            }
            let error = counts
                .iter()
                .zip(exact)
                .map(|(&count, exact)| (count as f64 - exact).abs())
                .fold(0.0, f64::max);
            assert!(error < 2.01, "step {step}: {counts:?} instead of {exact:?}");
        }
        assert!(counts[1].abs_diff(15_750) <= 2, "{counts:?}");
    }
}
