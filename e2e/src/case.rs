//! One end-to-end test: a namespace of its own, its state on failure, and its time.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use tokio::time::Instant;

use crate::{Result, dump, wait};

/// Label of the namespaces that are made here, and may be deleted: `e2e` or `demo`.
const OWNER: &str = "curriculum.dev/made-for";
/// Time for a namespace to go or to be complete.
const LIMIT: Duration = Duration::from_secs(180);

/// A namespace for one test or demo.
#[derive(Clone)]
pub struct Case {
    /// Client with all rights.
    pub client: Client,
    /// Name of the namespace.
    pub namespace: String,
    /// When it was made: an earlier one of that name has left traces in the audit log.
    pub since: Timestamp,
}

impl Case {
    /// Makes the namespace, once whatever an earlier run left of that name is gone. It is labelled as belonging to `owner`,
    /// and enforces the restricted pod security standard.
    ///
    /// # Errors
    /// When a namespace of that name belongs to somebody else, or the API refuses something.
    pub async fn create(client: &Client, namespace: &str, owner: &str) -> Result<Self> {
        let namespaces: Api<Namespace> = Api::all(client.clone());
        if let Some(old) = namespaces.get_opt(namespace).await? {
            if old.labels().get(OWNER).map(String::as_str) != Some(owner) {
                return Err(
                    format!("namespace {namespace} exists and is not ours: it has no label {OWNER}={owner}").into(),
                );
            }
            namespaces.delete(namespace, &DeleteParams::background()).await?;
            wait::until(&namespaces, namespace, "gone", LIMIT, |object| object.is_none()).await?;
        }
        let labels = json!({OWNER: owner, "pod-security.kubernetes.io/enforce": "restricted"});
        let object = serde_json::from_value(json!({"metadata": {"name": namespace, "labels": labels}}))?;
        let made = namespaces.create(&PostParams::default(), &object).await?;
        let since = made.creation_timestamp().ok_or("a namespace without creation time")?.0;
        let case = Self {
            client: client.clone(),
            namespace: namespace.to_owned(),
            since,
        };
        // Pods are refused until their service account is there.
        wait::until(&case.api::<ServiceAccount>(), "default", "made", LIMIT, |object| {
            object.is_some()
        })
        .await?;
        Ok(case)
    }

    /// Objects of the case's namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }
}

/// Runs `body` in a new namespace `e2e-<name>` that enforces the restricted pod security standard, and deletes it
/// afterwards. When the body fails or panics, the namespace's state is printed and kept in `out/`; `E2E_KEEP=1` keeps
/// the namespace too.
///
/// # Errors
/// What the body returned, or why the cluster could not be used.
pub async fn with_temp_ns<F, Fut>(name: &str, body: F) -> Result
where
    F: FnOnce(Case) -> Fut,
    Fut: Future<Output = Result> + Send + 'static,
{
    let started = Instant::now();
    let client = Client::try_default().await.map_err(|error| {
        format!("no cluster to test on ({error}); `e2e/run-tests` brings one up and installs the operator")
    })?;
    let case = Case::create(&client, &format!("e2e-{name}"), "e2e").await?;
    // A task of its own, so that a failed assertion still leaves the time for the dump.
    let outcome = tokio::spawn(body(case.clone())).await;
    let failed = !matches!(outcome, Ok(Ok(())));
    say(&format!(
        "{} {name} {:.1} s",
        if failed { "FAILED" } else { "passed" },
        started.elapsed().as_secs_f64()
    ));
    if failed {
        let state = dump::namespace(&client, &case.namespace).await;
        say(&keep(name, &state)?);
    }
    if std::env::var_os("E2E_KEEP").is_none() {
        Api::<Namespace>::all(client)
            .delete(&case.namespace, &DeleteParams::background())
            .await?;
    }
    match outcome {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

fn keep(name: &str, state: &str) -> Result<String> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../out"));
    std::fs::create_dir_all(&folder)?;
    let path = folder.join(format!("e2e-{name}.txt"));
    std::fs::write(&path, state)?;
    Ok(format!("{state}\nkept in {}", path.display()))
}

/// Writes to standard error past the test harness, which only shows what failed tests print.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
