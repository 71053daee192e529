//! One attempt at one phase: what the requests share. Everything that changes is behind one short lock.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tracing::{info, warn};

use super::audit::{Audit, Audited};
use super::contract::{SamplerStatus, Source};
use super::coverage::{Coverage, Mark};
use super::journal::Journal;
use super::meters::Meters;
use super::part::Part;
use super::report::{BadRequest, Metrics, Report, Taken};
use super::source::{DrawError, Opened};
use crate::curriculum::plan::PhasePlan;

/// State of the attempt.
#[derive(Debug)]
pub struct Attempt {
    opened: Opened,
    progress: Mutex<Progress>,
    audit: Audit,
    changed: Arc<Notify>,
    broken: Notify,
    hole_told: AtomicBool,
    meters: Meters,
}

#[derive(Debug)]
struct Progress {
    coverage: Coverage,
    metrics: Metrics,
    /// Where the rows of the rows file came from, once there is one.
    rows_file: Option<Source>,
}

impl Attempt {
    /// Begins where `journal` ends, or at the phase's first step. A journal of another plan is not used.
    pub fn new(mut opened: Opened, journal: Option<Journal>, meters: Meters) -> Self {
        let steps = opened.steps();
        let journal = journal.filter(|j| {
            let same = j.plan_digest == opened.plan_digest;
            if !same {
                warn!(journal = %j.plan_digest, plan = %opened.plan_digest, "the journal is of another plan: not used");
            }
            same
        });
        let progress = match journal {
            Some(j) => Progress {
                coverage: Coverage::restore(steps.start, steps.end, j.served, &j.ranks),
                metrics: Metrics::restore(j.metrics),
                rows_file: j.rows_file,
            },
            None => Progress {
                coverage: Coverage::new(steps.start, steps.end),
                metrics: Metrics::default(),
                rows_file: None,
            },
        };
        let changed = Arc::new(Notify::new());
        let ended = Arc::clone(&changed);
        let (rows, groups) = (Arc::clone(&opened.audited), opened.groups.take());
        let audit = Audit::start(rows, groups, steps.clone(), opened.plan.batch_size, move || {
            ended.notify_one();
        });
        audit.advance(progress.coverage.served());
        meters.start_step.set(clamped(steps.start));
        meters.end_step.set(clamped(steps.end));
        meters.served_step.set(clamped(progress.coverage.served()));
        meters
            .index_unusable
            .set(i64::from(opened.source == Source::UniformIndexUnusable));
        progress
            .metrics
            .latest()
            .iter()
            .for_each(|(name, &point)| meters.show(name, point));
        Self {
            opened,
            progress: Mutex::new(progress),
            audit,
            changed,
            broken: Notify::new(),
            hole_told: AtomicBool::new(false),
            meters,
        }
    }

    /// The plan in effect and where it came from.
    pub fn opened(&self) -> &Opened {
        &self.opened
    }

    /// The phase.
    pub fn phase(&self) -> &PhasePlan {
        self.opened.phase()
    }

    /// Rows in one global batch.
    pub fn batch_size(&self) -> u64 {
        self.opened.plan.batch_size
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

    /// Notes that a rank got the steps `from..to`. See [`Coverage::mark`].
    pub fn hand_out(&self, part: Part, from: u64, to: u64) {
        let Part { rank, world } = part;
        let (mark, before, served) = {
            let mut progress = self.lock();
            let before = progress.coverage.served();
            (
                progress.coverage.mark(world, rank, from, to),
                before,
                progress.coverage.served(),
            )
        };
        if let Mark::Hole(missing) = mark {
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
        self.meters.served_step.set(clamped(served));
        self.audit.advance(served);
        if served > before && served == self.phase().end_step {
            info!(served, "every step of the phase was handed out");
        }
        self.changed.notify_one();
    }

    /// Notes that every step was handed out, as a file.
    pub fn hand_out_all(&self) {
        let steps = self.opened.steps();
        {
            let mut progress = self.lock();
            progress.coverage = Coverage::complete(steps.start, steps.end);
            progress.rows_file = Some(self.opened.source);
        }
        self.meters.served_step.set(clamped(steps.end));
        self.audit.advance(steps.end);
        self.changed.notify_one();
    }

    /// Where the rows of the rows file came from, once there is one.
    pub fn rows_file(&self) -> Option<Source> {
        self.lock().rows_file
    }

    /// Takes in what the trainer measured.
    ///
    /// # Errors
    /// When there would be too many different metrics.
    pub fn report(&self, report: Report) -> Result<(Taken, u64), BadRequest> {
        let mut progress = self.lock();
        let taken = progress.metrics.take(report)?;
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
        let served = progress.coverage.served();
        drop(progress);
        self.meters
            .values
            .with_label_values(&["accepted"])
            .inc_by(taken.accepted);
        self.meters.values.with_label_values(&["ignored"]).inc_by(taken.ignored);
        if taken.accepted > 0 {
            self.changed.notify_one();
        }
        Ok((taken, served))
    }

    /// The status now; its exposure may be a moment behind.
    pub fn status(&self) -> SamplerStatus {
        self.status_with(self.audit.now())
    }

    /// The result. Waits for the sums over all rows, for `limit` at most; sums that are not complete by then are left out.
    pub fn result(&self, limit: Duration) -> SamplerStatus {
        let audited = self.audit.settle(limit);
        let step = audited.step;
        let mut status = self.status_with(audited);
        if step != status.served_step {
            status.exposure.clear();
        }
        status
    }

    /// The result, once every step was handed out and summed up.
    pub fn ended(&self) -> Option<SamplerStatus> {
        let status = self.status();
        (status.served_step == status.end_step && status.sequence_digest.is_some()).then_some(status)
    }

    /// What the journal keeps.
    pub fn journal(&self) -> Journal {
        let progress = self.lock();
        let (coverage, metrics) = (&progress.coverage, &progress.metrics);
        let mut journal = Journal::new(
            self.opened.plan_digest.clone(),
            coverage.served(),
            coverage.records(),
            metrics.latest().clone(),
        );
        journal.rows_file = progress.rows_file;
        journal
    }

    fn status_with(&self, audited: Audited) -> SamplerStatus {
        let progress = self.lock();
        let phase = self.phase();
        SamplerStatus {
            plan_digest: self.opened.plan_digest.clone(),
            phase_index: phase.index,
            start_step: phase.start_step,
            end_step: phase.end_step,
            served_step: progress.coverage.served(),
            source: self.opened.source,
            source_message: self.opened.source_message.clone(),
            metrics: progress.metrics.latest().clone(),
            exposure: audited.exposure,
            sequence_digest: audited.digest,
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
