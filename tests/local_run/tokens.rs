//! Batches that are counted in tokens.

use serde_json::json;

use crate::harness::{Local, STEPS};

/// Row n has n tokens, at least one; no more than 60 count.
#[test]
fn a_budget_of_tokens_is_kept_with_lengths_and_without() {
    let tokens = json!({"curriculum": {"batchTokens": {"budget": 200, "maxLength": 60, "lengthScorer": "given"}}});
    let local = Local::new(&tokens);
    let said = local.succeeds();
    let rows = local.rows();
    assert_eq!(rows, local.expected());
    let counted = |rows: &[u64]| -> u64 { rows.iter().map(|row| (*row).clamp(1, 60)).sum() };
    assert!(rows.iter().all(|rows| counted(rows) <= 200), "{rows:?}");
    assert!(rows.iter().any(|rows| rows.len() < 8) && rows.iter().any(|rows| rows.len() == 8));
    let visits = local.status()["visits"].clone();
    for (visit, rows) in visits.as_array().unwrap().iter().zip(rows.chunks(STEPS as usize)) {
        let trained: u64 = rows.iter().map(|rows| counted(rows)).sum();
        assert_eq!(visit["tokens"], trained);
        assert!(said.contains(&format!("({trained} tokens)")), "{said}");
    }

    // Three rows of any length fit.
    let mut failing = tokens;
    json_patch::merge(
        &mut failing,
        &json!({"scoring": {"backoffLimit": 0, "scorers": [{"name": "given", "column": null, "container": {
        "image": "none", "command": ["python3", "/tests/fake_scorer.py"], "env": [{"name": "MODE", "value": "exit1"}]}}]}}),
    );
    let local = Local::new(&failing);
    local.succeeds();
    assert_eq!(local.status()["scores"]["source"], "Uniform");
    assert!(local.rows().iter().all(|rows| rows.len() == 3));
}
