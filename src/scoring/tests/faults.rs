//! Scores of programs that are wrong, and how it is said: by kind, count and shard, never by row.

use super::*;
use crate::scoring::report::EXIT_SCORES;

/// Four rows in two shards, scored by a program; `second` is what it writes for rows 2 and 3.
fn with_second_shard(extension: &str, second: &str) -> Place {
    let place = Place::new("csv", b"n\n1\n2\n3\n4\n", vec![program()]);
    place.inspect().unwrap();
    let [first, last] = [0, 1].map(|index| Shard { index, count: 2 });
    place.write_scores("program", first, "csv", "score,row\n0.5,1\n0.25,0\n");
    place.write_scores("program", last, extension, second);
    place
}

fn complaint(place: &Place) -> String {
    let error = place.index().unwrap_err();
    assert_eq!(error.exit_code(), EXIT_SCORES);
    assert!(!place.store().summary(&place.task.key).exists());
    format!("{error:?}").split('(').next().unwrap().to_owned() + ": " + &error.to_string()
}

#[test]
fn scores_of_every_format_are_read() {
    for (extension, content) in [
        ("csv", "row,score\n2,1\n3,1e3\n"),
        ("csv", "extra,row,score\nx, 2.0 ,1\ny,3,1000\n"),
        (
            "jsonl",
            "{\"row\":3,\"score\":1000}\n{\"row\":2.0,\"score\":1.0,\"x\":[]}\n",
        ),
    ] {
        let place = with_second_shard(extension, content);
        let summary = place.index().unwrap();
        let index = ScoreIndex::open(&place.store().index(&place.task.key), Some(&summary.digest)).unwrap();
        assert_eq!(index.rows(), [0, 1, 2, 3]);
        assert_eq!(index.scores(), [0.25, 0.5, 1.0, 1000.0]);
    }
}

#[test]
fn unusable_scores_are_named() {
    for (extension, content, message) in [
        (
            "csv",
            "row,score\n2,1\n2,2\n3,1\n3,1\n",
            "2 duplicate rows (first in shard 1 of 2)",
        ),
        (
            "csv",
            "row,score\n2,1\n3,2\n4,1\n",
            "1 row outside of its shard (in shard 1 of 2)",
        ),
        (
            "csv",
            "row,score\n2,1\n3,2\n0,1\n1e300,1\n",
            "2 rows outside of their shard (first in shard 1 of 2)",
        ),
        (
            "csv",
            "row,score\n2,1\n-1,2\n",
            "1 line without a row number (in shard 1 of 2), 1 row without a score (in shard 1 of 2)",
        ),
        (
            "csv",
            "row,score\n2,1\n2.5,2\n3,1\nx,1\n",
            "2 lines without a row number (first in shard 1 of 2)",
        ),
        (
            "csv",
            "row,loss\n2,1\n3,1\n",
            "shard 1 of 2 has the columns `row` and `loss`; it needs `row` and `score`, both numeric",
        ),
        (
            "jsonl",
            "{\"index\":2,\"score\":1}\n",
            "shard 1 of 2 has the columns `index` and `score`; it needs `row` and `score`, both numeric",
        ),
        (
            "jsonl",
            "{\"row\":2,\"score\":1}\n{\"row\":2,\"score\":nan}\n",
            "shard 1 of 2 is not readable: line 2 is not valid JSON: expected ident at column 19",
        ),
        (
            "csv",
            "row,score\n2,1\n3\n",
            "shard 1 of 2 is not readable: line 3 has 1 field, the header has 2",
        ),
    ] {
        let found = complaint(&with_second_shard(extension, content));
        assert_eq!(found, format!("ScoresInvalid: scorer `program`: {message}"));
    }
    let found = complaint(&with_second_shard("parquet", "no parquet at all"));
    assert!(
        found.starts_with("ScoresInvalid: scorer `program`: shard 1 of 2 is not readable: "),
        "{found}"
    );
    let place = with_second_shard("csv", "");
    std::fs::remove_dir_all(place.store().scorer(&place.task, "program")).unwrap();
    assert_eq!(
        complaint(&place),
        "ScoresInvalid: scorer `program`: 2 shards without a file (first in shard 0 of 2)"
    );
}

