use std::collections::HashMap;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::api::curriculum::{CurriculumSpec, Order};
use crate::curriculum::arbitrary::{self, Tagged};
use crate::curriculum::order::{Identity, OrderScope};
use crate::curriculum::plan::{Facts, PoolPlan, Role, Scope, compile};

mod apart;
mod moving;

fn plan(spec: serde_json::Value, seed: u64, group_rows: &[u64]) -> Plan {
    let spec: CurriculumSpec = serde_json::from_value(spec).unwrap();
    let rows = group_rows.iter().sum();
    let facts = Facts {
        seed,
        rows,
        group_rows: group_rows.to_vec(),
        groups: std::collections::BTreeMap::new(),
        held_out: None,
        filtered: None,
        scores: Some(arbitrary::scores()),
        lasted: std::collections::BTreeMap::new(),
    };
    compile(&spec, &facts).unwrap()
}

fn constant(batch_size: u64, order: &str, balance: &str, fraction: &str, steps: u64) -> serde_json::Value {
    json!({"batchSize": batch_size, "order": order, "balance": balance,
           "phases": [{"name": "a", "pool": {"fraction": fraction}, "duration": {"steps": steps}}]})
}

/// A floor, a replayed pool and a growing pool, balanced over groups.
fn mixed(batch_size: u64) -> serde_json::Value {
    json!({"batchSize": batch_size, "balance": "Group", "uniformFloor": "0.05", "phases": [
        {"name": "a", "pool": {"fraction": "0.1"}, "duration": {"steps": 40}},
        {"name": "b", "pool": {"pacing": {"function": "Linear", "from": "0.2", "to": "1", "steps": 60}}, "replay": "0.1", "duration": {"steps": 100}}]})
}

/// Rows of the own pools at a step.
fn own_rows(plan: &Plan, step: u64) -> u64 {
    Sampler::new(plan.clone())
        .unwrap()
        .look(step, &Tagged)
        .unwrap()
        .own_rows()
}

fn batch(sampler: &Sampler, step: u64) -> Vec<u64> {
    let mut out = Vec::new();
    sampler.batch(step, &Tagged, &mut out).unwrap();
    out
}

fn rows_until(plan: Plan, end: u64) -> Vec<u64> {
    let sampler = Sampler::new(plan).unwrap();
    (0..end).flat_map(|step| batch(&sampler, step)).collect()
}

fn sorted(mut rows: Vec<u64>) -> Vec<u64> {
    rows.sort_unstable();
    rows
}

