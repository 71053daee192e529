//! What a real API server makes of our custom resources: it takes the CRDs and the samples, refuses what is wrong with a
//! message that helps, and keeps what must not change. No pod runs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod children;
mod clients;
mod controller;
mod immutable;
mod invalid;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use e2e::api_server::ApiServer;
use http::{Method, Request};
use kube::Client;
use serde_json::{Value, json};

/// Root of the repository.
fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The shortest valid job.
fn base() -> Value {
    let path = repository().join("config/samples/column-score.yaml");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_saphyr::from_str(&text).unwrap()
}

/// The base with the values at the given JSON pointers set, or, where the value is null, removed.
fn changed(changes: &BTreeMap<String, Value>) -> Value {
    let mut object = base();
    for (path, value) in changes {
        let operation = if value.is_null() {
            json!([{"op": "remove", "path": path}])
        } else {
            json!([{"op": "add", "path": path, "value": value}])
        };
        let patch: json_patch::Patch = serde_json::from_value(operation).unwrap();
        json_patch::patch(&mut object, &patch).unwrap_or_else(|error| panic!("{path}: {error}"));
    }
    object
}

/// Sends a request as clients with strict validation do, and gives the object or the API server's message.
async fn send(client: &Client, method: Method, path: &str, query: &str, body: &Value) -> Result<Value, String> {
    let content = if method == Method::PATCH {
        "application/merge-patch+json"
    } else {
        "application/json"
    };
    let request = Request::builder()
        .method(method)
        .uri(format!(
            "/apis/curriculum.dev/v1alpha1/namespaces/{path}?fieldValidation=Strict{query}"
        ))
        .header(http::header::CONTENT_TYPE, content)
        .body(body.to_string().into_bytes())
        .unwrap();
    match client.request::<Value>(request).await {
        Ok(object) => Ok(object),
        Err(kube::Error::Api(status)) => Err(status.message.clone()),
        Err(error) => panic!("no answer from the API server: {error}"),
    }
}

async fn server() -> std::sync::Arc<ApiServer> {
    ApiServer::shared().await.unwrap_or_else(|error| panic!("{error}"))
}
