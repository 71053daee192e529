//! A program of the user's as the scorer.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

use curriculum_operator::scoring::report::{EXIT_SCORES, Failure};
use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{GOOD_PROGRAM, Pods, assert_exit};

#[test]
fn a_program_finds_what_it_needs_in_its_environment() {
    let pods = Pods::with_program();
    let output = pods.exec(
        1,
        &format!("env | grep ^CURRICULUM_ | grep -v TASK | sort; cat \"$CURRICULUM_FILES\" \"$CURRICULUM_ALL_FILES\"; {GOOD_PROGRAM}"),
    );
    assert_exit(&output, 0);
    let text = String::from_utf8(output.stdout).unwrap();
    let (before, after) = text.split_once("CURRICULUM_OUTPUT=").unwrap();
    let (scratch, after) = after.split_once('\n').unwrap();
    let (first, before) = before.split_once("CURRICULUM_FILES=").unwrap();
    let (files, before) = before.split_once('\n').unwrap();
    assert_eq!(Path::new(files), Path::new(scratch).with_file_name("files.csv"));
    assert!(
        scratch.starts_with(pods.path("store/scores").join(&pods.task.key).to_str().unwrap()),
        "{scratch}"
    );
    let dataset = pods.path("dataset/train.csv");
    assert_eq!(
        first.to_owned() + before + after,
        format!(
            "CURRICULUM_ALL_FILES={}\nCURRICULUM_DATASET={}\nCURRICULUM_DATASET_ROOT={}\nCURRICULUM_DELIMITER=,\nCURRICULUM_FORMAT=Csv\nCURRICULUM_ROW_END=10\nCURRICULUM_ROW_START=5\nCURRICULUM_SEED=3\n\
             CURRICULUM_SHARD_COUNT=2\nCURRICULUM_SHARD_INDEX=1\npath,start,end\n{},0,10\npath,start,end\n{},0,10\n",
            Path::new(scratch).with_file_name("all-files.csv").display(),
            dataset.display(),
            pods.path("dataset").display(),
            dataset.display(),
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
    assert!(pods.scores().is_empty() && pods.scratch().is_empty());

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
        assert!(pods.scores().is_empty() && pods.scratch().is_empty());
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

/// Starts the scorer of shard 0 and waits until its program runs, which then waits for the end of its input.
fn start_and_wait(pods: &Pods) -> Child {
    let script = "echo ready; read line";
    let mut command = pods.command("exec", Some(0), &["--scorer", "program", "--", "sh", "-c", script]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "ready\n");
    child
}

#[test]
fn signals_reach_the_program() {
    let pods = Pods::with_program();
    for (signal, code) in [(Signal::TERM, 128 + 15), (Signal::INT, 128 + 2)] {
        let mut child = start_and_wait(&pods);
        kill_process(Pid::from_raw(child.id().cast_signed()).unwrap(), signal).unwrap();
        // `wait` would close the program's input, which ends it too.
        let input = child.stdin.take();
        assert_eq!(child.wait().unwrap().code(), Some(code));
        drop(input);
        assert!(pods.scratch().is_empty());
    }
}

#[test]
fn what_a_killed_attempt_left_goes_and_what_a_living_one_writes_stays() {
    let pods = Pods::with_program();
    let mut living = start_and_wait(&pods);
    let first = pods.scratch();
    assert_eq!(first.len(), 2, "a lock and a folder");
    let mut killed = start_and_wait(&pods);
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert_eq!(pods.scratch().len(), 4);

    assert_exit(&pods.exec(1, GOOD_PROGRAM), 0);
    assert_eq!(pods.scratch().len(), 4, "another shard's is not ours");
    assert_exit(&pods.exec(0, GOOD_PROGRAM), 0);
    assert_eq!(pods.scratch(), first);

    drop(living.stdin.take());
    assert_eq!(living.wait().unwrap().code(), Some(1), "no line to read");
    assert!(pods.scratch().is_empty());
}