proptest! {
    /// One stratum: its passes follow each other without a gap, each a permutation of the pool, no two the same.
    #[test]
    fn every_pass_shows_each_row_once(seed in 0..1u64 << 53, rows in 1..700u64, batch_size in 1..200u64, percent in 1..=100u64) {
        let fraction = format!("{}.{:02}", percent / 100, percent % 100);
        let plan = plan(constant(batch_size, "EasyFirst", "None", &fraction, 3000), seed, &[rows]);
        let pool = own_rows(&plan, 0);
        prop_assert_eq!(pool, (percent * rows).div_ceil(100).max(batch_size.min(rows)));
        let shown = rows_until(plan, (3 * pool).div_ceil(batch_size));
        let passes: Vec<&[u64]> = shown.chunks_exact(pool as usize).collect();
        prop_assert!(passes.len() >= 3);
        for pass in &passes {
            prop_assert_eq!(sorted(pass.to_vec()), (0..pool).collect::<Vec<_>>());
        }
        if pool > 30 {
            prop_assert_ne!(passes[0], passes[1]);
        }
    }

    /// Many strata: in every prefix of a segment, the rows of a stratum were shown equally often, give or take one.
    #[test]
    fn every_stratum_goes_round_evenly(seed in 0..1u64 << 53, groups in prop::collection::vec(0..60u64, 1..9), batch_size in 1..100u64, steps in 1..40u64) {
        prop_assume!(groups.iter().sum::<u64>() > 0);
        let mut spec = constant(batch_size, "EasyFirst", "Group", "0.3", 40);
        spec["uniformFloor"] = "0.1".into();
        let plan = plan(spec, seed, &groups);
        let intervals: HashMap<OrderScope, u64> = Sampler::new(plan.clone()).unwrap().look(0, &Tagged).unwrap().pools.iter()
            .flat_map(|pool| pool.intervals.clone()).map(|(scope, rows)| (scope, rows.end)).collect();
        let mut shown: HashMap<OrderScope, HashMap<u64, u64>> = HashMap::new();
        for row in rows_until(plan, steps) {
            let (scope, position) = Tagged::read(row);
            *shown.entry(scope).or_default().entry(position).or_default() += 1;
        }
        for (scope, counts) in shown {
            let size = intervals[&scope];
            prop_assert!(counts.keys().all(|&position| position < size), "outside of the pool");
            let most = counts.values().max().copied().unwrap_or(0);
            let least = if counts.len() as u64 == size { counts.values().min().copied().unwrap_or(0) } else { 0 };
            prop_assert!(most - least <= 1, "{:?}: between {} and {}", scope, least, most);
        }
    }

    /// The floor's rows are the only ones of the scope `All`: exact within one row in every prefix.
    #[test]
    fn the_floor_is_hit_within_one_row(seed in 0..1u64 << 53, batch_size in 1..200u64, floor in 1..40u64, replay in 1..40u64, steps in 1..60u64) {
        let mut spec = mixed(batch_size);
        spec["uniformFloor"] = format!("0.{floor:02}").into();
        spec["phases"][1]["replay"] = format!("0.{replay:02}").into();
        spec["phases"][1]["pool"] = json!({"fraction": "0.7"});
        let sampler = Sampler::new(plan(spec, seed, &[300, 200, 0, 77])).unwrap();
        let shown: Vec<u64> = (40..40 + steps).flat_map(|step| batch(&sampler, step)).collect();
        let drawn = shown.iter().filter(|&&row| Tagged::read(row).0 == OrderScope::All).count() as f64;
        let exact = shown.len() as f64 * floor as f64 / 100.0;
        prop_assert!((drawn - exact).abs() < 1.0, "floor: {} instead of {}", drawn, exact);
    }

    /// The strata of a term have a range of numbers, so the replayed share can be told from the pool it lies in.
    #[test]
    fn replay_is_hit_within_one_row_over_a_pass(seed in 0..1u64 << 53, floor in 0..40u64, replay in 1..40u64, groups in prop::collection::vec(1..900u64, 1..6)) {
        let mut spec = mixed(64);
        spec["uniformFloor"] = format!("0.{floor:02}").into();
        spec["phases"][1]["replay"] = format!("0.{replay:02}").into();
        spec["phases"][1]["pool"] = json!({"fraction": "1"});
        let plan = plan(spec, seed, &groups);
        let pools = &plan.phases[1].pools;
        // Small data sets: the replayed pool is as large as a batch must be, and so all of them.
        prop_assume!(pools.iter().any(|pool| pool.role == Role::Replay));
        let pass = plan.rows * 100 / (100 - floor - replay);
        let counts = SegmentTable::new(&plan, (1, 0), (0, plan.batch_size), None, &Tagged).quotas.of_first(pass);
        let first = usize::from(floor > 0);
        let drawn = counts[first..first + groups.len()].iter().sum::<u64>();
        let exact = (pass * replay) as f64 / 100.0;
        prop_assert!((drawn as f64 - exact.round()).abs() <= 1.0, "replay: {} instead of {}", drawn, exact);
    }

}

