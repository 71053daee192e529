//! What a result cannot have come to. Looks, and decides nothing.

use super::intent;
use super::turn::Turn;
use crate::api::conditions::Reason;
use crate::api::status::CurrentVisit;
use crate::controller::evidence::Failure;
use crate::sampler::contract::SamplerStatus;

/// Why a result does not complete its phase.
pub(super) enum Objection {
    /// This version of the operator cannot judge it.
    Later(Failure),
    /// The attempt has failed.
    Failed(Failure),
    /// No attempt can succeed any more.
    Final(Failure),
}

/// What keeps a result of a completed Job from completing its phase, though its steps fit.
pub(super) fn to(turn: &Turn<'_>, current: &CurrentVisit, result: &SamplerStatus) -> Option<Objection> {
    if let Some(decision) = &result.decision {
        let plan = match intent::compile_visit(turn, current) {
            Ok(plan) => plan,
            Err(failure) => return Some(Objection::Later(failure)),
        };
        let transitions = plan.phases.first().and_then(|phase| phase.transitions.as_ref());
        let rule = transitions.and_then(|transitions| transitions.rule(decision.kind));
        let steps = decision.reported.saturating_sub(result.start_step);
        if rule.is_none_or(|rule| steps < rule.minimum_steps) {
            let message = format!(
                "the sampler says that the phase ends at step {} by `{}`, which its plan does not let it",
                decision.step,
                decision.kind.field()
            );
            return Some(Objection::Failed(Failure::new(Reason::ResultMismatch, message)));
        }
    }
    mislabelled(turn, current, result).map(Objection::Final)
}

/// Whether the trainer took the end that a phase was planned to have for the step that it had got to when that phase was left early.
/// Then nobody trained the steps between: the first attempt of the next phase went on from a checkpoint that it cannot have made.
fn mislabelled(turn: &Turn<'_>, current: &CurrentVisit, result: &SamplerStatus) -> Option<Failure> {
    let resumed_at = result.resumed_at?;
    let before = turn.status.visits.last()?;
    let ended = intent::ended(turn);
    let last = ended.last().filter(|last| last.left.is_some())?;
    let job = turn.observed.job_named(&turn.observed.train_job_name(current))?;
    // A Job that was suspended has had a pod before.
    let conditions = job.status.as_ref().and_then(|status| status.conditions.as_ref());
    let was_held = conditions
        .into_iter()
        .flatten()
        .any(|condition| condition.type_ == "Suspended");
    let is_first =
        current.failures == 0 && current.interruptions == 0 && before.visit.checked_add(1) == Some(current.visit);
    let plan = intent::compile(turn).ok()?;
    let planned = last
        .start_step
        .saturating_add(plan.phases.get(last.phase as usize)?.steps());
    (is_first && !was_held && resumed_at == planned && planned > last.end_step).then(|| {
        let message = format!(
            "the trainer went on from a checkpoint of step {resumed_at}, where phase '{}' was planned to end, but it was left at \
             step {}: nobody trained the steps between. Save the step that the trainer has got to, not CURRICULUM_END_STEP, and \
             start a new run",
            before.phase_name, last.end_step
        );
        Failure::new(Reason::ResultMismatch, message)
    })
}
