//! The score index: from scores in memory, from shard files, and opening it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use curriculum_operator::curriculum::permute::Permutation;
use curriculum_operator::index::file::{self, IndexContent};
use curriculum_operator::index::map::ScoreIndex;
use curriculum_operator::index::order::Order;
use curriculum_operator::scoring::fingerprint::Fingerprint;
use curriculum_operator::scoring::index::build_index;
use curriculum_operator::scoring::manifest::{MANIFEST_VERSION, Manifest, SourceFile};
use curriculum_operator::scoring::shards::ShardWriter;
use curriculum_operator::scoring::store::{Shard, Store};
use curriculum_operator::scoring::task::{Format, ScorerKind, Task};
use curriculum_operator::store::Shared;
use curriculum_operator::store::scratch::write_json;
use memmap2::Mmap;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::Args;
use crate::report::{Rival, Times, locked, print, seconds};
use crate::tasks::task;

const SHARDS: u32 = 4;
const SCORER: &str = "loss";
/// The rival that puts ties in an order too, if in another one; the others leave them as they come.
const STABLE: &str = "numpy.argsort, stable";

pub(crate) fn run(args: &Args) {
    for (kind, score) in [("distinct", distinct as fn(u64) -> f64), ("200 values", ties)] {
        compare(args, kind, score);
    }
}

/// Like a loss: as many values as rows.
fn distinct(hash: u64) -> f64 {
    (hash >> 11) as f64 / (1_u64 << 53) as f64
}

/// Like a length in words.
fn ties(hash: u64) -> f64 {
    (hash % 200) as f64
}

fn compare(args: &Args, kind: &str, score: fn(u64) -> f64) {
    let folder = tempfile::tempdir_in(&args.folder).expect("a folder");
    let (task, store) = prepare(folder.path(), args, score);
    let path = folder.path().join("scores.f64");
    // The second one is the fastest kind of numpy where its widest vectors are slow.
    let mut rivals: Vec<Contender> = Vec::new();
    if let Some(python) = &args.python {
        for (name, sort, disabled) in [
            ("numpy.argsort", "quicksort", ""),
            (
                "numpy.argsort without AVX-512",
                "quicksort",
                "X86_V4 AVX512_ICL AVX512_SPR",
            ),
            (STABLE, "stable", ""),
        ] {
            rivals.push((name, Argsort::start(python, &path, sort, disabled), Times::default()));
        }
    }
    let (mut order, mut stage, mut whole, mut open, mut hashing) = Default::default();
    let (mut peak, mut bytes) = (0, 0);
    for _ in 0..args.repeat {
        for (_, argsort, times) in &mut rivals {
            times.push(argsort.time());
        }
        push(&mut order, time_order(&path));
        push(&mut stage, time_stage(&path, folder.path()));
        let built = time_build(folder.path());
        push(&mut whole, built["seconds"].as_f64().expect("seconds"));
        peak = built["peakBytes"].as_u64().expect("bytes");

        let index = store.index(&task.key);
        bytes = fs::metadata(&index).expect("an index").len();
        let digest = built["digest"].as_str();
        push(
            &mut open,
            seconds(|| ScoreIndex::open(&index, digest).expect("a good index")),
        );
        push(&mut hashing, seconds(|| hash(&index)));
    }
    let (stable, fast): (Vec<_>, Vec<_>) = rivals.iter().partition(|(name, ..)| *name == STABLE);
    let fastest = fast.into_iter().min_by(|a, b| a.2.least().total_cmp(&b.2.least()));
    let rival = fastest.map(as_rival);
    let stable = stable.into_iter().map(as_rival).next();
    print(
        &format!("order in memory, {kind}"),
        &order,
        stable.as_ref(),
        &[("rows", args.rows)],
    );
    let size = [("rows", args.rows), ("groups", args.groups), ("bytes", bytes)];
    print(&format!("index from memory, {kind}"), &stage, rival.as_ref(), &size);
    print(
        &format!("index from shard files, {kind}"),
        &whole,
        rival.as_ref(),
        &[&size[..], &[("peak_bytes", peak)]].concat(),
    );
    let hashing = Rival {
        name: "SHA-256 of the file",
        times: &hashing,
        version: ("sha2", locked("sha2")),
    };
    print(&format!("open the index, {kind}"), &open, Some(&hashing), &size);
}

type Contender = (&'static str, Argsort, Times);

fn as_rival((name, argsort, times): &Contender) -> Rival<'_> {
    Rival {
        name,
        times,
        version: ("numpy", argsort.version.clone()),
    }
}

fn push(times: &mut Times, seconds: f64) {
    times.push(seconds);
}

