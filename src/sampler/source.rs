//! Where rows come from: the plan and its score index, or all rows equally likely when the index cannot be used.

use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::contract::{IndexFault, Source};
use super::part::Part;
use crate::curriculum::filter::Filtered;
use crate::curriculum::order::{Identity, OrderScope, RowOrder};
use crate::curriculum::plan::{PhasePlan, Plan, PlanError, PlanScores, TokenBudget};
use crate::curriculum::sampler::{SampleError, Sampler};

/// Bytes of the longest plan: that of a ConfigMap.
const PLAN_BYTES: u64 = 1 << 20;
/// Rows of the largest data set whose rows' groups are kept in memory, one byte each.
const GROUPED_ROWS: u64 = 16 << 20;

/// Why there are no rows.
#[derive(thiserror::Error, Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrawError {
    /// The step or the rank does not exist.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// A row that does not exist came out of the index, which had been checked: somebody wrote over it.
    #[error("the score index changed while it was in use")]
    IndexChanged,
}

/// What stands in a slot that has no row: where tokens bound a batch it may have fewer rows than slots.
pub const EMPTY_SLOT: u64 = u64::MAX;

/// The rows of every batch: a pure function of step and part.
pub trait Rows: Send + Sync {
    /// Replaces the content of `out` by a part of the global batch of `step`: as many slots as the part has of `batchSize`. Those
    /// without a row come last and are [`EMPTY_SLOT`].
    ///
    /// # Errors
    /// When the step is not one of the plan's, the rank not less than the world, or the index no longer what it was.
    fn batch(&self, step: u64, part: Part, out: &mut Vec<u64>) -> Result<(), DrawError>;

    /// Tokens of some slots, as they count against the budget; `None` where tokens do not bound a batch.
    fn tokens(&self, _slots: &[u64]) -> Option<u64> {
        None
    }
}

impl std::fmt::Debug for dyn Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rows")
    }
}

/// An order of rows that threads share.
pub type SharedOrder = Arc<dyn RowOrder + Send + Sync>;

/// A score index as the sampler needs it.
pub struct Index {
    /// The order of the rows.
    pub order: SharedOrder,
    /// Rows of the index.
    pub rows: u64,
    /// Rows of each group; one entry without groups.
    pub group_rows: Vec<u64>,
}

/// An index that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusable {
    /// Of which kind that is.
    pub fault: IndexFault,
    /// Why, in words.
    pub message: String,
}

struct Drawn {
    sampler: Sampler,
    order: SharedOrder,
}

impl Rows for Drawn {
    fn batch(&self, step: u64, part: Part, out: &mut Vec<u64>) -> Result<(), DrawError> {
        self.sampler
            .batch_for_rank(step, part.rank, part.world, &*self.order, out)?;
        let rows = self.sampler.plan().dataset_rows();
        if !out.iter().all(|row| *row < rows) {
            return Err(DrawError::IndexChanged);
        }
        if self.sampler.plan().tokens.is_some() {
            out.resize(part.rows(self.sampler.plan().batch_size) as usize, EMPTY_SLOT);
        }
        Ok(())
    }

    fn tokens(&self, slots: &[u64]) -> Option<u64> {
        let TokenBudget { max_length, .. } = self.sampler.plan().tokens?;
        let rows = &slots[..slots.iter().position(|slot| *slot == EMPTY_SLOT).unwrap_or(slots.len())];
        let mut lengths = vec![0; rows.len()];
        self.order.lengths(rows, &mut lengths);
        Some(
            lengths
                .iter()
                .map(|&length| u64::from(length).clamp(1, max_length))
                .sum(),
        )
    }
}

/// The group of every row; one byte each, because a data set has at most 256 groups.
#[derive(Clone, Debug)]
pub struct RowGroups {
    count: usize,
    of: Vec<u8>,
}

impl RowGroups {
    /// `of[row]` is the row's group, less than `count`.
    pub fn new(count: usize, of: Vec<u8>) -> Self {
        Self { count, of }
    }

    /// Groups.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The group of a row; `None` when there is no such row.
    pub fn of(&self, row: u64) -> Option<usize> {
        self.of.get(usize::try_from(row).ok()?).map(|&g| usize::from(g))
    }

    /// `None` without groups, and for more than 2²⁴ rows.
    fn read(plan: &Plan, order: &dyn RowOrder) -> Option<Self> {
        let count = plan.group_rows.len();
        if count < 2 || plan.dataset_rows() > GROUPED_ROWS {
            return None;
        }
        let mut of = vec![0; usize::try_from(plan.dataset_rows()).ok()?];
        for (group, &rows) in (0_u8..=255).zip(&plan.group_rows) {
            for position in 0..rows {
                let row = order.row(OrderScope::Group(u32::from(group)), position);
                *of.get_mut(usize::try_from(row).ok()?)? = group;
            }
        }
        Some(Self { count, of })
    }
}

