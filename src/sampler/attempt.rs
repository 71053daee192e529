//! One attempt at one phase: what the requests share. Everything that changes is behind one short lock.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tracing::{debug, info, warn};

use super::audit::{Audit, Audited};
use super::contract::{SamplerStatus, Source};
use super::info::PlanInfo;
use super::journal::{self, Journal};
use super::marks;
use super::meters::Meters;
use super::part::Part;
use super::progress::Progress;
use super::report::{BadRequest, Report, Taken};
use super::request::BatchRequest;
use super::sessions::{Facts, OpenSession, Opening, Refusal, SessionId};
use super::source::{DrawError, Opened};
use super::stretches::Mark;
use crate::curriculum::plan::PhasePlan;
use crate::curriculum::transition::{Decision, Kind, Monitor};

/// Characters of the longest reason why the store does not answer.
const STORE_FAULT_CHARACTERS: usize = 300;

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its values.
    pub taken: Taken,
    /// First step that was not handed out to every rank.
    pub served: u64,
    /// First step that is not trained.
    pub end: u64,
    /// How the phase is left there, if that is not where it was planned.
    pub decision: Option<Kind>,
}

/// State of the attempt.
#[derive(Debug)]
pub struct Attempt {
    opened: Opened,
    run: Option<String>,
    progress: Mutex<Progress>,
    /// Held while the journal is written. Never taken while `progress` is held.
    writing: Mutex<()>,
    audit: Audit,
    /// The rows file beside which the trainer leaves its marks.
    marks: OnceLock<PathBuf>,
    changed: Arc<Notify>,
    broken: Notify,
    hole_told: AtomicBool,
    store_fault: Mutex<Option<String>>,
    meters: Meters,
}

impl Attempt {
    /// Begins where the journal in `state` ends, or at the phase's first step.
    pub fn new(mut opened: Opened, run: Option<String>, state: PathBuf, meters: Meters) -> Self {
        let steps = opened.steps();
        let facts = Facts {
            steps: steps.clone(),
            batch: opened.plan.fewest_rows(),
            rows: opened.plan.dataset_rows(),
            run: run.clone(),
        };
        let transitions = opened.phase().transitions.clone();
        let monitor = transitions.map(|transitions| Monitor::new(transitions, steps.start, &opened.plan.group_rows));
        let progress = Progress::restore(state, &opened.plan_digest, facts, monitor);
        let changed = Arc::new(Notify::new());
        let ended = Arc::clone(&changed);
        let (rows, groups) = (Arc::clone(&opened.audited), opened.groups.take());
        let audit = Audit::start(rows, groups, steps.clone(), opened.plan.batch_size, move || {
            ended.notify_one();
        });
        let end = progress.end();
        audit.end_at(end);
        meters.start_step.set(clamped(steps.start));
        meters.end_step.set(clamped(end));
        meters
            .index_unusable
            .set(i64::from(opened.source == Source::UniformIndexUnusable));
        progress
            .metrics
            .latest()
            .iter()
            .for_each(|(name, &point)| meters.show(name, point));
        let attempt = Self {
            opened,
            run,
            progress: Mutex::new(progress),
            writing: Mutex::new(()),
            audit,
            marks: OnceLock::new(),
            changed,
            broken: Notify::new(),
            hole_told: AtomicBool::new(false),
            store_fault: Mutex::new(None),
            meters,
        };
        let served = attempt.lock().served();
        attempt.tell(served);
        attempt
    }

    /// The plan in effect and where it came from.
    pub fn opened(&self) -> &Opened {
        &self.opened
    }

    /// The phase.
    pub fn phase(&self) -> &PhasePlan {
        self.opened.phase()
    }

    /// First step that is not trained: the phase's end, unless it was decided otherwise.
    pub fn end_step(&self) -> u64 {
        self.lock().end()
    }

    /// A request as it is to be answered: nothing beyond the phase's end. From now on no decision takes its steps back.
    pub fn claim(&self, request: BatchRequest) -> BatchRequest {
        let mut progress = self.lock();
        let request = request.up_to(progress.end(), progress.decision().is_some());
        if request.session.is_some() && request.from < request.to {
            progress.claim(request.to);
        }
        request
    }

    /// Slots of one global batch: rows, unless tokens bound it.
    pub fn batch_size(&self) -> u64 {
        self.opened.plan.batch_size
    }

    /// Fewest rows of one global batch.
    pub fn fewest_rows(&self) -> u64 {
        self.opened.plan.fewest_rows()
    }

    /// The metrics.
    pub fn meters(&self) -> &Meters {
        &self.meters
    }

    /// Wakes one waiter after each change of what the journal or the result holds.
    pub fn changed(&self) -> &Notify {
        &self.changed
    }

    /// Replaces the content of `out` by a part of the batch of `step`.
    ///
    /// # Errors
    /// See [`Rows::batch`](super::source::Rows::batch). When the index changed, [`Attempt::broken`] is told.
    pub fn batch(&self, step: u64, part: Part, out: &mut Vec<u64>) -> Result<(), DrawError> {
        let drawn = self.opened.rows.batch(step, part, out);
        if drawn == Err(DrawError::IndexChanged) {
            self.broken.notify_one();
        }
        drawn
    }

