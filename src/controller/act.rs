//! Does what was decided, in order: hold or let go, ensure, delete, then the one status, then events.
//!
//! Every effect stands for itself: the process may die between any two, do one twice, or decide on an old view. What then
//! happens is written at each of them.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use super::actions::{Actions, Applied, Delete, Ensure, Event, Kind, SetSuspend};
use super::cluster::{Answer, Cluster};
use super::context::Context;
use super::error::Error;
use super::evidence::Failure;
use super::observed::is_controlled_by;
use crate::api::MANAGER;
use crate::api::conditions::Reason;
use crate::api::job::CurriculumJob;
use crate::api::names::LABEL_MANAGED_BY;
use crate::api::status::CurriculumJobStatus;

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

/// Does the actions that were decided on for that version of the CurriculumJob, at that time.
///
/// # Guarantees
/// The status is written after everything that it speaks of exists, and only over the version it was decided on; events
/// and milestones are told only of a status that was written.
///
/// # Errors
/// When the API server fails a request; everything before it is done, nothing after it.
pub(crate) async fn act<C: Cluster>(
    context: &Context<C>,
    job: &CurriculumJob,
    now: Timestamp,
    actions: Actions,
) -> Result<Ended, Error> {
    let Actions {
        ensure,
        suspend,
        delete,
        status,
        events,
        milestones,
        requeue,
    } = actions;
    let hands = Hands { context, job, now };
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
        if job.status.as_ref() != Some(&status) && !hands.write_status(&status).await? {
            return Ok(Ended::Stale);
        }
        milestones
            .into_iter()
            .for_each(|milestone| context.metrics.reached(milestone));
        for event in events {
            hands.publish(&event).await;
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

struct Hands<'a, C> {
    context: &'a Context<C>,
    job: &'a CurriculumJob,
    now: Timestamp,
}

impl<C: Cluster> Hands<'_, C> {
    /// Asked right before every write.
    fn may_write(&self) -> Result<(), Error> {
        if self.context.leadership.is_held() {
            Ok(())
        } else {
            Err(Error::LeaseLost)
        }
    }

    /// A write, as far as it comes while this process leads.
    async fn while_leading<T>(&self, write: impl Future<Output = Answer<T>>) -> Answer<T> {
        let lost = || kube::Error::Service("the lease was lost before the answer came".into());
        self.context
            .leadership
            .while_held(write)
            .await
            .unwrap_or_else(|| Err(lost()))
    }

    async fn ensure(&self, object: Ensure, applied: &mut Applied) -> Result<Made, Error> {
        let trains = matches!(object, Ensure::TrainJob(_));
        let may_lack = matches!(object, Ensure::ArchiveJob(_));
        if trains && !self.is_newest().await? {
            return Ok(Made::Stale);
        }
        match self.create(&object).await? {
            Ok(made) if trains => applied.train_job_uid = made.uid,
            Ok(_) => {}
            // The next turns find that it is not there, and say so.
            Err(failure) if may_lack => tracing::warn!(failure.message, "a snapshot is not archived"),
            Err(failure) => return Ok(Made::Refused(failure)),
        }
        Ok(Made::Exists)
    }

    /// Whether the version that was decided on is still the newest one: one read by key, no list.
    ///
    /// This is what keeps a second leader, or a process that slept, from making the Job of an attempt that has long been
    /// given up. What is left open is the time between this answer and the request that follows it: there, an attempt would
    /// have to be made, fail, be written down and its Job be removed by somebody else. Such a late Job is deleted as soon as
    /// it is seen, because the status is past it.
    async fn is_newest(&self) -> Result<bool, Error> {
        let name = self.job.name_any();
        let newest = self
            .context
            .cluster
            .metadata(self.job, Kind::CurriculumJob, &name)
            .await
            .map_err(|error| Error::api("get", "curriculumjobs", &name, error))?;
        Ok(newest.is_some_and(|newest| {
            newest.uid == self.job.metadata.uid && newest.resource_version == self.job.metadata.resource_version
        }))
    }

    /// Creates an object unless it is there. The answer is its metadata as the API server has it, or why it cannot be had.
    ///
    /// Dies before: it is not there, and the next turn makes it. Dies after: it is there, and the next turn's request is
    /// answered with `AlreadyExists`. Twice, or by two leaders: the same; the name is a function of job, phase and attempt,
    /// so that there is never a second one. Stale: the same.
    ///
    /// Not server-side apply: nothing in these objects changes once they are there, others (queueing controllers) may edit
    /// them, and an apply would take over a stranger's object of that name, owner reference included, so that the garbage
    /// collector would delete it in the end.
    async fn create(&self, object: &Ensure) -> Result<Result<ObjectMeta, Failure>, Error> {
        let (kind, resource) = (object.kind(), object.kind().resource());
        let name = object.metadata().name.clone().unwrap_or_default();
        let uid = self.job.uid().unwrap_or_default();
        self.may_write()?;
        self.context.metrics.wrote("create", resource);
        let status = match self.while_leading(self.context.cluster.create(self.job, object)).await {
            Ok(made) => {
                if let Some(failure) = unwatched(&made, resource, &name) {
                    return Ok(Err(failure));
                }
                self.context
                    .memory
                    .made(&uid, made.uid.as_deref().unwrap_or_default(), self.now);
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
        match self
            .context
            .cluster
            .metadata(self.job, kind, &name)
            .await
            .map_err(get)?
        {
            Some(found) if found.deletion_timestamp.is_none() => Ok(if !is_controlled_by(&found, &uid) {
                Err(conflict(&found, resource, &name))
            } else {
                unwatched(&found, resource, &name).map_or(Ok(found), Err)
            }),
            // Gone again, or going: the name is free soon.
            _ => Err(Error::Terminating { resource, name }),
        }
    }

    /// Passes `spec.suspend` on to a Job.
    ///
    /// Dies before: the next turn does it. Dies after, or twice: it is as it should be. Stale: a Job that is gone, or that is
    /// another one by UID, is left alone.
    async fn suspend(&self, hold: &SetSuspend) -> Result<(), Error> {
        self.may_write()?;
        self.context.metrics.wrote("patch", "jobs");
        match self.while_leading(self.context.cluster.suspend(self.job, hold)).await {
            Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
            Err(error) => Err(Error::api("patch", "jobs", &hold.name, error)),
            Ok(()) => Ok(()),
        }
    }

    /// Deletes an object that has that UID.
    ///
    /// Dies before: the next turn deletes it. Dies after, or twice: it is gone. Stale: an object that took its name since has
    /// another UID and is left alone.
    async fn delete(&self, target: &Delete) -> Result<(), Error> {
        let resource = target.kind.resource();
        self.may_write()?;
        self.context.metrics.wrote("delete", resource);
        match self.while_leading(self.context.cluster.delete(self.job, target)).await {
            Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
            Err(error) => Err(Error::api("delete", resource, &target.name, error)),
            Ok(()) => Ok(()),
        }
    }

    /// Writes the status over the version that was decided on; false when that is no longer the newest.
    ///
    /// Dies before: the next turn comes to the same decision. Dies after: the next turn goes on from it. Twice, stale, or by
    /// two leaders: the resource version does not match, and nothing is written.
    async fn write_status(&self, status: &CurriculumJobStatus) -> Result<bool, Error> {
        self.may_write()?;
        self.context.metrics.wrote("patch", "curriculumjobs/status");
        match self
            .while_leading(self.context.cluster.write_status(self.job, status))
            .await
        {
            Ok(written) => {
                let uid = self.job.uid().unwrap_or_default();
                let version = written.resource_version.as_deref();
                self.context.memory.wrote(&uid, version, self.now);
                Ok(true)
            }
            Err(kube::Error::Api(status)) if status.is_conflict() || status.is_not_found() => Ok(false),
            Err(error) => Err(Error::api(
                "patch",
                "curriculumjobs/status",
                &self.job.name_any(),
                error,
            )),
        }
    }

    /// Publishes an event. It is a courtesy: what it says stands in the status, so a failure is logged and nothing else.
    ///
    /// Dies before: it is never told. Twice: the recorder counts it up. Stale: cannot be, the status was written.
    async fn publish(&self, event: &Event) {
        if self.may_write().is_err() {
            return;
        }
        self.context.metrics.wrote("create", "events");
        if let Err(error) = self.while_leading(self.context.cluster.publish(self.job, event)).await {
            tracing::warn!(%error, reason = event.reason.as_str(), "the event could not be published");
        }
    }
}

/// An object of ours whose label was changed on its way in, as by a webhook, is seen by no watch of ours: a Job of that kind would run, and
/// its end would be heard of by nobody.
fn unwatched(found: &ObjectMeta, resource: &str, name: &str) -> Option<Failure> {
    let label = found.labels.as_ref().and_then(|labels| labels.get(LABEL_MANAGED_BY));
    if label.map(String::as_str) == Some(MANAGER) {
        return None;
    }
    let message = format!(
        "{resource} '{name}' lost its label `{LABEL_MANAGED_BY}: {MANAGER}`, by which the operator sees it; keep webhooks and people \
         from changing it, and delete the object"
    );
    Some(Failure::new(Reason::ObjectRefused, message))
}

fn conflict(found: &ObjectMeta, resource: &str, name: &str) -> Failure {
    let owners = found.owner_references.as_deref().unwrap_or_default();
    let owner = owners.iter().find(|owner| owner.controller == Some(true));
    let owner = owner.map_or_else(
        || "nobody".to_owned(),
        |owner| format!("{} '{}'", owner.kind, owner.name),
    );
    let message = format!(
        "{resource} '{name}' exists and is controlled by {owner}; delete it, or give this CurriculumJob another name"
    );
    Failure::new(Reason::NameConflict, message)
}

#[cfg(test)]
mod tests;
