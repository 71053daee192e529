//! From a run to the scoring pods' [`Task`], and the keys under which their results are kept.

use serde::Serialize;
use serde_json::{Value, json};

use super::names::hex;
use crate::{
    api::{
        self,
        curriculum::Score,
        dataset::{DatasetSpec, VolumeSpec},
        filter::FilterSpec,
        object_store::{ObjectStoreSpec, TrainerReads},
        scorer_volume::ScorerVolume,
        scoring::{self, ContainerScorer, DistanceMetric, DuplicatesScorer, LengthScorer, LengthUnit, ScorerSpec},
        split::SplitSpec,
    },
    controller::validate::{self, Dataset, Paths, Run, Source},
    scoring::task::{Combine, Condition, Format, Metric, Overrides, Scorer, ScorerKind, Split, Task, Test, Unit},
};

/// Version of what the built-in scorers compute, and of how groups are named and ordered. Raise it when the same spec would give
/// other scores or groups than before.
///
/// 2: single precision is read as the decimal that was written; groups of numbers have the same names in every format.
const SCORES_VERSION: u32 = 2;

/// The task of every scoring pod of `run`.
///
/// `datasetKey` is the SHA-256 of the data set's volume source or address, and its paths. `key` is that of everything that decides the
/// scores: the whole `spec.dataset` but for `maxBadRows` and how objects get to who reads them, the scorers but for their resources, pull policy, `/dev/shm` and volumes that begin
/// empty, `combine`, `minCoverage` (an index that satisfied less must not be reused), `seed`, the scorer of lengths and `overrides`. Both hash JSON with sorted object keys and no white space.
pub fn task(run: &Run) -> Task {
    let Run { dataset, scoring, .. } = run;
    let length_scorer = run
        .curriculum
        .batch_tokens
        .as_ref()
        .map(|tokens| tokens.length_scorer.clone());
    let mut decides = json!({
        "version": SCORES_VERSION,
        "dataset": what_decides_rows(dataset),
        "scorers": scoring.scorers.iter().map(what_decides_scores).collect::<Vec<_>>(),
        "combine": value(&scoring.combine),
        "minCoverage": scoring.min_coverage,
        "seed": run.seed,
    });
    if let Some(name) = &length_scorer {
        decides["lengthScorer"] = json!(name);
    }
    if let Some(overrides) = &scoring.overrides {
        decides["overrides"] = value(&overrides.spec);
    }
    Task {
        objects: dataset.objects().map(|store| store.place.clone()),
        path: dataset.paths.one().map(str::to_owned),
        paths: dataset.paths.several().to_vec(),
        format: dataset.format,
        delimiter: dataset.delimiter,
        max_bad_rows: dataset.max_bad_rows,
        revision: dataset.revision.clone(),
        filter: dataset.filter.iter().map(condition).collect(),
        split: dataset.split.as_ref().map(|split| Split {
            held_out: split.held_out.0.clone(),
            seed: split.seed,
        }),
        group_column: dataset.group_column.clone(),
        named_groups: run.curriculum.named_groups().into_iter().map(str::to_owned).collect(),
        dataset_key: dataset_key(dataset),
        key: key_of(&decides),
        seed: run.seed,
        shards: scoring.shards,
        scorers: scoring.scorers.iter().map(scorer).collect(),
        combine: match scoring.combine {
            scoring::Combine::MeanRank => Combine::MeanRank,
            scoring::Combine::WeightedScore => Combine::WeightedScore,
            scoring::Combine::Max => Combine::Max,
        },
        min_coverage: scoring.min_coverage.clone(),
        length_scorer,
        overrides: scoring.overrides.as_ref().map(overrides),
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

fn dataset_key(Dataset { source, paths, .. }: &Dataset) -> String {
    let (kind, source) = match source {
        Source::Volume(volume) => ("volume", value(volume)),
        Source::Objects(store) => ("objects", value(&store.place)),
    };
    key_of(&match paths {
        Paths::One(path) => json!({kind: source, "path": path}),
        Paths::Several(paths) => json!({kind: source, "paths": paths}),
    })
}

/// The data set without what leaves its rows as they are, in the API's form: keys of earlier versions were
/// taken of that.
fn what_decides_rows(dataset: &Dataset) -> Value {
    let format = match dataset.format {
        Format::Parquet => api::dataset::Format::Parquet,
        Format::Csv => api::dataset::Format::Csv,
        Format::JsonLines => api::dataset::Format::JsonLines,
    };
    value(&DatasetSpec {
        volume: match &dataset.source {
            Source::Volume(volume) => Some(VolumeSpec::clone(volume)),
            Source::Objects(_) => None,
        },
        // Who reads, and how it gets there, leaves the rows as they are.
        object_store: dataset.objects().map(|store| ObjectStoreSpec {
            url: store.place.url.clone(),
            endpoint: store.place.endpoint.clone(),
            region: store.place.region.clone(),
            env_from: vec![],
            trainer_reads: TrainerReads::default(),
            size_limit: None,
        }),
        path: dataset.paths.one().map(str::to_owned),
        paths: dataset.paths.several().to_vec(),
        format: Some(format),
        delimiter: (dataset.format == Format::Csv).then(|| dataset.delimiter.to_string()),
        // It decides whether a file is read, not which scores it has.
        max_bad_rows: 0,
        revision: dataset.revision.clone(),
        filter: dataset.filter.iter().map(as_written).collect(),
        split: dataset.split.as_ref().map(|split| SplitSpec {
            held_out: split.held_out.clone(),
            seed: i64::try_from(split.seed).unwrap_or(i64::MAX),
        }),
        group_column: dataset.group_column.clone(),
    })
}

fn condition(condition: &validate::Condition) -> Condition {
    let range = |min: Option<&Score>, max: Option<&Score>| Test::Range {
        min: min.map(|min| min.0.clone()),
        max: max.map(|max| max.0.clone()),
    };
    Condition {
        column: condition.column.clone(),
        test: match &condition.test {
            validate::Test::In(texts) => Test::In(texts.clone()),
            validate::Test::NotIn(texts) => Test::NotIn(texts.clone()),
            validate::Test::AtLeast(min) => range(Some(min), None),
            validate::Test::AtMost(max) => range(None, Some(max)),
            validate::Test::Between(min, max) => range(Some(min), Some(max)),
        },
    }
}

/// A condition in the API's form.
fn as_written(condition: &validate::Condition) -> FilterSpec {
    let mut spec = FilterSpec {
        column: condition.column.clone(),
        is_in: Vec::new(),
        not_in: Vec::new(),
        min: None,
        max: None,
    };
    match &condition.test {
        validate::Test::In(texts) => spec.is_in.clone_from(texts),
        validate::Test::NotIn(texts) => spec.not_in.clone_from(texts),
        validate::Test::AtLeast(min) => spec.min = Some(min.clone()),
        validate::Test::AtMost(max) => spec.max = Some(max.clone()),
        validate::Test::Between(min, max) => (spec.min, spec.max) = (Some(min.clone()), Some(max.clone())),
    }
    spec
}

/// A scorer without the fields that leave its scores as they are, in the API's form as well.
fn what_decides_scores(scorer: &validate::Scorer) -> Value {
    let mut spec = ScorerSpec {
        name: scorer.name.clone(),
        column: None,
        length: None,
        rarity: None,
        duplicates: None,
        centre_distance: None,
        file: None,
        container: None,
        weight: Some(scorer.weight.clone()),
    };
    match &scorer.kind {
        validate::ScorerKind::Column(column) => spec.column = Some(column.clone()),
        validate::ScorerKind::Length { column, unit } => {
            spec.length = Some(LengthScorer {
                column: column.clone(),
                unit: match unit {
                    Unit::Words => LengthUnit::Words,
                    Unit::Characters => LengthUnit::Characters,
                    Unit::Bytes => LengthUnit::Bytes,
                },
                tokenizer: None,
            });
        }
        validate::ScorerKind::Tokens { column, tokenizer } => {
            spec.length = Some(LengthScorer {
                column: column.clone(),
                unit: LengthUnit::Tokens,
                tokenizer: Some(tokenizer.clone()),
            });
        }
        validate::ScorerKind::Rarity(rarity) => spec.rarity = Some(rarity.clone()),
        validate::ScorerKind::Duplicates { column, shingle } => {
            spec.duplicates = Some(DuplicatesScorer {
                column: column.clone(),
                shingle: i32::try_from(*shingle).unwrap_or(i32::MAX),
            });
        }
        validate::ScorerKind::CentreDistance(distance) => spec.centre_distance = Some(distance.clone()),
        validate::ScorerKind::File { spec: file, .. } => spec.file = Some(file.clone()),
        validate::ScorerKind::Container(container) => {
            // What begins empty brings nothing to the scores.
            let volumes = container.volumes.iter().filter(|volume| volume.empty_dir.is_none());
            spec.container = Some(ContainerScorer {
                resources: None,
                image_pull_policy: None,
                shared_memory: None,
                volumes: volumes.cloned().map(read_only_or_not).collect(),
                ..ContainerScorer::clone(container)
            });
        }
    }
    value(&spec)
}

/// A volume's content is the same whether it may be written to or not.
fn read_only_or_not(volume: ScorerVolume) -> ScorerVolume {
    ScorerVolume {
        read_only: None,
        ..volume
    }
}

fn scorer(scorer: &validate::Scorer) -> Scorer {
    let kind = match &scorer.kind {
        validate::ScorerKind::Column(column) => ScorerKind::Column {
            column: column.column.clone(),
        },
        validate::ScorerKind::Length { column, unit } => ScorerKind::Length {
            column: column.clone(),
            unit: *unit,
        },
        validate::ScorerKind::Tokens { column, tokenizer } => ScorerKind::Tokens {
            column: column.clone(),
            tokenizer: tokenizer.path.clone(),
        },
        validate::ScorerKind::Rarity(rarity) => ScorerKind::Rarity {
            column: rarity.column.clone(),
        },
        validate::ScorerKind::Duplicates { column, shingle } => ScorerKind::Duplicates {
            column: column.clone(),
            shingle: *shingle,
        },
        validate::ScorerKind::CentreDistance(distance) => ScorerKind::CentreDistance {
            column: distance.column.clone(),
            metric: match distance.metric {
                DistanceMetric::Cosine => Metric::Cosine,
                DistanceMetric::Euclidean => Metric::Euclidean,
            },
        },
        validate::ScorerKind::File { spec, file } => ScorerKind::File {
            path: spec.path.clone(),
            format: file.format,
            delimiter: file.delimiter,
            score_column: spec.score_column.clone(),
            join: file.join.clone(),
        },
        validate::ScorerKind::Container(_) => ScorerKind::Container,
    };
    Scorer {
        name: scorer.name.clone(),
        weight: scorer.weight.clone(),
        kind,
    }
}

fn overrides(overrides: &validate::Overrides) -> Overrides {
    let validate::Overrides { spec, file } = overrides;
    Overrides {
        path: spec.path.clone(),
        format: file.format,
        delimiter: file.delimiter,
        join: file.join.clone(),
        leave_out: spec.leave_out,
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
