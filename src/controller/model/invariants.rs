//! What must hold after every change of the cluster, whatever happened before.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::World;
use crate::api::conditions::{ConditionType, Reason};
use crate::api::curriculum::PhaseSpec;
use crate::api::job::CurriculumJob;
use crate::api::scoring::OnFailure;
use crate::api::status::{Archive, CurriculumJobStatus, VisitOutcome, VisitStatus};
use crate::controller::actions::Event;
use crate::controller::evidence::{is_live, phase};
use crate::controller::observed::{component, visit};

/// What has been seen so far.
#[derive(Default)]
pub(crate) struct Ledger {
    /// Write requests of the operator.
    pub(crate) writes: usize,
    /// Events of the operator.
    pub(crate) events: Vec<Event>,
    /// Visits whose Job's UID was written to a status.
    recorded: BTreeSet<i32>,
    /// Visits that trained to its end and said so.
    pub(crate) earned: BTreeSet<i32>,
    /// Visits that went wrong: it failed, lied, or lost its Job.
    pub(crate) spoilt: BTreeSet<i32>,
    /// Visits that somebody else ended or set free, or whose last words were lost: nothing of it is to blame.
    pub(crate) interrupted: BTreeSet<i32>,
    /// Visits whose Job was made at least once.
    pub(crate) made: BTreeSet<i32>,
    status: CurriculumJobStatus,
}

impl Ledger {
    /// A training Job is about to be made.
    pub(crate) fn makes_train_job(&mut self, job: &Job) {
        let of = visit(&job.metadata).expect("a training Job has a visit");
        assert!(
            !self.recorded.contains(&of),
            "Job {} is made again after its UID was written",
            job.name_any()
        );
        self.made.insert(of);
    }

    pub(crate) fn check(&mut self, world: &World) {
        let live: Vec<_> = world
            .jobs
            .values()
            .filter(|job| component(&job.metadata) == Some("train") && is_live(job))
            .map(|job| job.name_any())
            .collect();
        assert!(live.len() <= 1, "two live training Jobs: {live:?}");
        let runs = |pod: &&Arc<Pod>| component(&pod.metadata) == Some("train") && phase(pod) == Some("Running");
        let running: Vec<_> = world.pods.values().filter(runs).map(|pod| pod.name_any()).collect();
        assert!(running.len() <= 1, "two trainers: {running:?}");
        let Some(job) = &world.curriculum_job else { return };
        if let Some(status) = job.status.as_ref().filter(|status| **status != self.status) {
            self.follows(job, status, world);
            self.status = status.clone();
        }
    }

    fn follows(&mut self, job: &CurriculumJob, status: &CurriculumJobStatus, world: &World) {
        let before = &self.status;
        conditions_agree(status);
        archives_go_on(&before.visits, &status.visits);
        let visits = bare(&status.visits);
        assert!(visits.starts_with(&bare(&before.visits)), "a record of a phase changed");
        if is(before, ConditionType::Succeeded) || is(before, ConditionType::Failed) {
            let of = |status: &CurriculumJobStatus| {
                let ends = [ConditionType::Succeeded, ConditionType::Failed].map(|end| is(status, end));
                (
                    ends,
                    status.completion_time.clone(),
                    bare(&status.visits),
                    status.current_visit.clone(),
                )
            };
            assert_eq!(of(before), of(status), "a terminal state was left");
        }
        let phases = &job.spec.curriculum.phases;
        let next = phases_in_order(phases, &status.visits);
        if is(status, ConditionType::Succeeded) {
            assert_eq!(next, phases.len(), "succeeded without every phase");
            let last = status.current_visit.as_ref().map(|current| current.visit);
            assert!(
                self.earned.contains(&last.expect("the last phase")),
                "succeeded with a phase that was not trained"
            );
        }
        if let Some(current) = &status.current_visit {
            let running = usize::try_from(current.phase_index).unwrap();
            let last = phases.len() - 1;
            assert_eq!(
                running,
                next.min(last),
                "the current phase is not the one that comes next"
            );
            let trained = status.visits.last().map_or(0, |visit| visit.end_step);
            let ended = status.visits.last().is_some_and(|visit| visit.visit == current.visit);
            assert!(
                ended || current.start_step == trained,
                "a phase begins where nobody ended"
            );
            let limit = job.spec.training.backoff_limit;
            assert!(current.failures <= limit, "more failures than the budget allows");
            let was = before.current_visit.as_ref().map(|old| (old.visit, old.failures));
            if let Some((number, failures)) = was {
                let on = current.visit - number;
                assert!(on == 0 || on == 1, "visits are numbered one by one");
                let mut fresh = status.visits.iter().skip(before.visits.len());
                if !fresh.any(|visit| visit.outcome.is_trained()) {
                    let more = current.failures - failures;
                    assert!((0..=on).contains(&more), "a failure without another visit");
                    assert!(
                        on == more || self.interrupted.contains(&number),
                        "another visit without a cause"
                    );
                    assert!(
                        more == 0 || self.spoilt.contains(&number),
                        "a visit that went well costs the budget"
                    );
                } else {
                    assert!(self.earned.contains(&number), "a phase completed that was not trained");
                }
            }
            if current.job_uid.is_some() {
                self.recorded.insert(current.visit);
            }
        }
        self.chain(status, world);
        blame(job, status);
    }

