//! Case 8: the operator dies.

use std::time::Duration;

use curriculum_operator::api::job::CurriculumJob;
use e2e::case::{Case, with_temp_ns};
use e2e::fixture::{Example, STEPS};
use e2e::observe::{ensure, has_ended, status};
use e2e::operator::Operator;
use e2e::{Result, wait};
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;
use tokio::time::Instant;

#[tokio::test]
async fn killing_the_operator_in_every_phase_repeats_and_loses_nothing() -> Result {
    with_temp_ns("killed", |case| async move {
        let operator = Operator::of(&case.client);
        case.data_set().await?;
        case.claim("checkpoints").await?;
        let example = Example::new("run")
            .trainer("STEP_SECONDS", "0.2")
            .checkpoint("checkpoints", "run");
        case.submit(&example).await?;
        for component in ["inspect", "score", "index"] {
            case.first(component).await?;
            operator.kill().await?;
        }
        for name in ["run-train-0", "run-train-1"] {
            wait::until_found(&case.api::<Job>(), name, "made", Duration::from_secs(120), |_: &Job| {
                true
            })
            .await?;
            operator.kill().await?;
        }
        let job = case.succeeded("run").await?;
        nothing_was_repeated(&case, &job).await
    })
    .await
}

#[tokio::test]
async fn a_minute_without_operator_does_not_stop_training() -> Result {
    with_temp_ns("away", |case| async move {
        let operator = Operator::of(&case.client);
        case.data_set().await?;
        case.claim("checkpoints").await?;
        let example = Example::new("run")
            .trainer("STEP_SECONDS", "0.5")
            .checkpoint("checkpoints", "run");
        case.submit(&example).await?;
        let training = case.running("run", "train").await?;
        case.trained_step(&training, 2).await?;

        let back = Instant::now() + Duration::from_secs(60);
        operator.scale(0).await?;
        let ended = |job: &Job| job.status.as_ref().is_some_and(has_ended);
        let limit = back.duration_since(Instant::now());
        let outcome = wait::until_found(&case.api::<Job>(), &training.name_any(), "ended", limit, ended).await;
        // The outage's length is the point of the test; whatever it showed, the other tests need the operator.
        tokio::time::sleep_until(back).await;
        operator.scale(2).await?;
        ensure(
            outcome?.status.is_some_and(|status| status.succeeded == Some(1)),
            || "the phase did not end".into(),
        )?;

        let job = case.succeeded("run").await?;
        nothing_was_repeated(&case, &job).await
    })
    .await
}

trait First {
    async fn first(&self, component: &str) -> Result;
}

impl First for Case {
    /// Waits until the run has a Job for that purpose.
    async fn first(&self, component: &str) -> Result {
        use futures::TryStreamExt;
        use kube::runtime::{WatchStreamExt, watcher};
        let selector = format!("curriculum.dev/job=run,app.kubernetes.io/component={component}");
        let jobs = watcher(self.api::<Job>(), watcher::Config::default().labels(&selector)).applied_objects();
        let found = tokio::time::timeout(Duration::from_secs(120), std::pin::pin!(jobs).try_next()).await;
        found
            .map_err(|_| format!("no {component} Job"))??
            .ok_or("the watch ended")?;
        Ok(())
    }
}

/// One attempt and one pod for everything, each step trained once, and an unbroken chain of snapshots.
async fn nothing_was_repeated(case: &Case, job: &CurriculumJob) -> Result {
    let attempts: Vec<i32> = status(job)?.visits.iter().map(|phase| phase.attempts).collect();
    ensure(attempts == [1, 1], || format!("attempts of the phases: {attempts:?}"))?;
    for component in ["inspect", "score", "index", "train"] {
        let (jobs, pods) = (
            case.children("run", component).await?,
            case.pods("run", component).await?,
        );
        let expected = if component == "train" { 2 } else { 1 };
        ensure((jobs.len(), pods.len()) == (expected, expected), || {
            format!("{component}: {} Jobs and {} pods", jobs.len(), pods.len())
        })?;
    }
    let mut created = case.jobs_created()?;
    let before = created.len();
    created.sort();
    created.dedup();
    ensure(before == created.len(), || {
        format!("a Job was created twice: {created:?}")
    })?;
    let trained = case.trained("run").await?;
    ensure(trained.is_complete(2 * STEPS) && trained.starts == 2, || {
        format!("{trained:?}")
    })?;
    let chain = case.snapshot_chain(job).await?;
    ensure(chain.len() == 2, || format!("{} snapshots", chain.len()))
}
