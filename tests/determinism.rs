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
}

fn plan(seed: u64, group_rows: &[u64], curriculum: Value) -> Plan {
    let facts = Facts {
        seed,
        rows: group_rows.iter().sum(),
        group_rows: group_rows.to_vec(),
        scores: Some(PlanScores {
            key: "a".repeat(64),
            digest: format!("sha256:{}", "b".repeat(64)),
        }),
    };
    compile(&serde_json::from_value(curriculum).expect("a valid spec"), &facts).expect("a valid curriculum")
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

const GOLDEN: [&str; 7] = [
    "digits sha256:2f1a97577ba4b0ba3a54c92a84e8ce92fef0b8e8cfe677f125ad6e7be6c6216c sha256:a133eddf1f34e30a6485274b8bfa23595c62f89e6f9df4481d6b454c5043aea8",
    "uniform sha256:4c8dfa5b1ccfb83c657e808b2d93ebde2192e8a9e71d4d2faf5860cdb56a3e93 sha256:8407613e23f0f52ade0b8f9127fd39e87033636638663f99a24b271696a6097e",
    "hard sha256:a81361a5c894cb188469878885b07d9557f567edf35ca168736a5c18bdabf8b4 sha256:8738494de8d7eb5dda3f888f390c8c24f16ba36e0f673d0ed47ed7ab3ab7d6bb",
    "random sha256:6c24e4d81068ae1fd728f5b2b69f905e0723d5b25c91fb67c551726debc96247 sha256:3d76ea3a54ba82f49ccd65e8101eb11cccddf1a0f5ed7ddf41b49de43a5dccda",
    "random over all sha256:7ae4fb7051e72113b5a85cd50e07d9708280acc2df1f3cc3dd4a00e5b6d74426 sha256:8bd1595f8aa85a6f16c4d2a5cb89c39ec04d6a063f3d5866556e5a38614805c0",
    "tiny sha256:e4da296da3c4afca31584c3c8aaca90fc9c5ae499d747fe86720f576ff723962 sha256:0d11eaa8df33e7034e9d3efe72dc61ab92c0ea39d9423c4f86691e454b2198cc",
    "large sha256:9afc87da8809d5191d6be9e273b7787815a734e8e942c2c7add909633d38e874 sha256:2a1bd48306939e5986c0887afc8f695c7fc1eec29bbacabf0755a8a81675c8d7",
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
