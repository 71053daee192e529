//! One turn: the inputs of a decision and the effects it has come to so far.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::Settings;
use crate::api::conditions::Reason;
use crate::api::job::CurriculumJob;
use crate::api::status::CurriculumJobStatus;
use crate::controller::actions::{Actions, Ensure, Event, Milestone, NextStatus};
use crate::controller::observed::Observed;

pub(super) struct Turn<'a> {
    pub(super) settings: &'a Settings,
    pub(super) job: &'a CurriculumJob,
    pub(super) observed: &'a Observed,
    /// The status as it will be; starts as it is.
    pub(super) status: CurriculumJobStatus,
    pub(super) actions: Actions,
}

impl<'a> Turn<'a> {
    pub(super) fn new(settings: &'a Settings, job: &'a CurriculumJob, observed: &'a Observed) -> Self {
        let status = job.status.clone().unwrap_or_default();
        Self {
            settings,
            job,
            observed,
            status,
            actions: Actions::default(),
        }
    }

    /// The status as it was read.
    pub(super) fn stored(&self) -> Option<&'a CurriculumJobStatus> {
        self.job.status.as_ref()
    }

    pub(super) fn now(&self) -> Timestamp {
        self.observed.now
    }

    /// The time as the API writes it: whole seconds, so that what is read back equals what was written.
    pub(super) fn time(&self) -> Time {
        Time(Timestamp::from_second(self.now().as_second()).unwrap_or(self.now()))
    }

    pub(super) fn is_suspended(&self) -> bool {
        self.job.spec.suspend
    }

    pub(super) fn warn(&mut self, action: &'static str, reason: Reason, note: impl Into<String>) {
        self.actions.events.push(Event {
            warning: true,
            reason,
            action,
            note: note.into(),
        });
    }

    pub(super) fn count(&mut self, milestone: Milestone) {
        self.actions.milestones.push(milestone);
    }

    /// Asks for another look in that time, or sooner if somebody else asked for that.
    pub(super) fn look_again_in(&mut self, wait: Duration) {
        self.actions.requeue = Some(self.actions.requeue.map_or(wait, |earlier| earlier.min(wait)));
    }

    /// Whether that time has come; if not, asks for another look when it will have.
    pub(super) fn has_come(&mut self, at: Timestamp) -> bool {
        match Duration::try_from(at.duration_since(self.now())) {
            Ok(wait) if !wait.is_zero() => {
                self.look_again_in(wait);
                false
            }
            _ => true,
        }
    }

    /// Whether that long has passed since; if not, asks for another look when it will have.
    pub(super) fn has_passed(&mut self, wait: Duration, since: Timestamp) -> bool {
        // A sum beyond the end of time never comes; a look at the time of the next change is all that is left then.
        SignedDuration::try_from(wait)
            .ok()
            .and_then(|wait| since.checked_add(wait).ok())
            .is_some_and(|at| self.has_come(at))
    }

    /// The actions, with the status if there is anything new in it.
    pub(super) fn finish(mut self) -> Actions {
        // The UID of a Job about to be made is news, although it is not known yet.
        let awaits_uid = self
            .actions
            .ensure
            .iter()
            .any(|ensure| matches!(ensure, Ensure::TrainJob(_)));
        if awaits_uid || self.stored() != Some(&self.status) {
            self.actions.status = Some(NextStatus::new(self.status));
        }
        self.actions
    }
}
