//! Acceptance, suspension, retention, and being told no.

use serde_json::json;

use super::super::{blocked, refuse};
use super::*;
use crate::api::conditions::Reason;
use crate::api::status::Stage;
use crate::controller::actions::{Delete, Kind, SetSuspend};
use crate::controller::evidence::Failure;

use ConditionType::{Failed, Ready, Reconciling, Stalled, Suspended};

fn over(patch: Value) -> Case {
    let mut case = training(patch);
    for _ in 0..3 {
        case.trains();
        case.turn();
        case.turn();
    }
    case
}

#[test]
fn a_new_job_is_accepted_before_anything_is_made() {
    let mut case = case(json!({}));
    let actions = case.turn();
    assert!(actions.ensure.is_empty());
    assert!(actions.events.is_empty());
    let status = case.status();
    assert_eq!(status.start_time.as_ref().map(|time| time.0), Some(at(0)));
    assert_eq!(status.observed_generation, 1);
    let types: Vec<_> = status
        .conditions
        .iter()
        .map(|condition| condition.type_.as_str())
        .collect();
    assert_eq!(types, ConditionType::ALL.map(ConditionType::as_str));
    assert!(
        status
            .conditions
            .iter()
            .all(|condition| condition.observed_generation == Some(1))
    );
}

#[test]
fn a_job_that_is_held_from_the_start_may_still_be_edited() {
    let mut case = case(json!({"suspend": true}));
    case.turn();
    assert_eq!(case.status().start_time, None);
    assert_eq!(case.says(Suspended), ("True", "Suspended"));
    assert_eq!(case.says(Ready), ("False", "Suspended"));
    assert_eq!(case.says(Reconciling), ("False", "Suspended"));
    assert_eq!(case.turn(), Actions::default());
    case.edit(|job| job.spec.suspend = false);
    case.turn();
    assert!(case.status().start_time.is_some());
    assert_eq!(case.says(Suspended), ("False", "NotSuspended"));
}

#[test]
fn times_move_only_when_a_condition_flips() {
    let mut case = training(json!({}));
    let ready = case.condition(Ready).last_transition_time.clone();
    case.pass(100);
    case.trains();
    case.turn();
    assert_eq!(
        case.condition(Ready).last_transition_time,
        ready,
        "True before and after"
    );
    case.turn();
    case.loses("train");
    case.turn();
    assert_eq!(case.condition(Ready).last_transition_time.0, at(100), "now False");
}

#[test]
fn suspension_is_passed_on_and_taken_back() {
    let mut case = training(json!({}));
    case.edit(|job| job.spec.suspend = true);
    let hold = |suspend| SetSuspend {
        name: "digits-train-0".to_owned(),
        uid: "digits-train-0".to_owned(),
        suspend,
    };
    let actions = case.turn();
    assert_eq!(actions.suspend, [hold(true)]);
    assert!(actions.delete.is_empty());
    assert_eq!(case.says(Suspended), ("False", "Suspending"), "a pod still runs");
    assert_eq!(case.says(Ready), ("False", "Suspending"));
    assert_eq!(case.says(Reconciling), ("True", "InProgress"));
    case.holds("train", true, true);
    let actions = case.turn();
    assert_eq!((actions.status, actions.suspend), (None, Vec::new()));
    case.observed.pods.clear();
    case.turn();
    assert_eq!(case.says(Suspended), ("True", "Suspended"));
    assert_eq!(case.status().stage, Some(Stage::Suspended));
    assert_eq!(case.turn(), Actions::default());

    case.edit(|job| job.spec.suspend = false);
    assert_eq!(case.turn().suspend, [hold(false)]);
    assert_eq!(case.says(Ready), ("True", "Training"));
    assert_eq!(case.phase(), (0, 0, 0), "the same attempt goes on");
}

/// The turn that ended the suspension had not seen that the Job was held: its store was behind.
#[test]
fn a_held_job_is_let_go_on_whatever_the_status_says() {
    let mut case = training(json!({}));
    case.holds("train", true, true);
    assert_eq!(case.says(Suspended), ("False", "NotSuspended"));
    let actions = case.turn();
    assert_eq!((actions.suspend.len(), actions.suspend[0].suspend), (1, false));
}

#[test]
fn a_job_that_a_queueing_controller_holds_is_left_alone() {
    let mut case = training(json!({}));
    case.holds("train", true, false);
    assert_eq!(case.turn().suspend, []);
    case.edit(|job| job.spec.suspend = true);
    assert_eq!(case.turn().suspend, []);
    case.edit(|job| job.spec.suspend = false);
    assert_eq!(case.turn().suspend, [], "not ours to let go on");
}

#[test]
fn a_job_of_a_later_attempt_means_that_the_status_is_old() {
    let mut case = training(json!({}));
    let mut later = Job::clone(&case.job("train"));
    later.metadata.name = Some("digits-train-1".to_owned());
    later
        .labels_mut()
        .insert("curriculum.dev/visit".to_owned(), "1".to_owned());
    case.replace(later);
    assert_eq!(case.turn().delete, [], "it is not this view's to judge");
}

