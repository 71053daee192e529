//! What the status says is to be trained next: written before anything of it is made.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::SignedDuration;

use super::conditions::State;
use super::turn::Turn;
use crate::api::conditions::Reason;
use crate::api::status::{CurrentVisit, DatasetStatus, Progress, ScoreSource, VisitOutcome};
use crate::controller::evidence::Failure;
use crate::controller::validate::Run;
use crate::curriculum::filter::Filtered;
use crate::curriculum::plan::{Facts, Plan, PlanError, PlanScores};
use crate::curriculum::split::HeldOut;
use crate::curriculum::transition::{self, Ended, Kind};

/// Longest `lastFailure`, in characters: what the schema of the status allows.
const LAST_FAILURE_CHARS: usize = 1024;

/// Compiles the whole curriculum for what the status knows of data and scores.
pub(super) fn compile(turn: &Turn<'_>) -> Result<Plan, Failure> {
    let status = &turn.status;
    let (Some(dataset), Some(scores)) = (&status.dataset, &status.scores) else {
        return Err(Failure::new(
            Reason::InvalidSpec,
            "the status has scores but no data set",
        ));
    };
    let scores = match (scores.source, &scores.key, &scores.digest) {
        (ScoreSource::Uniform, _, _) => None,
        (_, Some(key), Some(digest)) => Some(PlanScores {
            key: key.clone(),
            digest: digest.clone(),
        }),
        _ => None,
    };
    compile_with(turn.run, dataset, scores, transition::lasted(&ended(turn)))
}

/// The visits that ended their phase.
pub(super) fn ended(turn: &Turn<'_>) -> Vec<Ended> {
    let phases = &turn.run.curriculum.phases;
    let trained = turn.status.visits.iter().filter(|visit| visit.outcome.is_trained());
    let ended = trained.filter_map(|visit| {
        let place = phases.iter().position(|phase| phase.name == visit.phase_name)?;
        Some(Ended {
            phase: u32::try_from(place).ok()?,
            start_step: visit.start_step.unsigned_abs(),
            end_step: visit.end_step.unsigned_abs(),
            left: match visit.outcome {
                VisitOutcome::Advanced => Some(Kind::Advance),
                VisitOutcome::Regressed => Some(Kind::Regress),
                VisitOutcome::Completed | VisitOutcome::Failed => None,
            },
        })
    });
    ended.collect()
}

/// Compiles the whole curriculum for a data set, before anything was trained. Without scores it is checked all the same.
pub(super) fn compile_for(run: &Run, dataset: &DatasetStatus, scores: Option<PlanScores>) -> Result<Plan, Failure> {
    compile_with(run, dataset, scores, BTreeMap::new())
}

fn compile_with(
    run: &Run,
    dataset: &DatasetStatus,
    scores: Option<PlanScores>,
    lasted: BTreeMap<u32, u64>,
) -> Result<Plan, Failure> {
    let facts = Facts {
        lasted,
        seed: run.seed,
        rows: dataset.rows.unsigned_abs(),
        group_rows: dataset.group_rows.iter().map(|rows| rows.unsigned_abs()).collect(),
        groups: dataset
            .named_groups
            .iter()
            .map(|group| (group.name.clone(), group.group.unsigned_abs()))
            .collect(),
        held_out: dataset
            .held_out_rows
            .zip(run.dataset.split.as_ref())
            .map(|(rows, split)| HeldOut {
                rows: rows.unsigned_abs(),
                seed: split.seed,
            }),
        filtered: dataset
            .filtered_rows
            .zip(dataset.trained_rows.as_ref())
            .map(|(rows, trained)| Filtered {
                rows: rows.unsigned_abs(),
                key: trained.key.clone(),
                digest: trained.digest.clone(),
            }),
        scores,
    };
    // Without the record of the filter its rows would be trained on.
    if facts.filtered.is_none() && run.leaves_rows_out() {
        let message = "the status has lost which rows `dataset.filter` and `scoring.overrides` leave: start a new run";
        return Err(Failure::new(Reason::InvalidSpec, message));
    }
    run.curriculum.compile(&facts).map_err(|PlanError { field, problem }| {
        // In quotes: a message gets a capital first, and a field must not.
        Failure::new(Reason::InvalidSpec, format!("`{field}`: {problem}"))
    })
}