/// A plan, and the order of the rows that it is drawn through.
pub struct InEffect {
    /// The plan in effect: the one that was given, or its uniform stand-in.
    pub plan: Plan,
    /// Digest of the plan that was given.
    pub plan_digest: String,
    /// Where the rows come from.
    pub source: Source,
    /// Why that is `UniformIndexUnusable`.
    pub unusable: Option<Unusable>,
    /// The order of the rows.
    pub order: SharedOrder,
}

/// The rows that a filter leaves are not known, so that nothing can be drawn: nobody may train on what was
/// filtered out.
#[derive(thiserror::Error, Clone, Debug, PartialEq, Eq)]
#[error(
    "there is no score index to draw from, and which rows `dataset.filter` and `scoring.overrides` leave cannot be known, so nothing is drawn: {0}"
)]
pub struct RowsUnknown(pub String);

impl InEffect {
    /// A plan of any number of phases, with the index that `open` gives; the uniform plan when that fails, or is of other rows or groups.
    /// That one, where there is a filter, needs the rows that it leaves, which `trained` gives.
    ///
    /// # Errors
    /// When there is no index that can be used, and `trained` fails.
    pub fn new(
        plan: Plan,
        open: impl FnOnce(&PlanScores) -> Result<Index, Unusable>,
        trained: impl FnOnce(&Plan, &Filtered) -> Result<SharedOrder, Unusable>,
    ) -> Result<Self, RowsUnknown> {
        let plan_digest = plan.digest();
        let index = plan
            .scores
            .as_ref()
            .map(|scores| open(scores).and_then(|index| fitting(index, &plan)));
        let without_scores = || -> Result<SharedOrder, RowsUnknown> {
            Ok(match (&plan.filtered, plan.split()) {
                (Some(filtered), _) => trained(&plan, filtered).map_err(|error| RowsUnknown(error.message))?,
                (None, Some(split)) => Arc::new(split),
                (None, None) => Arc::new(Identity),
            })
        };
        let (order, source, unusable) = match index {
            Some(Ok(index)) => (index.order, Source::Index, None),
            Some(Err(unusable)) => (without_scores()?, Source::UniformIndexUnusable, Some(unusable)),
            None => (without_scores()?, Source::Uniform, None),
        };
        Ok(Self {
            plan: if source == Source::UniformIndexUnusable {
                plan.uniform()
            } else {
                plan
            },
            plan_digest,
            source,
            unusable,
            order,
        })
    }
}

/// The rows of a plan's batches.
///
/// # Errors
/// When the plan does not pass [`Plan::check`].
pub fn drawn(plan: &Plan, order: &SharedOrder) -> Result<Arc<dyn Rows>, PlanError> {
    Ok(Arc::new(Drawn {
        sampler: Sampler::new(plan.clone())?,
        order: Arc::clone(order),
    }))
}

/// What the sampler serves from.
#[derive(Debug)]
pub struct Opened {
    /// The plan in effect, with exactly one phase: the one on file, or its uniform stand-in.
    pub plan: Plan,
    /// Digest of the plan on file.
    pub plan_digest: String,
    /// Where the rows come from.
    pub source: Source,
    /// Why that is `UniformIndexUnusable`.
    pub source_message: Option<String>,
    /// Of which kind that is.
    pub index_fault: Option<IndexFault>,
    /// For the trainer.
    pub rows: Arc<dyn Rows>,
    /// The same for the audit, which is at another step: a sampler keeps the tables of one segment only.
    pub audited: Arc<dyn Rows>,
    /// The groups of the rows, where they are known.
    pub groups: Option<RowGroups>,
}

