use kube::Resource;

use super::*;
use crate::controller::test_support::{as_json, exited, finished, pod, running, sampler_status, waiting};

fn job(name: &str) -> Job {
    let mut job = Job::default();
    *job.meta_mut() = kube::core::ObjectMeta {
        name: Some(name.to_owned()),
        ..Default::default()
    };
    job
}

#[test]
fn only_final_conditions_end_a_job() {
    for condition in ["FailureTarget", "SuccessCriteriaMet", "Suspended"] {
        assert!(is_live(&finished(job("j"), condition, "Any")), "{condition}");
    }
    assert_eq!(outcome(&finished(job("j"), "Complete", "Any")), Outcome::Complete);
    assert!(matches!(outcome(&finished(job("j"), "Failed", "Any")), Outcome::Failed { reason, .. } if reason == "Any"));
}

#[test]
fn a_trainer_says_more_than_its_sampler_and_words_more_than_none() {
    let job = finished(job("j"), "Failed", "BackoffLimitExceeded");
    let mut oom = exited("trainer", 137, None);
    oom.state.as_mut().unwrap().terminated.as_mut().unwrap().reason = Some("OOMKilled".to_owned());
    let sampler = || exited("sampler", 143, Some("stopped"));
    let failed = pod(&job, "Failed", vec![sampler(), oom.clone()]);
    assert_eq!(
        training_failure(&job, &[&failed]).message,
        "container 'trainer' exited with code 137 (OOMKilled)"
    );
    let failed = pod(
        &job,
        "Failed",
        vec![sampler(), exited("trainer", 1, Some("loss is NaN"))],
    );
    assert_eq!(
        training_failure(&job, &[&failed]).message,
        "container 'trainer' exited with code 1: loss is NaN"
    );
    assert_eq!(training_failure(&job, &[]).message, "Job has Failed");
}

#[test]
fn a_culprit_is_found_among_the_pods_of_several_shards() {
    let job = finished(job("j"), "Failed", "PodFailurePolicy");
    let said = r#"{"error":{"reason":"ScoresInvalid","message":"2 rows are NaN"}}"#;
    let pods = [
        pod(&job, "Failed", vec![exited("scorer-a", 1, Some("zzz"))]),
        pod(&job, "Failed", vec![exited("scorer-a", 66, Some(said))]),
        pod(&job, "Running", vec![exited("scorer-a", 65, None)]),
    ];
    let fault = scoring_fault(&job, &pods.iter().collect::<Vec<_>>());
    assert_eq!(
        fault,
        Fault::Scoring(Failure::new(Reason::ScoresInvalid, "2 rows are NaN"))
    );
}

#[test]
fn a_report_cannot_name_a_reason_that_is_not_its_to_give() {
    let job = finished(job("j"), "Failed", "PodFailurePolicy");
    let said = r#"{"error":{"reason":"Completed","message":"all is well"}}"#;
    for (code, reason) in [(65, Reason::DatasetUnreadable), (66, Reason::ScoresInvalid)] {
        let failed = pod(&job, "Failed", vec![exited("index", code, Some(said))]);
        let (Fault::Dataset(failure) | Fault::Scoring(failure)) = scoring_fault(&job, &[&failed]);
        assert_eq!(failure.reason, reason);
    }
}

#[test]
fn a_container_that_cannot_start_is_told_from_one_that_has_not_yet() {
    let job = job("j");
    let statuses = vec![waiting("trainer", "ErrImagePull"), running("other")];
    let image = pod(&job, "Pending", statuses);
    assert_eq!(
        stuck(&[&image]).unwrap(),
        "image 'trainer:1' of container 'trainer' cannot be pulled"
    );
    let busy = pod(&job, "Pending", vec![waiting("trainer", "ContainerCreating")]);
    assert_eq!(stuck(&[&busy]), None);
    let config = pod(&job, "Pending", vec![waiting("trainer", "CreateContainerConfigError")]);
    assert_eq!(
        stuck(&[&config]).unwrap(),
        "container 'trainer' cannot be created: words"
    );
}

#[test]
fn a_result_in_the_last_state_of_a_restarted_sampler_counts() {
    let job = job("j");
    let said = as_json(&sampler_status(&format!("sha256:{}", "a".repeat(64)), 0, 10));
    let terminated = |message: Option<&str>| exited(SAMPLER, 0, message).state;
    let pod = |now, before| {
        let mut sampler = running(SAMPLER);
        (sampler.state, sampler.last_state) = (now, before);
        pod(&job, "Succeeded", vec![exited("trainer", 0, None), sampler])
    };
    let served = |now, before| sampler_result(&[&pod(now, before)]).map(|result| result.served_step);
    let good = || terminated(Some(&said));
    assert_eq!(served(good(), None), Some(10));
    assert_eq!(
        served(terminated(None), good()),
        Some(10),
        "killed before it could write again"
    );
    assert_eq!(served(running(SAMPLER).state, good()), Some(10));
    assert_eq!(served(waiting(SAMPLER, "CrashLoopBackOff").state, good()), Some(10));
    let later = as_json(&sampler_status(&format!("sha256:{}", "a".repeat(64)), 0, 4));
    assert_eq!(
        served(terminated(Some(&later)), good()),
        Some(4),
        "the last word counts"
    );
    assert_eq!(served(terminated(None), None), None);
}
