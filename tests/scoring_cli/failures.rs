//! How commands end when the data set, the scores or the store is at fault.

use std::fs;

use curriculum_operator::scoring::report::{EXIT_DATASET, EXIT_IO, EXIT_SCORES, Failure};
use curriculum_operator::scoring::task::{ScorerKind, TASK_ENV};

use crate::harness::{GOOD_PROGRAM, Pods, assert_exit};

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
    pods.task.path = Some("trian.csv".to_owned());
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

/// As in a pod of many containers, of whose messages the kubelet keeps less.
#[test]
fn a_report_fits_into_what_the_pod_keeps() {
    let mut pods = Pods::new(&[(
        "loss",
        ScorerKind::Column {
            column: "loss".to_owned(),
        },
    )]);
    pods.task.group_column = Some("k".repeat(900));
    let mut command = pods.command("inspect", None, &[]);
    let output = command.env("CURRICULUM_MESSAGE_BYTES", "500").output().unwrap();
    assert_exit(&output, EXIT_DATASET);
    assert!(pods.log().len() <= 500, "{}", pods.log());
    assert_eq!(pods.failure().reason, "ColumnNotFound");
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
