//! The scoring commands as the pods run them: the real binary, a task in the environment, files in a temporary folder.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use curriculum_operator::scoring::index_map::ScoreIndex;
use curriculum_operator::scoring::report::{EXIT_DATASET, EXIT_IO, EXIT_SCORES, Failure, IndexSummary, Report};
use curriculum_operator::scoring::task::{Combine, Format, Scorer, ScorerKind, TASK_ENV, Task, Unit};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const BINARY: &str = env!("CARGO_BIN_EXE_curriculum");

struct Pods {
    folder: TempDir,
    task: Task,
}

impl Pods {
    fn new(kinds: &[(&str, ScorerKind)]) -> Self {
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
            named_groups: Vec::new(),
            path: "train.csv".to_owned(),
            format: Format::Csv,
            group_column: Some("label".to_owned()),
            dataset_key: "0".repeat(64),
            key: "f".repeat(64),
            seed: 3,
            shards: 2,
            scorers: kinds.iter().map(scorer).collect(),
            combine: Combine::MeanRank,
            min_coverage: "1".to_owned(),
        };
        Self { folder, task }
    }

    fn with_program() -> Self {
        let pods = Self::new(&[("program", ScorerKind::Container)]);
        assert!(pods.run("inspect", None, &[]).status.success());
        pods
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, name: &str, shard: Option<u32>, more: &[&str]) -> Command {
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

    fn run(&self, name: &str, shard: Option<u32>, more: &[&str]) -> Output {
        fs::write(self.path("log"), "").unwrap();
        self.command(name, shard, more).output().unwrap()
    }

    /// Runs `script` by a shell as the scorer `program`.
    fn exec(&self, shard: u32, script: &str) -> Output {
        self.run("exec", Some(shard), &["--scorer", "program", "--", "sh", "-c", script])
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap()
    }

    fn report(&self) -> Report {
        serde_json::from_str(&self.log()).unwrap()
    }

    fn failure(&self) -> Failure {
        match self.report() {
            Report::Error(failure) => failure,
            other => panic!("{other:?}"),
        }
    }

    fn scores(&self) -> Vec<String> {
        let folder = self.path("store/scores").join(&self.task.key).join("program");
        let entries = fs::read_dir(folder).into_iter().flatten();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn scratch_is_empty(&self) -> bool {
        fs::read_dir(self.path("store/scores").join(&self.task.key).join(".scratch"))
            .unwrap()
            .next()
            .is_none()
    }
}

#[track_caller]
fn assert_exit(output: &Output, code: u8) {
    assert_eq!(
        output.status.code(),
        Some(i32::from(code)),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Scores rows by their number; writes through a subshell, so that the shell's own environment is what counts.
const GOOD_PROGRAM: &str = r#"row=$CURRICULUM_ROW_START
echo row,score > "$CURRICULUM_OUTPUT.csv"
while [ "$row" -lt "$CURRICULUM_ROW_END" ]; do echo "$row,-$row" >> "$CURRICULUM_OUTPUT.csv"; row=$((row + 1)); done"#;

#[test]
fn a_data_set_becomes_an_index() {
    let text = || "text".to_owned();
    let pods = Pods::new(&[
        (
            "loss",
            ScorerKind::Column {
                column: "loss".to_owned(),
            },
        ),
        (
            "length",
            ScorerKind::Length {
                column: text(),
                unit: Unit::Words,
            },
        ),
        ("rarity", ScorerKind::Rarity { column: text() }),
        ("program", ScorerKind::Container),
    ]);
    assert_exit(&pods.run("inspect", None, &[]), 0);
    let Report::Inspected(inspection) = pods.report() else {
        panic!("{}", pods.log())
    };
    assert_eq!(
        (inspection.rows, inspection.group_rows, inspection.found),
        (10, vec![5, 5], None)
    );
    for shard in 0..2 {
        assert_exit(&pods.run("count", Some(shard), &[]), 0);
    }
    for shard in 0..2 {
        assert_exit(&pods.run("score", None, &["--shard", &shard.to_string()]), 0);
        assert_exit(&pods.exec(shard, GOOD_PROGRAM), 0);
        assert_eq!(pods.log(), "", "only inspect and index report success");
    }
    assert_exit(&pods.run("index", None, &[]), 0);
    let Report::Indexed(summary) = pods.report() else {
        panic!("{}", pods.log())
    };
    assert_eq!((summary.rows, summary.scored_rows), (10, 10));
    check_index(&pods, &summary);

    assert_exit(&pods.run("inspect", None, &[]), 0);
    let Report::Inspected(inspection) = pods.report() else {
        panic!("{}", pods.log())
    };
    let found = inspection.found.unwrap();
    assert_eq!((found.exact, found.summary), (true, summary));
    assert!(pods.scratch_is_empty());
}

/// Loss and the program's scores put the last row first; the word of rows 0, 3, 6 and 9 is the most frequent one.
fn check_index(pods: &Pods, summary: &IndexSummary) {
    let path = pods.path("store/index").join(&pods.task.key).join("index.arrow");
    let index = ScoreIndex::open(&path, Some(&summary.digest)).unwrap();
    assert_eq!(index.rows()[0], 9);
    assert_eq!(index.group_names(), ["0", "1"]);
    assert_eq!(index.group_rows_order(1)[0], 9);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
}

#[test]
fn a_program_finds_what_it_needs_in_its_environment() {
    let pods = Pods::with_program();
    let output = pods.exec(
        1,
        &format!("env | grep ^CURRICULUM_ | grep -v TASK | sort; {GOOD_PROGRAM}"),
    );
    assert_exit(&output, 0);
    let text = String::from_utf8(output.stdout).unwrap();
    let (before, after) = text.split_once("CURRICULUM_OUTPUT=").unwrap();
    let (scratch, after) = after.split_once('\n').unwrap();
    assert!(
        scratch.starts_with(pods.path("store/scores").join(&pods.task.key).to_str().unwrap()),
        "{scratch}"
    );
    let dataset = pods.path("dataset/train.csv");
    assert_eq!(
        before.to_owned() + after,
        format!(
            "CURRICULUM_DATASET={}\nCURRICULUM_FORMAT=Csv\nCURRICULUM_ROW_END=10\nCURRICULUM_ROW_START=5\nCURRICULUM_SEED=3\n\
             CURRICULUM_SHARD_COUNT=2\nCURRICULUM_SHARD_INDEX=1\n",
            dataset.display()
        )
    );
    assert_eq!(pods.scores(), ["1-of-2.csv"]);
}

#[test]
fn a_failing_program_ends_the_pod_with_its_own_code_and_words() {
    let pods = Pods::with_program();
    let output = pods.exec(0, &format!("{GOOD_PROGRAM}; echo out of memory >&2; exit 3"));
    assert_exit(&output, 3);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "out of memory\n");
    assert_eq!(pods.log(), "");
    assert!(pods.scores().is_empty() && pods.scratch_is_empty());

    assert_exit(&pods.exec(0, "kill -KILL $$"), 128 + 9);
    assert_eq!(pods.log(), "");
}

#[test]
fn a_program_that_leaves_no_scores_is_told_what_to_write() {
    let pods = Pods::with_program();
    let wanted =
        "it must write one of `$CURRICULUM_OUTPUT.parquet`, `$CURRICULUM_OUTPUT.csv`, `$CURRICULUM_OUTPUT.jsonl`";
    for (script, found) in [
        ("true", "left no scores".to_owned()),
        (
            "touch \"$CURRICULUM_OUTPUT.json\"",
            "left no scores (it wrote `scores.json`)".to_owned(),
        ),
        (
            "touch \"$CURRICULUM_OUTPUT.csv\" \"$CURRICULUM_OUTPUT.jsonl\"",
            "wrote 2 files of scores".to_owned(),
        ),
    ] {
        assert_exit(&pods.exec(0, script), EXIT_SCORES);
        let message = format!("scorer `program` ended with exit code 0 but {found}; {wanted}");
        assert_eq!(
            pods.failure(),
            Failure {
                reason: "ScoresInvalid".to_owned(),
                message
            }
        );
        assert!(pods.scores().is_empty() && pods.scratch_is_empty());
    }
    assert_exit(
        &pods.run("exec", Some(0), &["--scorer", "program", "--", "/no/such/program"]),
        EXIT_SCORES,
    );
    assert!(
        pods.failure()
            .message
            .starts_with("scorer `program`: cannot start `/no/such/program`: ")
    );
}

#[test]
fn a_shard_without_rows_needs_no_program() {
    let mut pods = Pods::with_program();
    pods.task.shards = 20;
    assert_exit(&pods.exec(0, "exit 1"), 0);
    assert_exit(&pods.exec(1, "exit 1"), 1);
}

#[test]
fn another_attempt_replaces_the_scores_of_the_first() {
    let pods = Pods::with_program();
    assert_exit(&pods.exec(0, "echo row,score > $CURRICULUM_OUTPUT.csv"), 0);
    assert_exit(&pods.exec(0, "echo '{}' > $CURRICULUM_OUTPUT.jsonl"), 0);
    assert_eq!(pods.scores(), ["0-of-2.jsonl"]);
}

#[test]
fn signals_reach_the_program() {
    let pods = Pods::with_program();
    for (signal, code) in [(Signal::TERM, 128 + 15), (Signal::INT, 128 + 2)] {
        let script = "echo ready; exec sleep 60";
        let mut command = pods.command("exec", Some(0), &["--scorer", "program", "--", "sh", "-c", script]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line, "ready\n");
        kill_process(Pid::from_raw(child.id().cast_signed()).unwrap(), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code));
        assert!(pods.scratch_is_empty());
    }
}

#[test]
fn the_data_sets_faults_end_the_run() {
    let mut pods = Pods::new(&[(
        "loss",
        ScorerKind::Column {
            column: "loss".to_owned(),
        },
    )]);
    pods.task.group_column = Some("klass".to_owned());
    assert_exit(&pods.run("inspect", None, &[]), EXIT_DATASET);
    assert_eq!(
        pods.failure(),
        Failure {
            reason: "ColumnNotFound".to_owned(),
            message: "`dataset.groupColumn` names column `klass`, which does not exist; the columns are `text`, `loss` and `label`"
                .to_owned()
        }
    );
    pods.task.path = "trian.csv".to_owned();
    assert_exit(&pods.run("inspect", None, &[]), EXIT_DATASET);
    assert_eq!(pods.failure().reason, "DatasetNotFound");
}

#[test]
fn the_scores_faults_leave_the_choice_to_the_controller() {
    let pods = Pods::with_program();
    assert_exit(&pods.exec(0, GOOD_PROGRAM), 0);
    assert_exit(
        &pods.exec(1, &format!("{GOOD_PROGRAM}; echo 9,1 >> \"$CURRICULUM_OUTPUT.csv\"")),
        0,
    );
    assert_exit(&pods.run("index", None, &[]), EXIT_SCORES);
    let message = "scorer `program`: 1 duplicate row (in shard 1 of 2)".to_owned();
    assert_eq!(
        pods.failure(),
        Failure {
            reason: "ScoresInvalid".to_owned(),
            message
        }
    );

    assert_exit(
        &pods.exec(1, "printf 'row,score\\n5,1\\n6,nan\\n' > \"$CURRICULUM_OUTPUT.csv\""),
        0,
    );
    assert_exit(&pods.run("index", None, &[]), EXIT_SCORES);
    let message = "6 of 10 rows have a finite score from every scorer, but `scoring.minCoverage` asks for 1; scorer `program`: 1 NaN \
                   (in shard 1 of 2), 3 rows without a score (first in shard 1 of 2)";
    assert_eq!(
        pods.failure(),
        Failure {
            reason: "CoverageTooLow".to_owned(),
            message: message.to_owned()
        }
    );
}

#[test]
fn other_failures_may_be_tried_again() {
    let pods = Pods::new(&[(
        "loss",
        ScorerKind::Column {
            column: "loss".to_owned(),
        },
    )]);
    assert_exit(&pods.run("score", Some(0), &[]), EXIT_IO);
    assert_eq!(pods.failure().reason, "ScorerFailed");
    fs::write(pods.path("store"), "a file where the store should be").unwrap();
    assert_exit(&pods.run("inspect", None, &[]), EXIT_IO);
    assert_eq!(pods.failure().reason, "InspectionFailed");
}

#[test]
fn a_task_may_come_from_a_file_and_a_wrong_one_is_the_users() {
    let pods = Pods::new(&[(
        "loss",
        ScorerKind::Column {
            column: "loss".to_owned(),
        },
    )]);
    let file = pods.path("task.json");
    fs::write(&file, serde_json::to_string(&pods.task).unwrap()).unwrap();
    let mut command = pods.command("inspect", None, &["--task", file.to_str().unwrap()]);
    assert_exit(&command.env_remove(TASK_ENV).output().unwrap(), 0);

    assert_exit(
        &pods
            .command("inspect", None, &[])
            .env_remove(TASK_ENV)
            .output()
            .unwrap(),
        EXIT_DATASET,
    );
    assert_eq!(pods.failure().reason, "InvalidSpec");
    assert_exit(&pods.run("score", Some(2), &[]), EXIT_DATASET);
    assert_eq!(
        pods.failure().message,
        "shard 2 does not exist: the task has 2 shards, counted from 0"
    );
}

#[test]
fn no_sample_is_in_the_log() {
    let pods = Pods::new(&[(
        "rarity",
        ScorerKind::Rarity {
            column: "text".to_owned(),
        },
    )]);
    let mut text = String::new();
    for (name, shard) in [
        ("inspect", None),
        ("count", Some(0)),
        ("count", Some(1)),
        ("score", Some(0)),
        ("score", Some(1)),
        ("index", None),
    ] {
        let output = pods.run(name, shard, &[]);
        assert_exit(&output, 0);
        text += &String::from_utf8(output.stderr).unwrap();
    }
    assert!(text.contains("indexed") && !text.contains("word"), "{text}");
}

#[test]
fn the_binary_copies_itself() {
    let folder = tempfile::tempdir().unwrap();
    let install = |dir: &Path| Command::new(BINARY).arg("install-self").arg(dir).output().unwrap();
    let tools = folder.path().join("tools");
    for _ in 0..2 {
        assert_exit(&install(&tools), 0);
    }
    let copy = tools.join("curriculum");
    assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o755);
    assert_eq!(fs::read_dir(&tools).unwrap().count(), 1);
    let version = Command::new(copy).arg("--version").output().unwrap();
    assert!(String::from_utf8(version.stdout).unwrap().starts_with("curriculum "));
    assert_exit(&install(Path::new("/proc/none")), EXIT_IO);
}
