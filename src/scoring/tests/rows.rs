//! What is a row, in each format, and what becomes of a row that something is wrong with.

use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array};
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use super::*;
use crate::api::conditions::Reason;
use crate::scoring::report::EXIT_DATASET;

/// Rows that have no score, and why, when half of them is enough.
fn unscored(mut place: Place) -> (u64, u64, String) {
    place.task.shards = 1;
    let why = place.run().unwrap_err().to_string();
    place.task.min_coverage = "0.1".to_owned();
    let (summary, _) = place.run().unwrap();
    let why = why.split_once("asks for 1; ").unwrap().1;
    (summary.rows, summary.scored_rows, why.to_owned())
}

/// What Python's `csv`, pandas 3.1 and pyarrow 26.0 agree on.
#[test]
fn rows_of_csv_are_those_of_pandas_and_pyarrow() {
    for (text, rows) in [
        (&b"a,b\n1,x\n2,y\n"[..], 2),
        (b"a,b\n1,x\n2,y", 2),
        (b"a,b\r\n1,x\r\n2,y\r\n", 2),
        (b"a,b\n1,x\n\n2,y\n", 2),
        (b"a,b\n1,x\n2,y\n\n\n", 2),
        (b"a,b\n1,x\n,\n2,y\n", 3),
        (b"a,b\n1,\"x\ny\"\n2,y\n", 2),
        (b"a,b\n1,\"x\n\ny\"\n2,y\n", 2),
        (b"a,b\n1, \"x\"\n2,y\n", 2),
        (b"a,b\n1,5\" pipe\n2,y\n", 2),
        (b"\xef\xbb\xbfa,b\n1,x\n2,y\n", 2),
        (b"a,b\n1,\0\n2,y\n", 2),
        // These two agree, `csv` has another row.
        (b"\n\na,b\n1,x\n2,y\n", 2),
        // One column: an empty text in quotes is a row, and for `csv` and pyarrow so is a line of blanks, though not for pandas.
        (b"a\n1\n\"\"\n2\n", 3),
        (b"a\n1\n   \n2\n", 3),
    ] {
        let place = Place::new("csv", text, vec![column("a")]);
        assert_eq!(place.inspect().unwrap().rows, rows, "{}", String::from_utf8_lossy(text));
    }
}

/// What Python's `json` (line by line) and pandas agree on.
#[test]
fn rows_of_json_lines_are_those_of_pandas() {
    for (text, rows) in [
        (&b"{\"a\":1}\n\n  \n{\"a\":2}\n"[..], 2),
        (b"{\"a\":1}\r\n{\"a\":2}", 2),
        (b"{\"a\":NaN}\n{\"a\":1}\n", 2),
        (b"{\"a\":1,\"b\":[NaN,{\"c\":-Infinity}]}\n", 1),
        (b"{\"a\":1e400}\n{\"a\":1}\n", 2),
        (b"{\"a\":1,\"b\":\"x \\ud83d y\"}\n", 1),
        (b"{\"a\":1,\"a\":2}\n", 1),
    ] {
        let place = Place::new("jsonl", text, vec![column("a")]);
        assert_eq!(place.inspect().unwrap().rows, rows, "{}", String::from_utf8_lossy(text));
    }
}

#[test]
fn numbers_that_are_none_cost_their_own_row() {
    let place = || {
        let text = br#"{"n":0.3,"x":NaN}
{"n":NaN}
{"n":-Infinity}
{"n":1e400}
{"n":"high"}
{"n":null}
{"m":1}
{"n":0.1,"x":1e999}
"#;
        Place::new("jsonl", text, vec![column("n")])
    };
    let why = "scorer `column`: 2 rows without a value (first in shard 0 of 1), 1 value of the wrong kind (in shard 0 of 1), 3 \
               values that are not finite (first in shard 0 of 1)";
    assert_eq!(unscored(place()), (8, 2, why.to_owned()));
    let csv = b"n\n0.3\nnan\n-inf\n1e400\nhigh\n \" \"\n0.1\n";
    assert_eq!(unscored(Place::new("csv", csv, vec![column("n")])).1, 2);
    let numbers = Float64Array::from(vec![
        Some(0.3),
        Some(f64::NAN),
        None,
        Some(f64::NEG_INFINITY),
        Some(0.1),
    ]);
    let parquet = parquet_of(vec![("n", Arc::new(numbers) as ArrayRef)]);
    assert_eq!(unscored(Place::new("parquet", &parquet, vec![column("n")])).1, 2);
}

/// A Parquet file whose column `text` says that it is UTF-8, whatever it is.
fn parquet_texts(texts: &[&[u8]]) -> Vec<u8> {
    let schema = Arc::new(parse_message_type("message m { REQUIRED BINARY text (UTF8); }").unwrap());
    let mut file = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut file, schema, Arc::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let values: Vec<ByteArray> = texts.iter().map(|text| ByteArray::from(text.to_vec())).collect();
    column
        .typed::<ByteArrayType>()
        .write_batch(&values, None, None)
        .unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
    file
}

