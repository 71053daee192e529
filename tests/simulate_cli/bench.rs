//! Runs the real binary on files in a scratch folder.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// A scratch folder.
pub(crate) struct Bench {
    folder: TempDir,
}

/// Phases of 10, 10 and 5 steps of 8 rows.
pub(crate) const SMALL: &str = r#"
curriculum:
  batchSize: 8
  phases:
  - name: easy
    pool: {fraction: "0.2"}
    duration: {steps: 10}
  - name: grow
    pool: {pacing: {function: Linear, from: "0.2", to: "0.6"}}
    replay: "0.25"
    duration: {steps: 10}
  - name: hold
    pool: {fraction: "0.6"}
    duration: {steps: 5}
"#;

impl Bench {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// A folder with [`SMALL`] as `small.yaml`.
    pub(crate) fn small() -> Self {
        let bench = Self::new();
        bench.write("small.yaml", SMALL);
        bench
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// Runs a command line within the folder.
    pub(crate) fn run(&self, line: &str) -> Output {
        Command::new(env!("CARGO_BIN_EXE_curriculum"))
            .args(line.split(' '))
            .current_dir(self.folder.path())
            .output()
            .unwrap()
    }

    /// What a command line that succeeds prints.
    pub(crate) fn text(&self, line: &str) -> String {
        let output = self.run(line);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The objects that a command line prints.
    pub(crate) fn lines(&self, line: &str) -> Vec<Value> {
        let text = self.text(line);
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// What a command line that fails says.
    pub(crate) fn error(&self, line: &str) -> String {
        let output = self.run(line);
        assert!(!output.status.success(), "{line} succeeds");
        assert!(output.stdout.is_empty(), "{line} prints something");
        String::from_utf8(output.stderr).unwrap()
    }
}