proptest! {
    // Each case draws hundreds of batches.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_world_changes_nothing(seed in 0..1u64 << 53, batch_size in 1..300u64, step in 0..140u64) {
        let sampler = Sampler::new(plan(mixed(batch_size), seed, &[300, 200, 0, 77])).unwrap();
        let whole = batch(&sampler, step);
        prop_assert_eq!(whole.len() as u64, batch_size);
        for world in [1, 2, 3, 8, 64, 500] {
            let mut parts = Vec::new();
            for rank in 0..world {
                let mut part = vec![7; 3];
                sampler.batch_for_rank(step, rank, world, &Tagged, &mut part).unwrap();
                let length = part.len() as u64;
                prop_assert!(length == batch_size / u64::from(world) || length == batch_size.div_ceil(u64::from(world)));
                parts.extend(part);
            }
            prop_assert_eq!(&parts, &whole, "world {}", world);
        }
    }

    #[test]
    fn resuming_anywhere_goes_on_as_if_nothing_had_been(seed in 0..1u64 << 53, from in 0..140u64, batch_size in 1..100u64) {
        let plan = plan(mixed(batch_size), seed, &[300, 200, 0, 77]);
        let whole = Sampler::new(plan.clone()).unwrap();
        let expected: Vec<_> = (0..140).map(|step| batch(&whole, step)).collect();
        // A new process, with the plan of the phase only.
        let phase = u32::from(from >= 40);
        let resumed = Sampler::new(plan.for_phase(phase).unwrap()).unwrap();
        for step in from..resumed.plan().total_steps() {
            prop_assert_eq!(&batch(&resumed, step), &expected[step as usize]);
        }
        // Backwards on the same sampler, across segments.
        for step in (0..from).rev() {
            prop_assert_eq!(&batch(&whole, step), &expected[step as usize]);
        }
    }

    /// Whatever the bounds of the CRD admit: no panic, whole batches, and no row outside of its pool.
    #[test]
    fn any_curriculum_can_be_sampled(spec in arbitrary::spec(), facts in arbitrary::facts(), at in any::<prop::sample::Index>()) {
        let compiled = compile(&spec, &facts);
        prop_assume!(compiled.is_ok());
        let plan = compiled.unwrap();
        let steps = plan.total_steps();
        let sampler = Sampler::new(plan.clone()).unwrap();
        for step in [0, steps - 1, at.index(steps as usize) as u64] {
            let mut out = Vec::new();
            // One of as many ranks as keep the test quick.
            let world = (plan.batch_size / 2000 + 1) as u32;
            sampler.batch_for_rank(step, world / 2, world, &Tagged, &mut out).unwrap();
            let slots = rank_slots(plan.batch_size, world / 2, world);
            prop_assert_eq!(out.len() as u64, slots.end - slots.start);
            let look = sampler.look(step, &Tagged).unwrap();
            let intervals: Vec<_> = look.pools.iter().flat_map(|pool| pool.intervals.clone()).collect();
            for row in out {
                let (scope, position) = Tagged::read(row);
                let rows = match scope { OrderScope::All => plan.rows, OrderScope::Group(g) => plan.group_rows[g as usize] };
                prop_assert!(position < rows);
                let easiest = match plan.order { Order::HardFirst => rows - 1 - position, Order::EasyFirst | Order::Random => position };
                prop_assert!(plan.order == Order::Random || intervals.iter().any(|(of, rows)| *of == scope && rows.contains(&easiest)));
            }
        }
        prop_assert_eq!(sampler.batch(steps, &Tagged, &mut Vec::new()), Err(SampleError::Step { step: steps, start: 0, end: steps }));
    }
}

/// What a step's batch draws of each stratum: its pool, its rows in the interval and in all, and the rows drawn.
fn of_strata(sampler: &Sampler, step: u64) -> Vec<(&PoolPlan, [u64; 2], Vec<u64>)> {
    let table = sampler.table_at(step, &Tagged).unwrap();
    let (plan, phase) = (sampler.plan(), &sampler.plan().phases[table.phase]);
    let first = (step - table.phase_start) * plan.batch_size;
    let mut drawn = Vec::new();
    table.quotas.for_each(first..first + plan.batch_size, |number, draws| {
        let stratum = &table.strata[number];
        let pool = &phase.pools[stratum.pool];
        let bounds = pool.bounds(step - table.phase_start, plan.rows, &Tagged);
        let interval = pool.interval(bounds, stratum.rows);
        let count = draws.end - draws.start;
        let mut out = vec![u64::MAX; count as usize];
        let mut place = Place {
            shuffle: None,
            next: 0,
            batch_size: count,
            slots: 0..count,
            out: &mut out,
        };
        let before = table.quotas.before(number);
        stratum.draw(draws, before, || interval.clone(), &Tagged, &mut place);
        drawn.push((pool, [interval.end - interval.start, stratum.rows], out));
    });
    drawn
}

