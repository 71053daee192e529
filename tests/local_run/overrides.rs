//! What people say of rows, in a file beside the data.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{BINARY, Local, STEPS, words};

const COLUMNS: &str = "row,rank,who,when,reason\n";

/// Row n is n hard, but for what people say: row 99 is plain, and row 0 hard, on second thoughts.
fn said() -> String {
    COLUMNS.to_owned()
        + "99,0,anneliese,2026-11-20T09:30:00Z,a plain digit\n\
           0,1,roberta,2026-11-21T09:30:00Z,two digits in one picture\n\
           0,0.5,anneliese,2026-11-20T09:31:00Z,cannot say\n"
}

fn asked(overrides: &Value) -> Value {
    json!({"scoring": {"overrides": overrides}})
}

fn rows_of(steps: &[Vec<u64>]) -> BTreeSet<u64> {
    steps.iter().flatten().copied().collect()
}

#[test]
fn a_row_is_where_people_say_and_only_counts_of_it_are_told() {
    let local = Local::new(&asked(&json!({"path": "said.csv"})));
    fs::write(local.path("data/said.csv"), said()).unwrap();
    let text = local.succeeds();
    assert!(text.contains("overrides      2 rows, by 2 people"), "{text}");
    let rows = local.rows();
    assert_eq!(rows, local.expected());
    // The easiest quarter: 160 draws of 25 rows without replacement show each of them.
    let easy: BTreeSet<u64> = (1..25).chain([99]).collect();
    assert_eq!(rows_of(&rows[..STEPS as usize]), easy);
    assert!(rows_of(&rows).contains(&0));

    let told = local.status()["scores"]["overrides"].clone();
    let digest = told["digest"].as_str().unwrap().to_owned();
    let expected = json!({
        "digest": digest, "rows": 2, "people": 2, "latestTime": "2026-11-21T09:30:00Z", "supersededLines": 1,
    });
    assert_eq!(told, expected);
    let snapshot: Value = serde_json::from_slice(&fs::read(local.path("run/snapshots/small-0.json")).unwrap()).unwrap();
    let state: Value = serde_json::from_str(snapshot["spec"]["state"].as_str().unwrap()).unwrap();
    assert_eq!(state["overrides"]["digest"], digest);
    let logs = fs::read_to_string(local.path("run/state.json")).unwrap() + &text;
    for word in ["anneliese", "roberta", "plain digit", "cannot say"] {
        assert!(!logs.contains(word), "{word}");
    }

    // Other words, another index.
    fs::write(local.path("data/said.csv"), COLUMNS).unwrap();
    let again = local.command().arg("--again").output().unwrap();
    assert!(again.status.success());
    assert_eq!(local.status()["scores"]["source"], "Scored");
    assert_eq!(rows_of(&local.rows()[..STEPS as usize]), (0..25).collect());
}

#[test]
fn what_people_say_of_no_row_is_for_on_failure_to_decide() {
    let local = Local::new(&asked(&json!({"path": "said.csv"})));
    fs::write(local.path("data/said.csv"), said().replace("99,0,", "100,0,")).unwrap();
    let text = local.succeeds();
    let scores = local.status()["scores"].clone();
    assert_eq!(
        (&scores["source"], &scores["fallbackReason"]),
        (&json!("Uniform"), &json!("ScoresInvalid"))
    );
    let words =
        "of which 1 lines (the first is 2) name a row that the data set does not have: it has 100, counted from 0";
    assert!(scores["fallbackMessage"].as_str().unwrap().contains(words), "{scores}");
    assert!(!text.contains("overrides "), "{text}");
}

