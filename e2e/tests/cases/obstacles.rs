//! What is in the way of a run's pods is said in the words of those who know, and the run goes on by itself once it is gone.

use std::time::Duration;

use curriculum_operator::api::conditions::{ConditionType, Reason};
use curriculum_operator::api::job::CurriculumJob;
use e2e::case::{Case, with_temp_ns};
use e2e::fixture::Example;
use e2e::observe::{ensure, expect};
use e2e::{Result, wait};
use k8s_openapi::api::core::v1::ResourceQuota;
use kube::api::{DeleteParams, PostParams};
use serde_json::json;

/// A minute of grace, and what a loaded machine needs to look.
const LIMIT: Duration = Duration::from_secs(180);
/// Job controller and kubelet try again ever later: after some two minutes when they have failed for one.
const AGAIN: Duration = Duration::from_secs(360);

/// Waits until Ready is False for that reason; the message then has all of `words`.
async fn said(case: &Case, reason: Reason, words: &[&str]) -> Result {
    let is_said = |job: &CurriculumJob| {
        wait::condition(job, ConditionType::Ready)
            .is_some_and(|ready| ready.status == "False" && ready.reason == reason.as_str())
    };
    let job = wait::until_found(&case.api(), "run", reason.as_str(), LIMIT, is_said).await?;
    let message = expect(&job, ConditionType::Ready, "False", Some(reason))?;
    ensure(words.iter().all(|word| message.contains(word)), || message.clone())
}

async fn goes_on(case: &Case) -> Result {
    let job: CurriculumJob = wait::until_found(&case.api(), "run", "ended", AGAIN, wait::has_ended).await?;
    expect(&job, ConditionType::Succeeded, "True", None)?;
    expect(&job, ConditionType::Degraded, "False", None)?;
    expect(&job, ConditionType::Ready, "True", None).map(drop)
}

/// Case 18: a quota lets no pod in.
#[tokio::test]
async fn a_quota_is_said_and_waited_for() -> Result {
    with_temp_ns("quota", |case| async move {
        case.data_set().await?;
        let quotas = case.api::<ResourceQuota>();
        let none = serde_json::from_value(json!({"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}))?;
        quotas.create(&PostParams::default(), &none).await?;
        let counted = |quota: &ResourceQuota| {
            let status = quota.status.as_ref();
            status.is_some_and(|status| status.hard.is_some())
        };
        wait::until_found(&quotas, "none", "counted", LIMIT, counted).await?;
        case.submit(&Example::new("run").one_phase()).await?;
        said(&case, Reason::PodRefused, &["exceeded quota", "none"]).await?;
        quotas.delete("none", &DeleteParams::default()).await?;
        goes_on(&case).await
    })
    .await
}

/// Case 18: the data set's volume is not there yet.
#[tokio::test]
async fn a_volume_that_does_not_mount_is_said_and_waited_for() -> Result {
    with_temp_ns("mount", |case| async move {
        case.submit(&Example::new("run").one_phase()).await?;
        said(&case, Reason::VolumeUnavailable, &["configmap \"data\" not found"]).await?;
        case.data_set().await?;
        goes_on(&case).await
    })
    .await
}

/// Case 18: the store's claim names no class, and is not given the default one either.
#[tokio::test]
async fn a_claim_that_gets_no_volume_is_said_with_what_would_be_right() -> Result {
    with_temp_ns("class", |case| async move {
        case.data_set().await?;
        let no_class = json!({"store": {"claimTemplate": {"storageClassName": ""}}});
        case.submit(&Example::new("run").with(&no_class).one_phase()).await?;
        let words = [
            "'run-store' gets no volume",
            "no storage class is set",
            "`store.claimTemplate.storageClassName`",
        ];
        said(&case, Reason::VolumeUnavailable, &words).await
    })
    .await
}
