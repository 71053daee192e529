//! Why a run on this machine could not be started, or cannot go on.

use std::io;
use std::path::{Path, PathBuf};

/// Everything but a run that failed: that is a result.
#[derive(thiserror::Error, Debug)]
pub enum LocalError {
    /// A file or folder of the run.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The manifest is none, or contradicts itself.
    #[error("{path}: {problem}")]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// Something that a cluster would have is not told.
    #[error("what the pods need is not all here:\n{}", .0.iter().map(|missing| format!("  - {missing}")).collect::<Vec<_>>().join("\n"))]
    Missing(Vec<String>),
    /// The folder is another run's, or in use.
    #[error("{folder}: {problem}")]
    Folder {
        /// The run's folder.
        folder: PathBuf,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// The process itself.
    #[error("{0}")]
    Process(String),
}

impl LocalError {
    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            source,
        }
    }
}
