//! What was handed out, in sum: the digest of the sequence of rows, and how many rows of each group.
//!
//! A thread of its own walks the phase up to the step that was served last. It computes the rows again instead of watching the replies:
//! the result is then the same for every world size and for an attempt that began at a checkpoint.

use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use arrow_buffer::ToByteSlice;
use sha2::{Digest, Sha256};

use super::part::Part;
use super::source::{DrawError, RowGroups, Rows};

/// Rows of the longest phase that is audited, 2²⁸; of a longer one, digest and exposure stay empty.
pub const MAX_ROWS: u64 = 1 << 28;

/// What is known so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audited {
    /// Rows of each group in the steps up to `step`; empty when the groups of rows are not known.
    pub exposure: Vec<u64>,
    /// Tokens of the steps up to `step`; `None` where they do not bound a batch.
    pub tokens: Option<u64>,
    /// SHA-256 of all row numbers of the phase as `sha256:…`, once `step` is the phase's end.
    pub digest: Option<String>,
    /// First step that was not looked at.
    pub step: u64,
}

/// Handle of the thread. Dropping it stops the thread.
#[derive(Debug)]
pub struct Audit {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    target: u64,
    /// First step after the phase.
    end: u64,
    /// Nothing is looked at (any more).
    stop: bool,
    audited: Audited,
}

impl Shared {
    /// The state is a few numbers that are always consistent, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Audit {
    /// Starts the thread for the steps `steps` of `batch` slots each; `done` is called when the end was reached.
    pub fn start(
        rows: Arc<dyn Rows>,
        groups: Option<RowGroups>,
        steps: Range<u64>,
        batch: u64,
        done: impl FnOnce() + Send + 'static,
    ) -> Self {
        let total = (steps.end - steps.start).checked_mul(batch);
        let small = total.is_some_and(|rows| rows <= MAX_ROWS);
        let audited = Audited {
            step: steps.start,
            ..Audited::default()
        };
        let state = Mutex::new(State {
            target: steps.start,
            end: steps.end,
            stop: !small,
            audited,
        });
        let shared = Arc::new(Shared {
            state,
            changed: Condvar::new(),
        });
        let walker = Walker {
            rows,
            groups,
            batch,
            shared: Arc::clone(&shared),
        };
        if small
            && let Err(error) = thread::Builder::new()
                .name("audit".into())
                .spawn(move || walker.walk(done))
        {
            tracing::warn!(%error, "no thread for the audit: digest and exposure stay empty");
            shared.lock().stop = true;
        }
        Self { shared }
    }

    /// Lets the thread go on up to `step`.
    pub fn advance(&self, step: u64) {
        let mut state = self.shared.lock();
        if step > state.target {
            state.target = step;
            self.shared.changed.notify_all();
        }
    }

    /// The phase ends at `end`, a step that was not handed out yet or the planned one.
    pub fn end_at(&self, end: u64) {
        self.shared.lock().end = end;
        self.shared.changed.notify_all();
    }

    /// What is known now, which may be a moment behind what was handed out.
    pub fn now(&self) -> Audited {
        self.shared.lock().audited.clone()
    }

    /// Whether there will be sums; not for a phase that is too long, and after a failure.
    pub fn is_on(&self) -> bool {
        !self.shared.lock().stop
    }

    /// Waits until everything that was handed out was looked at, for `limit` at most.
    pub fn settle(&self, limit: Duration) -> Audited {
        let state = self.shared.lock();
        let behind = |s: &mut State| !s.stop && s.audited.step < s.target;
        let settled = self.shared.changed.wait_timeout_while(state, limit, behind);
        settled.unwrap_or_else(PoisonError::into_inner).0.audited.clone()
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.changed.notify_all();
    }
}

/// Over the rows looked at so far.
struct Sums {
    exposure: Vec<u64>,
    tokens: Option<u64>,
    hash: Sha256,
}

struct Walker {
    rows: Arc<dyn Rows>,
    groups: Option<RowGroups>,
    batch: u64,
    shared: Arc<Shared>,
}

impl Walker {
    fn walk(self, done: impl FnOnce()) {
        let mut sums = Sums {
            exposure: vec![0; self.groups.as_ref().map_or(0, RowGroups::count)],
            tokens: None,
            hash: Sha256::new(),
        };
        let mut buffer = Vec::new();
        while let Some(step) = self.next() {
            if let Err(error) = self.add(step, &mut sums, &mut buffer) {
                tracing::warn!(%error, "the audit ends early: digest and exposure stay empty");
                self.shared.lock().stop = true;
                self.shared.changed.notify_all();
                return;
            }
            let mut state = self.shared.lock();
            let digest = (step + 1 == state.end).then(|| sha256_text(sums.hash.clone()));
            state.audited = Audited {
                exposure: sums.exposure.clone(),
                tokens: sums.tokens,
                digest,
                step: step + 1,
            };
            self.shared.changed.notify_all();
        }
        let state = self.shared.lock();
        let ended = state.audited.step == state.end;
        drop(state);
        if ended {
            done();
        }
    }

    fn add(&self, step: u64, sums: &mut Sums, buffer: &mut Vec<u64>) -> Result<(), DrawError> {
        let Sums { exposure, tokens, hash } = sums;
        for_each_piece(&*self.rows, step, self.batch, buffer, |rows| {
            for &row in &*rows {
                if let Some(n) = self.groups.as_ref().and_then(|g| exposure.get_mut(g.of(row)?)) {
                    *n += 1;
                }
            }
            if let Some(more) = self.rows.tokens(rows) {
                *tokens = Some(tokens.unwrap_or(0).saturating_add(more));
            }
            add_rows(hash, rows);
        })
    }

    /// The next step once it was handed out; `None` at the end.
    fn next(&self) -> Option<u64> {
        let state = self.shared.lock();
        let idle = |s: &mut State| !s.stop && s.audited.step == s.target && s.audited.step < s.end;
        let state = self
            .shared
            .changed
            .wait_while(state, idle)
            .unwrap_or_else(PoisonError::into_inner);
        (!state.stop && state.audited.step < state.end).then_some(state.audited.step)
    }
}

/// Draws a whole batch, a piece at a time.
fn for_each_piece(
    rows: &dyn Rows,
    step: u64,
    batch: u64,
    buffer: &mut Vec<u64>,
    mut look: impl FnMut(&mut [u64]),
) -> Result<(), DrawError> {
    for part in Part::WHOLE.pieces(batch) {
        rows.batch(step, part, buffer)?;
        look(buffer);
    }
    Ok(())
}

/// Rows count as little-endian 64-bit integers.
fn add_rows(hash: &mut Sha256, rows: &mut [u64]) {
    rows.iter_mut().for_each(|row| *row = row.to_le());
    hash.update(rows.to_byte_slice());
}

/// The digest of a sequence of batches, taken one after the other: that of [`Audited::digest`] after the steps of a phase.
#[derive(Clone, Debug, Default)]
pub struct SequenceDigest {
    hash: Sha256,
    buffer: Vec<u64>,
}

impl SequenceDigest {
    /// Adds the batch of `batch` rows of a step.
    ///
    /// # Errors
    /// When it cannot be drawn.
    pub fn add(&mut self, rows: &dyn Rows, step: u64, batch: u64) -> Result<(), DrawError> {
        let Self { hash, buffer } = self;
        for_each_piece(rows, step, batch, buffer, |rows| add_rows(hash, rows))
    }

    /// As `sha256:…`.
    pub fn finish(self) -> String {
        sha256_text(self.hash)
    }
}

fn sha256_text(hash: Sha256) -> String {
    let hex: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

#[cfg(test)]
mod tests;
