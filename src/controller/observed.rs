//! What one reconcile knows: everything it decides on, the time included. Plain data and questions about it; reading it
//! from the cluster is the business of `observe`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use kube::{Resource, ResourceExt};

use super::build::names;
use super::cluster::Children;
use super::evidence::{self, Outcome};
use crate::api::job::CurriculumJob;
use crate::api::names::{LABEL_COMPONENT, LABEL_VISIT};
use crate::api::status::{CurrentVisit, CurriculumJobStatus};
use crate::sampler::contract::SamplerStatus;

/// One consistent-enough view of a CurriculumJob and what belongs to it.
///
/// Every list holds only objects whose controller is this very CurriculumJob (by UID), but for `pods`, which are
/// matched to their Job by UID when they are asked for. Each list may be older than the others.
#[derive(Clone, Debug)]
pub(crate) struct Observed {
    /// Name of the CurriculumJob.
    pub(crate) name: String,
    /// Whether no pod of it is to run.
    pub(crate) suspended: bool,
    /// Its status, as it was read.
    pub(crate) status: Option<CurriculumJobStatus>,
    /// The time, read once.
    pub(crate) now: Timestamp,
    /// Its Jobs, finished ones included.
    pub(crate) jobs: Vec<Arc<Job>>,
    /// Pods that carry its name as a label.
    pub(crate) pods: Vec<Arc<Pod>>,
    /// Metadata of its ConfigMaps.
    pub(crate) config_maps: Vec<ObjectMeta>,
    /// Metadata of its claims.
    pub(crate) claims: Vec<ObjectMeta>,
    /// Metadata of its snapshots.
    pub(crate) snapshots: Vec<ObjectMeta>,
    /// Since when the awaited Job is stuck ([`Self::is_stuck`]), as far as this process has seen it.
    pub(crate) stuck_since: Option<Timestamp>,
    /// Recent warnings about what is silent ([`Self::silence`]).
    pub(crate) warnings: Vec<Warning>,
    /// What the sampler of the running attempt last said; `None`: not asked, no answer, or not a valid one.
    pub(crate) sampler: Option<SamplerStatus>,
    /// How long ago it said so.
    pub(crate) sampler_age: Duration,
    /// Least time between two reports of progress, and between two questions to the sampler.
    pub(crate) progress_interval: Duration,
}

/// An event about a Job, a pod or a claim that says what is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Warning {
    /// Its reason, such as `FailedCreate`.
    pub(crate) reason: String,
    /// Its words; foreign text.
    pub(crate) message: String,
    /// Name of the object that it is about.
    pub(crate) about: String,
    /// When it was last seen.
    pub(crate) at: Timestamp,
}

/// What the scheduler says of a pod whose claims have no volumes; which of them, and why, only events about the claims tell.
pub(crate) const UNBOUND: &str = "unbound immediate PersistentVolumeClaims";

/// Whose events to ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum About {
    /// The object of that UID: a Job that has made no pod, or a pod that has a node but has not started.
    Object(String),
    /// The claims of those names, which a pod without a node waits for.
    Claims(BTreeSet<String>),
}

/// An object that does not get on and does not say why itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Silence {
    pub(crate) about: About,
    /// Since when.
    pub(crate) since: Timestamp,
}

impl Observed {
    /// What is known before anybody else is asked.
    pub(crate) fn new(job: &CurriculumJob, now: Timestamp, children: Children, progress_interval: Duration) -> Self {
        let Children {
            jobs,
            pods,
            config_maps,
            claims,
            snapshots,
        } = children;
        Self {
            name: job.name_any(),
            suspended: job.spec.suspend,
            status: job.status.clone(),
            now,
            jobs,
            pods,
            config_maps,
            claims,
            snapshots,
            stuck_since: None,
            warnings: Vec::new(),
            sampler: None,
            sampler_age: Duration::ZERO,
            progress_interval,
        }
    }

