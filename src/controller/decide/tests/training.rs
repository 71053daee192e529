//! Phases and attempts.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

use super::*;
use crate::api::status::VisitOutcome;
use crate::controller::build::ANNOTATION_PLAN_DIGEST;
use crate::controller::test_support::waiting;
use crate::sampler::contract::{MetricPoint, Source};

use ConditionType::{Failed, Ready, Reconciling, Stalled, Succeeded};

fn job_uid(case: &Case) -> Option<&str> {
    case.status().current_visit.as_ref().unwrap().job_uid.as_deref()
}

#[test]
fn a_job_is_made_from_its_intent_and_its_uid_is_written_with_it() {
    let mut case = scored(json!({}));
    assert_eq!(ensured(&case.turn()), ["digits-plan-0", "digits-train-0"]);
    assert_eq!(job_uid(&case), Some("digits-train-0"));
    let plan = case
        .observed
        .config_maps
        .iter()
        .find(|meta| meta.name.as_deref() == Some("digits-plan-0"))
        .unwrap();
    assert_eq!(
        plan.annotations.as_ref().unwrap()[ANNOTATION_PLAN_DIGEST],
        case.plan_digest()
    );
    assert_eq!(
        case.turn(),
        Actions::default(),
        "nothing more while it waits for its pod"
    );
}

#[test]
fn a_job_whose_uid_was_not_written_is_found_again() {
    let mut case = training(json!({}));
    case.edit(|job| job.status.as_mut().unwrap().current_visit.as_mut().unwrap().job_uid = None);
    let actions = case.turn();
    assert!(actions.ensure.is_empty());
    assert_eq!(job_uid(&case), Some("digits-train-0"));
}

#[test]
fn a_lost_job_costs_the_budget_and_is_never_made_again() {
    let mut case = training(json!({}));
    case.loses("train");
    let actions = case.turn();
    assert_eq!(told(&actions), ["JobLost"]);
    assert!(actions.ensure.is_empty());
    assert_eq!(case.phase(), (0, 1, 1));
    assert_eq!(case.says(Ready), ("False", "Retrying"));
    assert_eq!(case.says(Reconciling), ("True", "InProgress"));

    let waits = case.turn();
    assert_eq!((waits.ensure.len(), waits.requeue), (0, Some(Duration::from_secs(10))));
    case.pass(10);
    assert_eq!(ensured(&case.turn()), ["digits-plan-1", "digits-train-1"]);
    assert_eq!(case.says(Ready), ("True", "Training"));
}

#[test]
fn a_job_with_the_name_but_not_the_uid_is_another_one() {
    let mut case = training(json!({}));
    let mut other = Job::clone(&case.job("train"));
    other.metadata.uid = Some("other".to_owned());
    case.replace(other);
    assert_eq!(told(&case.turn()), ["JobLost"]);
    let deleted = case.turn().delete;
    assert_eq!(deleted[0].uid, "other", "it is in the way");
}

#[test]
fn the_wait_doubles_with_every_failure_up_to_its_cap() {
    let mut case = training(json!({"training": {"backoffLimit": 100}}));
    for wait in [10, 20, 40, 80, 160, 300, 300] {
        case.fails(
            "train",
            "BackoffLimitExceeded",
            exited("trainer", 1, Some("CUDA out of memory")),
        );
        case.turn();
        let at = case
            .status()
            .current_visit
            .as_ref()
            .unwrap()
            .retry_time
            .clone()
            .unwrap();
        assert_eq!(at.0.as_second() - case.observed.now.as_second(), wait);
        case.pass(wait);
        case.turn();
        assert_eq!(case.status().current_visit.as_ref().unwrap().retry_time, None);
    }
}

