//! What people said of rows: what status, ConfigMap and snapshots tell of it, and what becomes of rows that they left out.

use serde_json::json;

use super::*;
use crate::controller::test_support::overrides;
use crate::index::summary::IndexSummary;
use crate::scoring::report::FoundIndex;

use ConditionType::Ready;

fn asked(leave_out: bool) -> Value {
    json!({"scoring": {"onFailure": "LastGood", "overrides": {"path": "o.csv", "leaveOut": leave_out}}})
}

fn key_of(case: &Case) -> String {
    super::super::build::task(&validate(&case.job).unwrap()).key
}

fn summary_of(key: &str) -> IndexSummary {
    IndexSummary {
        overrides: Some(overrides()),
        ..summary(key)
    }
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
fn counts_of_what_people_said_are_in_status_config_map_and_snapshots() {
    let summary = summary_of(&key_of(&case(asked(false))));
    let mut case = inspected_as(asked(false), &inspected(Some(FoundIndex { exact: true, summary })));
    let actions = case.turn();
    let Some(Ensure::ConfigMap(scores)) = actions.ensure.first() else {
        panic!("{actions:?}")
    };
    let digest = overrides().digest;
    let told: Value = serde_json::from_str(&scores.data.as_ref().unwrap()["overrides.json"]).unwrap();
    let expected = json!({"digest": digest, "rows": 3, "people": 2, "latest": "2027-01-15T08:00:00Z", "superseded": 1});
    assert_eq!(told, expected);
    let status = serde_json::to_value(case.status().scores.as_ref().unwrap()).unwrap();
    let expected = json!({
        "digest": digest, "rows": 3, "people": 2, "latestTime": "2027-01-15T08:00:00Z", "supersededLines": 1,
    });
    assert_eq!(status["overrides"], expected);
    case.turn();
    case.trains();
    let actions = case.turn();
    let Some(Ensure::Snapshot(snapshot)) = actions.ensure.first() else {
        panic!("{actions:?}")
    };
    let state: Value = serde_json::from_str(&snapshot.spec.state).unwrap();
    let expected = json!({"digest": digest, "rows": 3, "leftOut": 0, "people": 2, "latest": "2027-01-15T08:00:00Z"});
    assert_eq!(state["overrides"], expected);
}

#[test]
fn the_last_good_scores_tell_what_people_said_then() {
    let found = FoundIndex {
        exact: false,
        summary: summary_of(&"0".repeat(64)),
    };
    let mut case = inspected_as(asked(false), &inspected(Some(found)));
    case.turn();
    case.fails("score", "PodFailurePolicy", exited("score", 66, None));
    case.turn();
    let scores = case.status().scores.clone().unwrap();
    assert_eq!(scores.source, crate::api::status::ScoreSource::LastGood);
    assert_eq!(scores.overrides.unwrap().rows, 3);
}

#[test]
fn rows_that_people_may_leave_out_are_never_forgotten() {
    let said = |key: &str| {
        let filtered = json!({"rows": 0, "key": key, "digest": format!("sha256:{}", "c".repeat(64))});
        inspected(None).replace("{\"rows\":", &format!("{{\"filtered\":{filtered},\"rows\":"))
    };
    let mut silent = inspected_as(asked(true), &inspected(None));
    silent.turn();
    let message = &silent.condition(Ready).message;
    assert!(
        message.contains("what it filtered out is not what `dataset.filter` and `scoring.overrides` say"),
        "{message}"
    );
    let mut unasked = inspected_as(asked(false), &said(&key_of(&case(asked(false)))));
    unasked.turn();
    assert_eq!(unasked.status().dataset, None);
    let mut told = inspected_as(asked(true), &said(&key_of(&case(asked(true)))));
    told.turn();
    assert_eq!(told.status().dataset.as_ref().unwrap().filtered_rows, Some(0));
    told.fails("score", "PodFailurePolicy", exited("score", 66, None));
    told.turn();
    let actions = told.turn();
    // Without scores the sampler needs the store all the same.
    let arguments = actions.ensure.iter().find_map(|ensure| match ensure {
        Ensure::TrainJob(job) => job.spec.as_ref()?.template.spec.as_ref()?.init_containers.clone(),
        _ => None,
    });
    let arguments = arguments.unwrap()[0].args.clone().unwrap();
    assert!(
        arguments.iter().any(|argument| argument.starts_with("--manifest=")),
        "{arguments:?}"
    );
}
