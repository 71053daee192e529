//! Curricula over groups: the names in the spec, and what the data set makes of them.

use serde_json::json;

use super::*;
use crate::controller::test_support::ROWS;
use crate::curriculum::plan::{Plan, Scope};
use crate::curriculum::split::HeldOut;
use crate::index::summary::IndexSummary;

use ConditionType::{Failed, Ready, ScoresReady, Stalled};

/// A spec of three groups whose first phase mixes them by these weights.
fn mixed(weights: &[(&str, &str)]) -> Value {
    let weights: Vec<Value> = weights
        .iter()
        .map(|(name, weight)| json!({"name": name, "weight": weight}))
        .collect();
    json!({
        "dataset": {"groupColumn": "label"},
        "curriculum": {"balance": "Group", "phases": [
            {"name": "easy", "pool": {"fraction": "0.5"}, "mixing": {"weights": weights}, "duration": {"steps": 10}}]},
    })
}

/// A case whose inspection has said that.
fn inspected_as(patch: Value, said: &str) -> Case {
    let mut case = case(patch);
    case.turn();
    case.turn();
    case.completes("inspect", exited("inspect", 0, Some(said)));
    case
}

#[test]
fn what_the_groups_make_impossible_fails_the_run_before_anything_is_scored() {
    let shares = |bounds: Value| {
        json!({
            "dataset": {"groupColumn": "label"},
            "scoring": {"onFailure": "Uniform"},
            "curriculum": {"balance": "Group", "groupShares": bounds},
        })
    };
    for (patch, places, message) in [
        (
            shares(json!({"minimum": "0.4"})),
            vec![],
            "`curriculum.groupShares.minimum`: '0.4' for each of 3 groups is more than a batch; at most '0.333333' is possible",
        ),
        (
            shares(json!({"maximum": "0.3"})),
            vec![],
            "`curriculum.groupShares.maximum`: '0.3' for each of 3 groups is less than a batch; at least '0.333333' is needed",
        ),
        (
            mixed(&[("cat", "0.5"), ("unicorn", "0.5")]),
            vec![Some(1), None],
            "`curriculum.phases[0].mixing.weights[1].name`: 'unicorn' is no value of `dataset.groupColumn`",
        ),
    ] {
        let mut case = inspected_as(patch, &inspected_groups(&[60, 30, 10], &places));
        let actions = case.turn();
        assert_eq!(told(&actions), ["InvalidSpec"]);
        assert_eq!(ensured(&actions), Vec::<String>::new());
        for type_ in [Failed, Stalled] {
            assert_eq!(case.says(type_), ("True", "InvalidSpec"));
        }
        assert_eq!(case.says(Ready).0, "False");
        assert_ne!(case.says(ScoresReady).0, "True");
        assert_eq!(case.condition(Failed).message, message);
        assert_eq!(ensured(&case.turn()), Vec::<String>::new(), "failed for good");
    }
}

#[test]
fn rows_that_are_held_out_are_in_the_plan_and_never_forgotten() {
    let split = json!({"dataset": {"split": {"heldOut": "0.1", "seed": 3}}});
    // An inspection that knows of no split, as that of another version, is no inspection of this run.
    let mut case = inspected_as(split.clone(), &inspected(None));
    case.turn();
    assert_eq!(case.status().dataset, None);
    assert!(
        case.condition(Ready)
            .message
            .contains("what it held out is not what `dataset.split` says")
    );

    let said = inspected(None).replace("{\"rows\":", "{\"heldOutRows\":12,\"rows\":");
    let mut case = inspected_as(split, &said);
    case.turn();
    let dataset = case.status().dataset.as_ref().unwrap();
    assert_eq!(
        (dataset.rows, dataset.held_out_rows),
        (i64::try_from(ROWS).unwrap(), Some(12))
    );
    case.fails("score", "PodFailurePolicy", exited("score", 66, None));
    case.turn();
    let actions = case.turn();
    let plan = actions.ensure.iter().find_map(|ensure| match ensure {
        Ensure::ConfigMap(map) => map.data.as_ref()?.get("plan.json"),
        _ => None,
    });
    let plan: Plan = serde_json::from_str(plan.unwrap()).unwrap();
    assert_eq!(
        (plan.held_out, plan.scores.is_none()),
        (Some(HeldOut { rows: 12, seed: 3 }), true)
    );
    assert_eq!(plan.dataset_rows(), ROWS + 12);
}

