//! Schedules against values that were published with them or come from the original programs.

use serde_json::Value;

use crate::bench::Bench;

/// The records of a file of known answers, by column.
fn known(text: &str) -> Vec<Vec<&str>> {
    text.lines().skip(2).map(|line| line.split(',').collect()).collect()
}

/// Shown steps of one phase over `rows` rows, drawn one at a time so that no pool is raised.
fn simulate(pacing: &str, rows: u64, steps: u64) -> Vec<Value> {
    let bench = Bench::new();
    bench.write(
        "one.yaml",
        &format!("batchSize: 1\nphases:\n- name: only\n  pool: {{pacing: {pacing}}}\n  duration: {{steps: {steps}}}\n"),
    );
    bench.lines(&format!("simulate -f one.yaml --rows {rows} -o json"))
}

fn pool(line: &Value) -> u64 {
    line["pool"].as_u64().unwrap()
}

/// Published sizes are truncated where pools here are rounded up; all rows are in from step a·T on.
#[test]
fn wu_dyer_neyshabur_2021() {
    let known = known(include_str!("../known-answers/wu.csv"));
    assert_eq!(known.len(), 72);
    for of_family in known.chunk_by(|a, b| a[0] == b[0]) {
        let function = match of_family[0][0] {
            "linear" => "Linear",
            "quad" => "Quadratic",
            "root" => "Root",
            "exp" => "Exponential",
            "log" => "Logarithmic",
            "step" => "Step",
            other => panic!("{other}"),
        };
        let (a, b, t) = (of_family[0][1], of_family[0][2], of_family[0][3]);
        let (rows, total): (u64, u64) = (of_family[0][4].parse().unwrap(), t.parse().unwrap());
        let end = (a.parse::<f64>().unwrap() * total as f64).round() as u64;
        let lines = simulate(
            &format!("{{function: {function}, from: '{b}', steps: {end}}}"),
            rows,
            total + 1,
        );
        for record in of_family {
            let (step, size): (u64, u64) = (record[5].parse().unwrap(), record[6].parse().unwrap());
            let ours = pool(&lines[step as usize]);
            assert!(ours.abs_diff(size) <= 1, "{record:?}: {ours}");
        }
        for line in &lines[end as usize..] {
            assert_eq!(pool(line), rows, "{function}: {line}");
        }
    }
}

#[test]
fn hacohen_weinshall_2019() {
    let known = known(include_str!("../known-answers/hacohen.csv"));
    assert_eq!(known.len(), 60);
    let [rows, interval, factor, from] = [0, 1, 2, 3].map(|column| known[0][column]);
    let pacing = format!("{{function: FixedExponential, from: '{from}', factor: '{factor}', interval: {interval}}}");
    let steps = known
        .iter()
        .map(|record| record[4].parse::<u64>().unwrap())
        .max()
        .unwrap()
        + 1;
    let lines = simulate(&pacing, rows.parse().unwrap(), steps);
    for record in &known {
        let step: usize = record[4].parse().unwrap();
        assert_eq!(pool(&lines[step]).to_string(), record[5], "{record:?}");
    }
}

#[test]
fn platanios_2019() {
    let known = known(include_str!("../known-answers/competence.csv"));
    assert_eq!(known.len(), 120);
    for of_one in known.chunk_by(|a, b| a[..3] == b[..3]) {
        let [c0, t, p] = [0, 1, 2].map(|column| of_one[0][column]);
        let pacing = format!("{{function: Competence, from: '{c0}', degree: '{p}', steps: {t}}}");
        let steps = of_one
            .iter()
            .map(|record| record[3].parse::<u64>().unwrap())
            .max()
            .unwrap()
            + 1;
        let lines = simulate(&pacing, 10_000, steps);
        for record in of_one {
            let (step, competence): (usize, f64) = (record[3].parse().unwrap(), record[4].parse().unwrap());
            let line = &lines[step];
            assert!(
                (line["fraction"].as_f64().unwrap() - competence).abs() < 1e-9,
                "{record:?}: {line}"
            );
            // The fraction of rows whose rank is at most c(t).
            assert!(
                (pool(line) as f64 - competence * 10_000.0).abs() <= 1.0,
                "{record:?}: {line}"
            );
        }
    }
}

/// DeepSpeed's step t + 1 is step t here. Each configuration is the file, as it is.
#[test]
fn deepspeed() {
    let configs: serde_json::Map<String, Value> =
        serde_json::from_str(include_str!("../known-answers/deepspeed.json")).unwrap();
    let known = known(include_str!("../known-answers/deepspeed.csv"));
    let mut checked = 0;
    for (name, config) in configs {
        let of_config: Vec<&Vec<&str>> = known.iter().filter(|record| record[0] == name).collect();
        // Few enough to be drawn in a moment.
        let of_config = of_config
            .iter()
            .filter(|record| record[1].parse::<u64>().unwrap() <= 40_000);
        let bench = Bench::new();
        bench.write("config.json", &config.to_string());
        let steps = of_config
            .clone()
            .map(|record| record[1].parse::<u64>().unwrap())
            .max()
            .unwrap();
        let lines = bench.lines(&format!(
            "simulate -f config.json --rows 100 --steps 0..{steps} -o json"
        ));
        for record in of_config {
            let step: usize = record[1].parse().unwrap();
            assert_eq!(lines[step - 1]["difficulty"].to_string(), record[2], "{record:?}");
            checked += 1;
        }
    }
    assert!(checked > 150, "{checked}");
}
