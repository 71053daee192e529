//! One turn: the inputs of a decision and the effects it has come to so far.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::Settings;
use crate::api::conditions::Reason;
use crate::api::status::CurriculumJobStatus;
use crate::controller::actions::{Actions, Ensure, Event, Milestone, NextStatus};
use crate::controller::observed::Observed;
use crate::controller::validate::{Head, Run};

/// The answer to a question about time. Who gets it decides whether to look again then: [`Turn::is_due`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// It has come.
    Due,
    /// It comes in that time; [`Duration::MAX`]: never.
    In(Duration),
}

/// `R` is a [`Run`], or only the [`Head`] of one where the spec may contradict itself.
pub(super) struct Turn<'a, R = Run> {
    pub(super) settings: &'a Settings,
    pub(super) run: &'a R,
    pub(super) observed: &'a Observed,
    /// The status as it will be; starts as it is.
    pub(super) status: CurriculumJobStatus,
    pub(super) actions: Actions,
}

impl<'a, R: AsRef<Head>> Turn<'a, R> {
    pub(super) fn new(settings: &'a Settings, run: &'a R, observed: &'a Observed) -> Self {
        let status = observed.status.clone().unwrap_or_default();
        Self {
            settings,
            run,
            observed,
            status,
            actions: Actions::default(),
        }
    }

    pub(super) fn head(&self) -> &'a Head {
        self.run.as_ref()
    }

    /// The status as it was read.
    pub(super) fn stored(&self) -> Option<&'a CurriculumJobStatus> {
        self.observed.status.as_ref()
    }

    pub(super) fn now(&self) -> Timestamp {
        self.observed.now
    }

    /// The time as the API writes it: whole seconds, so that what is read back equals what was written.
    pub(super) fn time(&self) -> Time {
        Time(Timestamp::from_second(self.now().as_second()).unwrap_or(self.now()))
    }

    pub(super) fn is_suspended(&self) -> bool {
        self.head().suspended
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

    /// Whether that time has come.
    pub(super) fn at(&self, at: Timestamp) -> When {
        match Duration::try_from(at.duration_since(self.now())) {
            Ok(wait) if !wait.is_zero() => When::In(wait),
            _ => When::Due,
        }
    }

    /// Whether that long has passed since.
    pub(super) fn after(&self, wait: Duration, since: Timestamp) -> When {
        let at = SignedDuration::try_from(wait)
            .ok()
            .and_then(|wait| since.checked_add(wait).ok());
        // A sum beyond the end of time never comes.
        at.map_or(When::In(Duration::MAX), |at| self.at(at))
    }

    /// Whether it is due; if not, asks for another look when it will be.
    pub(super) fn is_due(&mut self, when: When) -> bool {
        match when {
            When::Due => true,
            When::In(Duration::MAX) => false,
            When::In(wait) => {
                self.look_again_in(wait);
                false
            }
        }
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
