//! Reads everything that a decision needs, once: the local stores, the API server where only it can tell, the running
//! sampler, and the clock.

use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, ListParams};
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::Store;
use kube::{Resource, ResourceExt};

use super::context::Context;
use super::error::Error;
use super::evidence;
use super::observed::{Observed, is_controlled_by};
use crate::api::job::CurriculumJob;
use crate::api::names::{LABEL_COMPONENT, LABEL_JOB};
use crate::sampler::contract::SamplerStatus;

/// Label that the Job controller gives to the pods of a Job.
const LABEL_JOB_NAME: &str = "batch.kubernetes.io/job-name";

/// Everything about a CurriculumJob at this time; `None` while the stores do not show what was made for it last.
///
/// # Errors
/// When the API server does not answer a question that only it can answer; none is asked while nothing changes.
pub(crate) async fn observe(context: &Context, job: Arc<CurriculumJob>) -> Result<Option<Observed>, Error> {
    let mut observed = from_stores(context, job);
    let uid = observed.job.uid().unwrap_or_default();
    if context
        .memory
        .awaits_echo(&uid, observed.now, |made| observed.holds(made))
    {
        return Ok(None);
    }
    let namespace = observed.job.namespace().unwrap_or_default();
    if let Some(name) = observed.job_in_doubt() {
        let api: Api<Job> = Api::namespaced(context.client.clone(), &namespace);
        let found = api
            .get_opt(&name)
            .await
            .map_err(|error| Error::api("get", "jobs", &name, error))?;
        observed
            .jobs
            .extend(found.filter(|job| is_controlled_by(&job.metadata, &uid)).map(Arc::new));
    }
    let api: Api<Pod> = Api::namespaced(context.client.clone(), &namespace);
    if observed.may_meet_old_pods() {
        let name = observed.job.name_any();
        let trainers = ListParams::default().labels(&format!("{LABEL_JOB}={name},{LABEL_COMPONENT}=train"));
        let found = api
            .list(&trainers)
            .await
            .map_err(|error| Error::api("list", "pods", &name, error))?;
        observed.take_in(found.items.into_iter().map(Arc::new));
    }
    for name in observed.jobs_without_evidence() {
        let of_job = ListParams::default().labels(&format!("{LABEL_JOB_NAME}={name}"));
        let found = api
            .list(&of_job)
            .await
            .map_err(|error| Error::api("list", "pods", &name, error))?;
        observed.take_in(found.items.into_iter().map(Arc::new));
    }
    observed.sampler = ask_sampler(context, &observed).await;
    Ok(Some(observed))
}

#[expect(clippy::disallowed_methods, reason = "the one place where a decision's time is read")]
fn now() -> Timestamp {
    Timestamp::now()
}

fn from_stores(context: &Context, job: Arc<CurriculumJob>) -> Observed {
    let namespace = job.namespace();
    let uid = job.uid().unwrap_or_default();
    let name = job.name_any();
    let stores = &context.stores;
    let is_ours = |meta: &ObjectMeta| meta.namespace == namespace && is_controlled_by(meta, &uid);
    let is_of_job = |pod: &Pod| pod.metadata.namespace == namespace && pod.labels().get(LABEL_JOB) == Some(&name);
    Observed {
        now: now(),
        jobs: stores.jobs.state_filter(|job| is_ours(&job.metadata)),
        pods: stores.pods.state_filter(is_of_job),
        config_maps: metadata(&stores.config_maps, is_ours),
        claims: metadata(&stores.claims, is_ours),
        snapshots: metadata(&stores.snapshots, is_ours),
        sampler: None,
        job,
    }
}

fn metadata<K>(store: &Store<PartialObjectMeta<K>>, is_ours: impl Fn(&ObjectMeta) -> bool) -> Vec<ObjectMeta>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    store
        .state_filter(|object| is_ours(&object.metadata))
        .iter()
        .map(|object| object.metadata.clone())
        .collect()
}

/// Asks the sampler of the running attempt, at most once per interval.
async fn ask_sampler(context: &Context, observed: &Observed) -> Option<SamplerStatus> {
    let name = observed.current_train_job()?;
    let job = observed.job_named(&name).filter(|job| evidence::is_live(job))?;
    let pod = observed
        .pods_of(job)
        .find(|pod| evidence::phase(pod) == Some("Running"))?;
    let ip: IpAddr = pod.status.as_ref()?.pod_ip.as_deref()?.parse().ok()?;
    let uid = observed.job.uid()?;
    let due = context
        .memory
        .may_ask(&uid, observed.now, context.settings.progress_interval);
    if due { context.samplers.status(ip).await } else { None }
}
