//! `curriculum exec`: runs a user's program as the scorer of one shard and takes over the file that it wrote.
//!
//! ```text
//! environment CURRICULUM_* ─► program ─► <scratch>/scores.{parquet,csv,jsonl} ─rename─► scores/<key>/<scorer>/<shard>.<ext>
//! ```

use std::ffi::{OsStr, OsString};
use std::fs::{self, Permissions};
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};

use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::dataset::{Inspected, Root, is_missing};
use super::error::{ScoringError, list_names};
use super::manifest::Manifest;
use super::overrides;
use super::shards::{EXTENSIONS, hand_in};
use super::store::{Shard, Store};
use super::task::{Format, Task};
use super::validate;
use crate::api::names::{ENV_CREDENTIALS, ENV_STORE};
use crate::store::scratch::{ScratchFolder, create_folder};

const OUTPUT_NAME: &str = "scores";
const FILES_NAME: &str = "files.csv";
const ALL_FILES_NAME: &str = "all-files.csv";

/// How a program ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With exit code 0 and a file of scores, which is now in its place; or the shard has no rows and needs none.
    Scored,
    /// With another exit code, or by a signal: 128 + its number.
    Failed(u8),
}

/// Runs `program` as scorer `name` of a shard. Its standard streams are this process's; SIGTERM, SIGINT and SIGHUP are passed on.
///
/// # Errors
/// [`ScoringError::ScoresInvalid`] when it cannot be started, or ends with exit code 0 without exactly one file of scores;
/// those of the data set and the store.
pub fn run(
    task: &Task,
    root: &Root,
    store: &Store,
    shard: Shard,
    name: &str,
    program: &[OsString],
) -> Result<Outcome, ScoringError> {
    validate::scorer(task, name)?;
    let manifest = Manifest::load(store, task)?;
    overrides::usable(task, &manifest)?;
    let rows = shard.rows(manifest.rows);
    let dataset = Inspected::open(task, root, store, &manifest, rows.clone())?;
    if rows.is_empty() {
        tracing::info!("more shards than rows: this one has none to score");
        return Ok(Outcome::Scored);
    }
    let owner = format!("{name}.{}", shard.stem());
    let scratch = ScratchFolder::create(&store.scratch(task), &owner)?;
    let output = absolute(&scratch.path().join(OUTPUT_NAME))?;
    let files = absolute(&scratch.path().join(FILES_NAME))?;
    let all_files = absolute(&scratch.path().join(ALL_FILES_NAME))?;
    list_files(
        dataset
            .files
            .iter()
            .map(|(data, rows)| (data.file.path.clone(), rows.clone())),
        &files,
    )?;
    list_files(
        manifest.spans().map(|(file, rows)| (root.path.join(&file.path), rows)),
        &all_files,
    )?;
    let whole = match (&manifest.files[..], &task.path) {
        ([only], _) => root.path.join(&only.path),
        (_, Some(path)) => root.path.join(path),
        (_, None) => root.path.clone(),
    };
    let [command, arguments @ ..] = program else {
        return Err(ScoringError::InvalidTask(format!(
            "scorer `{name}` has no command; set `container.command`"
        )));
    };
    let mut command = Command::new(command);
    // The store is asked by this process alone.
    let is_of_store = |name: &OsStr| name == ENV_CREDENTIALS || name.to_string_lossy().starts_with(ENV_STORE);
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_of_store(name)) {
        command.env_remove(name);
    }
    command
        .args(arguments)
        .env("CURRICULUM_DATASET", absolute(&whole)?)
        .env("CURRICULUM_DATASET_ROOT", absolute(&root.path)?)
        .env("CURRICULUM_FILES", &files)
        .env("CURRICULUM_ALL_FILES", &all_files)
        .env("CURRICULUM_FORMAT", format_value(task.format))
        .env("CURRICULUM_SHARD_INDEX", shard.index.to_string())
        .env("CURRICULUM_SHARD_COUNT", shard.count.to_string())
        .env("CURRICULUM_ROW_START", rows.start.to_string())
        .env("CURRICULUM_ROW_END", rows.end.to_string())
        .env("CURRICULUM_SEED", task.seed.to_string())
        .env("CURRICULUM_OUTPUT", &output);
    if task.format == Format::Csv {
        command.env("CURRICULUM_DELIMITER", task.delimiter.to_string());
    }
    let status = supervise(command).map_err(|e| {
        ScoringError::ScoresInvalid(format!(
            "scorer `{name}`: cannot start `{}`: {e}",
            program[0].to_string_lossy()
        ))
    })?;
    if !status.success() {
        return Ok(Outcome::Failed(exit_code(status)));
    }
    take_over(store, &output, &store.scorer(task, name), shard, name)?;
    Ok(Outcome::Scored)
}

