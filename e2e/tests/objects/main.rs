//! Data sets and scores on real servers over loopback: versitygw, which speaks S3, and Redis. Run by `e2e/run-objects`.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

mod hub;
mod stores;
mod wire;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use e2e::Result;
use e2e::observe::ensure;
use e2e::servers::{Reach, S3 as Server};
use serde_json::{Value, json};
use tempfile::TempDir;
use wire::Wire;

/// Exit code of a command whose data set is unusable.
const DATASET: i32 = 65;
/// Exit code of a command that failed for a moment.
const IO: i32 = 74;

fn binary() -> String {
    std::env::var("CURRICULUM_BIN").expect("CURRICULUM_BIN must name the binary: run e2e/run-objects")
}

/// A folder with a store, and what the commands of scoring say.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("data")).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A command with that task, the store of that name, and the credentials of the server.
    fn command(&self, words: &[&str], store: &str, task: &Value, server: &Server) -> Command {
        let mut command = Command::new(binary());
        command
            .args(words)
            .env("CURRICULUM_TASK", task.to_string())
            .env("CURRICULUM_DATASET_ROOT", self.path("data"))
            .env("CURRICULUM_STORE_ROOT", self.path(store))
            .env("CURRICULUM_TERMINATION_LOG", self.path("last-words"))
            .env("CURRICULUM_RETRY_SECONDS", "30")
            .envs(server.credentials())
            .stdin(Stdio::null());
        command
    }

    fn run(&self, words: &[&str], store: &str, task: &Value, server: &Server) -> Output {
        self.command(words, store, task, server).output().unwrap()
    }

    /// Inspects, scores and indexes; the digest of the index.
    fn index(&self, store: &str, task: &Value, server: &Server) -> Result<Vec<u8>> {
        for words in [&["inspect"][..], &["score"], &["index"]] {
            let output = self.run(words, store, task, server);
            ensure(output.status.success(), || format!("{words:?}: {}", text(&output)))?;
        }
        Ok(fs::read(self.path(&format!("{store}/index/{KEY}/index.arrow")))?)
    }

    fn last_words(&self) -> String {
        fs::read_to_string(self.path("last-words")).unwrap_or_default()
    }
}

const KEY: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn task(path: &str, format: &str, spec: &Value) -> Value {
    let mut task = json!({
        "path": path, "format": format, "datasetKey": KEY, "key": KEY, "seed": 7, "shards": 1,
        "scorers": [{"name": "given", "weight": "1", "kind": {"column": {"column": "n"}}}],
        "combine": "MeanRank", "minCoverage": "1",
    });
    task.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    task
}

fn objects(server: &Server, prefix: &str) -> Value {
    json!({"objects": {"url": format!("s3://data/{prefix}"), "endpoint": server.endpoint()}})
}

/// So many rows of `n,text`, the numbers in no order.
fn csv(rows: u64) -> String {
    let row = |row: u64| format!("{},word{}\n", row * 7919 % 10_007, row % 13);
    std::iter::once("n,text\n".to_owned())
        .chain((0..rows).map(row))
        .collect()
}

#[tokio::test]
async fn objects_are_scored_as_files_are() -> Result {
    let server = Server::start(Reach::Loopback).await?;
    let place = Place::new();
    let rows = csv(200_000);
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(rows.as_bytes())?;
    let lines: Vec<&str> = rows.lines().skip(1).collect();
    fs::create_dir(place.path("data/parts"))?;
    for (part, lines) in lines.chunks(60_000).enumerate() {
        let name = format!("data/parts/train-{part:05}-of-00004.csv");
        fs::write(place.path(&name), format!("n,text\n{}\n", lines.join("\n")))?;
    }
    fs::write(place.path("data/all.csv"), &rows)?;
    fs::write(place.path("data/all.csv.gz"), packed.finish()?)?;
    let json: String = lines
        .iter()
        .map(|line| format!("{{\"n\": {}}}\n", line.split(',').next().unwrap_or_default()))
        .collect();
    fs::write(place.path("data/all.jsonl"), json)?;
    for name in ["all.csv", "all.csv.gz", "all.jsonl"] {
        server
            .put(&format!("set/{name}"), fs::read(place.path(&format!("data/{name}")))?)
            .await?;
    }
    server.put_folder(&place.path("data/parts"), "set/parts").await?;
    for (number, (path, format)) in [
        ("all.csv", "Csv"),
        ("all.csv.gz", "Csv"),
        ("all.jsonl", "JsonLines"),
        ("parts", "Csv"),
        ("parts/train-*-of-00004.csv", "Csv"),
    ]
    .into_iter()
    .enumerate()
    {
        let here = place.index(&format!("here-{number}"), &task(path, format, &json!({})), &server)?;
        let there = task(path, format, &objects(&server, "set"));
        let there = place.index(&format!("there-{number}"), &there, &server)?;
        ensure(here == there, || format!("{path}: the index differs"))?;
    }
    Ok(())
}

