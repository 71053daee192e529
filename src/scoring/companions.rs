//! Files beside the data that scoring reads: tokenizers, scores that somebody has already, what people say. Other content gives other scores, so
//! the inspection keeps the SHA-256 of each, and what was made with another one is not used again.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::dataset::{Disk, Input, ReadError, Root, is_lasting};
use super::error::ScoringError;
use super::manifest::Manifest;
use super::overrides;
use super::task::{Scorer, ScorerKind, Task};
use crate::curriculum::canonical;

const BUFFER: usize = 1 << 18;

/// SHA-256 of each such file by its path, relative to the data set's mount.
pub type Companions = BTreeMap<String, String>;

/// A file beside the data, and the field that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Companion<'a> {
    /// Path below the data set's mount.
    pub path: &'a str,
    /// The field, for messages: `scoring.scorers[0].file.path`.
    pub field: String,
}

/// The files that a task names beside the data, in the order of the spec.
pub fn of_task(task: &Task) -> impl Iterator<Item = Companion<'_>> {
    let scorers = task.scorers.iter().enumerate();
    scorers
        .filter_map(|(place, scorer)| Companion::of_scorer(place, scorer))
        .chain(task.overrides.iter().map(overrides::companion))
}

/// The digests of the files that a task names. One that cannot be read is left out: the inspection says what the data set
/// holds, and with which error scoring fails is scoring's affair.
///
/// # Errors
/// Of a disk or network that may do better next time.
pub fn digests(task: &Task, root: &Root) -> Result<Companions, ScoringError> {
    let mut digests = Companions::new();
    for Companion { path: shown, .. } in of_task(task) {
        let path = root.path.join(shown);
        match digest(root.disk.as_ref(), &path) {
            Ok(digest) => drop(digests.insert(shown.to_owned(), digest)),
            Err(error) if is_lasting(&error) => {
                tracing::warn!(%error, path = shown, "a file beside the data is not readable");
            }
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
        None => format!("`{path}`, which scoring reads, is gone"),
        Some(_) => format!("`{path}`, which scoring reads, has changed"),
    })
}

impl<'a> Companion<'a> {
    /// The file of the scorer at a place in the task, if it reads one.
    fn of_scorer(place: usize, scorer: &'a Scorer) -> Option<Self> {
        let (path, field) = match &scorer.kind {
            ScorerKind::Tokens { tokenizer, .. } => (tokenizer, "length.tokenizer.path"),
            ScorerKind::File { path, .. } => (path, "file.path"),
            ScorerKind::Column { .. }
            | ScorerKind::Length { .. }
            | ScorerKind::Rarity { .. }
            | ScorerKind::Duplicates { .. }
            | ScorerKind::CentreDistance { .. }
            | ScorerKind::Container => return None,
        };
        Some(Self {
            path,
            field: format!("scoring.scorers[{place}].{field}"),
        })
    }

    /// The file of the scorer of a name.
    ///
    /// # Errors
    /// [`ScoringError::InvalidTask`] when it reads none.
    pub(super) fn of_name(task: &'a Task, name: &str) -> Result<Self, ScoringError> {
        let place = task.scorers.iter().position(|scorer| scorer.name == name);
        place
            .and_then(|place| Self::of_scorer(place, &task.scorers[place]))
            .ok_or_else(|| ScoringError::InvalidTask(format!("scorer `{name}` reads no file beside the data")))
    }

    /// Checks that the file has the content that was inspected.
    ///
    /// # Errors
    /// [`ScoringError::ScoresInvalid`] names the field when it is not there, or another one than before; [`ScoringError::Io`] when
    /// the disk or the network failed, which may pass.
    pub(super) fn check(&self, root: &Root, manifest: &Manifest) -> Result<(), ScoringError> {
        self.compare(&self.digest(root)?, manifest)
    }

    /// As [`Self::check`], of a file whose digest is known already.
    pub(super) fn compare(&self, now: &str, manifest: &Manifest) -> Result<(), ScoringError> {
        if manifest.companions.get(self.path).is_some_and(|then| then == now) {
            return Ok(());
        }
        Err(self.wrong("which has changed since the inspection; it must stay as it is during a run"))
    }

    /// SHA-256 of its content.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub(super) fn digest(&self, root: &Root) -> Result<String, ScoringError> {
        let path = root.path.join(self.path);
        digest(root.disk.as_ref(), &path).map_err(|error| self.unreadable(&path, error))
    }

    /// What it means that it cannot be read.
    pub(super) fn unreadable(&self, path: &Path, error: io::Error) -> ScoringError {
        if !is_lasting(&error) {
            return ScoringError::io("read", path, error);
        }
        if error.kind() == io::ErrorKind::NotFound {
            return self.wrong("which does not exist; give the path of a file below the data set's volume");
        }
        self.wrong(&format!("which cannot be read: {error}"))
    }

    /// What an error of reading its rows means.
    pub(super) fn explain(&self, path: &Path, error: ReadError) -> ScoringError {
        match error {
            ReadError::Io(source) => ScoringError::io("read", path, source),
            ReadError::Content(what) => self.wrong(&format!("which cannot be read: {what}")),
            ReadError::Column(what) => self.wrong(&format!("which lacks a column: {what}")),
        }
    }

    /// The error of this file.
    pub(super) fn wrong(&self, what: &str) -> ScoringError {
        ScoringError::ScoresInvalid(format!("`{}` is `{}`, {what}", self.field, self.path))
    }
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
