//! Where plans come from: a file of the operator, or a curriculum that is compiled here.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use curriculum_operator::api::curriculum::Balance;
use curriculum_operator::curriculum::filter::Filtered;
use curriculum_operator::curriculum::plan::{Facts, MAX_EXACT, Plan as PlanDocument, PlanScores};
use curriculum_operator::index::map::{self, IndexError, ScoreIndex};
use curriculum_operator::sampler::contract::{IndexFault, Source};
use curriculum_operator::sampler::source::{InEffect, Index, SharedOrder, Unusable, parse_plan};
use curriculum_operator::sampler::{index, trained};
use curriculum_operator::simulate::document::Document;
use curriculum_operator::simulate::population::Population;
use curriculum_operator::store::Shared;
use pyo3::prelude::*;

use crate::errors::{self, PlanError, ScoreIndexError};
use crate::plan::{Given, Plan};

/// Rows without scores: row 0 is the easiest.
const FILE_ORDER: &str = "FileOrder";

/// Opens the plan of an attempt, checked as the sampler checks it. `name` is what messages call it.
///
/// `index` is the file of the score index, or the store that it lies on. Without one that can be used,
/// `uniform` makes all rows equally likely, as the sampler does.
#[pyfunction]
#[expect(clippy::needless_pass_by_value, reason = "the path is made from an object of Python")]
pub(crate) fn open(
    py: Python<'_>,
    plan: &[u8],
    name: PathBuf,
    index: Option<PathBuf>,
    uniform: bool,
) -> PyResult<Plan> {
    py.detach(|| {
        let plan = parse_plan(&name, plan).map_err(|error| errors::plan_file(&error))?;
        Plan::new(in_effect(plan, index.as_deref(), uniform)?)
    })
}

/// Compiles a curriculum, the text of a job, of its curriculum alone, or of a configuration of DeepSpeed,
/// over the rows of a score index or over `rows` rows that are in the order of difficulty already; all phases
/// of it, or one by its name.
#[pyfunction]
#[expect(clippy::needless_pass_by_value, reason = "the path is made from an object of Python")]
pub(crate) fn compile(
    py: Python<'_>,
    text: &str,
    name: PathBuf,
    rows: Option<i64>,
    index: Option<PathBuf>,
    seed: Option<i64>,
    phase: Option<&str>,
) -> PyResult<Plan> {
    py.detach(|| {
        let document = Document::parse(&name, text).map_err(|error| errors::document(&error))?;
        let seed = seed.map(|seed| exact("seed", seed, 0)).transpose()?;
        let seed = seed.or(document.seed).unwrap_or(0);
        let given = match (index, rows) {
            (Some(path), None) => {
                let plan = compiled(&document, &indexed(&document, &path, seed)?, phase)?;
                in_effect(plan, Some(&path), false)?
            }
            (None, Some(rows)) => {
                let rows = exact("rows", rows, 1)?;
                if !document.filter.is_empty() {
                    return Err(PlanError::new_err(
                        "which rows the job's `dataset.filter` leaves is known by its score index only: give `index`",
                    ));
                }
                let population =
                    Population::even(rows, Vec::new(), "rows").map_err(|error| errors::document(&error))?;
                let plan = compiled(&document, &population.facts(seed), phase)?;
                Given {
                    digest: plan.digest(),
                    document: plan,
                    order: Arc::new(population.into_order()),
                    source: FILE_ORDER,
                    source_message: None,
                    notes: Vec::new(),
                }
            }
            (Some(_), Some(_)) | (None, None) => {
                return Err(PlanError::new_err("expected one of `rows` and `index`"));
            }
        };
        Plan::new(Given {
            notes: document.notes,
            ..given
        })
    })
}

/// An argument from `least` to the largest number that every JSON reader holds.
fn exact(name: &str, value: i64, least: u64) -> PyResult<u64> {
    let found = u64::try_from(value).ok();
    found
        .filter(|value| (least..=MAX_EXACT).contains(value))
        .ok_or_else(|| PlanError::new_err(format!("`{name}` is {value}; expected {least} to {MAX_EXACT}")))
}

