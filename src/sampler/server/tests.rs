use axum::http::Request;
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::*;
use crate::curriculum::plan::{Plan, PlanScores};
use crate::sampler::meters::Meters;
use crate::sampler::part::PIECE;
use crate::sampler::source::tests::{attempt_plan, index, no_filter};
use crate::sampler::source::{Index, Opened, Unusable};
use crate::store::Shared;

mod files;
mod histories;
mod sums;
mod tokens;
mod transitions;

struct Served {
    attempt: Arc<Attempt>,
    app: Router,
    /// For anybody.
    status: Router,
    /// Of the journal.
    state: tempfile::TempDir,
}

const RUN: &str = "5e6f2b1c";

/// Nothing is known of the data set's files.
fn no_files() -> Arc<DatasetFiles> {
    Arc::new(DatasetFiles::new(Shared::volume("/nowhere"), None))
}

fn serve(plan: Plan) -> Served {
    serve_from(plan, tempfile::tempdir().unwrap())
}

/// A sampler that finds what another one left.
fn serve_from(plan: Plan, state: tempfile::TempDir) -> Served {
    start(Opened::new(plan, index, no_filter).unwrap(), state)
}

/// A sampler with an index of its own.
fn serve_with(plan: Plan, open: fn(&PlanScores) -> Result<Index, Unusable>) -> Served {
    start(
        Opened::new(plan, open, no_filter).unwrap(),
        tempfile::tempdir().unwrap(),
    )
}

fn start(opened: Opened, state: tempfile::TempDir) -> Served {
    let registry = Registry::new();
    let meters = Meters::register(&registry).unwrap();
    let attempt = Attempt::new(opened, Some(RUN.into()), state.path().to_owned(), meters);
    let attempt = Arc::new(attempt);
    Served {
        app: trainer_router(Arc::clone(&attempt), no_files()),
        status: status_router(Arc::clone(&attempt), registry),
        attempt,
        state,
    }
}

struct Reply {
    status: StatusCode,
    headers: axum::http::HeaderMap,
    body: Bytes,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn error(&self) -> String {
        self.refusal(StatusCode::BAD_REQUEST)
    }

    fn refusal(&self, status: StatusCode) -> String {
        assert_eq!(self.status, status);
        self.json()["error"].as_str().unwrap().to_owned()
    }

    fn rows(&self) -> Vec<u64> {
        assert_eq!(self.status, StatusCode::OK);
        self.body
            .chunks(8)
            .map(|bytes| u64::from_le_bytes(bytes.try_into().unwrap()))
            .collect()
    }

    fn header(&self, name: HeaderName) -> u64 {
        self.headers[name].to_str().unwrap().parse().unwrap()
    }
}

impl Served {
    async fn call(&self, request: Request<Body>) -> Reply {
        let reply = self.app.clone().oneshot(request).await.unwrap();
        let (parts, body) = reply.into_parts();
        Reply {
            status: parts.status,
            headers: parts.headers,
            body: body.collect().await.unwrap().to_bytes(),
        }
    }

    async fn metrics(&self) -> String {
        let request = Request::get("/metrics").body(Body::empty()).unwrap();
        let body = self.status.clone().oneshot(request).await.unwrap().into_body();
        String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }

    async fn get(&self, path: &str) -> Reply {
        self.call(Request::get(path).body(Body::empty()).unwrap()).await
    }

    async fn post(&self, body: impl Into<Body>) -> Reply {
        self.call(Request::post("/v1/report").body(body.into()).unwrap()).await
    }

    async fn open(&self, body: Value) -> Reply {
        let body = Body::from(body.to_string());
        self.call(Request::post("/v1/sessions").body(body).unwrap()).await
    }

    /// The name of a new session.
    async fn session(&self, rank: u32, world: u32) -> String {
        let reply = self.open(json!({"rank": rank, "world": world})).await;
        assert_eq!(reply.status, StatusCode::CREATED);
        reply.json()["session"].as_str().unwrap().to_owned()
    }

