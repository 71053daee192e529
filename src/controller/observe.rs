//! Reads everything that a decision needs, once: the local stores, the API server where only it can tell, the running
//! sampler, and the clock.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::SignedDuration;
use kube::ResourceExt;

use super::cluster::{Children, Cluster, PodsOf};
use super::context::Context;
use super::decide::{LOOK_AGAIN, Settings};
use super::error::Error;
use super::evidence;
use super::observed::{Observed, Silence, Warning, is_controlled_by};
use crate::api::job::CurriculumJob;

/// Everything about a CurriculumJob at this time; `None` while the stores do not show what was made for it last.
///
/// # Errors
/// When the API server does not answer a question that only it can answer; none is asked while nothing changes.
pub(crate) async fn observe<C: Cluster>(
    context: &Context<C>,
    job: Arc<CurriculumJob>,
) -> Result<Option<Observed>, Error> {
    let cluster = &context.cluster;
    let mut observed = from_stores(cluster, &context.settings, job);
    let uid = observed.job.uid().unwrap_or_default();
    let version = observed.job.metadata.resource_version.as_deref();
    if context.memory.is_stale(&uid, version, observed.now) {
        return Ok(None);
    }
    if context
        .memory
        .awaits_echo(&uid, observed.now, |made| observed.holds(made))
    {
        return Ok(None);
    }
    if let Some(name) = observed.job_in_doubt() {
        let found = cluster
            .job(&observed.job, &name)
            .await
            .map_err(|error| Error::api("get", "jobs", &name, error))?;
        observed
            .jobs
            .extend(found.filter(|job| is_controlled_by(&job.metadata, &uid)).map(Arc::new));
    }
    if observed.may_meet_old_pods() {
        let found = cluster
            .pods(&observed.job, PodsOf::Trainers)
            .await
            .map_err(|error| Error::api("list", "pods", &observed.job.name_any(), error))?;
        observed.take_in(found.into_iter().map(Arc::new));
    }
    for name in observed.jobs_without_evidence() {
        let found = cluster
            .pods(&observed.job, PodsOf::Job(&name))
            .await
            .map_err(|error| Error::api("list", "pods", &name, error))?;
        observed.take_in(found.into_iter().map(Arc::new));
    }
    observed.stuck_since = context.memory.stuck(&uid, observed.is_stuck(), observed.now);
    observed.warnings = warnings(context, &observed).await?;
    let at = sampler_address(&observed);
    if let Some(said) = cluster.sampler(&observed.job, at, observed.progress_interval) {
        (observed.sampler, observed.sampler_age) = (Some(said.status), said.age);
    }
    Ok(Some(observed))
}

fn from_stores(cluster: &impl Cluster, settings: &Settings, job: Arc<CurriculumJob>) -> Observed {
    let Children {
        jobs,
        pods,
        config_maps,
        claims,
        snapshots,
    } = cluster.children(&job);
    Observed {
        now: cluster.now(),
        jobs,
        pods,
        config_maps,
        claims,
        snapshots,
        stuck_since: None,
        warnings: Vec::new(),
        sampler: None,
        sampler_age: Duration::ZERO,
        progress_interval: cluster.progress_interval(settings.progress_interval),
        job,
    }
}

/// What the events say of an object that has been silent for longer than the grace; asked for once per [`LOOK_AGAIN`].
async fn warnings<C: Cluster>(context: &Context<C>, observed: &Observed) -> Result<Vec<Warning>, Error> {
    let grace = SignedDuration::try_from(context.settings.image_grace).unwrap_or_default();
    let silent = observed.silence();
    let silent = silent.filter(|silent| observed.now.duration_since(silent.since) >= grace);
    let Some(Silence { uid: about, .. }) = silent else {
        return Ok(Vec::new());
    };
    let uid = observed.job.uid().unwrap_or_default();
    if let Some(heard) = context.memory.heard(&uid, &about, observed.now, LOOK_AGAIN) {
        return Ok(heard);
    }
    let warnings = context
        .cluster
        .warnings(&observed.job, &about)
        .await
        .map_err(|error| Error::api("list", "events", &about, error))?;
    context.memory.hears(&uid, about, observed.now, warnings.clone());
    Ok(warnings)
}

/// Address of the sampler of the running visit.
fn sampler_address(observed: &Observed) -> Option<IpAddr> {
    let name = observed.current_train_job()?;
    let job = observed.job_named(&name).filter(|job| evidence::is_live(job))?;
    let pod = observed
        .pods_of(job)
        .find(|pod| evidence::phase(pod) == Some("Running"))?;
    pod.status.as_ref()?.pod_ip.as_deref()?.parse().ok()
}
