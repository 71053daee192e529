//! What must survive a restart of the sampler's container within its pod: one small JSON file, replaced by rename.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::contract::{MetricPoint, Source};
use super::sessions::SessionsRecord;
use crate::curriculum::transition::{Decision, Memory};

const FILE: &str = "journal.json";
const VERSION: u32 = 2;

/// State of one attempt.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Journal {
    version: u32,
    /// The plan that it is about; a journal of another plan is not used.
    pub plan_digest: String,
    /// Who asks, and what it got.
    pub sessions: SessionsRecord,
    /// Latest value of every metric.
    pub metrics: BTreeMap<String, MetricPoint>,
    /// Where the rows of the rows file came from, once it was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_file: Option<Source>,
    /// What the transitions know of the reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    /// First step beyond all that any rank ever got, those of trainers that were started again included.
    #[serde(default)]
    pub furthest: u64,
    /// That the phase ends early.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
}

impl Journal {
    /// A journal of the current version.
    pub fn new(plan_digest: String, sessions: SessionsRecord, metrics: BTreeMap<String, MetricPoint>) -> Self {
        Self {
            version: VERSION,
            plan_digest,
            sessions,
            metrics,
            rows_file: None,
            memory: None,
            furthest: 0,
            decision: None,
        }
    }
}

/// The journal could not be read or written. Never a reason to stop: the sampler goes on without one.
#[derive(thiserror::Error, Debug)]
pub enum JournalError {
    /// A file operation failed.
    #[error("journal {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not a journal.
    #[error("journal {path} does not parse: {source}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// The file was written by another version.
    #[error("journal {path} has version {version}, expected {VERSION}")]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
}

/// Reads the journal in `dir`; `None` when there is none.
///
/// # Errors
/// When there is one that cannot be used.
pub fn read(dir: &Path) -> Result<Option<Journal>, JournalError> {
    let path = dir.join(FILE);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(JournalError::Io { path, source }),
    };
    let journal: Journal = serde_json::from_slice(&bytes).map_err(|source| JournalError::Parse {
        path: path.clone(),
        source,
    })?;
    if journal.version == VERSION {
        Ok(Some(journal))
    } else {
        Err(JournalError::Version {
            path,
            version: journal.version,
        })
    }
}

/// Replaces the journal in `dir`, which is made when it is missing.
///
/// # Guarantees
/// A process that dies meanwhile leaves the old journal or the new one. A node that dies takes the pod and its journal with it, so nothing is synced.
///
/// # Errors
/// When the folder or the file cannot be written.
pub fn write(dir: &Path, journal: &Journal) -> Result<(), JournalError> {
    let path = dir.join(FILE);
    let scratch = dir.join(format!("{FILE}.tmp"));
    let bytes = serde_json::to_vec(journal).map_err(|source| JournalError::Parse {
        path: path.clone(),
        source,
    })?;
    fs::create_dir_all(dir)
        .and_then(|()| fs::write(&scratch, bytes))
        .and_then(|()| fs::rename(&scratch, &path))
        .map_err(|source| JournalError::Io { path, source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampler::sessions::{Facts, Sessions};

    fn journal(steps: u64) -> Journal {
        let facts = Facts {
            steps: 0..10,
            batch: 4,
            rows: 100,
            run: None,
        };
        let mut sessions = Sessions::new(facts, 7);
        let opening = serde_json::from_str(r#"{"rank":0,"world":1,"step":3,"key":"k"}"#).unwrap();
        let id = sessions.open(&opening).unwrap().id;
        sessions.mark(id, 3, steps);
        let metrics = BTreeMap::from([("loss".to_owned(), MetricPoint { value: 0.1, step: 5 })]);
        Journal::new("sha256:ab".into(), sessions.record(), metrics)
    }

    #[test]
    fn what_was_written_is_read_again_and_replaces_what_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("not/there/yet");
        assert_eq!(read(&state).unwrap(), None);
        write(&state, &journal(4)).unwrap();
        write(&state, &journal(7)).unwrap();
        assert_eq!(read(&state).unwrap(), Some(journal(7)));
        assert_eq!(fs::read_dir(&state).unwrap().count(), 1, "no scratch file stays");
    }

    #[test]
    fn a_journal_that_cannot_be_used_says_why() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE), "{\"version\":").unwrap();
        assert!(
            read(dir.path())
                .unwrap_err()
                .to_string()
                .contains("does not parse: EOF")
        );
        write(
            dir.path(),
            &Journal {
                version: 1,
                ..journal(4)
            },
        )
        .unwrap();
        assert!(
            read(dir.path())
                .unwrap_err()
                .to_string()
                .contains("has version 1, expected 2")
        );
    }
}
