//! What each part of a spec compiles to.

use serde_json::{Value, json};

use super::*;

/// The pool is what the function says at every step, however long the phase is.
#[test]
fn pacing_is_exact_at_every_step() {
    let pacing = json!({"function": "Linear", "from": "0.1", "to": "1", "steps": 90_000});
    let curriculum = spec(
        json!({"batchSize": 1, "phases": [{"name": "a", "pool": {"pacing": pacing}, "duration": {"steps": 100_000}}]}),
    );
    let plan = compile(&curriculum, &facts(1_000_000, &[])).unwrap();
    for t in [0, 1, 2, 12_345, 89_999] {
        assert_eq!(own_rows(&plan, 0, t), 100_000 + 10 * t);
    }
    assert_eq!(own_rows(&plan, 0, 90_000), 1_000_000);
    let segments = &plan.phases[0].segments;
    // Each has an eighth more than the one before: ln 10 / ln 1.125.
    assert!((19..=22).contains(&segments.len()), "{}", segments.len());
}

#[test]
fn functions_without_an_end_in_the_phase_do_not_reach_it() {
    let curriculum = |pacing: Value| {
        spec(json!({"batchSize": 1, "phases": [{"name": "a", "pool": {"pacing": pacing}, "duration": {"steps": 100}}]}))
    };
    let rows = |pacing: Value, t| own_rows(&compile(&curriculum(pacing), &facts(1000, &[])).unwrap(), 0, t);
    // a = 1.6 of Wu et al.: 99 of 160 steps.
    assert_eq!(
        rows(json!({"function": "Linear", "from": "0.2", "portion": "1.6"}), 99),
        695
    );
    assert_eq!(
        rows(json!({"function": "Linear", "from": "0.2", "steps": 160}), 99),
        695
    );
    // Two thirds of 100 steps are not a whole number of them.
    assert_eq!(
        rows(
            json!({"function": "Linear", "from": "0.000000001", "portion": "0.666667"}),
            66
        ),
        990
    );
    assert_eq!(
        rows(
            json!({"function": "Linear", "from": "0.000000001", "portion": "0.666667"}),
            67
        ),
        1000
    );
}

#[test]
fn a_window_moves_with_its_end() {
    let curriculum = |pool: Value| {
        spec(json!({"batchSize": 10, "phases": [{"name": "a", "pool": pool, "duration": {"steps": 100}}]}))
    };
    let intervals = |pool: Value| {
        let sampler = Sampler::new(compile(&curriculum(pool), &facts(1000, &[])).unwrap()).unwrap();
        [0, 50, 99].map(|t| sampler.look(t, &Identity).unwrap().pools[0].intervals[0].1.clone())
    };
    let pacing = json!({"function": "Linear", "from": "0.2", "to": "1", "steps": 50});
    assert_eq!(
        intervals(json!({"pacing": pacing, "window": "0.3"})),
        [0..200, 700..1000, 700..1000]
    );
    assert_eq!(
        intervals(json!({"pacing": {"function": "OnePass", "buckets": 4}})),
        [0..250, 500..750, 750..1000]
    );
    assert_eq!(
        intervals(json!({"pacing": {"function": "BabyStep", "buckets": 4}})),
        [0..250, 0..750, 0..1000]
    );
    // No smaller than a batch.
    assert_eq!(
        intervals(json!({"fraction": "0.5", "window": "0.000000001"})),
        [490..500, 490..500, 490..500]
    );
}

/// A curriculum of two groups, and a change to its phase.
fn two_groups(change: &Value) -> CurriculumSpec {
    let mut curriculum = json!({"batchSize": 100, "balance": "Group", "phases": [{"name": "a", "pool": {"fraction": "0.5"}, "duration": {"steps": 1000}}]});
    let phase = &mut curriculum["phases"][0];
    for (name, value) in change.as_object().unwrap() {
        phase[name] = value.clone();
    }
    spec(curriculum)
}

/// Shares of a phase's groups, in millionths, at a step.
fn group_shares(plan: &Plan, t: u64) -> Vec<u32> {
    let phase = &plan.phases[0];
    let shares = &phase.segments[phase.segment_at(phase.start_step + t)].shares;
    let mut groups = vec![0; plan.group_rows.len()];
    for (pool, share) in phase.pools.iter().zip(shares) {
        if let Scope::Group(group) = pool.scope {
            groups[group as usize] += share;
        }
    }
    groups
}

