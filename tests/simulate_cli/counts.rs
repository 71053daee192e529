//! What `simulate` counts: against the rows that `sample` prints, and what it finds short.

use std::collections::HashSet;

use curriculum_operator::scoring::manifest::MANIFEST_VERSION;
use serde_json::{Value, json};

use crate::bench::Bench;

#[test]
fn a_line_has_its_keys_in_order_and_the_sampler_s_values() {
    let bench = Bench::small();
    let text = bench.text("simulate -f small.yaml --rows 1000 -o json --every 10");
    let first = text.lines().next().unwrap();
    let start = r#"{"step":0,"phase":"easy","phaseIndex":0,"pool":200,"fraction":0.2,"difficulty":null,"shares":{"own":1.0},"seen":8,"#;
    assert!(first.starts_with(start), "{first}");
    let lines = bench.lines("simulate -f small.yaml --rows 1000 -o json");
    assert_eq!(lines.len(), 25);
    for (line, step) in lines.iter().zip(0..) {
        assert_eq!(line["step"], step);
    }
    let at = |step: usize| {
        let line = &lines[step];
        json!([line["phase"], line["phaseIndex"], line["pool"], line["fraction"]])
    };
    assert_eq!(at(9), json!(["easy", 0, 200, 0.2]));
    assert_eq!(at(10), json!(["grow", 1, 200, 0.2]));
    assert_eq!(at(15), json!(["grow", 1, 400, 0.4]));
    assert_eq!(at(24), json!(["hold", 2, 600, 0.6]));
    assert_eq!(lines[12]["shares"], json!({"replay": 0.25, "own": 0.75}));
}

/// Row r of N has rank (r + 1)/N, so the rows that `sample` prints tell everything.
#[test]
fn counts_are_those_of_the_rows_served() {
    let bench = Bench::small();
    let batches: Vec<Vec<u64>> = bench
        .text("sample -f small.yaml --rows 100 --from 0 --count 25")
        .lines()
        .map(|line| line.split(' ').map(|row| row.parse().unwrap()).collect())
        .collect();
    for every in [1, 4] {
        let mut seen = HashSet::new();
        let mut window = Vec::new();
        let lines = bench.lines(&format!("simulate -f small.yaml --rows 100 -o json --every {every}"));
        let mut shown = lines.iter();
        for (step, batch) in batches.iter().enumerate() {
            seen.extend(batch.iter().copied());
            window.extend(batch.iter().copied());
            if step % every != 0 {
                continue;
            }
            let line = shown.next().unwrap();
            window.sort_unstable();
            let n = window.len();
            let quantile = |quarter: usize| (window[(n * quarter).div_ceil(4).max(1) - 1] + 1) as f64 / 100.0;
            assert_eq!(line["seen"], seen.len());
            let served = &line["served"];
            assert_eq!(served["rows"], n);
            for (key, quarter) in [("min", 0), ("q25", 1), ("median", 2), ("q75", 3), ("max", 4)] {
                assert_eq!(served[key], quantile(quarter), "{key} of {line}");
            }
            let mean = window.iter().map(|row| *row as f64 + 0.5).sum::<f64>() / n as f64 / 100.0;
            assert!((served["meanRank"].as_f64().unwrap() - mean).abs() < 1e-12, "{line}");
            window.clear();
        }
        assert!(shown.next().is_none());
    }
}

#[test]
fn steps_choose_what_is_shown_and_change_no_count() {
    let bench = Bench::small();
    let all = bench.lines("simulate -f small.yaml --rows 100 -o json");
    assert_eq!(
        bench.lines("simulate -f small.yaml --rows 100 -o json --steps 12..20"),
        all[12..20]
    );
    assert_eq!(
        bench.lines("simulate -f small.yaml --rows 100 -o json --steps 20.."),
        all[20..]
    );
    assert_eq!(
        bench.lines("simulate -f small.yaml --rows 100 -o json --steps ..3"),
        all[..3]
    );
}

