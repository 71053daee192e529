//! Phases that end by what the trainer reports.

use std::fs;
use std::process::Command;

use curriculum_operator::curriculum::snapshot::State;
use serde_json::{Value, json};

use crate::harness::{BINARY, Local, words};

/// The trainer reports `val` after some steps, and the run goes forward, back and forward, all on this machine; `simulate` knows the
/// rows.
#[test]
fn metrics_move_a_run_forward_and_back() {
    let mut spec = Local::trainer("REPORTS", r#"{"4": 0.95, "8": 0.4, "13": 0.95, "20": 0.4}"#);
    spec["curriculum"] = json!({"batchSize": 8, "phases": [
        {"name": "easy", "pool": {"fraction": "0.25"}, "duration": {"steps": 40},
         "advance": {"anyOf": [{"metric": "val", "atLeast": "0.9"}]}},
        {"name": "all", "pool": {"fraction": "1"}, "replay": "0.25", "duration": {"steps": 20},
         "regress": {"to": "easy", "anyOf": [{"metric": "val", "atMost": "0.5"}]}}]});
    let local = Local::new(&spec);
    let said = local.succeeds();
    assert!(said.contains("phase 'all' went back: steps 5..9"), "{said}");
    assert!(said.contains("because val is 0.4, at most 0.5"), "{said}");
    let status = local.status();
    let visits = status["visits"].as_array().unwrap().iter();
    let visits: Vec<_> = visits
        .map(|visit| ["phaseName", "startStep", "endStep", "outcome"].map(|field| visit[field].clone()))
        .collect();
    let expected = [
        json!(["easy", 0, 5, "Advanced"]),
        json!(["all", 5, 9, "Regressed"]),
        json!(["easy", 9, 14, "Advanced"]),
        json!(["all", 14, 34, "Completed"]),
    ];
    assert_eq!(
        visits.into_iter().map(|visit| json!(visit)).collect::<Vec<Value>>(),
        expected
    );
    assert_eq!(status["progress"]["summary"], "34/34");
    frozen_it_has_the_same_rows(&local);
    let rows = local.rows();
    assert_eq!(rows.len(), 34);
    for (step, rows) in rows.iter().enumerate() {
        let easy = !(5..9).contains(&step) && step < 14;
        assert!(!easy || rows.iter().all(|row| *row < 25), "step {step}: {rows:?}");
    }
}

/// `curriculum freeze` makes a job of it that needs no reports, and has the rows of each visit.
fn frozen_it_has_the_same_rows(local: &Local) {
    let freeze = Command::new(BINARY)
        .args(["freeze", "-f"])
        .arg(local.path("run/state.json"))
        .output()
        .unwrap();
    assert!(freeze.status.success(), "{}", words(&freeze));
    let frozen: Value = serde_saphyr::from_slice(&freeze.stdout).unwrap();
    assert_eq!(frozen["metadata"]["name"], "small-frozen");
    let course = json!([{"phase": "easy", "steps": 5}, {"phase": "all", "steps": 4}, {"phase": "easy", "steps": 5},
        {"phase": "all", "steps": 20}]);
    assert_eq!(frozen["spec"]["curriculum"]["course"], course);
    let again = Local::new(&json!({}));
    let mut job = frozen;
    job["metadata"]["name"] = json!("small");
    job["spec"]["training"]["template"]["spec"]["containers"][0]["env"][1]["value"] = json!("{}");
    fs::write(again.path("job.yaml"), job.to_string()).unwrap();
    again.succeeds();
    let digests = |local: &Local| -> Vec<Option<String>> {
        let state: Value = serde_json::from_slice(&fs::read(local.path("run/state.json")).unwrap()).unwrap();
        let visits = state["curriculumJob"]["status"]["visits"].as_array().unwrap().iter();
        let snapshots = visits.map(|visit| &state["snapshots"][visit["snapshot"].as_str().unwrap()]);
        let states = snapshots.map(|snapshot| snapshot["spec"]["state"].as_str().unwrap());
        states
            .map(|state| serde_json::from_str::<State>(state).unwrap().sequence_digest)
            .collect()
    };
    let again_status = again.status();
    let (before, after) = (digests(local), digests(&again));
    assert!(
        before.iter().all(Option::is_some) && before == after,
        "{before:?} {after:?}"
    );
    assert_eq!(local.rows(), again.rows());
    let outcomes = again_status["visits"]
        .as_array()
        .unwrap()
        .iter()
        .map(|visit| visit["outcome"].clone());
    assert!(
        outcomes.clone().all(|outcome| outcome == "Completed"),
        "{:?}",
        outcomes.collect::<Vec<_>>()
    );
    assert_eq!(again_status["progress"]["summary"], "34/34");
}