#[test]
fn weights_of_groups_are_kept_and_move_in_a_straight_line() {
    let weights = json!({"weights": [{"name": "g0", "weight": "0.9", "finalWeight": "0.1"}, {"name": "g1", "weight": "0.1", "finalWeight": "0.9"}]});
    let plan = compile(&two_groups(&json!({"mixing": weights})), &facts(1000, &[900, 100])).unwrap();
    let (first, last) = (group_shares(&plan, 0), group_shares(&plan, 999));
    assert!(
        (890_000..900_000).contains(&first[0]) && (100_000..110_000).contains(&last[0]),
        "{first:?} {last:?}"
    );
    // Over the phase: one half each.
    let total: u64 = plan.phases[0]
        .segments
        .iter()
        .enumerate()
        .map(|(i, segment)| {
            let end = plan.phases[0].segments.get(i + 1).map_or(1000, |next| next.start_step);
            u64::from(segment.shares[0]) * (end - segment.start_step)
        })
        .sum();
    assert!(total.abs_diff(500_000_000) < 1000, "{total}");
    // Weights are relative, and who is not listed has none.
    let plan = compile(
        &two_groups(&json!({"mixing": {"weights": [{"name": "g1", "weight": "0.3"}]}})),
        &facts(1000, &[900, 100]),
    )
    .unwrap();
    assert_eq!(group_shares(&plan, 0), [0, WHOLE]);
}

#[test]
fn an_exponent_takes_groups_from_their_rows_to_equal_shares() {
    let at = |exponent: &str| {
        group_shares(
            &compile(
                &two_groups(&json!({"mixing": {"exponent": exponent}})),
                &facts(1000, &[900, 100]),
            )
            .unwrap(),
            0,
        )
    };
    assert_eq!(at("1"), [900_000, 100_000]);
    assert_eq!(at("0"), [500_000, 500_000]);
    assert_eq!(at("0.5"), [750_000, 250_000]);
}

#[test]
fn a_group_may_have_a_schedule_of_its_own() {
    let mixing = json!({"weights": [{"name": "g0", "weight": "0.5"},
                                    {"name": "g1", "weight": "0.5", "pacing": {"function": "Linear", "from": "0.1", "to": "1", "steps": 900}}]});
    let plan = compile(&two_groups(&json!({"mixing": mixing})), &facts(2000, &[1000, 1000])).unwrap();
    assert_eq!([0, 450, 900].map(|t| own_rows(&plan, 0, t)), [600, 1050, 1500]);
}

#[test]
fn bounds_on_group_shares_hold_over_all_parts_of_a_batch() {
    let mut curriculum = two_groups(&json!({}));
    curriculum.uniform_floor = Some("0.2".into());
    let with = |least: Option<&str>, most: Option<&str>, rows: &[u64]| {
        let limits = crate::api::curriculum::GroupSharesSpec {
            minimum: least.map(Into::into),
            maximum: most.map(Into::into),
        };
        let curriculum = CurriculumSpec {
            group_shares: Some(limits),
            ..curriculum.clone()
        };
        compile(&curriculum, &facts(rows.iter().sum(), rows)).map(|plan| {
            let total: u64 = rows.iter().sum();
            // The floor's part of each group, and its own.
            let floor = rows.iter().map(|&n| 0.2 * n as f64 / total as f64);
            group_shares(&plan, 0)
                .iter()
                .zip(floor)
                .map(|(&own, floor)| f64::from(own) / 1e6 + floor)
                .collect::<Vec<_>>()
        })
    };
    let close = |found: Vec<f64>, expected: &[f64]| {
        assert!(
            found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5),
            "{found:?} instead of {expected:?}"
        );
    };
    close(with(Some("0.3"), None, &[980, 20]).unwrap(), &[0.7, 0.3]);
    close(with(None, Some("0.6"), &[980, 20]).unwrap(), &[0.6, 0.4]);
    close(
        with(Some("0.1"), Some("0.6"), &[980, 10, 10]).unwrap(),
        &[0.6, 0.2, 0.2],
    );
    close(with(Some("0.1"), None, &[600, 400]).unwrap(), &[0.6, 0.4]);
    let error = |least, most, rows: &[u64]| with(least, most, rows).unwrap_err().to_string();
    assert_eq!(
        error(Some("0.4"), None, &[100, 100, 100]),
        "curriculum.groupShares.minimum: '0.4' for each of 3 groups is more than a batch; at most '0.333333' is possible"
    );
    assert_eq!(
        error(None, Some("0.3"), &[100, 100, 100]),
        "curriculum.groupShares.maximum: '0.3' for each of 3 groups is less than a batch; at least '0.333333' is needed"
    );
    // The uniform floor alone gives the first group more than it may have.
    curriculum.uniform_floor = Some("0.8".into());
    let limits = crate::api::curriculum::GroupSharesSpec {
        minimum: None,
        maximum: Some("0.6".into()),
    };
    let error = compile(
        &CurriculumSpec {
            group_shares: Some(limits),
            ..curriculum.clone()
        },
        &facts(1000, &[980, 20]),
    )
    .unwrap_err();
    assert_eq!(error.field, "curriculum.groupShares");
    assert!(
        error.problem.contains("cannot be kept in curriculum.phases[0]"),
        "{error}"
    );
}

