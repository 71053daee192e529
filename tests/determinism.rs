//! The same plan gives the same rows in every process, on every machine and in every build: the digests here are part of the
//! format. A change that alters one needs a new `PLAN_VERSION`, or runs that resume across the change show other rows.

#![expect(clippy::expect_used, reason = "a test")]

use std::process::Command;

use curriculum_operator::curriculum::canonical::sha256;
use curriculum_operator::curriculum::order::{OrderScope, RowOrder};
use curriculum_operator::curriculum::plan::{Facts, Plan, PlanScores, compile};
use curriculum_operator::curriculum::sampler::Sampler;
use serde_json::{Value, json};

/// Rows of group g are g·10⁹ and up, so that a digest covers the scope as well.
struct Order;

impl RowOrder for Order {
    fn row(&self, scope: OrderScope, position: u64) -> u64 {
        match scope {
            OrderScope::All => position,
            OrderScope::Group(group) => u64::from(group) * 1_000_000_000 + position,
        }
    }

    /// Scores are the ranks of 4,000 rows.
    fn at_most(&self, score: f64) -> u64 {
        (score.clamp(0.0, 1.0) * 4000.0) as u64
    }
}

fn plan(seed: u64, group_rows: &[u64], curriculum: Value) -> Plan {
    let facts = Facts {
        seed,
        rows: group_rows.iter().sum(),
        group_rows: group_rows.to_vec(),
        groups: (0..group_rows.len() as u32)
            .map(|group| (format!("g{group}"), group))
            .collect(),
        held_out: None,
        filtered: None,
        scores: Some(PlanScores {
            key: "a".repeat(64),
            digest: format!("sha256:{}", "b".repeat(64)),
        }),
        ..Facts::default()
    };
    compile(&serde_json::from_value(curriculum).expect("a valid spec"), &facts).expect("a valid curriculum")
}

/// A phase of 100 steps for every pacing function, and what else moves.
fn families() -> Vec<Value> {
    let pacings = [
        json!({"function": "Quadratic", "from": "0.1"}),
        json!({"function": "Root", "from": "0.1", "degree": "3"}),
        json!({"function": "Polynomial", "from": "0.1", "degree": "1.5"}),
        json!({"function": "Exponential", "from": "0.1"}),
        json!({"function": "Logarithmic", "from": "0.1", "portion": "0.8"}),
        json!({"function": "Competence", "from": "0.01", "degree": "2"}),
        json!({"function": "FixedExponential", "from": "0.04", "factor": "1.9", "interval": 10}),
        json!({"function": "VariedExponential", "from": "0.04", "factor": "1.9", "boundaries": [5, 20, 60]}),
        json!({"function": "SingleStep", "from": "0.3", "steps": 50}),
        json!({"function": "BabyStep", "buckets": 7}),
        json!({"function": "OnePass", "buckets": 7}),
        json!({"function": "Piecewise", "points": [{"step": 10, "fraction": "0.2"}, {"step": 60, "fraction": "0.9"}, {"step": 90, "fraction": "0.4"}]}),
    ];
    let mut phases: Vec<Value> = (0..)
        .zip(pacings)
        .map(|(i, pacing): (u32, Value)| json!({"name": format!("p{i}"), "pool": {"pacing": pacing}, "duration": {"steps": 100}}))
        .collect();
    phases[1]["pool"]["window"] = "0.25".into();
    phases[2]["weighting"] = json!({"bins": 8, "temperature": "0.1", "finalTemperature": "10"});
    phases[3]["hardNegatives"] = json!({"share": "0.2", "fraction": "0.1"});
    phases[4]["mixing"] = json!({"exponent": "1", "finalExponent": "0"});
    phases[5]["mixing"] = json!({"weights": [{"name": "g0", "weight": "0.6", "finalWeight": "0.4"},
                                             {"name": "g1", "weight": "0.4", "finalWeight": "0.6", "fraction": "0.5"}]});
    phases[6]["replay"] = "0.2".into();
    phases
}

