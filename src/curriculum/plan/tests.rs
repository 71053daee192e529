use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::api::curriculum::CurriculumSpec;
use crate::curriculum::arbitrary;
use crate::curriculum::order::Identity;
use crate::curriculum::sampler::Sampler;

mod refusals;
mod schedules;

fn spec(value: Value) -> CurriculumSpec {
    serde_json::from_value(value).unwrap()
}

fn facts(rows: u64, group_rows: &[u64]) -> Facts {
    Facts {
        seed: 42,
        rows,
        group_rows: group_rows.to_vec(),
        groups: (0..group_rows.len() as u32)
            .map(|group| (format!("g{group}"), group))
            .collect(),
        held_out: None,
        filtered: None,
        scores: Some(arbitrary::scores()),
        lasted: std::collections::BTreeMap::new(),
    }
}

/// The example of the wire contracts.
fn digits() -> CurriculumSpec {
    spec(json!({
        "batchSize": 64, "balance": "Group", "uniformFloor": "0.05",
        "phases": [
            {"name": "easy", "pool": {"fraction": "0.2"}, "duration": {"steps": 300}},
            {"name": "grow", "pool": {"pacing": {"function": "Linear", "from": "0.2", "to": "0.6", "steps": 1200}}, "replay": "0.1", "duration": {"steps": 1500}},
            {"name": "hold", "pool": {"fraction": "0.6"}, "duration": {"epochs": 10}}
        ]
    }))
}

/// Shares, scopes and fractions of the pools of a segment, at its first step.
fn parts(phase: &PhasePlan, segment: usize) -> Vec<(u32, Scope, u64)> {
    let Segment { start_step, shares } = &phase.segments[segment];
    let fraction = |pool: &PoolPlan| match pool.shares_at(start_step - phase.start_step) {
        Some((_, to)) => to,
        None => panic!("a pool by score"),
    };
    let pools = phase.pools.iter().zip(shares).filter(|&(_, &share)| share > 0);
    pools
        .map(|(pool, &share)| (share, pool.scope, fraction(pool)))
        .collect()
}

/// Rows of the phase's own pools at a step of it.
fn own_rows(plan: &Plan, phase: usize, t: u64) -> u64 {
    let sampler = Sampler::new(plan.clone()).unwrap();
    let step = plan.phases[phase].start_step + t;
    sampler.look(step, &Identity).unwrap().own_rows()
}

/// A change, and what it is refused with.
type Case<'a, T> = (&'a dyn Fn(&mut T), &'a str);

const PERCENT: u64 = 10_000_000_000;

#[test]
fn the_example_compiles_as_designed() {
    let plan = compile(&digits(), &facts(1079, &[500, 579])).unwrap();
    let steps: Vec<_> = plan
        .phases
        .iter()
        .map(|p| (p.index, p.name.as_str(), p.start_step, p.end_step))
        .collect();
    // 0.6 of the groups are 300 and 348 rows; ten passes over them are ⌈6480 / 64⌉ steps.
    assert_eq!(
        steps,
        [(0, "easy", 0, 300), (1, "grow", 300, 1800), (2, "hold", 1800, 1902)]
    );
    assert_eq!(plan.total_steps(), 1902);
    let [easy, grow, hold] = plan.phases.as_slice() else {
        panic!("three phases")
    };
    let all = 100 * PERCENT;
    assert_eq!(easy.segments.len(), 1);
    assert_eq!(
        parts(easy, 0),
        [(50_000, Scope::All, all), (950_000, Scope::EachGroup, 20 * PERCENT)]
    );
    let (floor, replay) = ((50_000, Scope::All, all), (100_000, Scope::EachGroup, 20 * PERCENT));
    assert_eq!(
        parts(grow, 0),
        [floor, replay, (850_000, Scope::EachGroup, 20 * PERCENT)]
    );
    // A third more at least, and so within an eighth of it: ten segments. The pool itself grows with every step.
    assert!((9..=12).contains(&grow.segments.len()), "{}", grow.segments.len());
    assert_eq!(
        [0, 1, 600, 1199, 1200, 1499].map(|t| own_rows(&plan, 1, t)),
        [216, 217, 432, 648, 648, 648]
    );
    assert_eq!(hold.segments.len(), 1);
    assert_eq!(plan.phase_at(1799), Some(1));
    assert_eq!(plan.phase_at(1902), None);
}

#[test]
fn canonical_json_is_the_wire_format() {
    let curriculum = spec(json!({
        "batchSize": 8, "order": "HardFirst",
        "phases": [{"name": "a", "pool": {"fraction": "0.25"}, "duration": {"steps": 3}}]
    }));
    let mut plan = compile(&curriculum, &facts(100, &[])).unwrap();
    plan.scores = Some(PlanScores {
        key: "k".into(),
        digest: "sha256:d".into(),
    });
    let expected = concat!(
        r#"{"batchSize":8,"groupRows":[100],"order":"HardFirst","phases":[{"endStep":3,"index":0,"name":"a","#,
        r#""pools":[{"admits":{"fraction":{"constant":250000000000}},"band":"whole","least":70000000001,"role":"own","scope":"all"}],"#,
        r#""segments":[{"shares":[1000000],"startStep":0}],"startStep":0}],"#,
        r#""rows":100,"scores":{"digest":"sha256:d","key":"k"},"seed":42,"version":3}"#
    );
    assert_eq!(plan.to_canonical_json(), expected);
    assert_eq!(plan.digest(), canonical::sha256(expected));
    assert_eq!(serde_json::from_str::<Plan>(expected).unwrap(), plan);
}

