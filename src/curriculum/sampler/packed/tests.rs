use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::curriculum::arbitrary;
use crate::curriculum::order::{OrderScope, UNKNOWN_LENGTH};
use crate::curriculum::plan::{Facts, Plan, compile};

/// Rows in the order of their numbers, group by group, with lengths.
#[derive(Clone, Debug)]
struct Rows {
    group_rows: Vec<u64>,
    lengths: Vec<u32>,
}

impl RowOrder for Rows {
    fn row(&self, scope: OrderScope, position: u64) -> u64 {
        match scope {
            OrderScope::All => position,
            OrderScope::Group(group) => self.group_rows[..group as usize].iter().sum::<u64>() + position,
        }
    }

    fn lengths(&self, rows: &[u64], out: &mut [u32]) {
        for (length, row) in out.iter_mut().zip(rows) {
            *length = self.lengths[*row as usize];
        }
    }
}

fn compiled(spec: &Value, seed: u64, rows: &Rows) -> Plan {
    let facts = Facts {
        seed,
        rows: rows.group_rows.iter().sum(),
        group_rows: rows.group_rows.clone(),
        groups: BTreeMap::new(),
        held_out: None,
        filtered: None,
        scores: Some(arbitrary::scores()),
        lasted: BTreeMap::new(),
    };
    compile(&serde_json::from_value(spec.clone()).unwrap(), &facts).unwrap()
}

/// A pool that grows, beside a floor; then all rows with some of before.
fn spec(batch_size: u64, budget: u64, max_length: u64) -> Value {
    json!({"batchSize": batch_size, "balance": "Group", "uniformFloor": "0.1",
           "batchTokens": {"budget": budget, "maxLength": max_length, "lengthScorer": "tokens"},
           "phases": [
        {"name": "a", "pool": {"pacing": {"function": "Linear", "from": "0.3", "to": "1", "steps": 30}}, "duration": {"steps": 60}},
        {"name": "b", "pool": {"fraction": "1"}, "replay": "0.1", "warmUpSteps": 5, "duration": {"steps": 100}}]})
}

fn batch(sampler: &Sampler, step: u64, order: &Rows) -> Packed {
    let mut out = Packed::default();
    sampler.packed(step, order, &mut out).unwrap();
    out
}

fn lengths(rows: usize) -> impl Strategy<Value = Vec<u32>> {
    let length = prop_oneof![8 => 0..300_u32, 1 => Just(UNKNOWN_LENGTH)];
    prop::collection::vec(length, rows)
}

fn groups() -> impl Strategy<Value = Rows> {
    prop::collection::vec(1..120_u64, 1..5)
        .prop_flat_map(|group_rows| (lengths(group_rows.iter().sum::<u64>() as usize), Just(group_rows)))
        .prop_map(|(lengths, group_rows)| Rows { group_rows, lengths })
}

/// What a row counts as.
fn counted(rows: &Rows, row: u64, max_length: u64) -> u64 {
    u64::from(rows.lengths[row as usize]).clamp(1, max_length)
}

