//! From a data set to an index.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use curriculum_operator::index::map::ScoreIndex;
use curriculum_operator::index::summary::IndexSummary;
use curriculum_operator::scoring::report::{EXIT_IO, Report};
use curriculum_operator::scoring::task::{ScorerKind, Unit};

use crate::harness::{BINARY, GOOD_PROGRAM, Pods, assert_exit};

#[test]
fn a_data_set_becomes_an_index() {
    let text = || "text".to_owned();
    let pods = Pods::new(&[
        (
            "loss",
            ScorerKind::Column {
                column: "loss".to_owned(),
            },
        ),
        (
            "length",
            ScorerKind::Length {
                column: text(),
                unit: Unit::Words,
            },
        ),
        ("rarity", ScorerKind::Rarity { column: text() }),
        ("program", ScorerKind::Container),
    ]);
    assert_exit(&pods.run("inspect", None, &[]), 0);
    let Report::Inspected(inspection) = pods.report() else {
        panic!("{}", pods.log())
    };
    assert_eq!(
        (inspection.rows, inspection.group_rows, inspection.found),
        (10, vec![5, 5], None)
    );
    for shard in 0..2 {
        assert_exit(&pods.run("count", Some(shard), &[]), 0);
    }
    for shard in 0..2 {
        assert_exit(&pods.run("score", None, &["--shard", &shard.to_string()]), 0);
        assert_exit(&pods.exec(shard, GOOD_PROGRAM), 0);
        assert_eq!(pods.log(), "", "only inspect and index report success");
    }
    assert_exit(&pods.run("index", None, &[]), 0);
    let Report::Indexed(summary) = pods.report() else {
        panic!("{}", pods.log())
    };
    assert_eq!((summary.rows, summary.scored_rows), (10, 10));
    check_index(&pods, &summary);

    assert_exit(&pods.run("inspect", None, &[]), 0);
    let Report::Inspected(inspection) = pods.report() else {
        panic!("{}", pods.log())
    };
    let found = inspection.found.unwrap();
    assert_eq!((found.exact, found.summary), (true, summary));
    assert!(pods.scratch().is_empty());
}

/// Loss and the program's scores put the last row first; the word of rows 0, 3, 6 and 9 is the most frequent one.
fn check_index(pods: &Pods, summary: &IndexSummary) {
    let path = pods.path("store/index").join(&pods.task.key).join("index.arrow");
    let index = ScoreIndex::open(&path, Some(&summary.digest)).unwrap();
    assert_eq!(index.rows()[0], 9);
    assert_eq!(index.group_names(), ["0", "1"]);
    assert_eq!(index.group_rows_order(1)[0], 9);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
}

#[test]
fn no_sample_is_in_the_log() {
    let pods = Pods::new(&[(
        "rarity",
        ScorerKind::Rarity {
            column: "text".to_owned(),
        },
    )]);
    let mut text = String::new();
    for (name, shard) in [
        ("inspect", None),
        ("count", Some(0)),
        ("count", Some(1)),
        ("score", Some(0)),
        ("score", Some(1)),
        ("index", None),
    ] {
        let output = pods.run(name, shard, &[]);
        assert_exit(&output, 0);
        text += &String::from_utf8(output.stderr).unwrap();
    }
    assert!(text.contains("indexed") && !text.contains("word"), "{text}");
}

#[test]
fn the_binary_copies_itself() {
    let folder = tempfile::tempdir().unwrap();
    let install = |dir: &Path| Command::new(BINARY).arg("install-self").arg(dir).output().unwrap();
    let tools = folder.path().join("tools");
    for _ in 0..2 {
        assert_exit(&install(&tools), 0);
    }
    let copy = tools.join("curriculum");
    assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o755);
    assert_eq!(fs::read_dir(&tools).unwrap().count(), 1);
    let version = Command::new(copy).arg("--version").output().unwrap();
    assert!(String::from_utf8(version.stdout).unwrap().starts_with("curriculum "));
    assert_exit(&install(Path::new("/proc/none")), EXIT_IO);
}
