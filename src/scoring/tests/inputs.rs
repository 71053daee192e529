//! What is wrong with a data set or a task, and how it is said.

use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use proptest::prelude::*;

use super::*;
use crate::api::conditions::Reason;
use crate::scoring::dataset::{Field, Kind, Part, ReadError, RowFile};
use crate::scoring::report::EXIT_DATASET;
use crate::scoring::validate::parse_task;

/// What the inspection says; the run must end with exit code 65.
fn complaint(place: &Place) -> (String, String) {
    let error = place.inspect().unwrap_err();
    assert_eq!(error.exit_code(), EXIT_DATASET);
    let failure = error.failure(Reason::InspectionFailed);
    (failure.reason, failure.message)
}

fn assert_complaint(place: &Place, reason: &str, message: &str) {
    assert_eq!(complaint(place), (reason.to_owned(), message.to_owned()));
}

fn parquet(columns: Vec<(&str, ArrayRef)>) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

fn small_parquet() -> Vec<u8> {
    parquet(vec![
        ("n", Arc::new(Int64Array::from(vec![1, 2]))),
        ("text", Arc::new(StringArray::from(vec!["a", "b"]))),
        ("flag", Arc::new(BooleanArray::from(vec![true, false]))),
    ])
}

#[test]
fn a_missing_file_is_named_with_its_neighbours() {
    let mut place = Place::new("csv", b"n\n1\n", vec![column("n")]);
    std::fs::write(place.root().join("portrait-of-somebody.png"), "").unwrap();
    place.task.path = Some("daat.csv".to_owned());
    assert_complaint(
        &place,
        "DatasetNotFound",
        "`dataset.path` is `daat.csv`, but the volume has no such file; give the path of a CSV file, a folder or a pattern, relative \
         to the volume's root (that folder has `data.csv`)",
    );
    place.task.path = Some("sub/data.csv".to_owned());
    let (reason, message) = complaint(&place);
    assert_eq!(reason, "DatasetNotFound");
    assert!(message.ends_with("relative to the volume's root"), "{message}");
    place.task.path = Some("data.csv/x".to_owned());
    assert_eq!(complaint(&place).0, "DatasetNotFound");
}

#[test]
fn a_path_out_of_the_volume_is_refused() {
    let mut place = Place::new("csv", b"n\n1\n", vec![column("n")]);
    for path in ["../data.csv", "/etc/passwd", "a/../../b", ""] {
        place.task.path = Some(path.to_owned());
        assert_complaint(
            &place,
            "InvalidSpec",
            &format!("`dataset.path` is `{path}`; it must be a path relative to the volume's root, without `..`"),
        );
    }
}

#[test]
fn no_rows_are_named() {
    let empty = parquet(vec![("n", Arc::new(Int64Array::from(Vec::<i64>::new())))]);
    for (extension, content) in [("csv", &b"n\n"[..]), ("jsonl", b"\n \n"), ("parquet", &empty)] {
        assert_complaint(
            &Place::new(extension, content, vec![column("n")]),
            "DatasetEmpty",
            &format!("`dataset.path` `data.{extension}` has no rows; at least one is needed"),
        );
    }
}

#[test]
fn a_file_of_another_format_is_unreadable() {
    let (reason, message) = complaint(&Place::new("parquet", b"n\n1\n2\n3\n4\n", vec![column("n")]));
    assert_eq!(reason, "DatasetUnreadable");
    assert!(
        message.starts_with("`dataset.path` `data.parquet` cannot be read as Parquet: "),
        "{message}"
    );
    assert_complaint(
        &Place::new("csv", b"n,m\n1,2\n3\n", vec![column("n")]),
        "DatasetUnreadable",
        "`dataset.path` `data.csv` cannot be read as CSV: line 3 has 1 field, the header has 2; mend it, or allow such rows by \
         `dataset.maxBadRows`: they stay rows, without a score",
    );
    assert_complaint(
        &Place::new("jsonl", b"{\"n\":1}\n{\"n\":2]\n", vec![column("n")]),
        "DatasetUnreadable",
        "`dataset.path` `data.jsonl` cannot be read as JSON Lines: line 2 is not valid JSON: expected `,` or `}` at column 7; \
         mend it, or allow such rows by `dataset.maxBadRows`: they stay rows, without a score",
    );
    assert_complaint(
        &Place::new("jsonl", b"\"Jane Doe\"\n", vec![column("n")]),
        "DatasetUnreadable",
        "`dataset.path` `data.jsonl` cannot be read as JSON Lines: line 1 is not a JSON object; mend it, or allow such rows by \
         `dataset.maxBadRows`: they stay rows, without a score",
    );
}

