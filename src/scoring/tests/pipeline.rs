//! From a data set to an index: the three formats, shards, and what the built-in scorers measure.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float32Array, Int32Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use proptest::prelude::*;

use super::duplicates::duplicates;
use super::*;
use crate::scoring::dataset::{Cell, Field, Kind, Part, RowFile};
use crate::scoring::report::FoundIndex;
use crate::scoring::store::StoredSummary;
use crate::store::read_json;
use crate::store::scratch::write_json;

/// A row of the test data: text, loss, label.
pub(super) type Row = (String, f32, i32);

pub(super) fn csv(rows: &[Row]) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(["text", "loss", "label"]).unwrap();
    for (text, loss, label) in rows {
        writer
            .write_record([text, &loss.to_string(), &label.to_string()])
            .unwrap();
    }
    writer.into_inner().unwrap()
}

pub(super) fn json(rows: &[Row]) -> Vec<u8> {
    let line = |(text, loss, label): &Row| {
        // A float goes through its decimal text, as in the CSV file: widened to 64 bits it would have other digits.
        let loss: serde_json::Value = serde_json::from_str(&loss.to_string()).unwrap();
        serde_json::json!({"text": text, "loss": loss, "other": [1, {"text": 2}], "label": label}).to_string()
    };
    rows.iter().map(|row| line(row) + "\n").collect::<String>().into_bytes()
}

pub(super) fn parquet(rows: &[Row], group_rows: usize) -> Vec<u8> {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("label", Arc::new(rows.iter().map(|row| row.2).collect::<Int32Array>())),
        (
            "text",
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.0))),
        ),
        ("loss", Arc::new(rows.iter().map(|row| row.1).collect::<Float32Array>())),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(group_rows))
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

/// In two members, as programs write that pack in parallel.
pub(super) fn gzip(text: &[u8]) -> Vec<u8> {
    let (first, second) = text.split_at(text.len() / 3);
    let mut packed = Vec::new();
    for part in [first, second] {
        let mut encoder = flate2::write::GzEncoder::new(packed, flate2::Compression::fast());
        encoder.write_all(part).unwrap();
        packed = encoder.finish().unwrap();
    }
    packed
}

pub(super) fn all_scorers() -> Vec<Scorer> {
    vec![
        column("loss"),
        length("text", Unit::Characters),
        rarity("text"),
        duplicates("text", 1),
    ]
}

/// Losses that single and double precision write the same way.
pub(super) fn rows() -> impl Strategy<Value = Vec<Row>> {
    let text = prop_oneof!["[a-c ]{0,12}", "([A-Dé,\"\n\r ]|\r\n){0,12}"];
    prop::collection::vec(
        (
            text,
            (-40..40_i16).prop_map(|eighths| f32::from(eighths) / 8.0),
            0..3_i32,
        ),
        1..40,
    )
}

