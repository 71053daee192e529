//! Runs a CurriculumJob to its end, or until it is interrupted.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Volume;
use kube::ResourceExt;
use prometheus::Registry;
use tokio::sync::mpsc;

use super::cluster::LocalCluster;
use super::error::LocalError;
use super::jobs::Jobs;
use super::manifest::{self, Manifest};
use super::places::Places;
use super::pod::Host;
use super::program::{Commands, unset, untold};
use super::progress::Progress;
use super::result;
use super::world::World;
use crate::api::job::CurriculumJob;
use crate::api::status::Stage;
use crate::controller::build::{self, SCORER_PREFIX, names};
use crate::controller::context::Context;
use crate::controller::decide::stage;
use crate::controller::evidence::is_live;
use crate::controller::lease::Leadership;
use crate::controller::memory::Memory;
use crate::controller::reconcile::reconcile_safely;
use crate::controller::sampler_client::SamplerClient;
use crate::controller::validate::{RemoteCredentials, Run, ScorerKind, Store, validate};
use crate::controller::{Metrics, Settings};
use crate::telemetry::client;

/// File with the run's objects.
pub(super) const STATE: &str = "state.json";
/// File that is locked while a process works on the run.
const LOCK: &str = "lock";
/// File that every program of the run locks, shared, for as long as it lives.
pub(super) const PROGRAMS: &str = "programs.lock";
/// Folders of one run. Of its volumes only the store is of use to a run that begins anew.
const OF_A_RUN: [&str; 3] = ["logs", "pods", "snapshots"];
/// Folder of the volumes that begin empty.
pub(super) const VOLUMES: &str = "volumes";
/// Least time between two reports of progress, and first wait after a failure.
const SECOND: Duration = Duration::from_secs(1);
/// Longest wait for the answer to a startup probe.
const PROBE: Duration = Duration::from_secs(2);

/// What to run, and where.
#[derive(Clone, Debug)]
pub struct Options {
    /// File with the CurriculumJob.
    pub manifest: PathBuf,
    /// Folder of the run; `None`: `curriculum-runs/<name>`.
    pub folder: Option<PathBuf>,
    /// `NAME=DIR`: where a claim, ConfigMap, Secret, volume, or folder of an image is here.
    pub volumes: Vec<String>,
    /// `NAME=COMMAND LINE`: the command of a container or scorer here.
    pub commands: Vec<String>,
    /// Begin anew where there is a run already; its scores stay.
    pub again: bool,
}

/// What it came to.
#[derive(Clone, Debug)]
pub struct Ended {
    /// How it ended.
    pub outcome: Outcome,
    /// A table of the result, and what to do next.
    pub text: String,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every phase completed.
    Succeeded,
    /// Over, without success.
    Failed,
    /// The same command goes on.
    Interrupted,
}

