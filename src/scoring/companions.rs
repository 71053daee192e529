//! Files beside the data that scorers read: tokenizers, and scores that somebody has already. Other content gives other scores, so the
//! inspection keeps the SHA-256 of each, and what was made with another one is not used again.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::dataset::{Disk, Input, Root, is_lasting};
use super::error::ScoringError;
use super::manifest::Manifest;
use super::task::{ScorerKind, Task};
use crate::curriculum::canonical;

const BUFFER: usize = 1 << 18;

/// SHA-256 of each such file by its path, relative to the data set's mount.
pub type Companions = BTreeMap<String, String>;

/// The file that a scorer reads beside the data, and the field that names it.
pub fn of(kind: &ScorerKind) -> Option<(&str, &'static str)> {
    match kind {
        ScorerKind::Tokens { tokenizer, .. } => Some((tokenizer, "length.tokenizer.path")),
        ScorerKind::File { path, .. } => Some((path, "file.path")),
        ScorerKind::Column { .. }
        | ScorerKind::Length { .. }
        | ScorerKind::Rarity { .. }
        | ScorerKind::Duplicates { .. }
        | ScorerKind::CentreDistance { .. }
        | ScorerKind::Container => None,
    }
}

/// The digests of the files that a task's scorers read. One that cannot be read is left out: the inspection says what the data set
/// holds, and with which error scoring fails is scoring's affair.
///
/// # Errors
/// Of a disk or network that may do better next time.
pub fn digests(task: &Task, root: &Root) -> Result<Companions, ScoringError> {
    let mut digests = Companions::new();
    for (shown, _) in task.scorers.iter().filter_map(|scorer| of(&scorer.kind)) {
        let path = root.path.join(shown);
        match digest(root.disk.as_ref(), &path) {
            Ok(digest) => drop(digests.insert(shown.to_owned(), digest)),
            Err(error) if is_lasting(&error) => tracing::warn!(%error, path = shown, "a scorer's file is not readable"),
            Err(error) => return Err(ScoringError::io("read", &path, error)),
        }
    }
    Ok(digests)
}

/// How the files that are there differ from those that were; `None`: in nothing.
pub fn difference(then: &Companions, now: &Companions) -> Option<String> {
    let changed = |path: &&String| then.get(*path) != now.get(*path);
    let path = then.keys().chain(now.keys()).find(changed)?;
    Some(match now.get(path) {
        None => format!("`{path}`, which a scorer reads, is gone"),
        Some(_) => format!("`{path}`, which a scorer reads, has changed"),
    })
}

/// Checks that the file of the task's scorer `name` has the content that was inspected.
///
/// # Errors
/// [`ScoringError::ScoresInvalid`] names the field when it is not there, or another one than before; [`ScoringError::Io`] when the disk
/// or the network failed, which may pass.
pub(super) fn check(
    task: &Task,
    name: &str,
    path: &Path,
    disk: &dyn Disk,
    manifest: &Manifest,
) -> Result<(), ScoringError> {
    let now = digest(disk, path).map_err(|error| unreadable(task, name, path, error))?;
    compare(task, name, &now, manifest)
}

/// As [`check`], of a file whose digest is known already.
pub(super) fn compare(task: &Task, name: &str, now: &str, manifest: &Manifest) -> Result<(), ScoringError> {
    let of_task = task.scorers.iter().find(|scorer| scorer.name == name);
    let shown = of_task.and_then(|scorer| of(&scorer.kind)).map(|(shown, _)| shown);
    if shown
        .and_then(|shown| manifest.companions.get(shown))
        .is_some_and(|then| then == now)
    {
        return Ok(());
    }
    let what = "which has changed since the inspection; it must stay as it is during a run";
    Err(wrong(task, name, what))
}

/// What it means that the file of the task's scorer `name` cannot be read.
pub(super) fn unreadable(task: &Task, name: &str, path: &Path, error: io::Error) -> ScoringError {
    if !is_lasting(&error) {
        return ScoringError::io("read", path, error);
    }
    if error.kind() == io::ErrorKind::NotFound {
        let what = "which does not exist; give the path of a file below the data set's volume";
        return wrong(task, name, what);
    }
    wrong(task, name, &format!("which cannot be read: {error}"))
}

/// The error of a file of the task's scorer `name`.
pub(super) fn wrong(task: &Task, name: &str, what: &str) -> ScoringError {
    let place = task.scorers.iter().position(|scorer| scorer.name == name);
    let (shown, field) = place
        .and_then(|place| of(&task.scorers[place].kind))
        .unwrap_or_default();
    ScoringError::ScoresInvalid(format!(
        "`scoring.scorers[{}].{field}` is `{shown}`, {what}",
        place.unwrap_or_default()
    ))
}

/// Opens a file, and no folder.
pub(super) fn open(disk: &dyn Disk, path: &Path) -> io::Result<Box<dyn Input>> {
    if disk.look(path)?.is_file {
        disk.open(path)
    } else {
        Err(io::ErrorKind::IsADirectory.into())
    }
}

fn digest(disk: &dyn Disk, path: &Path) -> io::Result<String> {
    let (mut file, mut buffer, mut hash) = (open(disk, path)?, vec![0; BUFFER], Sha256::new());
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(canonical::digest(hash)),
            Ok(read) => hash.update(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
