//! What people say of rows stands above what scorers say, and is told in counts only.

use std::fs;
use std::sync::Arc;

use arrow_array::{Float64Array, Int64Array, StringArray};
use proptest::prelude::*;

use super::*;
use crate::api::conditions::Reason;
use crate::index::summary::Overrides as Told;
use crate::scoring::report::{EXIT_DATASET, EXIT_SCORES};
use crate::scoring::task::{Join, Overrides};

const HEADER: &str = "row,rank,who,when,reason\n";

fn overrides(path: &str, join: Join) -> Overrides {
    Overrides {
        path: path.to_owned(),
        format: Format::of_name(path).unwrap().0,
        delimiter: ',',
        join,
        leave_out: false,
    }
}

fn by_row() -> Join {
    Join::Row {
        column: "row".to_owned(),
    }
}

fn by_id() -> Join {
    Join::Id {
        column: "key".to_owned(),
        dataset_column: "id".to_owned(),
    }
}

/// Rows 0 to 9 with the scores 0 to 9 and the ids a to j, and a file of overrides.
fn place(file: &str, content: &str, join: Join) -> Place {
    let rows: String = ('a'..='j')
        .zip(0..)
        .map(|(id, row)| format!("{id},{row},{}\n", row % 2))
        .collect();
    let data = format!("id,score,group\n{rows}");
    let mut place = Place::new("csv", data.as_bytes(), vec![column("score")]);
    fs::write(place.root().join(file), content).unwrap();
    place.task.overrides = Some(overrides(file, join));
    place
}

/// Lines of row, rank and minute, all by one person.
fn lines(lines: &[(&str, &str, u32)]) -> String {
    let lines = lines
        .iter()
        .map(|(row, rank, minute)| format!("{row},{rank},ann,2026-11-20T09:{minute:02}:00Z,looked at it\n"));
    HEADER.to_owned() + &lines.collect::<String>()
}

fn told(place: &Place) -> Told {
    place.run().unwrap().0.overrides.unwrap()
}

#[test]
fn people_say_where_a_row_stands_and_scorers_where_the_others_do() {
    let content = "row,rank,who,when,reason\n\
                   9,0.1,ann,2026-11-20T09:30:00Z,it is a plain one\n\
                   0,1,bob,2026-11-21T10:00:00+02:00,\"wrong label, hard to see\"\n";
    let mut place = place("o.csv", content, by_row());
    for shards in [1, 3] {
        place.task.shards = shards;
        let (summary, index) = place.run().unwrap();
        // Of the others, 1 to 8, the quantile 0.1 is 1.7; 1 is as hard as the hardest, 8, and which of the two is first is chance.
        let mut last = index.rows()[8..].to_vec();
        last.sort_unstable();
        assert_eq!(
            (&index.rows()[..8], &last[..]),
            (&[1, 9, 2, 3, 4, 5, 6, 7][..], &[0, 8][..])
        );
        assert_eq!((summary.rows, summary.scored_rows), (10, 10));
        let told = summary.overrides.unwrap();
        assert_eq!((told.rows, told.people, told.superseded, told.unknown), (2, 2, 0, 0));
        assert_eq!(told.latest.unwrap().to_string(), "2026-11-21T08:00:00Z");
        assert!(told.digest.starts_with("sha256:"));
    }
}