#[tokio::test]
async fn what_is_wrong_with_a_bucket_is_said() -> Result {
    let server = Server::start(Reach::Loopback).await?;
    server.put("set/a.csv", csv(10)).await?;
    let place = Place::new();
    let inspect = |task: &Value, change: &[(&str, &str)]| {
        let mut command = place.command(&["inspect"], "store", task, &server);
        let output = command
            .envs(change.iter().copied())
            .env("CURRICULUM_RETRY_SECONDS", "1")
            .output();
        (output.unwrap().status.code(), place.last_words())
    };
    let good = task("a.csv", "Csv", &objects(&server, "set"));
    ensure(inspect(&good, &[]).0 == Some(0), || place.last_words())?;

    let missing = task("b.csv", "Csv", &objects(&server, "set"));
    let (code, said) = inspect(&missing, &[]);
    ensure(
        code == Some(DATASET) && said.contains("DatasetNotFound") && said.contains("b.csv"),
        || said,
    )?;

    let (code, said) = inspect(&good, &[("AWS_SECRET_ACCESS_KEY", "wrong")]);
    ensure(code == Some(DATASET) && said.contains("DatasetUnreadable"), || {
        said.clone()
    })?;
    ensure(!said.contains("wrong") && !said.contains("Signature="), || said)?;

    let (code, said) = inspect(
        &task(
            "a.csv",
            "Csv",
            &json!({"objects": {"url": "s3://nobody/set", "endpoint": server.endpoint()}}),
        ),
        &[],
    );
    ensure(code == Some(DATASET), || format!("{code:?} {said}"))?;

    // Nobody listens there: that may pass.
    let away = json!({"objects": {"url": "s3://data/set", "endpoint": "http://127.0.0.1:1"}});
    let (code, said) = inspect(&task("a.csv", "Csv", &away), &[]);
    ensure(code == Some(IO), || format!("{code:?} {said}"))
}

