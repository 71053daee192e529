//! What changes during an attempt, and what of it is on file: who asks, what was handed out, what was reported.
//!
//! ```text
//! opened a session   journal.json, before the reply goes out
//! handed out         handed-out-<generation>, at every step    (frontiers)
//! metrics            journal.json, once a second
//! a decision         journal.json, before the reply to the report goes out
//! ```
//! Whatever cannot be written is warned about once in a while and never stops the trainer: only a restart of the container would miss it.

use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};

use tracing::warn;

use super::contract::Source;
use super::frontiers::Frontiers;
use super::journal::{self, Journal};
use super::marks::Reading;
use super::report::{Metrics, Report};
use super::sessions::{Facts, OpenSession, Opening, Refusal, SessionId, Sessions};
use super::stretches::Mark;
use crate::curriculum::transition::{Decision, Monitor};

/// The part of an attempt that changes.
#[derive(Debug)]
pub struct Progress {
    /// Who asks, and what it got.
    pub sessions: Sessions,
    /// What was reported.
    pub metrics: Metrics,
    /// Where the rows of the rows file came from, once there is one.
    pub rows_file: Option<Source>,
    /// How far the rows file was read.
    pub reading: Reading,
    /// Why the trainer cannot be given what it was promised.
    pub refused: Option<String>,
    monitor: Option<Monitor>,
    decision: Option<Decision>,
    /// First step beyond all that any rank has ever got, or is about to be answered with.
    claimed: u64,
    frontiers: Option<Frontiers>,
    dir: PathBuf,
}

impl Progress {
    /// Begins where the journal in `dir` ends, or at the phase's first step. A journal of another plan is not used.
    /// `monitor` watches what may end the phase early.
    pub fn restore(dir: PathBuf, plan_digest: &str, facts: Facts, mut monitor: Option<Monitor>) -> Self {
        let journal = journal::read(&dir).unwrap_or_else(|error| {
            warn!(%error, "the journal cannot be used");
            None
        });
        let journal = journal.filter(|j| {
            let same = j.plan_digest == plan_digest;
            if !same {
                warn!(journal = %j.plan_digest, plan = %plan_digest, "the journal is of another plan: not used");
            }
            same
        });
        let restored = journal.and_then(|j| {
            let sessions = Sessions::restore(facts.clone(), j.sessions)?;
            if let (Some(monitor), Some(memory)) = (&mut monitor, j.memory) {
                monitor.restore(memory);
            }
            Some((
                sessions,
                Metrics::restore(j.metrics),
                j.rows_file,
                j.decision,
                j.furthest,
            ))
        });
        // A number that no other attempt has: the seed of the process's hash maps is random.
        let epoch = || RandomState::new().hash_one(plan_digest);
        let (mut sessions, metrics, rows_file, decision, claimed) =
            restored.unwrap_or_else(|| (Sessions::new(facts, epoch()), Metrics::default(), None, None, 0));
        let frontiers = taken_up(&dir, &mut sessions);
        Self {
            sessions,
            metrics,
            rows_file,
            reading: Reading::default(),
            refused: None,
            decision: decision.filter(|_| monitor.is_some()),
            monitor,
            claimed,
            frontiers,
            dir,
        }
    }

    /// The folder of the journal.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Opens a session. See [`Sessions::open`].
    ///
    /// # Errors
    /// When it is refused.
    pub fn open(&mut self, opening: &Opening) -> Result<OpenSession, Refusal> {
        let end = self.end();
        if let Some(step) = opening.step.filter(|step| *step > end && self.decision.is_some()) {
            return Err(Refusal::Conflict(format!(
                "`step` is {step}, but the phase ends at step {end}, by what was reported: nobody has trained beyond it; \
                 expected the step that the trainer has got to"
            )));
        }
        // A new generation forgets what the ones before got.
        self.claimed = self.claimed.max(self.furthest());
        let open = self.sessions.open(opening)?;
        if open.new_generation {
            let created = Frontiers::create(&self.dir, self.sessions.generation(), self.sessions.world());
            self.frontiers = created
                .inspect_err(|error| warn!(%error, "a restart of this container would forget what was served"))
                .ok();
        }
        Ok(open)
    }

