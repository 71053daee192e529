//! Phases that end by what the trainer reports.

use serde_json::{Value, json};

use crate::harness::Local;

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
    let rows = local.rows();
    assert_eq!(rows.len(), 34);
    for (step, rows) in rows.iter().enumerate() {
        let easy = !(5..9).contains(&step) && step < 14;
        assert!(!easy || rows.iter().all(|row| *row < 25), "step {step}: {rows:?}");
    }
}