    /// The live Job that the run waits for: that of the current visit, or a scoring Job while there are no scores.
    pub(crate) fn awaited_job(&self) -> Option<&Job> {
        let scored = self.status.as_ref().is_some_and(|status| status.scores.is_some());
        let name = self.current_train_job();
        let awaited = |job: &&Job| match component(&job.metadata) {
            Some("train") => job.metadata.name == name,
            _ => !scored,
        };
        let mut live = self
            .jobs
            .iter()
            .map(AsRef::as_ref)
            .filter(|job| evidence::is_live(job) && !is_deleting(*job));
        live.find(awaited)
    }

    /// Whether a container of the awaited Job cannot start, and no pod of it ever has: one bad node among many is no bad image.
    pub(crate) fn is_stuck(&self) -> bool {
        let Some(job) = self.awaited_job() else { return false };
        let pods: Vec<&Pod> = self.pods_of(job).collect();
        let succeeded = job
            .status
            .as_ref()
            .and_then(|status| status.succeeded)
            .unwrap_or_default();
        let started = |pod: &&Pod| matches!(evidence::phase(pod), Some("Running" | "Succeeded"));
        evidence::stuck(&pods).is_some() && succeeded == 0 && !pods.iter().any(started)
    }

    /// What is silent of the awaited Job, if nothing of it runs: only the events about it tell what is in the way.
    pub(crate) fn silence(&self) -> Option<Silence> {
        let job = self.awaited_job()?;
        let held = job.spec.as_ref().and_then(|spec| spec.suspend) == Some(true);
        let mut pods = self.pods_of(job).peekable();
        if held || self.suspended {
            return None;
        }
        if pods.peek().is_none() {
            let started = job.status.as_ref().and_then(|status| status.start_time.clone());
            let since = started.or_else(|| job.creation_timestamp())?.0;
            let about = About::Object(job.uid()?);
            return Some(Silence { about, since });
        }
        let pods: Vec<&Pod> = pods.filter(|pod| !evidence::has_ended(pod)).collect();
        if pods.iter().any(|pod| evidence::phase(pod) == Some("Running")) {
            return None;
        }
        let pod = pods.first()?;
        let conditions = pod.status.as_ref()?.conditions.as_ref()?;
        let scheduled = conditions.iter().find(|c| c.type_ == "PodScheduled")?;
        let waits_for_claims = || {
            scheduled
                .message
                .as_deref()
                .is_some_and(|words| words.contains(UNBOUND))
        };
        let about = match scheduled.status.as_str() {
            "True" => About::Object(pod.uid()?),
            "False" if waits_for_claims() => About::Claims(claims_of(pod)),
            _ => return None,
        };
        let since = scheduled.last_transition_time.as_ref()?.0;
        Some(Silence { about, since })
    }

    /// The Job of that name, if it is this CurriculumJob's.
    pub(crate) fn job_named(&self, name: &str) -> Option<&Job> {
        self.jobs.iter().map(AsRef::as_ref).find(|job| job.name_any() == name)
    }

    /// Whether the object of that UID is in this view, as one of the kinds that the operator makes.
    pub(crate) fn holds(&self, uid: &str) -> bool {
        let metadata = [&self.config_maps, &self.claims, &self.snapshots].into_iter().flatten();
        let mut all = metadata.chain(self.jobs.iter().map(|job| &job.metadata));
        all.any(|meta| meta.uid.as_deref() == Some(uid))
    }

    /// The pods of a Job.
    pub(crate) fn pods_of<'a>(&'a self, job: &'a Job) -> impl Iterator<Item = &'a Pod> {
        let uid = job.uid().unwrap_or_default();
        self.pods
            .iter()
            .map(AsRef::as_ref)
            .filter(move |pod| pod.owner_references().iter().any(|owner| owner.uid == uid))
    }

    /// Name of the Job of the attempt that the status names.
    pub(crate) fn current_train_job(&self) -> Option<String> {
        self.current_visit().map(|current| self.train_job_name(current))
    }

