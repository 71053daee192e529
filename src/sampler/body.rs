//! The body of a reply with batches: made piece by piece while it is sent, so that a reply of any length takes little memory.

use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arrow_buffer::Buffer;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::task::{JoinError, JoinHandle};

use super::attempt::Attempt;
use super::part::{PIECE, Part};
use super::request::BatchRequest;
use super::source::{DrawError, EMPTY_SLOT};

/// Rows of a reply that is drawn at once, where the request is answered.
const SHORT: u64 = 8192;

/// A reply ends before its end.
#[derive(thiserror::Error, Debug)]
pub enum BodyError {
    /// A batch cannot be drawn.
    #[error(transparent)]
    Sample(#[from] DrawError),
    /// The thread that drew ended.
    #[error("the rows could not be drawn: {0}")]
    Thread(#[from] JoinError),
}

/// Little-endian u64 row numbers of the requested batches, in order; 2⁶⁴ − 1 in slots without a row. A step counts as handed out when its last row goes out.
#[derive(Debug)]
pub struct BatchBody {
    attempt: Arc<Attempt>,
    request: BatchRequest,
    /// First step of the next piece.
    next: u64,
    /// Pieces of that step that are out already; 0 when a piece holds whole batches.
    sent: usize,
    slots_left: u64,
    pending: Option<JoinHandle<Result<Drawn, DrawError>>>,
}

/// Rows that are drawn and sent at once: one or several whole batches of the rank, or a part of one.
#[derive(Clone, Debug)]
struct Piece {
    steps: Range<u64>,
    part: Part,
    /// Nothing of its last step is left.
    last: bool,
}

/// A piece that was drawn.
#[derive(Debug)]
struct Drawn {
    bytes: Bytes,
    /// Slots with a row.
    rows: u64,
}

impl BatchBody {
    /// The reply to a request.
    pub fn new(attempt: Arc<Attempt>, request: BatchRequest) -> Self {
        let (next, slots_left) = (request.from, request.rows());
        Self {
            attempt,
            request,
            next,
            sent: 0,
            slots_left,
            pending: None,
        }
    }

    fn piece(&self) -> Piece {
        let request = &self.request;
        let mut parts = request.part.pieces(self.attempt.batch_size()).skip(self.sent);
        let part = parts.next().unwrap_or(request.part);
        let count = (PIECE / request.width).max(1);
        Piece {
            steps: self.next..request.to.min(self.next + count),
            part,
            last: parts.len() == 0,
        }
    }

    /// Draws a short reply at once, if that reads no file; else a piece on a thread that may block.
    fn poll_draw(&mut self, context: &mut Context<'_>, piece: &Piece) -> Poll<Result<Drawn, BodyError>> {
        if self.request.rows() <= SHORT && !self.attempt.reads_files() {
            return Poll::Ready(Ok(draw(&self.attempt, piece)?));
        }
        let attempt = &self.attempt;
        let task = self.pending.get_or_insert_with(|| {
            let (attempt, piece) = (Arc::clone(attempt), piece.clone());
            tokio::task::spawn_blocking(move || draw(&attempt, &piece))
        });
        Pin::new(task).poll(context).map(|joined| {
            self.pending = None;
            Ok(joined??)
        })
    }

    fn note(&mut self, piece: &Piece) {
        if !piece.last {
            self.sent += 1;
            return;
        }
        (self.sent, self.next) = (0, piece.steps.end);
        if let Some(session) = self.request.session {
            self.attempt.hand_out(session, piece.steps.start, piece.steps.end);
        }
    }
}

/// The rows of a piece.
fn draw(attempt: &Attempt, piece: &Piece) -> Result<Drawn, DrawError> {
    let mut rows = Vec::new();
    let mut batch = Vec::new();
    for step in piece.steps.clone() {
        attempt.batch(step, piece.part, &mut batch)?;
        if rows.is_empty() {
            std::mem::swap(&mut rows, &mut batch);
        } else {
            rows.extend_from_slice(&batch);
        }
    }
    let filled = rows.iter().filter(|row| **row != EMPTY_SLOT).count() as u64;
    rows.iter_mut().for_each(|row| *row = row.to_le());
    Ok(Drawn {
        bytes: Bytes::from_owner(Buffer::from_vec(rows)),
        rows: filled,
    })
}

impl Body for BatchBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.is_end_stream() {
            return Poll::Ready(None);
        }
        let piece = self.piece();
        let drawn = std::task::ready!(self.poll_draw(context, &piece));
        let sent = drawn.map(|Drawn { bytes, rows }| {
            self.slots_left -= bytes.len() as u64 / 8;
            self.attempt.meters().rows.inc_by(rows);
            self.note(&piece);
            Frame::data(bytes)
        });
        Poll::Ready(Some(sent))
    }

    fn is_end_stream(&self) -> bool {
        self.next == self.request.to
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.slots_left * 8)
    }
}
