//! The file that a curriculum is read from: a whole CurriculumJob, its curriculum alone, or a DeepSpeed configuration.

use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::deepspeed;
use super::error::SimulateError;
use super::unique::{self, Unique};
use crate::api::curriculum::{Balance, CurriculumSpec};
use crate::api::filter::FilterSpec;
use crate::api::split::SplitSpec;
use crate::curriculum::plan::{Curriculum, Facts, MAX_EXACT, Plan, PlanError, compile};
use crate::curriculum::share::Share;
use crate::curriculum::transition::{Course, Evidence};

/// A curriculum as a file tells it.
#[derive(Clone, Debug)]
pub struct Document {
    /// The file.
    pub path: PathBuf,
    /// What the file is.
    pub kind: Kind,
    /// The curriculum.
    pub spec: CurriculumSpec,
    /// Seed of the run, where the file has one.
    pub seed: Option<u64>,
    /// The job's `dataset.groupColumn`.
    pub group_column: Option<String>,
    /// The job's `dataset.split`: fraction that is held out, and seed.
    pub split: Option<(Share, u64)>,
    /// The job's `dataset.filter`.
    pub filter: Vec<FilterSpec>,
    /// The job's `scoring.overrides.leaveOut`: people may leave rows out.
    pub leave_out: bool,
    /// What was assumed about the file, and what is not the same here as there.
    pub notes: Vec<String>,
    /// Where fields of the compiler's errors stand in the file: (prefix there, prefix in the file).
    names: Vec<(&'static str, String)>,
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A CurriculumJob.
    Job,
    /// A curriculum alone.
    Curriculum,
    /// A configuration of DeepSpeed's data efficiency library.
    DeepSpeed,
}

/// `curriculum: {…}` on its own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wrapped {
    seed: Option<i64>,
    curriculum: Value,
}

