//! Columns of every type that means something: as scores, as lengths, as groups.

use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int64Array,
    ListArray, StringArray, TimestampMicrosecondArray, TimestampSecondArray,
};

use super::*;
use crate::curriculum::order::RowOrder;

fn scores(extension: &str, content: &[u8], scorer: Scorer) -> Vec<f64> {
    let (_, index) = Place::new(extension, content, vec![scorer]).run().unwrap();
    let mut scores = vec![0.0; index.rows().len()];
    for (row, score) in index.rows().iter().zip(index.scores()) {
        scores[*row as usize] = *score;
    }
    scores
}

fn of_column(values: ArrayRef) -> Vec<f64> {
    scores("parquet", &parquet_of(vec![("c", values)]), column("c"))
}

#[test]
fn single_precision_compares_as_it_was_written() {
    let losses = parquet_of(vec![("c", Arc::new(Float32Array::from(vec![0.1, 0.3, 0.7])))]);
    let (_, index) = Place::new("parquet", &losses, vec![column("c")]).run().unwrap();
    assert_eq!(index.scores(), [0.1, 0.3, 0.7]);
    assert_eq!([0.1, 0.3, 0.7].map(|threshold| index.at_most(threshold)), [1, 2, 3]);
}

#[test]
fn flags_and_times_are_numbers() {
    assert_eq!(of_column(Arc::new(BooleanArray::from(vec![true, false]))), [1.0, 0.0]);
    assert_eq!(scores("csv", b"c\nTrue\nfalse\nTRUE\n", column("c")), [1.0, 0.0, 1.0]);
    assert_eq!(
        scores("jsonl", b"{\"c\":true}\n{\"c\":false}\n", column("c")),
        [1.0, 0.0]
    );
    let seconds = TimestampSecondArray::from(vec![1_700_000_000, -5]).with_timezone("+02:00");
    assert_eq!(of_column(Arc::new(seconds)), [1_700_000_000.0, -5.0]);
    let parts = TimestampMicrosecondArray::from(vec![1_500_000, 250_000]);
    assert_eq!(of_column(Arc::new(parts)), [1.5, 0.25]);
    assert_eq!(of_column(Arc::new(Date32Array::from(vec![1, 0]))), [86_400.0, 0.0]);
    let decimals = Decimal128Array::from(vec![10, 250])
        .with_precision_and_scale(5, 2)
        .unwrap();
    assert_eq!(of_column(Arc::new(decimals)), [0.1, 2.5]);
}

/// The reader's batches have 8,192 rows: whole ones, one with a null, one with what is not finite.
#[test]
fn a_column_with_and_without_gaps_is_its_scores() {
    let value = |row: u64| match row {
        9_000 => None,
        17_000 => Some(f64::NAN),
        17_001 => Some(f64::INFINITY),
        row => Some((row * 7919 % 1009) as f64),
    };
    let values: Float64Array = (0..40_000).map(value).collect();
    let mut place = Place::new("parquet", &parquet_of(vec![("c", Arc::new(values))]), vec![column("c")]);
    place.task.min_coverage = "0.9".to_owned();
    place.task.shards = 3;
    let (summary, index) = place.run().unwrap();
    assert_eq!(summary.scored_rows, 39_997);
    for (row, score) in index.rows().iter().zip(index.scores()) {
        match value(*row).filter(|value| value.is_finite()) {
            Some(value) => assert_eq!(*score, value),
            None => assert!(score.is_nan()),
        }
    }
}

#[test]
fn a_list_is_as_long_as_it_has_items() {
    let lists = [Some(vec![Some(1), Some(2), None]), Some(vec![]), Some(vec![Some(7)])];
    let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(lists));
    let parquet = parquet_of(vec![("ids", lists)]);
    let json = b"{\"ids\":[1,2,null]}\n{\"ids\":[]}\n{\"ids\":[[7,8]]}\n";
    assert_eq!(scores("parquet", &parquet, length("ids", Unit::Words)), [3.0, 0.0, 1.0]);
    assert_eq!(scores("jsonl", json, length("ids", Unit::Words)), [3.0, 0.0, 1.0]);
    let error = Place::new("parquet", &parquet, vec![rarity("ids")])
        .inspect()
        .unwrap_err();
    assert!(error.to_string().ends_with("it needs a text column"), "{error}");
}

