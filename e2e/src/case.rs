//! One end-to-end test: a namespace of its own, its state on failure, and its time.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::time::Instant;

use crate::{Result, dump, wait};

/// A test's namespace.
#[derive(Clone)]
pub struct Case {
    /// Client with all rights.
    pub client: Client,
    /// Name of the namespace.
    pub namespace: String,
}

impl Case {
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
    let case = Case {
        client: client.clone(),
        namespace: format!("e2e-{name}"),
    };
    create(&case).await?;
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

/// Creates the namespace, once whatever an earlier run left of that name is gone.
async fn create(case: &Case) -> Result {
    let namespaces: Api<Namespace> = Api::all(case.client.clone());
    if namespaces.get_opt(&case.namespace).await?.is_some() {
        namespaces.delete(&case.namespace, &DeleteParams::background()).await?;
        wait::until(
            &namespaces,
            &case.namespace,
            "gone",
            Duration::from_secs(120),
            |object| object.is_none(),
        )
        .await?;
    }
    let labels = json!({"pod-security.kubernetes.io/enforce": "restricted", "curriculum.dev/e2e": "true"});
    let namespace = serde_json::from_value(json!({"metadata": {"name": case.namespace, "labels": labels}}))?;
    namespaces.create(&PostParams::default(), &namespace).await?;
    // Pods are refused until their service account is there.
    wait::until(
        &case.api::<ServiceAccount>(),
        "default",
        "made",
        Duration::from_secs(60),
        |o| o.is_some(),
    )
    .await?;
    Ok(())
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
