use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::api::curriculum::{CurriculumSpec, PacingSpec};
use crate::curriculum::arbitrary;

fn spec(value: Value) -> CurriculumSpec {
    serde_json::from_value(value).unwrap()
}

fn facts(rows: u64, group_rows: &[u64]) -> Facts {
    Facts {
        seed: 42,
        rows,
        group_rows: group_rows.to_vec(),
        scores: Some(arbitrary::scores()),
    }
}

/// The design's example.
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

/// Shares and fractions of a segment.
fn terms(segment: &Segment) -> Vec<(u32, Scope, u64)> {
    segment.terms.iter().map(|t| (t.share, t.scope, t.fraction)).collect()
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
    assert_eq!(
        easy.segments.iter().map(terms).collect::<Vec<_>>(),
        [[(50_000, Scope::All, all), (950_000, Scope::EachGroup, 20 * PERCENT)]]
    );
    // Grows from the replayed pool itself, which is one term with it, to 0.6 at its step 1,200.
    assert_eq!(terms(&grow.segments[0]), terms(&easy.segments[0]));
    let settled = grow.segments.last().unwrap();
    assert_eq!(settled.start_step, 300 + 1200);
    let (floor, replay) = ((50_000, Scope::All, all), (100_000, Scope::EachGroup, 20 * PERCENT));
    assert_eq!(
        terms(settled),
        [floor, replay, (850_000, Scope::EachGroup, 60 * PERCENT)]
    );
    assert_eq!(hold.segments.len(), 1);
    assert_eq!(plan.rows_of(settled.pool().unwrap()), 300 + 348);
    assert_eq!(
        plan.segment_at(1499).map(|s| s.start_step),
        grow.segments.iter().rev().nth(1).map(|s| s.start_step)
    );
    assert_eq!(plan.segment_at(1500), Some(settled));
    assert_eq!(plan.segment_at(1902), None);
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
        r#""segments":[{"startStep":0,"terms":[{"fraction":250000000000,"scope":"All","share":1000000}]}],"startStep":0}],"#,
        r#""rows":100,"scores":{"digest":"sha256:d","key":"k"},"seed":42,"version":1}"#
    );
    assert_eq!(plan.to_canonical_json(), expected);
    assert_eq!(plan.digest(), canonical::sha256(expected));
    assert_eq!(serde_json::from_str::<Plan>(expected).unwrap(), plan);
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
        terms(&plan.phases[3].segments[0]),
        [
            (33_333, Scope::All, 30 * PERCENT),
            (66_667, Scope::All, 10 * PERCENT),
            (900_000, Scope::All, 50 * PERCENT)
        ]
    );
}

#[test]
fn terms_with_the_same_rows_are_one() {
    let phase = |name: &str| json!({"name": name, "pool": {"fraction": "1"}, "duration": {"steps": 10}});
    let mut curriculum = json!({"batchSize": 1, "uniformFloor": "0.2", "phases": [phase("a"), phase("b")]});
    curriculum["phases"][1]["replay"] = "0.3".into();
    let plan = compile(&spec(curriculum), &facts(7, &[])).unwrap();
    for phase in &plan.phases {
        assert_eq!(terms(&phase.segments[0]), [(WHOLE, Scope::All, 100 * PERCENT)]);
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
        let pool = plan.phases[0].segments[0].pool().unwrap().clone();
        (
            plan.rows_of(&pool),
            groups
                .iter()
                .map(|&n| Share::from_units(pool.fraction).unwrap().ceil_of(n))
                .collect::<Vec<_>>(),
        )
    };
    assert_eq!(first("None", 1_000_000_000, &[]).0, 64);
    assert_eq!(first("None", 63, &[]).0, 63);
    // Every group that has rows gives one at least, and large groups give more.
    assert_eq!(first("Group", 1111, &[1000, 0, 110, 1]), (64, vec![56, 0, 7, 1]));
    assert_eq!(first("Group", 3, &[1, 2]), (3, vec![1, 2]));
    // More groups than rows in a batch: one row each.
    assert_eq!(first("Group", 256_000, &[1000; 256]).0, 256);
}

#[test]
fn pacing_is_looked_at_256_times_and_equal_pools_are_one_segment() {
    let grow = |rows, duration: Value| {
        let pacing = json!({"function": "Linear", "from": "0.1", "to": "1", "steps": 100_000});
        let curriculum =
            spec(json!({"batchSize": 1, "phases": [{"name": "a", "pool": {"pacing": pacing}, "duration": duration}]}));
        compile(&curriculum, &facts(rows, &[])).unwrap().phases.remove(0)
    };
    assert_eq!(grow(1_000_000, json!({"steps": 100_000})).segments.len(), 256);
    let settled = grow(1_000_000, json!({"epochs": 1}));
    assert_eq!((settled.end_step, settled.segments.len()), (1_000_000, 256));
    assert_eq!(settled.segments[255].start_step, 100_000);
    // Ten rows have ten sizes.
    assert_eq!(grow(10, json!({"steps": 100_001})).segments.len(), 10);
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
    assert_eq!(last.phases[0].segments.len(), MAX_SEGMENTS);
    assert_eq!(last.phases[0].segments[0].terms.len(), 33);
    let bytes = last.to_canonical_json().len();
    assert!(bytes < 1 << 20, "{bytes} bytes");
}

