//! Errors as exceptions of `curriculum.errors`, and of Python itself where a file cannot be read.

use std::io;

use curriculum_operator::curriculum::plan::PlanError as Contradiction;
use curriculum_operator::curriculum::sampler::SampleError;
use curriculum_operator::sampler::source::{DrawError, PlanFileError};
use curriculum_operator::simulate::error::SimulateError;
use pyo3::{PyErr, import_exception};

import_exception!(curriculum.errors, PlanError);
import_exception!(curriculum.errors, RankError);
import_exception!(curriculum.errors, ScoreIndexError);
import_exception!(curriculum.errors, StepError);

pub(crate) fn draw(error: DrawError) -> PyErr {
    let message = error.to_string();
    match error {
        DrawError::Sample(SampleError::Step { .. }) => StepError::new_err(message),
        DrawError::Sample(SampleError::Rank { .. }) => RankError::new_err(message),
        DrawError::IndexChanged => ScoreIndexError::new_err(message),
    }
}

pub(crate) fn contradiction(error: &Contradiction) -> PyErr {
    PlanError::new_err(error.to_string())
}

pub(crate) fn plan_file(error: &PlanFileError) -> PyErr {
    match error {
        PlanFileError::Io { source, .. } => file(source, error.to_string()),
        PlanFileError::TooLong { .. }
        | PlanFileError::Parse { .. }
        | PlanFileError::Invalid { .. }
        | PlanFileError::Phases { .. } => PlanError::new_err(error.to_string()),
    }
}

pub(crate) fn document(error: &SimulateError) -> PyErr {
    match error {
        SimulateError::Io { source, .. } => file(source, error.to_string()),
        SimulateError::Index { .. } => ScoreIndexError::new_err(error.to_string()),
        _ => PlanError::new_err(error.to_string()),
    }
}

/// Of the kind that Python has for it, such as `FileNotFoundError`.
fn file(source: &io::Error, message: String) -> PyErr {
    io::Error::new(source.kind(), message).into()
}
