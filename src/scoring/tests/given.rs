//! Scores from a file beside the data: joined by row number or by id, and never a row's own fault unsaid.

use std::fs;

use super::*;
use crate::scoring::report::EXIT_SCORES;
use crate::scoring::task::Join;

fn given(path: &str, format: Format, join: Join) -> Scorer {
    scorer(
        "given",
        ScorerKind::File {
            path: path.to_owned(),
            format,
            delimiter: ',',
            score_column: "score".to_owned(),
            join,
        },
    )
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

/// Six rows with ids, and a file of scores beside them.
fn place(file: &str, content: &str, join: Join) -> Place {
    let format = if file.ends_with("csv") {
        Format::Csv
    } else {
        Format::JsonLines
    };
    let data = "id,text\n10,a\n11,b\nx,c\n13,d\n14,e\n,f\n";
    let mut place = Place::new("csv", data.as_bytes(), vec![given(file, format, join)]);
    fs::write(place.root().join(file), content).unwrap();
    place.task.min_coverage = "0.5".to_owned();
    place
}

fn refused(place: &Place) -> String {
    place.inspect().unwrap();
    let error = place.score().unwrap_err();
    assert_eq!(error.exit_code(), EXIT_SCORES);
    error.to_string()
}

#[test]
fn lines_are_joined_to_rows_in_any_order_and_any_format() {
    let cases = [
        (
            "s.csv",
            "row,score\n5,0.5\n0,3\n4,1\n2,2\n1,-1\n3,9\n",
            by_row(),
            [1, 5, 4, 2, 0, 3],
        ),
        (
            "s.jsonl",
            "{\"row\":0,\"score\":3}\n{\"score\":-1,\"row\":1}\n{\"row\":2,\"score\":2}\n{\"row\":3,\"score\":9}\n\
             {\"row\":4,\"score\":1}\n{\"row\":5,\"score\":0.5}\n",
            by_row(),
            [1, 5, 4, 2, 0, 3],
        ),
    ];
    for (file, content, join, order) in cases {
        let (summary, index) = place(file, content, join).run().unwrap();
        assert_eq!((summary.rows, summary.scored_rows), (6, 6));
        assert_eq!(index.rows(), order);
    }
    // Ids are texts or numbers; what the data set does not have is passed over, a row without an id has no score.
    let scores = "{\"key\":13,\"score\":1}\n{\"key\":\"x\",\"score\":2}\n{\"key\":\"11\",\"score\":3}\n{\"key\":10,\"score\":4}\n\
                  {\"key\":14.0,\"score\":5}\n{\"key\":\"other\",\"score\":6}\n";
    for shards in 1..=3 {
        let mut place = place("s.jsonl", scores, by_id());
        place.task.shards = shards;
        let (summary, index) = place.run().unwrap();
        assert_eq!((summary.scored_rows, index.rows()), (5, &[3, 2, 1, 0, 4, 5][..]));
    }
}

#[test]
fn values_that_are_no_scores_cost_their_own_row() {
    let mut place = place("s.csv", "row,score\n0,1\n1,nan\n2,\n3,inf\n4,x\n", by_row());
    place.task.min_coverage = "0.9".to_owned();
    let error = place.run().map(drop).unwrap_err().to_string();
    for words in [
        "1 of 6 rows",
        "1 row without a value",
        "2 values that are not finite",
        "1 value of the wrong kind",
        "1 row without a score",
    ] {
        assert!(error.contains(words), "{words}: {error}");
    }
}

#[test]
fn what_is_no_score_of_this_data_is_refused_without_naming_a_row() {
    for (content, join, words) in [
        (
            "row,score\n0,1\n6,1\n7,2\n",
            by_row(),
            "of which 2 lines name rows beyond those of the data set, which has 6, counted from 0",
        ),
        (
            "row,score\n0,1\n1,1\n0,2\n",
            by_row(),
            "of which 1 lines name a row that another one names",
        ),
        (
            "row,score\n0,1\n1.5,1\n,3\n",
            by_row(),
            "of which 2 lines have no usable value in column `row`",
        ),
        (
            "key,score\na,1\nb,1\na,2\n",
            by_id(),
            "of which 1 lines name a row that another one names",
        ),
        ("row,score\n", by_row(), "which has no lines"),
        (
            "row,loss\n0,1\n",
            by_row(),
            "which lacks a column: scorer `given` names column `score`, which does not exist",
        ),
        (
            "row,score\n0,1\n1\n",
            by_row(),
            "which cannot be read: line 3 has 1 field, the header has 2",
        ),
    ] {
        let said = refused(&place("s.csv", content, join));
        assert!(
            said.starts_with("`scoring.scorers[0].file.path` is `s.csv`, "),
            "{said}"
        );
        assert!(said.contains(words), "{words}: {said}");
    }
    let said = refused(&place("s.jsonl", "{\"row\":0}\n", by_row()));
    // It names rows, and none has a score: that is a question of coverage, but that the column is absent is said at once.
    assert!(said.contains("which has no column `score`"), "{said}");
}

#[test]
fn another_file_gives_other_scores() {
    let place = place("s.csv", "row,score\n0,1\n1,2\n2,3\n3,4\n", by_row());
    place.run().unwrap();
    assert!(place.inspect().unwrap().found.is_some_and(|found| found.exact));
    fs::write(place.root().join("s.csv"), "row,score\n0,4\n1,3\n2,2\n3,1\n").unwrap();
    assert_eq!(
        place.score().unwrap_err().to_string(),
        "`scoring.scorers[0].file.path` is `s.csv`, which has changed since the inspection; it must stay as it is during a run"
    );
    let inspection = place.inspect().unwrap();
    assert!(!inspection.found.is_some_and(|found| found.exact));
    assert_eq!(
        inspection.stale_index.as_deref(),
        Some("`s.csv`, which scoring reads, has changed")
    );
    fs::remove_file(place.root().join("s.csv")).unwrap();
    assert!(refused(&place).contains("which does not exist; give the path of a file below the data set's volume"));
}

/// As the guide to scorers says, with one byte more for its place in the table.
#[test]
fn an_id_takes_what_the_guide_says() {
    use crate::scoring::given::Given;
    use crate::scoring::joined::Id;
    assert_eq!(size_of::<(Id, Given)>(), 32);
}

#[test]
fn ids_may_go_with_groups() {
    let mut place = place("s.csv", "key,score\n10,1\n11,2\nx,3\n13,4\n", by_id());
    place.task.group_column = Some("text".to_owned());
    let (summary, _) = place.run().unwrap();
    assert_eq!((summary.group_rows.len(), summary.scored_rows), (6, 4));
}
