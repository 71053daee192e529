//! The decision: from what is there to what is to be done. Pure, synchronous, total; no client, no clock, no error.
//!
//! ```text
//!             accept                 sources agree            last phase completed
//!  (new) ──────────────► Scoring ─────────────────► Training ──────────────────────► Succeeded
//!                           │  onFailure: Uniform │   │  ▲ attempt a+1                   │
//!                           │  or LastGood ───────┘   └──┘ after a back-off              │ ttlSecondsAfterFinished
//!                           │  data set at fault,     │ budget spent                     ▼
//!                           └─ onFailure: Fail ─► Failed ◄───────┘                  (deleted)
//! ```
//! `spec.suspend` lies over all of it: no Job is made, live ones are held, and everything that has ended still counts.
//!
//! ```text
//! scoring ──► intent ◄── advance ──► hear        attempt: looks, and returns what became of the visit
//!                           └─────► attempt
//! ```
//! The state is derived from the status and the children on every turn and never stored. What must not be repeated is
//! written to the status before it is done: a visit before its Job is made ([`intent`]), the choice of scores before
//! the Jobs of a given-up scoring are deleted ([`children`]).

mod advance;
mod archive;
mod attempt;
mod children;
mod conditions;
mod hear;
mod intent;
mod objection;
mod obstacle;
mod retention;
mod scoring;
mod turn;
mod words;

#[cfg(test)]
mod tests;

use std::time::Duration;

use self::conditions::State;
use self::turn::Turn;
use super::actions::Actions;
use super::build;
use super::evidence::Failure;
use super::observed::Observed;
use super::validate::{Head, Run};

pub(crate) use self::conditions::stage;
pub(crate) use self::obstacle::LOOK_AGAIN;

/// What the operator's installation decides.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Image and pull policy of the pods that run the operator's own binary.
    pub build: build::Settings,
    /// Wait before the second attempt at a phase; it doubles with every failure. Default 10 s.
    pub retry_base: Duration,
    /// Longest such wait. Default 300 s.
    pub retry_cap: Duration,
    /// How long an image may be missing, a container impossible to create, a pod without a node, a volume not mounted, and so on,
    /// before it counts. Default 60 s.
    pub image_grace: Duration,
    /// How long the node of a training pod may be silent before its pod is deleted. Default 600 s.
    pub node_grace: Duration,
    /// Least time between two reports of progress, and between two questions to a sampler. Default 10 s.
    pub progress_interval: Duration,
}

impl Settings {
    /// The defaults, with that image for the operator's own pods.
    pub fn new(build: build::Settings) -> Self {
        Self {
            build,
            retry_base: Duration::from_secs(10),
            retry_cap: Duration::from_secs(300),
            image_grace: Duration::from_secs(60),
            node_grace: Duration::from_secs(600),
            progress_interval: Duration::from_secs(10),
        }
    }
}

/// Decides on everything that one reconcile does.
///
/// # Guarantees
/// - Total: any view of the world has an answer, and no value that a pod or a user wrote makes it panic.
/// - A fixed point: once the actions are done and nothing else changes, the next decision writes nothing.
/// - A phase is never skipped; it is left early, or gone back to, only by its own rules, and a terminal state is never left.
///
/// # Assumptions
/// - `observed` lists only objects that belong to this very CurriculumJob, and `observe` has asked the API server about
///   what [`Observed::job_in_doubt`] and [`Observed::jobs_without_evidence`] name.
/// - The status that it returns is written only if the CurriculumJob has not changed since it was read.
pub(crate) fn decide(settings: &Settings, run: &Run, observed: &Observed) -> Actions {
    let mut turn = Turn::new(settings, run, observed);
    if turn.head().deleting {
        return turn.finish(); // Owner references clean up.
    }
    children::tidy(&mut turn);
    retention::snapshots(&mut turn);
    archive::step(&mut turn);
    if conditions::is_terminal(&turn.status) {
        retention::finished_job(&mut turn);
        conditions::keep(&mut turn);
        return turn.finish();
    }
    let state = if turn.status.start_time.is_none() {
        accept(&mut turn)
    } else if turn.status.scores.is_none() {
        scoring::step(&mut turn)
    } else {
        advance::step(&mut turn)
    };
    let state = obstacle::in_the_way(&mut turn, state);
    conditions::set(&mut turn, state);
    turn.finish()
}

/// Accepts the job: from the time that this writes, the curriculum cannot be edited. Nothing is made before.
fn accept(turn: &mut Turn<'_>) -> State {
    if !turn.is_suspended() {
        turn.status.start_time = Some(turn.time());
    }
    State::Scoring
}

/// What is done about a spec that `validate` refused: to say so, and to start nothing.
pub(crate) fn refuse(settings: &Settings, head: &Head, problem: &Failure, observed: &Observed) -> Actions {
    report(settings, head, observed, State::Invalid(problem.clone()))
}

/// What is done when the API server would not let an object be made: to say so. The reconcile is retried with a back-off.
pub(crate) fn blocked(settings: &Settings, head: &Head, obstacle: &Failure, observed: &Observed) -> Actions {
    report(settings, head, observed, State::Blocked(obstacle.clone()))
}

fn report(settings: &Settings, head: &Head, observed: &Observed, state: State) -> Actions {
    let mut turn = Turn::new(settings, head, observed);
    if !turn.head().deleting && !conditions::is_terminal(&turn.status) {
        // What runs is still held, let go on, or given up as the status says: only new work is out of the question.
        children::tidy(&mut turn);
        conditions::set(&mut turn, state);
    }
    turn.finish()
}
