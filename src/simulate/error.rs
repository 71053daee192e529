//! Why there is nothing to simulate.

use std::io;
use std::path::PathBuf;

use crate::curriculum::plan::PlanError;
use crate::curriculum::sampler::SampleError;
use crate::index::map::IndexError;

/// What is wrong with the input. Names the file or argument, the field, its value, and what would be right.
#[derive(thiserror::Error, Debug)]
pub enum SimulateError {
    /// A file cannot be read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{path}: {problem}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// A field of the curriculum is wrong.
    #[error("{path}: {field}: {problem}", path = path.display())]
    Field {
        /// The file.
        path: PathBuf,
        /// The field as the file has it, such as `spec.curriculum.phases[1].pool.fraction`.
        field: String,
        /// Its value, and what would be right.
        problem: String,
    },
    /// A score index cannot be used.
    #[error("{path}: {source}", path = path.display())]
    Index {
        /// The file.
        path: PathBuf,
        /// Why.
        source: IndexError,
    },
    /// An argument is wrong.
    #[error("{argument}: {problem}")]
    Argument {
        /// Its name, such as `--steps`.
        argument: &'static str,
        /// Its value, and what would be right.
        problem: String,
    },
    /// The plan cannot be sampled from.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A step or a rank does not exist.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// A picture cannot be drawn.
    #[error("the picture cannot be drawn: {0}")]
    Picture(String),
}

impl SimulateError {
    /// A problem with an argument.
    pub fn argument(argument: &'static str, problem: impl Into<String>) -> Self {
        Self::Argument {
            argument,
            problem: problem.into(),
        }
    }
}
