//! Why a file of the store is of no use.

use std::io;
use std::path::{Path, PathBuf};

/// Failure of reading or writing a file of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It could not be read or written.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried, such as `read`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// It does not hold what it should.
    #[error("{path} is not usable: {message}")]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
}

impl StoreError {
    /// An error of reading or writing a file.
    pub fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }

    /// Whether there is no such file.
    pub fn is_missing(&self) -> bool {
        match self {
            Self::Io { source, .. } => matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory),
            Self::Content { .. } => false,
        }
    }

    /// An unusable file.
    #[expect(clippy::needless_pass_by_value, reason = "for `map_err`, which hands over the error")]
    pub fn content(path: &Path, message: impl ToString) -> Self {
        Self::Content {
            path: path.to_owned(),
            message: message.to_string(),
        }
    }
}

impl From<StoreError> for io::Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Io { source, .. } => source,
            StoreError::Content { message, .. } => Self::new(io::ErrorKind::InvalidData, message),
        }
    }
}
