//! Does what was decided, in order: hold or let go, ensure, delete, then the one status, then events.
//!
//! Every effect stands for itself: the process may die between any two, do one twice, or decide on an old view. What then
//! happens is written at each of them.

use std::fmt::Debug;
use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::runtime::events::{self, EventType};
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::actions::{Actions, Applied, Delete, Ensure, Event, Kind, SetSuspend};
use super::context::Context;
use super::error::Error;
use super::evidence::Failure;
use super::observed::{Observed, is_controlled_by, is_deleting};
use crate::api::conditions::Reason;
use crate::api::job::CurriculumJob;
use crate::api::names::ANNOTATION_SUSPENDED;
use crate::api::snapshot::CurriculumSnapshot;
use crate::api::status::CurriculumJobStatus;
use crate::api::{GROUP, MANAGER, VERSION};
use k8s_openapi::api::batch::v1::Job;

/// Longest note of an event, in bytes: the API allows 1,024.
const NOTE_BYTES: usize = 1000;

/// How a list of actions ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// All of it is done; when to look again.
    Done(Option<Duration>),
    /// The decision was made on an old view; nothing is lost by deciding again.
    Stale,
    /// The API server would not let an object be made; nothing after it was done.
    Blocked(Failure),
}

/// Does the actions.
///
/// # Guarantees
/// The status is written after everything that it speaks of exists, and only over the version it was decided on; events
/// and milestones are told only of a status that was written.
///
/// # Errors
/// When the API server fails a request; everything before it is done, nothing after it.
pub(crate) async fn act(context: &Context, observed: &Observed, actions: Actions) -> Result<Ended, Error> {
    let Actions {
        ensure,
        suspend,
        delete,
        status,
        events,
        milestones,
        requeue,
    } = actions;
    let hands = Hands {
        context,
        job: &observed.job,
        now: observed.now,
        namespace: observed.job.namespace().unwrap_or_default(),
    };
    for hold in suspend {
        hands.suspend(&hold).await?;
    }
    let mut applied = Applied::default();
    for object in ensure {
        match hands.ensure(object, &mut applied).await? {
            Made::Exists => {}
            Made::Stale => return Ok(Ended::Stale),
            Made::Refused(failure) => return Ok(Ended::Blocked(failure)),
        }
    }
    for target in delete {
        hands.delete(&target).await?;
    }
    if let Some(status) = status {
        let status = status.complete(&applied);
        if observed.job.status.as_ref() != Some(&status) && !hands.write_status(&status).await? {
            return Ok(Ended::Stale);
        }
        milestones
            .into_iter()
            .for_each(|milestone| context.metrics.reached(milestone));
        for event in events {
            hands.publish(event).await;
        }
    }
    Ok(Ended::Done(requeue))
}

/// What became of an object to ensure.
enum Made {
    Exists,
    Stale,
    Refused(Failure),
}

struct Hands<'a> {
    context: &'a Context,
    job: &'a CurriculumJob,
    now: Timestamp,
    namespace: String,
}

