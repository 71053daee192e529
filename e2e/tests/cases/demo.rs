//! The demo's two jobs.

use curriculum_operator::api::status::ScoreSource;
use e2e::case::{Case, with_temp_ns};
use e2e::observe::{ensure, status};
use e2e::{Result, samples};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

/// Case 1.
#[tokio::test(flavor = "multi_thread")]
async fn the_curriculum_beats_uniform_sampling_on_noisy_digits() -> Result {
    with_temp_ns("digits", |case| async move {
        samples::prepare(&case).await?;
        for file in [samples::CURRICULUM, samples::UNIFORM] {
            samples::apply(&case, file).await?;
        }
        let (curriculum, uniform) = tokio::try_join!(arm(&case, "digits-curriculum"), arm(&case, "digits-uniform"))?;
        ensure(curriculum - uniform > 0.10, || {
            format!("curriculum {curriculum}, uniform {uniform}")
        })
    })
    .await
}

/// Waits for a run, checks its phases, Jobs and snapshots, and returns its test accuracy after the last step.
async fn arm(case: &Case, name: &str) -> Result<f64> {
    let job = case.succeeded(name).await?;
    let status = status(&job)?;
    let source = status.scores.as_ref().map(|scores| scores.source);
    ensure(
        matches!(source, Some(ScoreSource::Scored | ScoreSource::Cached)),
        || format!("{name}: scores {source:?}"),
    )?;
    ensure(status.visits.len() == 3, || {
        format!("{name}: phases {:?}", status.visits)
    })?;

    let chain = case.snapshot_chain(&job).await?;
    let steps: Vec<i64> = chain.iter().map(|snapshot| snapshot.spec.step).collect();
    ensure(steps == [300, 1500, 3000], || format!("{name}: snapshots at {steps:?}"))?;

    let times: Vec<_> = case.children(name, "train").await?.iter().map(lifetime).collect();
    ensure(times.len() == 3, || format!("{name}: {} training Jobs", times.len()))?;
    for pair in times.windows(2) {
        ensure(pair[0].1.is_some_and(|end| end <= pair[1].0), || {
            format!("{name}: training Jobs overlap: {times:?}")
        })?;
    }

    let metric = status.metrics.iter().find(|metric| metric.name == "test_accuracy");
    let metric = metric
        .filter(|metric| metric.step == 3000)
        .ok_or(format!("{name}: {:?}", status.metrics))?;
    Ok(metric.value.parse()?)
}

/// When a Job was created and when it was complete.
fn lifetime(job: &Job) -> (Timestamp, Option<Timestamp>) {
    let created = job.creation_timestamp().map(|time| time.0).unwrap_or_default();
    (
        created,
        job.status
            .as_ref()
            .and_then(|status| status.completion_time.as_ref())
            .map(|time| time.0),
    )
}
