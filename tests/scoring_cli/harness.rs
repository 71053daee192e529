//! Runs the real binary on a data set of ten rows, with a task in its environment and a store in a temporary folder.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use curriculum_operator::scoring::report::{Failure, Report};
use curriculum_operator::scoring::task::{Combine, Format, Scorer, ScorerKind, TASK_ENV, Task};
use tempfile::TempDir;

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_curriculum");

/// A data set, a store and a task.
pub(crate) struct Pods {
    folder: TempDir,
    pub(crate) task: Task,
}

impl Pods {
    pub(crate) fn new(kinds: &[(&str, ScorerKind)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("dataset")).unwrap();
        let rows: String = (0..10)
            .map(|i| format!("\"word{}\n again\",{},{}\n", i % 3, 9 - i, i % 2))
            .collect();
        fs::write(
            folder.path().join("dataset/train.csv"),
            format!("text,loss,label\n{rows}"),
        )
        .unwrap();
        let scorer = |(name, kind): &(&str, ScorerKind)| Scorer {
            name: (*name).to_owned(),
            weight: "1".to_owned(),
            kind: kind.clone(),
        };
        let task = Task {
            objects: None,
            named_groups: Vec::new(),
            delimiter: ',',
            max_bad_rows: 0,
            revision: None,
            filter: Vec::new(),
            split: None,
            path: Some("train.csv".to_owned()),
            paths: Vec::new(),
            format: Format::Csv,
            group_column: Some("label".to_owned()),
            dataset_key: "0".repeat(64),
            key: "f".repeat(64),
            seed: 3,
            shards: 2,
            scorers: kinds.iter().map(scorer).collect(),
            combine: Combine::MeanRank,
            min_coverage: "1".to_owned(),
            length_scorer: None,
            overrides: None,
        };
        Self { folder, task }
    }

    pub(crate) fn with_program() -> Self {
        let pods = Self::new(&[("program", ScorerKind::Container)]);
        assert!(pods.run("inspect", None, &[]).status.success());
        pods
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn command(&self, name: &str, shard: Option<u32>, more: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command
            .arg(name)
            .env(TASK_ENV, serde_json::to_string(&self.task).unwrap())
            .env_remove("JOB_COMPLETION_INDEX");
        for (flag, path) in [
            ("--dataset-root", "dataset"),
            ("--store-root", "store"),
            ("--termination-log", "log"),
        ] {
            command.arg(flag).arg(self.path(path));
        }
        if let Some(shard) = shard {
            command.env("JOB_COMPLETION_INDEX", shard.to_string());
        }
        command.args(more);
        command
    }

    pub(crate) fn run(&self, name: &str, shard: Option<u32>, more: &[&str]) -> Output {
        fs::write(self.path("log"), "").unwrap();
        self.command(name, shard, more).output().unwrap()
    }

    /// Runs `script` by a shell as the scorer `program`.
    pub(crate) fn exec(&self, shard: u32, script: &str) -> Output {
        self.run("exec", Some(shard), &["--scorer", "program", "--", "sh", "-c", script])
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap()
    }

    pub(crate) fn report(&self) -> Report {
        serde_json::from_str(&self.log()).unwrap()
    }

    pub(crate) fn failure(&self) -> Failure {
        match self.report() {
            Report::Error(failure) => failure,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn scores(&self) -> Vec<String> {
        let folder = self.path("store/scores").join(&self.task.key).join("program");
        let entries = fs::read_dir(folder).into_iter().flatten();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// Names in the folder of scratch.
    pub(crate) fn scratch(&self) -> Vec<String> {
        let folder = self.path("store/scores").join(&self.task.key).join(".scratch");
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

#[track_caller]
pub(crate) fn assert_exit(output: &Output, code: u8) {
    assert_eq!(
        output.status.code(),
        Some(i32::from(code)),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Scores rows by their number; writes through a subshell, so that the shell's own environment is what counts.
pub(crate) const GOOD_PROGRAM: &str = r#"row=$CURRICULUM_ROW_START
echo row,score > "$CURRICULUM_OUTPUT.csv"
while [ "$row" -lt "$CURRICULUM_ROW_END" ]; do echo "$row,-$row" >> "$CURRICULUM_OUTPUT.csv"; row=$((row + 1)); done"#;