/// Whether each of `rows` rows was drawn equally often, give or take one.
fn is_even(drawn: &[u64], rows: u64) -> bool {
    let mut counts: HashMap<u64, u64> = HashMap::new();
    drawn.iter().for_each(|row| *counts.entry(*row).or_default() += 1);
    let least = drawn.len() as u64 / rows;
    let none_left_out = least == 0 || counts.len() as u64 == rows;
    none_left_out
        && counts.values().all(|count| (least..=least + 1).contains(count))
        && (least > 0 || counts.values().all(|&count| count == 1))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// No batch has a row of a stratum twice while another one was left out; and where groups have pools of their own, these hold
    /// what a batch takes of them, or all of the group.
    #[test]
    fn no_row_comes_twice_while_others_are_left(spec in arbitrary::spec(), facts in arbitrary::facts(), at in any::<prop::sample::Index>()) {
        prop_assume!(spec.batch_size <= 3000);
        let compiled = compile(&spec, &facts);
        prop_assume!(compiled.is_ok());
        let sampler = Sampler::new(compiled.unwrap()).unwrap();
        let steps = sampler.plan().total_steps();
        let from = at.index(steps as usize) as u64;
        for step in (0..8.min(steps)).chain(from..steps.min(from + 8)) {
            for (pool, [rows, of_scope], drawn) in of_strata(&sampler, step) {
                let count = drawn.len() as u64;
                prop_assert!(is_even(&drawn, rows), "step {step}: {count} draws of {rows} rows: {drawn:?} from {pool:?}");
                let whole_group = matches!(pool.scope, Scope::Group(_)) && pool.role == Role::Own && pool.part.is_none();
                prop_assert!(!whole_group || count <= rows || rows == of_scope, "step {step}: {count} draws of {rows} rows of {pool:?}");
            }
        }
    }

    /// The same where passes end often: pools of about as many rows as a batch has.
    #[test]
    fn no_row_comes_twice_where_passes_are_short(rows in 1..400u64, batch_size in 1..150u64, percent in 1..=100u64, floor in 0..60u64, seed in 0..1u64 << 53) {
        let mut spec = constant(batch_size, "EasyFirst", "None", &format!("{}.{:02}", percent / 100, percent % 100), 400);
        spec["uniformFloor"] = format!("0.{floor:02}").into();
        let sampler = Sampler::new(plan(spec, seed, &[rows])).unwrap();
        for step in 0..100 {
            for (_, [rows, _], drawn) in of_strata(&sampler, step) {
                prop_assert!(is_even(&drawn, rows), "step {}: {} draws of {} rows: {:?}", step, drawn.len(), rows, drawn);
            }
        }
    }
}

/// A minimum lifts a small group's share: its pool grows until a batch has each of its rows at most once.
#[test]
fn a_lifted_group_has_as_many_rows_as_slots() {
    let spec = json!({"batchSize": 1024, "balance": "Group", "groupShares": {"minimum": "0.4"},
        "phases": [{"name": "a", "pool": {"fraction": "0.01"}, "duration": {"steps": 100}}]});
    let sampler = Sampler::new(plan(spec, 3, &[1_000_000, 10_000])).unwrap();
    for step in 0..100 {
        let drawn = of_strata(&sampler, step);
        assert_eq!(
            drawn.iter().map(|(_, [rows, _], _)| *rows).collect::<Vec<_>>(),
            [10_000, 410]
        );
        let small = sorted(drawn[1].2.clone());
        assert!((409..=410).contains(&small.len()), "{}", small.len());
        assert!(small.windows(2).all(|pair| pair[0] < pair[1]), "step {step}: {small:?}");
    }
}

/// The pairs of rows that meet in a batch across the end of a pass are as good as random.
#[test]
fn rows_put_off_are_no_favourites() {
    let (mut counts, mut batches) = ([0u64; 50], 0);
    for seed in 0..4000 {
        // The fourth batch has 10 draws of the first pass and 5 of the second; the others are 15 of one.
        let sampler = Sampler::new(plan(constant(15, "EasyFirst", "None", "1", 100), seed, &[50])).unwrap();
        batch(&sampler, 3).into_iter().for_each(|row| counts[row as usize] += 1);
        batches += 1;
    }
    let expected = f64::from(batches) * 15.0 / 50.0;
    // Each row is in a batch or not: the variance of its count is 0.7 of the expectation.
    let chi: f64 = counts
        .iter()
        .map(|&n| (n as f64 - expected).powi(2) / expected / 0.7)
        .sum::<f64>()
        * 49.0
        / 50.0;
    // 99.9 % of a chi-square with 49 degrees of freedom.
    assert!(chi < 85.4, "{chi}: {counts:?}");
}

#[test]
fn hard_first_takes_the_other_end() {
    let easy = rows_until(plan(constant(10, "EasyFirst", "None", "0.25", 10), 1, &[200]), 5);
    let hard = rows_until(plan(constant(10, "HardFirst", "None", "0.25", 10), 1, &[200]), 5);
    assert_eq!(sorted(easy.clone()), (0..50).collect::<Vec<_>>());
    assert_eq!(hard, easy.iter().map(|row| 199 - row).collect::<Vec<_>>());
    let of_groups = rows_until(plan(constant(10, "HardFirst", "Group", "0.5", 10), 1, &[4, 16]), 1);
    let places = sorted(of_groups).into_iter().map(Tagged::read).collect::<Vec<_>>();
    let expected = (2..4)
        .map(|p| (OrderScope::Group(0), p))
        .chain((8..16).map(|p| (OrderScope::Group(1), p)));
    assert_eq!(places, expected.collect::<Vec<_>>());
}

