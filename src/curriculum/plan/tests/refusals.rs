//! What is refused, and with which words.

use serde_json::{Value, json};

use super::*;

#[test]
fn errors_name_field_value_and_what_would_be_right() {
    let refuse = |change: &dyn Fn(&mut Value)| {
        let mut value = serde_json::to_value(digits()).unwrap();
        change(&mut value);
        compile(&spec(value), &facts(1079, &[500, 579]))
            .unwrap_err()
            .to_string()
    };
    let cases: [Case<'_, Value>; 30] = [
        (
            &|v| v["phases"][0]["name"] = "Easy".into(),
            "curriculum.phases[0].name: 'Easy' is no name of at most 30 lower case letters, digits and '-', with a letter or a digit at both ends",
        ),
        (
            &|v| v["phases"][2]["pool"]["fraction"] = "0.6.1".into(),
            "curriculum.phases[2].pool.fraction: '0.6.1' is not a decimal number such as '0.25'",
        ),
        (
            &|v| v["phases"][1]["pool"]["pacing"]["degree"] = "2".into(),
            "curriculum.phases[1].pool.pacing.degree: has no meaning for Linear; leave it out",
        ),
        (
            &|v| {
                v["phases"][1]["pool"]["pacing"] =
                    json!({"function": "FixedExponential", "from": "0.1", "interval": 10});
            },
            "curriculum.phases[1].pool.pacing.factor: must be set for FixedExponential",
        ),
        (
            &|v| v["phases"][1]["pool"]["pacing"] = json!({"function": "Root", "from": "0.1", "degree": "0"}),
            "curriculum.phases[1].pool.pacing.degree: '0' is not a decimal number greater than '0' with at most 6 digits before and after the point",
        ),
        (
            &|v| v["phases"][1]["pool"]["pacing"] = json!({"function": "Piecewise", "points": [{"step": 5, "fraction": "0.1"}, {"step": 5, "fraction": "1"}]}),
            "curriculum.phases[1].pool.pacing.points: step 5 follows step 5; steps must ascend",
        ),
        (
            &|v| v["phases"][1]["pool"] = json!({"score": {"from": "1"}}),
            "curriculum.phases[1].pool.score: needs `balance: None`: thresholds count from the easiest of all rows",
        ),
        (
            &|v| v["phases"][1]["mixing"] = json!({"weights": [{"name": "nobody", "weight": "1"}]}),
            "curriculum.phases[1].mixing.weights[0].name: 'nobody' is no value of `dataset.groupColumn`",
        ),
        (
            &|v| v["phases"][1]["mixing"] = json!({"weights": [{"name": "g0", "weight": "1", "finalWeight": "0"}]}),
            "curriculum.phases[1].mixing.weights: all are '0' at the beginning or at the end of the phase; one must be greater",
        ),
        (
            &|v| v["phases"][0]["inherit"] = true.into(),
            "curriculum.phases[0].inherit: the first phase has no phase before it",
        ),
        (
            &|v| {
                drop(v["phases"][1].as_object_mut().unwrap().remove("pool"));
            },
            "curriculum.phases[1].pool: must be set, or `inherit` be true",
        ),
        (
            &|v| v["batchSize"] = 0.into(),
            "curriculum.batchSize: 0 is not between 1 and 1048576",
        ),
        (
            &|v| v["batchTokens"] = json!({"budget": 100, "maxLength": 101, "lengthScorer": "t"}),
            "curriculum.batchTokens.maxLength: 101 is not between 1 and 100",
        ),
        (
            &|v| v["batchTokens"] = json!({"budget": 0, "maxLength": 1, "lengthScorer": "t"}),
            "curriculum.batchTokens.budget: 0 is not between 1 and 1099511627776",
        ),
        (
            &|v| {
                v["batchTokens"] = json!({"budget": 100, "maxLength": 10, "lengthScorer": "t"});
                v["batchSize"] = 70_000.into();
            },
            "curriculum.batchSize: 70000 is more than the 65536 rows that a batch may have with `batchTokens`",
        ),
        (
            &|v| v["batchTokens"] = json!({"budget": 100, "maxLength": 10, "lengthScorer": "t"}),
            "curriculum.phases[2].duration.epochs: does not go with `curriculum.batchTokens`: how many rows a batch has is not known; \
             use `steps`",
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
            &|v| v["phases"][1]["pool"]["pacing"]["steps"] = 0.into(),
            "curriculum.phases[1].pool.pacing.steps: 0 is not between 1 and 1000000000",
        ),
        (
            &|v| v["phases"][1]["pool"]["fraction"] = "1".into(),
            "curriculum.phases[1].pool: exactly one of `fraction`, `pacing`, `score` and `deepSpeed` must be set",
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
            "curriculum.phases[1]: `uniformFloor` ('0.050000'), `replay` ('0.950000') and `hardNegatives.share` ('0.000000') leave nothing to \
             the phase's own pool; their sum must be less than 1",
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
    let cases: [Case<'_, Plan>; 21] = [
        (&|p| p.version = 1, "version"),
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
            &|p| p.phases[2].segments[0].shares[0] += 1,
            "phases[2].segments[0].shares",
        ),
        (
            &|p| p.phases[2].segments[0].shares.push(0),
            "phases[2].segments[0].shares",
        ),
        (&|p| p.phases[2].pools.clear(), "phases[2].pools"),
        (&|p| p.phases[2].pools[0].least = 0, "phases[2].pools[0].least"),
        (
            &|p| p.phases[2].pools[1].scope = Scope::Group(2),
            "phases[2].pools[1].scope",
        ),
        (
            &|p| p.phases[2].pools[1].admits = Admission::Fraction(crate::curriculum::pacing::Pacing::Constant(0)),
            "phases[2].pools[1].admits",
        ),
    ];
    for (change, field) in cases {
        assert_eq!(refuse(change), field);
    }
    assert_eq!(plan.check(), Ok(()));
}
