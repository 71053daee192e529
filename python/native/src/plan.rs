//! A plan that batches are drawn from.

use std::ops::Range;
use std::sync::Arc;

use curriculum_operator::curriculum::plan::Plan as Document;
use curriculum_operator::curriculum::sampler::SampleError;
use curriculum_operator::sampler::audit::SequenceDigest;
use curriculum_operator::sampler::part::Part;
use curriculum_operator::sampler::sessions::MAX_WORLD;
use curriculum_operator::sampler::source::{DrawError, EMPTY_SLOT, Rows, SharedOrder, drawn};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyMemoryView};

use crate::errors::{self, RankError};

/// Rows that are digested between two looks at signals: some milliseconds.
const ROWS_PER_LOOK: u64 = 1 << 20;

/// A plan in effect. Threads may share it.
#[pyclass(frozen, module = "curriculum._native")]
pub(crate) struct Plan {
    document: Document,
    rows: Arc<dyn Rows>,
    /// Digest of the plan that was given.
    #[pyo3(get)]
    digest: String,
    /// Where the rows come from.
    #[pyo3(get)]
    source: &'static str,
    /// Why that is `UniformIndexUnusable`.
    #[pyo3(get)]
    source_message: Option<String>,
    /// What was assumed about the file that it was compiled from.
    #[pyo3(get)]
    notes: Vec<String>,
}

/// What is known of a plan when it is opened.
pub(crate) struct Given {
    /// The plan in effect.
    pub(crate) document: Document,
    /// The order of its rows.
    pub(crate) order: SharedOrder,
    /// Digest of the plan that was given.
    pub(crate) digest: String,
    /// Where the rows come from.
    pub(crate) source: &'static str,
    /// Why that is `UniformIndexUnusable`.
    pub(crate) source_message: Option<String>,
    /// What was assumed.
    pub(crate) notes: Vec<String>,
}

impl Plan {
    pub(crate) fn new(given: Given) -> PyResult<Self> {
        let rows = drawn(&given.document, &given.order).map_err(|error| errors::contradiction(&error))?;
        Ok(Self {
            rows,
            document: given.document,
            digest: given.digest,
            source: given.source,
            source_message: given.source_message,
            notes: given.notes,
        })
    }

    fn steps(&self) -> Range<u64> {
        self.document.start_step()..self.document.total_steps()
    }

    /// A step, or the message of the core for one that no unsigned number can be.
    fn step(&self, step: i64) -> PyResult<u64> {
        let Range { start, end } = self.steps();
        u64::try_from(step).map_err(|_| {
            errors::StepError::new_err(format!(
                "step {step} is outside of the plan, which has the steps from {start} to before {end}"
            ))
        })
    }

    /// The bounds are those of the sampler's requests.
    fn part(&self, rank: i64, world_size: i64) -> PyResult<Part> {
        let batch = self.document.fewest_rows();
        let most = batch.min(u64::from(MAX_WORLD));
        let world = u32::try_from(world_size)
            .ok()
            .filter(|&world| world > 0 && u64::from(world) <= most);
        let Some(world) = world else {
            return Err(RankError::new_err(format!(
                "`world_size` is {world_size}; expected 1 to {most}: a batch has {batch} rows, and every rank needs one"
            )));
        };
        let rank = u32::try_from(rank).ok().filter(|&rank| rank < world).ok_or_else(|| {
            RankError::new_err(format!(
                "`rank` is {rank}; expected 0 to {}, less than `world_size`",
                world - 1
            ))
        })?;
        Ok(Part { rank, world })
    }
}

#[pymethods]
impl Plan {
    #[getter]
    fn start_step(&self) -> u64 {
        self.document.start_step()
    }

    #[getter]
    fn end_step(&self) -> u64 {
        self.document.total_steps()
    }

    #[getter]
    fn batch_size(&self) -> u64 {
        self.document.batch_size
    }

    /// Budget and greatest length, where tokens bound a batch.
    #[getter]
    fn tokens(&self) -> Option<(u64, u64)> {
        self.document.tokens.map(|tokens| (tokens.budget, tokens.max_length))
    }

    /// Rows of the data set.
    #[getter]
    fn rows(&self) -> u64 {
        self.document.dataset_rows()
    }

    #[getter]
    fn seed(&self) -> u64 {
        self.document.seed
    }

    /// Name, index, first step and end of each phase.
    #[getter]
    fn phases(&self) -> Vec<(String, u32, u64, u64)> {
        let phases = self.document.phases.iter();
        phases
            .map(|phase| (phase.name.clone(), phase.index, phase.start_step, phase.end_step))
            .collect()
    }

    /// A rank's rows of a step's batch, in memory of their own.
    fn batch<'py>(&self, py: Python<'py>, step: i64, rank: i64, world_size: i64) -> PyResult<Bound<'py, PyAny>> {
        let (step, part) = (self.step(step)?, self.part(rank, world_size)?);
        let rows = py.detach(|| {
            let mut rows = Vec::new();
            self.rows.batch(step, part, &mut rows)?;
            if self.document.tokens.is_some() {
                rows.retain(|row| *row != EMPTY_SLOT);
            }
            Ok::<_, DrawError>(rows)
        });
        let rows = rows.map_err(errors::draw)?;
        // The stable ABI below Python 3.11 has no buffer protocol, so a bytearray lends its memory: it can be
        // written to, as torch wants.
        let bytes = PyByteArray::new_with(py, rows.len() * 8, |bytes| {
            for (bytes, row) in bytes.chunks_exact_mut(8).zip(&rows) {
                bytes.copy_from_slice(&row.to_ne_bytes());
            }
            Ok(())
        })?;
        let view = PyMemoryView::from(&bytes)?;
        view.call_method1(pyo3::intern!(py, "cast"), (pyo3::intern!(py, "Q"),))
    }

    /// SHA-256 over the rows of the steps from `start` to before `end`.
    fn sequence_digest(&self, py: Python<'_>, start: i64, end: i64) -> PyResult<String> {
        let (start, end, all) = (self.step(start)?, self.step(end)?, self.steps());
        let mut digest = SequenceDigest::default();
        if start < all.start || end > all.end {
            let step = if start < all.start { start } else { end };
            let Range { start, end } = all;
            return Err(errors::draw(DrawError::Sample(SampleError::Step { step, start, end })));
        }
        let batch = self.document.batch_size;
        let count = (ROWS_PER_LOOK / batch).max(1);
        let mut next = start;
        while next < end {
            let last = next.saturating_add(count).min(end);
            let added = py.detach(|| (next..last).try_for_each(|step| digest.add(&*self.rows, step, batch)));
            added.map_err(errors::draw)?;
            py.check_signals()?;
            next = last;
        }
        Ok(digest.finish())
    }
}
