//! Reads everything that a decision needs, once: the local stores, the API server where only it can tell, the running
//! sampler, and the clock.

use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::jiff::SignedDuration;
use kube::ResourceExt;

use super::cluster::{Cluster, PodsOf};
use super::context::Context;
use super::decide::LOOK_AGAIN;
use super::error::Error;
use super::evidence;
use super::observed::{About, Observed, Silence, Warning, is_controlled_by};
use crate::api::job::CurriculumJob;

/// Everything about a CurriculumJob at this time; `None` while the stores do not show what was made for it last.
///
/// # Errors
/// When the API server does not answer a question that only it can answer; none is asked while nothing changes.
pub(crate) async fn observe<C: Cluster>(context: &Context<C>, job: &CurriculumJob) -> Result<Option<Observed>, Error> {
    let cluster = &context.cluster;
    let interval = cluster.progress_interval(context.settings.progress_interval);
    let children = cluster.children(job);
    let mut observed = Observed::new(job, cluster.now(), children, interval);
    let uid = job.uid().unwrap_or_default();
    let version = job.metadata.resource_version.as_deref();
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
            .job(job, &name)
            .await
            .map_err(|error| Error::api("get", "jobs", &name, error))?;
        observed
            .jobs
            .extend(found.filter(|job| is_controlled_by(&job.metadata, &uid)).map(Arc::new));
    }
    if observed.may_meet_old_pods() {
        let found = cluster
            .pods(job, PodsOf::Trainers)
            .await
            .map_err(|error| Error::api("list", "pods", &job.name_any(), error))?;
        observed.take_in(found.into_iter().map(Arc::new));
    }
    for name in observed.jobs_without_evidence() {
        let found = cluster
            .pods(job, PodsOf::Job(&name))
            .await
            .map_err(|error| Error::api("list", "pods", &name, error))?;
        observed.take_in(found.into_iter().map(Arc::new));
    }
    observed.stuck_since = context.memory.stuck(&uid, observed.is_stuck(), observed.now);
    observed.warnings = warnings(context, job, &observed).await?;
    let at = sampler_address(&observed);
    if let Some(said) = cluster.sampler(job, at, observed.progress_interval) {
        (observed.sampler, observed.sampler_age) = (Some(said.status), said.age);
    }
    Ok(Some(observed))
}

/// What the events say of an object that has been silent for longer than the grace; asked for once per [`LOOK_AGAIN`].
async fn warnings<C: Cluster>(
    context: &Context<C>,
    job: &CurriculumJob,
    observed: &Observed,
) -> Result<Vec<Warning>, Error> {
    let grace = SignedDuration::try_from(context.settings.image_grace).unwrap_or_default();
    let silent = observed.silence();
    let silent = silent.filter(|silent| observed.now.duration_since(silent.since) >= grace);
    let Some(Silence { about, .. }) = silent else {
        return Ok(Vec::new());
    };
    let uid = job.uid().unwrap_or_default();
    if let Some(heard) = context.memory.heard(&uid, &about, observed.now, LOOK_AGAIN) {
        return Ok(heard);
    }
    let warnings = context
        .cluster
        .warnings(job, &about)
        .await
        .map_err(|error| Error::api("list", "events", name_of(&about), error))?;
    context.memory.hears(&uid, about, observed.now, warnings.clone());
    Ok(warnings)
}

fn name_of(about: &About) -> &str {
    match about {
        About::Object(uid) => uid,
        About::Claims(names) => names.first().map_or("", String::as_str),
    }
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