/// Runs it until it ends or `interrupted` resolves; progress goes to standard output.
///
/// # Errors
/// When it cannot be started or kept; a run that fails is an [`Outcome`].
pub async fn run(options: &Options, interrupted: impl Future<Output = ()>) -> Result<Ended, LocalError> {
    let Manifest { job, config_maps } = manifest::read(&options.manifest)?;
    let parsed = validate(&job).map_err(|problem| LocalError::Manifest {
        path: options.manifest.clone(),
        problem: problem.message,
    })?;
    let folder = match &options.folder {
        Some(folder) => folder.clone(),
        None => Path::new("curriculum-runs").join(job.name_any()),
    };
    let folder = std::path::absolute(&folder).map_err(|source| LocalError::io(&folder, source))?;
    let is_beside = |map: &str| config_maps.contains_key(map);
    let (places, commands) = resources(options, &parsed, &folder, is_beside)?;
    fs::create_dir_all(&folder).map_err(|source| LocalError::io(&folder, source))?;
    let lock = lock(&folder)?;
    wait_for_programs(&folder).await?;
    let client = SamplerClient::new().map_err(|error| LocalError::Process(error.to_string()))?;
    let http = client::builder().no_proxy().timeout(PROBE).build();
    let world = world(options, job, store_claim(&parsed).as_deref(), &folder)?;
    let (cluster, mut events) = LocalCluster::new(world, folder.join(STATE), client);
    cluster.save()?;
    let (problems, mut problem) = mpsc::unbounded_channel();
    let host = Host {
        cluster: cluster.clone(),
        config_maps,
        places,
        commands,
        folder: folder.clone(),
        binary: std::env::current_exe().map_err(|error| LocalError::Process(format!("own binary: {error}")))?,
        http: http.map_err(|error| LocalError::Process(error.to_string()))?,
    };
    let mut jobs = Jobs::new(Arc::new(host), problems);
    let context = context(cluster.clone())?;
    let mut progress = Progress::new(&cluster.curriculum_job(), &folder);
    let (mut changes, mut broken) = (cluster.changes(), cluster.broken());
    tokio::pin!(interrupted);
    let end = loop {
        changes.mark_unchanged();
        jobs.follow();
        let job = cluster.curriculum_job();
        let again = match reconcile_safely(&context, &job).await {
            Ok(again) => again,
            Err(error) => {
                progress.say(&format!("tried again: {error}"));
                Some(context.memory.failed(&job.uid().unwrap_or_default()))
            }
        };
        let job = cluster.curriculum_job();
        cluster.read(|world| progress.show(&job, world.jobs.values()));
        while let Ok(event) = events.try_recv() {
            progress.event(&event);
        }
        let unchanged = !changes.has_changed().unwrap_or(false);
        let over = match stage(job.status.as_ref()) {
            Stage::Succeeded => Some(Outcome::Succeeded),
            Stage::Failed => Some(Outcome::Failed),
            _ => None,
        };
        if let Some(outcome) = over
            && unchanged
            && !jobs.are_at_work()
        {
            break Ok(outcome);
        }
        // The end of a Job's task is no change, and the bar shows the time.
        let wait = again.map_or(SECOND, |again| again.min(SECOND));
        tokio::select! {
            // An error means that the cluster is gone, which this holds.
            _ = changes.changed() => {}
            () = tokio::time::sleep(wait) => {}
            () = &mut interrupted => break Ok(Outcome::Interrupted),
            Some(problem) = problem.recv() => break Err(problem),
            _ = broken.changed() => {
                let words = broken.borrow().clone().unwrap_or_default();
                break Err(LocalError::Process(words));
            }
        }
    };
    progress.stop();
    if matches!(end, Ok(Outcome::Interrupted)) {
        println!("ending what runs ...");
    }
    jobs.stop().await;
    cluster.save()?;
    cluster.read(|world| result::write_snapshots(&folder, world))?;
    drop(lock);
    let outcome = end?;
    Ok(Ended {
        outcome,
        text: cluster.read(|world| result::text(world, options, &folder, outcome)),
    })
}

fn context(cluster: LocalCluster) -> Result<Context<LocalCluster>, LocalError> {
    let settings = Settings {
        retry_base: SECOND,
        progress_interval: SECOND,
        ..Settings::new(build::Settings {
            image: "none".to_owned(),
            image_pull_policy: None,
        })
    };
    let metrics = Metrics::register(&Registry::new()).map_err(|error| LocalError::Process(error.to_string()))?;
    Ok(Context {
        cluster,
        settings,
        metrics,
        memory: Memory::default(),
        leadership: Leadership::unrivalled(),
    })
}

/// What the pods need of this machine, all of it looked for before anything runs.
fn resources(
    options: &Options,
    run: &Run,
    folder: &Path,
    is_beside: impl Fn(&str) -> bool,
) -> Result<(Places, Commands), LocalError> {
    let checkpoint = build::checkpoint_volume(run);
    let claim_of = |volume: &Volume| Some(volume.persistent_volume_claim.as_ref()?.claim_name.clone());
    let own = checkpoint
        .as_ref()
        .and_then(claim_of)
        .into_iter()
        .chain(store_claim(run));
    let places = Places::new(folder, &options.volumes, own.collect::<BTreeSet<_>>());
    let commands = Commands::new(&options.commands);
    let (places, commands) = match (places, commands) {
        (Ok(places), Ok(commands)) => (places, commands),
        (places, commands) => {
            let problems = [places.err(), commands.err()].into_iter().flatten().flatten();
            return Err(LocalError::Missing(problems.collect()));
        }
    };
    let template = &run.training.template;
    let mut volumes: Vec<Volume> = vec![build::dataset_volume(run)];
    volumes.extend(checkpoint);
    volumes.extend(build::credentials_volume(run).map(needed));
    volumes.extend(template.pod.volumes.iter().flatten().cloned());
    let of_scorers = run.scoring.scorers.iter().flat_map(build::scorer_volumes);
    volumes.extend(of_scorers.map(|mounted| mounted.volume));
    let volumes = volumes.iter().filter_map(|volume| places.of(volume, &is_beside).err());
    let mut missing: BTreeSet<String> = volumes.collect();
    let init = template.pod.init_containers.iter().flatten();
    let trainers = template
        .before
        .iter()
        .chain([&template.trainer])
        .chain(&template.after)
        .chain(init);
    let mut known = Vec::new();
    for container in trainers {
        missing.extend(commands.problem(container));
        missing.extend(unset(&container.name, container.env.as_deref().unwrap_or_default()));
        missing.extend(untold(
            &container.name,
            container.env_from.as_deref().unwrap_or_default(),
            &places,
        ));
        known.push(container.name.clone());
    }
    for scorer in &run.scoring.scorers {
        if let ScorerKind::Container(container) = &scorer.kind {
            missing.extend(unset(&scorer.name, &container.env));
            missing.extend(untold(&scorer.name, &container.env_from, &places));
            known.push(format!("{SCORER_PREFIX}{}", scorer.name));
        }
    }
    if let Some(RemoteCredentials::Variables(sources)) = run.store.remote().map(|remote| &remote.credentials) {
        missing.extend(untold("store", sources, &places));
    }
    missing.extend(commands.strangers(&known));
    if missing.is_empty() {
        Ok((places, commands))
    } else {
        Err(LocalError::Missing(missing.into_iter().collect()))
    }
}

