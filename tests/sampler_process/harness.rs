//! Runs the real binary on a plan and an index in a scratch folder, and talks to it over a socket.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;

use curriculum_operator::api::curriculum::{CurriculumSpec, Order};
use curriculum_operator::curriculum::pacing::Pacing;
use curriculum_operator::curriculum::plan::{
    Admission, Facts, PLAN_VERSION, PhasePlan, Plan, PlanScores, PoolPlan, Role, Scope, Segment, compile,
};
use curriculum_operator::curriculum::sampler::Sampler;
use curriculum_operator::index::file::{self, IndexContent};
use curriculum_operator::index::map::ScoreIndex;
use curriculum_operator::index::order::Order as ScoredOrder;
use curriculum_operator::sampler::contract::{Details, SamplerStatus};
use serde_json::Value;
use tempfile::TempDir;

/// The run that every attempt here is of.
pub(crate) const RUN: &str = "5e6f2b1c";
/// How long an index is waited for.
pub(crate) const PATIENCE: &str = "--index-patience";
const ROWS: u64 = 600;
const GROUPS: u64 = 3;

/// A scratch folder with a store, a plan and a termination log.
pub(crate) struct Bench {
    dir: TempDir,
    pub(crate) plan: Plan,
}

impl Bench {
    /// 600 rows in three groups, hardest first in the data set; 50 steps of 16 rows from step 100 on, two segments.
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let order: Vec<u64> = (0..ROWS).rev().collect();
        let grouped = (0..GROUPS)
            .flat_map(|g| (0..ROWS).rev().filter(move |row| row % GROUPS == g))
            .collect();
        let content = IndexContent {
            key: "abc".into(),
            group_rows: vec![ROWS / GROUPS; GROUPS as usize],
            group_names: (0..GROUPS).map(|g| g.to_string()).collect(),
            order: ScoredOrder {
                rows: order,
                scores: (0..ROWS).map(|i| i as f64).collect(),
                ranks: (0..ROWS).map(|i| (i + 1) as f64 / ROWS as f64).collect(),
                scored: ROWS as usize,
            },
            grouped: Some(grouped),
            lengths: None,
        };
        fs::create_dir_all(dir.path().join("store/index/abc")).unwrap();
        let digest = file::write(&dir.path().join("store/index/abc/index.arrow"), content)
            .unwrap()
            .digest;
        let pool = |percent: u64| PoolPlan {
            scope: Scope::EachGroup,
            admits: Admission::Fraction(Pacing::Constant(percent * 10_000_000_000)),
            ..PoolPlan::everything(Role::Own)
        };
        let segment = |start_step, shares: [u32; 3]| Segment {
            start_step,
            shares: shares.to_vec(),
        };
        let phase = PhasePlan {
            index: 2,
            name: "grow".into(),
            start_step: 100,
            end_step: 150,
            pools: vec![PoolPlan::everything(Role::Floor), pool(10), pool(30)],
            segments: vec![segment(100, [250_000, 750_000, 0]), segment(120, [250_000, 0, 750_000])],
            transitions: None,
            left_at: None,
        };
        let plan = Plan {
            version: PLAN_VERSION,
            seed: 42,
            batch_size: 16,
            order: Order::EasyFirst,
            rows: ROWS,
            group_rows: vec![ROWS / GROUPS; GROUPS as usize],
            held_out: None,
            tokens: None,
            filtered: None,
            scores: Some(PlanScores {
                key: "abc".into(),
                digest,
            }),
            phases: vec![phase],
        };
        let bench = Self { dir, plan };
        fs::write(bench.path("plan.json"), bench.plan.to_canonical_json()).unwrap();
        fs::write(bench.path("termination-log"), "").unwrap();
        bench
    }

    /// The same rows with a curriculum of the user's words, of which the first phase is trained.
    pub(crate) fn of(curriculum: Value) -> Self {
        let mut bench = Self::new();
        let facts = Facts {
            seed: 42,
            rows: ROWS,
            group_rows: bench.plan.group_rows.clone(),
            scores: bench.plan.scores.clone(),
            ..Facts::default()
        };
        let spec: CurriculumSpec = serde_json::from_value(curriculum).unwrap();
        bench.plan = compile(&spec, &facts).unwrap().for_phase(0).unwrap();
        fs::write(bench.path("plan.json"), bench.plan.to_canonical_json()).unwrap();
        bench
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn index(&self) -> PathBuf {
        self.path("store/index/abc/index.arrow")
    }

    /// The rows of some steps as the core draws them from `plan`, in the bytes of the wire.
    pub(crate) fn expected(&self, plan: &Plan, steps: std::ops::Range<u64>) -> Vec<u8> {
        let sampler = Sampler::new(plan.clone()).unwrap();
        let index = ScoreIndex::open(&self.index(), None).ok();
        let (mut bytes, mut batch) = (Vec::new(), Vec::new());
        for step in steps {
            match (&plan.scores, &index) {
                (Some(_), Some(index)) => sampler.batch(step, index, &mut batch).unwrap(),
                _ => sampler
                    .batch(step, &curriculum_operator::curriculum::order::Identity, &mut batch)
                    .unwrap(),
            }
            bytes.extend(batch.iter().flat_map(|row| row.to_le_bytes()));
        }
        bytes
    }

    pub(crate) fn command(&self, extra: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_curriculum"));
        command.args(["sampler", "--listen", "127.0.0.1:0", "--status-listen", "127.0.0.1:0"]);
        command.args(["--log-format", "json", "--run", RUN]);
        if !extra.contains(&PATIENCE) {
            command.args([PATIENCE, "1"]);
        }
        for (flag, name) in [("--plan", "plan.json"), ("--store", "store"), ("--state", "state")] {
            command.arg(flag).arg(self.path(name));
        }
        command
            .arg("--termination-log")
            .arg(self.path("termination-log"))
            .args(extra);
        command.env_remove("CURRICULUM_LOG").stderr(Stdio::piped());
        command
    }

    /// Starts the sampler and waits until it listens.
    pub(crate) fn start(&self, extra: &[&str]) -> Running {
        let mut child = self.command(extra).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut log = Vec::new();
        let [address, status] = loop {
            let line = lines
                .next()
                .unwrap_or_else(|| panic!("the sampler ended: {log:#?}"))
                .unwrap();
            let event: Value = serde_json::from_str(&line).unwrap();
            if event["message"] == "listening" {
                break ["address", "status"].map(|field| event[field].as_str().unwrap().to_owned());
            }
            log.push(line);
        };
        // The pipe must not fill up.
        let rest = std::thread::spawn(move || lines.map_while(Result::ok).collect());
        Running {
            child,
            address,
            status,
            log: log.join("\n"),
            rest: Some(rest),
        }
    }

    /// Both lines of the result.
    pub(crate) fn result(&self) -> SamplerStatus {
        let text = fs::read_to_string(self.path("termination-log")).unwrap();
        let (first, second) = text.split_once('\n').unwrap_or_else(|| panic!("{text}"));
        let essentials: SamplerStatus = serde_json::from_str(first).unwrap_or_else(|e| panic!("{e}: {text}"));
        let Details { metrics, exposure } = serde_json::from_str(second).unwrap();
        SamplerStatus {
            metrics,
            exposure,
            ..essentials
        }
    }
}

