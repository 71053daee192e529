//! A proxy between one operator and the API server that makes chosen requests go wrong, and keeps a list of the writes.
//!
//! ```text
//! operator ──HTTP/1──► proxy ──the test's client──► kube-apiserver
//!             ▲           └── at write n: not passed on, answer lost, refused, or the operator killed
//!             └── watches: delayed, cut, told that their version is gone
//! ```
//! Connections are reset when they break, not closed in order: that is what a client sees of a peer that died.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderName, Method, Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::Client;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::{Error, Result};

/// How a write goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The operator dies before the API server gets the request.
    KillBefore,
    /// The operator dies when the write is done and before it hears of it.
    KillAfterCommit,
    /// The operator dies just after it has heard of it.
    KillAfterReply,
    /// The connection is reset and the request is lost.
    Reset,
    /// The write is done, and the connection is reset instead of an answer.
    LostReply,
    /// The request is refused with this status.
    Status(u16),
    /// The write is done and the operator stopped; the answer waits for it until it wakes up.
    Stop,
}

impl Fault {
    /// Every fault that a run must get over by itself.
    pub const ALL: [Self; 9] = [
        Self::KillBefore,
        Self::KillAfterCommit,
        Self::KillAfterReply,
        Self::Reset,
        Self::LostReply,
        Self::Status(409),
        Self::Status(429),
        Self::Status(500),
        Self::Status(503),
    ];
}

/// How watches go wrong, all of them and again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchFault {
    /// Everything of a watch comes so much later.
    Delayed(Duration),
    /// Every watch is cut after so many whole events.
    CutAfter(usize),
    /// The first so many watches are told that their version is gone (410), then watches work.
    Gone(usize),
}

/// A write that the operator sent, other than to its Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The request's method.
    pub method: Method,
    /// The request's path.
    pub path: String,
    /// The name of the object in the request, if it has one.
    pub name: Option<String>,
}

/// Enough time for what was passed on to be sent and read; the exact moment does not matter.
const SENT: Duration = Duration::from_millis(10);

/// The proxy asks for the operator to be killed or stopped, and goes on when it is.
pub type Kill = oneshot::Sender<()>;

#[derive(Default)]
struct State {
    writes: Vec<Write>,
    leases: usize,
    plan: Option<(usize, Fault)>,
    /// The first write of which this holds is done, and the operator stopped.
    stop: Option<fn(&Write) -> bool>,
    watches: Option<WatchFault>,
    done: bool,
}

struct Shared {
    client: Client,
    state: Mutex<State>,
    /// Sent to when the state has changed.
    changes: watch::Sender<()>,
    kills: mpsc::UnboundedSender<Kill>,
}

/// A running proxy; it ends when this is dropped.
pub struct FaultProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    _task: JoinSet<()>,
}