#[test]
fn rows_that_people_leave_out_are_in_no_batch_with_scores_or_without() {
    let file = COLUMNS.to_owned()
        + "3,out,anneliese,2026-11-20T09:30:00Z,nothing to see\n\
           98,out,anneliese,2026-11-20T09:30:00Z,wrong label\n";
    let mut spec = asked(&json!({"path": "said.csv", "leaveOut": true}));
    let scored = Local::new(&spec);
    fs::write(scored.path("data/said.csv"), &file).unwrap();
    scored.succeeds();
    let dataset = scored.status()["dataset"].clone();
    assert_eq!((&dataset["rows"], &dataset["filteredRows"]), (&json!(98), &json!(2)));
    assert_eq!(scored.rows(), scored.expected());
    let left = |local: &Local| rows_of(&local.rows()).is_disjoint(&BTreeSet::from([3, 98]));
    assert!(left(&scored));

    spec["scoring"]["backoffLimit"] = json!(0);
    spec["scoring"]["scorers"] = json!([{"name": "given", "container": {
        "image": "none", "command": ["python3", "-c", "raise SystemExit(1)"],
    }}]);
    let uniform = Local::new(&spec);
    fs::write(uniform.path("data/said.csv"), &file).unwrap();
    uniform.succeeds();
    assert_eq!(uniform.status()["scores"]["source"], "Uniform");
    assert!(left(&uniform));

    fs::write(uniform.path("data/said.csv"), file.replace(",out,", ",off,")).unwrap();
    let failed = uniform.command().arg("--again").output().unwrap();
    assert!(!failed.status.success());
    assert_eq!(
        uniform.status()["stage"],
        "Failed",
        "nobody trains on what was to be left out"
    );
}

/// What one round of the loop is: rows in doubt are listed, looked at, and ranked.
#[test]
fn a_worklist_is_filled_in_and_used() {
    let local = Local::new(&json!({"scoring": {"scorers": [
        {"name": "given", "column": {"column": "difficulty"}},
        {"name": "digits", "length": {"column": "difficulty", "unit": "Characters"}},
    ]}}));
    local.succeeds();
    let store = local.path("run/volumes/small-store");
    let key = local.status()["scores"]["key"].as_str().unwrap().to_owned();
    let index = store.join("index").join(&key).join("index.arrow");
    let list = |more: &[&str]| {
        let mut command = Command::new(BINARY);
        command
            .args(["worklist", "--count", "2", "--index"])
            .arg(&index)
            .args(more);
        command.current_dir(local.path(""));
        command.output().unwrap()
    };
    let near = list(&["--near", "0.25", "--ids", "difficulty", "--data", "data/data.csv"]);
    // Row n is the n-th of a hundred, by the mean of two orders that agree but for ties.
    assert_eq!(
        words(&near),
        "row,difficulty,rank,who,when,reason,place,distance\n24,24,,,,,0.25,0\n23,23,,,,,0.24,0.010000000000000009\n"
    );
    let scores = store.join("scores").join(&key);
    let disputed = list(&["--scores", scores.to_str().unwrap()]);
    let said = words(&disputed);
    assert!(
        said.starts_with("row,rank,who,when,reason,place,disagreement\n"),
        "{said}"
    );
    // 90 numbers of two digits are equally long, their mean rank is 0.555: those at the ends are most in dispute.
    let rows: BTreeSet<&str> = said
        .lines()
        .skip(1)
        .map(|line| line.split(',').next().unwrap())
        .collect();
    assert_eq!(rows, BTreeSet::from(["10", "99"]));

    let filled = words(&near)
        .lines()
        .map(|line| line.replace(",,,,,", ",1,anneliese,2026-11-20T09:30:00Z,hard to read,") + "\n")
        .collect::<String>();
    fs::write(local.path("data/said.csv"), filled).unwrap();
    local.write(&asked(&json!({"path": "said.csv", "idColumn": "difficulty"})));
    let again = local.command().arg("--again").output().unwrap();
    assert!(again.status.success(), "{}", words(&again));
    let easy: BTreeSet<u64> = (0..27).filter(|row| ![23, 24].contains(row)).collect();
    assert_eq!(rows_of(&local.rows()[..STEPS as usize]), easy);

    let said = words(&list(&["--near", "1.5"]));
    assert!(said.contains("it must be a number from 0 to 1"), "{said}");
}
