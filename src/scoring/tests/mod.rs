//! The commands' work on small data sets in temporary folders.

mod centre;
mod columns;
mod disk;
mod duplicates;
mod faults;
mod filter;
mod given;
mod inputs;
mod lengths;
mod many;
mod overrides;
mod packed;
mod pipeline;
mod rows;
mod same_data;
mod split;
mod tokens;

use std::fs;
use std::path::PathBuf;

use arrow_array::{ArrayRef, RecordBatch};
use parquet::arrow::ArrowWriter;
use tempfile::TempDir;

use super::builtin::score_shard;
use super::count::count_shard;
use super::dataset::Root;
use super::error::ScoringError;
use super::index::build_index;
use super::inspect::inspect;
use super::report::Inspection;
use super::store::{Shard, Store};
use super::task::{Combine, Format, Scorer, ScorerKind, Task, Unit};
use crate::index::map::ScoreIndex;
use crate::index::summary::IndexSummary;
use crate::store::Shared;

/// A data set and a store.
pub(super) struct Place {
    folder: TempDir,
    pub(super) task: Task,
}

impl Place {
    /// `content` as the file `data.<extension>` with these scorers.
    pub(super) fn new(extension: &str, content: &[u8], scorers: Vec<Scorer>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = format!("data.{extension}");
        fs::create_dir(folder.path().join("dataset")).unwrap();
        fs::write(folder.path().join("dataset").join(&path), content).unwrap();
        let format = match extension {
            "parquet" => Format::Parquet,
            "csv" => Format::Csv,
            _ => Format::JsonLines,
        };
        let task = Task {
            objects: None,
            named_groups: Vec::new(),
            delimiter: ',',
            max_bad_rows: 0,
            revision: None,
            filter: Vec::new(),
            split: None,
            path: Some(path),
            paths: Vec::new(),
            format,
            group_column: None,
            dataset_key: "d".repeat(64).replace('d', "0"),
            key: "a".repeat(64),
            seed: 42,
            shards: 2,
            scorers,
            combine: Combine::MeanRank,
            min_coverage: "1".to_owned(),
            length_scorer: None,
            overrides: None,
        };
        Self { folder, task }
    }

    pub(super) fn grouped(mut self, column: &str) -> Self {
        self.task.group_column = Some(column.to_owned());
        self
    }

    pub(super) fn root(&self) -> PathBuf {
        self.folder.path().join("dataset")
    }

    /// The data set's folder, to be read from.
    pub(super) fn source(&self) -> Root {
        Root::local(self.root())
    }

    pub(super) fn store_root(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    pub(super) fn store(&self) -> Store {
        Store::new(Shared::volume(self.store_root()))
    }

    pub(super) fn inspect(&self) -> Result<Inspection, ScoringError> {
        inspect(&self.task, &self.source(), &self.store())
    }

    pub(super) fn shards(&self) -> impl Iterator<Item = Shard> + use<> {
        let count = self.task.shards;
        (0..count).map(move |index| Shard { index, count })
    }

    pub(super) fn score(&self) -> Result<(), ScoringError> {
        let (root, store) = (self.source(), self.store());
        self.shards()
            .try_for_each(|shard| count_shard(&self.task, &root, &store, shard))?;
        self.shards()
            .try_for_each(|shard| score_shard(&self.task, &root, &store, shard))
    }

    pub(super) fn index(&self) -> Result<IndexSummary, ScoringError> {
        build_index(&self.task, &self.store(), jiff::Timestamp::UNIX_EPOCH)
    }

    /// Everything, and the index.
    pub(super) fn run(&self) -> Result<(IndexSummary, ScoreIndex), ScoringError> {
        self.inspect()?;
        self.score()?;
        let summary = self.index()?;
        let index = ScoreIndex::open(&self.store().index(&self.task.key), Some(&summary.digest)).unwrap();
        Ok((summary, index))
    }

    /// Writes what a program would as the scores of a shard.
    pub(super) fn write_scores(&self, scorer: &str, shard: Shard, extension: &str, content: &str) {
        let folder = self.store().scorer(&self.task, scorer);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("{}.{extension}", shard.stem())), content).unwrap();
    }

    /// Names of all files of the store.
    pub(super) fn stored_files(&self) -> Vec<String> {
        let mut names = Vec::new();
        let mut folders = vec![self.folder.path().join("store")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten() {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_dir() {
                    folders.push(entry.path());
                } else {
                    names.push(entry.file_name().into_string().unwrap());
                }
            }
        }
        names
    }
}

pub(super) fn column(column: &str) -> Scorer {
    scorer(
        "column",
        ScorerKind::Column {
            column: column.to_owned(),
        },
    )
}

pub(super) fn length(column: &str, unit: Unit) -> Scorer {
    scorer(
        "length",
        ScorerKind::Length {
            column: column.to_owned(),
            unit,
        },
    )
}

pub(super) fn rarity(column: &str) -> Scorer {
    scorer(
        "rarity",
        ScorerKind::Rarity {
            column: column.to_owned(),
        },
    )
}

pub(super) fn program() -> Scorer {
    scorer("program", ScorerKind::Container)
}

/// A Parquet file of these columns.
pub(super) fn parquet_of(columns: Vec<(&str, ArrayRef)>) -> Vec<u8> {
    let columns = columns.into_iter().map(|(name, values)| (name, values, true));
    let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

fn scorer(name: &str, kind: ScorerKind) -> Scorer {
    Scorer {
        name: name.to_owned(),
        weight: "1".to_owned(),
        kind,
    }
}
