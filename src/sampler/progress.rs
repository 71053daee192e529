//! What changes during an attempt, and what of it is on file: who asks, what was handed out, what was reported.
//!
//! ```text
//! opened a session   journal.json, before the reply goes out
//! handed out         handed-out-<generation>, at every step    (frontiers)
//! metrics            journal.json, once a second
//! ```
//! Whatever cannot be written is warned about once in a while and never stops the trainer: only a restart of the container would miss it.

use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};

use tracing::warn;

use super::contract::Source;
use super::frontiers::Frontiers;
use super::journal::{self, Journal};
use super::marks::Reading;
use super::report::Metrics;
use super::sessions::{Facts, OpenSession, Opening, Refusal, SessionId, Sessions};
use super::stretches::Mark;

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
    frontiers: Option<Frontiers>,
    dir: PathBuf,
}

impl Progress {
    /// Begins where the journal in `dir` ends, or at the phase's first step. A journal of another plan is not used.
    pub fn restore(dir: PathBuf, plan_digest: &str, facts: Facts) -> Self {
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
            Some((sessions, Metrics::restore(j.metrics), j.rows_file))
        });
        // A number that no other attempt has: the seed of the process's hash maps is random.
        let epoch = || RandomState::new().hash_one(plan_digest);
        let (mut sessions, metrics, rows_file) =
            restored.unwrap_or_else(|| (Sessions::new(facts, epoch()), Metrics::default(), None));
        let frontiers = taken_up(&dir, &mut sessions);
        Self {
            sessions,
            metrics,
            rows_file,
            reading: Reading::default(),
            refused: None,
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

    /// What the journal keeps.
    pub fn journal(&self, plan_digest: &str) -> Journal {
        let mut journal = Journal::new(
            plan_digest.to_owned(),
            self.sessions.record(),
            self.metrics.latest().clone(),
        );
        journal.rows_file = self.rows_file;
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