    fn expected(&self, steps: std::ops::Range<u64>, rank: u32, world: u32) -> Vec<u64> {
        let sampler = crate::curriculum::sampler::Sampler::new(self.attempt.opened().plan.clone()).unwrap();
        let order = index(&crate::curriculum::plan::PlanScores {
            key: String::new(),
            digest: String::new(),
        })
        .unwrap()
        .order;
        let (mut all, mut batch) = (Vec::new(), Vec::new());
        for step in steps {
            sampler.batch_for_rank(step, rank, world, &*order, &mut batch).unwrap();
            all.extend_from_slice(&batch);
        }
        all
    }

    fn served(&self) -> u64 {
        self.attempt.status().served_step
    }
}

#[tokio::test]
async fn batches_are_the_cores_for_every_rank_and_count_as_served() {
    let s = serve(attempt_plan());
    for rank in 0..5 {
        let id = s.session(rank, 5).await;
        let reply = s.get(&format!("/v1/batches?session={id}&from=10&count=3")).await;
        assert_eq!(reply.rows(), s.expected(10..13, rank, 5));
        assert_eq!(
            (reply.header(FIRST_STEP), reply.header(BATCHES), reply.header(END_STEP)),
            (10, 3, 30)
        );
        assert_eq!(reply.headers[header::CONTENT_TYPE], "application/octet-stream");
        assert_eq!(s.served(), if rank == 4 { 13 } else { 10 });
    }
}

#[tokio::test]
async fn a_session_is_told_what_a_trainer_needs_to_know() {
    let s = serve(attempt_plan());
    let body = json!({"rank": 4, "world": 5, "step": 17, "run": RUN, "rows": 1000, "key": "a process"});
    let reply = s.open(body.clone()).await.json();
    assert_eq!(
        (
            &reply["rank"],
            &reply["world"],
            &reply["step"],
            &reply["resumed"],
            &reply["batchRows"]
        ),
        (&json!(4), &json!(5), &json!(17), &json!(true), &json!(3)),
        "12 rows over five ranks: 2, 2, 3, 2, 3"
    );
    assert_eq!(
        (&reply["plan"]["run"], &reply["plan"]["endStep"], &reply["plan"]["rows"]),
        (&json!(RUN), &json!(30), &json!(1000))
    );
    assert_eq!(s.open(body).await.json(), reply, "the reply was lost");
    let message = s
        .open(json!({"rank": 0, "world": 1, "rows": 999}))
        .await
        .refusal(StatusCode::CONFLICT);
    assert!(
        message.starts_with("the trainer's data set has 999 rows, the plan's 1000"),
        "{message}"
    );
    let message = s.open(json!({"rank": 0})).await.error();
    assert!(
        message.contains("missing field `world`") && message.contains("expected one like"),
        "{message}"
    );
}

#[tokio::test]
async fn fewer_batches_at_the_end_and_no_content_past_it() {
    let s = serve(attempt_plan());
    let reply = s.get("/v1/batches?from=28&count=100").await;
    assert_eq!((reply.rows().len(), reply.header(BATCHES)), (24, 2));
    for path in ["/v1/batches?from=30", "/v1/batches.json?from=99"] {
        let past = s.get(path).await;
        assert_eq!(
            (past.status, past.body.len(), past.header(END_STEP)),
            (StatusCode::NO_CONTENT, 0, 30)
        );
    }
    assert_eq!(s.served(), 10);
}

