//! Visits that end without anybody's fault, indexes that come and go, edits while suspended, and other versions of the operator.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

use super::*;
use crate::api::status::{ScoreSource, VisitOutcome};
use crate::controller::actions::SetSuspend;
use crate::controller::test_support::evicted;
use crate::sampler::contract::Source;

use ConditionType::{Degraded, Ready, ScoresReady};

fn interruptions(case: &Case) -> i32 {
    case.status().current_visit.as_ref().unwrap().interruptions
}

#[test]
fn exit_code_0_of_an_evicted_pod_is_neither_an_end_nor_a_failure() {
    for sampling in ["Http", "File"] {
        let mut case = training(json!({"training": {"sampling": sampling}}));
        case.trains();
        case.edit_pod("train", |pod| {
            pod.status.as_mut().unwrap().conditions = Some(vec![evicted()]);
        });
        let actions = case.turn();
        assert_eq!(told(&actions), ["Interrupted"]);
        assert!(
            actions.events[0].note.contains("EvictionByEvictionAPI"),
            "{}",
            actions.events[0].note
        );
        assert_eq!(case.phase(), (0, 1, 0), "the phase goes on, and the budget is whole");
        assert_eq!(interruptions(&case), 1);
        assert!(case.status().visits.is_empty());
        assert_eq!(case.says(Ready), ("False", "Retrying"));
        case.pass(10);
        assert_eq!(ensured(&case.turn()), ["digits-plan-1", "digits-train-1"]);
    }
}

#[test]
fn a_pod_deleted_while_it_ran_is_interrupted_and_one_deleted_after_its_end_is_not() {
    for (ended, interrupted) in [(4, false), (5, true), (6, true)] {
        let mut case = training(json!({}));
        case.trains();
        case.edit_pod("train", |pod| {
            // Deleted at 5, with 30 s to obey.
            pod.metadata.deletion_timestamp = Some(Time(at(35)));
            pod.metadata.deletion_grace_period_seconds = Some(30);
            let statuses = pod.status.as_mut().unwrap().container_statuses.as_mut().unwrap();
            let state = statuses[0].state.as_mut().unwrap().terminated.as_mut().unwrap();
            state.finished_at = Some(Time(at(ended)));
        });
        case.turn();
        assert_eq!(interruptions(&case) == 1, interrupted, "ended at {ended}");
        assert_eq!(case.status().visits.is_empty(), interrupted);
    }
}

#[test]
fn a_failure_of_the_pod_that_replaced_an_evicted_one_is_the_trainers() {
    let mut case = training(json!({}));
    let job = case.job("train");
    let mut first = pod(&job, "Failed", vec![exited("trainer", 143, None)]);
    first.metadata.name = Some("first".to_owned());
    first.metadata.uid = Some("first".to_owned());
    first.metadata.creation_timestamp = Some(Time(at(0)));
    first.status.as_mut().unwrap().conditions = Some(vec![evicted()]);
    case.has_pod(first);
    case.fails(
        "train",
        "BackoffLimitExceeded",
        exited("trainer", 1, Some("CUDA out of memory")),
    );
    let second = case
        .observed
        .pods
        .iter()
        .find(|pod| pod.name_any() == "digits-train-0-x");
    let mut second = Pod::clone(second.unwrap());
    second.metadata.creation_timestamp = Some(Time(at(60)));
    case.has_pod(second);
    let actions = case.turn();
    assert_eq!(told(&actions), ["TrainerFailed"], "{actions:?}");
    assert_eq!(case.phase(), (0, 1, 1));
}

#[test]
fn a_finished_job_whose_pod_is_gone_blames_nobody() {
    for condition in ["Complete", "Failed"] {
        let mut case = training(json!({}));
        case.observed.pods.clear();
        let job = Job::clone(&case.job("train"));
        case.replace(finished(job, condition, "NodeScaledAway"));
        assert_eq!(told(&case.turn()), ["Interrupted"]);
        assert_eq!((case.phase(), interruptions(&case)), ((0, 1, 0), 1));
    }
}

