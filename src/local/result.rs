//! What a run came to: a table, its snapshots as files, and what to do next.

use std::fmt::Write as _;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::error::LocalError;
use super::progress::{number, short};
use super::run::{Options, Outcome, STATE, VOLUMES};
use super::world::World;
use crate::api::job::CurriculumJob;
use crate::api::names::{LABEL_COMPONENT, TRAINER};
use crate::api::status::{CurriculumJobStatus, OverridesStatus, ScoreSource};
use crate::controller::build::{PLAN_FILE, names};
use crate::curriculum::snapshot::{Link, State, verify};

/// Characters of a digest in the table.
const DIGEST: usize = 12;

/// What a run left in its folder.
#[derive(Clone, Debug)]
pub struct Left {
    /// The CurriculumJob, with its status.
    pub job: CurriculumJob,
    /// The plans of its visits, as JSON.
    pub plans: Vec<String>,
    /// What its trainers printed.
    pub trainer_logs: Vec<String>,
    /// How many snapshots it has, in a valid chain.
    pub snapshots: usize,
}

/// Reads what a run left in its folder.
///
/// # Errors
/// When there is no run, a file of it cannot be read, or its snapshots are no chain.
pub fn left(folder: &Path) -> Result<Left, LocalError> {
    let state = folder.join(STATE);
    let world = World::read(&state)?.ok_or_else(|| LocalError::io(&state, ErrorKind::NotFound.into()))?;
    let plans = world
        .config_maps
        .values()
        .filter_map(|map| map.data.as_ref()?.get(PLAN_FILE).cloned());
    let is_trainer = |pod: &&Pod| {
        pod.labels()
            .get(LABEL_COMPONENT)
            .is_some_and(|component| component == "train")
    };
    let log = |pod: &Pod| {
        let path = folder.join("logs").join(pod.name_any()).join(format!("{TRAINER}.log"));
        fs::read_to_string(&path).map_err(|source| LocalError::io(&path, source))
    };
    let mut snapshots: Vec<_> = world.snapshots.iter().collect();
    snapshots.sort_by_key(|(_, snapshot)| snapshot.spec.step);
    let links = snapshots.iter().map(|(name, snapshot)| Link {
        name,
        state: &snapshot.spec.state,
        digest: &snapshot.spec.digest,
        previous: snapshot.spec.previous.as_deref(),
    });
    let chain = verify(&links.collect::<Vec<_>>()).map_err(|error| LocalError::Process(error.to_string()))?;
    Ok(Left {
        plans: plans.collect(),
        trainer_logs: world
            .pods
            .values()
            .filter(is_trainer)
            .map(log)
            .collect::<Result<_, _>>()?,
        snapshots: chain.len(),
        job: world.curriculum_job,
    })
}

/// Writes every snapshot as a manifest, `snapshots/<name>.json`.
///
/// # Errors
/// When a file cannot be written.
pub(super) fn write_snapshots(folder: &Path, world: &World) -> Result<(), LocalError> {
    let folder = folder.join("snapshots");
    let write = || {
        fs::create_dir_all(&folder)?;
        for (name, snapshot) in &world.snapshots {
            fs::write(
                folder.join(format!("{name}.json")),
                serde_json::to_vec_pretty(snapshot)?,
            )?;
        }
        Ok(())
    };
    write().map_err(|source| LocalError::io(&folder, source))
}