#[test]
fn a_file_without_lines_changes_nothing() {
    let nobody = place("o.csv", HEADER, by_row());
    let (summary, index) = nobody.run().unwrap();
    assert_eq!(index.rows(), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    let mut unasked = place("o.csv", HEADER, by_row());
    unasked.task.overrides = None;
    let (without, _) = unasked.run().unwrap();
    assert_eq!(summary.digest, without.digest);
    assert_eq!(without.overrides, None);
    let told = summary.overrides.unwrap();
    assert_eq!((told.rows, told.people, told.latest), (0, 0, None));
}

#[test]
fn lines_are_joined_by_row_or_id_in_any_format() {
    let said = r#""who":7,"when":"2026-11-20T09:30:00.5Z","reason":"x""#;
    let jsonl = format!("{{\"key\":\"j\",\"rank\":0,{said}}}\n\n{{\"key\":\"other\",\"rank\":0.5,{said}}}\n");
    let told_of = |place: &Place| {
        let (summary, index) = place.run().unwrap();
        let mut first = index.rows()[..2].to_vec();
        first.sort_unstable();
        assert_eq!(first, [0, 9]);
        summary.overrides.unwrap()
    };
    let mut by_ids = place("o.jsonl", &jsonl, by_id());
    let told = told_of(&by_ids);
    assert_eq!((told.rows, told.people, told.unknown), (1, 1, 1));
    assert_eq!(told.latest.unwrap().to_string(), "2026-11-20T09:30:00Z");
    by_ids.task.group_column = Some("group".to_owned());
    assert_eq!(told_of(&by_ids).rows, 1);

    let text = |text: &str| Arc::new(StringArray::from(vec![text])) as ArrayRef;
    let columns = vec![
        ("row", Arc::new(Int64Array::from(vec![9])) as ArrayRef),
        ("rank", Arc::new(Float64Array::from(vec![0.0])) as ArrayRef),
        ("who", text("ann")),
        ("when", text("2026-11-20T09:30:00Z")),
        ("reason", text("x")),
    ];
    let place = place("o.parquet", "", by_row());
    fs::write(place.root().join("o.parquet"), parquet_of(columns)).unwrap();
    assert_eq!(told_of(&place).rows, 1);
}

#[test]
fn an_id_that_several_rows_have_means_them_all() {
    let mut place = place(
        "o.csv",
        "key,rank,who,when,reason\n1,0,ann,2026-11-20T09:30:00Z,x\n",
        by_id(),
    );
    let Some(Overrides {
        join: Join::Id { dataset_column, .. },
        ..
    }) = &mut place.task.overrides
    else {
        panic!()
    };
    "group".clone_into(dataset_column);
    let (summary, index) = place.run().unwrap();
    assert_eq!(summary.overrides.unwrap().rows, 5);
    let last = &index.rows()[6..];
    assert_eq!(last, [2, 4, 6, 8], "the odd ones are as easy as row 0");
}

#[test]
fn rows_that_are_not_trained_on_are_not_counted_and_do_not_matter() {
    let every: Vec<(String, String)> = (0..10).map(|row| (row.to_string(), "0.5".to_owned())).collect();
    let every: Vec<(&str, &str, u32)> = every
        .iter()
        .zip(0..)
        .map(|((row, rank), minute)| (row.as_str(), rank.as_str(), minute))
        .collect();
    let mut place = place("o.csv", &lines(&every), by_row());
    place.task.split = Some(crate::scoring::task::Split {
        held_out: "0.2".to_owned(),
        seed: 0,
    });
    place.task.filter = vec![crate::scoring::task::Condition {
        column: "score".to_owned(),
        test: crate::scoring::task::Test::Range {
            min: Some("3".to_owned()),
            max: None,
        },
    }];
    let inspection = place.inspect().unwrap();
    let (summary, index) = place.run().unwrap();
    let told = summary.overrides.unwrap();
    assert_eq!((told.rows, summary.rows), (inspection.rows, inspection.rows));
    assert!(inspection.rows < 8);
    assert!(index.rows()[..told.rows as usize].iter().all(|row| *row >= 3));
}

#[test]
fn a_row_that_people_ranked_has_a_score() {
    let mut place = place("o.csv", &lines(&[("3", "0.25", 0)]), by_row());
    fs::write(
        place.root().join("data.csv"),
        "id,score,group\na,1,0\nb,2,0\nc,3,0\nd,,0\n",
    )
    .unwrap();
    let (summary, index) = place.run().unwrap();
    assert_eq!((summary.scored_rows, index.rows()), (4, &[0, 3, 1, 2][..]));
    place.task.overrides = None;
    assert!(place.run().is_err(), "without it the coverage is too low");
}

#[test]
fn lengths_are_those_that_the_scorer_told() {
    let mut place = place("o.csv", &lines(&[("9", "0", 0)]), by_row());
    place.task.length_scorer = Some("column".to_owned());
    let lengths = place.run().unwrap().0.lengths.unwrap();
    assert_eq!(lengths.longest, 9);
}

#[test]
fn faults_are_counted_with_their_first_line_and_nothing_of_what_they_hold() {
    let ann = "ann,2026-11-20T09:30:00Z,x";
    let long = format!("0,0.5,{},2026-11-20T09:30:00Z,x\n", "n".repeat(257));
    let cases = [
        (
            format!("0,1.5,{ann}\n1,,{ann}\n2,easy,{ann}\n3,nan,{ann}\n4,0.5,{ann}\n"),
            "of which 4 lines (the first is 2) have no `rank` from 0 to 1",
        ),
        (
            format!("4,0.5,{ann}\n,0.5,{ann}\n1.5,0.5,{ann}\n"),
            "of which 2 lines (the first is 3) have no usable value in column `row`",
        ),
        (
            format!("4,0.5,{ann}\n10,0.5,{ann}\n11,0.5,{ann}\n"),
            "of which 2 lines (the first is 3) name a row that the data set does not have: it has 10, counted from 0",
        ),
        (
            "0,0.5,  ,2026-11-20T09:30:00Z,x\n".to_owned(),
            "of which 1 lines (the first is 2) have no `who` of 1 to 256 characters",
        ),
        (
            long,
            "of which 1 lines (the first is 2) have no `who` of 1 to 256 characters",
        ),
        (
            "0,0.5,ann,yesterday,x\n0,0.5,ann,2026-11-20,x\n0,0.5,ann,2026-11-20T09:30:00,\n".to_owned(),
            "of which 3 lines (the first is 2) have no `when` as RFC 3339, such as 2026-11-20T09:30:00Z, 1 lines (the first is 4) \
             have no `reason` of 1 to 2000 characters",
        ),
        (
            format!("0,0.5,{ann}\n0,0.5\n"),
            "of which 1 lines (the first is 3) cannot be read",
        ),
        (format!("0,out,{ann}\n"), "have no `rank` from 0 to 1"),
    ];
    for (content, words) in cases {
        let place = place("o.csv", &(HEADER.to_owned() + &content), by_row());
        // The run goes on: what becomes of it is for `onFailure` to say.
        place.inspect().unwrap();
        let error = place.score().unwrap_err();
        assert_eq!(
            (error.exit_code(), error.reason(Reason::ScorerFailed)),
            (EXIT_SCORES, Reason::ScoresInvalid)
        );
        let said = error.to_string();
        assert!(said.starts_with("`scoring.overrides.path` is `o.csv`, "), "{said}");
        assert!(said.ends_with(words), "{words}: {said}");
        assert_eq!(place.index().unwrap_err().to_string(), said);
    }
    let missing = place("o.csv", "row,rank,who,when\n0,0.5,ann,2026-11-20T09:30:00Z\n", by_row());
    missing.inspect().unwrap();
    let said = missing.score().unwrap_err().to_string();
    assert!(
        said.contains("which lacks a column: `scoring.overrides` names column `reason`"),
        "{said}"
    );
    fs::remove_file(missing.root().join("o.csv")).unwrap();
    missing.inspect().unwrap();
    let said = missing.score().unwrap_err().to_string();
    assert!(said.contains("which does not exist"), "{said}");
}

#[test]
fn ids_of_a_column_that_is_not_there_are_the_specs_fault() {
    let mut place = place("o.csv", "key,rank,who,when,reason\n", by_id());
    let Some(Overrides {
        join: Join::Id { dataset_column, .. },
        ..
    }) = &mut place.task.overrides
    else {
        panic!()
    };
    "uuid".clone_into(dataset_column);
    let error = place.inspect().unwrap_err();
    assert_eq!(error.exit_code(), EXIT_DATASET);
    let said = error.to_string();
    assert!(
        said.contains("`scoring.overrides` names column `uuid`, which does not exist"),
        "{said}"
    );
}

#[test]
fn another_file_gives_another_index() {
    let place = place("o.csv", &lines(&[("9", "0", 0)]), by_row());
    let before = told(&place);
    assert!(place.inspect().unwrap().found.is_some_and(|found| found.exact));
    fs::write(place.root().join("o.csv"), lines(&[("9", "0.5", 0)])).unwrap();
    let inspection = place.inspect().unwrap();
    let found = inspection.found.unwrap();
    assert!(!found.exact, "it may be the last good one");
    assert_eq!(found.summary.overrides.unwrap(), before);
    assert_eq!(
        inspection.stale_index.as_deref(),
        Some("`o.csv`, which scoring reads, has changed")
    );
    assert_ne!(told(&place).digest, before.digest);
}

#[test]
fn rows_that_people_leave_out_are_left_out_as_by_a_filter() {
    let mut place = place(
        "o.csv",
        &lines(&[("9", "0", 0), ("4", "out", 1), ("5", "out", 2)]),
        by_row(),
    );
    place.task.overrides.as_mut().unwrap().leave_out = true;
    let inspection = place.inspect().unwrap();
    assert_eq!((inspection.rows, inspection.filtered.unwrap().rows), (8, 2));
    let (summary, index) = place.run().unwrap();
    assert_eq!((summary.rows, summary.scored_rows), (8, 8));
    let mut behind = index.rows()[8..].to_vec();
    behind.sort_unstable();
    assert_eq!(behind, [4, 5]);
    let told = summary.overrides.unwrap();
    assert_eq!((told.rows, told.left_out), (1, 2));
    assert!(place.inspect().unwrap().found.is_some_and(|found| found.exact));
    // Somebody thinks better of it.
    let all = lines(&[
        ("9", "0", 0),
        ("4", "out", 1),
        ("5", "out", 2),
        ("4", "0.5", 3),
        ("5", "1", 4),
    ]);
    fs::write(place.root().join("o.csv"), all).unwrap();
    let inspection = place.inspect().unwrap();
    assert_eq!((inspection.rows, inspection.filtered.unwrap().rows), (10, 0));
    assert!(inspection.found.is_none(), "the index before is of other rows");
}

#[test]
fn what_may_leave_rows_out_must_be_usable_before_anything_is_trained() {
    let mut place = place("o.csv", &lines(&[("9", "off", 0)]), by_row());
    place.task.overrides.as_mut().unwrap().leave_out = true;
    let error = place.inspect().unwrap_err();
    assert_eq!(
        (error.exit_code(), error.reason(Reason::InspectionFailed)),
        (EXIT_DATASET, Reason::DatasetUnreadable)
    );
    let said = error.to_string();
    assert!(
        said.ends_with("of which 1 lines (the first is 2) have no `rank` from 0 to 1, nor `out`"),
        "{said}"
    );
    let every: Vec<String> = (0..10).map(|row| row.to_string()).collect();
    let every: Vec<(&str, &str, u32)> = every.iter().map(|row| (row.as_str(), "out", 0)).collect();
    fs::write(place.root().join("o.csv"), lines(&every)).unwrap();
    let said = place.inspect().unwrap_err().to_string();
    assert!(said.starts_with("none of 10 rows is left to train on"), "{said}");
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 50, ..ProptestConfig::with_cases(16) })]

    #[test]
    fn the_last_line_about_a_row_counts_and_of_one_time_the_later_in_the_file(
        said in prop::collection::vec((0..10_u64, 0..=4_u32, 0..3_u32), 1..30),
    ) {
        let texts: Vec<(String, String, u32)> = said
            .iter()
            .map(|(row, rank, minute)| (row.to_string(), (f64::from(*rank) / 4.0).to_string(), *minute))
            .collect();
        let texts: Vec<(&str, &str, u32)> = texts.iter().map(|(row, rank, at)| (row.as_str(), rank.as_str(), *at)).collect();
        let all = place("o.csv", &lines(&texts), by_row());
        // The sort is stable.
        let mut last = said.clone();
        last.sort_by_key(|(_, _, minute)| *minute);
        let last: std::collections::BTreeMap<u64, u32> = last.into_iter().map(|(row, rank, _)| (row, rank)).collect();
        let texts: Vec<(String, String)> = last.iter().map(|(row, rank)| (row.to_string(), (f64::from(*rank) / 4.0).to_string())).collect();
        let texts: Vec<(&str, &str, u32)> = texts.iter().map(|(row, rank)| (row.as_str(), rank.as_str(), 0)).collect();
        let only = place("o.csv", &lines(&texts), by_row());
        let ((one, _), (other, _)) = (all.run().unwrap(), only.run().unwrap());
        prop_assert_eq!(one.digest, other.digest);
        let told = one.overrides.unwrap();
        prop_assert_eq!((told.rows, told.superseded), (last.len() as u64, (said.len() - last.len()) as u64));
        prop_assert_eq!(other.overrides.unwrap().superseded, 0);
    }
}