impl Hands<'_> {
    fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.context.client.clone(), &self.namespace)
    }

    async fn ensure(&self, object: Ensure, applied: &mut Applied) -> Result<Made, Error> {
        let result = match object {
            Ensure::Claim(claim) => self.create(*claim, "persistentvolumeclaims").await?.map(drop),
            Ensure::ConfigMap(map) => self.create(*map, "configmaps").await?.map(drop),
            Ensure::ScoringJob(job) => self.create(*job, "jobs").await?.map(drop),
            Ensure::Snapshot(snapshot) => self.create(*snapshot, "curriculumsnapshots").await?.map(drop),
            Ensure::TrainJob(job) => {
                if !self.is_newest().await? {
                    return Ok(Made::Stale);
                }
                self.create(*job, "jobs")
                    .await?
                    .map(|job| applied.train_job_uid = job.metadata.uid)
            }
        };
        Ok(result.map_or_else(Made::Refused, |()| Made::Exists))
    }

    /// Whether the version that was decided on is still the newest one: one read by key, no list.
    ///
    /// This is what keeps a second leader, or a process that slept, from making the Job of an attempt that has long been
    /// given up. What is left open is the time between this answer and the request that follows it: there, an attempt would
    /// have to be made, fail, be written down and its Job be removed by somebody else. Such a late Job is deleted as soon as
    /// it is seen, because the status is past it.
    async fn is_newest(&self) -> Result<bool, Error> {
        let name = self.job.name_any();
        let api = self.api::<CurriculumJob>();
        let newest = api
            .get_metadata_opt(&name)
            .await
            .map_err(|error| Error::api("get", "curriculumjobs", &name, error))?;
        Ok(newest.is_some_and(|newest| {
            newest.metadata.uid == self.job.metadata.uid
                && newest.metadata.resource_version == self.job.metadata.resource_version
        }))
    }

    /// Creates an object unless it is there. The answer is the object as the API server has it, or why it cannot be had.
    ///
    /// Dies before: it is not there, and the next turn makes it. Dies after: it is there, and the next turn's request is
    /// answered with `AlreadyExists`. Twice, or by two leaders: the same; the name is a function of job, phase and attempt,
    /// so that there is never a second one. Stale: the same.
    ///
    /// Not server-side apply: nothing in these objects changes once they are there, others (queueing controllers) may edit
    /// them, and an apply would take over a stranger's object of that name, owner reference included, so that the garbage
    /// collector would delete it in the end.
    async fn create<K>(&self, object: K, resource: &'static str) -> Result<Result<K, Failure>, Error>
    where
        K: Resource<Scope = NamespaceResourceScope> + Clone + Debug + Serialize + DeserializeOwned,
        K::DynamicType: Default,
    {
        let name = object.name_any();
        let api = self.api::<K>();
        self.context.metrics.wrote("create", resource);
        let params = PostParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PostParams::default()
        };
        let status = match api.create(&params, &object).await {
            Ok(made) => {
                let (job, object) = (self.job.uid().unwrap_or_default(), made.uid().unwrap_or_default());
                self.context.memory.made(&job, &object, self.now);
                return Ok(Ok(made));
            }
            Err(kube::Error::Api(status)) => status,
            Err(error) => return Err(Error::api("create", resource, &name, error)),
        };
        if matches!(status.code, 400 | 403 | 422) {
            let message = format!(
                "the API server refuses {resource} '{name}': {}",
                super::untrusted::clean(&status.message)
            );
            return Ok(Err(Failure::new(Reason::ObjectRefused, message)));
        }
        if !status.is_already_exists() {
            return Err(Error::api("create", resource, &name, kube::Error::Api(status)));
        }
        let get = |error| Error::api("get", resource, &name, error);
        match api.get_opt(&name).await.map_err(get)? {
            Some(found) if is_controlled_by(found.meta(), &self.job.uid().unwrap_or_default()) => {
                if is_deleting(&found) {
                    Err(Error::Terminating { resource, name })
                } else {
                    Ok(Ok(found))
                }
            }
            Some(found) if !is_deleting(&found) => Ok(Err(conflict(&found, resource, &name))),
            // Gone again, or going: the name is free soon.
            _ => Err(Error::Terminating { resource, name }),
        }
    }

    /// Passes `spec.suspend` on to a Job.
    ///
    /// Dies before: the next turn does it. Dies after, or twice: it is as it should be. Stale: a Job that is gone, or that is
    /// another one by UID, is left alone.
    async fn suspend(&self, hold: &SetSuspend) -> Result<(), Error> {
        self.context.metrics.wrote("patch", "jobs");
        let mark = json!({ANNOTATION_SUSPENDED: hold.suspend.then_some("true")});
        let patch = json!({"metadata": {"uid": hold.uid, "annotations": mark}, "spec": {"suspend": hold.suspend}});
        let params = PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        };
        match self.api::<Job>().patch(&hold.name, &params, &Patch::Merge(patch)).await {
            Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
            Err(error) => Err(Error::api("patch", "jobs", &hold.name, error)),
            Ok(_) => Ok(()),
        }
    }

    /// Deletes an object that has that UID.
    ///
    /// Dies before: the next turn deletes it. Dies after, or twice: it is gone. Stale: an object that took its name since has
    /// another UID and is left alone.
    async fn delete(&self, target: &Delete) -> Result<(), Error> {
        match target.kind {
            Kind::Job => self.delete_from(&self.api::<Job>(), target, "jobs").await,
            Kind::Snapshot => {
                self.delete_from(&self.api::<CurriculumSnapshot>(), target, "curriculumsnapshots")
                    .await
            }
            Kind::CurriculumJob => {
                self.delete_from(&self.api::<CurriculumJob>(), target, "curriculumjobs")
                    .await
            }
        }
    }

    async fn delete_from<K>(&self, api: &Api<K>, target: &Delete, resource: &'static str) -> Result<(), Error>
    where
        K: Clone + Debug + DeserializeOwned,
    {
        self.context.metrics.wrote("delete", resource);
        let only = Preconditions {
            uid: Some(target.uid.clone()),
            ..Preconditions::default()
        };
        match api
            .delete(&target.name, &DeleteParams::background().preconditions(only))
            .await
        {
            Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
            Err(error) => Err(Error::api("delete", resource, &target.name, error)),
            Ok(_) => Ok(()),
        }
    }

    /// Writes the status over the version that was decided on; false when that is no longer the newest.
    ///
    /// Dies before: the next turn comes to the same decision. Dies after: the next turn goes on from it. Twice, stale, or by
    /// two leaders: the resource version does not match, and nothing is written.
    async fn write_status(&self, status: &CurriculumJobStatus) -> Result<bool, Error> {
        let name = self.job.name_any();
        self.context.metrics.wrote("patch", "curriculumjobs/status");
        let patch = json!({
            "apiVersion": format!("{GROUP}/{VERSION}"),
            "kind": "CurriculumJob",
            "metadata": {
                "name": name,
                "uid": self.job.metadata.uid,
                "resourceVersion": self.job.metadata.resource_version,
            },
            "status": status,
        });
        let params = PatchParams::apply(MANAGER).force();
        match self
            .api::<CurriculumJob>()
            .patch_status(&name, &params, &Patch::Apply(patch))
            .await
        {
            Ok(written) => {
                let uid = self.job.uid().unwrap_or_default();
                self.context
                    .memory
                    .wrote(&uid, written.metadata.resource_version.as_deref());
                Ok(true)
            }
            Err(kube::Error::Api(status)) if status.is_conflict() || status.is_not_found() => Ok(false),
            Err(error) => Err(Error::api("patch", "curriculumjobs/status", &name, error)),
        }
    }

    /// Publishes an event. It is a courtesy: what it says stands in the status, so a failure is logged and nothing else.
    ///
    /// Dies before: it is never told. Twice: the recorder counts it up. Stale: cannot be, the status was written.
    async fn publish(&self, event: Event) {
        self.context.metrics.wrote("create", "events");
        let event = events::Event {
            type_: if event.warning {
                EventType::Warning
            } else {
                EventType::Normal
            },
            reason: event.reason.as_str().to_owned(),
            note: Some(cut(event.note)),
            action: event.action.to_owned(),
            secondary: None,
        };
        if let Err(error) = self.context.recorder.publish(&event, &self.job.object_ref(&())).await {
            tracing::warn!(%error, reason = event.reason, "the event could not be published");
        }
    }
}

fn conflict(found: &impl Resource, resource: &str, name: &str) -> Failure {
    let owner = found
        .owner_references()
        .iter()
        .find(|owner| owner.controller == Some(true));
    let owner = owner.map_or_else(
        || "nobody".to_owned(),
        |owner| format!("{} '{}'", owner.kind, owner.name),
    );
    let message = format!(
        "{resource} '{name}' exists and is controlled by {owner}; delete it, or give this CurriculumJob another name"
    );
    Failure::new(Reason::NameConflict, message)
}

fn cut(mut note: String) -> String {
    note.truncate(note.floor_char_boundary(NOTE_BYTES));
    note
}

#[cfg(test)]
mod tests;
