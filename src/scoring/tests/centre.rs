//! Distances from the centre of a group: by hand, in every format, in any number of shards; and what is no embedding.

use std::sync::Arc;

use arrow_array::builder::{
    FixedSizeListBuilder, Float32Builder, Float64Builder, Int32Builder, LargeListBuilder, ListBuilder,
};
use arrow_array::{Float64Array, Int64Array, StringArray};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::scoring::centre::MAX_NUMBERS;
use crate::scoring::report::{EXIT_DATASET, EXIT_IO, EXIT_SCORES};
use crate::scoring::task::Metric;

pub(super) fn centre_distance(column: &str, metric: Metric) -> Scorer {
    scorer(
        "distance",
        ScorerKind::CentreDistance {
            column: column.to_owned(),
            metric,
        },
    )
}

fn lines(rows: &[Value]) -> Vec<u8> {
    rows.iter()
        .map(|row| format!("{row}\n"))
        .collect::<String>()
        .into_bytes()
}

/// The score of each row, NaN for rows without one.
fn scores(place: &Place) -> Vec<f64> {
    let (summary, index) = place.run().unwrap();
    let mut scores = vec![f64::NAN; summary.rows as usize];
    for (row, score) in index.rows().iter().zip(index.scores()) {
        scores[*row as usize] = *score;
    }
    scores
}

fn assert_near(found: &[f64], expected: &[f64]) {
    let near = |(found, expected): (&f64, &f64)| (found - expected).abs() < 1e-12;
    assert!(
        found.len() == expected.len() && found.iter().zip(expected).all(near),
        "{found:?} for {expected:?}"
    );
}

#[test]
fn distances_are_those_worked_out_by_hand() {
    let rows = [
        json!({"e": [1, 0], "g": "a"}),
        json!({"e": [3.0, 4.0], "g": "b"}),
        json!({"e": [0, 1], "g": "a"}),
        json!({"e": [3, 4], "g": "b"}),
        json!({"e": [-3, -4], "g": "b"}),
    ];
    let place = |metric, grouped: bool| {
        let place = Place::new("jsonl", &lines(&rows), vec![centre_distance("e", metric)]);
        scores(&if grouped { place.grouped("g") } else { place })
    };
    // The centres are (1/2, 1/2), at 45° to both rows, and (1, 4/3).
    let half = 1.0 - 0.5_f64.sqrt();
    assert_near(&place(Metric::Cosine, true), &[half, 0.0, half, 0.0, 2.0]);
    let to_centre = 0.5_f64.sqrt();
    assert_near(
        &place(Metric::Euclidean, true),
        &[to_centre, 10.0 / 3.0, to_centre, 10.0 / 3.0, 20.0 / 3.0],
    );
    // One centre for all: (4/5, 1).
    let far = 41.0_f64.sqrt() / 5.0;
    let expected = [
        (0.04_f64 + 1.0).sqrt(),
        (2.2_f64.powi(2) + 9.0).sqrt(),
        0.8,
        (2.2_f64.powi(2) + 9.0).sqrt(),
        (3.8_f64.powi(2) + 25.0).sqrt(),
    ];
    assert_near(&place(Metric::Euclidean, false), &expected);
    let cosine = place(Metric::Cosine, false);
    assert_near(&cosine[..1], &[1.0 - 0.8 / far]);
}

