//! Near-duplicates, beside the Python package datasketch.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use curriculum_operator::curriculum::permute::Permutation;
use curriculum_operator::scoring::builtin::score_shard;
use curriculum_operator::scoring::count::count_shard;
use curriculum_operator::scoring::dataset::{Cell, Root};
use curriculum_operator::scoring::inspect::inspect;
use curriculum_operator::scoring::shards::ShardFile;
use curriculum_operator::scoring::store::{Shard, Store};
use curriculum_operator::scoring::task::{Format, ScorerKind, Task};
use curriculum_operator::store::Shared;

use crate::Args;
use crate::report::{Rival, Times, print, seconds};
use crate::tasks::task;

const SCORER: &str = "duplicates";
/// From here on a row counts as found, here and there.
const THRESHOLD: f64 = 0.7;

pub(crate) fn run(args: &Args) {
    let folder = tempfile::tempdir_in(&args.folder).expect("a folder");
    let root = folder.path().join("dataset");
    fs::create_dir(&root).expect("a folder");
    let path = root.join("data");
    write(&path, args.texts);
    let kind = ScorerKind::Duplicates {
        column: "text".to_owned(),
        shingle: 5,
    };
    let task = task(2, Format::Csv, SCORER, kind);
    let store = Store::new(Shared::volume(folder.path().join("store")));
    let source = Root::local(&root);
    inspect(&task, &source, &store).expect("a good data set");
    let shard = Shard { index: 0, count: 1 };
    let mut rival = args.python.as_deref().map(|python| Datasketch::start(python, &path));
    let (mut ours, mut counting, mut theirs) = (Times::default(), Times::default(), Times::default());
    let mut found_there = 0;
    for _ in 0..args.repeat {
        if let Some(rival) = &mut rival {
            let (seconds, found) = rival.time();
            theirs.push(seconds);
            found_there = found;
        }
        let count = seconds(|| count_shard(&task, &source, &store, shard).expect("sketches"));
        let score = seconds(|| {
            score_shard(&task, &source, &store, shard).expect("scores");
        });
        counting.push(count);
        ours.push(count + score);
    }
    let rival = rival.map(|rival| Rival {
        name: "datasketch: MinHash and MinHashLSH",
        times: &theirs,
        version: ("datasketch", rival.version),
    });
    let size = [
        ("rows", args.texts),
        ("bytes", fs::metadata(&path).expect("a data set").len()),
        ("found", found(&store, &task, shard)),
        ("rival_found", found_there),
    ];
    print("near-duplicates, count and score", &ours, rival.as_ref(), &size);
    print("near-duplicates, count alone", &counting, None, &size[..2]);
}

/// Texts of 10 to 73 words, of which every fifth is an earlier one with up to a third of its words changed.
fn write(path: &Path, rows: u64) {
    let random = Permutation::new(u64::MAX, 1);
    let word = |hash: u64| {
        // The product of two numbers favours the small ones, as texts favour frequent words.
        let draw = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        ((draw >> 48) * ((draw >> 32) & 0xffff)) >> 16
    };
    let fresh = |row: u64| -> Vec<u64> {
        let hash = random.apply(row);
        let words = (0..10 + hash % 64).map(|place| word(hash.rotate_left(place as u32) ^ place));
        words.collect()
    };
    let mut file = BufWriter::new(File::create(path).expect("a file"));
    writeln!(file, "text").expect("a header");
    for row in 0..rows {
        let hash = random.apply(row ^ (1 << 60));
        let words = if row % 5 == 4 {
            let mut words = fresh(hash % row);
            let changed = words.len() as u64 / 3 * (hash >> 32 & 0xff) / 0xff;
            for change in 0..changed {
                let place = random.apply(row * 64 + change) % words.len() as u64;
                words[place as usize] = word(hash.rotate_left(change as u32));
            }
            words
        } else {
            fresh(row)
        };
        let text: Vec<String> = words.iter().map(|word| format!("w{word:x}")).collect();
        writeln!(file, "{}", text.join(" ")).expect("a row");
    }
    file.flush().expect("a data set");
}

/// Rows that have at least the threshold.
fn found(store: &Store, task: &Task, shard: Shard) -> u64 {
    let file = ShardFile::find(store, &store.scorer(task, SCORER), shard).expect("a store");
    let mut cursor = file.expect("scores").read().expect("scores");
    let mut found = 0;
    while cursor.advance().expect("a row") {
        found += u64::from(matches!(cursor.cell(1), Cell::Number(score) if score >= THRESHOLD));
    }
    found
}

/// The rival's process: it does the whole work for each line that it reads.
struct Datasketch {
    _process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    version: String,
}

impl Datasketch {
    fn start(python: &Path, data: &Path) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/rivals/duplicates.py");
        let mut process = Command::new(python)
            .arg(script)
            .arg(data)
            .arg(THRESHOLD.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a Python interpreter with datasketch");
        let input = process.stdin.take().expect("a pipe");
        let mut output = BufReader::new(process.stdout.take().expect("a pipe"));
        let mut version = String::new();
        output.read_line(&mut version).expect("a version");
        Self {
            _process: process,
            input,
            output,
            version: version.trim().to_owned(),
        }
    }

    /// Seconds, and how many rows it found.
    fn time(&mut self) -> (f64, u64) {
        writeln!(self.input).expect("a process");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("a time");
        let (seconds, found) = line.trim().split_once(' ').expect("two numbers");
        (seconds.parse().expect("seconds"), found.parse().expect("a number"))
    }
}