/// A plan that cannot be served.
#[derive(thiserror::Error, Clone, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// It contradicts itself.
    #[error("plan: {0}")]
    Plan(#[from] PlanError),
    /// Its rows are not known.
    #[error(transparent)]
    Rows(#[from] RowsUnknown),
}

impl Opened {
    /// Prepares to serve `plan`, which has exactly one phase, from the index that `open` gives.
    ///
    /// When `open` fails, or gives an index of other rows or groups, all rows are equally likely and
    /// `source_message` says why: all that `trained` gives, where there is a filter.
    ///
    /// # Errors
    /// When the plan does not pass [`Plan::check`], or the rows that a filter leaves are needed and not
    /// known.
    pub fn new(
        plan: Plan,
        open: impl FnOnce(&PlanScores) -> Result<Index, Unusable>,
        trained: impl FnOnce(&Plan, &Filtered) -> Result<SharedOrder, Unusable>,
    ) -> Result<Self, OpenError> {
        let InEffect {
            plan,
            plan_digest,
            source,
            unusable,
            order,
        } = InEffect::new(plan, open, trained)?;
        let groups = match source {
            Source::Index => RowGroups::read(&plan, &*order),
            Source::Uniform | Source::UniformIndexUnusable => None,
        };
        let (rows, audited) = (drawn(&plan, &order)?, drawn(&plan, &order)?);
        Ok(Self {
            plan_digest,
            source,
            source_message: unusable.as_ref().map(|unusable| cut(&unusable.message)),
            index_fault: unusable.map(|unusable| unusable.fault),
            rows,
            audited,
            groups,
            plan,
        })
    }

    /// The phase.
    pub fn phase(&self) -> &PhasePlan {
        &self.plan.phases[0]
    }

    /// Its steps.
    pub fn steps(&self) -> Range<u64> {
        self.phase().start_step..self.phase().end()
    }
}

fn fitting(index: Index, plan: &Plan) -> Result<Index, Unusable> {
    let other = |message| Unusable {
        fault: IndexFault::DigestMismatch,
        message,
    };
    let rows = plan.dataset_rows();
    if index.rows != rows {
        return Err(other(format!(
            "the score index has {} rows, the plan {rows}",
            index.rows
        )));
    }
    // Of every group the index has the rows too that are not trained on, as the last ones.
    let same_groups = if plan.held_out.is_none() && plan.filtered.is_none() {
        index.group_rows == plan.group_rows
    } else {
        let mut pairs = index.group_rows.iter().zip(&plan.group_rows);
        index.group_rows.len() == plan.group_rows.len() && pairs.all(|(all, trained)| trained <= all)
    };
    if !same_groups {
        let (found, planned) = (index.group_rows.len(), plan.group_rows.len());
        return Err(other(format!(
            "the {found} groups of the score index are not the {planned} groups of the plan"
        )));
    }
    Ok(index)
}

/// Characters of the longest `source_message`: it must fit into the termination message.
fn cut(message: &str) -> String {
    message.chars().take(500).collect()
}

/// There is no plan to serve: the one thing that no fallback can help.
#[derive(thiserror::Error, Debug)]
pub enum PlanFileError {
    /// The file cannot be read.
    #[error("plan {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is longer than any plan.
    #[error("plan {path} has {bytes} bytes, more than the {PLAN_BYTES} of a ConfigMap")]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Its length.
        bytes: u64,
    },
    /// The file is no plan.
    #[error("plan {path} does not parse: {source}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// The plan contradicts itself.
    #[error("plan {path}: {source}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Why.
        source: PlanError,
    },
    /// The plan is not of one attempt.
    #[error("plan {path} has {phases} phases; expected the one phase that this attempt trains")]
    Phases {
        /// The file.
        path: PathBuf,
        /// How many.
        phases: usize,
    },
}

/// Reads the plan of an attempt.
///
/// # Errors
/// When there is none that can be sampled from.
pub fn read_plan(path: &Path) -> Result<Plan, PlanFileError> {
    let io = |source| PlanFileError::Io {
        path: path.to_owned(),
        source,
    };
    let bytes = fs::metadata(path).map_err(io)?.len();
    if bytes > PLAN_BYTES {
        let path = path.to_owned();
        return Err(PlanFileError::TooLong { path, bytes });
    }
    parse_plan(path, &fs::read(path).map_err(io)?)
}

/// Reads the plan of an attempt from the content of a file; the path is for messages only.
///
/// # Errors
/// When it is none that can be sampled from.
pub fn parse_plan(path: &Path, text: &[u8]) -> Result<Plan, PlanFileError> {
    let path = || path.to_owned();
    let bytes = text.len() as u64;
    if bytes > PLAN_BYTES {
        return Err(PlanFileError::TooLong { path: path(), bytes });
    }
    let plan: Plan = serde_json::from_slice(text).map_err(|source| PlanFileError::Parse { path: path(), source })?;
    plan.check()
        .map_err(|source| PlanFileError::Invalid { path: path(), source })?;
    match plan.phases.len() {
        1 => Ok(plan),
        phases => Err(PlanFileError::Phases { path: path(), phases }),
    }
}

#[cfg(test)]
pub(crate) mod tests;