#[test]
fn groups_are_counted_and_spread_evenly_over_the_ranks() {
    let bench = Bench::small();
    bench.write(
        "all.yaml",
        "batchSize: 10\nphases: [{name: all, pool: {fraction: '1'}, duration: {epochs: 1}}]\n",
    );
    let lines = bench.lines("simulate -f all.yaml --rows 100 --groups common=75,rare=25 -o json --every 9");
    assert_eq!(lines.len(), 2);
    let last = bench.text("simulate -f all.yaml --rows 100 --groups common=75,rare=25");
    assert!(last.contains("common 75.0 %, rare 25.0 %"), "{last}");
    // The easiest fifth has the groups' shares too.
    let easy =
        bench.lines("simulate -f small.yaml --rows 100 --groups common=75,rare=25 -o json --every 5 --steps ..6");
    let share = |line: &Value| line["groups"]["rare"].as_f64().unwrap();
    // The 40 rows of steps 1 to 5 are two passes over 20 rows, but for where the passes begin.
    assert!((share(&easy[1]) - 0.25).abs() <= 0.05, "{}", easy[1]);
}

#[test]
fn a_manifest_tells_rows_and_groups() {
    let bench = Bench::small();
    let manifest = json!({
        "version": MANIFEST_VERSION, "rows": 100, "source": {"bytes": 1, "edges": ""}, "groupNames": ["a", "b"],
        "groupRows": [60, 40], "files": [{"path": "a.csv", "rows": 100, "bytes": 1, "edges": ""}],
    });
    bench.write("manifest.json", &manifest.to_string());
    let from_manifest = bench.text("simulate -f small.yaml --manifest manifest.json -o json");
    assert_eq!(
        from_manifest,
        bench.text("simulate -f small.yaml --rows 100 --groups a=60,b=40 -o json")
    );
    bench.write(
        "manifest.json",
        &manifest
            .to_string()
            .replace(&format!("\"version\":{MANIFEST_VERSION}"), "\"version\":9"),
    );
    let error = bench.error("simulate -f small.yaml --manifest manifest.json");
    assert!(error.contains("its version is 9"), "{error}");
}