#[test]
fn nothing_is_made_while_suspended() {
    let mut scoring = case(json!({}));
    scoring.turn();
    scoring.edit(|job| job.spec.suspend = true);
    assert!(scoring.turn().ensure.is_empty());

    let mut training = scored(json!({}));
    training.edit(|job| job.spec.suspend = true);
    assert!(training.turn().ensure.is_empty());
}

#[test]
fn what_has_ended_counts_while_suspended() {
    let mut case = training(json!({}));
    case.trains();
    case.edit(|job| job.spec.suspend = true);
    case.turn();
    assert_eq!(case.phase(), (1, 1, 0));
    assert!(case.turn().ensure.is_empty());
}

#[test]
fn a_finished_job_is_deleted_when_its_time_is_over() {
    let mut case = over(json!({"ttlSecondsAfterFinished": 60}));
    case.pass(20);
    let actions = case.turn();
    assert_eq!(
        (actions.delete.len(), actions.requeue),
        (0, Some(Duration::from_secs(40)))
    );
    case.pass(40);
    let expected = Delete {
        kind: Kind::CurriculumJob,
        name: "digits".to_owned(),
        uid: "uid-cjob".to_owned(),
    };
    assert_eq!(case.turn().delete, [expected]);
    assert_eq!(
        over(json!({})).turn(),
        Actions::default(),
        "never, unless the user says so"
    );
}

#[test]
fn a_finished_job_only_follows_its_generation() {
    let mut case = over(json!({}));
    let before = case.status().clone();
    case.edit(|job| {
        job.metadata.generation = Some(2);
        job.spec.suspend = true;
    });
    let actions = case.turn();
    assert!(actions.ensure.is_empty() && actions.delete.is_empty() && actions.suspend.is_empty());
    let after = case.status();
    assert_eq!(after.observed_generation, 2);
    for (old, new) in before.conditions.iter().zip(&after.conditions) {
        assert_eq!(new.observed_generation, Some(2));
        assert_eq!(
            (&old.status, &old.reason, &old.last_transition_time),
            (&new.status, &new.reason, &new.last_transition_time)
        );
    }
}

#[test]
fn the_oldest_snapshots_go_first() {
    let mut case = over(json!({"snapshots": {"keep": 2}}));
    let names: Vec<_> = case
        .turn()
        .delete
        .into_iter()
        .map(|delete| (delete.kind, delete.name))
        .collect();
    assert_eq!(names, [(Kind::Snapshot, "digits-0".to_owned())]);
}

#[test]
fn an_object_on_its_way_out_is_left_alone() {
    let mut case = training(json!({}));
    case.loses("train");
    case.edit(|job| job.metadata.deletion_timestamp = job.status.as_ref().unwrap().start_time.clone());
    assert_eq!(case.turn(), Actions::default());
}

#[test]
fn being_told_no_is_said_once_and_fails_nothing() {
    let mut case = scored(json!({}));
    let obstacle = Failure::new(
        Reason::NameConflict,
        "jobs 'digits-train-0' exists and is controlled by nobody",
    );
    let actions = blocked(&case.settings, &Head::of(&case.job), &obstacle, &case.observed);
    assert_eq!(told(&actions), ["NameConflict"]);
    case.edit(|job| job.status = actions.status.map(|status| status.complete(&Applied::default())));
    assert_eq!(case.says(Ready), ("False", "NameConflict"));
    assert_eq!(case.says(Reconciling), ("True", "InProgress"));
    assert_eq!(case.says(Failed), ("False", "InProgress"));
    assert_eq!(
        blocked(&case.settings, &Head::of(&case.job), &obstacle, &case.observed),
        Actions::default(),
        "said once"
    );
    case.turn();
    assert_eq!(case.says(Ready), ("True", "Training"), "and forgotten when it is over");
}

#[test]
fn a_spec_that_is_refused_is_stalled_until_it_is_edited() {
    let mut case = case(json!({}));
    case.edit(|job| job.spec.curriculum.phases[1].name = "easy".to_owned());
    let problem = validate(&case.job).unwrap_err();
    let actions = refuse(&case.settings, &Head::of(&case.job), &problem, &case.observed);
    assert_eq!(told(&actions), ["InvalidSpec"]);
    assert!(actions.ensure.is_empty());
    case.edit(|job| job.status = actions.status.map(|status| status.complete(&Applied::default())));
    assert_eq!(case.says(Stalled), ("True", "InvalidSpec"));
    assert_eq!(case.says(Failed), ("False", "InProgress"));
    case.edit(|job| job.spec.curriculum.phases[1].name = "middle".to_owned());
    case.turn();
    assert_eq!(case.says(Stalled), ("False", "AsExpected"));
}