/// A sampler that listens.
pub(crate) struct Running {
    child: Child,
    /// For the trainer.
    pub(crate) address: String,
    /// For anybody.
    pub(crate) status: String,
    /// Events before it listened.
    pub(crate) log: String,
    rest: Option<JoinHandle<Vec<String>>>,
}

impl Running {
    /// Sends bytes and reads to the end of the connection.
    pub(crate) fn send(&self, bytes: &[u8]) -> Vec<u8> {
        Self::send_to(&self.address, bytes)
    }

    pub(crate) fn send_to(address: &str, bytes: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(address).unwrap();
        // A server that closes while input is unread resets the connection: what arrived before counts.
        let _ = stream.write_all(bytes);
        let mut reply = Vec::new();
        let _ = stream.read_to_end(&mut reply);
        reply
    }

    fn request(&self, head: &str, body: &str) -> (u16, Vec<u8>) {
        let length = body.len();
        let request =
            format!("{head} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
        let reply = self.send(request.as_bytes());
        let end = reply.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
        let status = std::str::from_utf8(&reply[9..12]).unwrap().parse().unwrap();
        (status, reply[end + 4..].to_vec())
    }

    /// What anybody may ask.
    pub(crate) fn look(&self, path: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        String::from_utf8(Self::send_to(&self.status, request.as_bytes())).unwrap()
    }

    pub(crate) fn get(&self, path: &str) -> (u16, Vec<u8>) {
        self.request(&format!("GET {path}"), "")
    }

    /// The name of a session of the only rank, from a step on.
    pub(crate) fn session(&self, step: u64) -> String {
        self.session_of(0, 1, step)
    }

    pub(crate) fn session_of(&self, rank: u32, world: u32, step: u64) -> String {
        let body = format!(r#"{{"rank":{rank},"world":{world},"step":{step},"run":"{RUN}"}}"#);
        let (status, reply) = self.request("POST /v1/sessions", &body);
        assert_eq!(status, 201, "{}", String::from_utf8_lossy(&reply));
        let reply: Value = serde_json::from_slice(&reply).unwrap();
        reply["session"].as_str().unwrap().to_owned()
    }

    /// Rows that count as handed out.
    pub(crate) fn take(&self, session: &str, from: u64, count: u64) -> Vec<u8> {
        let (status, rows) = self.get(&format!("/v1/batches?session={session}&from={from}&count={count}"));
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&rows));
        rows
    }

    pub(crate) fn json(&self, path: &str) -> Value {
        let (status, body) = self.get(path);
        assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).unwrap()
    }

    /// Bytes of memory that no file stands behind: all but the mapped index and the program itself.
    pub(crate) fn memory(&self) -> u64 {
        let path = format!("/proc/{}/smaps_rollup", self.child.id());
        let text = fs::read_to_string(path).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("Anonymous:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    pub(crate) fn report(&self, body: &str) -> (u16, Vec<u8>) {
        self.request("POST /v1/report", body)
    }

    /// SIGTERM; returns the events since it listened.
    pub(crate) fn events(mut self) -> Vec<String> {
        let rest = self.rest.take().unwrap();
        assert!(self.terminate().success());
        rest.join().unwrap()
    }

    fn signal(mut self, signal: &str) -> ExitStatus {
        let sent = Command::new("kill")
            .args([signal, &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
        self.child.wait().unwrap()
    }

    /// Waits until it ends by itself.
    pub(crate) fn wait(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// SIGTERM, as the kubelet ends a sidecar.
    pub(crate) fn terminate(self) -> ExitStatus {
        self.signal("-TERM")
    }

    /// SIGKILL, as the kernel does when memory is short.
    pub(crate) fn kill(self) {
        self.signal("-KILL");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
