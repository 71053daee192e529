//! Rows that a filter leaves out are served in no case, not even where that means that nothing is.

use std::collections::BTreeSet;
use std::fs;

use curriculum_operator::curriculum::filter::Filtered;
use curriculum_operator::curriculum::plan::Plan;
use curriculum_operator::index::trained;

use super::harness::Bench;

/// Of 600 rows in three groups, the hundred hardest ones are filtered out.
fn bench() -> Bench {
    let mut bench = Bench::new();
    let folder = bench.path("store/scores/abc");
    fs::create_dir_all(&folder).unwrap();
    let mut bytes = Vec::new();
    let digest = trained::write(&mut bytes, 100..600).unwrap();
    fs::write(folder.join("trained.u64"), bytes).unwrap();
    bench.plan = Plan {
        rows: 500,
        group_rows: vec![166, 167, 167],
        filtered: Some(Filtered {
            rows: 100,
            key: "abc".into(),
            digest,
        }),
        ..bench.plan.clone()
    };
    fs::write(bench.path("plan.json"), bench.plan.to_canonical_json()).unwrap();
    bench
}

/// The rows of the whole phase.
fn served(bench: &Bench, source: &str) -> BTreeSet<u64> {
    let sampler = bench.start(&[]);
    let plan = sampler.json("/v1/plan");
    assert_eq!(
        (&plan["source"], plan["rows"].as_u64(), plan["filteredRows"].as_u64()),
        (&serde_json::json!(source), Some(600), Some(100))
    );
    let bytes = sampler.take(&sampler.session(100), 100, 50);
    assert!(sampler.terminate().success());
    assert_eq!(bench.result().served_step, 150);
    let (rows, rest) = bytes.as_chunks::<8>();
    assert!(rest.is_empty());
    rows.iter().map(|row| u64::from_le_bytes(*row)).collect()
}

#[test]
fn no_row_that_is_filtered_out_is_served_with_the_index_or_without() {
    let bench = bench();
    assert!(served(&bench, "Index").into_iter().all(|row| row >= 100));
    fs::write(bench.index(), "garbage").unwrap();
    fs::remove_dir_all(bench.path("state")).unwrap();
    let uniform = served(&bench, "UniformIndexUnusable");
    assert!(uniform.iter().all(|row| *row >= 100));
    // 800 draws of 500 rows: each of them once, and some twice.
    assert_eq!(uniform.len(), 500);
}

#[test]
fn rows_that_cannot_be_known_end_the_attempt() {
    let bench = bench();
    let list = bench.path("store/scores/abc/trained.u64");
    // The index alone is enough.
    fs::rename(&list, bench.path("aside")).unwrap();
    served(&bench, "Index");
    fs::remove_file(bench.index()).unwrap();
    let refusal = || {
        let output = bench.command(&[]).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        fs::read_to_string(bench.path("termination-log")).unwrap()
    };
    let said = refusal();
    assert!(
        said.starts_with(
            "there is no score index to draw from, and which rows `dataset.filter` and `scoring.overrides` leave cannot be known"
        ),
        "{said}"
    );
    assert!(
        said.contains("scores/abc/trained.u64: ") && said.contains("No such file"),
        "{said}"
    );
    fs::write(&list, "another list").unwrap();
    assert!(refusal().contains("the rows to train on have digest sha256:"));
    // The next start of the container finds it.
    fs::rename(bench.path("aside"), &list).unwrap();
    served(&bench, "UniformIndexUnusable");
}