    /// Wakes a waiter when the index is no longer what it was. Only a new process can go on: it checks the index again.
    pub fn broken(&self) -> &Notify {
        &self.broken
    }

    /// Takes in why the score store does not answer, or that it does.
    pub fn hear_of_store(&self, fault: Option<String>) {
        let mut known = self.store_fault.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*known, &fault) {
            (None, Some(reason)) => warn!(
                reason,
                "the score store does not answer; rows come from the copy of its index"
            ),
            (Some(_), None) => info!("the score store answers again"),
            _ => {}
        }
        self.meters.store_away.set(i64::from(fault.is_some()));
        *known = fault.map(|fault| fault.chars().take(STORE_FAULT_CHARACTERS).collect());
    }

    /// What a trainer may want to know of the plan.
    pub fn info(&self) -> PlanInfo {
        PlanInfo::new(&self.opened, self.run.as_deref())
    }

    /// Opens a session, and writes it down before it returns. See [`Sessions::open`](super::sessions::Sessions::open).
    ///
    /// # Errors
    /// When it is refused.
    pub fn open_session(&self, opening: &Opening) -> Result<OpenSession, Refusal> {
        let (open, served) = {
            let mut progress = self.lock();
            let open = progress.open(opening)?;
            (open, progress.served())
        };
        self.save();
        self.meters.sessions.inc();
        let Part { rank, world } = open.id.part;
        if open.new_generation {
            info!(rank, world, step = open.step, "the trainer begins");
        } else {
            debug!(rank, world, step = open.step, "a rank joins");
        }
        self.tell(served);
        self.changed.notify_one();
        Ok(open)
    }

    /// The session of a name. See [`Sessions::find`](super::sessions::Sessions::find).
    ///
    /// # Errors
    /// When there is no such session (any more).
    pub fn find(&self, name: &str) -> Result<SessionId, Refusal> {
        let (found, collided, served) = {
            let mut progress = self.lock();
            let before = progress.sessions.collision().is_some();
            let found = progress.sessions.find(name);
            let collided = !before && progress.sessions.collision().is_some();
            (found, collided, progress.served())
        };
        if let (Err(error), true) = (&found, collided) {
            warn!(%error, "no step of this attempt counts any more");
            self.tell(served);
            self.changed.notify_one();
        }
        found
    }

    /// Notes that a session got the steps `from..to`. See [`Sessions::mark`](super::sessions::Sessions::mark).
    pub fn hand_out(&self, id: SessionId, from: u64, to: u64) {
        let Part { rank, world } = id.part;
        let ((mark, written), before, served) = {
            let mut progress = self.lock();
            let before = progress.served();
            (progress.mark(id, from, to), before, progress.served())
        };
        if let Err(error) = written {
            self.meters.write_failures.with_label_values(&["handed-out"]).inc();
            debug!(%error, "a restart of this container would forget what was served");
        }
        if let Some(Mark::Hole(missing)) = mark {
            self.meters.holes.inc();
            // Every request that follows is beyond the same hole: the metric counts them, the log has the first.
            if !self.hole_told.swap(true, Ordering::Relaxed) {
                warn!(
                    world,
                    rank,
                    from,
                    missing,
                    "the trainer skipped steps: they do not count as served until it asks for them"
                );
            }
        }
        self.tell(served);
        if served > before && served == self.end_step() {
            info!(served, "every step of the phase was handed out");
        }
        self.changed.notify_one();
    }

    /// Shows how far the trainer is, and lets the sums go on to there.
    fn tell(&self, served: u64) {
        self.meters.served_step.set(clamped(served));
        self.audit.advance(served);
    }

    /// The trainer reads the rows from a file, beside which it leaves marks.
    pub fn serve_file(&self, path: PathBuf) {
        self.lock().rows_file = Some(self.opened.source);
        if self.marks.set(path).is_ok() {
            self.read_marks();
        }
    }

    /// The trainer cannot have its file: nothing counts, and the status says why.
    pub fn refuse_file(&self, why: String) {
        warn!(why, "there is no rows file");
        self.lock().refused = Some(why);
    }

    /// Whether the trainer reads a file, which tells nobody when it is read.
    pub fn has_marks(&self) -> bool {
        self.marks.get().is_some()
    }

    /// Looks how far the trainer has read.
    pub fn read_marks(&self) {
        let Some(path) = self.marks.get() else { return };
        let found = marks::find(path);
        let (before, reading, served) = {
            let mut progress = self.lock();
            let reading = marks::judge(progress.sessions.facts(), &found);
            let before = std::mem::replace(&mut progress.reading, reading.clone());
            (before, reading, progress.served())
        };
        if before != reading {
            if let Some(fault) = &reading.fault {
                warn!(fault, "what the trainer has read does not count");
            }
            self.tell(served);
            self.changed.notify_one();
        }
    }

    /// Writes the journal.
    pub fn save(&self) {
        let _one_at_a_time = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let (journal, dir) = {
            let progress = self.lock();
            let dir = progress.dir().to_owned();
            (progress.journal(&self.opened.plan_digest), dir)
        };
        self.write(&dir, &journal);
    }

    fn write(&self, dir: &Path, journal: &Journal) {
        if let Err(error) = journal::write(dir, journal) {
            self.meters.write_failures.with_label_values(&["journal"]).inc();
            warn!(%error, "a restart of this container would forget what was served");
        }
    }

    /// Where the rows of the rows file came from, once there is one.
    pub fn rows_file(&self) -> Option<Source> {
        self.lock().rows_file
    }

    /// Takes in what the trainer measured. A decision that follows is on file before this returns.
    ///
    /// # Errors
    /// When it is about a step that was not handed out.
    pub fn report(&self, report: Report) -> Result<Answer, BadRequest> {
        if self.has_marks() && report.step > self.lock().furthest() {
            self.read_marks();
        }
        let writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut progress = self.lock();
        let furthest = progress.furthest();
        if report.step > furthest {
            return Err(BadRequest(format!(
                "`step` is {}; expected at most {furthest}, as many batches as were handed out",
                report.step
            )));
        }
        let decided = progress.weigh(&report).cloned();
        let taken = progress.metrics.take(report);
        progress
            .metrics
            .latest()
            .iter()
            .for_each(|(name, &point)| self.meters.show(name, point));
        progress
            .metrics
            .groups()
            .iter()
            .for_each(|((group, name), &p)| self.meters.show_group(*group, name, p));
        let answer = Answer {
            taken,
            served: progress.served(),
            end: progress.end(),
            decision: progress.decision().map(|decision| decision.kind),
        };
        if progress.is_watched() {
            // Nobody hears of a decision before it is on file, so the others wait for the disk here.
            self.write(progress.dir(), &progress.journal(&self.opened.plan_digest));
        }
        if let Some(decision) = &decided {
            self.audit.end_at(decision.step);
        }
        drop(progress);
        drop(writing);
        if let Some(decision) = decided {
            let Decision {
                kind,
                step,
                reported,
                because,
                ..
            } = decision;
            info!(
                ?kind,
                step, reported, because, "the phase ends by what the trainer reported"
            );
            self.meters.end_step.set(clamped(step));
        }
        self.meters
            .values
            .with_label_values(&["accepted"])
            .inc_by(taken.accepted);
        self.meters.values.with_label_values(&["ignored"]).inc_by(taken.ignored);
        self.meters
            .values
            .with_label_values(&["left out"])
            .inc_by(taken.left_out);
        if taken.accepted > 0 {
            self.changed.notify_one();
        }
        Ok(answer)
    }

    /// The status now; its exposure may be a moment behind.
    pub fn status(&self) -> SamplerStatus {
        self.status_with(self.audit.now())
    }

    /// The result. Waits for the sums over all rows, for `limit` at most; sums that are not complete by then are left out.
    pub fn result(&self, limit: Duration) -> SamplerStatus {
        self.read_marks();
        let audited = self.audit.settle(limit);
        let step = audited.step;
        let mut status = self.status_with(audited);
        if step != status.served_step {
            status.exposure.clear();
            status.tokens = None;
        }
        status
    }

    /// The result, once every step was handed out, and summed up where there are sums.
    pub fn ended(&self) -> Option<SamplerStatus> {
        let summed = !self.audit.is_on();
        let status = self.status();
        let summed = summed || status.sequence_digest.is_some();
        (status.served_step == status.end() && summed).then_some(status)
    }

    /// Whether drawing may wait for a file system.
    pub fn reads_files(&self) -> bool {
        self.opened.source == Source::Index
    }

    fn status_with(&self, audited: Audited) -> SamplerStatus {
        let progress = self.lock();
        let phase = self.phase();
        let served_step = progress.served();
        // A trainer that was started again is behind what was summed up.
        let ahead = audited.step > served_step;
        SamplerStatus {
            plan_digest: self.opened.plan_digest.clone(),
            phase_index: phase.index,
            start_step: phase.start_step,
            end_step: phase.end(),
            decision: progress.decision().cloned(),
            unheard: progress.unheard(),
            served_step,
            resumed_at: progress.resumed_at(),
            trainer_fault: progress.fault().map(str::to_owned),
            source: self.opened.source,
            source_message: self.opened.source_message.clone(),
            index_fault: self.opened.index_fault,
            store_fault: self.store_fault.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            metrics: progress.metrics.latest().clone(),
            exposure: if ahead { Vec::new() } else { audited.exposure },
            tokens: audited.tokens.filter(|_| !ahead),
            sequence_digest: audited.digest.filter(|_| !ahead),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        // Nothing under the lock can leave it half changed.
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn clamped(step: u64) -> i64 {
    i64::try_from(step).unwrap_or(i64::MAX)
}