impl FaultProxy {
    /// Starts a proxy to the API server of that client. Whoever reads the receiver kills the operator.
    ///
    /// # Errors
    /// When there is no port.
    pub async fn start(client: Client) -> Result<(Self, mpsc::UnboundedReceiver<Kill>)> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (kills, killer) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            client,
            state: Mutex::default(),
            changes: watch::Sender::new(()),
            kills,
        });
        let mut task = JoinSet::new();
        task.spawn(accept(listener, Arc::clone(&shared)));
        let proxy = Self {
            address,
            shared,
            _task: task,
        };
        Ok((proxy, killer))
    }

    /// Address for the operator, as in a kubeconfig.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Lets write `number`, counted from 0 over the life of the proxy, go wrong in this way.
    pub fn fail(&self, number: usize, fault: Fault) {
        self.shared.state().plan = Some((number, fault));
    }

    /// Has the operator stopped while it waits for the answer to the first write of which this holds: see [`Fault::Stop`].
    pub fn stop_at(&self, which: fn(&Write) -> bool) {
        self.shared.state().stop = Some(which);
    }

    /// Lets watches go wrong in this way from now on.
    pub fn fail_watches(&self, fault: WatchFault) {
        self.shared.state().watches = Some(fault);
    }

    /// Whether the planned fault has happened.
    pub fn has_failed(&self) -> bool {
        self.shared.state().done
    }

    /// How often the operator has looked at its Lease or written it.
    pub fn leases(&self) -> usize {
        self.shared.state().leases
    }

    /// Waits until this holds of the proxy.
    ///
    /// # Errors
    /// After `limit`.
    pub async fn until(&self, limit: Duration, holds: impl Fn(&Self) -> bool) -> Result {
        let mut changes = self.shared.changes.subscribe();
        let waiting = tokio::time::timeout(limit, changes.wait_for(|()| holds(self)));
        match waiting.await {
            Ok(changed) => Ok(changed.map(drop)?),
            Err(_) => Err(format!("not within {} s and {} writes", limit.as_secs(), self.writes().len()).into()),
        }
    }

    /// The writes until now.
    pub fn writes(&self) -> Vec<Write> {
        self.shared.state().writes.clone()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a write; how it has to go wrong, if at all.
    fn note(&self, write: Write) -> Option<Fault> {
        let mut state = self.state();
        let number = state.writes.len();
        let stops = state.stop.take_if(|which| which(&write)).map(|_| Fault::Stop);
        state.writes.push(write);
        let planned = state.plan.filter(|(planned, _)| *planned == number);
        let fault = stops.or(planned.map(|(_, fault)| fault));
        state.done |= fault.is_some();
        drop(state);
        self.changes.send_replace(());
        fault
    }

    async fn kill(&self) {
        let (dead, died) = oneshot::channel();
        // A test that kills nobody has dropped its end, and then nothing is waited for.
        if self.kills.send(dead).is_ok() {
            let _ = died.await;
        }
    }
}

type Answer = Response<UnsyncBoxBody<Bytes, Error>>;

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let _ = stream.set_zero_linger();
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let service = service_fn(move |request| serve(Arc::clone(&shared), request));
            // An error is what breaks the connection, and is wanted.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
        while connections.try_join_next().is_some() {}
    }
}

/// Answers one request; an error breaks the connection.
async fn serve(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Answer> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let is_watch = parts.uri.query().is_some_and(|query| query.contains("watch=true"));
    if is_watch {
        let fault = shared.state().watches;
        return match fault {
            Some(WatchFault::Gone(times)) if times > 0 => {
                shared.state().watches = Some(WatchFault::Gone(times - 1));
                Ok(gone())
            }
            fault => {
                let answer = forward(&shared.client, parts, body).await?;
                Ok(answer.map(|body| Watch::new(body, fault).boxed_unsync()))
            }
        };
    }
    let is_lease = parts.uri.path().starts_with("/apis/coordination.k8s.io/");
    if is_lease {
        shared.state().leases += 1;
        shared.changes.send_replace(());
    }
    if is_lease || matches!(parts.method, Method::GET | Method::HEAD) {
        return forward(&shared.client, parts, body).await;
    }
    let write = Write {
        method: parts.method.clone(),
        path: parts.uri.path().to_owned(),
        name: serde_json::from_slice::<serde_json::Value>(&body)
            .ok()
            .and_then(|object| Some(object["metadata"]["name"].as_str()?.to_owned())),
    };
    let broken = || -> Error { io::Error::from(io::ErrorKind::ConnectionReset).into() };
    match shared.note(write) {
        None => forward(&shared.client, parts, body).await,
        Some(Fault::Status(code)) => Ok(refusal(StatusCode::from_u16(code)?)),
        Some(Fault::Reset) => Err(broken()),
        Some(Fault::LostReply) => {
            forward(&shared.client, parts, body).await?;
            Err(broken())
        }
        Some(Fault::KillBefore) => {
            shared.kill().await;
            Err(broken())
        }
        Some(Fault::KillAfterCommit) => {
            forward(&shared.client, parts, body).await?;
            shared.kill().await;
            Err(broken())
        }
        Some(Fault::Stop) => {
            let answer = forward(&shared.client, parts, body).await?;
            shared.kill().await;
            Ok(answer)
        }
        Some(Fault::KillAfterReply) => {
            let answer = forward(&shared.client, parts, body).await?;
            tokio::spawn(async move {
                tokio::time::sleep(SENT).await;
                shared.kill().await;
            });
            Ok(answer)
        }
    }
}

