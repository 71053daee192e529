//! Scores in an object store and in Redis: pods that share nothing but the server make the index that pods with one folder make.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use e2e::Result;
use e2e::observe::ensure;
use e2e::servers::{PASSWORD, Reach, Redis, S3 as Server};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{IO, KEY, TRAINER, binary, csv, run_env, small_job, text};

/// Longest wait.
const LIMIT: Duration = Duration::from_secs(120);

/// What a command needs to ask a store.
struct Store {
    place: Option<Value>,
    variables: Vec<(String, String)>,
}

impl Store {
    /// The folder itself.
    fn folder() -> Self {
        Self {
            place: None,
            variables: vec![],
        }
    }

    fn bucket(server: &Server, prefix: &str) -> Self {
        let credentials = server.credentials().into_iter();
        Self {
            place: Some(json!({"objects": {"url": format!("s3://data/{prefix}"), "endpoint": server.endpoint()}})),
            variables: credentials
                .map(|(name, value)| (format!("CURRICULUM_STORE_{name}"), value.to_owned()))
                .collect(),
        }
    }

    fn redis(server: &Redis) -> Self {
        Self {
            place: Some(server.place()),
            variables: vec![(
                "CURRICULUM_CREDENTIALS_ROOT".to_owned(),
                server.secret().to_string_lossy().into_owned(),
            )],
        }
    }
}

struct Pods {
    folder: TempDir,
    pods: AtomicU32,
}