proptest! {
    // Each case writes twelve indexes to the disk.
    #![proptest_config(ProptestConfig::with_cases(10))]

    #[test]
    fn formats_and_shards_give_the_same_bytes(rows in rows()) {
        let mut digests = HashMap::new();
        for (extension, content) in [("csv", csv(&rows)), ("jsonl", json(&rows)), ("parquet", parquet(&rows, 7))] {
            let mut place = Place::new(extension, &content, all_scorers()).grouped("label");
            for shards in 1..=4 {
                place.task.shards = shards;
                let (summary, _) = place.run().unwrap();
                digests.insert((extension, shards), summary.digest);
            }
        }
        let first = &digests[&("csv", 1)];
        prop_assert!(digests.values().all(|digest| digest == first), "{digests:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn scores_are_those_of_their_definitions(rows in rows()) {
        let mut counts: HashMap<String, f64> = HashMap::new();
        for token in rows.iter().flat_map(|row| row.0.split_whitespace()) {
            *counts.entry(token.to_lowercase()).or_default() += 1.0;
        }
        let total: f64 = counts.values().sum();
        let rarity_of = |text: &str| {
            let tokens: Vec<f64> = text.split_whitespace().map(|t| -(counts[&t.to_lowercase()] / total).ln()).collect();
            if tokens.is_empty() { 0.0 } else { tokens.iter().sum::<f64>() / tokens.len() as f64 }
        };
        type Measure<'a> = Box<dyn Fn(&Row) -> f64 + 'a>;
        let naive: Vec<(Scorer, Measure<'_>)> = vec![
            (column("loss"), Box::new(|row| f64::from(row.1))),
            (length("text", Unit::Words), Box::new(|row| row.0.split_whitespace().count() as f64)),
            (length("text", Unit::Characters), Box::new(|row| row.0.chars().count() as f64)),
            (length("text", Unit::Bytes), Box::new(|row| row.0.len() as f64)),
            (rarity("text"), Box::new(|row| rarity_of(&row.0))),
        ];
        for (scorer, score) in naive {
            let (summary, index) = Place::new("csv", &csv(&rows), vec![scorer]).run().unwrap();
            prop_assert_eq!(summary.scored_rows, rows.len() as u64);
            for (row, found) in index.rows().iter().zip(index.scores()) {
                prop_assert!((score(&rows[*row as usize]) - found).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn every_shard_reads_its_own_rows(rows in rows(), shards in 1..6_u32) {
        for (extension, content) in [("csv", csv(&rows)), ("jsonl", json(&rows)), ("parquet", parquet(&rows, 3))] {
            let place = Place::new(extension, &content, vec![]);
            let file = RowFile::new(place.root().join(place.task.path.as_deref().unwrap()), place.task.format);
            let field = Field { column: "text".to_owned(), kind: Kind::Text, asked_by: String::new() };
            let mut texts = Vec::new();
            for index in 0..shards {
                let part = Part { rows: Some(Shard { index, count: shards }.rows(rows.len() as u64)), start: None };
                let mut cursor = file.read(std::slice::from_ref(&field), part).unwrap();
                while cursor.advance().unwrap() {
                    match cursor.cell(0) {
                        Cell::Text(text) => texts.push(text.to_owned()),
                        other => panic!("{other:?}"),
                    }
                }
            }
            prop_assert!(texts.iter().eq(rows.iter().map(|row| &row.0)), "{extension}: {texts:?}");
        }
    }
}

#[test]
fn shards_seek_past_the_first_offsets() {
    // More rows than two strides; every third spans two lines.
    let rows: Vec<Row> = (0..9000_i16)
        .map(|i| {
            (
                if i % 3 == 0 { "a\nb" } else { "c" }.repeat(i as usize % 7),
                f32::from(i),
                0,
            )
        })
        .collect();
    // As some programs write it at the start of a text file.
    let marked = |text: Vec<u8>| [b"\xef\xbb\xbf", &text[..]].concat();
    for (extension, content) in [
        ("csv", marked(csv(&rows))),
        ("jsonl", marked(json(&rows))),
        ("parquet", parquet(&rows, 1000)),
        // Packed files are read by what is in them, whatever their names.
        ("csv", gzip(&marked(csv(&rows)))),
        ("jsonl", zstd::encode_all(&json(&rows)[..], 1).unwrap()),
    ] {
        let mut place = Place::new(extension, &content, vec![column("loss"), length("text", Unit::Bytes)]);
        place.task.scorers[1].weight = "0".to_owned();
        place.task.shards = 5;
        let (_, index) = place.run().unwrap();
        assert!(index.rows().iter().copied().eq(0..9000), "{extension}");
    }
}

#[test]
fn groups_stand_in_numeric_order_and_carry_their_rows() {
    let rows: Vec<Row> = [10, 9, 10, 2]
        .into_iter()
        .map(|label| (String::new(), label as f32, label))
        .collect();
    for (extension, content) in [
        ("csv", csv(&rows)),
        ("jsonl", json(&rows)),
        ("parquet", parquet(&rows, 2)),
    ] {
        let place = Place::new(extension, &content, vec![column("loss")]).grouped("label");
        assert_eq!(place.inspect().unwrap().group_rows, [1, 1, 2]);
        let (summary, index) = place.run().unwrap();
        assert_eq!(summary.group_names, ["2", "9", "10"]);
        assert_eq!(summary.group_mean_ranks, [0.25, 0.5, 0.875]);
        assert_eq!(index.group_names(), ["2", "9", "10"]);
        assert_eq!(index.group_rows_order(1), [1]);
    }
}

#[test]
fn rows_without_a_group_are_a_group_of_their_own() {
    let place = Place::new(
        "jsonl",
        b"{\"n\":1,\"g\":null}\n\n{\"n\":2,\"g\":true}\n{\"n\":3}\n{\"n\":4,\"g\":\"b\"}",
        vec![column("n")],
    )
    .grouped("g");
    let (summary, _) = place.run().unwrap();
    assert_eq!(
        (summary.group_names, summary.group_rows),
        (vec![String::new(), "b".into(), "true".into()], vec![2, 1, 1])
    );
    let place = Place::new("csv", b"n,g\n1,10\n2,\n3,9\n", vec![column("n")]).grouped("g");
    assert_eq!(place.run().unwrap().0.group_names, ["", "9", "10"]);
}

#[test]
fn an_index_of_the_same_key_is_found_again() {
    let place = Place::new("csv", b"n\n3\n1\n2\n", vec![column("n")]);
    assert_eq!(place.inspect().unwrap().found, None);
    let (summary, _) = place.run().unwrap();
    assert_eq!(
        place.inspect().unwrap().found,
        Some(FoundIndex { exact: true, summary })
    );

    // Half of an index is none.
    let path = place.store().index(&place.task.key);
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    assert_eq!(place.inspect().unwrap().found, None);
    fs::remove_file(&path).unwrap();
    assert_eq!(place.inspect().unwrap().found, None);
}

#[test]
fn an_index_of_less_coverage_than_asked_for_is_not_exact() {
    let mut place = Place::new("csv", b"n,m\n3,\n1,\n,\n", vec![column("n")]);
    place.task.min_coverage = "0.5".to_owned();
    place.run().unwrap();
    assert!(place.inspect().unwrap().found.unwrap().exact);
    place.task.min_coverage = "0.7".to_owned();
    assert!(!place.inspect().unwrap().found.unwrap().exact);
}

#[test]
fn the_newest_earlier_index_of_the_same_rows_is_found() {
    let mut place = Place::new("csv", b"n,m,g\n3,1,0\n1,2,0\n2,3,1\n", vec![column("n")]);
    for (key, created) in [("b", 5), ("c", 9), ("d", 7)] {
        place.task.key = key.repeat(64);
        place.run().unwrap();
        let path = place
            .store()
            .indexes(&place.task)
            .join(format!("{}.json", place.task.key));
        let mut stored: StoredSummary = read_json(&path).unwrap();
        stored.created = jiff::Timestamp::from_second(created).unwrap();
        write_json(&path, &stored).unwrap();
    }
    fs::write(place.store().indexes(&place.task).join("e.json"), "garbage").unwrap();
    place.task.key = "e".repeat(64);
    place.task.scorers = vec![column("m")];
    let found = place.inspect().unwrap().found.unwrap();
    assert_eq!((found.exact, found.summary.key), (false, "c".repeat(64)));

    // Other groups or rows: the plan of this job would not fit it.
    let place = place.grouped("g");
    assert_eq!(place.inspect().unwrap().found, None);
    fs::write(place.root().join("data.csv"), "n,m,g\n3,1,0\n").unwrap();
    assert_eq!(place.inspect().unwrap().found, None);
}

#[test]
fn nothing_is_left_behind_but_the_files_of_the_layout() {
    let place = Place::new("csv", b"text,n\na,1\nb,2\n", vec![rarity("text"), column("n")]);
    place.run().unwrap();
    place.run().unwrap();
    let mut names = place.stored_files();
    names.sort();
    let key = format!("{}.json", place.task.key);
    let shards = [
        "0-of-2.json",
        "0-of-2.parquet",
        "0-of-2.parquet",
        "1-of-2.json",
        "1-of-2.parquet",
        "1-of-2.parquet",
        "all-of-2.json",
    ];
    let mut expected: Vec<&str> = [
        &shards[..],
        &[&key, "index.arrow", "manifest.json", "offsets.u64", "summary.json"],
    ]
    .concat();
    expected.sort_unstable();
    assert_eq!(names, expected);
}

#[test]
fn token_counts_are_summed_up_once() {
    let text = |rows: &[&str]| format!("text\n{}\n", rows.join("\n")).into_bytes();
    let place = Place::new("csv", &text(&["a b", "a", "c", "a"]), vec![rarity("text")]);
    place.inspect().unwrap();
    place.score().unwrap();
    let digest = place.index().unwrap().digest;
    // The sum alone is enough for the second shard.
    for shard in place.shards() {
        fs::remove_file(place.store().counts(&place.task, "rarity", shard)).unwrap();
    }
    for shard in place.shards() {
        score_shard(&place.task, &place.source(), &place.store(), shard).unwrap();
    }
    assert_eq!(place.index().unwrap().digest, digest);

    // Other data under the same key: the old sum is not theirs.
    let other = text(&["b b", "c", "c", "a"]);
    fs::write(place.root().join("data.csv"), &other).unwrap();
    let fresh = Place::new("csv", &other, vec![rarity("text")]).run().unwrap().0.digest;
    assert_eq!(place.run().unwrap().0.digest, fresh);
    assert_ne!(fresh, digest);

    // A damaged sum is made again.
    fs::write(place.store().all_counts(&place.task, "rarity"), "{\"source\"").unwrap();
    place.score().unwrap();
    assert_eq!(place.index().unwrap().digest, fresh);
}

/// Scores, seed and key decide the bytes: a run that goes on with a later version finds the index that it knows.
#[test]
fn indexes_are_those_of_every_build_before() {
    // Distinct losses of both signs, 7 classes; every 50th row has no loss.
    let data: String = (0..3000_u64)
        .map(|row| {
            let loss = (row * 7919 % 3000) as f64 / 8.0 - 100.0;
            let loss = if row % 50 == 7 { String::new() } else { loss.to_string() };
            format!("{loss},{},{}\n", "word ".repeat(row as usize % 11), row % 7)
        })
        .collect();
    let data = format!("loss,text,label\n{data}");
    let place = |scorers| {
        let mut place = Place::new("csv", data.as_bytes(), scorers);
        place.task.min_coverage = "0.9".to_owned();
        place
    };
    for (place, digest) in [
        (
            place(vec![column("loss")]),
            "b3d933044d22701573aba62c6b780510e4b54013d6a968e5c218aa464ca375eb",
        ),
        (
            place(vec![length("text", Unit::Words)]).grouped("label"),
            "4d4e70028e46c510251b95548bd2359eaf3e3a78468bf83309eeda7b6f4b4fd5",
        ),
        (
            place(vec![column("loss"), length("text", Unit::Bytes)]).grouped("label"),
            "0341be1f6ff3fdd32ac234d258919ca421fb5de0c8e3f687930c5c34390027fe",
        ),
    ] {
        assert_eq!(place.run().unwrap().0.digest, format!("sha256:{digest}"));
    }
}