#[test]
fn a_softmax_over_bins_and_hard_negatives_and_a_warm_up() {
    let phase = json!({"weighting": {"bins": 2, "temperature": "0.5", "finalTemperature": "999999"},
                       "hardNegatives": {"share": "0.2", "fraction": "0.1"}, "warmUpSteps": 100});
    let mut curriculum = two_groups(&phase);
    curriculum.balance = crate::api::curriculum::Balance::None;
    let plan = compile(&curriculum, &facts(1000, &[])).unwrap();
    let phase = &plan.phases[0];
    let roles: Vec<_> = phase.pools.iter().map(|pool| pool.role).collect();
    assert_eq!(roles, [Role::Floor, Role::HardNegatives, Role::Own, Role::Own]);
    let shares = |t| phase.segments[phase.segment_at(t)].shares.clone();
    // It begins with uniform sampling.
    assert!(shares(0)[0] > 990_000, "{:?}", shares(0));
    let [floor, hard, first, second] = shares(100)[..] else {
        panic!("{:?}", shares(100))
    };
    assert_eq!((floor, hard), (0, 200_000));
    // Temperature 0.5 · (2·10⁶)^0.1 = 2.1 there, and d = ½ between the bins: e^0.23.
    assert!(
        (440_000..460_000).contains(&first) && first + second == 800_000,
        "{first} {second}"
    );
    assert!(
        shares(999)[2].abs_diff(shares(999)[3]) <= 1,
        "flat at the end: {:?}",
        shares(999)
    );
    let sampler = Sampler::new(plan.clone()).unwrap();
    let look = sampler.look(500, &Identity).unwrap();
    let intervals: Vec<_> = look.pools.iter().map(|pool| pool.intervals[0].1.clone()).collect();
    assert_eq!(intervals, [900..1000, 0..250, 250..500]);
}

#[test]
fn a_phase_inherits_what_it_leaves_out() {
    let curriculum = spec(json!({"batchSize": 1, "phases": [
        {"name": "a", "pool": {"fraction": "0.1"}, "duration": {"steps": 10}, "hardNegatives": {"share": "0.2", "fraction": "0.1"}},
        {"name": "b", "inherit": true, "pool": {"fraction": "0.3"}, "replay": "0.25"},
        {"name": "c", "inherit": true, "duration": {"steps": 5}}]}));
    let explicit = spec(json!({"batchSize": 1, "phases": [
        {"name": "a", "pool": {"fraction": "0.1"}, "duration": {"steps": 10}, "hardNegatives": {"share": "0.2", "fraction": "0.1"}},
        {"name": "b", "pool": {"fraction": "0.3"}, "duration": {"steps": 10}, "hardNegatives": {"share": "0.2", "fraction": "0.1"}, "replay": "0.25"},
        {"name": "c", "pool": {"fraction": "0.3"}, "duration": {"steps": 5}, "hardNegatives": {"share": "0.2", "fraction": "0.1"}, "replay": "0.25"}]}));
    assert_eq!(
        compile(&curriculum, &facts(1000, &[])),
        compile(&explicit, &facts(1000, &[]))
    );
}

/// Scores 1, 2, 2, 3, 3, 3, … of 55 rows, and 5 rows without one.
struct Scores;

impl crate::curriculum::order::RowOrder for Scores {
    fn row(&self, _: crate::curriculum::order::OrderScope, position: u64) -> u64 {
        position
    }

    fn at_most(&self, score: f64) -> u64 {
        let whole = score.clamp(0.0, 10.0) as u64;
        whole * (whole + 1) / 2
    }

    fn with_ties(&self, rows: u64) -> u64 {
        (1..=10)
            .map(|score| self.at_most(f64::from(score as u8)))
            .find(|&end| end >= rows)
            .unwrap_or(rows)
    }
}

#[test]
fn thresholds_count_by_value_and_never_split_ties() {
    let rows = |pool: Value, t| {
        let curriculum =
            spec(json!({"batchSize": 1, "phases": [{"name": "a", "pool": pool, "duration": {"steps": 100}}]}));
        let sampler = Sampler::new(compile(&curriculum, &facts(60, &[])).unwrap()).unwrap();
        let look = sampler.look(t, &Scores).unwrap();
        (look.own_rows(), look.difficulty())
    };
    assert_eq!(rows(json!({"score": {"from": "3.5"}}), 7), (6, None));
    let growing = json!({"score": {"from": "-1", "to": "10", "steps": 11}});
    assert_eq!([0, 1, 3, 99].map(|t| rows(growing.clone(), t).0), [1, 1, 3, 55]);
    let deep_speed = |kind: &str, max: i64| {
        json!({"deepSpeed": {"min_difficulty": 1, "max_difficulty": max, "schedule_type": "fixed_linear", "difficulty_type": kind,
                             "schedule_config": {"total_curriculum_step": max, "difficulty_step": 1}}})
    };
    assert_eq!(
        [0, 4, 8, 99].map(|t| rows(deep_speed("value", 10), t)),
        [(1, Some(1)), (15, Some(5)), (45, Some(9)), (55, Some(10))]
    );
    // 30 % of 60 rows are 18, in the middle of the rows with score 6; at 100 % all are in, those without a score too.
    assert_eq!(rows(deep_speed("percentile", 100), 29), (21, Some(30)));
    assert_eq!(rows(deep_speed("percentile", 100), 99), (60, Some(100)));
}
