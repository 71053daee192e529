//! Runs `curriculum run` on a small data set with a trainer that writes down which rows it was given.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_curriculum");
/// Steps of each of the two phases.
pub(crate) const STEPS: u64 = 20;
pub(crate) const BATCH: u64 = 8;
/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(120);

/// A folder with a data set, a manifest, and a run.
pub(crate) struct Local {
    folder: TempDir,
}

impl Local {
    /// Two phases over a hundred rows, row n of difficulty n, with `spec` merged in.
    pub(crate) fn new(spec: &Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("data")).unwrap();
        let rows: String = (0..100).map(|row| format!("{row}\n")).collect();
        fs::write(folder.path().join("data/data.csv"), format!("difficulty\n{rows}")).unwrap();
        let local = Self { folder };
        local.write(spec);
        local
    }

    /// Writes the manifest anew.
    pub(crate) fn write(&self, spec: &Value) {
        let mut job = json!({
            "apiVersion": "curriculum.dev/v1alpha1", "kind": "CurriculumJob", "metadata": {"name": "small"},
            "spec": {
                "seed": 7,
                "dataset": {"volume": {"configMap": {"name": "data"}}, "path": "data.csv"},
                "scoring": {"scorers": [{"name": "given", "column": {"column": "difficulty"}}]},
                "curriculum": {"batchSize": BATCH, "phases": [
                    {"name": "easy", "pool": {"fraction": "0.25"}, "duration": {"steps": STEPS}},
                    {"name": "all", "pool": {"fraction": "1"}, "duration": {"steps": STEPS}},
                ]},
                "training": {
                    "backoffLimit": 2,
                    "checkpoint": {"volume": {"persistentVolumeClaim": {"claimName": "checkpoints"}}, "path": "small"},
                    "template": {"spec": {"terminationGracePeriodSeconds": 5, "containers": [{
                        "name": "trainer", "image": "none", "command": ["python3", "/tests/fake_trainer.py"],
                        "env": [{"name": "BATCH_SIZE", "value": BATCH.to_string()}],
                    }]}},
                },
            }
        });
        json_patch::merge(&mut job["spec"], spec);
        fs::write(self.path("job.yaml"), job.to_string()).unwrap();
    }

    /// With a variable of the trainer's environment (see `e2e/programs/fake_trainer.py`).
    pub(crate) fn trainer(name: &str, value: &str) -> Value {
        json!({"training": {"template": {"spec": {"containers": [{
            "name": "trainer", "image": "none", "command": ["python3", "/tests/fake_trainer.py"],
            "env": [{"name": "BATCH_SIZE", "value": BATCH.to_string()}, {"name": name, "value": value}],
        }]}}}})
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn command(&self) -> Command {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut command = Command::new(BINARY);
        command
            .args(["run", "-f", "job.yaml", "-d", "run", "-v", "data=data", "-v"])
            .arg(format!("/tests={}", root.join("e2e/programs").display()))
            .current_dir(self.folder.path())
            .env("PYTHONPATH", root.join("python"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            // As in the operator's image, which has no certificates: no client may need them to be made.
            .env("SSL_CERT_FILE", "/nowhere")
            .env("SSL_CERT_DIR", "/nowhere")
            .stdin(Stdio::null());
        command
    }

    /// Runs it to its end.
    pub(crate) fn run(&self) -> Output {
        self.command().output().unwrap()
    }

    /// Runs it and expects success; what it printed.
    pub(crate) fn succeeds(&self) -> String {
        let output = self.run();
        assert!(output.status.success(), "{}", words(&output));
        words(&output)
    }

    /// Starts it and waits until the trainer has done that step.
    pub(crate) fn start(&self, step: u64) -> Child {
        let child = self
            .command()
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        eventually("the trainer gets on", || {
            self.trained().is_some_and(|state| state["step"].as_u64() >= Some(step))
        });
        child
    }

    /// The trainer's checkpoint.
    fn trained(&self) -> Option<Value> {
        let text = fs::read(self.path("run/volumes/checkpoints/small/fake.json")).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// The rows of every step that the trainer wrote down, which are steps 0, 1, 2, …
    pub(crate) fn rows(&self) -> Vec<Vec<u64>> {
        let state = self.trained().unwrap();
        let history: Vec<(u64, Vec<u64>)> = serde_json::from_value(state["history"].clone()).unwrap();
        for (place, (step, _)) in history.iter().enumerate() {
            assert_eq!(*step, place as u64);
        }
        history.into_iter().map(|(_, rows)| rows).collect()
    }

    /// How often the trainer was started.
    pub(crate) fn starts(&self) -> u64 {
        self.trained().unwrap()["starts"].as_u64().unwrap()
    }

    /// The rows that `curriculum sample` says, by the run's score index.
    pub(crate) fn expected(&self) -> Vec<Vec<u64>> {
        let index = self.find("run/volumes/small-store/index", "index.arrow");
        let output = Command::new(BINARY)
            .args(["sample", "-f", "job.yaml", "--from", "0", "--count"])
            .arg((2 * STEPS).to_string())
            .arg("--index")
            .arg(index)
            .current_dir(self.folder.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", words(&output));
        let text = String::from_utf8(output.stdout).unwrap();
        let numbers = |line: &str| line.split_whitespace().map(|number| number.parse().unwrap()).collect();
        text.lines().map(numbers).collect()
    }

    fn find(&self, below: &str, name: &str) -> PathBuf {
        let folders = fs::read_dir(self.path(below)).unwrap();
        let mut found = folders
            .map(|entry| entry.unwrap().path().join(name))
            .filter(|path| path.is_file());
        found.next().unwrap()
    }

    pub(crate) fn status(&self) -> Value {
        let state: Value = serde_json::from_slice(&fs::read(self.path("run/state.json")).unwrap()).unwrap();
        state["curriculumJob"]["status"].clone()
    }

    /// Programs of the run that are still there, by the folder in their command lines or environments.
    pub(crate) fn programs(&self) -> Vec<u32> {
        let folder = self.folder.path().to_string_lossy().into_owned();
        let processes = fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let of_the_run = |pid: &u32| {
            let read = |name: &str| fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
            let text = [read("cmdline"), read("environ")].concat();
            String::from_utf8_lossy(&text).contains(&folder)
        };
        processes.filter(of_the_run).collect()
    }

    pub(crate) fn nothing_runs(&self) {
        eventually("everything has ended", || self.programs().is_empty());
    }
}

/// Waits for something, and looks often.
pub(crate) fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(
            begin.elapsed() < PATIENCE,
            "{what}: not within {} s",
            PATIENCE.as_secs()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) fn words(output: &Output) -> String {
    let text = [output.stdout.as_slice(), &output.stderr].concat();
    String::from_utf8_lossy(&text).into_owned()
}
