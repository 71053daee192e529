//! Trainers that fail, cheat, vanish, or read their rows from a file.

use std::time::Duration;

use curriculum_operator::api::conditions::{ConditionType, Reason};
use curriculum_operator::api::status::VisitOutcome;
use e2e::case::with_temp_ns;
use e2e::fixture::{BATCH, Example, STEPS};
use e2e::observe::{ensure, expect, status};
use e2e::{Result, wait};
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;
use kube::api::DeleteParams;
use serde_json::json;

/// Case 6.
#[tokio::test]
async fn a_trainer_that_fails_twice_goes_on_from_its_checkpoint() -> Result {
    with_temp_ns("trainer-fails", |case| async move {
        case.data_set().await?;
        case.claim("checkpoints").await?;
        case.submit(
            &Example::new("run")
                .trainer("FAIL_STARTS", "2")
                .checkpoint("checkpoints", "run"),
        )
        .await?;
        let job = case.succeeded("run").await?;
        let attempts: Vec<i32> = status(&job)?.visits.iter().map(|phase| phase.attempts).collect();
        ensure(attempts == [3, 1], || format!("attempts of the phases: {attempts:?}"))?;
        // The first start left a checkpoint half-way; steps after it were trained again and count once.
        let logs = case.trainer_logs("run").await?;
        let resumed = format!("starting at step {} of 0..{STEPS}", STEPS / 2);
        ensure(logs.len() == 4 && logs[2].starts_with(&resumed), || format!("{logs:?}"))?;
        let trained = case.trained("run").await?;
        ensure(trained.is_complete(2 * STEPS) && trained.starts == 4, || {
            format!("{trained:?}")
        })
    })
    .await
}

/// Case 6, to the end: the budget is a budget.
#[tokio::test]
async fn a_trainer_that_fails_too_often_fails_the_run() -> Result {
    with_temp_ns("trainer-gives-up", |case| async move {
        case.data_set().await?;
        let example = Example::new("run")
            .trainer("FAIL_STARTS", "99")
            .with(&json!({"training": {"backoffLimit": 1}}));
        case.submit(&example).await?;
        let job = case.ended("run").await?;
        let message = expect(&job, ConditionType::Failed, "True", Some(Reason::BackoffLimitExceeded))?;
        ensure(message.contains("easy"), || {
            format!("the phase is not named: {message}")
        })?;
        expect(&job, ConditionType::Stalled, "True", None)?;
        let phases = &status(&job)?.visits;
        let ended: Vec<_> = phases.iter().map(|phase| (phase.outcome, phase.attempts)).collect();
        ensure(ended == [(VisitOutcome::Failed, 2)], || format!("{phases:?}"))
    })
    .await
}

/// Case 7.
#[tokio::test]
async fn exit_code_0_without_the_samplers_word_is_a_lost_attempt() -> Result {
    with_temp_ns("trainer-cheats", |case| async move {
        case.data_set().await?;
        let example = Example::new("run")
            .trainer("EXIT_EARLY", "1")
            .with(&json!({"training": {"backoffLimit": 1}}));
        case.submit(&example).await?;
        let job = case.ended("run").await?;
        expect(&job, ConditionType::Failed, "True", Some(Reason::BackoffLimitExceeded))?;
        let last = status(&job)?
            .current_visit
            .as_ref()
            .and_then(|visit| visit.last_failure.clone())
            .unwrap_or_default();
        ensure(last.contains("ResultMismatch"), || format!("last failure: {last:?}"))?;
        let jobs = case.children("run", "train").await?;
        let complete = jobs
            .iter()
            .filter(|job| job.status.as_ref().is_some_and(|s| s.completion_time.is_some()));
        ensure(jobs.len() == 2 && complete.count() == 2, || {
            format!("{} training Jobs, not 2 complete", jobs.len())
        })
    })
    .await
}

/// Case 9.
#[tokio::test]
async fn a_deleted_training_job_is_tried_again_unless_its_phase_was_over() -> Result {
    with_temp_ns("job-deleted", |case| async move {
        case.data_set().await?;
        case.claim("checkpoints").await?;
        case.submit(
            &Example::new("run")
                .trainer("STEP_SECONDS", "0.4")
                .checkpoint("checkpoints", "run"),
        )
        .await?;
        let (jobs, limit) = (case.api::<Job>(), Duration::from_secs(120));
        let running = |job: &Job| job.status.as_ref().is_some_and(|status| status.ready.unwrap_or(0) > 0);
        let first = wait::until_found(&jobs, "run-train-0", "running", limit, running).await?;
        jobs.delete(&first.name_any(), &DeleteParams::background()).await?;
        // The finished Job of phase 0 goes as its TTL would take it, while phase 1 runs.
        wait::until_found(&jobs, "run-train-2", "running", limit, running).await?;
        jobs.delete("run-train-1", &DeleteParams::background()).await?;

        let job = case.succeeded("run").await?;
        let attempts: Vec<i32> = status(&job)?.visits.iter().map(|phase| phase.attempts).collect();
        ensure(attempts == [2, 1], || format!("attempts of the phases: {attempts:?}"))?;
        let left: Vec<String> = case
            .children("run", "train")
            .await?
            .iter()
            .map(ResourceExt::name_any)
            .collect();
        ensure(left == ["run-train-2"], || {
            format!("training Jobs at the end: {left:?}")
        })?;
        let events = case.events("run", "Warning").await?;
        ensure(events.contains_key("JobLost"), || format!("{events:?}"))?;
        let trained = case.trained("run").await?;
        ensure(trained.is_complete(2 * STEPS), || format!("{trained:?}"))
    })
    .await
}

/// Case 14.
#[tokio::test]
async fn a_trainer_without_http_gets_the_same_rows_from_a_file() -> Result {
    with_temp_ns("file", |case| async move {
        case.data_set().await?;
        case.claim("checkpoints").await?;
        case.submit(&Example::new("http").checkpoint("checkpoints", "http"))
            .await?;
        let file = Example::new("file").checkpoint("checkpoints", "file");
        case.submit(&file.with(&json!({"training": {"sampling": "File"}})))
            .await?;
        let jobs = tokio::try_join!(case.succeeded("http"), case.succeeded("file"))?;
        let (http, file) = (case.trained("http").await?, case.trained("file").await?);
        let rows = http.rows(0, 2 * STEPS).len() as u64;
        ensure(http.is_complete(2 * STEPS) && rows == 2 * STEPS * BATCH, || {
            format!("{http:?}")
        })?;
        ensure(http.history == file.history, || format!("http {http:?}\nfile {file:?}"))?;
        // One start for each phase, unless something outside of the pods ended one.
        for (job, starts) in [(&jobs.0, http.starts), (&jobs.1, file.starts)] {
            let events = case.events(&job.name_any(), "Warning").await?;
            let interrupted = events.contains_key("Interrupted");
            ensure(starts == 2 || interrupted, || {
                format!(
                    "{} was started {starts} times: {events:?}\n{:?}",
                    job.name_any(),
                    status(job).map(|s| &s.visits)
                )
            })?;
        }
        Ok(())
    })
    .await
}