#[test]
fn an_index_that_was_away_is_used_again_by_the_next_visit() {
    for live in [true, false] {
        let mut case = training(json!({}));
        let mut said = sampler_status(&case.plan_digest(), 0, 10);
        said.source = Source::UniformIndexUnusable;
        said.source_message = Some("stale file handle".to_owned());
        let mut events = Vec::new();
        if live {
            case.observed.sampler = Some(said.clone());
            events.extend(told(&case.turn()));
            case.observed.sampler = None;
        }
        case.completes("train", exited("sampler", 0, Some(&as_json(&said))));
        let actions = case.turn();
        events.extend(told(&actions));
        assert_eq!(events, ["IndexUnusable"], "told once");
        assert_eq!(case.says(Degraded), ("True", "IndexUnusable"));
        assert_eq!(case.says(ScoresReady), ("False", "IndexUnusable"));
        assert!(case.condition(Degraded).message.contains("stale file handle"));
        let Some(Ensure::Snapshot(snapshot)) = actions.ensure.first() else {
            panic!("a snapshot: {actions:?}")
        };
        assert!(
            !snapshot.spec.state.contains("scoreDigest"),
            "the phase was uniform: {}",
            snapshot.spec.state
        );
        assert_eq!(
            case.status().scores.as_ref().unwrap().source,
            ScoreSource::Scored,
            "the choice stands"
        );
        assert_eq!(case.phase(), (1, 1, 0), "the phase counts");

        assert!(
            Case::plan_has_scores(&case.turn()),
            "the next visit tries the index again"
        );
        case.runs("train");
        case.observed.sampler = Some(sampler_status(&case.plan_digest(), 1, 3));
        assert_eq!(told(&case.turn()), ["IndexUsable"]);
        assert_eq!(case.says(Degraded), ("False", "AsExpected"));
        assert_eq!(case.says(ScoresReady), ("True", "Scored"));
        case.observed.sampler = None;
        case.trains();
        let actions = case.turn();
        let Some(Ensure::Snapshot(snapshot)) = actions.ensure.first() else {
            panic!("a snapshot: {actions:?}")
        };
        assert!(snapshot.spec.state.contains("scoreDigest"));
    }
}

#[test]
fn a_store_that_does_not_answer_is_told_and_changes_nothing_else() {
    let mut case = training(json!({}));
    let said = |case: &Case, fault: Option<&str>| {
        let mut said = sampler_status(&case.plan_digest(), 0, 10);
        said.store_fault = fault.map(str::to_owned);
        said
    };
    case.observed.sampler = Some(said(&case, Some("connection refused")));
    assert_eq!(told(&case.turn()), ["StoreUnavailable"]);
    assert_eq!(case.says(Degraded), ("True", "StoreUnavailable"));
    assert_eq!(case.says(ScoresReady), ("True", "Scored"));
    assert_eq!(case.says(Ready), ("True", "Training"));
    assert!(told(&case.turn()).is_empty(), "told once");
    // A visit without an index knows nothing of the store.
    let mut uniform = said(&case, None);
    uniform.source = Source::UniformIndexUnusable;
    case.observed.sampler = Some(uniform);
    assert_eq!(told(&case.turn()), ["IndexUnusable"]);
    case.observed.sampler = Some(said(&case, None));
    assert_eq!(told(&case.turn()), ["IndexUsable"]);
    assert_eq!(case.says(Degraded), ("False", "AsExpected"));

    case.observed.sampler = Some(said(&case, Some("connection refused")));
    case.turn();
    case.observed.sampler = Some(said(&case, None));
    assert_eq!(told(&case.turn()), ["StoreAvailable"]);

    // A visit that is over says nothing of it any more.
    case.observed.sampler = Some(said(&case, Some("connection refused")));
    case.turn();
    case.observed.sampler = None;
    case.trains();
    assert!(told(&case.turn()).is_empty());
    assert_eq!(case.says(Degraded), ("False", "AsExpected"));
}

#[test]
fn what_was_edited_while_suspended_reaches_the_held_visit() {
    let mut case = training(json!({}));
    case.edit(|job| job.spec.suspend = true);
    case.turn();
    case.holds("train", true, true);
    case.observed.pods.clear();
    case.turn();
    // Edited and resumed in one update: the old Job must not be let go on.
    case.edit(|job| {
        job.spec.suspend = false;
        job.spec.training.template.spec.as_mut().unwrap().containers[0].image = Some("trainer:2".to_owned());
    });
    assert_eq!(case.turn().suspend, []);
    assert_eq!(case.phase(), (0, 1, 0), "another Job, and no failure");
    let actions = case.turn();
    assert_eq!(
        actions.delete.iter().map(|d| d.name.as_str()).collect::<Vec<_>>(),
        ["digits-train-0"]
    );
    case.observed.jobs.retain(|job| job.name_any() != "digits-train-0");
    case.turn();
    let image = |job: &Job| {
        job.spec.as_ref().unwrap().template.spec.as_ref().unwrap().containers[0]
            .image
            .clone()
    };
    assert_eq!(image(&case.job("train")).as_deref(), Some("trainer:2"));
}

#[test]
fn a_job_that_runs_is_never_replaced_for_its_template() {
    let mut case = training(json!({}));
    // As another version of the operator would write the digest of the same template.
    case.edit(|job| {
        let current = job.status.as_mut().unwrap().current_visit.as_mut().unwrap();
        current.template_digest = Some(format!("sha256:{}", "b".repeat(64)));
    });
    let actions = case.turn();
    assert_eq!((actions.status, actions.delete), (None, Vec::new()));
}