#[test]
fn a_missing_column_is_named_with_the_others() {
    let contents = [
        ("csv", b"n,text,flag\n1,a,true\n".to_vec()),
        ("parquet", small_parquet()),
    ];
    for (extension, content) in contents {
        assert_complaint(
            &Place::new(extension, &content, vec![column("loss")]),
            "ColumnNotFound",
            "scorer `column` names column `loss`, which does not exist; the columns are `n`, `text` and `flag`",
        );
        assert_complaint(
            &Place::new(extension, &content, vec![column("n")]).grouped("label"),
            "ColumnNotFound",
            "`dataset.groupColumn` names column `label`, which does not exist; the columns are `n`, `text` and `flag`",
        );
    }
    assert_complaint(
        &Place::new(
            "jsonl",
            b"{\"n\":1,\"m\":2}\n{\"n\":2}\n",
            vec![column("n"), rarity("text")],
        ),
        "ColumnNotFound",
        "scorer `rarity` names column `text`, which does not exist; the columns of the first row are `n` and `m`",
    );
}

#[test]
fn many_columns_are_cut_short() {
    let header: Vec<String> = (0..50).map(|i| format!("c{i}")).collect();
    let content = format!("{}\n{}\n", header.join(","), vec!["1"; 50].join(","));
    let (_, message) = complaint(&Place::new("csv", content.as_bytes(), vec![column("loss")]));
    assert!(message.ends_with("`c10`, `c11` and 38 more"), "{message}");
}

#[test]
fn a_column_of_an_unsuitable_type_is_named() {
    assert_complaint(
        &Place::new("parquet", &small_parquet(), vec![column("text")]),
        "ColumnNotFound",
        "scorer `column` names column `text`, which has type Utf8; it needs a column of numbers, booleans, dates or timestamps",
    );
    assert_complaint(
        &Place::new("parquet", &small_parquet(), vec![length("n", Unit::Words)]),
        "ColumnNotFound",
        "scorer `length` names column `n`, which has type Int64; it needs a column of texts or lists",
    );
    for (extension, content) in [("csv", &b"text,n\na,1\nb,2\n"[..]), ("jsonl", b"{\"text\":\"a\"}\n")] {
        assert_complaint(
            &Place::new(extension, content, vec![column("text")]),
            "ColumnNotFound",
            "scorer `column` names column `text`, which has a number in no row",
        );
    }
    assert_complaint(
        &Place::new("jsonl", b"{\"n\":1,\"g\":[1]}\n", vec![column("n")]).grouped("g"),
        "ColumnNotFound",
        "`dataset.groupColumn` names column `g`, which has values that are neither text nor number nor boolean; name a column \
         with one plain value per row",
    );
}

#[test]
fn a_column_that_exists_twice_is_refused() {
    assert_complaint(
        &Place::new("csv", b"n,n\n1,2\n", vec![column("n")]),
        "ColumnNotFound",
        "scorer `column` names column `n`, which exists more than once; column names must differ",
    );
}

#[test]
fn at_most_256_groups() {
    let content = |groups: u32| {
        let lines: String = (0..groups).map(|group| format!("{group},{group}\n")).collect();
        format!("n,g\n{lines}")
    };
    let place = Place::new("csv", content(256).as_bytes(), vec![column("n")]).grouped("g");
    let (summary, index) = place.run().unwrap();
    assert_eq!(
        (summary.group_rows.len(), index.group_rows_order(255)),
        (256, &[255][..])
    );
    assert_complaint(
        &Place::new("csv", content(257).as_bytes(), vec![column("n")]).grouped("g"),
        "TooManyGroups",
        "`dataset.groupColumn` names column `g`, which has more than 256 distinct values; name a column with at most 256",
    );
}