/// Bounds that hold until just before the end of a phase must hold there too: the next phase replays what was there.
#[test]
fn bounds_that_break_at_the_end_of_a_phase_are_refused() {
    let weights = |end: &[&str]| {
        let first = json!({"name": "g0", "weight": "0.5", "finalWeight": end[0]});
        json!([first, {"name": "g1", "weight": "0.5", "finalWeight": end[1]}])
    };
    let curriculum = |end: &[&str]| {
        spec(json!({
            "batchSize": 100, "balance": "Group", "groupShares": {"maximum": "0.6"},
            "phases": [
                {"name": "a", "pool": {"fraction": "0.5"}, "mixing": {"weights": weights(end)}, "duration": {"steps": 1000}},
                {"name": "b", "pool": {"fraction": "1"}, "replay": "0.1", "duration": {"steps": 1000}}
            ]
        }))
    };
    let facts = facts(2000, &[1000, 1000]);
    let error = compile(&curriculum(&["1", "0"]), &facts).unwrap_err();
    assert_eq!(
        error.to_string(),
        "curriculum.groupShares.maximum: cannot be kept in curriculum.phases[0]: the groups with a weight may not have a whole \
         batch together, at the end of the phase"
    );
    let plan = compile(&curriculum(&["1", "0.1"]), &facts).unwrap();
    for segment in &plan.phases[1].segments {
        let pools = plan.phases[1].pools.iter().zip(&segment.shares);
        let replayed: u32 = pools
            .filter(|(pool, _)| pool.role == Role::Replay)
            .map(|(_, share)| share)
            .sum();
        assert_eq!(replayed, 100_000);
    }
}

#[test]
fn replay_gives_each_earlier_phase_an_equal_part() {
    let phase =
        |name: &str, fraction: &str| json!({"name": name, "pool": {"fraction": fraction}, "duration": {"steps": 10}});
    let mut curriculum =
        json!({"batchSize": 1, "phases": [phase("a", "0.1"), phase("b", "0.3"), phase("c", "0.1"), phase("d", "0.5")]});
    curriculum["phases"][3]["replay"] = "0.1".into();
    let plan = compile(&spec(curriculum), &facts(1000, &[])).unwrap();
    // Phases a and c have the same pool: two thirds of a tenth.
    assert_eq!(
        parts(&plan.phases[3], 0),
        [
            (33_333, Scope::All, 30 * PERCENT),
            (66_667, Scope::All, 10 * PERCENT),
            (900_000, Scope::All, 50 * PERCENT)
        ]
    );
}

#[test]
fn pools_with_the_same_rows_are_one() {
    let phase = |name: &str| json!({"name": name, "pool": {"fraction": "1"}, "duration": {"steps": 10}});
    let mut curriculum = json!({"batchSize": 1, "uniformFloor": "0.2", "phases": [phase("a"), phase("b")]});
    curriculum["phases"][1]["replay"] = "0.3".into();
    let plan = compile(&spec(curriculum), &facts(7, &[])).unwrap();
    for phase in &plan.phases {
        assert_eq!(parts(phase, 0), [(WHOLE, Scope::All, 100 * PERCENT)]);
    }
}

#[test]
fn a_pool_fills_a_batch_if_the_rows_do() {
    let curriculum = |balance| {
        let pacing = json!({"function": "Linear", "from": "0.000000001", "to": "1"});
        spec(
            json!({"batchSize": 64, "balance": balance, "phases": [{"name": "a", "pool": {"pacing": pacing}, "duration": {"steps": 1000}}]}),
        )
    };
    let first = |balance, rows, groups: &[u64]| {
        let plan = compile(&curriculum(balance), &facts(rows, groups)).unwrap();
        let sampler = Sampler::new(plan).unwrap();
        let look = sampler.look(0, &Identity).unwrap();
        let lengths = look.pools[0]
            .intervals
            .iter()
            .map(|(_, rows)| rows.end - rows.start)
            .collect::<Vec<_>>();
        (look.own_rows(), lengths)
    };
    assert_eq!(first("None", 1_000_000_000, &[]).0, 64);
    assert_eq!(first("None", 63, &[]).0, 63);
    // Every group that has rows gives one at least, and large groups give more.
    assert_eq!(first("Group", 1111, &[1000, 0, 110, 1]), (64, vec![56, 7, 1]));
    assert_eq!(first("Group", 3, &[1, 2]), (3, vec![1, 2]));
    // More groups than rows in a batch: one row each.
    assert_eq!(first("Group", 256_000, &[1000; 256]).0, 256);
}

