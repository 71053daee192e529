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
use tracing::error;

use super::body::BatchBody;
use super::contract::SamplerStatus;
use super::info::PlanInfo;
use super::report::{BadRequest, REPORT_BYTES, Report};
use super::request::{BatchRequest, JSON_ROWS, REPLY_BYTES};
use super::session::Session;
use super::source::DrawError;
use crate::telemetry;

/// First step of a reply with batches.
pub const FIRST_STEP: HeaderName = HeaderName::from_static("curriculum-first-step");
/// Number of batches of a reply: at most `count`, fewer at the phase's end and where the reply would be too long.
pub const BATCHES: HeaderName = HeaderName::from_static("curriculum-batches");
/// First step after the phase.
pub const END_STEP: HeaderName = HeaderName::from_static("curriculum-end-step");

type Parameters = Result<Query<BTreeMap<String, String>>, QueryRejection>;

/// The routes, with the process's own ones.
pub fn router(session: Arc<Session>, registry: Registry) -> Router {
    Router::new()
        .route("/v1/plan", get(plan))
        .route("/v1/batches", get(batches))
        .route("/v1/batches.json", get(batches_json))
        .route("/v1/report", post(report).layer(DefaultBodyLimit::max(REPORT_BYTES)))
        .route("/v1/status", get(status))
        .with_state(session)
        .merge(telemetry::http::router(registry, || Ok(())))
        .fallback(|| async {
            (
                StatusCode::NOT_FOUND,
                Json(json!({"error": "no such path; see /v1/plan"})),
            )
        })
}

/// A reply that the caller can do something about.
struct Refusal(BadRequest);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (StatusCode::BAD_REQUEST, Json(json!({"error": self.0.0}))).into_response()
    }
}

fn refuse(session: &Session, error: BadRequest) -> Refusal {
    session.meters().refused.inc();
    Refusal(error)
}

fn request(session: &Session, query: Parameters, max_rows: u64) -> Result<BatchRequest, Refusal> {
    let parsed = query.map_err(|rejection| BadRequest(format!("the query does not parse: {rejection}")));
    let steps = session.opened().steps();
    parsed
        .and_then(|Query(q)| BatchRequest::parse(&q, &steps, session.batch_size(), max_rows))
        .map_err(|e| refuse(session, e))
}

/// Past the end: no content, and a trainer that asks there has every step that it wanted.
fn past_end(session: &Session, request: &BatchRequest) -> Response {
    if !request.peek {
        session.hand_out(request.part, request.from, request.to);
    }
    (StatusCode::NO_CONTENT, [(END_STEP, session.phase().end_step)]).into_response()
}

async fn plan(State(session): State<Arc<Session>>) -> Json<PlanInfo> {
    Json(PlanInfo::new(session.opened()))
}

async fn status(State(session): State<Arc<Session>>) -> Json<SamplerStatus> {
    Json(session.status())
}

async fn batches(State(session): State<Arc<Session>>, query: Parameters) -> Result<Response, Refusal> {
    let request = request(&session, query, REPLY_BYTES / 8)?;
    if request.from == request.to {
        return Ok(past_end(&session, &request));
    }
    let headers = [
        (FIRST_STEP, request.from.to_string()),
        (BATCHES, (request.to - request.from).to_string()),
        (END_STEP, session.phase().end_step.to_string()),
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
    ];
    Ok((headers, Body::new(BatchBody::new(session, request))).into_response())
}

async fn batches_json(State(session): State<Arc<Session>>, query: Parameters) -> Result<Response, Refusal> {
    let request = request(&session, query, JSON_ROWS)?;
    if request.from == request.to {
        return Ok(past_end(&session, &request));
    }
    if request.rows() > JSON_ROWS {
        let message = format!(
            "a batch has {} rows, more than the {JSON_ROWS} of a reply in JSON; ask /v1/batches",
            request.rows()
        );
        return Err(refuse(&session, BadRequest(message)));
    }
    match tokio::task::spawn_blocking(move || draw_json(&session, &request)).await {
        Ok(Ok(body)) => Ok(Json(body).into_response()),
        Ok(Err(error)) => Ok(broken(&error)),
        Err(error) => Ok(broken(&error)),
    }
}

fn draw_json(session: &Session, request: &BatchRequest) -> Result<Value, DrawError> {
    let draw = |step| {
        let mut rows = Vec::new();
        session.batch(step, request.part, &mut rows).map(|()| rows)
    };
    let batches = (request.from..request.to)
        .map(draw)
        .collect::<Result<Vec<Vec<u64>>, _>>()?;
    session.meters().rows.inc_by(request.rows());
    if !request.peek {
        session.hand_out(request.part, request.from, request.to);
    }
    Ok(json!({"firstStep": request.from, "endStep": session.phase().end_step, "batches": batches}))
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

async fn report(State(session): State<Arc<Session>>, body: Bytes) -> Result<Response, Refusal> {
    let steps = session.opened().steps();
    let taken = Report::parse(&body, steps.start, steps.end).and_then(|report| session.report(report));
    let (taken, served) = taken.map_err(|error| refuse(&session, error))?;
    let reply = json!({
        "decision": "continue",
        "nextStep": served,
        "endStep": steps.end,
        "accepted": taken.accepted,
        "ignored": taken.ignored,
    });
    Ok(Json(reply).into_response())
}

#[cfg(test)]
mod tests;
