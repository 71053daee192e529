//! From the spec to the scoring pods' [`Task`], and the keys under which their results are kept.

use serde::Serialize;
use serde_json::{Value, json};

use super::names::hex;
use crate::{
    api::{
        dataset,
        job::{CurriculumJob, CurriculumJobSpec},
        scoring::{self, ScorerSpec},
    },
    curriculum::plan,
    scoring::task::{Combine, Format, Scorer, ScorerKind, Task, Unit},
};

/// Version of what the built-in scorers compute, and of how groups are named and ordered. Raise it when the same spec would give
/// other scores or groups than before.
///
/// 2: single precision is read as the decimal that was written; groups of numbers have the same names in every format.
const SCORES_VERSION: u32 = 2;
const DEFAULT_WEIGHT: &str = "1";
const DEFAULT_COVERAGE: &str = "1";

/// The task of every scoring pod of `job`.
///
/// `datasetKey` is the SHA-256 of the data set's volume source and path. `key` is that of everything that decides the
/// scores: the whole `spec.dataset` but for `maxBadRows`, the scorers but for their resources and pull policy, `combine`, `minCoverage` (an
/// index that satisfied less must not be reused) and `seed`. Both hash JSON with sorted object keys and no white space.
pub fn task(job: &CurriculumJob) -> Task {
    let spec = &job.spec;
    let min_coverage = spec
        .scoring
        .min_coverage
        .as_ref()
        .map_or_else(|| DEFAULT_COVERAGE.to_owned(), |f| f.0.clone());
    Task {
        path: spec.dataset.path.clone(),
        format: format(&spec.dataset),
        delimiter: delimiter(&spec.dataset),
        // The schema keeps it at 0 or above.
        max_bad_rows: u64::try_from(spec.dataset.max_bad_rows).unwrap_or_default(),
        revision: spec.dataset.revision.clone(),
        group_column: spec.dataset.group_column.clone(),
        named_groups: plan::named_groups(&spec.curriculum)
            .into_iter()
            .map(str::to_owned)
            .collect(),
        dataset_key: key_of(&json!({"volume": value(&spec.dataset.volume), "path": spec.dataset.path})),
        key: key_of(&json!({
            "version": SCORES_VERSION,
            "dataset": dataset(spec),
            "scorers": spec.scoring.scorers.iter().map(what_decides).collect::<Vec<_>>(),
            "combine": value(&spec.scoring.combine),
            "minCoverage": min_coverage,
            "seed": spec.seed,
        })),
        // The schema keeps the seed within 0..2^53 and the shards within 1..=1000.
        seed: u64::try_from(spec.seed).unwrap_or_default(),
        shards: u32::try_from(spec.scoring.shards).unwrap_or(1).max(1),
        scorers: spec.scoring.scorers.iter().map(scorer).collect(),
        combine: match spec.scoring.combine {
            scoring::Combine::MeanRank => Combine::MeanRank,
            scoring::Combine::WeightedScore => Combine::WeightedScore,
            scoring::Combine::Max => Combine::Max,
        },
        min_coverage,
    }
}

/// The name of a format in `CURRICULUM_FORMAT`.
pub(super) fn format_name(format: Format) -> &'static str {
    match format {
        Format::Parquet => "Parquet",
        Format::Csv => "Csv",
        Format::JsonLines => "JsonLines",
    }
}

/// `dataset.format`, else by the extension of `dataset.path`. The schema refuses any other extension without a format;
/// should one come through, the inspection says that it is no Parquet.
fn format(dataset: &dataset::DatasetSpec) -> Format {
    match (dataset.format, extension(&dataset.path)) {
        (Some(dataset::Format::Parquet), _) => Format::Parquet,
        (Some(dataset::Format::Csv), _) | (None, Some("csv" | "tsv")) => Format::Csv,
        (Some(dataset::Format::JsonLines), _) | (None, Some("jsonl" | "ndjson")) => Format::JsonLines,
        (None, _) => Format::Parquet,
    }
}

/// The extension, without that of a file packed as a whole.
fn extension(path: &str) -> Option<&str> {
    let text = path.strip_suffix(".gz").or_else(|| path.strip_suffix(".zst"));
    text.unwrap_or(path).rsplit('.').next()
}

/// `dataset.delimiter`, else the tab of a `.tsv` file, else the comma.
fn delimiter(dataset: &dataset::DatasetSpec) -> char {
    let given = dataset.delimiter.as_ref().and_then(|text| text.chars().next());
    given.unwrap_or_else(|| {
        if extension(&dataset.path) == Some("tsv") {
            '\t'
        } else {
            ','
        }
    })
}

fn dataset(spec: &CurriculumJobSpec) -> Value {
    let delimiter = (format(&spec.dataset) == Format::Csv).then(|| delimiter(&spec.dataset).to_string());
    let format = match format(&spec.dataset) {
        Format::Parquet => dataset::Format::Parquet,
        Format::Csv => dataset::Format::Csv,
        Format::JsonLines => dataset::Format::JsonLines,
    };
    value(&dataset::DatasetSpec {
        format: Some(format),
        delimiter,
        // It decides whether a file is read, not which scores it has.
        max_bad_rows: 0,
        ..spec.dataset.clone()
    })
}

/// A scorer without the fields that leave its scores as they are, and with its defaults.
fn what_decides(scorer: &ScorerSpec) -> Value {
    let mut scorer = scorer.clone();
    scorer.weight.get_or_insert_with(|| DEFAULT_WEIGHT.to_owned());
    if let Some(container) = &mut scorer.container {
        container.resources = None;
        container.image_pull_policy = None;
    }
    value(&scorer)
}

fn scorer(spec: &ScorerSpec) -> Scorer {
    let kind = if let Some(column) = &spec.column {
        ScorerKind::Column {
            column: column.column.clone(),
        }
    } else if let Some(length) = &spec.length {
        let unit = match length.unit {
            scoring::LengthUnit::Words => Unit::Words,
            scoring::LengthUnit::Characters => Unit::Characters,
            scoring::LengthUnit::Bytes => Unit::Bytes,
        };
        ScorerKind::Length {
            column: length.column.clone(),
            unit,
        }
    } else if let Some(rarity) = &spec.rarity {
        ScorerKind::Rarity {
            column: rarity.column.clone(),
        }
    } else {
        ScorerKind::Container
    };
    let weight = spec.weight.clone().unwrap_or_else(|| DEFAULT_WEIGHT.to_owned());
    Scorer {
        name: spec.name.clone(),
        weight,
        kind,
    }
}

/// SHA-256 of a document's JSON as 64 hexadecimal digits. The maps of [`Value`] are sorted by key.
fn key_of(document: &Value) -> String {
    hex(&document.to_string())
}

#[expect(
    clippy::expect_used,
    reason = "API types have string keys and no floats: their serialisation cannot fail"
)]
pub(super) fn value<T: Serialize>(of: &T) -> Value {
    serde_json::to_value(of).expect("an API type serialises")
}