/// The volume, which a pod on a cluster may start without: here it is known at once whether it was forgotten.
fn needed(mut volume: Volume) -> Volume {
    if let Some(secret) = &mut volume.secret {
        secret.optional = None;
    }
    volume
}

/// Name of the claim of the store; `None`: no volume holds it.
fn store_claim(run: &Run) -> Option<String> {
    match &run.store {
        Store::Claim(name) => Some(name.clone()),
        Store::Own(_) => Some(names::store_claim(&run.head.id.name)),
        Store::Remote(_) => None,
    }
}

fn lock(folder: &Path) -> Result<File, LocalError> {
    let path = folder.join(LOCK);
    let file = File::create(&path).map_err(|source| LocalError::io(&path, source))?;
    file.try_lock().map_err(|_| LocalError::Folder {
        folder: folder.to_owned(),
        problem: "another process works on this run; wait for it, or give another --dir".to_owned(),
    })?;
    Ok(file)
}

/// Waits until nothing lives any more of what a process that was killed had started: two trainers must never meet.
async fn wait_for_programs(folder: &Path) -> Result<(), LocalError> {
    let path = folder.join(PROGRAMS);
    let file = File::create(&path).map_err(|source| LocalError::io(&path, source))?;
    let locked = tokio::task::spawn_blocking(move || file.lock()).await;
    let locked = locked.map_err(|error| LocalError::Process(error.to_string()))?;
    locked.map_err(|source| LocalError::io(&path, source))
}

/// The run of the folder, or a new one.
fn world(options: &Options, job: CurriculumJob, store: Option<&str>, folder: &Path) -> Result<World, LocalError> {
    let known = World::read(&folder.join(STATE))?;
    if known.is_some() && options.again {
        clear(folder, store)?;
    }
    let Some(mut world) = known.filter(|_| !options.again) else {
        return Ok(World::new(job, uuid::Uuid::new_v4().to_string(), super::process::now()));
    };
    if world.curriculum_job.name_any() != job.name_any() || world.curriculum_job.spec != job.spec {
        return Err(LocalError::Folder {
            folder: folder.to_owned(),
            problem: format!(
                "has a run of '{}' with another spec; --again begins anew, --dir takes another folder",
                world.curriculum_job.name_any()
            ),
        });
    }
    // What ran when the process ended has ended with it, and counts for nothing; its Job begins anew.
    let live: BTreeSet<String> = world
        .jobs
        .values()
        .filter(|job| is_live(job))
        .filter_map(ResourceExt::uid)
        .collect();
    world
        .pods
        .retain(|_, pod| !pod.owner_references().iter().any(|owner| live.contains(&owner.uid)));
    Ok(world)
}

/// Removes what the run of this folder left, but for its scores. A folder without a run keeps all that it has.
fn clear(folder: &Path, store: Option<&str>) -> Result<(), LocalError> {
    let volumes = match fs::read_dir(folder.join(VOLUMES)) {
        Ok(volumes) => volumes.filter_map(|entry| Some(entry.ok()?.path())).collect(),
        Err(_) => Vec::new(),
    };
    let volumes = volumes
        .into_iter()
        .filter(|path| store.is_none_or(|store| !path.ends_with(store)));
    for path in OF_A_RUN.map(|name| folder.join(name)).into_iter().chain(volumes) {
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(LocalError::io(&path, error)),
            _ => {}
        }
    }
    Ok(())
}