/// Passes a request on as the test's client, with its own credentials.
async fn forward(client: &Client, parts: http::request::Parts, body: Bytes) -> Result<Answer> {
    const PASSED: [HeaderName; 2] = [header::ACCEPT, header::CONTENT_TYPE];
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::builder().method(parts.method).uri(path);
    for name in PASSED {
        if let Some(value) = parts.headers.get(&name) {
            request = request.header(name, value);
        }
    }
    let is_watch = path.contains("watch=true");
    let answer = client.send(request.body(body.to_vec().into())?).await?;
    let mut passed = Response::builder().status(answer.status());
    if let Some(value) = answer.headers().get(header::CONTENT_TYPE) {
        passed = passed.header(header::CONTENT_TYPE, value);
    }
    let body = if is_watch {
        answer.into_body().map_err(Error::from).boxed_unsync()
    } else {
        // Whole, so that an answer is lost as a whole.
        whole(answer.into_body().collect().await?.to_bytes())
    };
    Ok(passed.body(body)?)
}

fn whole(bytes: Bytes) -> UnsyncBoxBody<Bytes, Error> {
    Full::new(bytes)
        .map_err(|never: Infallible| match never {})
        .boxed_unsync()
}

fn status(code: u16, reason: &str) -> serde_json::Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code, "reason": reason,
        "message": "a fault of the test"})
}

fn refusal(code: StatusCode) -> Answer {
    let reason = match code.as_u16() {
        409 => "Conflict",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        _ => "InternalError",
    };
    let mut answer = Response::new(whole(status(code.as_u16(), reason).to_string().into()));
    *answer.status_mut() = code;
    answer
}

/// A watch whose only event says that its version is no longer kept.
fn gone() -> Answer {
    let event = json!({"type": "ERROR", "object": status(410, "Expired")});
    Response::new(whole(format!("{event}\n").into()))
}

/// The body of a watch, with its fault.
struct Watch {
    inner: UnsyncBoxBody<Bytes, Error>,
    delay: Option<Duration>,
    /// A piece that waits, and for what.
    held: Option<(Pin<Box<tokio::time::Sleep>>, Frame<Bytes>)>,
    cut: Option<Pin<Box<tokio::time::Sleep>>>,
    /// Events until the cut.
    left: Option<usize>,
}

impl Watch {
    fn new(inner: UnsyncBoxBody<Bytes, Error>, fault: Option<WatchFault>) -> Self {
        let (delay, left) = match fault {
            Some(WatchFault::Delayed(delay)) => (Some(delay), None),
            Some(WatchFault::CutAfter(events)) => (None, Some(events)),
            _ => (None, None),
        };
        Self {
            inner,
            delay,
            held: None,
            cut: None,
            left,
        }
    }
}

impl Body for Watch {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, waking: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>>>> {
        if let Some((until, _)) = &mut self.held {
            std::task::ready!(until.as_mut().poll(waking));
            return Poll::Ready(self.held.take().map(|(_, frame)| Ok(frame)));
        }
        if self.left == Some(0) {
            // What was passed on has to be sent first: a connection that breaks loses what it has not sent.
            let cut = self.cut.get_or_insert_with(|| Box::pin(tokio::time::sleep(SENT)));
            std::task::ready!(cut.as_mut().poll(waking));
            return Poll::Ready(Some(Err(io::Error::from(io::ErrorKind::ConnectionReset).into())));
        }
        let frame = match std::task::ready!(Pin::new(&mut self.inner).poll_frame(waking)) {
            Some(Ok(frame)) => frame,
            end => return Poll::Ready(end),
        };
        // An event is a line, and may come in several frames.
        let lines = frame
            .data_ref()
            .map_or(0, |data| data.iter().filter(|byte| **byte == b'\n').count());
        self.left = self.left.map(|left| left.saturating_sub(lines));
        match self.delay {
            None => Poll::Ready(Some(Ok(frame))),
            Some(delay) => {
                self.held = Some((Box::pin(tokio::time::sleep(delay)), frame));
                self.poll_frame(waking)
            }
        }
    }
}