#[test]
fn a_spent_budget_fails_the_run_with_the_trainers_words() {
    let mut case = training(json!({"training": {"backoffLimit": 1}}));
    case.fails(
        "train",
        "BackoffLimitExceeded",
        exited("trainer", 1, Some("CUDA out of memory")),
    );
    case.turn();
    case.pass(10);
    case.turn();
    case.fails(
        "train",
        "BackoffLimitExceeded",
        exited("trainer", 1, Some("CUDA out of memory")),
    );
    let actions = case.turn();
    assert_eq!(told(&actions), ["TrainerFailed", "BackoffLimitExceeded"]);
    for type_ in [Failed, Stalled] {
        assert_eq!(case.says(type_), ("True", "BackoffLimitExceeded"));
    }
    let message = &case.condition(Failed).message;
    assert!(
        message.contains("phase 'easy'") || message.contains("Phase 'easy'"),
        "{message}"
    );
    assert!(
        message.contains("TrainerFailed: container 'trainer' exited with code 1: CUDA out of memory"),
        "{message}"
    );
    let record = case.status().visits.last().unwrap();
    assert_eq!(
        (record.outcome, record.attempts, record.snapshot.as_ref()),
        (VisitOutcome::Failed, 2, None)
    );
    assert!(case.status().completion_time.is_some());
    assert!(case.turn().ensure.is_empty());
}

#[test]
fn exit_code_0_without_a_matching_result_is_no_success() {
    type Lie = fn(&Case) -> Option<String>;
    let lies: [(Lie, &str); 6] = [
        (
            |case| {
                let mut said = sampler_status(&case.plan_digest(), 0, 10);
                said.trainer_fault = Some("two processes claim rank 0".to_owned());
                Some(as_json(&said))
            },
            "nothing of it counts: two processes claim rank 0",
        ),
        (|_| None, "left no valid result"),
        (|_| Some("{\"planDigest\":".to_owned()), "left no valid result"),
        (
            |case| Some(as_json(&sampler_status(&case.plan_digest(), 0, 4))),
            "after step 4, but the phase ends at 10",
        ),
        (
            |_| Some(as_json(&sampler_status(&format!("sha256:{}", "b".repeat(64)), 0, 10))),
            "of another plan",
        ),
        (
            |case| Some(as_json(&sampler_status(&case.plan_digest(), 1, 10))),
            "of another plan",
        ),
    ];
    for (lie, words) in lies {
        let mut case = training(json!({}));
        let said = lie(&case);
        case.completes("train", exited("sampler", 0, said.as_deref()));
        let actions = case.turn();
        assert_eq!(told(&actions), ["ResultMismatch"]);
        assert!(actions.events[0].note.contains(words), "{}", actions.events[0].note);
        assert_eq!(case.phase(), (0, 1, 1));
        assert!(case.status().visits.is_empty());
    }
}

#[test]
fn a_completed_phase_its_snapshot_and_the_next_intent_are_one_turn() {
    let mut case = training(json!({}));
    case.trains();
    assert_eq!(ensured(&case.turn()), ["digits-0"]);
    assert_eq!(case.phase(), (1, 1, 0));
    let first = case.status().visits[0].clone();
    assert_eq!(
        (first.outcome, first.attempts, first.snapshot.as_deref()),
        (VisitOutcome::Completed, 1, Some("digits-0"))
    );
    assert_eq!(case.status().progress.as_ref().unwrap().summary, "10/30");

    case.turn();
    case.trains();
    let actions = case.turn();
    let Some(Ensure::Snapshot(second)) = actions.ensure.first() else {
        panic!("a snapshot: {actions:?}")
    };
    assert_eq!(second.spec.previous, first.snapshot_digest, "the chain");
    assert_eq!((second.spec.step, second.spec.phase_index), (20, 1));
}

#[test]
fn a_repeated_turn_makes_the_same_snapshot() {
    let mut case = training(json!({}));
    case.trains();
    let once = decide(&case.settings, &validate(&case.job).unwrap(), &case.observed);
    case.pass(100);
    let again = decide(&case.settings, &validate(&case.job).unwrap(), &case.observed);
    let digest = |actions: &Actions| match &actions.ensure[0] {
        Ensure::Snapshot(snapshot) => (
            snapshot.name_any(),
            snapshot.spec.digest.clone(),
            snapshot.spec.state.clone(),
        ),
        other => panic!("{other:?}"),
    };
    assert_eq!(digest(&once), digest(&again));
}

#[test]
fn the_last_phase_ends_the_run() {
    let mut case = training(json!({}));
    for _ in 0..2 {
        case.trains();
        case.turn();
        case.turn();
    }
    case.trains();
    let actions = case.turn();
    assert_eq!(told(&actions), ["Completed"]);
    assert!(!actions.events[0].warning);
    assert_eq!(case.says(Succeeded), ("True", "Completed"));
    assert_eq!(case.says(Ready), ("True", "Completed"));
    assert_eq!(case.says(Reconciling), ("False", "Completed"));
    assert_eq!(case.status().progress.as_ref().unwrap().summary, "30/30");
    assert_eq!(case.status().current_visit.as_ref().unwrap().phase_name, "all");
    case.loses("train");
    assert_eq!(
        case.turn(),
        Actions::default(),
        "a finished Job that is removed does not run again"
    );
}

