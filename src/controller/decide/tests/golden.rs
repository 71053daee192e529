//! Objects as this release writes them, kept as files: later releases have to go on with them. A change of the API that cannot read them
//! needs a new version of the API; a change of what is decided about them breaks a promise to a run that is under way.

use k8s_openapi::api::core::v1::ConfigMap;
use serde::Deserialize;

use super::*;
use crate::curriculum::plan::Plan;

/// A run in its second phase, one visit of which has failed.
const RUNNING: &str = include_str!("golden/running.json");

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Objects {
    curriculum_job: CurriculumJob,
    job: Job,
    plan: ConfigMap,
}

fn running() -> (Case, Plan) {
    let Objects {
        curriculum_job,
        job,
        plan,
    } = serde_json::from_str(RUNNING).unwrap();
    let mut case = case(serde_json::json!({}));
    case.edit(|job| *job = curriculum_job);
    case.observed.jobs.push(Arc::new(job));
    case.observed.config_maps.push(plan.metadata);
    let plan = serde_json::from_str(&plan.data.unwrap()["plan.json"]).unwrap();
    case.pass(3600);
    case.has_pod(pod(&case.job("train"), "Running", vec![super::running("train")]));
    (case, plan)
}

#[test]
fn a_run_of_the_release_before_is_left_running() {
    let (mut case, plan) = running();
    let actions = case.turn();
    assert!(
        actions.ensure.is_empty() && actions.delete.is_empty() && actions.suspend.is_empty(),
        "{actions:?}"
    );
    assert_eq!(actions.status, None, "nothing is news");
    assert_eq!(case.plan_digest(), plan.digest(), "the plan reads as it was written");
}

#[test]
fn a_run_of_the_release_before_goes_on_to_its_end() {
    let (mut case, _) = running();
    let said = sampler_status(&case.plan_digest(), 1, 10);
    case.completes("train", exited("sampler", 0, Some(&as_json(&said))));
    case.turn();
    assert_eq!(case.phase(), (2, 3, 0));
    let chain: Vec<_> = case.status().visits.iter().map(|visit| visit.visit).collect();
    assert_eq!(chain, [0, 2]);
    case.turn();
    case.trains();
    assert_eq!(told(&case.turn()), ["Completed"]);
}

#[test]
fn a_failed_visit_of_the_release_before_is_tried_again() {
    let (mut case, _) = running();
    case.fails("train", "BackoffLimitExceeded", exited("trainer", 1, Some("words")));
    case.turn();
    assert_eq!(case.phase(), (1, 3, 2));
    case.pass(300);
    assert_eq!(ensured(&case.turn()), ["digits-plan-3", "digits-train-3"]);
}
