//! What a scoring pod is to do: one JSON document in the environment variable `CURRICULUM_TASK`.

use serde::{Deserialize, Serialize};

use crate::store::place::Objects;

/// Environment variable that holds the [`Task`].
pub const TASK_ENV: &str = "CURRICULUM_TASK";

/// The scoring of one data set. All paths are below the mounts `/curriculum/dataset` and `/curriculum/store`
/// (overridden by `--dataset-root` and `--store-root` outside a pod).
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Task {
    /// File, folder or pattern below the data set's mount: one of `path` and `paths` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Several of them, in the order of their rows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// Where the paths begin, when that is no mount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objects: Option<Objects>,
    /// `Parquet`, `Csv` or `JsonLines`.
    pub format: Format,
    /// What separates the fields of CSV: one ASCII character. Default `,`.
    #[serde(default = "comma")]
    pub delimiter: char,
    /// Most rows that may be bad as a whole.
    #[serde(default)]
    pub max_bad_rows: u64,
    /// What the job calls this content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Conditions that a row must meet to be trained on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filter: Vec<Condition>,
    /// Rows that are held out of training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<Split>,
    /// Column of the groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_column: Option<String>,
    /// Groups that the curriculum names: the inspection tells their places.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub named_groups: Vec<String>,
    /// Key of the data set's source and path, 64 hexadecimal digits: names the folder `datasets/<datasetKey>/` on the store.
    pub dataset_key: String,
    /// Key of the scores, 64 hexadecimal digits: names the folders `scores/<key>/` and `index/<key>/`.
    pub key: String,
    /// Seed of the job.
    pub seed: u64,
    /// Number of shards.
    pub shards: u32,
    /// The scorers, in the order of the spec.
    pub scorers: Vec<Scorer>,
    /// How several scores become one.
    pub combine: Combine,
    /// Least fraction of rows with a finite score, as a decimal string.
    pub min_coverage: String,
    /// Name of the scorer whose scores are also kept as the rows' lengths in tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length_scorer: Option<String>,
    /// What people say of rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overrides: Option<Overrides>,
}

/// Most conditions of a filter: the inspection has a bit for each.
pub const MAX_CONDITIONS: usize = 16;

/// A condition that a row meets or not, by its value in one column.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Condition {
    /// Name of the column.
    pub column: String,
    /// What the value must be.
    pub test: Test,
}

/// What a value must be.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum Test {
    /// One of these texts.
    In(Vec<String>),
    /// None of these texts; also no value at all.
    NotIn(Vec<String>),
    /// A number within bounds, decimal strings, which belong to it.
    Range {
        /// The least.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        min: Option<String>,
        /// The greatest.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max: Option<String>,
    },
}

/// Which rows are held out of training.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Split {
    /// Fraction of the rows, as a decimal string.
    pub held_out: String,
    /// Seed of the choice.
    pub seed: u64,
}

fn comma() -> char {
    ','
}

impl Task {
    /// Each path as it is given, with the field that names it.
    pub fn entries(&self) -> impl Iterator<Item = (String, &str)> {
        let one = self.path.as_deref().map(|path| ("dataset.path".to_owned(), path));
        let of_list = self.paths.iter().enumerate();
        one.into_iter()
            .chain(of_list.map(|(place, path)| (format!("dataset.paths[{place}]"), path.as_str())))
    }

    /// The data set's paths in messages.
    pub fn shown(&self) -> String {
        match &self.path {
            Some(path) => format!("`dataset.path` `{path}`"),
            None => "`dataset.paths`".to_owned(),
        }
    }

    /// What separates the fields of CSV, as the byte that it is in a [checked](super::validate::parse_task) task.
    pub fn delimiter(&self) -> u8 {
        u8::try_from(self.delimiter).unwrap_or(b',')
    }
}

/// Format of the data set.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Format {
    Parquet,
    Csv,
    JsonLines,
}

impl Format {
    /// The format that the name of a file tells, and what separates its fields if it is CSV. Text may be packed as a whole.
    pub fn of_name(name: &str) -> Option<(Self, char)> {
        let text = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst"));
        let (_, extension) = text.unwrap_or(name).rsplit_once('.')?;
        match extension {
            "parquet" if text.is_none() => Some((Self::Parquet, ',')),
            "csv" => Some((Self::Csv, ',')),
            "tsv" => Some((Self::Csv, '\t')),
            "jsonl" | "ndjson" => Some((Self::JsonLines, ',')),
            _ => None,
        }
    }
}

/// One scorer.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Scorer {
    /// Name: folder `scores/<key>/<name>/`.
    pub name: String,
    /// Weight in the combination, as a decimal string.
    pub weight: String,
    /// What it does.
    pub kind: ScorerKind,
}

/// Kind of a scorer.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum ScorerKind {
    /// A numeric column.
    Column {
        /// Name of the column.
        column: String,
    },
    /// Length of a text.
    Length {
        /// Name of the column.
        column: String,
        /// What is counted.
        unit: Unit,
    },
    /// Length of a text in tokens.
    Tokens {
        /// Name of the column.
        column: String,
        /// Path of the tokenizer's file below the data set's mount.
        tokenizer: String,
    },
    /// Mean negative log frequency of a text's tokens.
    Rarity {
        /// Name of the column.
        column: String,
    },
    /// How much of a text an earlier row has already.
    Duplicates {
        /// Name of the column.
        column: String,
        /// Words of a shingle.
        shingle: u32,
    },
    /// Distance of an embedding from the centre of its group.
    CentreDistance {
        /// Name of the column.
        column: String,
        /// How the distance is measured.
        metric: Metric,
    },
    /// Scores that somebody has already, in a file beside the data.
    #[serde(rename_all = "camelCase")]
    File {
        /// Path of the file below the data set's mount.
        path: String,
        /// Its format.
        format: Format,
        /// What separates the fields of CSV.
        delimiter: char,
        /// Column with the score.
        score_column: String,
        /// How its lines are joined to rows.
        join: Join,
    },
    /// A program in a container of its own.
    Container,
}

impl ScorerKind {
    /// Whether it needs a counting pass over all rows before any is scored.
    pub fn is_counted(&self) -> bool {
        matches!(
            self,
            Self::Rarity { .. } | Self::Duplicates { .. } | Self::CentreDistance { .. }
        )
    }
}

/// How the lines of a file of scores are joined to the rows of the data set.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum Join {
    /// By the row's number.
    Row {
        /// Column of the file with the number, from 0.
        column: String,
    },
    /// By an id.
    #[serde(rename_all = "camelCase")]
    Id {
        /// Column of the file with the id.
        column: String,
        /// Column of the data set with the id.
        dataset_column: String,
    },
}

/// A file beside the data in which people rank rows.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Overrides {
    /// Path of the file below the data set's mount.
    pub path: String,
    /// Its format.
    pub format: Format,
    /// What separates the fields of CSV.
    pub delimiter: char,
    /// How its lines are joined to rows.
    pub join: Join,
    /// Whether they may leave rows out.
    pub leave_out: bool,
}

/// A distance.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Metric {
    Cosine,
    Euclidean,
}

/// Unit of a length.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Unit {
    Words,
    Characters,
    Bytes,
}

/// How several scores become one.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Combine {
    MeanRank,
    WeightedScore,
    Max,
}
