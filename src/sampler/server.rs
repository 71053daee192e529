//! The routes of the sampler.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use prometheus::Registry;
use serde_json::{Value, json};
use tokio::task::JoinError;
use tracing::error;

use super::attempt::{Answer, Attempt};
use super::body::BatchBody;
use super::contract::SamplerStatus;
use super::dataset::{DatasetFiles, FilesError, RowRange};
use super::info::PlanInfo;
use super::report::{BadRequest, REPORT_BYTES, Report};
use super::request::{BatchRequest, JSON_ROWS, REPLY_BYTES};
use super::sessions::{OpenSession, Opening, Refusal};
use super::source::{DrawError, EMPTY_SLOT};
use crate::curriculum::transition::Kind;
use crate::telemetry;

/// First step of a reply with batches.
pub const FIRST_STEP: HeaderName = HeaderName::from_static("curriculum-first-step");
/// Number of batches of a reply: at most `count`, fewer at the phase's end and where the reply would be too long.
pub const BATCHES: HeaderName = HeaderName::from_static("curriculum-batches");
/// First step after the phase.
pub const END_STEP: HeaderName = HeaderName::from_static("curriculum-end-step");

const OPENING: &str = r#"{"rank": 0, "world": 1}, with the checkpoint's `step` and `run` when there is one"#;

type Parameters = Result<Query<BTreeMap<String, String>>, QueryRejection>;

/// The routes of the pod's own trainer, which decides what was trained.
pub fn trainer_router(attempt: Arc<Attempt>, files: Arc<DatasetFiles>) -> Router {
    let of_files = Router::new()
        .route("/v1/dataset", get(dataset))
        .route("/v1/offsets", get(offsets))
        .with_state(files);
    Router::new()
        .route("/v1/plan", get(plan))
        .route(
            "/v1/sessions",
            post(open_session).layer(DefaultBodyLimit::max(REPORT_BYTES)),
        )
        .route("/v1/batches", get(batches))
        .route("/v1/batches.json", get(batches_json))
        .route("/v1/held-out", get(held_out))
        .route("/v1/report", post(report).layer(DefaultBodyLimit::max(REPORT_BYTES)))
        .route("/v1/status", get(status))
        .with_state(attempt)
        .merge(of_files)
        .fallback(|| no_such_path("/v1/plan"))
}

/// The routes for anybody who reaches the pod: they tell, and change nothing.
pub fn status_router(attempt: Arc<Attempt>, registry: Registry) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .with_state(attempt)
        .merge(telemetry::http::router(registry, || Ok(())))
        .fallback(|| no_such_path("/v1/status"))
}

async fn no_such_path(one: &str) -> impl IntoResponse {
    let message = format!("no such path on this port; there is {one}");
    (StatusCode::NOT_FOUND, Json(json!({"error": message})))
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = match self {
            Self::Bad(_) => StatusCode::BAD_REQUEST,
            Self::Unknown(_) => StatusCode::NOT_FOUND,
            Self::Conflict(_) => StatusCode::CONFLICT,
        };
        (status, Json(json!({"error": self.to_string()}))).into_response()
    }
}

fn refuse(attempt: &Attempt, error: impl Into<Refusal>) -> Refusal {
    attempt.meters().refused.inc();
    error.into()
}

fn request(attempt: &Attempt, query: Parameters, max_rows: u64) -> Result<BatchRequest, Refusal> {
    let parsed = query.map_err(|rejection| BadRequest(format!("the query does not parse: {rejection}")));
    let steps = attempt.opened().steps();
    let batch = (attempt.batch_size(), attempt.fewest_rows());
    let find = |name: &str| attempt.find(name);
    parsed
        .map_err(Refusal::from)
        .and_then(|Query(q)| BatchRequest::parse(&q, &steps, batch, max_rows, find))
        .map(|request| attempt.claim(request))
        .map_err(|e| refuse(attempt, e))
}

/// Past the end: no content.
fn past_end(attempt: &Attempt) -> Response {
    (StatusCode::NO_CONTENT, [(END_STEP, attempt.end_step())]).into_response()
}

async fn plan(State(attempt): State<Arc<Attempt>>) -> Json<PlanInfo> {
    Json(attempt.info())
}

async fn open_session(State(attempt): State<Arc<Attempt>>, body: Bytes) -> Result<Response, Refusal> {
    let opening = serde_json::from_slice::<Opening>(&body).map_err(|error| {
        let message = format!("the body is no opening of a session: {error}; expected one like {OPENING}");
        refuse(&attempt, BadRequest(message))
    })?;
    let shared = Arc::clone(&attempt);
    // It is on file before the reply goes out.
    let open = match tokio::task::spawn_blocking(move || shared.open_session(&opening)).await {
        Ok(open) => open.map_err(|error| refuse(&attempt, error))?,
        Err(error) => return Ok(broken(&error)),
    };
    let OpenSession { id, step, .. } = open;
    let reply = json!({
        "session": id.to_string(),
        "rank": id.part.rank,
        "world": id.part.world,
        "step": step,
        "resumed": step > attempt.phase().start_step,
        "batchRows": id.part.rows(attempt.batch_size()),
        "plan": attempt.info(),
    });
    Ok((StatusCode::CREATED, Json(reply)).into_response())
}

async fn status(State(attempt): State<Arc<Attempt>>) -> Json<SamplerStatus> {
    Json(attempt.status())
}

async fn batches(State(attempt): State<Arc<Attempt>>, query: Parameters) -> Result<Response, Refusal> {
    let request = request(&attempt, query, REPLY_BYTES / 8)?;
    if request.from == request.to {
        return Ok(past_end(&attempt));
    }
    let headers = [
        (FIRST_STEP, request.from.to_string()),
        (BATCHES, (request.to - request.from).to_string()),
        (END_STEP, attempt.end_step().to_string()),
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
    ];
    Ok((headers, Body::new(BatchBody::new(attempt, request))).into_response())
}