/// A Parquet file of the embeddings in each kind of list, and their JSON.
fn in_every_format(rows: &[Vec<f64>], length: usize) -> Vec<(&'static str, Vec<u8>)> {
    let mut list = ListBuilder::new(Float64Builder::new());
    let mut large = LargeListBuilder::new(Float32Builder::new());
    let mut fixed = FixedSizeListBuilder::new(Float32Builder::new(), length as i32);
    for row in rows {
        list.values().append_slice(row);
        list.append(true);
        let single: Vec<f32> = row.iter().map(|number| *number as f32).collect();
        large.values().append_slice(&single);
        large.append(true);
        fixed.values().append_slice(&single);
        fixed.append(true);
    }
    let of = |lists: ArrayRef| parquet_of(vec![("e", lists)]);
    let objects: Vec<Value> = rows.iter().map(|row| json!({"e": row})).collect();
    vec![
        ("parquet", of(Arc::new(list.finish()))),
        ("parquet", of(Arc::new(large.finish()))),
        ("parquet", of(Arc::new(fixed.finish()))),
        ("jsonl", lines(&objects)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Numbers of many sizes, whose floating-point sums depend on their order.
    #[test]
    fn formats_and_shards_give_the_same_bytes(
        rows in (1..20_usize).prop_flat_map(|length| {
            let number = (any::<i16>(), -40..20_i32).prop_map(|(digits, power)| f64::from(digits) * 2_f64.powi(power / 2));
            prop::collection::vec(prop::collection::vec(number, length), 1..40)
        }),
        shards in 2..7_u32,
        euclidean: bool,
    ) {
        let metric = if euclidean { Metric::Euclidean } else { Metric::Cosine };
        let length = rows[0].len();
        let mut digests = Vec::new();
        for (extension, content) in in_every_format(&rows, length) {
            for shards in [1, shards] {
                let mut place = Place::new(extension, &content, vec![centre_distance("e", metric)]);
                place.task.shards = shards;
                // An embedding of zeros has no direction.
                place.task.min_coverage = "0".to_owned();
                let found = scores(&place);
                digests.push(place.index().unwrap().digest);
                if euclidean {
                    let mean = |at: usize| rows.iter().map(|row| row[at]).sum::<f64>() / rows.len() as f64;
                    let centre: Vec<f64> = (0..length).map(mean).collect();
                    for (row, found) in rows.iter().zip(found) {
                        let squares = row.iter().zip(&centre).map(|(number, mean)| (number - mean).powi(2));
                        let expected = squares.sum::<f64>().sqrt();
                        prop_assert!((found - expected).abs() <= 1e-9 * (1.0 + expected), "{found} for {expected}");
                    }
                }
            }
        }
        digests.dedup();
        prop_assert_eq!(digests.len(), 1);
    }
}

#[test]
fn what_is_no_embedding_has_no_score() {
    let data = b"{\"e\":\"text\"}\n{\"e\":null}\n{\"e\":[]}\n{\"e\":[1,NaN],\"n\":1}\n{\"n\":NaN,\"e\":[1, 2]}\n{\"e\":[1,2,3]}\n\
        {\"e\":[1,null]}\n{\"e\":[0,0]}\n{\"e\":[1,1e12]}\n{\"e\":[1,\"2\"]}\n{\"e\":[[1],2]}\n{}\n{\"e\":7}\n{\"e\":[2,4]}\n\
        {\"e\":[1,[2]],\"n\":NaN}\n{\"e\":[1,true]}\n";
    let mut place = Place::new("jsonl", data, vec![centre_distance("e", Metric::Cosine)]);
    let error = place.run().unwrap_err();
    assert_eq!(error.exit_code(), EXIT_SCORES);
    assert_eq!(
        error.to_string(),
        "2 of 16 rows have a finite score from every scorer, but `scoring.minCoverage` asks for 1; scorer `distance`: \
         2 rows without a value (first in shard 0 of 2), 6 values of the wrong kind (first in shard 0 of 2), \
         3 values that are not finite (first in shard 0 of 2), 2 lists of another length (first in shard 0 of 2), \
         1 list without a direction (in shard 0 of 2)"
    );
    place.task.min_coverage = "0.1".to_owned();
    for shards in [1, 2, 5] {
        place.task.shards = shards;
        let found = scores(&place);
        assert!(found[4] < 1e-12 && found[13] < 1e-12, "{found:?}");
        assert_eq!(found.iter().filter(|score| score.is_nan()).count(), 14);
    }
}

#[test]
fn items_that_are_null_are_no_numbers() {
    let mut lists = ListBuilder::new(Int32Builder::new());
    for row in [
        Some([Some(1), Some(2)]),
        None,
        Some([Some(3), None]),
        Some([Some(3), Some(2)]),
    ] {
        lists.append_option(row);
    }
    let data = parquet_of(vec![("e", Arc::new(lists.finish()) as ArrayRef)]);
    let mut place = Place::new("parquet", &data, vec![centre_distance("e", Metric::Euclidean)]);
    place.task.min_coverage = "0.5".to_owned();
    let found = scores(&place);
    assert_near(&[found[0], found[3]], &[1.0, 1.0]);
    assert!(found[1].is_nan() && found[2].is_nan());
}

#[test]
fn a_column_of_something_else_is_refused() {
    let texts = {
        let mut lists = ListBuilder::new(arrow_array::builder::StringBuilder::new());
        lists.append_option(Some([Some("a")]));
        Arc::new(lists.finish()) as ArrayRef
    };
    let numbers = Arc::new(Float64Array::from(vec![1.0])) as ArrayRef;
    for (extension, content, words) in [
        (
            "csv",
            b"e\n\"[1,2]\"\n".to_vec(),
            "scorer `distance` names column `e`, but CSV has no lists of numbers; write the data as Parquet or JSON Lines",
        ),
        (
            "parquet",
            parquet_of(vec![("e", texts)]),
            "it needs a column of lists of numbers",
        ),
        (
            "parquet",
            parquet_of(vec![("e", numbers)]),
            "it needs a column of lists of numbers",
        ),
        (
            "jsonl",
            b"{\"e\":1}\n".to_vec(),
            "scorer `distance` names column `e`, which has a list of numbers in no row",
        ),
    ] {
        let error = Place::new(extension, &content, vec![centre_distance("e", Metric::Cosine)])
            .inspect()
            .unwrap_err();
        assert_eq!(error.exit_code(), EXIT_DATASET);
        assert!(matches!(error, ScoringError::ColumnNotFound(_)), "{error:?}");
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn an_embedding_that_is_too_long_is_refused() {
    let rows = [json!({"e": vec![1; MAX_NUMBERS + 1]})];
    let error = Place::new("jsonl", &lines(&rows), vec![centre_distance("e", Metric::Cosine)])
        .run()
        .map(drop)
        .unwrap_err();
    assert_eq!(error.exit_code(), EXIT_SCORES);
    assert_eq!(
        error.to_string(),
        "scorer `distance` reads column `e`, whose lists have 16385 numbers; at most 16384 are taken"
    );
}

/// In a shard without an embedding, and in a data set without one.
#[test]
fn rows_may_lack_embeddings() {
    let mut rows = vec![json!({"e": null}); 200];
    rows.extend([json!({"e": [1.0, 2.0]}), json!({"e": [3.0, 2.0]})]);
    let mut place = Place::new("jsonl", &lines(&rows), vec![centre_distance("e", Metric::Euclidean)]);
    place.task.min_coverage = "0.009".to_owned();
    place.task.shards = 3;
    assert_near(&scores(&place)[200..], &[1.0, 1.0]);

    let data = parquet_of(vec![
        ("n", Arc::new(Int64Array::from(vec![1])) as ArrayRef),
        ("e", {
            let mut lists = ListBuilder::new(Float64Builder::new());
            lists.append_null();
            Arc::new(lists.finish())
        }),
        ("t", Arc::new(StringArray::from(vec!["a"]))),
    ]);
    let mut place = Place::new("parquet", &data, vec![centre_distance("e", Metric::Cosine)]);
    place.task.min_coverage = "0".to_owned();
    assert!(scores(&place)[0].is_nan());
}

#[test]
fn sums_that_are_missing_or_of_something_else_are_asked_for_again() {
    let rows: Vec<Value> = (0..4).map(|row| json!({"e": [row, 1]})).collect();
    let place = Place::new("jsonl", &lines(&rows), vec![centre_distance("e", Metric::Cosine)]);
    place.inspect().unwrap();
    place.score().unwrap();
    let [first, last] = [0, 1].map(|index| Shard { index, count: 2 });
    let path = place.store().sums(&place.task, "distance", last);
    let good = fs::read(&path).unwrap();
    let score = || score_shard(&place.task, &place.source(), &place.store(), first);
    for bytes in [good[1..].to_vec(), good[..good.len() - 1].to_vec(), Vec::new()] {
        fs::write(&path, bytes).unwrap();
        assert_eq!(score().unwrap_err().exit_code(), EXIT_IO);
    }
    fs::remove_file(&path).unwrap();
    assert_eq!(score().unwrap_err().exit_code(), EXIT_IO);
    fs::write(&path, good).unwrap();
    score().unwrap();
}
