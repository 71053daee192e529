//! How long a simulation takes: to start, and to draw 10⁵ steps of 64 of 10⁶ rows.

#![allow(missing_docs, clippy::expect_used, reason = "a benchmark")]

use std::fs;
use std::process::Command;

use criterion::{Criterion, criterion_group, criterion_main};

const CURRICULUM: &str = r#"
batchSize: 64
uniformFloor: "0.05"
phases:
- {name: easy, pool: {fraction: "0.2"}, duration: {steps: 20000}}
- {name: grow, pool: {pacing: {function: Linear, from: "0.2"}}, replay: "0.1", duration: {steps: 60000}}
- {name: all, pool: {fraction: "1"}, duration: {steps: 20000}}
"#;

fn simulate(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let file = folder.path().join("curriculum.yaml");
    fs::write(&file, CURRICULUM).expect("a file");
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_curriculum"));
        command.arg("simulate").arg("-f").arg(&file).args(arguments);
        let output = command.output().expect("the command runs");
        assert!(output.status.success());
    };
    let mut group = c.benchmark_group("simulate");
    group.sample_size(10);
    group.bench_function("start", |b| b.iter(|| run(&["--rows", "1000", "--steps", "..1"])));
    let large = ["--rows", "1000000", "-o", "json", "--every", "100"];
    group.bench_function("1e6 rows, 1e5 steps", |b| b.iter(|| run(&large)));
    group.finish();
}

criterion_group!(benches, simulate);
criterion_main!(benches);
