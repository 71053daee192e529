//! `curriculum verify`: checks that snapshots are one unbroken history.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde::Deserialize;
use serde_json::Value;

use crate::curriculum::snapshot::{Link, State, verify};

/// Characters of a digest that are shown.
const DIGEST: usize = 12;

/// Check that snapshots are one unbroken history, and show what they record.
///
/// Each names the digest of the one before it, so that none before the last can be changed, left out or put in between. For the last one
/// give the digest that the run's status has (`status.visits[].snapshotDigest`). Files are what the operator archives
/// (`snapshots.archive`), what `curriculum run` leaves, and what `kubectl get curriculumsnapshots -o json` prints.
#[derive(Args, Debug)]
pub(crate) struct VerifyArgs {
    /// Manifests, as JSON or YAML, in any order; `-` for standard input.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Digest that the last one must have.
    #[arg(long, value_name = "DIGEST")]
    last: Option<String>,
}

/// A snapshot as its manifest has it.
struct Snapshot {
    name: String,
    spec: Spec,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    phase_index: u32,
    phase_name: String,
    visit: u32,
    step: u64,
    digest: String,
    #[serde(default)]
    previous: Option<String>,
    state: String,
    #[serde(rename = "jobUID")]
    job_uid: String,
}

pub(crate) fn run(args: &VerifyArgs) -> ExitCode {
    match check(&args.files, args.last.as_deref()) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("curriculum verify: {error}");
            ExitCode::FAILURE
        }
    }
}

fn check(files: &[PathBuf], last: Option<&str>) -> Result<String, String> {
    let mut snapshots = Vec::new();
    for file in files {
        snapshots.extend(read(file).map_err(|error| format!("{}: {error}", file.display()))?);
    }
    snapshots.sort_by_key(|snapshot| snapshot.spec.step);
    let Some(first) = snapshots.first() else {
        return Err("there is no CurriculumSnapshot in what was given".to_owned());
    };
    if let Some(other) = snapshots.iter().find(|other| other.spec.job_uid != first.spec.job_uid) {
        return Err(format!(
            "{} is of the run {}, {} of {}; give the snapshots of one run",
            first.name, first.spec.job_uid, other.name, other.spec.job_uid
        ));
    }
    let links = snapshots.iter().map(|snapshot| Link {
        name: &snapshot.name,
        state: &snapshot.spec.state,
        digest: &snapshot.spec.digest,
        previous: snapshot.spec.previous.as_deref(),
    });
    let states = verify(&links.collect::<Vec<_>>()).map_err(|error| error.to_string())?;
    for (snapshot, state) in snapshots.iter().zip(&states) {
        let Snapshot { name, spec } = snapshot;
        let beside = (spec.phase_index, spec.phase_name.as_str(), spec.visit, spec.step);
        let within = (state.phase_index, state.phase_name.as_str(), state.visit, state.step);
        if beside != within {
            return Err(format!(
                "snapshot {name}: it says {beside:?}, but its state {within:?} (phase, name, visit, step)"
            ));
        }
    }
    let newest = snapshots.last().map_or("", |snapshot| &snapshot.spec.digest);
    if let Some(last) = last.filter(|last| *last != newest) {
        return Err(format!(
            "the last snapshot's digest is {newest}, not {last}: one is missing, or it was changed"
        ));
    }
    Ok(text(&snapshots, &states, last.is_some()))
}

fn read(file: &Path) -> Result<Vec<Snapshot>, String> {
    let text = match file.as_os_str() == "-" {
        true => std::io::read_to_string(std::io::stdin()),
        false => std::fs::read_to_string(file),
    };
    let text = text.map_err(|error| error.to_string())?;
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text).map_err(|error| error.to_string())?;
    let mut found = Vec::new();
    for document in documents {
        let items = document["items"].as_array().cloned();
        for object in items.unwrap_or_else(|| vec![document]) {
            if object["kind"] != "CurriculumSnapshot" {
                return Err(format!("kind {} is no CurriculumSnapshot", object["kind"]));
            }
            let name = object["metadata"]["name"].as_str().unwrap_or("(no name)").to_owned();
            let spec = serde_json::from_value(object["spec"].clone()).map_err(|error| format!("{name}: {error}"))?;
            found.push(Snapshot { name, spec });
        }
    }
    Ok(found)
}

/// A table of at most 80 columns, and what it means.
fn text(snapshots: &[Snapshot], states: &[State], is_last_known: bool) -> String {
    let mut text = format!(
        "{:<24} {:<14} {:>10} {:>14}  {:<12}\n",
        "SNAPSHOT", "PHASE", "STEP", "TOKENS", "DIGEST"
    );
    for (snapshot, state) in snapshots.iter().zip(states) {
        let digest = snapshot.spec.digest.trim_start_matches("sha256:");
        let _ = writeln!(
            text,
            "{:<24} {:<14} {:>10} {:>14}  {:<12}",
            cut(&snapshot.name, 24),
            cut(&state.phase_name, 14),
            state.step,
            state.tokens.map_or_else(|| "-".to_owned(), |tokens| tokens.to_string()),
            cut(digest, DIGEST)
        );
    }
    let _ = writeln!(
        text,
        "\nAn unbroken history: each snapshot names the digest of the one before it."
    );
    if let Some(digest) = states.first().and_then(|state| state.previous.as_ref()) {
        let _ = writeln!(text, "What came before is not here: the first one follows\n  {digest}");
    }
    if let Some(last) = snapshots.last().filter(|_| !is_last_known) {
        let _ = writeln!(
            text,
            "That the last one is the run's last, its status tells:\n  curriculum verify --last {}",
            last.spec.digest
        );
    }
    text
}

fn cut(text: &str, width: usize) -> String {
    text.chars().take(width).collect()
}
