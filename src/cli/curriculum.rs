//! What `simulate` and `sample` have in common: which curriculum, over which rows.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::api::curriculum::Balance;
use crate::curriculum::plan::{Facts, MAX_EXACT, Plan};
use crate::curriculum::transition::{Course, Evidence};
use crate::simulate::document::Document;
use crate::simulate::error::SimulateError;
use crate::simulate::population::Population;

/// The curriculum.
#[derive(Args, Debug)]
pub(crate) struct CurriculumArgs {
    /// A CurriculumJob, its `curriculum` alone, or a DeepSpeed configuration with one metric, as YAML or JSON; `-` reads standard
    /// input.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    data: DataArgs,
    /// Instead of the job's `spec.seed`. Default without a job: 0.
    #[arg(long, value_name = "SEED", value_parser = clap::value_parser!(u64).range(..=MAX_EXACT))]
    seed: Option<u64>,
}

/// The rows, told in one of three ways.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
struct DataSource {
    /// Number of rows to train on; row r has rank (r + 1)/N.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=MAX_EXACT))]
    rows: Option<u64>,
    /// Score index, `index/<key>/index.arrow` of the job's store: rows, groups and scores.
    #[arg(long, value_name = "FILE")]
    index: Option<PathBuf>,
    /// What the inspection found, `scores/<key>/manifest.json` of the job's store: rows and groups, but no scores.
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
}

#[derive(Args, Debug)]
struct DataArgs {
    #[command(flatten)]
    source: DataSource,
    /// Rows of each group of --rows, such as `common=900,rare=100`; they are spread evenly over the ranks.
    #[arg(long, value_name = "NAME=ROWS,…", requires = "rows")]
    groups: Option<String>,
}

impl CurriculumArgs {
    /// The rows of a curriculum. Of `--rows` and `--manifest` no score index is known, and all rows are ones to train on.
    pub(crate) fn population(&self, document: &Document) -> Result<Population, SimulateError> {
        let groups = self.data.groups.as_deref().map(groups).transpose()?.unwrap_or_default();
        match &self.data.source {
            DataSource { index: Some(path), .. } => Population::index(path, document.split, document.leaves_rows_out()),
            DataSource {
                manifest: Some(path), ..
            } => Population::manifest(path),
            DataSource { rows, .. } => Population::even(rows.unwrap_or(1), groups, "--groups"),
        }
    }

    /// Whether the numbers of the rows are those of the data: where a filter leaves rows out, only an index
    /// says which.
    pub(crate) fn knows_rows(&self, document: &Document) -> Result<(), SimulateError> {
        if !document.leaves_rows_out() || self.data.source.index.is_some() {
            return Ok(());
        }
        let problem = "is needed: which rows the job's `dataset.filter` and `scoring.overrides` leave is known by its score index only";
        Err(SimulateError::argument("--index", problem.to_owned()))
    }

    /// The plan of a curriculum over these rows.
    pub(crate) fn plan(&self, document: &Document, population: &Population) -> Result<Plan, SimulateError> {
        document.compile(&self.facts(document, population)?)
    }

    /// What becomes of a curriculum over these rows when a trainer reports this.
    pub(crate) fn course(
        &self,
        document: &Document,
        population: &Population,
        reports: &[Evidence<'_>],
    ) -> Result<Course, SimulateError> {
        document.play(&self.facts(document, population)?, reports)
    }

    fn facts(&self, document: &Document, population: &Population) -> Result<Facts, SimulateError> {
        if document.spec.balance == Balance::Group && population.group_rows().is_empty() {
            let problem = "`balance: Group` needs the groups of the rows: give --rows with --groups, or an --index or --manifest with groups";
            return Err(SimulateError::argument("--groups", problem));
        }
        Ok(population.facts(self.seed.or(document.seed).unwrap_or(0)))
    }

    /// The arguments that tell the rows, as they would be typed.
    pub(crate) fn data(&self) -> String {
        let mut words = match &self.data.source {
            DataSource { index: Some(path), .. } => format!("--index {}", quoted(path)),
            DataSource {
                manifest: Some(path), ..
            } => format!("--manifest {}", quoted(path)),
            DataSource { rows, .. } => format!("--rows {}", rows.unwrap_or(1)),
        };
        if let Some(groups) = &self.data.groups {
            words.push_str(&format!(" --groups {}", quoted(Path::new(groups))));
        }
        if let Some(seed) = self.seed {
            words.push_str(&format!(" --seed {seed}"));
        }
        words
    }
}

/// A word for a shell.
pub(crate) fn quoted(word: &Path) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_alphanumeric() || "_-./=,:".contains(c);
    match word.chars().all(plain) {
        true => word.into_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

fn groups(text: &str) -> Result<Vec<(String, u64)>, SimulateError> {
    let mut groups: Vec<(String, u64)> = Vec::new();
    for part in text.split(',') {
        let problem = match part.rsplit_once('=').map(|(name, rows)| (name, rows.parse::<u64>())) {
            Some((name, Ok(_))) if groups.iter().any(|(other, _)| other == name) => {
                format!("'{name}' is named twice")
            }
            Some((name, Ok(rows))) if rows <= MAX_EXACT => {
                groups.push((name.to_owned(), rows));
                continue;
            }
            _ => format!("'{part}' is no name and number of rows such as 'rare=100'"),
        };
        return Err(SimulateError::argument("--groups", problem));
    }
    Ok(groups)
}