/// The control arm: pools of the same sizes that grow in the same way, whatever the scores are.
#[test]
fn random_order_ignores_the_scores_and_its_pools_are_nested() {
    struct Reversed;
    impl RowOrder for Reversed {
        fn row(&self, _scope: OrderScope, position: u64) -> u64 {
            999 - position
        }
    }
    let rows = |fraction: &str, seed| {
        let sampler = Sampler::new(plan(constant(100, "Random", "None", fraction, 10), seed, &[1000])).unwrap();
        let (mut out, mut pool) = (Vec::new(), Vec::new());
        for step in 0..own_rows(sampler.plan(), 0) / 100 {
            sampler.batch(step, &Reversed, &mut out).unwrap();
            let with_scores = out.clone();
            sampler.batch(step, &Identity, &mut out).unwrap();
            assert_eq!(out, with_scores);
            pool.append(&mut out);
        }
        sorted(pool)
    };
    let (small, large) = (rows("0.2", 1), rows("0.5", 1));
    assert_eq!((small.len(), large.len()), (200, 500));
    assert!(small.iter().all(|row| large.contains(row)), "not nested");
    assert_ne!(small, rows("0.2", 2));
    assert_ne!(small, (0..200).collect::<Vec<_>>());

    let groups = rows_until(plan(constant(100, "Random", "Group", "0.5", 10), 1, &[40, 160]), 1);
    let of_first = groups
        .iter()
        .filter(|&&row| Tagged::read(row).0 == OrderScope::Group(0))
        .count();
    assert_eq!(of_first, 20);
}

/// Mixed strata do not come one after the other, and the ranks' parts are alike.
#[test]
fn slots_are_shuffled() {
    let sampler = Sampler::new(plan(constant(1000, "EasyFirst", "Group", "1", 100), 3, &[5000, 5000])).unwrap();
    let (mut changes, mut first_half) = (0, 0);
    for step in 0..100 {
        let groups: Vec<bool> = batch(&sampler, step)
            .into_iter()
            .map(|row| Tagged::read(row).0 == OrderScope::Group(0))
            .collect();
        changes += groups.windows(2).filter(|w| w[0] != w[1]).count();
        first_half += groups[..500].iter().filter(|&&first| first).count();
    }
    // 50,000 of 99,900 neighbours differ on average; 25,000 of the first halves are of the first group; ± 5 standard deviations.
    assert!((49_200..50_800).contains(&changes), "{changes}");
    assert!((24_400..25_600).contains(&first_half), "{first_half}");
}

#[test]
fn steps_and_ranks_outside_are_errors() {
    let whole = plan(mixed(8), 1, &[300, 200]);
    let sampler = Sampler::new(whole.for_phase(1).unwrap()).unwrap();
    let mut out = vec![1, 2, 3];
    for step in [0, 39, 140, u64::MAX] {
        let error = sampler.batch(step, &Tagged, &mut out).unwrap_err();
        assert_eq!(
            error,
            SampleError::Step {
                step,
                start: 40,
                end: 140
            }
        );
        assert!(out.is_empty());
    }
    for (rank, world) in [(0, 0), (2, 2), (u32::MAX, 8)] {
        assert_eq!(
            sampler.batch_for_rank(40, rank, world, &Tagged, &mut out),
            Err(SampleError::Rank { rank, world })
        );
    }
    assert!(Sampler::new(Plan { batch_size: 0, ..whole }).is_err());
}

#[test]
fn threads_in_different_segments_do_not_disturb_each_other() {
    let plan = plan(mixed(32), 1, &[300, 200]);
    let expected: Vec<_> = rows_until(plan.clone(), 140)
        .chunks_exact(32)
        .map(<[u64]>::to_vec)
        .collect();
    let sampler = Sampler::new(plan).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (sampler, expected) = (&sampler, &expected);
            scope.spawn(move || {
                for i in 0..140 {
                    let step = (i * 37 + thread * 11) % 140;
                    assert_eq!(batch(sampler, step), expected[step as usize], "step {step}");
                }
            });
        }
    });
}

#[test]
fn the_largest_run_is_sampled_at_its_last_step() {
    let mut spec = constant(1 << 20, "EasyFirst", "None", "1", 1_000_000_000);
    spec["phases"] = (0..32)
        .map(|i| json!({"name": format!("p{i}"), "pool": {"fraction": "1"}, "duration": {"steps": 1_000_000_000}}))
        .collect();
    let sampler = Sampler::new(plan(spec, 1, &[1 << 52])).unwrap();
    let mut out = Vec::new();
    sampler
        .batch_for_rank(31_999_999_999, 1023, 1024, &Identity, &mut out)
        .unwrap();
    assert_eq!(out.len(), 1024);
    assert!(out.iter().all(|&row| row < 1 << 52));
}
