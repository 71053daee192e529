//! One run under one fault: the operator behind its proxy, the cluster that is played for it, and what became of the run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use curriculum_operator::api::job::CurriculumJob;
use curriculum_operator::api::snapshot::CurriculumSnapshot;
use curriculum_operator::controller::{Options, Readiness, Settings, build, run};
use e2e::api_server::ApiServer;
use e2e::fault_proxy::{Fault, FaultProxy, WatchFault};
use e2e::{Result, wait};
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim};
use kube::api::{Api, ListParams, PostParams};
use kube::{Client, Config, ResourceExt};
use prometheus::Registry;
use serde_json::json;
use tokio::runtime::{Builder, Runtime};

use super::player::{Made, Player, Story};

/// Longest time for one run, on a busy machine.
const LIMIT: Duration = Duration::from_secs(90);
/// Longest wait for a fault or a write that comes after the run's end.
const REST: Duration = Duration::from_secs(20);
/// Name of the CurriculumJob.
const NAME: &str = "run";

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    Nothing,
    Write(usize, Fault),
    Watches(WatchFault),
}

/// What a run leaves behind. Times, UIDs and digests of the plan differ from run to run, everything in here must not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Status and reason of each condition.
    conditions: BTreeMap<String, (String, String)>,
    scores: String,
    /// Number, phase, first step and attempts of each visit that ended its phase.
    visits: Vec<(i32, String, i64, i32)>,
    /// How many Jobs there ever were of each name.
    jobs: BTreeMap<String, usize>,
    objects: BTreeSet<String>,
    /// Whether each snapshot names the one before it.
    chained: Vec<bool>,
}

/// The operator, in a runtime of its own that can be ended at any moment.
struct Process(Option<Runtime>);