#[test]
fn a_table_fits_a_terminal_and_ends_with_totals_and_what_to_do_next() {
    let bench = Bench::small();
    let text = bench.text("simulate -f small.yaml --rows 1000 --groups a-rather-long-name=900,b=100");
    for line in text.lines().filter(|line| !line.starts_with("  curriculum")) {
        assert!(line.chars().count() <= 80, "{line}");
        assert_eq!(line.trim_end(), line);
    }
    for words in ["Shortages: none found.", "Next:", "-o html", "curriculum sample"] {
        assert!(text.contains(words), "{words} is not in\n{text}");
    }
    let totals = |phase: &str| {
        let line = text.lines().find(|line| line.starts_with(phase)).unwrap();
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    // 80 rows of a pool of 200 are 0.4 passes.
    assert_eq!(totals("easy "), ["easy", "10", "80", "80", "0.4", "200"]);
    assert_eq!(totals("all ")[..3], ["all", "25", "200"]);
}

/// The shortages of a curriculum over 1,000 rows.
fn shortages(curriculum: &str, more: &str) -> String {
    let bench = Bench::new();
    bench.write("c.yaml", curriculum);
    let text = bench.text(&format!("simulate -f c.yaml {more}"));
    let list = text.split_once("\nShortages:").unwrap().1;
    list.split_once("\nNext:").unwrap().0.replace("\n  ", " ")
}

fn phase(pool: &str, more: &str) -> String {
    format!("batchSize: 64\n{more}phases: [{{name: only, pool: {pool}, duration: {{steps: 100}}}}]\n")
}

#[test]
fn a_pool_that_is_raised_to_hold_a_batch_is_told() {
    let list = shortages(
        &phase("{pacing: {function: Linear, from: '0.01', steps: 99}}", ""),
        "--rows 1000",
    );
    assert!(
        list.contains("phase only: the pool is raised from 10 rows to 64 rows"),
        "{list}"
    );
    assert!(list.contains("(from step 0 to 5)"), "{list}");
    let list = shortages(&phase("{fraction: '1'}", ""), "--rows 40");
    assert!(list.contains("the data set has 40 rows and a batch 64 rows"), "{list}");
    let list = shortages(&phase("{fraction: '1', window: '0.05'}", ""), "--rows 1000");
    assert!(
        list.contains("`window` '0.05' is 50 rows, less than a batch of 64"),
        "{list}"
    );
}

#[test]
fn a_schedule_that_does_not_end_is_told() {
    for (pool, words) in [
        (
            "{pacing: {function: Linear, from: '0.2', steps: 200}}",
            "needs 200 steps, but the phase has 100: it ends at 60 %, not at 100 %",
        ),
        (
            "{pacing: {function: Competence, from: '0.2', degree: '2', portion: '1.5'}}",
            "needs 150 steps",
        ),
        (
            "{pacing: {function: FixedExponential, from: '0.1', factor: '2', interval: 50}}",
            "needs 200 steps",
        ),
        (
            "{pacing: {function: VariedExponential, from: '0.1', factor: '2', boundaries: [10, 150]}}",
            "needs 151 steps",
        ),
        (
            "{pacing: {function: BabyStep, buckets: 4, steps: 200}}",
            "needs 150 steps",
        ),
        (
            "{pacing: {function: Piecewise, points: [{step: 0, fraction: '0.2'}, {step: 120, fraction: '0.5'}]}}",
            "needs 120 steps",
        ),
        (
            "{score: {from: '0.1', to: '0.9', steps: 160}}",
            "needs 160 steps, but the phase has 100: it ends at score 0.6",
        ),
    ] {
        let list = shortages(&phase(pool, ""), "--rows 1000");
        assert!(list.contains(words), "{pool}: {list}");
    }
    for pool in [
        "{pacing: {function: Linear, from: '0.2'}}",
        "{pacing: {function: Root, from: '0.2', steps: 100}}",
        "{pacing: {function: Step, from: '0.2', steps: 50}}",
        "{pacing: {function: OnePass, buckets: 5}}",
        "{fraction: '0.3'}",
    ] {
        let list = shortages(&phase(pool, ""), "--rows 100000");
        assert_eq!(list.trim(), "none found.", "{pool}");
    }
}

#[test]
fn a_floor_and_a_minimum_below_one_row_are_told() {
    let list = shortages(&phase("{fraction: '1'}", "uniformFloor: '0.005'\n"), "--rows 100000");
    assert!(
        list.contains("`uniformFloor` '0.005' of a batch of 64 is less than one row: it gets one every 4 batches"),
        "{list}"
    );
    let limits = "balance: Group\ngroupShares: {minimum: '0.01'}\n";
    let list = shortages(
        &phase("{fraction: '1'}", limits),
        "--rows 100000 --groups a=99000,b=1000",
    );
    assert!(list.contains("`groupShares.minimum` '0.01' of a batch of 64"), "{list}");
}

#[test]
fn a_group_that_is_used_up_is_told() {
    let limits = "balance: Group\ngroupShares: {minimum: '0.5'}\n";
    let list = shortages(
        &phase("{fraction: '1'}", limits),
        "--rows 10000 --groups common=9900,rare=100",
    );
    assert!(
        list.contains("groups are used up: 'rare' 32 times over (3200 drawn, 100 rows)"),
        "{list}"
    );
    assert!(!list.contains("common"), "{list}");
    // Ten epochs are ten passes: what was asked for is no shortage.
    let epochs = phase("{fraction: '1'}", "balance: Group\n").replace("steps: 100", "epochs: 10");
    let list = shortages(&epochs, "--rows 10000 --groups common=9900,rare=100");
    assert_eq!(list.trim(), "none found.");
}