#[test]
fn a_job_that_a_queueing_controller_lets_go_on_is_not_fought_over() {
    let mut case = training(json!({}));
    case.edit(|job| job.spec.suspend = true);
    case.turn();
    case.holds("train", false, true);
    let actions = case.turn();
    assert_eq!(actions.suspend, [], "not held a second time");
    assert_eq!(case.phase(), (0, 1, 0));
    let actions = case.turn();
    assert_eq!((actions.delete.len(), actions.suspend), (1, Vec::<SetSuspend>::new()));
}

/// `observe` asks the API server for pods that the store may not have seen, but only before a visit that follows no completed one.
#[test]
fn old_pods_are_asked_for_when_a_visit_is_due_after_a_loss() {
    let mut case = training(json!({}));
    assert!(!case.observed.may_meet_old_pods(), "the first visit follows none");
    case.loses("train");
    case.turn();
    assert!(!case.observed.may_meet_old_pods(), "its back-off is not over");
    case.pass(10);
    assert!(case.observed.may_meet_old_pods());
    case.edit(|job| job.spec.suspend = true);
    assert!(!case.observed.may_meet_old_pods(), "nothing is made while suspended");
    case.edit(|job| job.spec.suspend = false);
    case.turn();
    assert!(!case.observed.may_meet_old_pods(), "it has begun");
    case.trains();
    case.turn();
    assert_eq!(case.phase(), (1, 2, 0));
    assert!(!case.observed.may_meet_old_pods(), "the visit before has completed");
}

#[test]
fn an_intent_of_another_version_of_the_operator_gets_a_number_of_its_own() {
    let mut case = scored(json!({}));
    case.edit(|job| {
        let current = job.status.as_mut().unwrap().current_visit.as_mut().unwrap();
        current.plan_digest = Some(format!("sha256:{}", "b".repeat(64)));
    });
    assert!(case.turn().ensure.is_empty());
    assert_eq!(case.phase(), (0, 1, 0), "without costing the budget");
    assert!(
        case.observed.may_meet_old_pods(),
        "another leader may have made a Job of the old number"
    );
    assert_eq!(ensured(&case.turn()), ["digits-plan-1", "digits-train-1"]);
}

/// A running visit is judged by what was promised for it; what this version compiles otherwise waits, and says so.
#[test]
fn other_steps_of_another_version_end_no_run() {
    let promised = |case: &mut Case, end: i64| {
        case.edit(|job| job.status.as_mut().unwrap().current_visit.as_mut().unwrap().end_step = end);
    };
    let mut case = training(json!({}));
    promised(&mut case, 12);
    let mut said = sampler_status(&case.plan_digest(), 0, 12);
    said.end_step = 12;
    case.completes("train", exited("sampler", 0, Some(&as_json(&said))));
    let actions = case.turn();
    assert_eq!(case.status().visits[0].outcome, VisitOutcome::Completed, "as promised");
    assert_eq!(ensured(&actions), ["digits-0"]);
    assert_eq!(
        case.says(Ready),
        ("False", "InvalidSpec"),
        "the next phase would begin at 10"
    );
    assert!(
        case.condition(Ready)
            .message
            .contains("phase 'middle' begins at step 10")
    );
    assert_eq!(case.turn(), Actions::default(), "recorded once, and waited for");

    let mut case = training(json!({}));
    promised(&mut case, 12);
    case.fails("train", "BackoffLimitExceeded", exited("trainer", 1, Some("words")));
    case.turn();
    case.pass(10);
    assert!(case.turn().ensure.is_empty());
    assert_eq!(case.says(Ready), ("False", "InvalidSpec"));
    assert_eq!(case.says(ConditionType::Failed), ("False", "InProgress"));
}

#[test]
fn a_phase_that_is_not_in_the_curriculum_is_no_success() {
    let mut case = scored(json!({}));
    case.edit(|job| job.status.as_mut().unwrap().current_visit.as_mut().unwrap().phase_index = 7);
    case.turn();
    assert_eq!(case.says(ConditionType::Succeeded), ("False", "InProgress"));
    assert_eq!(case.says(Ready), ("False", "InvalidSpec"));
    assert!(
        case.condition(Ready).message.contains("phase 7"),
        "{}",
        case.condition(Ready).message
    );
}

#[test]
fn a_status_of_an_earlier_version_is_left_as_it_is() {
    let mut case = training(json!({}));
    case.edit(|job| {
        job.status
            .as_mut()
            .unwrap()
            .current_visit
            .as_mut()
            .unwrap()
            .template_digest = None;
    });
    case.edit(|job| job.spec.suspend = true);
    case.turn();
    case.holds("train", true, true);
    case.observed.pods.clear();
    case.turn();
    case.edit(|job| job.spec.suspend = false);
    assert_eq!(case.turn().suspend.len(), 1, "let go on");
    assert_eq!(case.phase(), (0, 0, 0));
}
