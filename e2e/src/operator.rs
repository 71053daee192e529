//! The installed operator itself: finding it, killing it, and taking it away for a while.

use std::fs;
use std::process::Command;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;

use crate::{OPERATOR_NAMESPACE, Result, wait};

const LIMIT: Duration = Duration::from_secs(120);
/// Name of the chart's Deployment and Lease when the release is called `curriculum-operator`.
const DEPLOYMENT: &str = "curriculum-operator";
/// Labels of the operator's pods.
pub const SELECTOR: &str = "app.kubernetes.io/name=curriculum-operator";

/// Handle on the installed operator.
pub struct Operator {
    deployments: Api<Deployment>,
    pods: Api<Pod>,
    leases: Api<Lease>,
}

impl Operator {
    /// The operator of the cluster.
    pub fn of(client: &Client) -> Self {
        let (deployments, pods, leases) = (client.clone(), client.clone(), client.clone());
        Self {
            leases: Api::namespaced(leases, OPERATOR_NAMESPACE),
            deployments: Api::namespaced(deployments, OPERATOR_NAMESPACE),
            pods: Api::namespaced(pods, OPERATOR_NAMESPACE),
        }
    }

    /// `kill -9` of every operator's process; then its pod is deleted, so that the next start waits for no back-off.
    ///
    /// # Errors
    /// When no operator runs on this machine, or it cannot be killed.
    pub async fn kill(&self) -> Result {
        for pod in self.pods.list(&ListParams::default().labels(SELECTOR)).await? {
            self.signal(&pod, "-9")?;
            self.delete(&pod, Some(0)).await?;
        }
        Ok(())
    }

    /// The pod of the operator that acts: the holder of the Lease.
    ///
    /// # Errors
    /// When nobody holds it within two minutes.
    pub async fn leader(&self) -> Result<Pod> {
        self.leader_but("").await
    }

    /// The pod of the operator that acts, once it is another one than that.
    ///
    /// # Errors
    /// When no other one holds the Lease within two minutes.
    pub async fn leader_but(&self, old: &str) -> Result<Pod> {
        let holder = |lease: &Lease| {
            let holder = lease.spec.as_ref()?.holder_identity.clone()?;
            (!holder.is_empty() && holder != old).then_some(holder)
        };
        let another = |lease: &Lease| holder(lease).is_some();
        let lease = wait::until_found(&self.leases, DEPLOYMENT, "held by another one", LIMIT, another).await?;
        let name = holder(&lease).ok_or("a holder")?;
        Ok(self.pods.get(&name).await?)
    }

    /// Sends a signal to the operator's process in a pod.
    ///
    /// # Errors
    /// When there is none on this machine.
    pub fn signal(&self, pod: &Pod, signal: &str) -> Result {
        for process in processes(&pod.uid().unwrap_or_default())? {
            let status = Command::new("kill").args([signal, &process.to_string()]).status()?;
            if !status.success() {
                return Err(format!("kill {signal} {process}: {status}").into());
            }
        }
        Ok(())
    }

    /// Deletes a pod of the operator, with that many seconds to end, or as many as the pod asks for.
    ///
    /// # Errors
    /// When the API refuses it.
    pub async fn delete(&self, pod: &Pod, seconds: Option<u32>) -> Result {
        let params = DeleteParams {
            grace_period_seconds: seconds,
            ..DeleteParams::default()
        };
        self.pods.delete(&pod.name_any(), &params).await?;
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