/// Whoever asks: the phase's end is reached by those who took every step, or whose checkpoint of this run says so.
#[tokio::test]
async fn who_asks_for_the_last_step_or_past_the_end_has_not_been_served() {
    let s = serve(attempt_plan());
    let id = s.session(0, 1).await;
    for query in ["from=29", "from=30", "from=10&count=19&peek=true"] {
        s.get(&format!("/v1/batches?session={id}&{query}")).await;
        s.get(&format!("/v1/batches.json?session={id}&{query}")).await;
        s.get(&format!("/v1/batches?{query}")).await;
    }
    assert_eq!(s.served(), 10);
    let strangers = s
        .open(json!({"rank": 0, "world": 1, "step": 30, "run": "another"}))
        .await;
    strangers.refusal(StatusCode::CONFLICT);
    assert_eq!(s.served(), 10);
    s.open(json!({"rank": 0, "world": 1, "step": 30, "run": RUN})).await;
    let status = s.get("/v1/status").await.json();
    assert_eq!((&status["servedStep"], &status["resumedAt"]), (&json!(30), &json!(30)));
}

#[tokio::test]
async fn who_only_looks_changes_nothing() {
    let s = serve(attempt_plan());
    let looked = s.get("/v1/batches.json?from=20&count=2").await.json();
    assert_eq!(looked["firstStep"], 20);
    assert_eq!(looked["endStep"], 30);
    let rows: Vec<u64> = serde_json::from_value::<Vec<Vec<u64>>>(looked["batches"].clone())
        .unwrap()
        .concat();
    assert_eq!(rows, s.expected(20..22, 0, 1));
    assert_eq!(rows, s.get("/v1/batches?from=20&count=2&peek=true").await.rows());
    let part = s.get("/v1/batches?from=20&rank=1&world=5").await.rows();
    assert_eq!(part, s.expected(20..21, 1, 5));
    let id = s.session(0, 1).await;
    assert_eq!(
        s.get(&format!("/v1/batches?session={id}&from=10&peek=true"))
            .await
            .rows(),
        s.expected(10..11, 0, 1)
    );
    assert_eq!(s.served(), 10);
    s.get(&format!("/v1/batches.json?session={id}&from=10&count=2")).await;
    assert_eq!(s.served(), 12);
}

