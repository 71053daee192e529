//! Phases that end by what a trainer reports.

use serde_json::json;

use crate::bench::Bench;

const FILE: &str = r#"
batchSize: 8
phases:
- {name: easy, pool: {fraction: "0.2"}, duration: {steps: 100}, advance: {allOf: [{metric: val, atLeast: "0.9"}], minimumSteps: 10}}
- name: all
  pool: {fraction: "1"}
  duration: {steps: 50}
  regress: {to: easy, anyOf: [{metric: val, atMost: "0.5"}]}
"#;

fn reports(values: &[(u64, f64)]) -> String {
    let line = |&(step, val): &(u64, f64)| json!({"step": step, "metrics": {"val": val}}).to_string();
    values.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn reports_play_the_transitions() {
    let bench = Bench::new();
    bench.write("adaptive.yaml", FILE);
    bench.write(
        "reports.jsonl",
        &reports(&[(5, 0.95), (20, 0.95), (30, 0.1), (45, 0.95), (60, 0.1)]),
    );
    let text = bench.text("simulate -f adaptive.yaml --rows 1000 --metrics reports.jsonl");
    let transitions = text
        .split("TRANSITIONS\n")
        .nth(1)
        .unwrap()
        .split("\n\n")
        .next()
        .unwrap();
    assert_eq!(
        transitions,
        "       21 easy → all: val is 0.95, at least 0.9\n       31 all → easy: val is 0.1, at most 0.5\n       46 easy → all: val is 0.95, at least 0.9"
    );
    let lines = bench.lines("simulate -f adaptive.yaml --rows 1000 --metrics reports.jsonl -o json");
    let phases: Vec<&str> = lines.iter().map(|line| line["phase"].as_str().unwrap()).collect();
    let expected = [("easy", 21), ("all", 10), ("easy", 15), ("all", 50)];
    assert_eq!(phases, expected.map(|(name, steps)| vec![name; steps]).concat());
    let page = bench.text("simulate -f adaptive.yaml --rows 1000 --metrics reports.jsonl -o html");
    assert!(page.contains("<li>Step 31: all → easy, because val is 0.1, at most 0.5</li>"));
}

#[test]
fn without_reports_each_phase_lasts_as_long_as_it_may_and_says_so() {
    let bench = Bench::new();
    bench.write("adaptive.yaml", FILE);
    let text = bench.text("simulate -f adaptive.yaml --rows 1000");
    assert!(text.contains("all          150         1200"), "{text}");
    assert!(
        text.replace('\n', " ").contains("(--metrics) shows when they are left"),
        "{text}"
    );
}

#[test]
fn a_report_that_is_none_is_named_by_its_line() {
    let bench = Bench::new();
    bench.write("adaptive.yaml", FILE);
    bench.write(
        "reports.jsonl",
        &format!(
            "{}\n\n{{\"step\": 7, \"metrics\": {{\"val\": NaN}}}}\n",
            reports(&[(5, 1.0)])
        ),
    );
    let error = bench.error("simulate -f adaptive.yaml --rows 1000 --metrics reports.jsonl");
    assert!(error.contains("reports.jsonl: line 3: the body is not JSON"), "{error}");
}
