//! The manifests in `config/samples`, as a user would apply them.

use std::path::PathBuf;
use std::time::Duration;

use curriculum_operator::api::job::CurriculumJob;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::Resource;
use kube::api::{Patch, PatchParams};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::case::Case;
use crate::observe::{ensure, has_ended};
use crate::{DEMO_IMAGE, Result, demo_image, wait};

/// What a GPU is called where pods ask for one.
pub const GPU: &str = "nvidia.com/gpu";
/// The data set, the claims and the Job that fills them.
pub const DATA: &str = "digits-data.yaml";
/// The run with a curriculum.
pub const CURRICULUM: &str = "digits-curriculum.yaml";
/// Its control arm.
pub const UNIFORM: &str = "digits-uniform.yaml";

/// Applies [`DATA`] and waits until the Job that it has is complete: a run whose data are missing fails for good.
///
/// # Errors
/// When the file cannot be applied, or the Job fails or takes too long.
pub async fn prepare(case: &Case) -> Result {
    apply(case, DATA).await?;
    let ended = |job: &Job| job.status.as_ref().is_some_and(has_ended);
    let job = wait::until_found(
        &case.api::<Job>(),
        "digits-data",
        "ended",
        Duration::from_secs(180),
        ended,
    )
    .await?;
    ensure(job.status.is_some_and(|status| status.succeeded == Some(1)), || {
        "the Job digits-data failed".into()
    })
}

/// Server-side apply of every object of the file into the case's namespace, with the image that `DEMO_IMAGE` names.
///
/// # Errors
/// When the file cannot be read or the API refuses an object.
pub async fn apply(case: &Case, file: &str) -> Result {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../config/samples")).join(file);
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    for object in serde_saphyr::from_multiple::<Value>(&text.replace(DEMO_IMAGE, &demo_image()))? {
        match object["kind"].as_str() {
            Some("PersistentVolumeClaim") => patch::<PersistentVolumeClaim>(case, object).await?,
            Some("Job") => patch::<Job>(case, object).await?,
            Some("CurriculumJob") => patch::<CurriculumJob>(case, with_gpus(object)).await?,
            kind => return Err(format!("{}: unexpected kind {kind:?}", path.display()).into()),
        }
    }
    Ok(())
}

/// Has each training pod ask for as many GPUs as `GPU` says; the samples ask for none.
fn with_gpus(mut job: Value) -> Value {
    let gpus = std::env::var("GPU").unwrap_or_default();
    if !gpus.is_empty() {
        let resources = &mut job["spec"]["training"]["template"]["spec"]["containers"][0]["resources"];
        for list in ["requests", "limits"] {
            resources[list][GPU] = Value::from(gpus.as_str());
        }
    }
    job
}

async fn patch<K>(case: &Case, object: Value) -> Result
where
    K: Resource<Scope = NamespaceResourceScope> + Clone + DeserializeOwned + std::fmt::Debug,
    K::DynamicType: Default,
{
    let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    case.api::<K>()
        .patch(&name, &PatchParams::apply("digits-demo").force(), &Patch::Apply(object))
        .await?;
    Ok(())
}