/// Whoever reaches the pod's address may look, and change nothing.
#[tokio::test]
async fn the_port_for_anybody_has_neither_batches_nor_sessions_nor_reports() {
    let s = serve(attempt_plan());
    let ask = async |method: &str, path: &str| {
        let request = Request::builder().method(method).uri(path);
        let request = request.body(Body::from(r#"{"rank":0,"world":1}"#)).unwrap();
        s.status.clone().oneshot(request).await.unwrap().status()
    };
    for path in ["/v1/status", "/healthz", "/readyz", "/metrics"] {
        assert_eq!(ask("GET", path).await, StatusCode::OK, "{path}");
        assert_eq!(ask("POST", path).await, StatusCode::METHOD_NOT_ALLOWED, "{path}");
    }
    for path in [
        "/v1/sessions",
        "/v1/report",
        "/v1/batches?from=10",
        "/v1/batches.json?from=10",
        "/v1/plan",
    ] {
        for method in ["GET", "POST", "PUT", "DELETE"] {
            assert_eq!(ask(method, path).await, StatusCode::NOT_FOUND, "{method} {path}");
        }
    }
    assert_eq!(s.get("/metrics").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_second_process_of_the_same_rank_ends_the_attempt_loudly() {
    let s = serve(attempt_plan());
    let first = s.session(0, 1).await;
    s.get(&format!("/v1/batches?session={first}&from=10&count=20")).await;
    let second = s.session(0, 1).await;
    s.get(&format!("/v1/batches?session={second}&from=10&count=20")).await;
    assert_eq!(s.served(), 30, "a trainer that was started again may go on");
    let reply = s.get(&format!("/v1/batches?session={first}&from=29")).await;
    let message = reply.refusal(StatusCode::CONFLICT);
    assert!(
        message.starts_with("two processes claim rank 0 of world 1"),
        "{message}"
    );
    let status = s.get("/v1/status").await.json();
    assert_eq!(
        (&status["servedStep"], &status["trainerFault"]),
        (&json!(10), &json!(message))
    );
    assert_eq!(s.attempt.ended(), None);
    s.get(&format!("/v1/batches?session={second}&from=29")).await.rows();
    assert_eq!(s.served(), 10);
    s.get("/v1/batches?session=ab-1-0-1&from=10")
        .await
        .refusal(StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn sessions_survive_a_sampler_that_is_killed_at_any_moment() {
    let s = serve(attempt_plan());
    let id = s.session(0, 1).await;
    s.get(&format!("/v1/batches?session={id}&from=10&count=5")).await;
    // Nothing was written since: the process was killed.
    let s = serve_from(attempt_plan(), s.state);
    assert_eq!(s.served(), 15);
    s.get(&format!("/v1/batches?session={id}&from=29")).await;
    assert_eq!(s.served(), 15, "a leap is a hole after a restart too");
    s.get(&format!("/v1/batches?session={id}&from=15&count=15")).await;
    assert_eq!(s.served(), 30);
    let s = serve_from(attempt_plan(), s.state);
    s.session(0, 1).await;
    s.get(&format!("/v1/batches?session={id}&from=15"))
        .await
        .refusal(StatusCode::CONFLICT);
    assert_eq!(s.served(), 10);
}

/// A reply of more than one piece, which is drawn on another thread.
#[tokio::test]
async fn long_replies_are_whole_and_count_piece_by_piece() {
    let mut long = attempt_plan();
    let size = PIECE / 2 + 1;
    long.batch_size = size;
    let s = serve(long);
    let id = s.session(0, 1).await;
    let path = |from| format!("/v1/batches?session={id}&from={from}&count=7");
    let reply = s.get(&path(10)).await;
    assert_eq!(reply.rows(), s.expected(10..17, 0, 1));
    assert_eq!(reply.header(header::CONTENT_LENGTH), 7 * size * 8);
    assert_eq!(s.served(), 17);
    let request = Request::get(path(17)).body(Body::empty()).unwrap();
    let reply = s.app.clone().oneshot(request).await;
    let mut body = reply.unwrap().into_body();
    assert_eq!(axum::body::HttpBody::size_hint(&body).exact(), Some(7 * size * 8));
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(
        (first.len() as u64, s.served()),
        (size * 8, 18),
        "the client went away after a piece"
    );
    drop(body);
    assert_eq!(s.served(), 18);
}

/// A batch of more than one piece: memory must not grow with the batch.
#[tokio::test]
async fn a_large_batch_is_whole_comes_in_pieces_and_counts_with_the_last() {
    let mut large = attempt_plan();
    large.batch_size = 3 * PIECE + 7;
    let s = serve(large);
    for (rank, world) in [(0, 1), (1, 2)] {
        let reply = s
            .get(&format!("/v1/batches?from=10&count=2&rank={rank}&world={world}"))
            .await;
        assert_eq!(reply.rows(), s.expected(10..12, rank, world));
    }
    let id = s.session(0, 1).await;
    let request = Request::get(format!("/v1/batches?session={id}&from=10&count=2"));
    let reply = s.app.clone().oneshot(request.body(Body::empty()).unwrap()).await;
    let mut body = reply.unwrap().into_body();
    let mut seen = Vec::new();
    while let Some(frame) = body.frame().await {
        seen.push((frame.unwrap().into_data().unwrap().len() as u64 / 8, s.served()));
    }
    assert!(seen.iter().all(|(rows, _)| *rows <= PIECE), "{seen:?}");
    let served: Vec<u64> = seen.iter().map(|(_, served)| *served).collect();
    assert_eq!(served, [10, 10, 10, 11, 11, 11, 11, 12]);
}

#[tokio::test]
async fn wrong_parameters_are_named() {
    let s = serve(attempt_plan());
    for (query, expected) in [
        ("", "`from` is missing"),
        ("?from=9", "`from` is `9`; expected a step from 10 on"),
        ("?from=10&count=0", "`count` is `0`"),
        ("?from=10&world=13", "`world` is `13`; expected 1 to 12"),
        (
            "?from=10&world=2&rank=2",
            "`rank` is `2`; expected less than `world`, which is 2",
        ),
        (
            "?from=10&count=99999999999999999999",
            "`count` is `99999999999999999999`",
        ),
        ("?from=%ff", "`from` is"),
    ] {
        for path in ["/v1/batches", "/v1/batches.json"] {
            let message = s.get(&format!("{path}{query}")).await.error();
            assert!(message.starts_with(expected), "{message}");
        }
    }
    assert_eq!(s.served(), 10);
    let metrics = s.metrics().await;
    assert!(metrics.contains("\ncurriculum_sampler_refused_total 14\n"), "{metrics}");
}

#[tokio::test]
async fn a_report_changes_the_status_once_and_the_reply_carries_the_decision() {
    let s = serve(attempt_plan());
    let id = s.session(0, 1).await;
    s.get(&format!("/v1/batches?session={id}&from=10&count=6")).await;
    let beyond = s.post(r#"{"step":17,"metrics":{"val_accuracy":1}}"#).await.error();
    assert_eq!(
        beyond,
        "`step` is 17; expected at most 16, as many batches as were handed out"
    );
    let body = r#"{"step":15,"metrics":{"val_accuracy":0.883},"groups":{"3":{"val_accuracy":0.71}}}"#;
    let reply = s.post(body).await;
    let expected =
        json!({"decision": "continue", "nextStep": 16, "endStep": 30, "accepted": 2, "ignored": 0, "leftOut": 0});
    assert_eq!((reply.status, reply.json()), (StatusCode::OK, expected));
    assert_eq!(s.post(body).await.json()["ignored"], 2);
    let status = s.get("/v1/status").await.json();
    assert_eq!(status["metrics"], json!({"val_accuracy": {"value": 0.883, "step": 15}}));
    assert_eq!(status["servedStep"], 16);
    let metrics = s.metrics().await;
    for line in [
        "curriculum_sampler_reported{metric=\"val_accuracy\"} 0.883",
        "curriculum_sampler_reported_group{group=\"3\",metric=\"val_accuracy\"} 0.71",
        "curriculum_sampler_values_total{outcome=\"accepted\"} 2",
        "curriculum_sampler_values_total{outcome=\"ignored\"} 2",
        "curriculum_sampler_served_step 16",
    ] {
        assert!(metrics.contains(line), "{line} in\n{metrics}");
    }
}

#[tokio::test]
async fn reports_that_cannot_be_read_are_refused() {
    let s = serve(attempt_plan());
    assert!(
        s.post(r#"{"step":15,"metrics":{"loss":NaN}}"#)
            .await
            .error()
            .contains("must be finite")
    );
    assert!(
        s.post(r#"{"step":15,"metrics":{"loss":"0.1"}}"#)
            .await
            .error()
            .starts_with("`metrics.loss` is the string")
    );
    assert!(s.post("[".repeat(60_000)).await.error().contains("not JSON"));
    assert!(s.post(vec![0xff; 1000]).await.error().contains("not JSON"));
    assert_eq!(
        s.post(vec![b' '; REPORT_BYTES + 1]).await.status,
        StatusCode::PAYLOAD_TOO_LARGE
    );
    assert_eq!(s.get("/v1/report").await.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(s.get("/nothing").await.status, StatusCode::NOT_FOUND);
    assert_eq!(s.get("/v1/status").await.json().get("metrics"), None);
}

#[tokio::test]
async fn the_plan_tells_what_a_trainer_needs() {
    let s = serve(attempt_plan());
    let info = s.get("/v1/plan").await.json();
    assert_eq!(info["planDigest"], attempt_plan().digest());
    assert_eq!(info["phase"], "grow");
    assert_eq!(
        (&info["startStep"], &info["endStep"], &info["batchSize"]),
        (&json!(10), &json!(30), &json!(12))
    );
    assert_eq!(info["source"], "Index");
    assert_eq!(info["pools"][0]["scope"], "eachGroup");
}
