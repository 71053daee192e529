//! Files beside the data that scorers read: tokenizers, and scores that somebody has already. Other content gives other scores, so the
//! inspection keeps the SHA-256 of each, and what was made with another one is not used again.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::dataset::{Disk, is_lasting};
use super::error::ScoringError;
use super::index_file::digest_text;
use super::manifest::Manifest;
use super::task::{ScorerKind, Task};

const BUFFER: usize = 1 << 18;

/// SHA-256 of each such file by its path, relative to the data set's mount.
pub type Companions = BTreeMap<String, String>;

/// The file that a scorer reads beside the data, and the field that names it.
pub fn of(kind: &ScorerKind) -> Option<(&str, &'static str)> {
    match kind {
        ScorerKind::Tokens { tokenizer, .. } => Some((tokenizer, "length.tokenizer.path")),
        ScorerKind::File { path, .. } => Some((path, "file.path")),
        ScorerKind::Column { .. } | ScorerKind::Length { .. } | ScorerKind::Rarity { .. } | ScorerKind::Container => {
            None
        }
    }
}

/// The digests of the files that a task's scorers read. One that cannot be read is left out: the inspection says what the data set
/// holds, and with which error scoring fails is scoring's affair.
///
/// # Errors
/// Of a disk or network that may do better next time.
pub fn digests(task: &Task, root: &Path, disk: &Arc<dyn Disk>) -> Result<Companions, ScoringError> {
    let mut digests = Companions::new();
    for (shown, _) in task.scorers.iter().filter_map(|scorer| of(&scorer.kind)) {
        let path = root.join(shown);
        match digest(disk.as_ref(), &path) {
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

/// Checks that the file of the task's scorer `name` is the one that was inspected.
///
/// # Errors
/// [`ScoringError::ScoresInvalid`] names the field when it is not there, or another one than before; [`ScoringError::Io`] when the disk
/// or the network failed, which may pass.
pub fn check(
    task: &Task,
    name: &str,
    root: &Path,
    disk: &Arc<dyn Disk>,
    manifest: &Manifest,
) -> Result<(), ScoringError> {
    let found = task.scorers.iter().find(|scorer| scorer.name == name);
    let Some((shown, _)) = found.and_then(|scorer| of(&scorer.kind)) else {
        return Ok(());
    };
    let path = root.join(shown);
    let now = digest(disk.as_ref(), &path).map_err(|error| match error.kind() {
        _ if !is_lasting(&error) => ScoringError::io("read", &path, error),
        io::ErrorKind::NotFound => wrong(
            task,
            name,
            "which does not exist; give the path of a file below the data set's volume",
        ),
        _ => wrong(task, name, &format!("which cannot be read: {error}")),
    })?;
    if manifest.companions.get(shown) == Some(&now) {
        return Ok(());
    }
    let what = "which has changed since the inspection; it must stay as it is during a run";
    Err(wrong(task, name, what))
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

fn digest(disk: &dyn Disk, path: &Path) -> io::Result<String> {
    if !disk.look(path)?.is_file {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let (mut file, mut buffer, mut hash) = (disk.open(path)?, vec![0; BUFFER], Sha256::new());
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(digest_text(hash)),
            Ok(read) => hash.update(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