#[tokio::test]
async fn an_authority_of_ones_own_counts_where_it_is_named() -> Result {
    let server = Server::start_with_tls().await?;
    server.put("set/a.csv", csv(10)).await?;
    let place = Place::new();
    let task = task("a.csv", "Csv", &objects(&server, "set"));
    let inspect = |authority: Option<&str>| {
        let mut command = place.command(&["inspect"], "store", &task, &server);
        command.env("CURRICULUM_RETRY_SECONDS", "1").env_remove("SSL_CERT_FILE");
        (command.envs(authority.map(|pem| ("CA_CERTIFICATES", pem))).output()).unwrap()
    };
    let named = inspect(Some(server.authority()));
    ensure(named.status.success(), || text(&named))?;
    let unknown = inspect(None);
    ensure(
        unknown.status.code() == Some(IO) && place.last_words().contains("ertificate"),
        || text(&unknown) + &place.last_words(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_for_a_while_costs_nothing() -> Result {
    let mut server = Server::start(Reach::Loopback).await?;
    // Larger than what one request brings.
    server.put("set/a.csv", csv(4_000_000)).await?;
    let wire = Wire::to(server.port()).await?;
    let place = Place::new();
    let objects = json!({"objects": {"url": "s3://data/set", "endpoint": wire.endpoint}});
    let task = task("a.csv", "Csv", &objects);
    server.stop();
    let mut running = place
        .command(&["inspect"], "store", &task, &server)
        .stderr(Stdio::null())
        .spawn()?;
    wire.is_asked(3).await?;
    ensure(running.try_wait()?.is_none(), || {
        "it did not wait for the server".to_owned()
    })?;
    server.go_on().await?;
    ensure(running.wait()?.success(), || place.last_words())?;

    // In the middle of the file, of which more than a half is still to come.
    let mut running = place
        .command(&["score"], "store", &task, &server)
        .stderr(Stdio::null())
        .spawn()?;
    wire.brings(12 << 20).await?;
    server.stop();
    ensure(running.try_wait()?.is_none(), || "it was too fast".to_owned())?;
    server.go_on().await?;
    ensure(running.wait()?.success(), || place.last_words())
}

#[tokio::test]
async fn files_are_copied_once_whole_and_within_the_limit() -> Result {
    let server = Server::start(Reach::Loopback).await?;
    for part in 0..6 {
        server.put(&format!("set/p/{part}.csv"), csv(1000 + part)).await?;
    }
    let place = Place::new();
    let task = task("p", "Csv", &objects(&server, "set"));
    let to = place.path("copies");
    let fetch = |words: &[&str]| {
        let all: Vec<&str> = ["fetch", "--to", to.to_str().unwrap()]
            .into_iter()
            .chain(words.iter().copied())
            .collect();
        place.run(&all, "store", &task, &server)
    };
    let output = fetch(&["--size-limit", "1k"]);
    ensure(
        output.status.code() == Some(DATASET)
            && place
                .last_words()
                .contains("more than `dataset.objectStore.sizeLimit`, 1000"),
        || text(&output) + &place.last_words(),
    )?;
    ensure(!to.join("p").exists(), || "something was copied".to_owned())?;
    let output = fetch(&["--size-limit", "1Gi"]);
    ensure(output.status.success(), || text(&output))?;
    for part in 0..6 {
        ensure(
            fs::read_to_string(to.join(format!("p/{part}.csv")))? == csv(1000 + part),
            || format!("part {part}"),
        )?;
    }
    fs::write(to.join("p/3.csv"), "damaged")?;
    let output = fetch(&[]);
    ensure(text(&output).contains("present=5"), || text(&output))?;
    ensure(fs::read_to_string(to.join("p/3.csv"))? == csv(1003), || {
        "part 3".to_owned()
    })
}

/// `curriculum run` with the manifest and the data of that folder.
fn run_env(folder: &Path) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(binary());
    command
        .args(["run", "-f", "job.yaml", "-d", "run", "-v", "data=data", "-v"])
        .arg(format!("/tests={}", root.join("programs").display()))
        .current_dir(folder)
        .env("PYTHONPATH", root.join("../python"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null());
    command
}

/// A run by `curriculum run`: what it printed, and the digests of its snapshots.
fn run(folder: &Path, server: &Server) -> Result<(String, Vec<String>)> {
    let output = run_env(folder).envs(server.credentials()).output()?;
    ensure(output.status.success(), || text(&output))?;
    Ok((text(&output), digests(&folder.join("run/snapshots"))?))
}

/// Digests of the rows of the snapshots in a folder, in the order of the phases.
fn digests(folder: &Path) -> Result<Vec<String>> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)?.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut digests = Vec::new();
    for file in files {
        let snapshot: Value = serde_json::from_slice(&fs::read(file)?)?;
        let state: Value = serde_json::from_str(snapshot["spec"]["state"].as_str().unwrap_or_default())?;
        digests.push(state["sequenceDigest"].as_str().unwrap_or_default().to_owned());
    }
    Ok(digests)
}

#[tokio::test]
async fn a_run_on_a_bucket_trains_the_rows_of_a_run_on_a_folder() -> Result {
    let server = Server::start(Reach::Loopback).await?;
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    fs::create_dir(&data)?;
    for (part, rows) in [0..40, 40..70, 70..100].into_iter().enumerate() {
        let rows: String = rows.map(|row| format!("{row}\n")).collect();
        fs::write(data.join(format!("p{part}.csv")), format!("difficulty\n{rows}"))?;
    }
    server.put_folder(&data, "set").await?;
    let source = |source: Value| {
        let mut dataset = json!({"path": "p*.csv"});
        dataset
            .as_object_mut()
            .unwrap()
            .extend(source.as_object().unwrap().clone());
        small_job(&dataset, TRAINER)
    };
    let volume = source(json!({"volume": {"configMap": {"name": "data"}}}));
    fs::write(folder.path().join("job.yaml"), volume.to_string())?;
    let (_, expected) = run(folder.path(), &server)?;
    fs::rename(folder.path().join("run"), folder.path().join("run-on-a-folder"))?;
    let bucket = source(json!({"objectStore": {
        "url": "s3://data/set", "endpoint": server.endpoint(), "envFrom": [{"secretRef": {"name": "reader"}}],
    }}));
    fs::write(folder.path().join("job.yaml"), bucket.to_string())?;
    let (said, digests) = run(folder.path(), &server)?;
    ensure(
        said.contains("Scored") && digests.len() == 2 && digests == expected,
        || format!("{expected:?}\n{digests:?}\n{said}"),
    )
}

/// Two phases over that data set, scored by a program and by a built-in scorer in two shards, trained by those lines of Python.
fn small_job(dataset: &Value, trainer: &str) -> Value {
    json!({
        "apiVersion": "curriculum.dev/v1alpha1", "kind": "CurriculumJob", "metadata": {"name": "small"},
        "spec": {
            "seed": 7, "dataset": dataset,
            "scoring": {"shards": 2, "scorers": [{"name": "program", "container": {
                "image": "none", "command": ["python3", "/tests/fake_scorer.py"], "env": [{"name": "MODE", "value": "column"}],
            }}, {"name": "given", "column": {"column": "difficulty"}}]},
            "curriculum": {"batchSize": 8, "phases": [
                {"name": "easy", "pool": {"fraction": "0.25"}, "duration": {"steps": 10}},
                {"name": "all", "pool": {"fraction": "1"}, "duration": {"steps": 10}},
            ]},
            "training": {"template": {"spec": {"containers": [{
                "name": "trainer", "image": "none", "command": ["python3", "-c", trainer],
            }]}}},
        }
    })
}

/// Reads each row that it is given from the copies, and fails where there are none.
const TRAINER: &str = "
import csv, glob, os
from curriculum_client import BatchSampler
rows = []
for path in sorted(glob.glob(os.environ['CURRICULUM_DATASET'])):
    with open(path) as file:
        rows += [int(row['difficulty']) for row in csv.DictReader(file)]
assert rows == list(range(100)), rows
for batch in BatchSampler():
    for row in batch:
        assert rows[row] == row
";
