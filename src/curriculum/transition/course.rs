//! The course of a run: which visits follow from which.

use std::collections::BTreeMap;

use super::{Decision, Evidence, Kind, Monitor, Transitions};
use crate::curriculum::plan::{Curriculum, Facts, PhasePlan, Plan, PlanError};

/// Most visits that end a phase in a run.
pub const MAX_VISITS: usize = 128;

/// A visit that ended its phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Index of the phase.
    pub phase: u32,
    /// First step, counted over the whole run.
    pub start_step: u64,
    /// First step that it did not train.
    pub end_step: u64,
    /// How it was left; `None`: as planned.
    pub left: Option<Kind>,
}

impl Curriculum {
    /// Index of the phase that comes after the visits before; `None`: the run is over.
    pub fn following(&self, ended: &[Ended]) -> Option<u32> {
        if !self.course.is_empty() {
            return self.course.get(ended.len()).map(|leg| leg.phase);
        }
        let next = ended.last().map_or(0, |last| {
            let phase = self.phases.get(last.phase as usize);
            let regress = phase.and_then(|phase| phase.regress.as_ref());
            let back = regress.filter(|_| last.left == Some(Kind::Regress));
            back.map_or(last.phase.saturating_add(1), |regress| regress.to)
        });
        (self.phases.len() > next as usize).then_some(next)
    }

    /// Steps of the visits to come, the first of which is of that phase, if each lasts as long as it may.
    pub fn steps_to_come(&self, plan: &Plan, ended: &[Ended], index: u32) -> u64 {
        if self.course.is_empty() {
            return plan.phases.iter().skip(index as usize).map(PhasePlan::steps).sum();
        }
        let legs = self.course.iter().skip(ended.len());
        legs.map(|leg| leg.steps.unsigned_abs()).sum()
    }

    /// Of the compiled curriculum the plan of the visit of a phase that begins at `start_step`, with the transitions that are still
    /// open to it after the visits before. `None` when there is no such phase.
    pub fn visit(&self, plan: &Plan, ended: &[Ended], index: u32, start_step: u64) -> Option<Plan> {
        let mut plan = plan.for_visit(index, start_step)?;
        let leg = self.course.get(ended.len()).filter(|leg| leg.phase == index);
        for (phase, leg) in plan.phases.iter_mut().zip(leg) {
            let end = start_step.saturating_add(leg.steps.unsigned_abs());
            phase.left_at = Some(end).filter(|end| *end < phase.end_step);
        }
        if !self.may_go_back(ended, index) {
            for phase in &mut plan.phases {
                let transitions = phase.transitions.take();
                let transitions = transitions.map(|transitions| Transitions {
                    regress: None,
                    ..transitions
                });
                phase.transitions = transitions.filter(|transitions| !transitions.is_empty());
            }
        }
        Some(plan)
    }

    /// Whether a phase may still be left for an earlier one: its limit is not reached, and the visits that follow are no more than
    /// [`MAX_VISITS`] in all. Both bound the number of transitions of a run, whatever is reported.
    fn may_go_back(&self, ended: &[Ended], index: u32) -> bool {
        let phase = self.phases.get(index as usize);
        let Some(regress) = phase.and_then(|phase| phase.regress.as_ref()) else {
            return false;
        };
        let back = |visit: &&Ended| visit.phase == index && visit.left == Some(Kind::Regress);
        let times = ended.iter().filter(back).count();
        let to_come = self.phases.len().saturating_sub(regress.to as usize).saturating_add(1);
        times < regress.limit as usize && ended.len().saturating_add(to_come) <= MAX_VISITS
    }
}

/// Steps that phases lasted when they were visited last, for [`Facts::lasted`].
pub fn lasted(ended: &[Ended]) -> BTreeMap<u32, u64> {
    let steps = |visit: &Ended| visit.end_step.saturating_sub(visit.start_step);
    ended.iter().map(|visit| (visit.phase, steps(visit))).collect()
}

/// What becomes of a curriculum when the trainer reports what it is given here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Course {
    /// The visits one after the other, as the phases of one plan without transitions: it gives the rows of the run.
    pub plan: Plan,
    /// How each visit was left; `None`: as planned.
    pub decisions: Vec<Option<Decision>>,
}

impl Course {
    /// Plays a run whose trainer asks for one batch at a time, so that a decision takes effect one step behind the report.
    ///
    /// # Errors
    /// As [`Curriculum::compile`].
    pub fn play(curriculum: &Curriculum, facts: &Facts, reports: &[Evidence<'_>]) -> Result<Self, PlanError> {
        let mut reports = reports.to_vec();
        reports.sort_by_key(|report| report.step);
        let mut ended: Vec<Ended> = Vec::new();
        let mut course: Option<Self> = None;
        let (mut start_step, mut told) = (0, 0);
        while let Some(index) = curriculum.following(&ended) {
            let facts = Facts {
                lasted: lasted(&ended),
                ..facts.clone()
            };
            let Some(visit) = curriculum.visit(&curriculum.compile(&facts)?, &ended, index, start_step) else {
                break;
            };
            let course = course.get_or_insert_with(|| Self {
                plan: Plan {
                    phases: Vec::new(),
                    ..visit.clone()
                },
                decisions: Vec::new(),
            });
            let group_rows = visit.group_rows;
            for mut phase in visit.phases {
                let transitions = phase.transitions.take();
                let monitor = transitions.map(|transitions| Monitor::new(transitions, phase.start_step, &group_rows));
                // Each report is told to one sampler only: that of the visit that trained its step.
                let decision = monitor.and_then(|monitor| judge(monitor, &reports[told..], phase.end_step));
                phase.left_at = phase.left_at.or(decision.as_ref().map(|decision| decision.step));
                ended.push(Ended {
                    phase: phase.index,
                    start_step: phase.start_step,
                    end_step: phase.end(),
                    left: decision.as_ref().map(|decision| decision.kind),
                });
                start_step = phase.end();
                told += reports[told..].partition_point(|report| report.step <= start_step);
                course.plan.phases.push(phase);
                course.decisions.push(decision);
            }
        }
        course.ok_or_else(|| PlanError::new("curriculum.phases", "there is none"))
    }
}

/// What reports in the order of their steps decide on a visit that may last to `end`.
fn judge(mut monitor: Monitor, reports: &[Evidence<'_>], end: u64) -> Option<Decision> {
    let of_visit = reports.iter().take_while(|report| report.step <= end);
    of_visit.copied().find_map(|report| {
        let (kind, because) = monitor.observe(report)?;
        Some(Decision {
            kind,
            step: report.step.saturating_add(1).min(end),
            reported: report.step,
            because,
            evidence: monitor.evidence().to_owned(),
        })
    })
}
