//! What a run on the cluster came to.

use curriculum_operator::api::job::CurriculumJob;
use curriculum_operator::api::names::{LABEL_COMPONENT, LABEL_JOB};
use curriculum_operator::demo::Outcome;
use e2e::Result;
use e2e::case::Case;
use e2e::samples::GPU;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::ListParams;

/// Reads the outcome of a run that has succeeded.
///
/// # Errors
/// When the API cannot be asked, or the run left no accuracy.
pub(crate) async fn of(case: &Case, name: &str) -> Result<Outcome> {
    let job = case.api::<CurriculumJob>().get(name).await?;
    let outcome = Outcome::new(&job, &case.trainer_logs(name).await?, &plans(case, name).await?)?;
    let gpu_seconds: f64 = case.pods(name, "train").await?.iter().map(gpu_seconds).sum();
    Ok(Outcome {
        gpu_seconds: (gpu_seconds > 0.0).then_some(gpu_seconds),
        snapshots: case.snapshot_chain(&job).await?.len(),
        ..outcome
    })
}

/// The plans that the samplers read.
async fn plans(case: &Case, name: &str) -> Result<Vec<String>> {
    let selector = format!("{LABEL_JOB}={name},{LABEL_COMPONENT}=plan");
    let maps = case
        .api::<ConfigMap>()
        .list(&ListParams::default().labels(&selector))
        .await?;
    let plan = |map: ConfigMap| map.data.unwrap_or_default().remove("plan.json");
    maps.into_iter()
        .map(|map| Ok(plan(map).ok_or("a plan without plan.json")?))
        .collect()
}

/// GPUs that the pod requested × the time from its start to the end of its last container.
fn gpu_seconds(pod: &Pod) -> f64 {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let requests = containers.filter_map(|container| container.resources.as_ref()?.requests.as_ref()?.get(GPU));
    let gpus: f64 = requests.filter_map(|quantity| quantity.0.parse::<f64>().ok()).sum();
    let status = pod.status.clone().unwrap_or_default();
    let ends = status.container_statuses.iter().flatten().filter_map(|container| {
        container
            .state
            .as_ref()?
            .terminated
            .as_ref()?
            .finished_at
            .as_ref()
            .map(|time| time.0)
    });
    let span = status.start_time.zip(ends.max());
    gpus * span.map_or(0.0, |(start, end)| end.duration_since(start.0).as_secs_f64())
}