    /// Name of the training Job of a visit.
    pub(crate) fn train_job_name(&self, visit: &CurrentVisit) -> String {
        names::train(&self.name, visit.visit.unsigned_abs())
    }

    fn current_visit(&self) -> Option<&CurrentVisit> {
        self.status.as_ref()?.current_visit.as_ref()
    }

    /// Name of the training Job that the status has seen but this view lacks: lost, or not yet in the store.
    /// Only the API server can tell which, so `observe` asks it before anything is decided.
    pub(crate) fn job_in_doubt(&self) -> Option<String> {
        self.current_visit()?.job_uid.as_ref()?;
        self.current_train_job().filter(|name| self.job_named(name).is_none())
    }

    /// Whether an attempt is about to be made after one that did not complete its phase. Pods outlive a deleted Job, and a pod that the
    /// store has not seen yet must not meet a second trainer, so `observe` asks the API server for them.
    pub(crate) fn may_meet_old_pods(&self) -> bool {
        let Some(status) = &self.status else { return false };
        let due = |current: &CurrentVisit| {
            let waits = current.retry_time.as_ref().is_some_and(|time| time.0 > self.now);
            let follows_completion = status.visits.last().is_some_and(|last| last.visit + 1 == current.visit);
            current.visit > 0 && !follows_completion && current.job_uid.is_none() && !waits && !self.suspended
        };
        status.completion_time.is_none() && self.current_visit().is_some_and(due)
    }

    /// Adds pods that were just read, in place of older versions of the same.
    pub(crate) fn take_in(&mut self, pods: impl IntoIterator<Item = Arc<Pod>>) {
        for pod in pods {
            self.pods.retain(|old| old.metadata.uid != pod.metadata.uid);
            self.pods.push(pod);
        }
    }

    /// Finished Jobs whose last words matter but whose ended pods are not in this view: deleted, or not yet in the store.
    /// As for [`Self::job_in_doubt`], `observe` asks the API server.
    pub(crate) fn jobs_without_evidence(&self) -> Vec<String> {
        let scored = self.status.as_ref().is_some_and(|status| status.scores.is_some());
        let current = self.current_train_job();
        self.jobs
            .iter()
            .filter(|job| match component(&job.metadata) {
                Some("train") => current.as_deref() == job.metadata.name.as_deref(),
                Some("inspect" | "index") => !scored,
                _ => !scored && matches!(evidence::outcome(job), Outcome::Failed { .. }),
            })
            .filter(|job| !matches!(evidence::outcome(job), Outcome::Live))
            .filter(|job| !self.pods_of(job).any(evidence::has_ended))
            .map(|job| job.name_any())
            .collect()
    }
}

fn claims_of(pod: &Pod) -> BTreeSet<String> {
    let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_deref());
    let claims = volumes
        .unwrap_or_default()
        .iter()
        .filter_map(|volume| volume.persistent_volume_claim.as_ref());
    claims.map(|claim| claim.claim_name.clone()).collect()
}

/// What an object is for, by its label.
pub(crate) fn component(meta: &ObjectMeta) -> Option<&str> {
    label(meta, LABEL_COMPONENT)
}

/// Number of the visit that an object belongs to, by its label.
pub(crate) fn visit(meta: &ObjectMeta) -> Option<i32> {
    label(meta, LABEL_VISIT)?.parse().ok()
}

fn label<'a>(meta: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    meta.labels.as_ref()?.get(key).map(String::as_str)
}

/// Whether the object's controller has that UID.
pub(crate) fn is_controlled_by(meta: &ObjectMeta, uid: &str) -> bool {
    let owners = meta.owner_references.as_deref().unwrap_or_default();
    owners
        .iter()
        .any(|owner| owner.controller == Some(true) && owner.uid == uid)
}

/// Whether an object is on its way out.
pub(crate) fn is_deleting(object: &impl Resource) -> bool {
    object.meta().deletion_timestamp.is_some()
}