#[test]
fn a_finished_job_removed_after_its_phase_was_recorded_does_not_run_again() {
    let mut case = training(json!({}));
    case.trains();
    case.turn();
    case.loses("train");
    assert_eq!(ensured(&case.turn()), ["digits-plan-1", "digits-train-1"]);
}

#[test]
fn progress_is_written_at_most_once_per_interval() {
    let mut case = training(json!({}));
    let mut live = sampler_status(&case.plan_digest(), 0, 3);
    live.metrics
        .insert("val_accuracy".to_owned(), MetricPoint { value: 0.883, step: 2 });
    case.observed.sampler = Some(live.clone());
    assert_eq!(case.turn().status, None, "the phase has only just begun");
    case.pass(10);
    case.turn();
    let progress = case.status().progress.clone().unwrap();
    assert_eq!(
        (progress.step, progress.percent, progress.summary.as_str()),
        (3, 10, "3/30")
    );
    assert_eq!(
        (case.status().metrics[0].value.as_str(), case.status().metrics[0].step),
        ("0.883", 2)
    );

    case.pass(4);
    live.served_step = 5;
    case.observed.sampler = Some(live);
    let early = case.turn();
    assert_eq!((early.status, early.requeue), (None, Some(Duration::from_secs(6))));
    case.pass(6);
    case.turn();
    assert_eq!(case.status().progress.as_ref().unwrap().step, 5);
    case.pass(10);
    assert_eq!(case.turn().status, None, "nothing new, nothing written");
}

#[test]
fn what_another_plans_sampler_says_is_not_heard() {
    let mut case = training(json!({}));
    let mut other = sampler_status(&format!("sha256:{}", "b".repeat(64)), 0, 9);
    other.source = Source::UniformIndexUnusable;
    case.observed.sampler = Some(other);
    assert_eq!(case.turn().status, None);
}

#[test]
fn a_trainer_that_cannot_start_is_said_and_not_killed() {
    let mut case = scored(json!({}));
    case.turn();
    let job = case.job("train");
    case.has_pod(pod(&job, "Pending", vec![waiting("trainer", "ImagePullBackOff")]));
    case.turn();
    case.pass(60);
    let actions = case.turn();
    assert_eq!(told(&actions), ["ImageUnavailable"]);
    assert!(actions.delete.is_empty());
    assert_eq!(case.says(Ready), ("False", "ImageUnavailable"));
    assert_eq!(
        case.condition(Ready).message,
        "Image 'trainer:1' of container 'trainer' cannot be pulled"
    );
    case.has_pod(pod(&job, "Pending", vec![waiting("trainer", "ErrImagePull")]));
    assert_eq!(
        case.turn().status,
        None,
        "an attempt to pull and its back-off read the same"
    );
    case.runs("train");
    case.turn();
    assert_eq!(case.says(Ready), ("True", "Training"));
}

#[test]
fn two_trainers_never_run_at_once() {
    let mut case = training(json!({}));
    let pods = case.observed.pods.clone();
    case.loses("train");
    case.observed.pods = pods;
    case.turn();
    case.pass(10);
    let actions = case.turn();
    assert!(actions.ensure.is_empty(), "the pod of the lost Job still runs");
    assert!(case.condition(Ready).message.contains("pod 'digits-train-0-x'"));
    case.observed.pods.clear();
    assert_eq!(ensured(&case.turn()), ["digits-plan-1", "digits-train-1"]);
}

#[test]
fn a_plan_that_somebody_deleted_is_made_again_for_a_waiting_attempt() {
    let mut case = scored(json!({}));
    case.turn();
    let mut job = Job::clone(&case.job("train"));
    job.metadata.creation_timestamp = Some(Time(at(0)));
    case.replace(job);
    case.observed.config_maps.clear();
    assert!(case.turn().ensure.is_empty(), "the store may be behind");
    case.pass(60);
    assert_eq!(ensured(&case.turn()), ["digits-plan-0"]);
}
