//! Why a scoring command failed, and what that means to the controller: a reason and an exit code.

use std::path::{Path, PathBuf};

use crate::api::conditions::Reason;
use crate::store::StoreError;

use super::report::{EXIT_DATASET, EXIT_IO, EXIT_SCORES, Failure};

/// Longest message of a [`Failure`], in characters.
const MESSAGE_CHARACTERS: usize = 1000;

/// Failure of a scoring command. The text names the field or column, the value, counts, and what would be right; never a sample.
#[derive(Debug, thiserror::Error)]
pub enum ScoringError {
    /// The task contradicts itself.
    #[error("{0}")]
    InvalidTask(String),
    /// The data set's file does not exist.
    #[error("{0}")]
    DatasetNotFound(String),
    /// The data set's file cannot be read in its format.
    #[error("{0}")]
    DatasetUnreadable(String),
    /// The data set has no rows.
    #[error("{0}")]
    DatasetEmpty(String),
    /// A column does not exist or has an unsuitable type.
    #[error("{0}")]
    ColumnNotFound(String),
    /// The group column has too many distinct values.
    #[error("{0}")]
    TooManyGroups(String),
    /// Scores are missing, duplicate, out of range or in a wrong shape.
    #[error("{0}")]
    ScoresInvalid(String),
    /// Too few rows have a finite score.
    #[error("{0}")]
    CoverageTooLow(String),
    /// A file of the store could not be read or written.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried, such as `read`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// A file of the store does not hold what it should.
    #[error("{path} is not usable: {message}")]
    Store {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
}

impl From<StoreError> for ScoringError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Io { action, path, source } => Self::Io { action, path, source },
            StoreError::Content { path, message } => Self::Store { path, message },
        }
    }
}

impl ScoringError {
    /// An error of reading or writing a file of the store.
    pub fn io(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }

    /// An unusable file of the store.
    #[expect(clippy::needless_pass_by_value, reason = "for `map_err`, which hands over the error")]
    pub fn store(path: &Path, message: impl ToString) -> Self {
        Self::Store {
            path: path.to_owned(),
            message: message.to_string(),
        }
    }

    /// Exit code of the process: see `report.rs`.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::InvalidTask(_)
            | Self::DatasetNotFound(_)
            | Self::DatasetUnreadable(_)
            | Self::DatasetEmpty(_)
            | Self::ColumnNotFound(_)
            | Self::TooManyGroups(_) => EXIT_DATASET,
            Self::ScoresInvalid(_) | Self::CoverageTooLow(_) => EXIT_SCORES,
            Self::Io { .. } | Self::Store { .. } => EXIT_IO,
        }
    }

    /// Reason for conditions and events. `otherwise` stands for the command itself: what a failure of input or output means.
    pub fn reason(&self, otherwise: Reason) -> Reason {
        match self {
            Self::InvalidTask(_) => Reason::InvalidSpec,
            Self::DatasetNotFound(_) => Reason::DatasetNotFound,
            Self::DatasetUnreadable(_) => Reason::DatasetUnreadable,
            Self::DatasetEmpty(_) => Reason::DatasetEmpty,
            Self::ColumnNotFound(_) => Reason::ColumnNotFound,
            Self::TooManyGroups(_) => Reason::TooManyGroups,
            Self::ScoresInvalid(_) => Reason::ScoresInvalid,
            Self::CoverageTooLow(_) => Reason::CoverageTooLow,
            Self::Io { .. } | Self::Store { .. } => otherwise,
        }
    }

    /// The termination message's content. A message of more than 1,000 characters is cut.
    pub fn failure(&self, otherwise: Reason) -> Failure {
        Failure {
            reason: self.reason(otherwise).as_str().to_owned(),
            message: shorten(&self.to_string(), MESSAGE_CHARACTERS),
        }
    }
}

/// `text`, cut to at most `limit` characters, the last of which is then `…`.
pub(crate) fn shorten(text: &str, limit: usize) -> String {
    if text.chars().nth(limit).is_none() {
        return text.to_owned();
    }
    text.chars().take(limit.saturating_sub(1)).chain(['…']).collect()
}

/// The first names of a list for a message, such as `` `a`, `b` and 3 more ``.
pub(crate) fn list_names<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    const SHOWN: usize = 12;
    let rest = names.len().saturating_sub(SHOWN);
    let mut shown: Vec<String> = names
        .take(SHOWN)
        .map(|name| format!("`{}`", shorten(name, 40)))
        .collect();
    if rest > 0 {
        shown.push(format!("{rest} more"));
    }
    match shown.split_last() {
        None => "none".to_owned(),
        Some((only, [])) => only.clone(),
        Some((last, before)) => format!("{} and {last}", before.join(", ")),
    }
}
