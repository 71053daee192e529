//! The same CurriculumJob on the cluster and on this machine.

use std::path::Path;
use std::process::Command;

use curriculum_operator::api::job::CurriculumJob;
use curriculum_operator::api::snapshot::CurriculumSnapshot;
use e2e::Result;
use e2e::case::with_temp_ns;
use e2e::fixture::Example;
use e2e::observe::ensure;
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::json;

/// Case 19.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_without_a_cluster_leaves_the_same_snapshots() -> Result {
    with_temp_ns("local", |case| async move {
        case.data_set().await?;
        let example = Example::new("run").scored_by("reverse");
        let example = example.with(
            &json!({"scoring": {"shards": 2, "parallelism": 2}, "curriculum": {"balance": "Group"},
                                         "dataset": {"split": {"heldOut": "0.1"}}}),
        );
        let job = case.submit(&example).await?;
        let folder = tempfile::tempdir()?;
        let data = case.api::<ConfigMap>().get("data").await?.data.unwrap_or_default();
        for (name, text) in data {
            std::fs::write(folder.path().join(name), text)?;
        }
        let here = here(&job, folder.path())?;
        let job = case.succeeded("run").await?;
        let there: Vec<String> = case
            .snapshot_chain(&job)
            .await?
            .into_iter()
            .map(|snapshot| snapshot.spec.state)
            .collect();
        // Digests of plan, scores and rows, rows of each group, and the chain: all of it.
        ensure(there.len() == 2 && here == there, || {
            format!("on the cluster: {there:#?}\nhere: {here:#?}")
        })
    })
    .await
}

/// The states of the snapshots that the job leaves on this machine.
fn here(job: &CurriculumJob, folder: &Path) -> Result<Vec<String>> {
    let manifest = folder.join("job.json");
    std::fs::write(&manifest, serde_json::to_vec(job)?)?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(env!("CARGO_BIN_EXE_operator"))
        .args(["run", "-f", "job.json", "-d", "run", "-v", "data=."])
        .arg("-v")
        .arg(format!("/tests={}", root.join("programs").display()))
        .env("PYTHONPATH", root.join("../python"))
        .current_dir(folder)
        .output()?;
    ensure(output.status.success(), || {
        String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
    })?;
    let mut snapshots = Vec::new();
    for entry in std::fs::read_dir(folder.join("run/snapshots"))? {
        let snapshot: CurriculumSnapshot = serde_json::from_slice(&std::fs::read(entry?.path())?)?;
        snapshots.push(snapshot.spec);
    }
    snapshots.sort_by_key(|snapshot| snapshot.step);
    Ok(snapshots.into_iter().map(|snapshot| snapshot.state).collect())
}