#[test]
fn rows_without_a_finite_score_count_against_the_coverage() {
    for (content, scored, message) in [
        ("row,score\n2,nan\n3,2\n", 3, "1 NaN (in shard 1 of 2)"),
        // As Python's `json` writes them.
        (
            "{\"row\":2,\"score\":NaN}\n{\"row\":3,\"score\":2}\n",
            3,
            "1 NaN (in shard 1 of 2)",
        ),
        (
            "{\"row\":2,\"score\":-Infinity}\n{\"row\":3,\"score\":1e400}\n",
            2,
            "2 infinite scores (first in shard 1 of 2)",
        ),
        (
            "row,score\n2,inf\n3,-Infinity\n",
            2,
            "2 infinite scores (first in shard 1 of 2)",
        ),
        (
            "row,score\n2,\n3,high\n",
            2,
            "2 scores that are no numbers (first in shard 1 of 2)",
        ),
        ("row,score\n3,1\n", 3, "1 row without a score (in shard 1 of 2)"),
        ("row,score\n", 2, "2 rows without a score (first in shard 1 of 2)"),
        (
            "row,score\n2,NaN\n",
            2,
            "1 NaN (in shard 1 of 2), 1 row without a score (in shard 1 of 2)",
        ),
    ] {
        let extension = if content.starts_with('{') { "jsonl" } else { "csv" };
        let mut place = with_second_shard(extension, content);
        place.task.min_coverage = "0.99".to_owned();
        let message = format!(
            "CoverageTooLow: {scored} of 4 rows have a finite score from every scorer, but `scoring.minCoverage` asks for 0.99; \
             scorer `program`: {message}"
        );
        assert_eq!(complaint(&place), message);

        place.task.min_coverage = (f64::from(scored) / 4.0).to_string();
        let summary = place.index().unwrap();
        assert_eq!((summary.rows, summary.scored_rows), (4, scored as u64));
        assert_eq!(summary.histogram.iter().sum::<u64>(), scored as u64);
    }
}

#[test]
fn no_score_at_all_is_an_index_when_no_coverage_is_asked_for() {
    let mut place = Place::new("csv", b"n\n1\n", vec![program()]);
    (place.task.min_coverage, place.task.shards) = ("0".to_owned(), 1);
    place.inspect().unwrap();
    place.write_scores("program", Shard { index: 0, count: 1 }, "csv", "row,score\n");
    let summary = place.index().unwrap();
    assert_eq!(
        (summary.scored_rows, summary.quantiles.len(), summary.histogram.len()),
        (0, 0, 0)
    );
    assert!(place.inspect().unwrap().found.unwrap().exact);
}

#[test]
fn values_that_a_built_in_scorer_cannot_use_are_told_apart() {
    let place = Place::new(
        "csv",
        b"n,text\n1,a\n,b\nhigh,c\nnan,d\ninf,e\n",
        vec![column("n"), length("text", Unit::Bytes)],
    );
    place.inspect().unwrap();
    place.score().unwrap();
    assert_eq!(
        complaint(&place),
        "CoverageTooLow: 1 of 5 rows have a finite score from every scorer, but `scoring.minCoverage` asks for 1; scorer \
         `column`: 1 row without a value (in shard 0 of 2), 1 value of the wrong kind (in shard 1 of 2), 2 values that are not \
         finite (first in shard 1 of 2)"
    );
}

#[test]
fn every_scorer_at_fault_is_named() {
    let mut other = program();
    other.name = "second".to_owned();
    let mut place = with_second_shard("csv", "row,score\n2,1\n3,1\n3,1\n");
    place.task.scorers.push(other);
    assert_eq!(
        complaint(&place),
        "ScoresInvalid: scorer `program`: 1 duplicate row (in shard 1 of 2); scorer `second`: 2 shards without a file (first in \
         shard 0 of 2)"
    );
}

#[test]
fn shards_of_another_division_do_not_mix() {
    let mut place = Place::new("csv", b"n\n1\n2\n3\n4\n", vec![column("n")]);
    let (first, _) = place.run().unwrap();
    place.task.shards = 3;
    assert_eq!(
        complaint_of_missing(&place),
        "scorer `column`: 3 shards without a file (first in shard 0 of 3)"
    );
    place.score().unwrap();
    assert_eq!(place.index().unwrap().digest, first.digest);
}

fn complaint_of_missing(place: &Place) -> String {
    place.index().unwrap_err().to_string()
}

#[test]
fn more_shards_than_rows_leave_some_empty() {
    let mut place = Place::new("csv", b"n\n2\n1\n", vec![column("n")]);
    place.task.shards = 5;
    assert_eq!(place.run().unwrap().1.rows(), [1, 0]);
}

#[test]
fn a_changed_groups_file_is_no_panic() {
    let place = Place::new("csv", b"n,g\n2,a\n1,b\n", vec![column("n")]).grouped("g");
    place.inspect().unwrap();
    place.score().unwrap();
    for bytes in [&[0, 2][..], &[0], &[0, 0], &[0, 1, 1]] {
        std::fs::write(place.store().groups(&place.task), bytes).unwrap();
        assert_eq!(place.index().unwrap_err().exit_code(), crate::scoring::report::EXIT_IO);
    }
}