/// Tells the program which files there are: `path`, and the first and the end of the rows that the file holds, counted over the whole
/// data set.
fn list_files(listed: impl Iterator<Item = (PathBuf, Range<u64>)>, path: &Path) -> Result<(), ScoringError> {
    let failed = |error: csv::Error| ScoringError::io("write", path, error.into());
    let mut writer = csv::Writer::from_path(path).map_err(failed)?;
    writer.write_record(["path", "start", "end"]).map_err(failed)?;
    for (file, rows) in listed {
        let place = absolute(&file)?;
        let (start, end) = (rows.start.to_string(), rows.end.to_string());
        let place = place.to_string_lossy();
        writer.write_record([&*place, &start, &end]).map_err(failed)?;
    }
    writer.flush().map_err(|e| ScoringError::io("write", path, e))
}

fn absolute(path: &Path) -> Result<PathBuf, ScoringError> {
    std::path::absolute(path).map_err(|e| ScoringError::io("find", path, e))
}

/// Value of `CURRICULUM_FORMAT`, as in `dataset.format`.
fn format_value(format: Format) -> &'static str {
    match format {
        Format::Parquet => "Parquet",
        Format::Csv => "Csv",
        Format::JsonLines => "JsonLines",
    }
}

/// Runs a command to its end and passes signals on to it.
fn supervise(mut command: Command) -> std::io::Result<ExitStatus> {
    // Before the start: no signal gets lost. One thread waits for both signals and the end, so that a signal can never
    // go to a process that has been waited for, whose id may be another's by then.
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP, SIGCHLD])?;
    let mut child = command.spawn()?;
    loop {
        for signal in signals.wait() {
            if signal != SIGCHLD {
                pass_on(&child, signal);
            }
        }
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
    }
}

fn pass_on(child: &Child, signal: i32) {
    let signal = match signal {
        SIGINT => Signal::INT,
        SIGHUP => Signal::HUP,
        _ => Signal::TERM,
    };
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    if let Some(Err(error)) = pid.map(|pid| kill_process(pid, signal)) {
        tracing::warn!(%error, "cannot pass a signal on to the scorer");
    }
}

/// Exit code of a shell for the same end.
pub(crate) fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    u8::try_from(code).unwrap_or(1)
}

/// Renames the one file that the program wrote to the shard's place.
fn take_over(store: &Store, output: &Path, target: &Path, shard: Shard, name: &str) -> Result<(), ScoringError> {
    let invalid = |found: String| {
        let wanted = EXTENSIONS
            .map(|(extension, _)| format!("`$CURRICULUM_OUTPUT.{extension}`"))
            .join(", ");
        ScoringError::ScoresInvalid(format!(
            "scorer `{name}` ended with exit code 0 but {found}; it must write one of {wanted}"
        ))
    };
    let mut written = Vec::new();
    for (extension, _) in EXTENSIONS {
        let path = output.with_extension(extension);
        match store.disk().look(&path) {
            Ok(found) if found.is_file => written.push((path, extension)),
            Err(e) if !is_missing(&e) => return Err(ScoringError::io("open", &path, e)),
            _ => {}
        }
    }
    let (path, extension) = match &written[..] {
        [one] => one,
        [] => return Err(invalid(format!("left no scores{}", others(output)))),
        several => return Err(invalid(format!("wrote {} files of scores", several.len()))),
    };
    let target = target.join(format!("{}.{extension}", shard.stem()));
    if let Some(folder) = target.parent() {
        create_folder(folder)?;
    }
    fs::set_permissions(path, Permissions::from_mode(0o644)).map_err(|e| ScoringError::io("open", path, e))?;
    fs::rename(path, &target).map_err(|e| ScoringError::io("rename to", &target, e))?;
    hand_in(store, &target)
}

/// What the program wrote instead, by extension: a wrong one is the usual mistake.
fn others(output: &Path) -> String {
    let Some(entries) = output.parent().and_then(|folder| fs::read_dir(folder).ok()) else {
        return String::new();
    };
    let mut names: Vec<String> = entries
        .take(100)
        .filter_map(|entry| Some(text(&entry.ok()?.file_name())))
        .filter(|name| name != FILES_NAME && name != ALL_FILES_NAME)
        .collect();
    names.sort();
    if names.is_empty() {
        return String::new();
    }
    format!(" (it wrote {})", list_names(names.iter().map(String::as_str)))
}

fn text(name: &OsStr) -> String {
    name.to_string_lossy().into_owned()
}