/// Name, plan, and the steps that are looked at.
fn plans() -> Vec<(&'static str, Plan, Vec<u64>)> {
    let pacing = json!({"function": "Linear", "from": "0.2", "to": "0.6", "steps": 1200});
    let phases = json!([
        {"name": "easy", "pool": {"fraction": "0.2"}, "duration": {"steps": 300}},
        {"name": "grow", "pool": {"pacing": pacing}, "replay": "0.1", "duration": {"steps": 1500}},
        {"name": "hold", "pool": {"fraction": "0.6"}, "duration": {"epochs": 10}}
    ]);
    let digits = json!({"batchSize": 64, "balance": "Group", "uniformFloor": "0.05", "phases": phases});
    let with = |mut base: Value, field: &str, value: &str| {
        base[field] = value.into();
        base
    };
    let groups = [107, 109, 106, 110, 108, 109, 109, 107, 104, 110];
    let long = |batch: u64| json!({"batchSize": batch, "phases": [{"name": "a", "pool": {"fraction": "0.333333333"}, "duration": {"steps": 1_000_000_000}}]});
    let early = vec![0, 1, 299, 300, 301, 777, 1499, 1500, 1801];
    vec![
        ("digits", plan(42, &groups, digits.clone()), early.clone()),
        ("uniform", plan(42, &groups, digits.clone()).uniform(), early.clone()),
        (
            "hard",
            plan(42, &groups, with(digits.clone(), "order", "HardFirst")),
            early.clone(),
        ),
        (
            "random",
            plan(42, &groups, with(digits.clone(), "order", "Random")),
            early.clone(),
        ),
        (
            "random over all",
            plan(7, &groups, with(with(digits, "order", "Random"), "balance", "None")),
            early,
        ),
        (
            "every family",
            plan(
                5,
                &[5000, 3000],
                json!({"batchSize": 32, "balance": "Group", "groupShares": {"minimum": "0.3"}, "uniformFloor": "0.02", "phases": families()}),
            ),
            (0..families().len() as u64)
                .flat_map(|phase| [100 * phase, 100 * phase + 57, 100 * phase + 99])
                .collect(),
        ),
        (
            "thresholds",
            plan(
                6,
                &[4000],
                json!({"batchSize": 32, "phases": [
                {"name": "score", "pool": {"score": {"from": "0.1", "to": "0.9", "function": "Root"}}, "warmUpSteps": 20, "duration": {"steps": 100}},
                {"name": "deepspeed", "replay": "0.1", "duration": {"steps": 100}, "pool": {"deepSpeed": {
                    "min_difficulty": 1, "max_difficulty": 100, "difficulty_type": "percentile", "schedule_type": "fixed_root",
                    "schedule_config": {"total_curriculum_step": 80, "difficulty_step": 5, "root_degree": 2}}}}]}),
            ),
            vec![0, 7, 50, 99, 100, 150, 199],
        ),
        ("tiny", plan(1, &[1, 0, 2], long(5)), vec![0, 1, 2, 999_999_999]),
        (
            "large",
            plan(9_007_199_254_740_991, &[4_000_000_000], long(1000)),
            vec![0, 1, 123_456_789, 999_999_999],
        ),
    ]
}

fn digest(plan: &Plan, steps: &[u64]) -> String {
    let sampler = Sampler::new(plan.clone()).expect("a valid plan");
    let mut bytes = Vec::new();
    let mut rows = Vec::new();
    for &step in steps {
        sampler.batch(step, &Order, &mut rows).expect("a step of the plan");
        bytes.extend(rows.iter().flat_map(|row| row.to_le_bytes()));
    }
    sha256(bytes)
}

/// One line per plan: name, digest of the plan, digest of its rows.
fn report() -> Vec<String> {
    plans()
        .into_iter()
        .map(|(name, plan, steps)| format!("{name} {} {}", plan.digest(), digest(&plan, &steps)))
        .collect()
}

const GOLDEN: [&str; 9] = [
    "digits sha256:ce4c92c5a968004fe3083caf902540a60c696909c47eb9a83c0e2c0177744082 sha256:727e6435b01ed73b0dc019b920cf704186274761451b90fd835ee41490366837",
    "uniform sha256:08c1ebedd4037c13ace409b290ae4d393fb762e53eb1f3af34baab89692361fa sha256:8407613e23f0f52ade0b8f9127fd39e87033636638663f99a24b271696a6097e",
    "hard sha256:43d82ca1294663d2e326596d53fcfa3c659bbb190e0cf1eb557fcc14edc91764 sha256:c667189bd0d3c0b687018f2807ae8edba7a42763c14f283a51df0db361f72851",
    "random sha256:0f18362b3e96474ad183e1e316fa7cecd6f9d2461385c84e7d9d6ef2732593b5 sha256:560951804474ec5a119cb1f528f3399f39e40d856f09f791dc912c28c95b02c6",
    "random over all sha256:cf320ef1b9a82417474190e4cadf0daaf02dc5c0d599efec0bd23fabcbacc217 sha256:3405de69fdfe09eb1a7422812fd54d65c94aac6d3562a7859759d03c5b547225",
    "every family sha256:cffee7722c36963da73b0d9b792cd6bad69aec9c9073588322017f63938142fb sha256:b71dcb45b8b40125fed262af632206f68e912570b23e0243f926a30a2fb7a459",
    "thresholds sha256:33d7b2c94a2ce9d59371fec6e31cfcd5ce69f12a6081e314c1b667b95f2a7907 sha256:b57710fd373b214d999c3b6393e870aaede747b24c052ecdad4d365b1e748651",
    "tiny sha256:b5ca91c44f3449934ebfdc648e92da7e453e3ee2f1047fdc73eea948825713b6 sha256:c8d00fdbcf3d87812b5c4faa0c04c0d1b52e961edb725f2df4a27d68a1ca4198",
    "large sha256:5780864f0ad8f2001d20aa2b94cecf0efc3e6c8564c43065fabc196147c390bd sha256:2a1bd48306939e5986c0887afc8f695c7fc1eec29bbacabf0755a8a81675c8d7",
];

#[test]
fn rows_are_those_of_every_build_before() {
    assert_eq!(report(), GOLDEN);
}

/// Set in the second process of [`another_process_draws_the_same_rows`].
const CHILD: &str = "CURRICULUM_TEST_PRINT";

#[test]
fn another_process_draws_the_same_rows() {
    let here = report().join("\n");
    if std::env::var_os(CHILD).is_some() {
        println!("<<{here}>>");
        return;
    }
    let output = Command::new(std::env::current_exe().expect("this test's binary"))
        .args(["another_process_draws_the_same_rows", "--exact", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .expect("the second process runs");
    let printed = String::from_utf8(output.stdout).expect("text");
    let there = printed
        .split_once("<<")
        .and_then(|(_, rest)| rest.split_once(">>"))
        .map(|(rows, _)| rows);
    assert_eq!(
        there,
        Some(here.as_str()),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
