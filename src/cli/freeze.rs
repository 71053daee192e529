//! `curriculum freeze`: a run that was steered by metrics, as a fixed schedule.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Longest name of a job.
const MAX_NAME: usize = 40;
const SUFFIX: &str = "-frozen";

/// Write a run that was steered by metrics as a fixed schedule: a CurriculumJob with the same rows, step for step.
///
/// The new job has the visits of the run as its `curriculum.course`, and no `advance` and `regress`. Its rows are the same as long as its data,
/// its scores and its seed are: `status.visits[].snapshotDigest` has what they were.
#[derive(Args, Debug)]
pub(crate) struct FreezeArgs {
    /// The job with its status, as `kubectl get curriculumjob NAME -o yaml` prints it, or `state.json` of `curriculum run`; `-` for standard
    /// input.
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// Name of the new job. Default: the old one's with `-frozen`.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

/// What is read of a status.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    #[serde(default)]
    stage: Option<String>,
    #[serde(default)]
    visits: Vec<Visit>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Visit {
    phase_name: String,
    outcome: String,
    start_step: i64,
    end_step: i64,
}

pub(crate) fn run(args: &FreezeArgs) -> ExitCode {
    let frozen = read(&args.file).and_then(|job| freeze(job, args.name.as_deref()));
    match frozen {
        Ok((manifest, note)) => {
            print!("{manifest}");
            eprintln!("curriculum freeze: {note}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("curriculum freeze: {error}");
            ExitCode::FAILURE
        }
    }
}

fn read(file: &Path) -> Result<Value, String> {
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let text = match file.as_os_str() == "-" {
        true => std::io::read_to_string(std::io::stdin()),
        false => std::fs::read_to_string(file),
    };
    let text = text.map_err(|error| failed(&error))?;
    let mut value: Value = serde_saphyr::from_str(&text).map_err(|error| failed(&error))?;
    let job = match value.get_mut("curriculumJob") {
        Some(job) => job.take(),
        None => value,
    };
    match job["kind"].as_str() {
        Some("CurriculumJob") => Ok(job),
        _ => Err(failed(&format!(
            "kind {} is no CurriculumJob; expected one with its status",
            job["kind"]
        ))),
    }
}

/// The manifest, and what is to be said of it.
fn freeze(mut job: Value, name: Option<&str>) -> Result<(String, String), String> {
    let old = job["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let status: Status = serde_json::from_value(job["status"].take())
        .map_err(|error| format!("{old}: `status` cannot be read: {error}; expected the job as the cluster has it"))?;
    let trained = status.visits.iter().filter(|visit| visit.outcome != "Failed");
    let course: Vec<Value> = trained
        .map(|visit| json!({"phase": visit.phase_name, "steps": visit.end_step - visit.start_step}))
        .collect();
    if course.is_empty() {
        return Err(format!(
            "{old}: no visit of a phase has ended, so there is nothing to freeze"
        ));
    }
    let mut spec = job["spec"].take();
    let curriculum = spec["curriculum"]
        .as_object_mut()
        .ok_or_else(|| format!("{old}: there is no `spec.curriculum`"))?;
    for phase in curriculum
        .get_mut("phases")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        if let Some(phase) = phase.as_object_mut() {
            phase.remove("advance");
            phase.remove("regress");
        }
    }
    curriculum.insert("course".to_owned(), Value::Array(course));
    if let Some(spec) = spec.as_object_mut() {
        spec.remove("suspend");
    }
    let name = name.map_or_else(
        || {
            let kept: String = old.chars().take(MAX_NAME - SUFFIX.len()).collect();
            format!("{}{SUFFIX}", kept.trim_end_matches('-'))
        },
        str::to_owned,
    );
    let mut metadata = Map::from_iter([("name".to_owned(), json!(name))]);
    for kept in ["namespace", "labels"] {
        if let Some(value) = job["metadata"].get(kept) {
            metadata.insert(kept.to_owned(), value.clone());
        }
    }
    let manifest =
        json!({"apiVersion": job["apiVersion"], "kind": "CurriculumJob", "metadata": metadata, "spec": spec});
    let text = serde_saphyr::to_string(&manifest).map_err(|error| error.to_string())?;
    let note = match status.stage.as_deref() {
        Some("Succeeded") => "the visits of a run that succeeded; see it with `curriculum simulate`".to_owned(),
        stage => format!(
            "the run is {}: these are the visits that have ended so far",
            stage.unwrap_or("of unknown state")
        ),
    };
    Ok((text, note))
}