    fn chain(&self, status: &CurriculumJobStatus, world: &World) {
        let fresh = &status.visits[self.status.visits.len()..];
        let mut previous = self
            .status
            .visits
            .last()
            .and_then(|phase| phase.snapshot_digest.clone());
        for phase in fresh.iter().filter(|phase| phase.outcome.is_trained()) {
            let snapshot = &world.snapshots[phase.snapshot.as_ref().expect("a completed phase has a snapshot")];
            assert_eq!(
                Some(&snapshot.spec.digest),
                phase.snapshot_digest.as_ref(),
                "the digest is not the snapshot's"
            );
            assert_eq!(snapshot.spec.previous, previous, "the chain is broken");
            previous = phase.snapshot_digest.clone();
        }
    }
}

/// Index of the phase that comes after these visits: each follows from the one before, by the end of its phase or by a transition that
/// the spec has, going back no more often than it may.
fn phases_in_order(phases: &[PhaseSpec], visits: &[VisitStatus]) -> usize {
    let mut next = 0;
    let mut step = 0;
    for (i, visit) in visits.iter().enumerate() {
        let phase = &phases[next];
        assert_eq!(phase.name, visit.phase_name, "phases ended out of order");
        assert_eq!(visit.start_step, step, "steps are missing, or were trained twice");
        step = visit.end_step;
        let steps = visit.end_step - visit.start_step;
        match visit.outcome {
            VisitOutcome::Completed => assert_eq!((steps, visit.decision.is_some()), (10, false)),
            VisitOutcome::Advanced => {
                assert!(phase.advance.is_some() && visit.decision.is_some() && steps == 5);
            }
            VisitOutcome::Regressed => {
                let regress = phase.regress.as_ref().expect("a rule to go back by");
                assert!(visit.decision.is_some() && steps == 5);
                let back = |v: &&VisitStatus| v.outcome == VisitOutcome::Regressed && v.phase_name == phase.name;
                let times = visits[..=i].iter().filter(back).count();
                assert!(
                    times <= usize::try_from(regress.limit.unwrap_or(1)).unwrap(),
                    "gone back too often"
                );
                next = phases
                    .iter()
                    .position(|phase| phase.name == regress.to)
                    .expect("an earlier phase");
                continue;
            }
            VisitOutcome::Failed => {
                assert_eq!(i, visits.len() - 1, "nothing follows a failure");
                return next;
            }
        }
        next += 1;
    }
    next
}

/// Only what cannot be helped fails a run.
fn blame(job: &CurriculumJob, status: &CurriculumJobStatus) {
    let failed = condition(status, ConditionType::Failed);
    if failed.is_none_or(|failed| failed.status != "True") {
        return;
    }
    let reason = failed
        .and_then(|failed| Reason::parse(&failed.reason))
        .expect("a documented reason");
    match reason {
        Reason::BackoffLimitExceeded => {
            let last = status.visits.last().expect("a record of the phase that failed");
            assert_eq!(last.outcome, VisitOutcome::Failed);
            assert_eq!(
                last.attempts,
                job.spec.training.backoff_limit + 1,
                "the whole budget was spent"
            );
        }
        _ => assert_eq!(
            job.spec.scoring.on_failure,
            OnFailure::Fail,
            "scoring failed the run: {reason:?}"
        ),
    }
}

fn conditions_agree(status: &CurriculumJobStatus) {
    let types: Vec<_> = status
        .conditions
        .iter()
        .map(|condition| condition.type_.as_str())
        .collect();
    assert_eq!(
        types,
        ConditionType::ALL.map(ConditionType::as_str),
        "every condition, in order"
    );
    let holds = |type_| is(status, type_);
    use ConditionType::{Failed, Ready, Reconciling, Stalled, Succeeded, Suspended};
    assert!(!(holds(Reconciling) && holds(Stalled)), "kstatus: never both");
    assert!(!(holds(Succeeded) && holds(Failed)), "one end");
    assert_eq!(
        holds(Failed),
        holds(Stalled),
        "a valid run is stalled when it has failed"
    );
    assert!(
        !holds(Succeeded) || (holds(Ready) && !holds(Reconciling)),
        "kstatus: Current"
    );
    assert!(!(holds(Suspended) && (holds(Ready) || holds(Reconciling))), "held");
    for condition in &status.conditions {
        assert!(
            Reason::parse(&condition.reason).is_some(),
            "an undocumented reason: {}",
            condition.reason
        );
        assert_eq!(condition.observed_generation, Some(status.observed_generation));
    }
}

pub(super) fn condition(
    status: &CurriculumJobStatus,
    type_: ConditionType,
) -> Option<&k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition> {
    status
        .conditions
        .iter()
        .find(|condition| condition.type_ == type_.as_str())
}

pub(super) fn is(status: &CurriculumJobStatus, type_: ConditionType) -> bool {
    condition(status, type_).is_some_and(|condition| condition.status == "True")
}

/// The records without what becomes of their snapshots afterwards.
fn bare(visits: &[VisitStatus]) -> Vec<VisitStatus> {
    let bare = |visit: &VisitStatus| VisitStatus {
        archive: None,
        ..visit.clone()
    };
    visits.iter().map(bare).collect()
}

/// Only what is pending becomes something else, and each completed phase has it pending at first.
fn archives_go_on(before: &[VisitStatus], now: &[VisitStatus]) {
    for (old, new) in before.iter().zip(now) {
        let goes_on = old.archive == new.archive || old.archive == Some(Archive::Pending) && new.archive.is_some();
        assert!(goes_on, "from {:?} to {:?}", old.archive, new.archive);
    }
    for new in now.iter().skip(before.len()) {
        assert!(
            matches!(new.archive, None | Some(Archive::Pending)),
            "{:?}",
            new.archive
        );
    }
}