/// Writes the scores, as one file for the rival and as shard files, and what `curriculum index` needs beside them.
fn prepare(folder: &Path, args: &Args, score: fn(u64) -> f64) -> (Task, Store) {
    let grouped = args.groups > 0;
    let kind = ScorerKind::Column {
        column: SCORER.to_owned(),
    };
    let task = Task {
        group_column: grouped.then(|| "group".to_owned()),
        shards: SHARDS,
        ..task(15, Format::Csv, SCORER, kind)
    };
    let store = Store::new(Shared::volume(folder.join("store")));
    let random = Permutation::new(u64::MAX, 1);
    let mut raw = BufWriter::new(File::create(folder.join("scores.f64")).expect("a file"));
    for index in 0..SHARDS {
        let shard = Shard { index, count: SHARDS };
        let path = store.scorer(&task, SCORER).join(format!("{}.parquet", shard.stem()));
        let mut writer = ShardWriter::create(path).expect("a shard file");
        for row in shard.rows(args.rows) {
            let score = score(random.apply(row));
            writer.push(row, score).expect("a row");
            raw.write_all(&score.to_le_bytes()).expect("a score");
        }
        writer.finish(&store).expect("a shard file");
    }
    raw.flush().expect("scores");
    let groups: Vec<u8> = (0..if grouped { args.rows } else { 0 })
        .map(|row| (random.apply(row) >> 8) % args.groups)
        .map(|group| u8::try_from(group).expect("at most 256 groups"))
        .collect();
    let mut group_rows = vec![0; args.groups as usize];
    groups.iter().for_each(|&group| group_rows[usize::from(group)] += 1);
    fs::write(store.groups(&task), groups).expect("groups");
    let manifest = Manifest {
        version: MANIFEST_VERSION,
        companions: BTreeMap::new(),
        overrides: None,
        format: None,
        delimiter: None,
        rows: args.rows,
        source: Fingerprint {
            bytes: 0,
            edges: String::new(),
            modified: None,
            revision: None,
        },
        held_out: None,
        filtered: None,
        bad_rows: 0,
        group_names: (0..args.groups).map(|group| group.to_string()).collect(),
        group_rows,
        held_out_group_rows: Vec::new(),
        filtered_group_rows: Vec::new(),
        files: vec![SourceFile {
            path: "none".to_owned(),
            rows: args.rows,
            bytes: 0,
            edges: String::new(),
        }],
    };
    write_json(&store.manifest(&task), &manifest).expect("a manifest");
    fs::write(folder.join("task.json"), json!(task).to_string()).expect("a task");
    (task, store)
}

fn read(scores: &Path) -> Vec<f64> {
    let bytes = fs::read(scores).expect("scores");
    let (values, _) = bytes.as_chunks();
    values.iter().map(|value| f64::from_le_bytes(*value)).collect()
}

/// The order of scores in memory, with their ranks.
fn time_order(scores: &Path) -> f64 {
    let scores = read(scores);
    seconds(|| Order::new(scores, 1, None))
}

/// From scores in memory to an index on the disk, without groups.
fn time_stage(scores: &Path, folder: &Path) -> f64 {
    let scores = read(scores);
    let path = folder.join("stage.arrow");
    let seconds = seconds(|| {
        let content = IndexContent {
            key: String::new(),
            group_rows: Vec::new(),
            group_names: Vec::new(),
            order: Order::new(scores, 1, None),
            grouped: None,
            lengths: None,
        };
        file::write(&path, content).expect("an index")
    });
    fs::remove_file(path).expect("an index");
    seconds
}

/// `curriculum index` in a process of its own.
fn time_build(folder: &Path) -> Value {
    let program = std::env::current_exe().expect("this program");
    let output = Command::new(program)
        .arg("--build")
        .arg(folder)
        .output()
        .expect("a process");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| {
        eprintln!("{}", String::from_utf8_lossy(&output.stderr));
        Value::Null
    })
}

/// What [`time_build`] starts.
pub(crate) fn build(folder: &Path) {
    let task = fs::read(folder.join("task.json")).expect("a task");
    let task: Task = serde_json::from_slice(&task).expect("a task");
    let store = Store::new(Shared::volume(folder.join("store")));
    let mut digest = String::new();
    let seconds = seconds(|| {
        digest = build_index(&task, &store, jiff::Timestamp::UNIX_EPOCH)
            .expect("an index")
            .digest;
    });
    println!(
        "{}",
        json!({"seconds": seconds, "digest": digest, "peakBytes": peak_bytes()})
    );
}

/// Most memory that this process ever had.
fn peak_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = peak.and_then(|value| value.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kibibytes.expect("a size") * 1024
}

fn hash(path: &PathBuf) -> Vec<u8> {
    let file = File::open(path).expect("an index");
    // SAFETY: nothing writes to the file meanwhile.
    #[expect(unsafe_code, reason = "the same memory map as in the index")]
    let map = unsafe { Mmap::map(&file) }.expect("a memory map");
    Sha256::digest(&map[..]).to_vec()
}

/// The running rival.
struct Argsort {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    version: String,
}

impl Argsort {
    /// `sort` is numpy's kind of it, and `disabled` names processor features that numpy must not use.
    fn start(python: &Path, scores: &Path, sort: &str, disabled: &str) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/rivals/scoring.py");
        let mut process = Command::new(python)
            .arg(script)
            .args([scores.as_os_str(), sort.as_ref()])
            .env("NPY_DISABLE_CPU_FEATURES", disabled)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python");
        let input = process.stdin.take().expect("its input");
        let mut output = BufReader::new(process.stdout.take().expect("its output"));
        let version = read_line(&mut output);
        Self {
            process,
            input,
            output,
            version,
        }
    }

    fn time(&mut self) -> f64 {
        self.input.write_all(b"\n").expect("numpy waits");
        read_line(&mut self.output).parse().expect("seconds")
    }
}

impl Drop for Argsort {
    fn drop(&mut self) {
        self.process.kill().expect("numpy runs");
        self.process.wait().expect("numpy ends");
    }
}

fn read_line(output: &mut impl BufRead) -> String {
    let mut line = String::new();
    output.read_line(&mut line).expect("a line");
    line.trim_end().to_owned()
}