#[test]
fn one_phase_of_the_largest_plan_fits_a_config_map() {
    let phase = |i: usize| {
        let pacing = json!({"function": "Linear", "from": format!("0.{:09}", 123_456_789 + i), "to": format!("0.{:09}", 987_654_321 - i)});
        json!({"name": format!("a-phase-name-as-long-as-can-{i:02}"), "pool": {"pacing": pacing}, "duration": {"steps": 1_000_000_000},
               "replay": if i > 0 { "0.123456789" } else { "0" }})
    };
    let phases: Vec<_> = (0..MAX_PHASES).map(phase).collect();
    let curriculum =
        spec(json!({"batchSize": 64, "balance": "Group", "uniformFloor": "0.123456789", "phases": phases}));
    let plan = compile(&curriculum, &facts(256 << 30, &[1 << 30; 256])).unwrap();
    let last = plan.for_phase(31).unwrap();
    assert_eq!(last.phases[0].pools.len(), 33);
    let bytes = last.to_canonical_json().len();
    assert!(bytes < 1 << 20, "{bytes} bytes");
}

proptest! {
    // A case may have 32 phases of 256 segments.
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_plan_keeps_its_promises(spec in arbitrary::spec(), facts in arbitrary::facts()) {
        let compiled = compile(&spec, &facts);
        prop_assume!(compiled.is_ok());
        let plan = compiled.unwrap();
        prop_assert_eq!(plan.check(), Ok(()));
        prop_assert_eq!(plan.phases.len(), spec.phases.len());
        let sampler = Sampler::new(plan.clone()).unwrap();
        for phase in &plan.phases {
            prop_assert!(phase.segments.len() <= MAX_SEGMENTS);
            prop_assert!(phase.segments.len() * phase.pools.len() <= MAX_SHARES.max(16 * phase.pools.len()));
            for step in [phase.start_step, phase.end_step - 1] {
                let look = sampler.look(step, &Identity).unwrap();
                let own: Vec<_> = look.pools.iter().filter(|pool| pool.plan.role == Role::Own).collect();
                prop_assert!(own.iter().all(|pool| pool.share > 0 && pool.rows() > 0));
                let divided = own.iter().any(|pool| pool.plan.part.is_some() || matches!(pool.plan.scope, Scope::Group(_)));
                if let (false, [pool]) = (divided, own.as_slice()) {
                    prop_assert!(pool.rows() >= plan.batch_size.min(plan.rows));
                }
                for (scope, interval) in look.pools.iter().flat_map(|pool| &pool.intervals) {
                    let rows = match scope {
                        crate::curriculum::order::OrderScope::All => plan.rows,
                        crate::curriculum::order::OrderScope::Group(group) => plan.group_rows[*group as usize],
                    };
                    prop_assert!(interval.start < interval.end && interval.end <= rows);
                }
            }
        }
    }

    #[test]
    fn the_fallback_has_the_same_phases(spec in arbitrary::spec(), facts in arbitrary::facts()) {
        let compiled = compile(&spec, &facts);
        prop_assume!(compiled.is_ok());
        let plan = compiled.unwrap();
        let uniform = plan.uniform();
        prop_assert_eq!(uniform.check(), Ok(()));
        prop_assert_eq!(&compile(&spec, &Facts { scores: None, ..facts }).unwrap(), &uniform);
        prop_assert_eq!(&uniform.uniform(), &uniform);
        let phases = |plan: &Plan| plan.phases.iter().map(|p| (p.index, p.name.clone(), p.start_step, p.end_step)).collect::<Vec<_>>();
        prop_assert_eq!(phases(&uniform), phases(&plan));
        for phase in &uniform.phases {
            prop_assert_eq!(phase.segments.len(), 1);
            prop_assert_eq!(&phase.pools, &[PoolPlan::everything(Role::Own)]);
        }
    }

    #[test]
    fn a_plan_survives_the_wire_and_its_digest_tells_plans_apart(spec in arbitrary::spec(), facts in arbitrary::facts()) {
        let compiled = compile(&spec, &facts);
        prop_assume!(compiled.is_ok());
        let plan = compiled.unwrap();
        let last = plan.for_phase(plan.phases.len() as u32 - 1).unwrap();
        let read: Plan = serde_json::from_str(&last.to_canonical_json()).unwrap();
        prop_assert_eq!(&read, &last);
        prop_assert_eq!(read.digest(), last.digest());
        prop_assert_eq!(last.phases.len(), 1);
        prop_assert_eq!(&last.phases[0], plan.phases.last().unwrap());
        prop_assert_ne!(Plan { seed: plan.seed ^ 1, ..last.clone() }.digest(), last.digest());
        prop_assert_ne!(last.uniform().digest(), last.digest());
        prop_assert_eq!(plan.for_phase(plan.phases.len() as u32), None);
    }
}
