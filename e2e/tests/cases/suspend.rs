//! Suspending and deleting runs that are under way.

use std::time::Duration;

use curriculum_operator::api::conditions::ConditionType;
use curriculum_operator::api::job::CurriculumJob;
use curriculum_operator::api::names::LABEL_JOB;
use curriculum_operator::api::snapshot::CurriculumSnapshot;
use e2e::case::{Case, with_temp_ns};
use e2e::fixture::{Example, STEPS};
use e2e::observe::{ensure, expect, status};
use e2e::{Result, wait};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::json;

const LIMIT: Duration = Duration::from_secs(120);

/// Case 10.
#[tokio::test]
async fn a_suspended_run_has_no_pods_and_goes_on_where_it_was() -> Result {
    with_temp_ns("suspend", |case| async move {
        case.data_set().await?;
        case.claim("checkpoints").await?;
        let example = Example::new("run").scored_by("slow").trainer("STEP_SECONDS", "0.3");
        case.submit(&example.checkpoint("checkpoints", "run")).await?;

        let scoring = case.running("run", "score").await?;
        suspend(&case, &scoring).await?;
        resume(&case).await?;
        let training = case.running("run", "train").await?;
        case.trained_step(&training, 4).await?;
        suspend(&case, &training).await?;
        let at = status(&case.api::<CurriculumJob>().get("run").await?)?
            .current_visit
            .clone()
            .ok_or("no phase")?;
        ensure((at.phase_index, at.visit, at.failures) == (0, 0, 0), || {
            format!("while suspended: {at:?}")
        })?;
        resume(&case).await?;

        let job = case.succeeded("run").await?;
        expect(&job, ConditionType::Degraded, "False", None)?;
        let attempts: Vec<i32> = status(&job)?.visits.iter().map(|phase| phase.attempts).collect();
        ensure(attempts == [1, 1], || format!("attempts of the phases: {attempts:?}"))?;
        let trained = case.trained("run").await?;
        // Two starts in phase 0, the second from the checkpoint; one in phase 1.
        ensure(trained.is_complete(2 * STEPS) && trained.starts == 3, || {
            format!("{trained:?}")
        })
    })
    .await
}

/// Case 12.
#[tokio::test]
async fn deleting_a_run_deletes_its_children_and_nothing_else() -> Result {
    with_temp_ns("delete", |case| async move {
        case.data_set().await?;
        for name in ["run", "other"] {
            case.submit(&Example::new(name).trainer("STEP_SECONDS", "0.3")).await?;
        }
        // Both have a plan, a training Job, a store and, after the first phase, a snapshot.
        for name in ["run", "other"] {
            let phase = |job: &CurriculumJob| job.status.as_ref().is_some_and(|status| status.visits.len() == 1);
            wait::until_found(&case.api::<CurriculumJob>(), name, "first phase over", LIMIT, phase).await?;
        }
        let others = everything(&case, "other").await?;
        case.api::<CurriculumJob>()
            .delete("run", &DeleteParams::background())
            .await?;
        wait::until(&case.api::<CurriculumJob>(), "run", "gone", LIMIT, |job| job.is_none()).await?;
        for name in everything(&case, "run").await? {
            let (kind, name) = name.split_once('/').ok_or("a name without kind")?;
            gone(&case, kind, name).await?;
        }
        let left = everything(&case, "run").await?;
        ensure(left.is_empty(), || format!("left of the deleted run: {left:?}"))?;
        let now = everything(&case, "other").await?;
        ensure(others.iter().all(|name| now.contains(name)), || {
            format!("of the other run: {others:?}, then {now:?}")
        })?;
        case.succeeded("other").await?;
        Ok(())
    })
    .await
}

async fn set_suspend(case: &Case, value: bool) -> Result {
    let patch = Patch::Merge(json!({"spec": {"suspend": value}}));
    case.api::<CurriculumJob>()
        .patch("run", &PatchParams::default(), &patch)
        .await?;
    Ok(())
}

/// Suspends the run and waits until its pods are gone and its status says so.
async fn suspend(case: &Case, live: &Job) -> Result {
    let pods = case.pods_of(live).await?;
    set_suspend(case, true).await?;
    for pod in pods {
        wait::until(&case.api::<Pod>(), &pod.name_any(), "gone", LIMIT, |pod| pod.is_none()).await?;
    }
    let held = |job: &CurriculumJob| wait::is_true(job, ConditionType::Suspended);
    let job = wait::until_found(&case.api::<CurriculumJob>(), "run", "Suspended", LIMIT, held).await?;
    expect(&job, ConditionType::Failed, "False", None)?;
    let pods: Vec<String> = case
        .api::<Pod>()
        .list(&ListParams::default())
        .await?
        .iter()
        .filter(|pod| {
            pod.status
                .as_ref()
                .is_some_and(|status| matches!(status.phase.as_deref(), Some("Pending" | "Running")))
        })
        .map(ResourceExt::name_any)
        .collect();
    ensure(pods.is_empty(), || format!("pods while suspended: {pods:?}"))
}

async fn resume(case: &Case) -> Result {
    set_suspend(case, false).await?;
    let on = |job: &CurriculumJob| {
        wait::condition(job, ConditionType::Suspended).is_some_and(|condition| condition.status == "False")
    };
    wait::until_found(&case.api::<CurriculumJob>(), "run", "no longer Suspended", LIMIT, on).await?;
    Ok(())
}

/// Kind and name of everything labelled as a run's, pods included.
async fn everything(case: &Case, run: &str) -> Result<Vec<String>> {
    let mut names = named::<Job>(case, run).await?;
    names.extend(named::<Pod>(case, run).await?);
    names.extend(named::<ConfigMap>(case, run).await?);
    names.extend(named::<PersistentVolumeClaim>(case, run).await?);
    names.extend(named::<CurriculumSnapshot>(case, run).await?);
    Ok(names)
}

async fn named<K>(case: &Case, run: &str) -> Result<Vec<String>>
where
    K: Resource<Scope = NamespaceResourceScope> + Clone + DeserializeOwned + std::fmt::Debug,
    K::DynamicType: Default,
{
    let list = case
        .api::<K>()
        .list(&ListParams::default().labels(&format!("{LABEL_JOB}={run}")))
        .await?;
    Ok(list
        .iter()
        .map(|object| format!("{}/{}", K::kind(&K::DynamicType::default()), object.name_any()))
        .collect())
}

/// Waits until the object, which the garbage collector is to take, is gone.
async fn gone(case: &Case, kind: &str, name: &str) -> Result {
    match kind {
        "Job" => vanished::<Job>(case, name).await,
        "Pod" => vanished::<Pod>(case, name).await,
        "ConfigMap" => vanished::<ConfigMap>(case, name).await,
        "PersistentVolumeClaim" => vanished::<PersistentVolumeClaim>(case, name).await,
        _ => vanished::<CurriculumSnapshot>(case, name).await,
    }
}

async fn vanished<K>(case: &Case, name: &str) -> Result
where
    K: Resource<Scope = NamespaceResourceScope> + Clone + DeserializeOwned + std::fmt::Debug + Send + 'static,
    K::DynamicType: Default,
{
    wait::until(&case.api::<K>(), name, "gone with its owner", LIMIT, |object| {
        object.is_none()
    })
    .await?;
    Ok(())
}