impl Pods {
    fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        fs::create_dir(folder.path().join("data"))?;
        // More than one part of an object or of a key, as an index.
        fs::write(folder.path().join("data/a.csv"), csv(ROWS))?;
        Ok(Self {
            folder,
            pods: AtomicU32::new(0),
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A new pod's folder; of a store that is a folder, that one.
    fn root(&self, store: &Store) -> PathBuf {
        match &store.place {
            None => self.path("volume"),
            Some(_) => self.path(&format!("pod-{}", self.pods.fetch_add(1, Ordering::Relaxed))),
        }
    }

    /// What a command says in a pod of its own, and the pod's folder.
    fn run(&self, words: &[&str], store: &Store, task: &Value) -> (Output, PathBuf) {
        let root = self.root(store);
        let mut command = Command::new(binary());
        command
            .args(words)
            .env("CURRICULUM_TASK", task.to_string())
            .env("CURRICULUM_DATASET_ROOT", self.path("data"))
            .env("CURRICULUM_STORE_ROOT", &root)
            .env("CURRICULUM_TERMINATION_LOG", self.path("last-words"))
            .env("CURRICULUM_RETRY_SECONDS", "1")
            .envs(
                store
                    .place
                    .as_ref()
                    .map(|place| ("CURRICULUM_STORE", place.to_string())),
            )
            .envs(store.variables.iter().cloned())
            .stdin(Stdio::null());
        (command.output().unwrap(), root)
    }

    fn last_words(&self) -> String {
        fs::read_to_string(self.path("last-words")).unwrap_or_default()
    }

    /// Inspects, counts, scores and indexes, each shard in a pod of its own; the bytes of the index.
    fn index(&self, store: &Store, task: &Value) -> Result<Vec<u8>> {
        let mut all: Vec<Vec<&str>> = vec![vec!["inspect"]];
        for command in ["count", "score"] {
            all.extend(["0", "1", "2"].map(|shard| vec![command, "--shard", shard]));
        }
        all.push(vec!["index"]);
        let mut last = PathBuf::new();
        for words in all {
            let (output, root) = self.run(&words, store, task);
            ensure(output.status.success(), || format!("{words:?}: {}", text(&output)))?;
            last = root;
        }
        Ok(fs::read(last.join(format!("index/{KEY}/index.arrow")))?)
    }
}

const ROWS: u64 = 400_000;

/// Groups, a scorer that counts first, and three shards.
fn task() -> Value {
    let mut task = super::task("a.csv", "Csv", &json!({"shards": 3, "groupColumn": "text"}));
    let rarity = json!({"name": "rare", "weight": "0.5", "kind": {"rarity": {"column": "text"}}});
    task["scorers"].as_array_mut().unwrap().push(rarity);
    task
}

#[tokio::test]
async fn pods_that_share_only_a_server_make_the_index_of_those_with_a_volume() -> Result {
    let (bucket, redis, tls) = (
        Server::start(Reach::Loopback).await?,
        Redis::start(Reach::Loopback).await?,
        Redis::start_with_tls(Reach::Loopback).await?,
    );
    let (pods, task) = (Pods::new()?, task());
    let expected = pods.index(&Store::folder(), &task)?;
    ensure(expected.len() > 12 << 20, || "an index of one part".to_owned())?;
    for (name, store) in [
        ("S3", Store::bucket(&bucket, "scores/v1")),
        ("Redis", Store::redis(&redis)),
        ("Redis with TLS", Store::redis(&tls)),
    ] {
        ensure(pods.index(&store, &task)? == expected, || {
            format!("{name}: the index differs")
        })?;
        // Once more: the index is found, and is what another pod reads.
        let (output, root) = pods.run(&["inspect"], &store, &task);
        ensure(
            output.status.success() && pods.last_words().contains(r#""exact":true"#),
            || format!("{name}: {} {}", text(&output), pods.last_words()),
        )?;
        ensure(!root.join("index").join(KEY).join("index.arrow").exists(), || {
            "the inspection copied the index".to_owned()
        })?;
        // Another scorer: the index is the last good one.
        let mut other = task.clone();
        other["key"] = json!("f".repeat(64));
        pods.run(&["inspect"], &store, &other);
        ensure(pods.last_words().contains(r#""exact":false"#), || pods.last_words())?;
    }
    Ok(())
}

#[tokio::test]
async fn a_store_that_refuses_or_is_away_is_said_and_the_rows_are_counted_all_the_same() -> Result {
    let (mut redis, tls) = (
        Redis::start(Reach::Loopback).await?,
        Redis::start_with_tls(Reach::Loopback).await?,
    );
    let (pods, task) = (Pods::new()?, task());
    let good = Store::redis(&redis);
    ensure(pods.run(&["inspect"], &good, &task).0.status.success(), || {
        pods.last_words()
    })?;

    let other = pods.path("other");
    fs::create_dir(&other)?;
    let with = |store: Store, folder: &Path| Store {
        variables: vec![(
            "CURRICULUM_CREDENTIALS_ROOT".to_owned(),
            folder.to_string_lossy().into_owned(),
        )],
        ..store
    };
    // No password, a wrong one, and an authority that nobody knows.
    for (store, password, says) in [
        (Store::redis(&redis), None, "uthentication"),
        (
            Store::redis(&redis),
            Some("wrong-word"),
            "Password authentication failed",
        ),
        (Store::redis(&tls), Some(PASSWORD), "ertificate"),
    ] {
        if let Some(password) = password {
            fs::write(other.join("password"), password)?;
        }
        let store = with(store, &other);
        let (output, _) = pods.run(&["inspect"], &store, &task);
        ensure(
            output.status.success() && pods.last_words().contains(r#""rows":400000"#),
            || text(&output),
        )?;
        ensure(text(&output).contains("the store does not answer"), || text(&output))?;
        let (output, _) = pods.run(&["score"], &store, &task);
        let said = pods.last_words();
        ensure(output.status.code() == Some(IO) && said.contains(says), || {
            format!("{says}: {said}")
        })?;
        ensure(
            !said.contains("wrong-word") && !text(&output).contains("wrong-word"),
            || said,
        )?;
    }

    redis.stop();
    let (output, _) = pods.run(&["inspect"], &good, &task);
    ensure(output.status.success(), || text(&output))?;
    let (output, _) = pods.run(&["score"], &good, &task);
    ensure(output.status.code() == Some(IO), || text(&output))?;
    redis.go_on().await?;
    // What was put before is still there.
    let (output, _) = pods.run(&["count"], &good, &task);
    ensure(output.status.success(), || text(&output))
}

/// A connection that may do everything.
fn connection(server: &Redis) -> Result<::redis::Connection> {
    let url = server.url().replace("redis://", &format!("redis://:{PASSWORD}@"));
    Ok(::redis::Client::open(url)?.get_connection()?)
}

/// Keys of parts, and those of them that stay for good.
fn parts(server: &Redis) -> Result<(BTreeSet<String>, BTreeSet<String>)> {
    let mut connection = connection(server)?;
    let all: Vec<String> = ::redis::cmd("KEYS").arg("*").query(&mut connection)?;
    ensure(all.iter().all(|key| key.starts_with("test:")), || format!("{all:?}"))?;
    let parts: BTreeSet<String> = all.into_iter().filter(|key| key.starts_with("test:part:")).collect();
    let mut lasting = BTreeSet::new();
    for key in &parts {
        let seconds: i64 = ::redis::cmd("TTL").arg(key).query(&mut connection)?;
        if seconds < 0 {
            lasting.insert(key.clone());
        }
    }
    Ok((parts, lasting))
}

/// What a content leaves that was put over: parts that go, and nothing without an end.
#[tokio::test]
async fn what_is_put_over_another_leaves_nothing_for_good() -> Result {
    let redis = Redis::start(Reach::Loopback).await?;
    let (pods, task) = (Pods::new()?, task());
    let store = Store::redis(&redis);
    for _ in 0..3 {
        let (output, _) = pods.run(&["inspect"], &store, &task);
        ensure(output.status.success(), || text(&output))?;
    }
    // Groups, offsets and the manifest: 400,000 bytes, 3.2 million and some hundred, each in one part.
    let (all, lasting) = parts(&redis)?;
    ensure(all.len() == 9 && lasting.len() == 3, || {
        format!("{all:?}, for good {lasting:?}")
    })?;

    // Several at the same time.
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| pods.run(&["inspect"], &store, &task));
        }
    });
    let (all, lasting) = parts(&redis)?;
    ensure(all.len() == 27 && lasting.len() == 3, || {
        format!("{all:?}, for good {lasting:?}")
    })
}

/// A server that evicts keys: the index counts as damaged, and is made again.
#[tokio::test]
async fn an_index_whose_parts_are_gone_is_made_again() -> Result {
    let redis = Redis::start(Reach::Loopback).await?;
    let (pods, task) = (Pods::new()?, task());
    let store = Store::redis(&redis);
    let expected = pods.index(&store, &task)?;
    let is_found = || {
        pods.run(&["inspect"], &store, &task);
        pods.last_words().contains(r#""exact":true"#)
    };
    ensure(is_found(), || pods.last_words())?;
    let mut connection = connection(&redis)?;
    let file = format!("test:file:index/{KEY}/index.arrow");
    let id: String = ::redis::cmd("HGET").arg(&file).arg("id").query(&mut connection)?;
    let gone: u64 = ::redis::cmd("DEL")
        .arg(format!("test:part:{id}:1"))
        .query(&mut connection)?;
    ensure(gone == 1, || format!("the index has no second part: {id}"))?;
    ensure(!is_found(), || pods.last_words())?;
    ensure(pods.index(&store, &task)? == expected, || "another index".to_owned())?;
    ensure(is_found(), || pods.last_words())
}

/// A snapshot comes from the pod of its Job, which knows nothing but the store.
#[tokio::test]
async fn snapshots_are_put_in_buckets_and_in_redis() -> Result {
    const NAME: &str = "snapshots/team/digits/5e6f/0.json";
    let (server, redis) = (
        Server::start(Reach::Loopback).await?,
        Redis::start(Reach::Loopback).await?,
    );
    let manifest = json!({"kind": "CurriculumSnapshot", "metadata": {"name": "digits-0"}}).to_string();
    for store in [Store::bucket(&server, "scores"), Store::redis(&redis)] {
        let pods = Pods::new()?;
        // As often as the Job likes.
        for _ in 0..2 {
            let words = ["archive", "--path", NAME, "--snapshot", &manifest];
            let (output, _) = pods.run(&words, &store, &json!({}));
            ensure(output.status.success(), || format!("{output:?}"))?;
        }
    }
    let found = server.get(&format!("scores/{NAME}")).await?;
    ensure(found == manifest.as_bytes(), || format!("{found:?}"))?;
    let keys: Vec<String> = ::redis::cmd("KEYS").arg("*").query(&mut connection(&redis)?)?;
    ensure(keys.iter().any(|key| key.ends_with(NAME)), || format!("{keys:?}"))
}

/// The condition `Degraded` of the run in that folder: status and reason.
fn degraded(folder: &Path) -> Option<(String, String)> {
    let state: Value = serde_json::from_slice(&fs::read(folder.join("run/state.json")).ok()?).ok()?;
    let conditions = state["curriculumJob"]["status"]["conditions"].as_array()?;
    let degraded = conditions.iter().find(|condition| condition["type"] == "Degraded")?;
    let word = |name: &str| degraded[name].as_str().unwrap_or_default().to_owned();
    Some((word("status"), word("reason")))
}

/// What the status of the run in that folder says of phases that have ended.
fn visits(folder: &Path) -> Vec<Value> {
    let state = fs::read(folder.join("run/state.json")).unwrap_or_default();
    let state: Value = serde_json::from_slice(&state).unwrap_or_default();
    let visits = state["curriculumJob"]["status"]["visits"].as_array();
    visits.cloned().unwrap_or_default()
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) -> Result {
    let mut look = tokio::time::interval(Duration::from_millis(100));
    let waited = tokio::time::timeout(LIMIT, async {
        while !holds() {
            look.tick().await;
        }
    });
    waited.await.map_err(|_| format!("not seen within {LIMIT:?}: {what}"))?;
    Ok(())
}

/// A run whose trainer stops in the middle of its first phase, until it is told to go on by a file.
fn job(store: &Value) -> Value {
    let dataset = json!({"volume": {"configMap": {"name": "data"}}, "path": "a.csv"});
    let mut job = small_job(&dataset, &format!("{STOPS}{TRAINER}"));
    job["spec"]["store"] = store.clone();
    job["spec"]["snapshots"] = json!({"archive": true});
    job
}

/// Before the batches of the first phase: says that it is there, and waits.
const STOPS: &str = "
import os, pathlib, time
from curriculum_client import BatchSampler
class Stops(BatchSampler):
    def __iter__(self):
        for number, batch in enumerate(super().__iter__()):
            if number == 5 and os.environ['CURRICULUM_PHASE'] == 'easy':
                pathlib.Path(os.environ['SIGNS'], 'stopped').touch()
                while not pathlib.Path(os.environ['SIGNS'], 'go-on').exists():
                    time.sleep(0.05)
            yield batch
import curriculum_client
curriculum_client.BatchSampler = Stops
";

fn digests(folder: &Path) -> Result<Vec<String>> {
    super::digests(&folder.join("run/snapshots"))
}

#[tokio::test]
async fn a_server_killed_in_the_middle_of_a_phase_costs_no_row_and_comes_back() -> Result {
    let mut redis = Redis::start(Reach::Loopback).await?;
    let mut found = Vec::new();
    for with_redis in [false, true] {
        let folder = tempfile::tempdir()?;
        fs::create_dir(folder.path().join("data"))?;
        let rows: String = (0..100).map(|row| format!("{row}\n")).collect();
        fs::write(folder.path().join("data/a.csv"), format!("difficulty\n{rows}"))?;
        let store = match with_redis {
            true => json!({"redis": {"url": redis.url(), "secretName": "cache"}}),
            false => json!({}),
        };
        fs::write(folder.path().join("job.yaml"), job(&store).to_string())?;
        let mut command = run_env(folder.path());
        command.env("SIGNS", folder.path()).stdout(Stdio::null());
        if with_redis {
            command.arg("-v").arg(format!("cache={}", redis.secret().display()));
        }
        let mut running = command.stderr(fs::File::create(folder.path().join("said"))?).spawn()?;
        let said = || fs::read_to_string(folder.path().join("said")).unwrap_or_default();
        let stopped = folder.path().join("stopped");
        until("the trainer is in its phase", || stopped.exists())
            .await
            .map_err(|error| format!("{error}\n{}", said()))?;
        if with_redis {
            let is =
                |status: &str, reason: &str| degraded(folder.path()) == Some((status.to_owned(), reason.to_owned()));
            ensure(is("False", "AsExpected"), || format!("{:?}", degraded(folder.path())))?;
            redis.stop();
            until("Degraded", || is("True", "StoreUnavailable")).await?;
            redis.go_on().await?;
            until("not Degraded any more", || is("False", "AsExpected")).await?;
            redis.stop();
        }
        fs::write(folder.path().join("go-on"), "")?;
        // The phase ends without its store. The next one begins once it is back.
        until("the first phase ended", || !visits(folder.path()).is_empty()).await?;
        if with_redis {
            redis.go_on().await?;
        }
        ensure(running.wait()?.success(), said)?;
        found.push(digests(folder.path())?);
        // The Job of the first one waited for its store.
        let visits = visits(folder.path());
        ensure(
            visits.len() == 2 && visits.iter().all(|visit| visit["archive"] == "Archived"),
            || format!("{visits:?}"),
        )?;
        if with_redis {
            let own = folder.path().join("run/volumes");
            ensure(!own.exists() || fs::read_dir(&own)?.next().is_none(), || {
                "scores are on a volume of the run".to_owned()
            })?;
        }
    }
    ensure(found[0].len() == 2 && found[0] == found[1], || format!("{found:?}"))
}