fn in_effect(plan: PlanDocument, index: Option<&Path>, uniform: bool) -> PyResult<Given> {
    let refused = |message: String| ScoreIndexError::new_err(message);
    let mut unusable = None;
    let opened = |scores: &PlanScores| {
        let opened = open_index(index, scores);
        unusable = opened.as_ref().err().map(|error: &Unusable| error.message.clone());
        opened
    };
    let found = InEffect::new(plan, opened, |plan, filtered| open_trained(index, plan, filtered));
    let found = found.map_err(|unknown| match unusable {
        // Who did not ask for uniform sampling is told of the index.
        Some(message) if !uniform => refused(message),
        _ => refused(unknown.to_string()),
    })?;
    let message = found.unusable.map(|unusable| unusable.message);
    if let (Some(message), false) = (&message, uniform) {
        return Err(refused(message.clone()));
    }
    Ok(Given {
        document: found.plan,
        order: found.order,
        digest: found.plan_digest,
        source: match found.source {
            Source::Index => "Index",
            Source::Uniform => "Uniform",
            Source::UniformIndexUnusable => "UniformIndexUnusable",
        },
        source_message: message,
        notes: Vec::new(),
    })
}

fn open_index(index: Option<&Path>, scores: &PlanScores) -> Result<Index, Unusable> {
    let Some(path) = index else {
        return Err(Unusable {
            fault: IndexFault::Missing,
            message: format!(
                "the plan is of the score index {}, but `index` was not given",
                scores.key
            ),
        });
    };
    if path.is_dir() {
        index::open(&Shared::volume(path), scores)
    } else {
        index::open_file(path, &path.display().to_string(), scores)
    }
}

/// The rows that a filter leaves, which lie on the store beside what the inspection found.
fn open_trained(store: Option<&Path>, plan: &PlanDocument, filtered: &Filtered) -> Result<SharedOrder, Unusable> {
    match store {
        Some(path) if path.is_dir() => trained::open(&Shared::volume(path), plan, filtered),
        _ => Err(Unusable {
            fault: IndexFault::Missing,
            message: format!(
                "they are in scores/{}/trained.u64 of the store; give the store's folder as `index`",
                filtered.key
            ),
        }),
    }
}

/// What the operator knows of the data once it has made this index.
fn indexed(document: &Document, path: &Path, seed: u64) -> PyResult<Facts> {
    let unusable = |error: IndexError| ScoreIndexError::new_err(format!("{}: {error}", path.display()));
    let index = ScoreIndex::open(path, None).map_err(unusable)?;
    let scores = Some(PlanScores {
        key: index.key().to_owned(),
        digest: map::digest(path).map_err(|error| unusable(error.into()))?,
    });
    let is_filtered = !document.filter.is_empty();
    if document.split.is_some() || is_filtered {
        let population =
            Population::index(path, document.split, is_filtered).map_err(|error| errors::document(&error))?;
        return Ok(Facts {
            scores,
            ..population.facts(seed)
        });
    }
    let names = index.group_names();
    Ok(Facts {
        seed,
        rows: index.len(),
        group_rows: if names.is_empty() {
            Vec::new()
        } else {
            index.group_rows()
        },
        groups: names.iter().cloned().zip(0..).collect(),
        held_out: None,
        filtered: None,
        scores,
        lasted: std::collections::BTreeMap::new(),
    })
}

fn compiled(document: &Document, facts: &Facts, phase: Option<&str>) -> PyResult<PlanDocument> {
    if document.spec.balance == Balance::Group && facts.group_rows.is_empty() {
        return Err(PlanError::new_err(
            "`balance: Group` needs the groups of the rows: give an `index` with groups",
        ));
    }
    let plan = document.compile(facts).map_err(|error| errors::document(&error))?;
    let Some(name) = phase else { return Ok(plan) };
    let found = plan.phases.iter().find(|phase| phase.name == name);
    let found = found.and_then(|phase| plan.for_phase(phase.index));
    found.ok_or_else(|| {
        let names: Vec<&str> = plan.phases.iter().map(|phase| phase.name.as_str()).collect();
        PlanError::new_err(format!(
            "there is no phase '{name}'; the curriculum has {}",
            names.join(", ")
        ))
    })
}