    /// Notes that a session got the steps `from..to`. See [`Sessions::mark`].
    ///
    /// # Errors
    /// When it cannot be written down; it is noted all the same.
    pub fn mark(&mut self, id: SessionId, from: u64, to: u64) -> (Option<Mark>, std::io::Result<()>) {
        let mark = self.sessions.mark(id, from, to);
        let step = mark.and_then(|_| self.sessions.served_of(id.part.rank));
        let written = match (&self.frontiers, step) {
            (Some(frontiers), Some(step)) => frontiers.set(id.part.rank, step),
            _ => Ok(()),
        };
        (mark, written)
    }

    /// First step that was not handed out to every rank: to sessions, or by what they read of the rows file.
    pub fn served(&self) -> u64 {
        let start = self.sessions.facts().steps.start;
        match self.fault() {
            Some(_) => start,
            None => self.sessions.served().max(self.reading.served.unwrap_or(start)),
        }
    }

    /// First step that no rank got.
    pub fn furthest(&self) -> u64 {
        let read = self.reading.furthest.unwrap_or_default();
        self.sessions.furthest().max(read)
    }

    /// Step of the checkpoint that the trainer went on from.
    pub fn resumed_at(&self) -> Option<u64> {
        self.sessions.resumed_at().or(self.reading.resumed_at)
    }

    /// Why no step counts.
    pub fn fault(&self) -> Option<&str> {
        let reading = self.reading.fault.as_deref();
        self.sessions.collision().or(self.refused.as_deref()).or(reading)
    }

    /// First step that is not trained: the phase's end, unless it was decided otherwise.
    pub fn end(&self) -> u64 {
        let planned = self.sessions.facts().steps.end;
        self.decision.as_ref().map_or(planned, |decision| decision.step)
    }

    /// That the phase ends early.
    pub fn decision(&self) -> Option<&Decision> {
        self.decision.as_ref()
    }

    /// The criteria that had no value yet. See [`Monitor::unheard`].
    pub fn unheard(&self) -> u32 {
        self.monitor.as_ref().map_or(0, Monitor::unheard)
    }

    /// Whether reports may end the phase early.
    pub fn is_watched(&self) -> bool {
        self.monitor.is_some()
    }

    /// A request is about to be answered with the steps up to `to`: no decision takes them back.
    pub fn claim(&mut self, to: u64) {
        self.claimed = self.claimed.max(to);
    }

    /// Takes a report in. What it decides takes effect one step after all that any rank has got or is being given, so that each gets
    /// the same steps, and the last of them is asked for when it is known to be the last.
    pub fn weigh(&mut self, report: &Report) -> Option<&Decision> {
        let next = self.claimed.max(self.furthest()).saturating_add(1);
        let monitor = self.monitor.as_mut().filter(|_| self.decision.is_none())?;
        let (kind, because) = monitor.observe(report.evidence())?;
        Some(self.decision.insert(Decision {
            kind,
            step: next.min(self.sessions.facts().steps.end),
            reported: report.step,
            because,
            evidence: monitor.evidence().to_owned(),
        }))
    }

    /// What the journal keeps.
    pub fn journal(&self, plan_digest: &str) -> Journal {
        let mut journal = Journal::new(
            plan_digest.to_owned(),
            self.sessions.record(),
            self.metrics.latest().clone(),
        );
        journal.rows_file = self.rows_file;
        journal.furthest = self.claimed.max(self.furthest());
        journal.memory = self.monitor.as_ref().map(|monitor| monitor.memory().clone());
        journal.decision = self.decision.clone();
        journal
    }
}

/// The file of the sessions' generation, with what it holds noted.
fn taken_up(dir: &Path, sessions: &mut Sessions) -> Option<Frontiers> {
    if sessions.generation() == 0 {
        return None;
    }
    let (frontiers, steps) = Frontiers::open(dir, sessions.generation())
        .inspect_err(|error| warn!(%error, "what was served after the journal's last writing is not known"))
        .ok()?;
    for (rank, step) in (0..sessions.world()).zip(steps) {
        sessions.fill(rank, step);
    }
    Some(frontiers)
}