async fn batches_json(State(attempt): State<Arc<Attempt>>, query: Parameters) -> Result<Response, Refusal> {
    let request = request(&attempt, query, JSON_ROWS)?;
    if request.from == request.to {
        return Ok(past_end(&attempt));
    }
    if request.rows() > JSON_ROWS {
        let message = format!(
            "a batch has {} rows, more than the {JSON_ROWS} of a reply in JSON; ask /v1/batches",
            request.rows()
        );
        return Err(refuse(&attempt, BadRequest(message)));
    }
    match tokio::task::spawn_blocking(move || draw_json(&attempt, &request)).await {
        Ok(Ok(body)) => Ok(Json(body).into_response()),
        Ok(Err(error)) => Ok(broken(&error)),
        Err(error) => Ok(broken(&error)),
    }
}

fn draw_json(attempt: &Attempt, request: &BatchRequest) -> Result<Value, DrawError> {
    let mut tokens = Vec::new();
    let draw = |step| {
        let mut rows = Vec::new();
        attempt.batch(step, request.part, &mut rows)?;
        tokens.extend(attempt.opened().rows.tokens(&rows));
        rows.retain(|row| *row != EMPTY_SLOT);
        Ok(rows)
    };
    let batches = (request.from..request.to)
        .map(draw)
        .collect::<Result<Vec<Vec<u64>>, DrawError>>()?;
    attempt
        .meters()
        .rows
        .inc_by(batches.iter().map(|rows| rows.len() as u64).sum());
    if let Some(session) = request.session {
        attempt.hand_out(session, request.from, request.to);
    }
    let mut reply = json!({"firstStep": request.from, "endStep": attempt.end_step(), "batches": batches});
    if !tokens.is_empty() {
        reply["tokens"] = json!(tokens);
    }
    Ok(reply)
}

/// The rows that are held out, in ascending order.
async fn held_out(State(attempt): State<Arc<Attempt>>) -> Result<Response, Refusal> {
    let rows = attempt.opened().plan.held_out.map_or(0, |held_out| held_out.rows);
    if rows > REPLY_BYTES / 8 {
        let most = REPLY_BYTES / 8;
        let message = format!(
            "{rows} rows are held out, more than the {most} of a reply; they are among the last rows of the score index"
        );
        return Err(refuse(&attempt, BadRequest(message)));
    }
    let drawn = tokio::task::spawn_blocking(move || {
        let mut rows: Vec<u64> = attempt.opened().plan.split()?.held_out().collect();
        rows.sort_unstable();
        Some(rows.into_iter().flat_map(u64::to_le_bytes).collect::<Vec<u8>>())
    });
    match drawn.await {
        Ok(Some(bytes)) => Ok(([(header::CONTENT_TYPE, "application/octet-stream")], bytes).into_response()),
        Ok(None) => Err(Refusal::Unknown(
            "the job has no `dataset.split`: no rows are held out".to_owned(),
        )),
        Err(error) => Ok(broken(&error)),
    }
}

async fn dataset(State(files): State<Arc<DatasetFiles>>) -> Response {
    let list = tokio::task::spawn_blocking(move || files.list()).await;
    tell(list.map(|list| list.map(|json| ([(header::CONTENT_TYPE, "application/json")], json))))
}

async fn offsets(State(files): State<Arc<DatasetFiles>>, query: Parameters) -> Response {
    let parsed = query.map_err(|rejection| BadRequest(format!("the query does not parse: {rejection}")));
    let range = match parsed.and_then(|Query(query)| RowRange::parse(&query)) {
        Ok(range) => range,
        Err(error) => return Refusal::from(error).into_response(),
    };
    let read = tokio::task::spawn_blocking(move || files.offsets(range)).await;
    tell(read.map(|read| read.map(|bytes| ([(header::CONTENT_TYPE, "application/octet-stream")], bytes))))
}

fn tell<T: IntoResponse>(read: Result<Result<T, FilesError>, JoinError>) -> Response {
    match read {
        Ok(Ok(reply)) => reply.into_response(),
        Ok(Err(FilesError::Refused(refusal))) => refusal.into_response(),
        Ok(Err(error)) => broken(&error),
        Err(error) => broken(&error),
    }
}

/// What no caller can do anything about.
fn broken(error: &dyn std::error::Error) -> Response {
    error!(%error, "a reply could not be made");
    (
        StatusCode::INTERNAL_SERVER_ERROR,
        Json(json!({"error": error.to_string()})),
    )
        .into_response()
}

async fn report(State(attempt): State<Arc<Attempt>>, body: Bytes) -> Result<Response, Refusal> {
    let steps = attempt.opened().steps();
    let report = Report::parse(&body, steps.start, steps.end).map_err(|error| refuse(&attempt, error))?;
    let shared = Arc::clone(&attempt);
    // What it decides is on file before the reply goes out.
    let Answer {
        taken,
        served,
        end,
        decision,
    } = match tokio::task::spawn_blocking(move || shared.report(report)).await {
        Ok(answer) => answer.map_err(|error| refuse(&attempt, error))?,
        Err(error) => return Ok(broken(&error)),
    };
    let reply = json!({
        "decision": decision.map_or("continue", Kind::field),
        "nextStep": served,
        "endStep": end,
        "accepted": taken.accepted,
        "ignored": taken.ignored,
        "leftOut": taken.left_out,
    });
    Ok(Json(reply).into_response())
}

#[cfg(test)]
mod tests;