/// As Impala and Hive write texts.
#[test]
fn bytes_without_a_type_are_texts_where_they_are_utf8() {
    let parquet = parquet_of(vec![
        (
            "text",
            Arc::new(BinaryArray::from(vec![&b"h\xc3\xa9"[..], b"abc", b"\xff"])) as ArrayRef,
        ),
        ("n", Arc::new(Int64Array::from(vec![1, 2, 3]))),
    ]);
    let mut place = Place::new("parquet", &parquet, vec![length("text", Unit::Characters)]);
    place.task.min_coverage = "0.5".to_owned();
    let (summary, index) = place.run().unwrap();
    assert_eq!((summary.scored_rows, &index.scores()[..2]), (2, &[2.0, 3.0][..]));
    let place = Place::new("parquet", &parquet, vec![column("n")]).grouped("text");
    assert_eq!(place.run().unwrap().0.group_names, ["", "abc", "hé"]);
}

/// The labels 0, 1, none and 10 as pandas holds them and writes them.
#[test]
fn groups_have_the_same_names_in_every_format() {
    let losses = || Arc::new(Float64Array::from(vec![1.0, 2.0, 3.0, 4.0, 5.0])) as ArrayRef;
    let parquet = |labels: ArrayRef| parquet_of(vec![("label", labels), ("loss", losses())]);
    let floats = vec![Some(0.0), Some(1.0), None, Some(10.0), Some(f64::NAN)];
    let whole = [Some(0), Some(1), None, Some(10), None];
    let decimals = whole
        .iter()
        .map(|n| n.map(|n: i128| n * 100))
        .collect::<Decimal128Array>();
    let single: Float32Array = floats.iter().map(|n| n.map(|n| n as f32)).collect();
    let texts = vec![Some("0"), Some("1"), None, Some("10"), Some("")];
    for (extension, content) in [
        ("csv", b"label,loss\n0.0,1\n1.0,2\n,3\n10.0,4\nnan,5\n".to_vec()),
        ("csv", b"label,loss\n0,1\n1,2\n,3\n10,4\n,5\n".to_vec()),
        (
            "jsonl",
            b"{\"label\":0.0,\"loss\":1}\n{\"label\":1.0,\"loss\":2}\n{\"label\":null,\"loss\":3}\n{\"label\":10,\"loss\":4}\n\
              {\"label\":NaN,\"loss\":5}\n"
                .to_vec(),
        ),
        ("parquet", parquet(Arc::new(Float64Array::from(floats)))),
        ("parquet", parquet(Arc::new(single))),
        ("parquet", parquet(Arc::new(Int64Array::from_iter(whole.iter().map(|n| n.map(|n| n as i64)))))),
        ("parquet", parquet(Arc::new(decimals.with_precision_and_scale(6, 2).unwrap()))),
        ("parquet", parquet(Arc::new(StringArray::from(texts)))),
    ] {
        let mut place = Place::new(extension, &content, vec![column("loss")]).grouped("label");
        place.task.named_groups = vec!["1".to_owned(), "10".to_owned()];
        let inspection = place.inspect().unwrap();
        assert_eq!(inspection.group_rows, [2, 1, 1, 1], "{extension}");
        assert_eq!(inspection.named_groups, [Some(2), Some(3)]);
        assert_eq!(place.run().unwrap().0.group_names, ["", "0", "1", "10"]);
    }
    let flags = vec![Some(true), None, Some(false), Some(true), Some(true)];
    for (extension, content) in [
        ("csv", b"label,loss\nTrue,1\n,2\nFalse,3\nTrue,4\nTrue,5\n".to_vec()),
        ("parquet", parquet(Arc::new(BooleanArray::from(flags)))),
    ] {
        let place = Place::new(extension, &content, vec![column("loss")]).grouped("label");
        assert_eq!(place.run().unwrap().0.group_names, ["", "false", "true"], "{extension}");
    }
}

#[test]
fn an_unknown_group_is_named_with_those_there_are() {
    let mut place = Place::new("csv", b"n,g\n1,a\n2,\n3,b\n", vec![column("n")]).grouped("g");
    place.task.named_groups = vec!["a".to_owned(), "1.0".to_owned()];
    let error = place.inspect().unwrap_err();
    assert_eq!(
        error.to_string(),
        "the curriculum names group `1.0`, which is no value of `dataset.groupColumn` `g`; its values are `(no value)`, `a` and `b`"
    );
    assert_eq!(error.exit_code(), crate::scoring::report::EXIT_DATASET);
}
