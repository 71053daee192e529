//! The manifests in `config/samples`, as a user would apply them.

use std::path::PathBuf;

use curriculum_operator::api::job::CurriculumJob;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{DEMO_IMAGE, Result, demo_image};

/// The data set, the claims and the Job that fills them.
pub const DATA: &str = "digits-data.yaml";
/// The run with a curriculum.
pub const CURRICULUM: &str = "digits-curriculum.yaml";
/// Its control arm.
pub const UNIFORM: &str = "digits-uniform.yaml";

/// Server-side apply of every object of the file into the namespace, with the image that `DEMO_IMAGE` names.
///
/// # Errors
/// When the file cannot be read or the API refuses an object.
pub async fn apply(client: &Client, namespace: &str, file: &str) -> Result {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../config/samples")).join(file);
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    for object in serde_saphyr::from_multiple::<Value>(&text.replace(DEMO_IMAGE, &demo_image()))? {
        match object["kind"].as_str() {
            Some("PersistentVolumeClaim") => patch::<PersistentVolumeClaim>(client, namespace, object).await?,
            Some("Job") => patch::<Job>(client, namespace, object).await?,
            Some("CurriculumJob") => patch::<CurriculumJob>(client, namespace, object).await?,
            kind => return Err(format!("{}: unexpected kind {kind:?}", path.display()).into()),
        }
    }
    Ok(())
}

async fn patch<K>(client: &Client, namespace: &str, object: Value) -> Result
where
    K: Resource<Scope = NamespaceResourceScope> + Clone + DeserializeOwned + std::fmt::Debug,
    K::DynamicType: Default,
{
    let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    api.patch(&name, &PatchParams::apply("digits-demo").force(), &Patch::Apply(object))
        .await?;
    Ok(())
}
