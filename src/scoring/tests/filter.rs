//! Rows that do not match the filter: behind all others in the index, and in no count and no rank of what is
//! trained on.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::{Float64Array, StringArray};

use super::*;
use crate::curriculum::filter::Filtered;
use crate::curriculum::order::{OrderScope, RowOrder};
use crate::curriculum::split::{HeldOut, Split as Parts};
use crate::index::trained::TrainedRows;
use crate::scoring::manifest::Manifest;
use crate::scoring::report::{EXIT_DATASET, FoundIndex};
use crate::scoring::task::{Condition, Split, Test};

/// Language, quality and score of each row.
type Rows = [(Option<&'static str>, Option<f64>, f64)];

const ROWS: &Rows = &[
    (Some("en"), Some(0.5), 7.0),
    (Some("de"), Some(0.1), 1.0),
    (Some("fr"), Some(1.0), 2.0),
    (None, Some(0.9), 3.0),
    (Some("en"), None, 4.0),
    (Some("de"), Some(0.75), 5.0),
    (Some("en"), Some(1.5), 6.0),
    (Some("fr"), None, 0.0),
];

/// The rows as a file of a format.
fn place(extension: &str, rows: &Rows) -> Place {
    let content = match extension {
        "csv" => {
            let line = |(language, quality, score): &(Option<&str>, Option<f64>, f64)| {
                let quality = quality.map(|quality| quality.to_string()).unwrap_or_default();
                format!("{},{quality},{score}\n", language.unwrap_or_default())
            };
            let lines: String = rows.iter().map(line).collect();
            format!("language,quality,n\n{lines}").into_bytes()
        }
        "jsonl" => {
            // A value that is absent is one that is null.
            let line = |(language, quality, score): &(Option<&str>, Option<f64>, f64)| {
                let language = language.map(|language| format!("\"language\":\"{language}\","));
                let quality = quality.map_or("null".to_owned(), |quality| quality.to_string());
                format!(
                    "{{{}\"quality\":{quality},\"n\":{score}}}\n",
                    language.unwrap_or_default()
                )
            };
            rows.iter().map(line).collect::<String>().into_bytes()
        }
        _ => parquet_of(vec![
            (
                "language",
                Arc::new(rows.iter().map(|row| row.0).collect::<StringArray>()),
            ),
            (
                "quality",
                Arc::new(rows.iter().map(|row| row.1).collect::<Float64Array>()),
            ),
            (
                "n",
                Arc::new(rows.iter().map(|row| Some(row.2)).collect::<Float64Array>()),
            ),
        ]),
    };
    Place::new(extension, &content, vec![column("n")])
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn is_in(column: &str, list: &[&str]) -> Condition {
    Condition {
        column: column.to_owned(),
        test: Test::In(texts(list)),
    }
}

fn not_in(column: &str, list: &[&str]) -> Condition {
    Condition {
        column: column.to_owned(),
        test: Test::NotIn(texts(list)),
    }
}

fn range(column: &str, min: Option<&str>, max: Option<&str>) -> Condition {
    Condition {
        column: column.to_owned(),
        test: Test::Range {
            min: min.map(str::to_owned),
            max: max.map(str::to_owned),
        },
    }
}

/// The rows that the inspection left to train on.
fn left(place: &Place) -> Vec<u64> {
    place.inspect().unwrap();
    let manifest = Manifest::load(&place.store(), &place.task).unwrap();
    let path = place.store().trained(&place.task);
    let digest = &manifest.filtered.as_ref().unwrap().digest;
    let trained = TrainedRows::open(&path, digest, manifest.trained_rows(), manifest.rows).unwrap();
    trained.as_slice().to_vec()
}

#[test]
fn rows_match_alike_in_every_format() {
    let cases: [(Vec<Condition>, &[u64]); 11] = [
        (vec![is_in("language", &["en", "de"])], &[0, 1, 4, 5, 6]),
        (vec![not_in("language", &["en", "de"])], &[2, 3, 7]),
        (vec![range("quality", Some("0.5"), Some("1"))], &[0, 2, 3, 5]),
        (vec![range("quality", Some("0.75"), None)], &[2, 3, 5, 6]),
        (vec![range("quality", None, Some("0.5"))], &[0, 1]),
        (vec![range("quality", Some("1"), Some("1.0"))], &[2]),
        (
            vec![not_in("language", &["fr"]), range("quality", Some("0.5"), None)],
            &[0, 3, 5, 6],
        ),
        // One column in two conditions, and as numbers and names.
        (
            vec![not_in("language", &["fr"]), not_in("language", &["en"])],
            &[1, 3, 5],
        ),
        (vec![is_in("quality", &["1", "0.5", "0.10"])], &[0, 2]),
        (
            vec![range("quality", Some("0.5"), None), not_in("quality", &["1"])],
            &[0, 3, 5, 6],
        ),
        (
            vec![not_in("language", &["en", "de", "fr"]), range("n", Some("-9"), None)],
            &[3],
        ),
    ];
    for (filter, expected) in cases {
        let digests: BTreeSet<String> = ["csv", "jsonl", "parquet"]
            .into_iter()
            .map(|extension| {
                let mut place = place(extension, ROWS);
                place.task.filter = filter.clone();
                assert_eq!(left(&place), expected, "{extension}: {filter:?}");
                let inspection = place.inspect().unwrap();
                let filtered = inspection.filtered.unwrap();
                assert_eq!(
                    (inspection.rows, filtered.rows, &filtered.key),
                    (expected.len() as u64, 8 - expected.len() as u64, &place.task.key)
                );
                filtered.digest
            })
            .collect();
        assert_eq!(digests.len(), 1, "the same file, whatever the format");
    }
}

/// In CSV what a value is shows in the whole column only.
#[test]
fn values_without_types_have_the_names_of_groups() {
    let left = |values: &[&str], condition: Condition| {
        let lines: Vec<String> = values.iter().map(|value| format!("{value},1\n")).collect();
        let mut place = Place::new("csv", format!("v,n\n{}", lines.concat()).as_bytes(), vec![column("n")]);
        place.task.filter = vec![condition];
        left(&place)
    };
    let numbers = ["1.0", "1", "2", "nan", "", "1e0"];
    assert_eq!(left(&numbers, is_in("v", &["1"])), [0, 1, 5]);
    assert_eq!(left(&numbers, not_in("v", &["1"])), [2, 3, 4]);
    // With a name among them they are names.
    assert_eq!(left(&["1.0", "1", "v2", "nan"], is_in("v", &["1", "nan"])), [1, 3]);
    assert_eq!(left(&["True", "false", "TRUE", ""], is_in("v", &["true"])), [0, 2]);
    assert_eq!(left(&["True", "false", "yes"], is_in("v", &["true", "True"])), [0]);
}

#[test]
fn numbers_that_are_none_match_no_bounds() {
    let rows = "v,n\n1,1\nNaN,1\ninf,1\n-inf,1\n,1\nx,1\n2,1\n";
    let mut place = Place::new("csv", rows.as_bytes(), vec![column("n")]);
    place.task.filter = vec![range("v", Some("-5"), None)];
    assert_eq!(left(&place), [0, 6]);
    place.task.filter = vec![range("v", None, Some("1.5"))];
    assert_eq!(left(&place), [0]);
}

#[test]
fn bad_rows_match_nothing() {
    let rows = "{\"v\":\"a\",\"n\":1}\nnonsense\n{\"n\":2}\n";
    let mut place = Place::new("jsonl", rows.as_bytes(), vec![column("n")]);
    place.task.max_bad_rows = 1;
    place.task.filter = vec![not_in("v", &["b"])];
    assert_eq!(left(&place), [0, 2]);
    // They are none of the rows that may go without a score either.
    let rows = "{\"v\":\"a\",\"n\":1}\nnonsense\n{\"v\":\"a\"}\n";
    let mut place = Place::new("jsonl", rows.as_bytes(), vec![column("n")]);
    place.task.max_bad_rows = 1;
    place.task.filter = vec![is_in("v", &["a"])];
    let error = place.run().unwrap_err().to_string();
    assert!(error.starts_with("1 of 2 rows have a finite score"), "{error}");
}

/// A hundred rows in three groups, of two scorers; every row of the third group, and every seventh row, is
/// filtered out and has no score.
fn scored(filter: bool, only: impl Fn(u64) -> bool) -> Place {
    let rows: String = (0..100_u64)
        .filter(|row| only(*row))
        .map(|row| {
            let score = if keeps(row) {
                (row * 37 % 50).to_string()
            } else {
                String::new()
            };
            format!("{score},{},{},{}\n", row * row % 91, row % 3, u8::from(keeps(row)))
        })
        .collect();
    let other = Scorer {
        name: "other".to_owned(),
        ..column("m")
    };
    let content = format!("n,m,g,keep\n{rows}");
    let mut place = Place::new("csv", content.as_bytes(), vec![column("n"), other]).grouped("g");
    if filter {
        place.task.filter = vec![is_in("keep", &["1"])];
    }
    place
}

fn keeps(row: u64) -> bool {
    row % 3 != 2 && !row.is_multiple_of(7)
}

#[test]
fn what_is_filtered_out_has_no_place_in_any_rank() {
    let (summary, index) = scored(true, |_| true).run().unwrap();
    let trained = (0..100).filter(|row| keeps(*row)).count();
    assert_eq!((summary.rows, summary.scored_rows), (trained as u64, trained as u64));
    let tail: Vec<u64> = index.rows()[trained..].to_vec();
    assert!(tail.iter().all(|row| !keeps(*row)));
    let nothing = index.scores()[trained..].iter().chain(&index.ranks()[trained..]);
    assert!(nothing.clone().all(|number| number.is_nan()) && nothing.count() == 2 * tail.len());
    // Scores and ranks are those of a data set of the other rows alone: both scorers' ranks are among these.
    let (alone, of_alone) = scored(false, keeps).run().unwrap();
    assert_eq!(index.scores()[..trained], *of_alone.scores());
    assert_eq!(index.ranks()[..trained], *of_alone.ranks());
    assert_eq!(
        (summary.quantiles, summary.histogram),
        (alone.quantiles, alone.histogram)
    );
    // Of the third group there is no row to train on.
    let [first, second] = alone.group_rows[..] else {
        panic!()
    };
    assert_eq!(summary.group_rows, [first, second, 0]);
    assert_eq!(summary.group_mean_ranks[..2], alone.group_mean_ranks);
    assert_eq!(summary.group_mean_ranks[2], 0.0);
    for (group, trained) in (0..).zip(&summary.group_rows) {
        for at in 0..index.group_rows()[group as usize] {
            let row = index.row(OrderScope::Group(group), at);
            assert_eq!((keeps(row), row % 3), (at < *trained, u64::from(group)));
        }
    }
}

#[test]
fn a_group_that_vanishes_is_read_back_and_found_again() {
    let place = scored(true, |_| true);
    place.run().unwrap();
    let found = place.inspect().unwrap();
    assert_eq!(found.group_rows[2], 0);
    assert!(found.found.is_some_and(|index| index.exact));
}

#[test]
fn a_filter_moves_no_row_that_is_held_out() {
    let mut place = scored(true, |_| true);
    place.task.split = Some(Split {
        held_out: "0.2".to_owned(),
        seed: 3,
    });
    let apart: BTreeSet<u64> = Parts::new(100, HeldOut { rows: 20, seed: 3 }).held_out().collect();
    let expected: Vec<u64> = (0..100).filter(|row| keeps(*row) && !apart.contains(row)).collect();
    assert_eq!(left(&place), expected);
    let inspection = place.inspect().unwrap();
    let (rows, held_out, filtered) = (inspection.rows, inspection.held_out_rows, inspection.filtered.unwrap());
    assert_eq!(
        (rows, held_out, rows + held_out + filtered.rows),
        (expected.len() as u64, 20, 100)
    );
    assert_eq!(inspection.group_rows.iter().sum::<u64>(), rows);
    // Those that are held out and do not match may go without a score.
    let (summary, index) = place.run().unwrap();
    assert_eq!(
        (summary.rows, summary.scored_rows, &summary.group_rows),
        (rows, rows, &inspection.group_rows)
    );
    let first: BTreeSet<u64> = index.rows()[..expected.len()].iter().copied().collect();
    assert_eq!(first, expected.into_iter().collect());
}

#[test]
fn scores_are_used_again_for_the_same_rows_only() {
    let mut place = place("csv", ROWS);
    place.task.filter = vec![is_in("language", &["en", "de"])];
    place.run().unwrap();
    let found = |place: &Place| place.inspect().unwrap().found;
    assert!(found(&place).is_some_and(|found| found.exact));
    // Another filter that leaves the same rows, in another job.
    place.task.key = "b".repeat(64);
    place.task.filter = vec![
        range("n", Some("0.5"), None),
        not_in("language", &["fr", "xx"]),
        is_in("language", &["de", "en"]),
    ];
    assert!(matches!(found(&place), Some(FoundIndex { exact: false, .. })));
    place.task.filter = vec![is_in("language", &["en"])];
    assert_eq!(found(&place), None);
    place.task.filter = Vec::new();
    assert_eq!(found(&place), None);
}

#[test]
fn without_a_filter_nothing_is_said_of_one() {
    let place = place("csv", ROWS);
    let inspection = place.inspect().unwrap();
    let manifest = fs::read_to_string(place.store().manifest(&place.task)).unwrap();
    assert!(!manifest.contains("filter"), "{manifest}");
    assert!(!serde_json::to_string(&inspection).unwrap().contains("filter"));
    assert!(!serde_json::to_string(&place.task).unwrap().contains("filter"));
    place.score().unwrap();
    place.index().unwrap();
    let summary = fs::read_to_string(place.store().summary(&place.task.key)).unwrap();
    assert!(!summary.contains("filter"), "{summary}");
    assert!(!place.stored_files().iter().any(|name| name == "trained.u64"));
}

#[test]
fn a_filter_that_leaves_nothing_says_what_each_condition_leaves() {
    for extension in ["csv", "jsonl", "parquet"] {
        let mut place = place(extension, ROWS);
        place.task.filter = vec![is_in("language", &["de"]), range("quality", Some("1"), None)];
        let error = place.inspect().unwrap_err();
        assert_eq!(error.exit_code(), EXIT_DATASET);
        assert_eq!(
            error.to_string(),
            "`dataset.filter` leaves none of 8 rows; the condition on each column leaves by itself: `language` 2, `quality` 2"
        );
        assert!(matches!(error, ScoringError::DatasetEmpty(_)));
    }
    let mut place = place("csv", ROWS);
    place.task.filter = vec![is_in("n", &["7"])];
    let split = |seed| {
        Some(Split {
            held_out: "0.5".to_owned(),
            seed,
        })
    };
    let apart = |seed| Parts::new(8, HeldOut { rows: 4, seed }).held_out().any(|row| row == 0);
    place.task.split = split((0..).find(|seed| apart(*seed)).unwrap());
    assert_eq!(
        place.inspect().unwrap_err().to_string(),
        "`dataset.filter` leaves 1 of 8 rows, and `dataset.split` holds all of these out; lower `dataset.split.heldOut`, or let more \
         rows pass"
    );
}

#[test]
fn a_column_that_is_not_there_or_has_no_such_values_is_named() {
    for extension in ["csv", "jsonl", "parquet"] {
        let mut place = place(extension, ROWS);
        place.task.filter = vec![is_in("language", &["en"]), not_in("lang", &["en"])];
        let error = place.inspect().unwrap_err();
        assert!(matches!(error, ScoringError::ColumnNotFound(_)), "{extension}: {error}");
        let said = error.to_string();
        assert!(
            said.starts_with("`dataset.filter[1]` names column `lang`, which does not exist"),
            "{said}"
        );
        place.task.filter = vec![range("language", Some("1"), None)];
        let error = place.inspect().unwrap_err();
        assert!(matches!(error, ScoringError::ColumnNotFound(_)), "{extension}: {error}");
        assert!(error.to_string().contains("`dataset.filter[0]`"), "{error}");
    }
    let mut lists = Place::new(
        "jsonl",
        b"{\"v\":\"a\",\"n\":1}\n{\"v\":[1],\"n\":1}\n",
        vec![column("n")],
    );
    lists.task.filter = vec![not_in("v", &["b"])];
    let said = lists.inspect().unwrap_err().to_string();
    assert!(said.contains("neither text nor number nor boolean"), "{said}");
}

/// Who makes the index trusts no file that is not the one of the manifest.
#[test]
fn an_index_of_other_rows_is_not_made() {
    let mut place = place("csv", ROWS);
    place.task.filter = vec![is_in("language", &["en"])];
    place.inspect().unwrap();
    place.score().unwrap();
    let path = place.store().trained(&place.task);
    let mut bytes = fs::read(&path).unwrap();
    bytes[0] ^= 1;
    fs::write(&path, bytes).unwrap();
    let said = place.index().unwrap_err().to_string();
    assert!(said.contains("trained.u64 is not usable"), "{said}");
    fs::remove_file(&path).unwrap();
    assert!(matches!(place.index(), Err(ScoringError::Io { .. })));
}

#[test]
fn records_of_the_same_rows_are_the_same_wherever_they_are() {
    let of = |rows, key: &str, digest: &str| Filtered {
        rows,
        key: key.to_owned(),
        digest: digest.to_owned(),
    };
    let a = of(1, "a", "x");
    assert!(Filtered::same_rows(Some(&a), Some(&of(1, "b", "x"))) && Filtered::same_rows(None, None));
    for other in [None, Some(of(1, "a", "y")), Some(of(2, "a", "x"))] {
        assert!(!Filtered::same_rows(Some(&a), other.as_ref()));
    }
}