#[test]
fn errors_name_field_value_and_what_would_be_right() {
    let refuse = |change: &dyn Fn(&mut Value)| {
        let mut value = serde_json::to_value(digits()).unwrap();
        change(&mut value);
        compile(&spec(value), &facts(1079, &[500, 579]))
            .unwrap_err()
            .to_string()
    };
    let cases: [Case<'_, Value>; 16] = [
        (
            &|v| v["batchSize"] = 0.into(),
            "curriculum.batchSize: 0 is not between 1 and 1048576",
        ),
        (
            &|v| v["uniformFloor"] = "5%".into(),
            "curriculum.uniformFloor: '5%' is not a decimal number such as '0.25'",
        ),
        (
            &|v| v["phases"] = json!([]),
            "curriculum.phases: 0 phases; needed are between 1 and 32",
        ),
        (
            &|v| v["phases"][2]["name"] = "easy".into(),
            "curriculum.phases[2].name: 'easy' is the name of an earlier phase too; names must be unique",
        ),
        (
            &|v| v["phases"][0]["pool"]["fraction"] = "1.5".into(),
            "curriculum.phases[0].pool.fraction: '1.5' is not between 0 and 1",
        ),
        (
            &|v| v["phases"][0]["pool"]["fraction"] = "0".into(),
            "curriculum.phases[0].pool.fraction: '0' is not greater than '0': an empty pool has no rows",
        ),
        (
            &|v| v["phases"][1]["pool"]["pacing"]["from"] = "0.0".into(),
            "curriculum.phases[1].pool.pacing.from: '0.0' is not greater than '0': an empty pool has no rows",
        ),
        (
            &|v| v["phases"][1]["pool"]["pacing"]["to"] = "1e-3".into(),
            "curriculum.phases[1].pool.pacing.to: '1e-3' is not a decimal number such as '0.25'",
        ),
        (
            &|v| v["phases"][1]["pool"]["pacing"]["steps"] = 1501.into(),
            "curriculum.phases[1].pool.pacing.steps: 1501 is more than the 1500 steps of the phase; the pacing would not end within it",
        ),
        (
            &|v| v["phases"][1]["pool"]["pacing"]["steps"] = 0.into(),
            "curriculum.phases[1].pool.pacing.steps: 0 is less than 1",
        ),
        (
            &|v| v["phases"][1]["pool"]["fraction"] = "1".into(),
            "curriculum.phases[1].pool: exactly one of `fraction` and `pacing` must be set",
        ),
        (
            &|v| v["phases"][0]["duration"] = json!({}),
            "curriculum.phases[0].duration: exactly one of `steps` and `epochs` must be set",
        ),
        (
            &|v| v["phases"][0]["duration"]["steps"] = 1_000_000_001.into(),
            "curriculum.phases[0].duration.steps: 1000000001 is not between 1 and 1000000000",
        ),
        (
            &|v| (v["batchSize"], v["phases"][2]["duration"]["epochs"]) = (1.into(), 2_000_000.into()),
            "curriculum.phases[2].duration.epochs: 2000000 passes over 648 rows in batches of 1 are 1296000000 steps; \
             at most 1000000000 are possible: use fewer epochs or a larger batch",
        ),
        (
            &|v| v["phases"][0]["replay"] = "0.1".into(),
            "curriculum.phases[0].replay: the first phase has no earlier phase to replay; leave it out or set '0'",
        ),
        (
            &|v| v["phases"][1]["replay"] = "0.95".into(),
            "curriculum.phases[1]: `uniformFloor` ('0.050000') and `replay` ('0.950000') leave nothing to the phase's own pool; \
             their sum must be less than 1",
        ),
    ];
    for (change, message) in cases {
        assert_eq!(refuse(change), message);
    }

    let refuse = |facts: Facts| compile(&digits(), &facts).unwrap_err().to_string();
    assert_eq!(
        refuse(facts(0, &[])),
        "dataset: 0 rows; needed are between 1 and 9007199254740991"
    );
    assert_eq!(
        refuse(facts(3, &[1, 1])),
        "dataset.groupColumn: the groups have 2 rows together, but the data set has 3"
    );
    assert_eq!(
        refuse(facts(257, &[1; 257])),
        "dataset.groupColumn: 257 groups; at most 256 are possible"
    );
    assert_eq!(
        refuse(facts(3, &[])),
        "curriculum.balance: 'Group' needs the groups of the rows: set `dataset.groupColumn`, or use 'None'"
    );
    assert_eq!(
        refuse(Facts {
            seed: 1 << 53,
            ..facts(2, &[2])
        }),
        "seed: 9007199254740992 is not between 0 and 9007199254740991"
    );
}