/// What is read of a job. The rest of it is checked at admission.
#[derive(Deserialize)]
struct Job {
    spec: JobSpec,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JobSpec {
    seed: Option<i64>,
    dataset: Option<JobDataset>,
    #[serde(default)]
    scoring: JobScoring,
    curriculum: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JobDataset {
    group_column: Option<String>,
    split: Option<SplitSpec>,
    #[serde(default)]
    filter: Vec<FilterSpec>,
}

#[derive(Deserialize, Default)]
struct JobScoring {
    overrides: Option<JobOverrides>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JobOverrides {
    #[serde(default)]
    leave_out: bool,
}

impl Document {
    /// Whether rows may be left out of the run, not counting those that are held out.
    pub fn leaves_rows_out(&self) -> bool {
        !self.filter.is_empty() || self.leave_out
    }

    /// Reads a file, or standard input for `-`.
    ///
    /// # Errors
    /// When the file cannot be read or is no curriculum. Names the field, its value, and what would be right.
    pub fn read(path: &Path) -> Result<Self, SimulateError> {
        let text = match path.as_os_str() == "-" {
            true => io::read_to_string(io::stdin()),
            false => fs::read_to_string(path),
        };
        let text = text.map_err(|source| SimulateError::Io {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(path, &text)
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// As [`Document::read`].
    pub fn parse(path: &Path, text: &str) -> Result<Self, SimulateError> {
        let value = value(path, text)?;
        if value.get("spec").is_some() || value.get("kind").is_some() {
            return Self::job(path, value);
        }
        if let Some(found) = deepspeed::find(&value) {
            let found = found.map_err(|e| field(path, &e.field, e.problem))?;
            let metric = typed(path, &found.path, found.metric)?;
            return Ok(Self {
                path: path.to_owned(),
                kind: Kind::DeepSpeed,
                spec: deepspeed::curriculum(&metric, found.batch_size),
                seed: None,
                group_column: None,
                split: None,
                filter: Vec::new(),
                leave_out: false,
                notes: found.notes,
                names: vec![
                    ("curriculum.phases[0].pool.deepSpeed", found.path),
                    ("curriculum.batchSize", "train_batch_size".to_owned()),
                ],
            });
        }
        if value.get("curriculum").is_some() {
            let wrapped: Wrapped = typed(path, "", value)?;
            return Self::new(
                path,
                Kind::Curriculum,
                "curriculum",
                wrapped.curriculum,
                wrapped.seed,
                None,
            );
        }
        Self::new(path, Kind::Curriculum, "", value, None, None)
    }

    fn job(path: &Path, value: Value) -> Result<Self, SimulateError> {
        if let Some(kind) = value.get("kind").filter(|kind| *kind != "CurriculumJob") {
            return Err(field(path, "kind", format!("{kind} is not \"CurriculumJob\"")));
        }
        let Job { spec } = typed(path, "", value)?;
        let (column, split, filter) = spec
            .dataset
            .map(|dataset| (dataset.group_column, dataset.split, dataset.filter))
            .unwrap_or_default();
        let split = split.map(|split| -> Result<_, SimulateError> {
            let wrong = |problem: String| field(path, "spec.dataset.split", problem);
            let fraction = Share::try_from(&split.held_out).map_err(|error| wrong(error.to_string()))?;
            let seed = u64::try_from(split.seed).map_err(|_| wrong(format!("seed {} is below 0", split.seed)))?;
            Ok((fraction, seed))
        });
        let mut document = Self::new(path, Kind::Job, "spec.curriculum", spec.curriculum, spec.seed, column)?;
        if document.spec.balance == Balance::Group && document.group_column.is_none() {
            let problem = "must be set when `curriculum.balance` is 'Group'";
            return Err(field(path, "spec.dataset.groupColumn", problem));
        }
        document.split = split.transpose()?;
        document.filter = filter;
        document.leave_out = spec.scoring.overrides.is_some_and(|overrides| overrides.leave_out);
        Ok(document)
    }

    fn new(
        path: &Path,
        kind: Kind,
        at: &str,
        curriculum: Value,
        seed: Option<i64>,
        group_column: Option<String>,
    ) -> Result<Self, SimulateError> {
        let spec = typed(path, at, curriculum)?;
        let parent = at.strip_suffix("curriculum").unwrap_or(at);
        let seed = seed.map(|seed| {
            u64::try_from(seed)
                .ok()
                .filter(|&seed| seed <= MAX_EXACT)
                .ok_or_else(|| {
                    field(
                        path,
                        &format!("{parent}seed"),
                        format!("{seed} is not between 0 and {MAX_EXACT}"),
                    )
                })
        });
        Ok(Self {
            path: path.to_owned(),
            kind,
            spec,
            seed: seed.transpose()?,
            group_column,
            split: None,
            filter: Vec::new(),
            leave_out: false,
            notes: Vec::new(),
            names: vec![("curriculum", at.to_owned()), ("dataset", format!("{parent}dataset"))],
        })
    }

    /// Compiles the curriculum.
    ///
    /// # Errors
    /// Names the first field that contradicts the bounds, another field or the data, as the file has it.
    pub fn compile(&self, facts: &Facts) -> Result<Plan, SimulateError> {
        if self.spec.course.is_some() {
            return self.play(facts, &[]).map(|course| course.plan);
        }
        compile(&self.spec, facts).map_err(|error| self.named(error))
    }

    /// What becomes of it when a trainer reports this.
    ///
    /// # Errors
    /// As [`Document::compile`].
    pub fn play(&self, facts: &Facts, reports: &[Evidence<'_>]) -> Result<Course, SimulateError> {
        let curriculum = Curriculum::read(&self.spec).map_err(PlanError::from);
        curriculum
            .and_then(|curriculum| Course::play(&curriculum, facts, reports))
            .map_err(|error| self.named(error))
    }

    fn named(&self, PlanError { field: name, problem }: PlanError) -> SimulateError {
        field(&self.path, &self.name_in_file(&name), problem)
    }

    fn name_in_file(&self, name: &str) -> String {
        let renamed = self.names.iter().find_map(|(there, here)| {
            let rest = name.strip_prefix(there)?;
            Some(join(here, rest.trim_start_matches('.')))
        });
        renamed.unwrap_or_else(|| name.to_owned())
    }
}

fn join(parent: &str, child: &str) -> String {
    match (parent, child) {
        ("", name) | (name, "") => name.to_owned(),
        (parent, child) if child.starts_with('[') => format!("{parent}{child}"),
        _ => format!("{parent}.{child}"),
    }
}

fn field(path: &Path, field: &str, problem: impl Into<String>) -> SimulateError {
    SimulateError::Field {
        path: path.to_owned(),
        field: field.to_owned(),
        problem: problem.into(),
    }
}

/// JSON, Hjson or YAML; of several YAML documents, the one that is a CurriculumJob.
fn value(path: &Path, text: &str) -> Result<Value, SimulateError> {
    let fail = |problem: String| SimulateError::File {
        path: path.to_owned(),
        problem,
    };
    let json = match serde_json::from_str(text) {
        Ok(Unique(value)) => return Ok(value),
        Err(error) if error.is_data() => return Err(fail(format!("as JSON: {error}"))),
        Err(error) => error,
    };
    // DeepSpeed reads its configurations as Hjson: JSON with comments, and with commas and quotes that may be left out.
    let is_json = path
        .extension()
        .is_some_and(|extension| extension == "json" || extension == "hjson");
    // No YAML has such comments.
    let is_comment = |line: &str| ["//", "/*"].iter().any(|mark| line.trim_start().starts_with(mark));
    if is_json || text.lines().any(is_comment) {
        let read = hjson(text);
        return read.map_err(|hjson| match hjson {
            Some(named) if named.contains(unique::TWICE) => fail(format!("as JSON: {named}")),
            _ => fail(format!("no JSON: {json}")),
        });
    }
    let mut documents: Vec<Value> =
        serde_saphyr::from_multiple(text).map_err(|error| fail(format!("cannot be read as YAML: {error}")))?;
    documents.retain(|document| !document.is_null());
    if documents.len() > 1 {
        documents.retain(|document| document.get("kind").is_some_and(|kind| kind == "CurriculumJob"));
    }
    match documents.pop() {
        Some(one) if documents.is_empty() => Ok(one),
        Some(_) => Err(fail("several documents are a CurriculumJob; leave one".to_owned())),
        None => Err(fail("no document with a curriculum".to_owned())),
    }
}

/// Hjson, or why it is none. What is nested too deep is not tried: the parser has no limit of its own.
fn hjson(text: &str) -> Result<Value, Option<String>> {
    const DEEPEST: i32 = 128;
    let depths = text.chars().scan(0, |depth, c| {
        *depth += i32::from(matches!(c, '[' | '{')) - i32::from(matches!(c, ']' | '}'));
        Some(*depth)
    });
    if depths.max().is_some_and(|depth| depth > DEEPEST) {
        return Err(None);
    }
    match deser_hjson::from_str(text) {
        Ok(Unique(value)) => Ok(value),
        Err(error) => Err(Some(error.to_string())),
    }
}

/// A value as a type, with the path of the field that does not fit.
fn typed<T: DeserializeOwned>(path: &Path, at: &str, value: Value) -> Result<T, SimulateError> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let inner = match error.path().to_string() {
            root if root == "." => String::new(),
            inner => inner,
        };
        let mut problem = error.inner().to_string();
        if problem.contains("expected a string") && (problem.contains("floating point") || problem.contains("integer"))
        {
            problem.push_str("; fractions are written in quotes, such as \"0.25\"");
        }
        match join(at, &inner) {
            name if name.is_empty() => SimulateError::File {
                path: path.to_owned(),
                problem: format!("{problem}; expected a CurriculumJob, its curriculum, or a DeepSpeed configuration"),
            },
            name => field(path, &name, problem),
        }
    })
}
