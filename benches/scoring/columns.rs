//! Built-in scorers, beside a plain read of the column that they need by the same library.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use csv::{ByteRecord, ReaderBuilder};
use curriculum_operator::curriculum::permute::Permutation;
use curriculum_operator::scoring::builtin::score_shard;
use curriculum_operator::scoring::dataset::Root;
use curriculum_operator::scoring::inspect::inspect;
use curriculum_operator::scoring::store::{Shard, Store};
use curriculum_operator::scoring::task::{Format, ScorerKind, Unit};
use curriculum_operator::store::Shared;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use crate::Args;
use crate::report::{Rival, Times, locked, print, seconds};
use crate::tasks::task;

const BATCH_ROWS: u64 = 1 << 16;

pub(crate) fn run(args: &Args, name: &'static str) {
    let folder = tempfile::tempdir_in(&args.folder).expect("a folder");
    let root = folder.path().join("dataset");
    fs::create_dir(&root).expect("a folder");
    let path = root.join("data");
    let (format, read): (_, fn(&Path, &str) -> f64) = match name {
        "csv" => {
            write_csv(&path, args.bytes);
            (Format::Csv, read_csv)
        }
        _ => {
            write_parquet(&path, args.bytes);
            (Format::Parquet, read_parquet)
        }
    };
    let bytes = fs::metadata(&path).expect("a data set").len();
    for (number, kind, column) in [
        (
            0,
            ScorerKind::Column {
                column: "loss".to_owned(),
            },
            "loss",
        ),
        (
            1,
            ScorerKind::Length {
                column: "text".to_owned(),
                unit: Unit::Words,
            },
            "text",
        ),
    ] {
        let scorer = if column == "loss" { "column" } else { "length" };
        let task = task(number, format, scorer, kind);
        let source = Root::local(&root);
        let store = Store::new(Shared::volume(folder.path().join("store")));
        let rows = inspect(&task, &source, &store).expect("a good data set").rows;
        let (mut ours, mut theirs) = (Times::default(), Times::default());
        for _ in 0..args.repeat {
            theirs.push(seconds(|| read(&path, column)));
            ours.push(seconds(|| {
                score_shard(&task, &source, &store, Shard { index: 0, count: 1 }).expect("scores");
            }));
        }
        let rival = Rival {
            name: "a plain read of the column",
            times: &theirs,
            version: (name, locked(name)),
        };
        let label = format!("score {name} by {scorer}");
        print(&label, &ours, Some(&rival), &[("rows", rows), ("bytes", bytes)]);
    }
}

/// A row: a text of 10 to 73 words, a loss, a class. A tenth of the texts has commas and quotes.
struct Row {
    text: String,
    loss: f64,
    class: i64,
}

fn rows() -> impl Iterator<Item = Row> {
    let random = Permutation::new(u64::MAX, 1);
    (0..).map(move |row| {
        let hash = random.apply(row);
        let mut text = String::new();
        for word in 0..10 + hash % 64 {
            // The product of two numbers favours the small ones, as texts favour frequent words.
            let draw = hash.rotate_left(word as u32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let word = ((draw >> 48) * ((draw >> 32) & 0xffff)) >> 16;
            text.push_str(&format!("w{word:x} "));
        }
        if (hash >> 32) & 0xff < 26 {
            text.push_str("\"so, he said\"");
        }
        Row {
            text,
            loss: (hash >> 11) as f64 / (1_u64 << 53) as f64 * 10.0,
            class: (hash % 10) as i64,
        }
    })
}

fn write_csv(path: &Path, bytes: u64) {
    let mut writer = csv::Writer::from_writer(Counting::create(path));
    writer.write_record(["text", "loss", "class"]).expect("a header");
    for row in rows() {
        let record = [row.text, row.loss.to_string(), row.class.to_string()];
        writer.write_record(record).expect("a row");
        if writer.get_ref().bytes >= bytes {
            break;
        }
    }
    writer.flush().expect("a data set");
}

fn write_parquet(path: &Path, bytes: u64) {
    let batch = |rows: Vec<Row>| {
        let columns: Vec<(&str, ArrayRef)> = vec![
            (
                "text",
                Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.text))),
            ),
            (
                "loss",
                Arc::new(rows.iter().map(|row| row.loss).collect::<Float64Array>()),
            ),
            (
                "class",
                Arc::new(rows.iter().map(|row| row.class).collect::<Int64Array>()),
            ),
        ];
        RecordBatch::try_from_iter(columns).expect("a batch")
    };
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let schema = batch(Vec::new()).schema();
    let mut writer = ArrowWriter::try_new(Counting::create(path), schema, Some(properties)).expect("a writer");
    let mut rows = rows();
    while writer.inner().bytes + (writer.in_progress_size() as u64) < bytes {
        let next = rows.by_ref().take(BATCH_ROWS as usize).collect();
        writer.write(&batch(next)).expect("rows");
    }
    writer.close().expect("a data set");
}

/// A file that knows how long it is.
struct Counting {
    file: BufWriter<File>,
    bytes: u64,
}

impl Counting {
    fn create(path: &Path) -> Self {
        Self {
            file: BufWriter::new(File::create(path).expect("a file")),
            bytes: 0,
        }
    }
}

impl Write for Counting {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        let count = self.file.write(data)?;
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

/// Sum of the numbers, or of the lengths of the texts.
fn read_csv(path: &Path, column: &str) -> f64 {
    let file = File::open(path).expect("a data set");
    let mut reader = ReaderBuilder::new().buffer_capacity(1 << 18).from_reader(file);
    let place = reader
        .headers()
        .expect("a header")
        .iter()
        .position(|name| name == column);
    let (place, number) = (place.expect("the column"), column == "loss");
    let mut record = ByteRecord::new();
    let mut sum = 0.0;
    while reader.read_byte_record(&mut record).expect("a row") {
        let text = str::from_utf8(&record[place]).expect("text");
        sum += if number {
            text.parse().expect("a number")
        } else {
            text.len() as f64
        };
    }
    sum
}

fn read_parquet(path: &Path, column: &str) -> f64 {
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path).expect("a data set")).expect("a data set");
    let mask = ProjectionMask::columns(builder.parquet_schema(), [column]);
    let reader = builder
        .with_projection(mask)
        .with_batch_size(8192)
        .build()
        .expect("a reader");
    let mut sum = 0.0;
    for batch in reader {
        let batch = batch.expect("rows");
        sum += match column {
            "loss" => batch
                .column(0)
                .as_primitive::<Float64Type>()
                .values()
                .iter()
                .sum::<f64>(),
            _ => f64::from(
                *batch
                    .column(0)
                    .as_string::<i32>()
                    .value_offsets()
                    .last()
                    .expect("an offset"),
            ),
        };
    }
    sum
}