#[test]
fn texts_that_are_none_cost_their_own_row() {
    let why = "scorer `length`: 1 value that is not readable (in shard 0 of 1)";
    for (extension, content) in [
        (
            "jsonl",
            b"{\"text\":\"half \\ud83d pair\"}\n{\"text\":\"whole\"}\n".to_vec(),
        ),
        (
            "jsonl",
            b"{\"text\":\"bad \xff byte\"}\n{\"text\":\"whole\"}\n".to_vec(),
        ),
        ("csv", b"text,n\nbad \xff byte,1\nwhole,2\n".to_vec()),
        ("parquet", parquet_texts(&[b"bad \xff byte", b"whole"])),
    ] {
        let place = Place::new(extension, &content, vec![length("text", Unit::Bytes)]);
        assert_eq!(unscored(place), (2, 1, why.to_owned()), "{extension}");
    }
    // In a column that nobody reads they cost nothing, and as a group they are no value.
    for (extension, content) in [
        ("jsonl", &b"{\"g\":\"\\ud83d\",\"n\":1}\n{\"g\":\"a\",\"n\":2}\n"[..]),
        ("jsonl", b"{\"g\":\"\xff\",\"n\":1}\n{\"g\":\"a\",\"n\":2}\n"),
        ("csv", b"g,n\n\xff,1\na,2\n"),
    ] {
        let place = Place::new(extension, content, vec![column("n")]);
        assert_eq!(place.run().unwrap().0.scored_rows, 2);
        assert_eq!(place.grouped("g").run().unwrap().0.group_names, ["", "a"]);
    }
    let header = b"gr\xf6\xdfe,n\n1,1\n2,2\n";
    assert_eq!(
        Place::new("csv", header, vec![column("n")])
            .run()
            .unwrap()
            .0
            .scored_rows,
        2
    );
}

#[test]
fn a_bad_row_is_named_and_a_bounded_number_is_let_pass() {
    for (extension, content, first) in [
        (
            "csv",
            &b"n,m\n1,x\n2\n3,y,z\n   \n4,\"v\nw\"\n"[..],
            "line 3 has 1 field, the header has 2",
        ),
        (
            "jsonl",
            b"{\"n\":1}\n\nnull\n[1]\n{\"n\":\n{\"n\":4}\n",
            "line 3 is not a JSON object",
        ),
    ] {
        let mut place = Place::new(extension, content, vec![column("n")]);
        place.task.shards = 3;
        let error = place.inspect().unwrap_err();
        assert_eq!(error.exit_code(), EXIT_DATASET);
        let message = error.failure(Reason::InspectionFailed).message;
        assert!(
            message.contains(first) && message.contains("`dataset.maxBadRows`"),
            "{message}"
        );
        place.task.max_bad_rows = 2;
        let message = place.inspect().unwrap_err().to_string();
        let expected =
            format!("more rows are bad than `dataset.maxBadRows` allows, which is 2; the first one: {first}");
        assert!(message.ends_with(&expected), "{message}");

        // A row all the same: the last one keeps its number. What cannot have a score is not asked for one.
        place.task.max_bad_rows = 3;
        let inspection = place.inspect().unwrap();
        assert_eq!((inspection.rows, inspection.bad_rows), (5, 3));
        let (summary, index) = place.run().unwrap();
        assert_eq!((summary.rows, summary.scored_rows), (5, 2));
        assert_eq!(index.rows()[..2], [0, 4]);
        assert!(place.inspect().unwrap().found.unwrap().exact);
        let grouped = place.grouped("n").run().unwrap().0;
        assert_eq!(
            (grouped.group_names, grouped.group_rows),
            (vec!["".into(), "1".into(), "4".into()], vec![3, 1, 1])
        );
    }
}

#[test]
fn a_quote_that_is_never_closed_is_named() {
    for content in ["n,text\n1,a\n2,\"b\n3,c\n4,d\n", "n,text\n1,a\n2,\"b"] {
        let message = Place::new("csv", content.as_bytes(), vec![column("n")])
            .inspect()
            .unwrap_err()
            .to_string();
        assert_eq!(
            message,
            "`dataset.path` `data.csv` cannot be read as CSV: a quote in the row that begins in line 3 is never closed, so that \
             everything behind it is part of that row"
        );
    }
    for content in [
        "n,text\n1,5\" pipe\n",
        "n,text\n1,\"a\"",
        "n,text\n1,\"a\"\"b\"\n",
        "n,text\n1,\"a\nb\"\n\n",
    ] {
        let place = Place::new("csv", content.as_bytes(), vec![column("n")]);
        assert_eq!(place.inspect().unwrap().rows, 1, "{content}");
    }
}

#[test]
fn another_delimiter_may_be_given_and_is_guessed_at() {
    for (delimiter, shown, content) in [
        (';', ';', "text;loss\na,b;1\nc;2\n"),
        ('|', '|', "text|loss\na,b|1\nc|2\n"),
    ] {
        let mut place = Place::new("csv", content.as_bytes(), vec![column("loss")]);
        let message = place.inspect().unwrap_err().to_string();
        let expected =
            format!("the header looks as if '{shown}' separates the columns: set `dataset.delimiter: \"{shown}\"`");
        assert!(message.ends_with(&expected), "{message}");
        place.task.delimiter = delimiter;
        assert_eq!(place.run().unwrap().0.scored_rows, 2);
    }
    let mut place = Place::new("csv", b"text\tloss\na,b\t1\nc\t2\n", vec![column("loss")]);
    let message = place.inspect().unwrap_err().to_string();
    assert!(
        message.ends_with("the header has tabs: set `dataset.delimiter: \"\\t\"`"),
        "{message}"
    );
    place.task.delimiter = '\t';
    assert_eq!(place.run().unwrap().0.scored_rows, 2);
    // No guess where another delimiter would not help either.
    let place = Place::new("csv", b"a;b\n1;2\n", vec![column("loss")]);
    assert!(
        place
            .inspect()
            .unwrap_err()
            .to_string()
            .ends_with("the columns are `a;b`")
    );
}