/// The plan of a visit, as this version of the operator compiles it.
pub(super) fn compile_visit(turn: &Turn<'_>, current: &CurrentVisit) -> Result<Plan, Failure> {
    let index = current.phase_index;
    let plan = compile(turn)?;
    let phases = plan.phases.len();
    let start = turn.run.curriculum.moves().then_some(current.start_step);
    visit_plan(turn, &plan, index.unsigned_abs(), start).ok_or_else(|| {
        let message = format!("the status is at phase {index}, but `curriculum.phases` has {phases}, counted from 0");
        Failure::new(Reason::InvalidSpec, message)
    })
}

/// The plan of one phase from a step on; `None`: from its planned one.
fn visit_plan(turn: &Turn<'_>, plan: &Plan, index: u32, start: Option<i64>) -> Option<Plan> {
    match start {
        Some(start) => turn
            .run
            .curriculum
            .visit(plan, &ended(turn), index, start.unsigned_abs()),
        None => plan.for_phase(index),
    }
}

/// Writes down the intent to enter the phase that comes next, which begins where the one before it ended.
pub(super) fn enter(turn: &mut Turn<'_>) -> State {
    // After the last one, as another version of the operator sees it, there is none of that index.
    let none = u32::try_from(turn.run.curriculum.phases.len()).unwrap_or(u32::MAX);
    let index = turn.run.curriculum.following(&ended(turn)).unwrap_or(none);
    let trained = turn.status.visits.last().map(|visit| visit.end_step);
    let compiled = compile(turn).and_then(|plan| entry(turn, &plan, index, trained));
    let (entry, total) = match compiled {
        Ok(compiled) => compiled,
        // A run that has trained was accepted as it is: another version of the operator sees it otherwise, and may be replaced.
        Err(failure) if trained.is_some() => return State::Blocked(failure),
        Err(failure) => return State::Failed(failure),
    };
    let start = entry.start_step.unsigned_abs();
    turn.status.current_visit = Some(CurrentVisit {
        visit: turn
            .status
            .current_visit
            .as_ref()
            .map_or(0, |last| last.visit.saturating_add(1)),
        template_digest: Some(turn.run.head.template_digest.clone()),
        start_time: Some(turn.time()),
        ..entry
    });
    turn.status.progress = Some(progress(start, total, turn.status.progress.take()));
    State::Training
}

/// What a plan says of the visit that enters a phase, and how many steps the run has then if no other transition takes place;
/// `trained` is the step that the phase before it ended at.
fn entry(turn: &Turn<'_>, plan: &Plan, index: u32, trained: Option<i64>) -> Result<(CurrentVisit, u64), Failure> {
    let start = turn.run.curriculum.moves().then(|| trained.unwrap_or(0));
    let phase_plan = visit_plan(turn, plan, index, start);
    let Some((phase, digest)) = phase_plan
        .as_ref()
        .and_then(|plan| Some((plan.phases.first()?, plan.digest())))
    else {
        let message = format!("`curriculum.phases` has no phase {index}, counted from 0");
        return Err(Failure::new(Reason::InvalidSpec, message));
    };
    let steps = |step| i64::try_from(step).unwrap_or(i64::MAX);
    let start_step = steps(phase.start_step);
    if let Some(trained) = trained.filter(|trained| *trained != start_step) {
        return Err(other_steps(
            &phase.name,
            "begins",
            start_step,
            "the run has trained",
            trained,
        ));
    }
    let to_come = turn.run.curriculum.steps_to_come(plan, &ended(turn), index);
    let total = phase.start_step.saturating_add(to_come);
    let visit = CurrentVisit {
        phase_index: i32::try_from(index).unwrap_or(i32::MAX),
        phase_name: phase.name.clone(),
        start_step,
        end_step: steps(phase.end()),
        plan_digest: Some(digest),
        ..CurrentVisit::default()
    };
    Ok((visit, total))
}

