//! Snapshots on the store: no run waits for them, and none fails because of them.

use serde_json::json;

use super::*;
use crate::api::status::{Archive, Stage};
use crate::controller::actions::Kind;

fn archived() -> Value {
    json!({"snapshots": {"archive": true}, "ttlSecondsAfterFinished": 5})
}

fn archive_of(case: &Case, visit: usize) -> Option<Archive> {
    case.status().visits[visit].archive
}

#[test]
fn a_snapshot_goes_to_the_store_while_the_next_phase_is_trained() {
    let mut case = training(archived());
    case.trains();
    let actions = case.turn();
    assert_eq!(ensured(&actions)[..2], ["digits-0", "digits-archive-0"]);
    let job = case.job("archive");
    let container = &job.spec.as_ref().unwrap().template.spec.as_ref().unwrap().containers[0];
    let value = |name: &str| {
        let all = container.env.as_deref().unwrap_or_default();
        all.iter()
            .find(|env| env.name == name)
            .and_then(|env| env.value.clone())
            .unwrap()
    };
    let manifest: Value = serde_json::from_str(&value("CURRICULUM_SNAPSHOT")).unwrap();
    assert_eq!(
        (&manifest["kind"], &manifest["metadata"]["name"]),
        (&json!("CurriculumSnapshot"), &json!("digits-0"))
    );
    let digest = case.status().visits[0].snapshot_digest.clone().unwrap();
    assert_eq!(manifest["spec"]["digest"], digest);
    assert!(value("CURRICULUM_ARCHIVE_PATH").ends_with("/0.json"));
    assert_eq!(archive_of(&case, 0), Some(Archive::Pending));

    assert_eq!(
        ensured(&case.turn()),
        ["digits-plan-1", "digits-train-1"],
        "nobody waits"
    );
    case.completes("archive", exited("archive", 0, None));
    case.turn();
    assert_eq!(archive_of(&case, 0), Some(Archive::Archived));
}

#[test]
fn one_that_cannot_be_put_there_is_told_and_costs_nothing() {
    let mut case = training(archived());
    case.trains();
    case.turn();
    let said = "the snapshot cannot be put on the store: no space";
    case.fails("archive", "BackoffLimitExceeded", exited("archive", 74, Some(said)));
    let actions = case.turn();
    assert_eq!(told(&actions), ["SnapshotNotArchived"]);
    assert!(
        actions.events[0].note.contains("phase 'easy'") && actions.events[0].note.ends_with(said),
        "{actions:?}"
    );
    assert_eq!(archive_of(&case, 0), Some(Archive::Failed));
    assert_eq!(case.status().stage, Some(Stage::Training));
    assert_eq!(case.says(ConditionType::Ready), ("True", "Training"));
    assert!(told(&case.turn()).is_empty(), "once");
}

#[test]
fn one_whose_job_is_gone_is_given_up_after_a_while() {
    let mut case = training(archived());
    case.trains();
    case.turn();
    case.loses("archive");
    assert!(told(&case.turn()).is_empty(), "the store of Jobs may be behind");
    case.pass(61);
    assert_eq!(told(&case.turn()), ["SnapshotNotArchived"]);
    assert_eq!(archive_of(&case, 0), Some(Archive::Failed));
}

#[test]
fn a_run_that_is_over_is_kept_until_its_last_snapshot_is_there() {
    let mut case = training(archived());
    for _ in 0..3 {
        case.trains();
        case.turn();
        case.completes("archive", exited("archive", 0, None));
        case.turn();
    }
    assert_eq!(case.status().stage, Some(Stage::Succeeded));
    let mut job = Job::clone(&case.job("archive"));
    job.status = None;
    case.replace(job);
    case.edit(|job| {
        let status = job.status.as_mut().unwrap();
        status.visits[2].archive = Some(Archive::Pending);
    });
    case.pass(10);
    let actions = case.turn();
    assert_eq!(actions.delete, [], "neither the Job nor the run");
    case.completes("archive", exited("archive", 0, None));
    case.turn();
    assert_eq!(archive_of(&case, 2), Some(Archive::Archived));
    let deleted: Vec<Kind> = case.turn().delete.into_iter().map(|delete| delete.kind).collect();
    assert_eq!(deleted, [Kind::CurriculumJob]);
}

#[test]
fn without_the_wish_there_is_no_job() {
    let mut case = training(json!({}));
    case.trains();
    assert!(ensured(&case.turn()).iter().all(|name| !name.contains("archive")));
    assert_eq!(archive_of(&case, 0), None);
}
