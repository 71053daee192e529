//! `curriculum drift` on two score indexes.

use curriculum_operator::curriculum::rank::average_ranks;
use curriculum_operator::index::file::{self, IndexContent};
use curriculum_operator::index::order::Order;
use serde_json::Value;

use crate::bench::Bench;

/// An index of these scores, row by row.
fn index(bench: &Bench, name: &str, scores: &[f64]) {
    let mut rows: Vec<u64> = (0..scores.len() as u64).collect();
    rows.sort_by(|a, b| scores[*a as usize].total_cmp(&scores[*b as usize]));
    let sorted: Vec<f64> = rows.iter().map(|row| scores[*row as usize]).collect();
    let content = IndexContent {
        key: "k".into(),
        group_rows: vec![scores.len() as u64],
        group_names: vec![String::new()],
        grouped: None,
        order: Order {
            ranks: average_ranks(&sorted).collect(),
            scored: rows.len(),
            rows,
            scores: sorted,
        },
        lengths: None,
    };
    file::write(&bench.path(name), content).unwrap();
}

fn compare(bench: &Bench, arguments: &str) -> (Option<i32>, Value) {
    let output = bench.run(&format!("drift {arguments} --json"));
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    (
        output.status.code(),
        serde_json::from_str(&text).unwrap_or(errors.into()),
    )
}

#[test]
fn drift_is_told_by_the_exit_code() {
    let bench = Bench::new();
    let scores: Vec<f64> = (0..1000).map(|row| f64::from(row * 37 % 1000)).collect();
    index(&bench, "before", &scores);
    index(&bench, "same", &scores);
    index(
        &bench,
        "harder",
        &scores.iter().map(|score| score + 500.0).collect::<Vec<_>>(),
    );
    index(
        &bench,
        "reversed",
        &scores.iter().map(|score| 999.0 - score).collect::<Vec<_>>(),
    );
    index(&bench, "few", &[50.0, 250.0, 450.0, 650.0, 850.0]);

    let (code, said) = compare(&bench, "before same --spearman 0.9");
    assert_eq!(
        (code, &said["psi"], &said["drifted"]),
        (Some(0), &0.0.into(), &false.into())
    );
    assert!((said["spearman"].as_f64().unwrap() - 1.0).abs() < 1e-12, "{said}");
    let (code, said) = compare(&bench, "before harder");
    assert_eq!(code, Some(3), "{said}");
    assert!(
        said["psi"].as_f64().unwrap() > 1.0 && said["spearman"].as_f64().unwrap() > 0.999,
        "{said}"
    );
    // The same distribution, in another order.
    let (code, said) = compare(&bench, "before reversed");
    assert_eq!((code, &said["psi"]), (Some(0), &0.0.into()), "{said}");
    assert_eq!(compare(&bench, "before reversed --spearman 0.9").0, Some(3));
    // Five rows leave five bins empty by chance.
    let (code, said) = compare(&bench, "before few");
    assert!(said["psi"].as_f64().unwrap() > 0.25, "{said}");
    assert_eq!((code, &said["drifted"]), (Some(0), &false.into()), "{said}");
    assert_eq!(said["spearman"], Value::Null);
    let text = bench.text("drift before same");
    assert!(
        text.lines().all(|line| line.chars().count() <= 80) && text.ends_with("no drift\n"),
        "{text}"
    );
    assert!(
        bench
            .error("drift before nothing")
            .contains("nothing: cannot open the score index")
    );
}