/// Whether a plan still has the steps that a visit was promised.
pub(super) fn keeps_steps(plan: &Plan, current: &CurrentVisit) -> Result<(), Failure> {
    let Some(phase) = plan.phases.first() else {
        return Ok(());
    };
    let end = i64::try_from(phase.end()).unwrap_or(i64::MAX);
    let start = i64::try_from(phase.start_step).unwrap_or(i64::MAX);
    if start != current.start_step {
        return Err(other_steps(
            &phase.name,
            "begins",
            start,
            "it began",
            current.start_step,
        ));
    }
    if end != current.end_step {
        return Err(other_steps(&phase.name, "ends", end, "it was to end", current.end_step));
    }
    Ok(())
}

fn other_steps(phase: &str, verb: &str, step: i64, was: &str, before: i64) -> Failure {
    let message = format!(
        "with this version of the operator, phase '{phase}' {verb} at step {step}, but {was} at step {before}: \
         go back to the version that started the run, or start a new run"
    );
    Failure::new(Reason::InvalidSpec, message)
}

/// Writes down the intent to visit the phase again after a failure, once its back-off is over.
pub(super) fn retry(turn: &mut Turn<'_>, current: &CurrentVisit, failures: i32, said: &str) -> State {
    again(
        turn,
        CurrentVisit {
            failures,
            retry_time: retry_time(turn, failures),
            last_failure: Some(said.chars().take(LAST_FAILURE_CHARS).collect()),
            ..next(current)
        },
    )
}

/// Writes down the intent to go on with the phase after an interruption: it costs no retry, only a back-off of its own.
pub(super) fn resume(turn: &mut Turn<'_>, current: &CurrentVisit, said: &str) -> State {
    let interruptions = current.interruptions.saturating_add(1);
    again(
        turn,
        CurrentVisit {
            interruptions,
            retry_time: retry_time(turn, interruptions),
            last_failure: Some(said.chars().take(LAST_FAILURE_CHARS).collect()),
            ..next(current)
        },
    )
}

/// Gives the visit another number, because what was written down for it, or made, is not what it is to be any more. It costs nothing.
pub(super) fn renew(turn: &mut Turn<'_>, current: &CurrentVisit, plan_digest: Option<String>) -> State {
    again(
        turn,
        CurrentVisit {
            plan_digest: plan_digest.or_else(|| current.plan_digest.clone()),
            template_digest: Some(turn.run.head.template_digest.clone()),
            ..next(current)
        },
    )
}

fn next(current: &CurrentVisit) -> CurrentVisit {
    CurrentVisit {
        visit: current.visit.saturating_add(1),
        job_uid: None,
        ..current.clone()
    }
}

fn again(turn: &mut Turn<'_>, next: CurrentVisit) -> State {
    let state = waiting(&next);
    turn.status.current_visit = Some(next);
    state
}

/// The state of a visit whose Job is still to be made.
pub(super) fn waiting(current: &CurrentVisit) -> State {
    current.last_failure.as_ref().map_or(State::Training, |failure| {
        State::Retrying(format!(
            "the last visit of phase '{}' has ended early, the next one follows: {failure}",
            current.phase_name
        ))
    })
}

/// The progress at a step; when it was last read stays what it was.
pub(super) fn progress(step: u64, total: u64, before: Option<Progress>) -> Progress {
    let percent = u128::from(step) * 100 / u128::from(total.max(1));
    Progress {
        step: i64::try_from(step).unwrap_or(i64::MAX),
        total_steps: i64::try_from(total).unwrap_or(i64::MAX),
        percent: i32::try_from(percent.min(100)).unwrap_or(100),
        summary: format!("{step}/{total}"),
        report_time: before.and_then(|progress| progress.report_time),
    }
}

/// Now + base · 2^(failures − 1), at most the cap; whole seconds, rounded up.
fn retry_time(turn: &Turn<'_>, failures: i32) -> Option<Time> {
    let doublings = failures.saturating_sub(1).unsigned_abs().min(16);
    let wait = turn
        .settings
        .retry_base
        .saturating_mul(1 << doublings)
        .min(turn.settings.retry_cap);
    let wait = SignedDuration::try_from(wait.max(Duration::from_millis(1))).ok()?;
    let at = turn.now().checked_add(wait).ok()?;
    let whole = at.as_second() + i64::from(at.subsec_nanosecond() > 0);
    k8s_openapi::jiff::Timestamp::from_second(whole).ok().map(Time)
}
