//! The course of a run: which visits follow from which.

use std::collections::BTreeMap;

use super::{Decision, Evidence, Kind, Monitor, Transitions};
use crate::curriculum::plan::{Curriculum, Facts, Plan, PlanError};

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
    /// Index of the phase that comes after a visit; the number of phases after the last one.
    pub fn following(&self, last: &Ended) -> u32 {
        let phase = self.phases.get(last.phase as usize);
        let regress = phase.and_then(|phase| phase.regress.as_ref());
        let back = regress
            .filter(|_| last.left == Some(Kind::Regress))
            .map(|regress| regress.to);
        back.unwrap_or(last.phase.saturating_add(1))
    }

    /// Of the compiled curriculum the plan of the visit of a phase that begins at `start_step`, with the transitions that are still
    /// open to it after the visits before. `None` when there is no such phase.
    pub fn visit(&self, plan: &Plan, ended: &[Ended], index: u32, start_step: u64) -> Option<Plan> {
        let mut plan = plan.for_visit(index, start_step)?;
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

/// Steps that phases lasted when a transition ended them last, for [`Facts::lasted`].
pub fn lasted(ended: &[Ended]) -> BTreeMap<u32, u64> {
    let left = ended.iter().filter(|visit| visit.left.is_some());
    left.map(|visit| (visit.phase, visit.end_step.saturating_sub(visit.start_step)))
        .collect()
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
        let (mut index, mut start_step) = (0, 0);
        loop {
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
                let decision = phase.transitions.take().and_then(|transitions| {
                    let mut monitor = Monitor::new(transitions, phase.start_step, &group_rows);
                    let of_visit = reports.iter().filter(|report| report.step <= phase.end_step);
                    of_visit.copied().find_map(|report| {
                        let (kind, because) = monitor.observe(report)?;
                        Some(Decision {
                            kind,
                            step: report.step.saturating_add(1).min(phase.end_step),
                            reported: report.step,
                            because,
                            evidence: monitor.evidence().to_owned(),
                        })
                    })
                });
                phase.left_at = decision.as_ref().map(|decision| decision.step);
                ended.push(Ended {
                    phase: phase.index,
                    start_step: phase.start_step,
                    end_step: phase.end(),
                    left: decision.as_ref().map(|decision| decision.kind),
                });
                start_step = phase.end();
                course.plan.phases.push(phase);
                course.decisions.push(decision);
            }
            let Some(last) = ended.last() else { break };
            index = curriculum.following(last);
        }
        course.ok_or_else(|| PlanError::new("curriculum.phases", "there is none"))
    }
}