/// The result, at most 80 columns wide but for paths.
pub(super) fn text(world: &World, options: &Options, folder: &Path, outcome: Outcome) -> String {
    let job = &world.curriculum_job;
    let status = job.status.clone().unwrap_or_default();
    let mut text = String::new();
    let _ = writeln!(text, "\n{:<14} {}", "RESULT", job.name_any());
    let _ = writeln!(text, "{:<14} {}", "state", words(outcome, &status));
    if let Some(dataset) = &status.dataset {
        let held_out = dataset.held_out_rows.map(|rows| format!(", and {rows} held out"));
        let filtered = dataset.filtered_rows.map(|rows| format!(", and {rows} filtered out"));
        let others = [held_out, filtered].map(Option::unwrap_or_default).concat();
        let _ = writeln!(text, "{:<14} {}{others}", "rows", dataset.rows);
    }
    if let Some(scores) = &status.scores {
        let reason = scores
            .fallback_reason
            .as_deref()
            .map(|reason| format!(", because of {reason}"));
        let _ = writeln!(
            text,
            "{:<14} {:?}{}",
            "scores",
            scores.source,
            reason.unwrap_or_default()
        );
        if let Some(overrides) = &scores.overrides {
            let _ = writeln!(text, "{:<14} {}", "overrides", people(overrides));
        }
    }
    if !status.visits.is_empty() {
        let _ = writeln!(
            text,
            "\n{:<14} {:>15} {:>9}  {:<12}  metrics",
            "PHASE", "steps", "attempts", "rows' digest"
        );
    }
    for visit in &status.visits {
        let snapshot = visit.snapshot.as_ref().and_then(|name| world.snapshots.get(name));
        let state = snapshot.and_then(|snapshot| serde_json::from_str::<State>(&snapshot.spec.state).ok());
        let digest = state
            .as_ref()
            .and_then(|state| state.sequence_digest.clone())
            .unwrap_or_default();
        let digest: String = digest.trim_start_matches("sha256:").chars().take(DIGEST).collect();
        let metrics = state.map(|state| state.metrics).unwrap_or_default();
        let metrics: Vec<String> = metrics
            .iter()
            .map(|(name, metric)| format!("{name} {}", number(&metric.value)))
            .chain(visit.tokens.map(|tokens| format!("({tokens} tokens)")))
            .collect();
        let steps = format!("{}..{}", visit.start_step, visit.end_step);
        let _ = writeln!(
            text,
            "{:<14} {steps:>15} {:>9}  {digest:<12}  {}",
            visit.phase_name.chars().take(14).collect::<String>(),
            visit.attempts,
            metrics.join(" ")
        );
    }
    text += "\nTry next:\n";
    let _ = writeln!(text, "  ls {}  # logs, snapshots, volumes", quoted(folder));
    let manifest = quoted(&options.manifest);
    match outcome {
        Outcome::Interrupted => text += "  the same command again: it goes on where this one ended\n",
        Outcome::Failed => {
            let _ = writeln!(text, "  tail {}/*/*.log", quoted(&folder.join("logs")));
            text += "  the same command with --again, once the cause is mended\n";
        }
        Outcome::Succeeded => {
            let store = job.spec.store.claim_name.clone();
            let store = store.unwrap_or_else(|| names::store_claim(&job.name_any()));
            let given = options
                .volumes
                .iter()
                .find_map(|text| text.strip_prefix(&format!("{store}=")));
            let store = given.map_or_else(|| folder.join(VOLUMES).join(&store), Into::into);
            let key = status
                .scores
                .as_ref()
                .filter(|scores| scores.source != ScoreSource::Uniform);
            let is_here = job.spec.store.object_store.is_none() && job.spec.store.redis.is_none();
            if let Some(key) = key.filter(|_| is_here).and_then(|scores| scores.key.as_ref()) {
                let index = store.join("index").join(key).join("index.arrow");
                let _ = writeln!(
                    text,
                    "  curriculum simulate -f {manifest} -o html --out page.html \\\n    --index {}  # what was served",
                    quoted(&index)
                );
            }
            let _ = writeln!(text, "  kubectl apply -f {manifest}  # the same rows on a cluster");
        }
    }
    text
}

/// How much people said.
fn people(overrides: &OverridesStatus) -> String {
    let counted = |count: i64, one: &str, many: &str| format!("{count} {}", if count == 1 { one } else { many });
    let rows = counted(overrides.rows, "row", "rows");
    let people = counted(overrides.people, "person", "people");
    let unknown = (overrides.unknown_ids > 0)
        .then(|| counted(overrides.unknown_ids, "id is in no row", "ids are in no row"))
        .map(|words| format!("; {words}"));
    format!("{rows}, by {people}{}", unknown.unwrap_or_default())
}

fn words(outcome: Outcome, status: &CurriculumJobStatus) -> String {
    let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready");
    let took = status.start_time.as_ref().zip(status.completion_time.as_ref());
    match (outcome, took) {
        (Outcome::Interrupted, _) => "interrupted".to_owned(),
        (Outcome::Succeeded, Some((start, end))) => {
            format!("succeeded after {:.0} s", end.0.duration_since(start.0).as_secs_f64())
        }
        (Outcome::Succeeded, None) => "succeeded".to_owned(),
        (Outcome::Failed, _) => {
            let why = ready.map(|ready| format!(", {}: {}", ready.reason, ready.message));
            format!("failed{}", short(&why.unwrap_or_default()))
        }
    }
}

/// A path as a word for a shell.
fn quoted(path: &Path) -> String {
    let path = path.to_string_lossy();
    // No path has the one byte that cannot be quoted.
    shlex::try_quote(&path).map_or_else(|_| path.to_string(), std::borrow::Cow::into_owned)
}
