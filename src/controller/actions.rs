//! Effects as values: what `decide` wants done, in the order in which `act` does it.

use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::api::conditions::Reason;
use crate::api::snapshot::CurriculumSnapshot;
use crate::api::status::{CurriculumJobStatus, ScoreSource};

/// Everything one reconcile does, in the order of the fields.
///
/// # Guarantees
/// Each effect may be repeated, and the list may be cut off after any of them: the next reconcile decides from what it
/// finds. Nothing that an event or a metric says has not been written to the status before.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Actions {
    /// Objects that must exist. Created when absent, never changed afterwards.
    pub(crate) ensure: Vec<Ensure>,
    /// Jobs to hold or to let go on.
    pub(crate) suspend: Vec<SetSuspend>,
    /// Objects that must not exist any more.
    pub(crate) delete: Vec<Delete>,
    /// The new status; `None`: it is what it should be.
    pub(crate) status: Option<NextStatus>,
    /// Published once the status is written.
    pub(crate) events: Vec<Event>,
    /// Counted once the status is written.
    pub(crate) milestones: Vec<Milestone>,
    /// When to look again although nothing changed; `None`: only when something changes.
    pub(crate) requeue: Option<Duration>,
}

/// An object that must exist.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ensure {
    /// The claim of the store.
    Claim(Box<PersistentVolumeClaim>),
    /// Metadata of the scores, or the plan of an attempt.
    ConfigMap(Box<ConfigMap>),
    /// A scoring Job: doing its work twice is a waste but no harm.
    ScoringJob(Box<Job>),
    /// The Job that puts a snapshot on the store. Where the API server refuses it, everything else goes on.
    ArchiveJob(Box<Job>),
    /// The Job of a training attempt: must not be made twice, so that `act` first makes sure that the status that calls
    /// for it is still the newest. Its UID completes the status.
    TrainJob(Box<Job>),
    /// The record of a phase.
    Snapshot(Box<CurriculumSnapshot>),
}

impl Ensure {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Claim(_) => Kind::Claim,
            Self::ConfigMap(_) => Kind::ConfigMap,
            Self::ScoringJob(_) | Self::ArchiveJob(_) | Self::TrainJob(_) => Kind::Job,
            Self::Snapshot(_) => Kind::Snapshot,
        }
    }

    pub(crate) fn metadata(&self) -> &ObjectMeta {
        match self {
            Self::Claim(claim) => &claim.metadata,
            Self::ConfigMap(map) => &map.metadata,
            Self::ScoringJob(job) | Self::ArchiveJob(job) | Self::TrainJob(job) => &job.metadata,
            Self::Snapshot(snapshot) => &snapshot.metadata,
        }
    }
}

/// Sets `spec.suspend` of a Job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SetSuspend {
    /// Name of the Job.
    pub(crate) name: String,
    /// UID it must have.
    pub(crate) uid: String,
    /// Hold it or let it go on.
    pub(crate) suspend: bool,
}

/// Deletes an object, provided that it has that UID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Delete {
    /// Kind.
    pub(crate) kind: Kind,
    /// Name.
    pub(crate) name: String,
    /// UID it must have.
    pub(crate) uid: String,
}

/// The kinds of objects that the operator makes or deletes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The claim of the store.
    Claim,
    /// Metadata of the scores, or a plan.
    ConfigMap,
    /// A Job, with its pods.
    Job,
    /// A record of a phase; deleted beyond `snapshots.keep`.
    Snapshot,
    /// A training pod; deleted when its node is lost.
    Pod,
    /// The CurriculumJob itself; deleted when its time is over.
    CurriculumJob,
}

impl Kind {
    /// The resource's name in requests and metrics.
    pub(crate) const fn resource(self) -> &'static str {
        match self {
            Self::Claim => "persistentvolumeclaims",
            Self::ConfigMap => "configmaps",
            Self::Job => "jobs",
            Self::Snapshot => "curriculumsnapshots",
            Self::Pod => "pods",
            Self::CurriculumJob => "curriculumjobs",
        }
    }
}

/// What `act` learned while it ensured objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Applied {
    /// UID of the ensured training Job.
    pub(crate) train_job_uid: Option<String>,
}

/// A status that lacks what only the API server's answers can tell. [`Self::complete`] is the one way to get it out, so
/// that a status is never written before the objects that it speaks of exist.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NextStatus {
    status: CurriculumJobStatus,
}

impl NextStatus {
    pub(crate) fn new(status: CurriculumJobStatus) -> Self {
        Self { status }
    }

    /// The status, with the UID of the training Job that was ensured, if one was.
    pub(crate) fn complete(self, applied: &Applied) -> CurriculumJobStatus {
        let mut status = self.status;
        if let (Some(current), Some(uid)) = (&mut status.current_visit, &applied.train_job_uid) {
            current.job_uid = Some(uid.clone());
        }
        status
    }
}

/// An event about the CurriculumJob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// Warning or Normal.
    pub(crate) warning: bool,
    /// A documented reason.
    pub(crate) reason: Reason,
    /// What the operator was doing, as one word.
    pub(crate) action: &'static str,
    /// At most 1 kB.
    pub(crate) note: String,
}

/// Something worth counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Milestone {
    /// A fallback was chosen.
    Fallback {
        /// Why.
        reason: Reason,
        /// What is used instead.
        source: ScoreSource,
    },
    /// A phase completed.
    PhaseCompleted,
    /// An attempt failed and another one follows.
    AttemptFailed,
    /// An attempt was interrupted and another one follows.
    AttemptInterrupted,
    /// A phase failed for good.
    PhaseFailed,
}