#[test]
fn the_example_of_the_guide_is_as_it_says() {
    let guide = include_str!("../../../docs/overrides.md");
    let (_, file) = guide.split_once("```csv\n").unwrap();
    let (file, _) = file.split_once("```").unwrap();
    let (summary, index) = place("o.csv", file, by_row()).run().unwrap();
    assert_eq!(index.rows()[..8], [1, 9, 2, 3, 5, 6, 4, 7]);
    let scores: Vec<f64> = index.scores().to_vec();
    assert_eq!(scores, [1.0, 1.6, 2.0, 3.0, 5.0, 6.0, 6.5, 7.0, 8.0, 8.0]);
    let told = summary.overrides.unwrap();
    assert_eq!((told.rows, told.people, told.superseded), (3, 2, 1));
    assert_eq!(told.latest.unwrap().to_string(), "2026-11-21T08:00:00Z");
}

#[test]
fn the_ranks_reach_the_pods_of_a_store_that_is_no_volume() {
    let mut place = place("o.csv", &lines(&[("9", "0", 0), ("4", "out", 1)]), by_row());
    place.task.overrides.as_mut().unwrap().leave_out = true;
    let (summary, _) = place.run().unwrap();
    let pods = crate::store::Pods::new();
    let store = |name: &str| Store::new(pods.pod(name));
    inspect(&place.task, &place.source(), &store("inspect")).unwrap();
    for shard in place.shards() {
        score_shard(&place.task, &place.source(), &store(&shard.stem()), shard).unwrap();
    }
    let indexed = build_index(&place.task, &store("index"), jiff::Timestamp::UNIX_EPOCH).unwrap();
    assert_eq!(indexed, summary);
}