proptest! {
    /// A batch is within its budget, counts what it says, and the row that follows would have been too much.
    #[test]
    fn batches_are_full_and_never_too_full(
        rows in groups(), seed in 0..1_u64 << 53, batch_size in 1..60_u64, max_length in 1..400_u64, room in 1..20_u64,
    ) {
        let budget = max_length * room;
        let plan = compiled(&spec(batch_size, budget, max_length), seed, &rows);
        prop_assert_eq!(plan.fewest_rows(), batch_size.min(room));
        let sampler = Sampler::new(plan.clone()).unwrap();
        let mut before: Option<Packed> = None;
        for step in 60..160 {
            let now = batch(&sampler, step, &rows);
            let all: u64 = now.rows.iter().map(|&row| counted(&rows, row, max_length)).sum();
            prop_assert_eq!(now.tokens(), all);
            prop_assert!(all <= budget);
            prop_assert!((plan.fewest_rows()..=batch_size).contains(&(now.rows.len() as u64)));
            // While shares change, what follows is drawn from other pools.
            let same = plan.phases[1].segment_at(step) == plan.phases[1].segment_at(step - 1);
            if let Some(before) = before.filter(|before| same && (before.rows.len() as u64) < batch_size) {
                prop_assert!(before.tokens() + u64::from(now.lengths[0]) > budget, "step {}", step);
            }
            before = Some(now);
        }
    }

    /// Whichever steps are asked for, in whichever order, by new samplers or by one that has served others: the same rows.
    #[test]
    fn any_step_may_be_asked_for(
        rows in groups(), seed in 0..1_u64 << 53, batch_size in 1..40_u64, asked in prop::collection::vec(0..160_u64, 1..12),
    ) {
        let plan = compiled(&spec(batch_size, 900, 300), seed, &rows);
        let sampler = Sampler::new(plan.clone()).unwrap();
        let in_order: Vec<Packed> = (0..160).map(|step| batch(&sampler, step, &rows)).collect();
        let jumping = Sampler::new(plan.clone()).unwrap();
        for &step in &asked {
            prop_assert_eq!(&batch(&jumping, step, &rows), &in_order[step as usize]);
            prop_assert_eq!(&batch(&sampler, step, &rows), &in_order[step as usize]);
        }
        let phase = Sampler::new(plan.for_phase(1).unwrap()).unwrap();
        prop_assert_eq!(&batch(&phase, 99, &rows), &in_order[99]);
    }

    /// Without groups and with a pool that stays: each pass shows every row once, whatever the lengths are.
    #[test]
    fn every_pass_shows_each_row_once(lengths in lengths(300), seed in 0..1_u64 << 53, budget in 300..3000_u64) {
        let rows = Rows { group_rows: vec![300], lengths };
        let spec = json!({"batchSize": 40, "batchTokens": {"budget": budget, "maxLength": 300, "lengthScorer": "tokens"},
            "phases": [{"name": "a", "pool": {"fraction": "1"}, "duration": {"steps": 1000}}]});
        let sampler = Sampler::new(compiled(&spec, seed, &rows)).unwrap();
        let mut shown = Vec::new();
        for step in 0.. {
            let batch = batch(&sampler, step, &rows);
            let mut once = batch.rows.clone();
            once.sort_unstable();
            once.dedup();
            prop_assert_eq!(once.len(), batch.rows.len(), "a batch shows no row twice");
            shown.extend(batch.rows);
            if shown.len() >= 900 {
                break;
            }
        }
        for pass in shown.chunks_exact(300) {
            let mut pass = pass.to_vec();
            pass.sort_unstable();
            prop_assert_eq!(pass, (0..300).collect::<Vec<_>>());
        }
    }

    /// The ranks' parts are the batch, whatever the world's size is; each is within its share of the tokens, but for one row.
    #[test]
    fn ranks_share_the_tokens(
        lengths in prop::collection::vec(1..500_u32, 1..80), world in 1..9_u32, more in 0..40_u64, least in 1..5_usize,
    ) {
        prop_assume!(lengths.len() >= world as usize * least);
        let slots = lengths.len() as u64 + more;
        let bounds = bounds(&lengths, world, slots, least);
        prop_assert_eq!((bounds.len(), bounds[0], bounds[world as usize]), (world as usize + 1, 0, lengths.len()));
        let total: u64 = lengths.iter().map(|&length| u64::from(length)).sum();
        for (rank, part) in (0..world).zip(bounds.windows(2)) {
            let own = rank_slots(slots, rank, world);
            let rows = (part[1] - part[0]) as u64;
            prop_assert!((least as u64..=own.end - own.start).contains(&rows), "{:?}", bounds);
        }
        // Where slots are many, nothing but the tokens decides.
        let free = super::bounds(&lengths, world, lengths.len() as u64 * u64::from(world), 1);
        for part in free.windows(2) {
            let tokens: u64 = lengths[part[0]..part[1]].iter().map(|&length| u64::from(length)).sum();
            prop_assert!(tokens * u64::from(world) < total + 500 * u64::from(world), "{:?}", free);
        }
    }
}