#[test]
fn check_keeps_out_plans_that_compile_does_not_make() {
    let plan = compile(&digits(), &facts(1079, &[500, 579])).unwrap();
    let refuse = |change: &dyn Fn(&mut Plan)| {
        let mut plan = plan.clone();
        change(&mut plan);
        plan.check().unwrap_err().field
    };
    let cases: [Case<'_, Plan>; 17] = [
        (&|p| p.version = 2, "version"),
        (&|p| p.batch_size = 0, "batchSize"),
        (&|p| p.batch_size = u64::MAX, "batchSize"),
        (&|p| p.rows = 0, "rows"),
        (&|p| p.rows = u64::MAX, "rows"),
        (&|p| p.group_rows[0] += 1, "groupRows"),
        (&|p| p.group_rows = vec![u64::MAX; 3], "groupRows"),
        (&|p| p.group_rows.extend([0; 255]), "groupRows"),
        (&|p| p.phases.clear(), "phases"),
        (&|p| p.phases.swap(0, 1), "phases[1].startStep"),
        (&|p| p.phases[0].end_step = 0, "phases[0].endStep"),
        (
            &|p| (p.phases[0].start_step, p.phases[0].end_step) = (u64::MAX - 1, u64::MAX),
            "phases[0].endStep",
        ),
        (&|p| p.phases[0].segments.clear(), "phases[0].segments"),
        (
            &|p| p.phases[1].segments[0].start_step += 1,
            "phases[1].segments[0].startStep",
        ),
        (
            &|p| p.phases[1].segments[3].start_step = 1800,
            "phases[1].segments[3].startStep",
        ),
        (
            &|p| p.phases[2].segments[0].terms[0].share += 1,
            "phases[2].segments[0].terms",
        ),
        (
            &|p| p.phases[2].segments[0].terms[1].fraction = 0,
            "phases[2].segments[0].terms[1].fraction",
        ),
    ];
    for (change, field) in cases {
        assert_eq!(refuse(change), field);
    }
    assert_eq!(plan.check(), Ok(()));
}

/// What a phase of the spec says about growth, if it paces.
fn growth(pacing: &PacingSpec) -> (Share, Share) {
    (
        Share::parse(&pacing.from.0).unwrap(),
        Share::parse(&pacing.to.0).unwrap(),
    )
}

proptest! {
    // A case may have 32 phases of 256 segments.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_plan_keeps_its_promises(spec in arbitrary::spec(), facts in arbitrary::facts()) {
        let compiled = compile(&spec, &facts);
        prop_assume!(compiled.is_ok());
        let plan = compiled.unwrap();
        prop_assert_eq!(plan.check(), Ok(()));
        prop_assert_eq!(plan.phases.len(), spec.phases.len());
        let least = plan.batch_size.min(plan.rows);
        for (phase, of) in plan.phases.iter().zip(&spec.phases) {
            prop_assert!(phase.segments.len() <= MAX_SEGMENTS);
            prop_assert!(phase.segments.windows(2).all(|w| w[0].terms != w[1].terms));
            let mut sizes = Vec::new();
            for segment in &phase.segments {
                prop_assert_eq!(segment.terms.iter().map(|t| t.share).sum::<u32>(), WHOLE);
                let pools: Vec<_> = segment.terms.iter().map(|t| (t.scope, plan.rows_of(t))).collect();
                prop_assert!(pools.iter().enumerate().all(|(i, pool)| !pools[..i].contains(pool)), "two terms with the same rows");
                prop_assert!(segment.terms.iter().all(|t| t.share > 0 && plan.rows_of(t) >= least));
                sizes.push(plan.rows_of(segment.pool().unwrap()));
            }
            match of.pool.pacing.as_ref().map(|pacing| (pacing, growth(pacing))) {
                Some((pacing, (from, to))) if from <= to => {
                    prop_assert!(sizes.is_sorted(), "a growing pool shrinks: {:?}", sizes);
                    let settles = pacing.steps.map(|s| s as u64);
                    if to == Share::ONE && settles.is_some_and(|s| s < phase.end_step - phase.start_step) {
                        prop_assert_eq!(sizes.last(), Some(&plan.rows));
                    }
                }
                Some(_) => prop_assert!(sizes.iter().rev().is_sorted(), "a shrinking pool grows: {:?}", sizes),
                None => prop_assert_eq!(sizes.len(), 1),
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
            prop_assert_eq!(uniform.rows_of(phase.segments[0].pool().unwrap()), plan.rows);
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