#[test]
fn rows_that_are_filtered_out_are_in_the_plan_and_never_forgotten() {
    let filter = json!({"dataset": {"filter": [{"column": "language", "in": ["en"]}]}});
    let of = |case: &Case| super::super::build::task(&validate(&case.job).unwrap()).key;
    let said = |key: &str| {
        let filtered = json!({"rows": 0, "key": key, "digest": format!("sha256:{}", "c".repeat(64))});
        inspected(None).replace("{\"rows\":", &format!("{{\"filtered\":{filtered},\"rows\":"))
    };
    // No inspection of this run: one that knows of no filter, and one that left its rows elsewhere.
    for other in [inspected(None), said(&"d".repeat(64))] {
        let mut case = inspected_as(filter.clone(), &other);
        case.turn();
        assert_eq!(case.status().dataset, None);
        let message = &case.condition(Ready).message;
        assert!(
            message.contains("what it filtered out is not what `dataset.filter` and `scoring.overrides` say"),
            "{message}"
        );
    }
    // Nor is one with a filter of a run without.
    let mut case = inspected_as(json!({}), &said(&"d".repeat(64)));
    case.turn();
    assert_eq!(case.status().dataset, None);

    let key = of(&case_of(&filter));
    let mut case = inspected_as(filter, &said(&key));
    case.turn();
    let dataset = case.status().dataset.as_ref().unwrap();
    assert_eq!(
        (
            dataset.filtered_rows,
            dataset.trained_rows.as_ref().map(|rows| &rows.key)
        ),
        (Some(0), Some(&key))
    );
    case.fails("score", "PodFailurePolicy", exited("score", 66, None));
    case.turn();
    let actions = case.turn();
    let plan = actions.ensure.iter().find_map(|ensure| match ensure {
        Ensure::ConfigMap(map) => map.data.as_ref()?.get("plan.json"),
        _ => None,
    });
    let plan: Plan = serde_json::from_str(plan.unwrap()).unwrap();
    let filtered = plan.filtered.clone().unwrap();
    assert_eq!((filtered.key, plan.scores.is_none()), (key, true));
    assert_eq!(plan.dataset_rows(), ROWS);
    // Without scores the sampler needs the store all the same.
    let arguments = actions.ensure.iter().find_map(|ensure| match ensure {
        Ensure::TrainJob(job) => job.spec.as_ref()?.template.spec.as_ref()?.init_containers.clone(),
        _ => None,
    });
    let sampler = arguments.unwrap().remove(0);
    assert!(
        sampler
            .args
            .unwrap()
            .iter()
            .any(|argument| argument.starts_with("--manifest="))
    );
    assert!(
        sampler
            .volume_mounts
            .unwrap()
            .iter()
            .any(|mount| mount.mount_path == "/curriculum/store")
    );
}

fn case_of(patch: &Value) -> Case {
    case(patch.clone())
}

#[test]
fn the_names_in_the_spec_lead_to_the_groups_of_the_plan() {
    // The spec's order is its own; the inspection answers in the order of the names.
    let mut case = inspected_as(
        mixed(&[("dog", "0.7"), ("cat", "0.3")]),
        &inspected_groups(&[60, 30, 10], &[Some(0), Some(2)]),
    );
    case.turn();
    case.completes("score", exited("score", 0, None));
    case.turn();
    let summary = IndexSummary {
        group_rows: vec![60, 30, 10],
        ..summary(&super::super::build::task(&validate(&case.job).unwrap()).key)
    };
    case.completes("index", exited("index", 0, Some(&indexed(summary))));
    case.turn();
    let dataset = case.status().dataset.as_ref().unwrap();
    let named: Vec<_> = dataset
        .named_groups
        .iter()
        .map(|group| (group.name.as_str(), group.group))
        .collect();
    assert_eq!(named, [("cat", 0), ("dog", 2)]);

    let actions = case.turn();
    let plan = actions.ensure.iter().find_map(|ensure| match ensure {
        Ensure::ConfigMap(map) => map.data.as_ref()?.get("plan.json"),
        _ => None,
    });
    let plan: Plan = serde_json::from_str(plan.unwrap()).unwrap();
    assert_eq!(plan.digest(), case.plan_digest());
    let pools = plan.phases[0].pools.iter().map(|pool| pool.scope);
    let shares: Vec<_> = pools.zip(plan.phases[0].segments[0].shares.clone()).collect();
    let expected = [
        (Scope::Group(0), 300_000),
        (Scope::Group(1), 0),
        (Scope::Group(2), 700_000),
    ];
    assert_eq!(shares, expected, "a group that is not listed gets nothing");
}