/// Segments begin behind a block: none of its draws is lost, and none comes twice, when shares change in the middle of one.
#[test]
fn rows_of_a_pool_go_round_evenly_over_all_segments() {
    let rows = Rows {
        group_rows: vec![2000],
        lengths: (0..2000).map(|row| 1 + row * 7919 % 100).collect(),
    };
    let spec = json!({"batchSize": 64, "batchTokens": {"budget": 1600, "maxLength": 100, "lengthScorer": "tokens"},
        "phases": [{"name": "a", "pool": {"fraction": "1"}, "duration": {"steps": 400},
                    "weighting": {"bins": 4, "temperature": "0.5", "finalTemperature": "2"}}]});
    let plan = compiled(&spec, 3, &rows);
    assert!(plan.phases[0].segments.len() > 20);
    let sampler = Sampler::new(plan).unwrap();
    let mut shown = vec![0_u64; 2000];
    for step in 0..400 {
        batch(&sampler, step, &rows)
            .rows
            .iter()
            .for_each(|row| shown[*row as usize] += 1);
    }
    for bin in shown.chunks(500) {
        let (least, most) = (bin.iter().min().unwrap(), bin.iter().max().unwrap());
        // One for the pass that has begun, one for the block.
        assert!(most - least <= 2, "from {least} to {most}");
    }
}

#[test]
fn far_steps_are_found_from_the_ones_that_are_kept() {
    let rows = Rows {
        group_rows: vec![5000],
        lengths: (0..5000).map(|row| 1 + row * 7919 % 200).collect(),
    };
    let spec = json!({"batchSize": 64, "batchTokens": {"budget": 1000, "maxLength": 200, "lengthScorer": "tokens"},
        "phases": [{"name": "a", "pool": {"pacing": {"function": "Linear", "from": "0.2", "to": "1", "steps": 4000}},
                    "duration": {"steps": 5000}}]});
    let plan = compiled(&spec, 7, &rows);
    let sampler = Arc::new(Sampler::new(plan.clone()).unwrap());
    let last = batch(&sampler, 4999, &rows);
    // Two ranks, one far behind the other.
    for step in [3, 2000, 4, 4000, 2001, 4998, 4999] {
        let fresh = Sampler::new(plan.clone()).unwrap();
        assert_eq!(batch(&sampler, step, &rows), batch(&fresh, step, &rows), "step {step}");
    }
    assert_eq!(batch(&sampler, 4999, &rows), last);
    let kept = sampler.packing.lock().unwrap().kept.len();
    assert_eq!(kept as u64, 5000 / STRIDE + 1);
}

/// Changing them would train other rows after a resume than before it.
#[test]
fn the_rows_are_those_of_every_version() {
    let rows = Rows {
        group_rows: vec![40, 60],
        lengths: (0..100).map(|row| 10 + row * 37 % 90).collect(),
    };
    let sampler = Sampler::new(compiled(&spec(30, 300, 100), 1, &rows)).unwrap();
    let found: Vec<_> = [0, 59, 60, 159].map(|step| batch(&sampler, step, &rows).rows).into();
    let expected: [&[u64]; 4] = [
        &[57, 64, 13, 45, 52, 9],
        &[33, 21, 80, 10],
        &[6, 47, 19, 80, 93],
        &[80, 56, 15, 75, 48],
    ];
    assert_eq!(found, expected);
}

#[test]
fn without_lengths_as_many_rows_as_fit_in_any_case() {
    let rows = Rows {
        group_rows: vec![100],
        lengths: vec![UNKNOWN_LENGTH; 100],
    };
    let spec = json!({"batchSize": 64, "batchTokens": {"budget": 1000, "maxLength": 99, "lengthScorer": "tokens"},
        "phases": [{"name": "a", "pool": {"fraction": "0.5"}, "duration": {"steps": 50}}]});
    let plan = compiled(&spec, 7, &rows);
    let uniform = plan.uniform();
    assert_eq!(
        (uniform.batch_size, uniform.tokens),
        (64, plan.tokens),
        "a batch has as many slots as before"
    );
    let facts = Facts {
        seed: 7,
        rows: 100,
        group_rows: vec![100],
        ..Facts::default()
    };
    assert_eq!(
        compile(&serde_json::from_value(spec).unwrap(), &facts).unwrap(),
        uniform
    );
    for plan in [plan, uniform] {
        let sampler = Sampler::new(plan).unwrap();
        for step in 0..50 {
            let mut out = Packed::default();
            sampler.packed(step, &rows, &mut out).unwrap();
            assert_eq!((out.rows.len(), out.tokens()), (10, 990));
        }
    }
}