#[test]
fn a_data_set_that_changes_during_the_run_is_noticed() {
    let place = Place::new("csv", b"n\n1\n2\n", vec![column("n")]);
    place.inspect().unwrap();
    std::fs::write(place.root().join("data.csv"), b"n\n1\n2\n3\n").unwrap();
    let error = place.score().unwrap_err();
    assert_eq!(
        error.to_string(),
        "`dataset.path` `data.csv` had 6 bytes when it was inspected and now has 8; a data set must not change during a run"
    );
    std::fs::write(place.root().join("data.csv"), b"n\n1234").unwrap();
    let error = place.score().unwrap_err();
    assert_eq!(
        error.to_string(),
        "`dataset.path` `data.csv` has other content than when it was inspected; a data set must not change during a run"
    );
}

#[test]
fn a_command_before_the_inspection_may_be_tried_again() {
    let place = Place::new("csv", b"n\n1\n", vec![column("n")]);
    let error = place.score().unwrap_err();
    assert_eq!(error.exit_code(), crate::scoring::report::EXIT_IO);
    assert_eq!(error.reason(Reason::ScorerFailed), Reason::ScorerFailed);
}

#[test]
fn a_task_that_contradicts_itself_is_refused() {
    let good = Place::new("csv", b"n\n1\n", vec![column("n")]).task;
    parse_task(&serde_json::to_string(&good).unwrap()).unwrap();
    type Change = fn(&mut Task);
    let cases: [(Change, &str); 9] = [
        (
            |t| t.key = "../..".to_owned(),
            "the task's `key` must be 64 hexadecimal digits",
        ),
        (
            |t| t.dataset_key = "A".repeat(64),
            "the task's `datasetKey` must be 64 hexadecimal digits",
        ),
        (|t| t.shards = 0, "`scoring.shards` is 0; it must be at least 1"),
        (
            |t| t.scorers.clear(),
            "`scoring.scorers` is empty; name at least one scorer",
        ),
        (
            |t| t.scorers[0].name = "../x".to_owned(),
            "scorer `../x`: a name has 1 to 63 lower case letters, digits and '-'",
        ),
        (
            |t| t.scorers.push(t.scorers[0].clone()),
            "two scorers are named `column`; names must differ",
        ),
        (
            |t| t.scorers[0].weight = "-1".to_owned(),
            "scorer `column`: `weight` is `-1`; it must be a decimal number of at least 0",
        ),
        (
            |t| t.scorers[0].weight = "0".to_owned(),
            "every scorer has `weight` 0; give one a greater weight",
        ),
        (
            |t| t.min_coverage = "2".to_owned(),
            "`scoring.minCoverage` is `2`; it must be a decimal number from 0 to 1",
        ),
    ];
    for (change, message) in cases {
        let mut task = good.clone();
        change(&mut task);
        let error = parse_task(&serde_json::to_string(&task).unwrap()).unwrap_err();
        assert_eq!((error.to_string().as_str(), error.exit_code()), (message, EXIT_DATASET));
    }
    assert!(
        parse_task("{")
            .unwrap_err()
            .to_string()
            .starts_with("the task is not readable: ")
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_file_makes_the_inspection_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), extension in prop::sample::select(vec!["csv", "jsonl", "parquet"])) {
        let place = Place::new(extension, &bytes, vec![column("n")]).grouped("g");
        prop_assert!(place.inspect().is_err_and(|error| error.exit_code() == EXIT_DATASET));
    }
}

/// The Parquet library panics on some of these files.
#[test]
fn no_damaged_byte_of_a_parquet_file_makes_the_reader_panic() {
    let folder = tempfile::tempdir().unwrap();
    let file = RowFile::new(folder.path().join("data.parquet"), Format::Parquet);
    let field = |column: &str, kind| Field {
        column: column.to_owned(),
        kind,
        asked_by: String::new(),
    };
    let fields = [
        field("n", Kind::Number),
        field("text", Kind::Text),
        field("flag", Kind::Group),
    ];
    let good = small_parquet();
    let (mut read, mut refused) = (0, 0);
    for place in 0..good.len() {
        for value in [0, 13, 255] {
            let mut bytes = good.clone();
            bytes[place] = value;
            std::fs::write(&file.path, bytes).unwrap();
            let all = file.read(&fields, Part::default()).and_then(|mut cursor| {
                while cursor.advance()? {}
                Ok(())
            });
            match all {
                Ok(()) => read += 1,
                Err(ReadError::Content(_) | ReadError::Column(_)) => refused += 1,
                Err(error) => panic!("byte {place}: {error}"),
            }
        }
    }
    assert!(read > 0 && refused > 0, "{read} read, {refused} refused");
}
