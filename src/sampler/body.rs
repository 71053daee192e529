//! The body of a reply with batches: made piece by piece while it is sent, so that a reply of any length takes little memory.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arrow_buffer::Buffer;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::task::{JoinError, JoinHandle};

use super::request::BatchRequest;
use super::session::Session;
use super::source::DrawError;

/// Rows of a piece, which holds whole batches and at least one.
const PIECE: u64 = 8192;

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

/// Little-endian u64 row numbers of the requested batches, in order. A step counts as handed out when its last row goes out.
#[derive(Debug)]
pub struct BatchBody {
    session: Arc<Session>,
    request: BatchRequest,
    /// First step of the next piece.
    next: u64,
    pending: Option<JoinHandle<Result<Bytes, DrawError>>>,
}

impl BatchBody {
    /// The reply to a request.
    pub fn new(session: Arc<Session>, request: BatchRequest) -> Self {
        let next = request.from;
        Self {
            session,
            request,
            next,
            pending: None,
        }
    }

    /// Makes the steps up to `to`: a short reply at once, a piece of a longer one on a thread that may block.
    fn poll_piece(&mut self, context: &mut Context<'_>, to: u64) -> Poll<Result<Bytes, BodyError>> {
        if self.request.rows() <= PIECE {
            return Poll::Ready(Ok(draw(&self.session, &self.request, self.next, to)?));
        }
        let (session, request, next) = (&self.session, &self.request, self.next);
        let task = self.pending.get_or_insert_with(|| {
            let (session, request) = (Arc::clone(session), request.clone());
            tokio::task::spawn_blocking(move || draw(&session, &request, next, to))
        });
        Pin::new(task).poll(context).map(|joined| {
            self.pending = None;
            Ok(joined??)
        })
    }
}

/// The rows of the steps `from..to`.
fn draw(session: &Session, request: &BatchRequest, from: u64, to: u64) -> Result<Bytes, DrawError> {
    let mut rows = Vec::new();
    let mut batch = Vec::new();
    for step in from..to {
        session.batch(step, request.rank, request.world, &mut batch)?;
        if rows.is_empty() {
            std::mem::swap(&mut rows, &mut batch);
        } else {
            rows.extend_from_slice(&batch);
        }
    }
    rows.iter_mut().for_each(|row| *row = row.to_le());
    Ok(Bytes::from_owner(Buffer::from_vec(rows)))
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
        let steps = (PIECE / self.request.width).max(1);
        let to = self.request.to.min(self.next + steps);
        let piece = std::task::ready!(self.poll_piece(context, to));
        let sent = piece.map(|bytes| {
            self.next = to;
            let BatchRequest {
                world,
                rank,
                from,
                peek,
                ..
            } = self.request;
            self.session.meters().rows.inc_by(bytes.len() as u64 / 8);
            if !peek {
                self.session.hand_out(world, rank, from, to);
            }
            Frame::data(bytes)
        });
        Poll::Ready(Some(sent))
    }

    fn is_end_stream(&self) -> bool {
        self.next == self.request.to
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact((self.request.to - self.next) * self.request.width * 8)
    }
}
