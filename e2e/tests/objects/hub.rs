//! The Hugging Face hub and a plain web server, as far as their documents say how they answer: servers of this test. The hub itself
//! is asked by nobody here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::{Path, Query, State};
use axum::http::header::{ACCEPT_RANGES, AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, LINK, LOCATION, RANGE};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use e2e::Result;
use e2e::observe::ensure;
use serde_json::json;

use super::{Place, csv, task};
use e2e::servers::{Reach, S3 as Server};

const TOKEN: &str = "hf_not-a-token-of-anybody";

/// Pages of listings that were asked for.
static LISTED: AtomicUsize = AtomicUsize::new(0);

type Files = Arc<BTreeMap<String, String>>;

/// A listing of two pages, with one file on each.
async fn tree(
    Query(query): Query<BTreeMap<String, String>>,
    State(files): State<Files>,
    headers: HeaderMap,
) -> Response {
    if headers
        .get(AUTHORIZATION)
        .is_none_or(|value| value != &format!("Bearer {TOKEN}"))
    {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    LISTED.fetch_add(1, Ordering::SeqCst);
    let page: usize = query.get("cursor").and_then(|text| text.parse().ok()).unwrap_or(0);
    let Some((name, content)) = files.iter().nth(page) else {
        return Json(json!([])).into_response();
    };
    let entry = json!([{"type": "file", "oid": "0", "size": content.len(), "path": format!("data/{name}")}]);
    let host = headers
        .get("host")
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default();
    let next = format!(
        "<http://{host}/api/datasets/o/n/tree/v1/data?cursor={}>; rel=\"next\"",
        page + 1
    );
    ([(LINK, next)], Json(entry)).into_response()
}

/// Large files are elsewhere, under a signed address.
async fn resolve(Path(name): Path<String>, headers: HeaderMap) -> Response {
    if !headers.contains_key(AUTHORIZATION) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    // By its other name it is another host, which must not get the token.
    let port = headers
        .get("host")
        .and_then(|host| host.to_str().ok()?.rsplit(':').next());
    let elsewhere = format!(
        "http://localhost:{}/plain/{name}?signature=secret",
        port.unwrap_or_default()
    );
    (StatusCode::FOUND, [(LOCATION, elsewhere)]).into_response()
}

async fn plain(method: Method, Path(name): Path<String>, State(files): State<Files>, headers: HeaderMap) -> Response {
    let Some(content) = files.get(&name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    if headers.contains_key(AUTHORIZATION) {
        return StatusCode::BAD_REQUEST.into_response();
    }
    let length = content.len();
    if method == Method::HEAD {
        return [
            (CONTENT_LENGTH, length.to_string()),
            (ACCEPT_RANGES, "bytes".to_owned()),
        ]
        .into_response();
    }
    let range = headers
        .get(RANGE)
        .and_then(|range| range.to_str().ok()?.strip_prefix("bytes="));
    let Some((start, end)) = range.and_then(|range| range.split_once('-')) else {
        return content.clone().into_response();
    };
    let (start, end): (usize, usize) = (start.parse().unwrap(), end.parse().unwrap());
    let end = end.min(length - 1);
    let header = [(CONTENT_RANGE, format!("bytes {start}-{end}/{length}"))];
    (StatusCode::PARTIAL_CONTENT, header, content[start..=end].to_owned()).into_response()
}

async fn web(files: BTreeMap<String, String>) -> Result<String> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let routes = Router::new()
        .route("/api/datasets/o/n/tree/v1/data", get(tree))
        .route("/datasets/o/n/resolve/v1/data/{name}", get(resolve))
        .route("/plain/{name}", get(plain))
        .with_state(Arc::new(files));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    Ok(format!("http://{address}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hub_and_a_web_server_give_the_rows_of_a_folder() -> Result {
    let server = Server::start(Reach::Loopback).await?;
    let files = BTreeMap::from([("a.csv".to_owned(), csv(90_000)), ("b.csv".to_owned(), csv(300_000))]);
    let place = Place::new();
    for (name, content) in &files {
        std::fs::write(place.path(&format!("data/{name}")), content)?;
    }
    let url = web(files).await?;
    let expected = place.index("here", &task("*.csv", "Csv", &json!({})), &server)?;
    let run = |store: &str, words: &str, task: &serde_json::Value, token: &str| {
        let output = place
            .command(&[words], store, task, &server)
            .env("HF_TOKEN", token)
            .output();
        output.unwrap()
    };
    let hub = json!({"objects": {"url": "hf://datasets/o/n@v1/data", "endpoint": url}});
    // A web server lists nothing, so its files are named.
    let mut named = task(
        "",
        "Csv",
        &json!({"objects": {"url": format!("{url}/plain")}, "paths": ["a.csv", "b.csv"]}),
    );
    named.as_object_mut().unwrap().remove("path");
    for (store, task) in [("hub", task("*.csv", "Csv", &hub)), ("web", named)] {
        for words in ["inspect", "score", "index"] {
            let output = run(store, words, &task, TOKEN);
            ensure(output.status.success(), || {
                format!("{store} {words}: {}", super::text(&output))
            })?;
        }
        let found = std::fs::read(place.path(&format!("{store}/index/{}/index.arrow", super::KEY)))?;
        ensure(found == expected, || format!("{store}: the index differs"))?;
    }
    // Three pages by the inspection, and by the scorer; the index Job reads no data set.
    let listed = LISTED.load(Ordering::SeqCst);
    ensure(listed == 6, || format!("{listed} pages of listings"))?;
    let output = run("hub", "inspect", &task("*.csv", "Csv", &hub), "hf_wrong");
    let said = place.last_words();
    ensure(
        output.status.code() == Some(super::DATASET) && said.contains("401"),
        || said.clone(),
    )?;
    let folder = json!({"objects": {"url": format!("{url}/plain")}});
    let output = run("web", "inspect", &task("*.csv", "Csv", &folder), TOKEN);
    let said = place.last_words();
    ensure(
        output.status.code() == Some(super::DATASET) && said.contains("`dataset.paths`"),
        || said.clone(),
    )
}
