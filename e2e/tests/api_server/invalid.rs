//! Manifests that must be refused, each with a message that names the field and says what would be right: `invalid.yaml`.

use std::collections::BTreeMap;

use http::Method;
use serde::Deserialize;
use serde_json::Value;

use super::{base, changed, send, server};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    /// JSON pointer and value; null removes.
    change: BTreeMap<String, Value>,
    /// Parts of the message.
    expected: Vec<String>,
}

#[tokio::test]
async fn every_invalid_manifest_is_refused_with_a_message_that_helps() {
    let server = server().await;
    let client = server.client().await.unwrap();
    let create =
        async |object: Value| send(&client, Method::POST, "default/curriculumjobs", "&dryRun=All", &object).await;
    // Every case is one change away from this, so that nothing else can be why it is refused.
    create(base()).await.unwrap();

    let cases: Vec<Case> = serde_saphyr::from_str(include_str!("invalid.yaml")).unwrap();
    assert!(cases.len() >= 25, "only {} cases", cases.len());
    let mut failures = Vec::new();
    for Case { name, change, expected } in &cases {
        match create(changed(change)).await {
            Ok(_) => failures.push(format!("{name}: accepted")),
            Err(message) => {
                assert!(!expected.is_empty(), "{name}: nothing is expected of {message:?}");
                let missing = expected.iter().filter(|part| !message.contains(*part));
                failures.extend(missing.map(|part| format!("{name}: no {part:?} in {message:?}")));
                if message.contains("evaluating rule") {
                    failures.push(format!("{name}: a rule failed instead of answering: {message}"));
                }
            }
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {} cases:\n{}",
        failures.len(),
        cases.len(),
        failures.join("\n")
    );
}
