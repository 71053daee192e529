//! An HTTP server that survives whatever is sent to it, and the routes that every process has.
//!
//! ```text
//! accept ── at most `connections` at once, `per_peer` of one address ── write time ── hyper: header size, header time ── axum: body size, body time ── handler
//! ```

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use prometheus::{Encoder, Registry, TextEncoder};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_io_timeout::TimeoutStream;
use tracing::{debug, warn};

/// Bounds on what a client may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once; more wait in the kernel's queue.
    pub connections: usize,
    /// Connections at once from one address; more are closed, so that nobody takes all the others' places.
    pub per_peer: usize,
    /// Time for the head of a request, from the end of the request before it: a connection idle for longer is closed.
    pub header_time: Duration,
    /// Time until the head of the reply, which includes reading the request's body.
    pub request_time: Duration,
    /// Time for the client to take some more of a reply: a connection whose client stopped reading is closed.
    pub write_time: Duration,
    /// Bytes of a request's body.
    pub body_bytes: usize,
    /// Bytes that are buffered for each direction of a connection. At least 8,192.
    pub buffer_bytes: usize,
    /// Time that open requests get when the process ends.
    pub drain_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 128,
            per_peer: 128,
            header_time: Duration::from_secs(30),
            request_time: Duration::from_secs(15),
            write_time: Duration::from_secs(60),
            body_bytes: 64 * 1024,
            buffer_bytes: 64 * 1024,
            drain_time: Duration::from_secs(2),
        }
    }
}

/// Routes `/healthz` (200 while the process runs), `/readyz` (200, or 503 with the reason that `ready` gives) and
/// `/metrics` (Prometheus text format 0.0.4 of `registry`).
pub fn router<R>(registry: Registry, ready: R) -> Router
where
    R: Fn() -> Result<(), String> + Clone + Send + Sync + 'static,
{
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(move || std::future::ready(readiness(&ready))))
        .route("/metrics", get(move || std::future::ready(metrics(&registry))))
}

fn readiness(ready: &impl Fn() -> Result<(), String>) -> Response {
    match ready() {
        Ok(()) => "ok\n".into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}

fn metrics(registry: &Registry) -> Response {
    let encoder = TextEncoder::new();
    let mut body = Vec::new();
    match encoder.encode(&registry.gather(), &mut body) {
        Ok(()) => ([(header::CONTENT_TYPE, encoder.format_type().to_owned())], body).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("metrics: {error}\n")).into_response(),
    }
}

/// Serves `app` on `listener` until `shutdown` resolves, then lets open requests end for `limits.drain_time`.
///
/// Returns only then: an error of one connection, or of accepting one, is logged and the next one is served.
pub async fn serve(listener: TcpListener, app: Router, limits: Limits, shutdown: impl Future<Output = ()>) {
    let app = app
        .layer(DefaultBodyLimit::max(limits.body_bytes))
        .layer(middleware::from_fn(move |request, next| {
            within(limits.request_time, request, next)
        }));
    let slots = Arc::new(Semaphore::new(limits.connections));
    let peers = Peers::default();
    let graceful = GracefulShutdown::new();
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            next = accept(&listener, &slots) => {
                if let Some((stream, peer, slot)) = next
                    && let Some(place) = peers.enter(peer, limits.per_peer)
                {
                    spawn(stream, (slot, place), app.clone(), limits, &graceful);
                }
            }
        }
    }
    drop(listener);
    if tokio::time::timeout(limits.drain_time, graceful.shutdown())
        .await
        .is_err()
    {
        debug!("connections were still open at the end");
    }
}

/// The connections of each address.
#[derive(Clone, Default)]
struct Peers(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// One of the connections of an address; dropping it gives it back.
struct Place {
    peers: Peers,
    peer: IpAddr,
}

impl Peers {
    fn enter(&self, peer: IpAddr, most: usize) -> Option<Place> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(peer).or_insert(0);
        if *count >= most {
            debug!(%peer, "a connection too many from one address: closed");
            return None;
        }
        *count += 1;
        drop(counts);
        Some(Place {
            peers: self.clone(),
            peer,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.peers.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.peer);
            }
        }
    }
}

/// The next connection, once there is a slot for it; `None` after an error.
async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> Option<(TcpStream, IpAddr, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => Some((stream, peer.ip(), slot)),
        Err(error) => {
            warn!(%error, "a connection could not be accepted");
            // Most errors here (too many open files) stay until a connection ends: without a pause the loop would spin.
            tokio::time::sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

fn spawn<S: Send + 'static>(stream: TcpStream, slot: S, app: Router, limits: Limits, graceful: &GracefulShutdown) {
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "no TCP_NODELAY");
    }
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(limits.write_time));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_time)
        .max_buf_size(limits.buffer_bytes)
        .serve_connection(TokioIo::new(Box::pin(stream)), TowerToHyperService::new(app));
    let connection = graceful.watch(connection);
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            debug!(%error, "a connection ended with an error");
        }
        drop(slot);
    });
}

async fn within(limit: Duration, request: Request, next: Next) -> Result<Response, Infallible> {
    Ok(tokio::time::timeout(limit, next.run(request))
        .await
        .unwrap_or_else(|_| {
            (
                StatusCode::REQUEST_TIMEOUT,
                format!("no whole request within {} s\n", limit.as_secs_f64()),
            )
                .into_response()
        }))
}

#[cfg(test)]
mod tests;