impl Process {
    fn start(url: &str, namespace: &str) -> Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let image = build::Settings {
            image: "curriculum:test".to_owned(),
            image_pull_policy: None,
        };
        let options = Options {
            settings: Settings {
                retry_base: Duration::from_millis(200),
                ..Settings::new(image)
            },
            namespace: Some(namespace.to_owned()),
            concurrency: 2,
            lease: None,
        };
        let config = Config::new(url.parse()?);
        runtime.spawn(async move {
            let client = Client::try_from(config)?;
            run(
                client,
                options,
                &Registry::new(),
                Readiness::default(),
                std::future::pending(),
            )
            .await?;
            Result::Ok(())
        });
        Ok(Self(Some(runtime)))
    }

    /// Ends everything that it does, wherever it stands, and waits for that.
    async fn kill(mut self) {
        if let Some(runtime) = self.0.take() {
            let ended = tokio::task::spawn_blocking(move || runtime.shutdown_timeout(Duration::from_secs(5)));
            let _ = ended.await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// A client, once there is a namespace of that name.
pub(crate) async fn prepare(server: &ApiServer, namespace: &str) -> Result<Client> {
    server.namespace(namespace).await?;
    Ok(server.client().await?)
}

/// Submits a CurriculumJob of two phases.
pub(crate) async fn submit(client: &Client, namespace: &str, name: &str) -> Result {
    let job: CurriculumJob = serde_json::from_value(json!({
        "apiVersion": "curriculum.dev/v1alpha1", "kind": "CurriculumJob", "metadata": {"name": name},
        "spec": {
            "seed": 7,
            "dataset": {"volume": {"configMap": {"name": "data"}}, "path": "data.csv"},
            "scoring": {"scorers": [{"name": "given", "column": {"column": "difficulty"}}]},
            "curriculum": {"batchSize": 8, "phases": [
                {"name": "easy", "pool": {"fraction": "0.25"}, "duration": {"steps": 20}},
                {"name": "all", "pool": {"fraction": "1"}, "duration": {"steps": 20}},
            ]},
            "training": {"backoffLimit": 2, "template": {"spec": {"containers": [{"name": "trainer", "image": "trainer:1"}]}}},
        },
    }))?;
    let api: Api<CurriculumJob> = Api::namespaced(client.clone(), namespace);
    api.create(&PostParams::default(), &job).await?;
    Ok(())
}

/// Plays a run to its end; what became of it, and how many writes the operator made.
///
/// # Errors
/// When the run does not end, or the fault did not happen.
pub(crate) async fn play(
    server: Arc<ApiServer>,
    namespace: String,
    story: Story,
    trouble: Trouble,
) -> Result<(Outcome, usize)> {
    let client = prepare(&server, &namespace).await?;
    let (proxy, mut kills) = FaultProxy::start(client.clone()).await?;
    match trouble {
        Trouble::Nothing => {}
        Trouble::Write(number, fault) => proxy.fail(number, fault),
        Trouble::Watches(fault) => proxy.fail_watches(fault),
    }
    let (url, within) = (proxy.url(), namespace.clone());
    let mut process = Process::start(&url, &namespace)?;
    let mut killer = tokio::task::JoinSet::new();
    killer.spawn(async move {
        while let Some(dead) = kills.recv().await {
            process.kill().await;
            let _ = dead.send(());
            let Ok(next) = Process::start(&url, &within) else {
                return;
            };
            process = next;
        }
    });
    let player = Player::start(&client, &namespace, story);
    submit(&client, &namespace, NAME).await?;
    let runs: Api<CurriculumJob> = Api::namespaced(client.clone(), &namespace);
    let ended = wait::until_found(&runs, NAME, "the end", LIMIT, wait::has_ended).await;
    if let Err(error) = ended {
        let found = runs.get(NAME).await?;
        return Err(format!("{error}: {:#?}", found.status.map(|status| status.conditions)).into());
    }
    // The event is the last write; the fault may be its.
    let is_settled = |proxy: &FaultProxy| match trouble {
        Trouble::Write(..) => proxy.has_failed(),
        _ => proxy
            .writes()
            .last()
            .is_some_and(|write| write.path.ends_with("/events")),
    };
    proxy.until(REST, is_settled).await?;
    let found = wait::until_found(&runs, NAME, "the end", LIMIT, wait::has_ended).await?;
    Ok((
        outcome(&client, &namespace, &found, &player.made()).await?,
        proxy.writes().len(),
    ))
}

async fn outcome(client: &Client, namespace: &str, run: &CurriculumJob, made: &Made) -> Result<Outcome> {
    let status = run.status.as_ref().ok_or("a status")?;
    let all = ListParams::default();
    let maps = Api::<ConfigMap>::namespaced(client.clone(), namespace)
        .list(&all)
        .await?;
    let claims = Api::<PersistentVolumeClaim>::namespaced(client.clone(), namespace)
        .list(&all)
        .await?;
    let mut snapshots = Api::<CurriculumSnapshot>::namespaced(client.clone(), namespace)
        .list(&all)
        .await?
        .items;
    snapshots.sort_by_key(|snapshot| snapshot.name_any().len());
    snapshots.sort_by_key(ResourceExt::name_any);
    let mut objects: BTreeSet<String> = maps.iter().map(|map| format!("ConfigMap {}", map.name_any())).collect();
    objects.extend(claims.iter().map(|claim| format!("claim {}", claim.name_any())));
    objects.extend(
        snapshots
            .iter()
            .map(|snapshot| format!("snapshot {}", snapshot.name_any())),
    );
    let conditions = status.conditions.iter();
    let mut before = None;
    let mut chained = Vec::new();
    for snapshot in &snapshots {
        chained.push(snapshot.spec.previous == before);
        before = Some(snapshot.spec.digest.clone());
    }
    Ok(Outcome {
        conditions: conditions
            .map(|condition| {
                (
                    condition.type_.clone(),
                    (condition.status.clone(), condition.reason.clone()),
                )
            })
            .collect(),
        scores: format!(
            "{:?}",
            status
                .scores
                .as_ref()
                .map(|scores| (scores.source, &scores.fallback_reason))
        ),
        visits: status
            .visits
            .iter()
            .map(|visit| (visit.visit, visit.phase_name.clone(), visit.start_step, visit.attempts))
            .collect(),
        jobs: made.iter().map(|(name, uids)| (name.clone(), uids.len())).collect(),
        objects,
        chained,
    })
}
