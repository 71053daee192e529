//! Rows that are held out or filtered out.

use super::*;
use crate::curriculum::filter::Filtered;
use crate::curriculum::split::{HeldOut, Split};

/// Rows that are not trained on are the last ones of an order; no batch of any order of difficulty reaches
/// them.
#[test]
fn rows_that_are_not_trained_on_are_in_no_batch_of_any_order() {
    /// All rows but every fifth, and those behind them.
    struct Others(Vec<u64>);
    impl RowOrder for Others {
        fn row(&self, _scope: OrderScope, position: u64) -> u64 {
            self.0[position as usize]
        }
    }
    let held_out = HeldOut { rows: 200, seed: 4 };
    let split = Split::new(1000, held_out);
    let filtered = Filtered {
        rows: 200,
        key: "k".to_owned(),
        digest: "sha256:d".to_owned(),
    };
    let (some, others): (Vec<u64>, Vec<u64>) = (0..1000).partition(|row| row % 5 > 0);
    let of_filter = Others([some, others].concat());
    let of_split = Others(split.trained().chain(split.held_out()).collect());
    let apart: Vec<u64> = split.held_out().collect();
    for name in ["EasyFirst", "HardFirst", "Random"] {
        let plan = plan(constant(100, name, "None", "1", 20), 1, &[800]);
        let held_out = Plan {
            held_out: Some(held_out),
            ..plan.clone()
        };
        let filtered = Plan {
            filtered: Some(filtered.clone()),
            ..plan
        };
        let drawn = |plan: Plan, order: &Others| {
            let sampler = Sampler::new(plan).unwrap();
            let mut out = Vec::new();
            let of_step = |step| {
                sampler.batch(step, order, &mut out).unwrap();
                out.clone()
            };
            (0..8).flat_map(of_step).collect::<Vec<u64>>()
        };
        let rows = drawn(filtered, &of_filter);
        assert_eq!(sorted(rows), sorted(of_filter.0[..800].to_vec()), "{name}");
        let rows = drawn(held_out.clone(), &of_split);
        assert!(rows.iter().all(|row| !apart.contains(row)), "{name}");
        assert_eq!(sorted(rows.clone()), sorted(split.trained().collect()), "{name}");
        // Of a split the control arm is the same, too, whatever the scores are.
        if name == "Random" {
            let backwards = Others(of_split.0[..800].iter().rev().copied().collect());
            assert_eq!(drawn(held_out, &backwards), rows);
        }
    }
}
