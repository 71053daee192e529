//! The installed operator itself: finding it, killing it, and taking it away for a while.

use std::fs;
use std::process::Command;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;

use crate::{OPERATOR_NAMESPACE, Result, wait};

const LIMIT: Duration = Duration::from_secs(120);
/// Name of the chart's Deployment when the release is called `curriculum-operator`.
const DEPLOYMENT: &str = "curriculum-operator";
/// Labels of the operator's pods.
pub const SELECTOR: &str = "app.kubernetes.io/name=curriculum-operator";

/// Handle on the installed operator.
pub struct Operator {
    deployments: Api<Deployment>,
    pods: Api<Pod>,
}

impl Operator {
    /// The operator of the cluster.
    pub fn of(client: &Client) -> Self {
        let (deployments, pods) = (client.clone(), client.clone());
        Self {
            deployments: Api::namespaced(deployments, OPERATOR_NAMESPACE),
            pods: Api::namespaced(pods, OPERATOR_NAMESPACE),
        }
    }

    /// `kill -9` of the process; then its pod is deleted, so that the next start waits for no back-off.
    ///
    /// # Errors
    /// When no operator runs on this machine, or it cannot be killed.
    pub async fn kill(&self) -> Result {
        for pod in self.pods.list(&ListParams::default().labels(SELECTOR)).await? {
            for process in processes(&pod.uid().unwrap_or_default())? {
                let status = Command::new("kill").args(["-9", &process.to_string()]).status()?;
                if !status.success() {
                    return Err(format!("kill -9 {process}: {status}").into());
                }
            }
            self.pods
                .delete(&pod.name_any(), &DeleteParams::default().grace_period(0))
                .await?;
        }
        Ok(())
    }

    /// Sets the number of replicas and waits until that many are ready and no other pod is left.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn scale(&self, replicas: i32) -> Result {
        let old = self.pods.list(&ListParams::default().labels(SELECTOR)).await?;
        let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        self.deployments
            .patch(DEPLOYMENT, &PatchParams::default(), &patch)
            .await?;
        self.ready().await?;
        if replicas == 0 {
            for pod in old {
                wait::until(&self.pods, &pod.name_any(), "gone", LIMIT, |pod| pod.is_none()).await?;
            }
        }
        Ok(())
    }

    /// Waits until as many replicas are ready as there should be.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn ready(&self) -> Result {
        let ready = |deployment: &Deployment| {
            let (Some(spec), Some(status)) = (&deployment.spec, &deployment.status) else {
                return false;
            };
            status.observed_generation == deployment.metadata.generation
                && status.ready_replicas.unwrap_or(0) == spec.replicas.unwrap_or(1)
                && status.replicas.unwrap_or(0) == spec.replicas.unwrap_or(1)
        };
        wait::until_found(
            &self.deployments,
            DEPLOYMENT,
            "as many ready replicas as wanted",
            LIMIT,
            ready,
        )
        .await?;
        Ok(())
    }
}

/// Processes of the project's binary in the containers of a pod on this machine, by the cgroup that kubelet made for it.
fn processes(pod_uid: &str) -> Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // A process may end while it is looked at.
        let cgroups = fs::read_to_string(entry.path().join("cgroup")).unwrap_or_default();
        let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        if !pod_uid.is_empty() && cgroups.contains(pod_uid) && name.trim_end() == "curriculum" {
            found.push(pid);
        }
    }
    if found.is_empty() {
        Err(format!("no process of pod {pod_uid} on this machine").into())
    } else {
        Ok(found)
    }
}
