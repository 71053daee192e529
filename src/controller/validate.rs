//! From the spec to a [`Run`]: whatever contradicts itself is refused with the field's name, and the rest is
//! taken over with every choice made, so that nobody below has to look at the spec again.
//!
//! The CRD's schema and CEL rules refuse nearly all of this already. What is refused here comes from objects
//! that were stored under an older or a hand-edited CRD.

mod filter;
mod head;
mod joined;
mod objects;
mod run;
mod scorer;
mod store;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt::Display;
use std::time::Duration;

use kube::ResourceExt;

pub use self::head::{Head, JobId};
pub use self::run::{
    Condition, Dataset, FileOfRows, ObjectStore, Overrides, Paths, Remote, RemoteCredentials, Run, Scorer, ScorerKind,
    Scoring, Source, Split, Store, Template, Test, Training,
};
use super::evidence::Failure;
use crate::api::conditions::Reason;
use crate::api::curriculum::CurriculumSpec;
use crate::api::dataset::{self, DatasetSpec};
use crate::api::job::CurriculumJob;
use crate::api::names::{LABEL_QUEUE, SAMPLER, TRAINER};
use crate::api::scoring::ScoringSpec;
use crate::api::split::SplitSpec;
use crate::api::training::{Sampling, TrainingSpec};
use crate::curriculum::plan::{Curriculum, MAX_GROUPS};
use crate::curriculum::share::Share;
use crate::scoring::task::Format;

/// Longest name of a CurriculumJob: child names keep room for a phase, an attempt and a pod's index.
const MAX_NAME: usize = 40;
/// Labels of a CurriculumJob that its Jobs get too: by these Kueue knows the queue and the priority of a Job.
const QUEUE_LABELS: [&str; 2] = [LABEL_QUEUE, "kueue.x-k8s.io/priority-class"];
const DEFAULT_COVERAGE: &str = "1";

/// Parses a CurriculumJob; of its status it knows nothing.
///
/// # Errors
/// The first contradiction, as [`Reason::InvalidSpec`] and a message that names the field and what would be
/// right.
pub fn validate(job: &CurriculumJob) -> Result<Run, Failure> {
    let spec = &job.spec;
    let head = Head::of(job);
    if head.id.name.len() > MAX_NAME {
        return refused(format!("`metadata.name` must not be longer than {MAX_NAME} characters"));
    }
    let (curriculum, scoring) = (curriculum(&spec.curriculum)?, scoring(&spec.scoring)?);
    length_scorer(&curriculum, &scoring)?;
    if curriculum.has_transitions() && spec.training.sampling == Sampling::File {
        return refused(
            "`training.sampling` must be 'Http' where a phase has `advance` or `regress`: a file cannot end early",
        );
    }
    Ok(Run {
        head,
        curriculum,
        scoring,
        training: training(&spec.training)?,
        seed: at_least(0, spec.seed, "seed")?,
        dataset: dataset(&spec.dataset)?,
        store: store::store(&spec.store)?,
        queue_labels: QUEUE_LABELS
            .iter()
            .filter_map(|key| Some(((*key).to_owned(), job.labels().get(*key)?.clone())))
            .collect(),
        snapshots_to_keep: at_least(1, spec.snapshots.keep, "snapshots.keep")?,
        archives_snapshots: spec.snapshots.archive,
        time_to_live: spec
            .ttl_seconds_after_finished
            .map(|ttl| at_least(0, ttl, "ttlSecondsAfterFinished").map(Duration::from_secs))
            .transpose()?,
    })
}

fn refused<T>(message: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::new(Reason::InvalidSpec, message))
}

/// The number as a type that has no place for smaller ones than the API means.
fn at_least<N, T>(least: N, value: N, field: &str) -> Result<T, Failure>
where
    N: PartialOrd + Display + Copy,
    T: TryFrom<N>,
{
    let fits = (value >= least).then(|| T::try_from(value).ok()).flatten();
    fits.map_or_else(
        || refused(format!("`{field}` must be at least {least}, but is {value}")),
        Ok,
    )
}

fn curriculum(spec: &CurriculumSpec) -> Result<Curriculum, Failure> {
    let names: BTreeSet<&str> = spec.phases.iter().map(|phase| phase.name.as_str()).collect();
    if names.is_empty() || names.len() != spec.phases.len() {
        return refused("`curriculum.phases` must have at least one phase, each with a name of its own");
    }
    let curriculum = Curriculum::read(spec).or_else(|unclear| refused(unclear.to_string()))?;
    // More groups than any data set has would not fit into the inspection's report either. The schema bounds
    // a phase, not all of them.
    let named = curriculum.named_groups().len();
    if named > MAX_GROUPS {
        return refused(format!(
            "the `mixing.weights` of all `curriculum.phases` must not name more than {MAX_GROUPS} groups, but name {named}"
        ));
    }
    Ok(curriculum)
}

/// Whether the scorer that the curriculum takes lengths from is there.
fn length_scorer(curriculum: &Curriculum, scoring: &Scoring) -> Result<(), Failure> {
    let Some(tokens) = &curriculum.batch_tokens else {
        return Ok(());
    };
    if scoring.scorers.iter().any(|scorer| scorer.name == tokens.length_scorer) {
        return Ok(());
    }
    let names = scoring.scorers.iter().map(|scorer| format!("'{}'", scorer.name));
    refused(format!(
        "`curriculum.batchTokens.lengthScorer` is '{}', which is none of `scoring.scorers`; these are {}",
        tokens.length_scorer,
        names.collect::<Vec<_>>().join(", ")
    ))
}

fn scoring(spec: &ScoringSpec) -> Result<Scoring, Failure> {
    let min_coverage = spec.min_coverage.as_ref().map(|fraction| fraction.0.clone());
    Ok(Scoring {
        scorers: spec
            .scorers
            .iter()
            .enumerate()
            .map(scorer::scorer)
            .collect::<Result<_, _>>()?,
        combine: spec.combine,
        overrides: spec.overrides.as_ref().map(joined::of_people).transpose()?,
        min_coverage: min_coverage.unwrap_or_else(|| DEFAULT_COVERAGE.to_owned()),
        shards: at_least(1, spec.shards, "scoring.shards")?,
        parallelism: at_least(1, spec.parallelism, "scoring.parallelism")?,
        backoff_limit: at_least(0, spec.backoff_limit, "scoring.backoffLimit")?,
        timeout: at_least(1, spec.timeout_seconds, "scoring.timeoutSeconds").map(Duration::from_secs)?,
        on_failure: spec.on_failure,
        pod: spec.pod.clone(),
    })
}

fn training(spec: &TrainingSpec) -> Result<Training, Failure> {
    let deadline = spec.progress_deadline_seconds;
    Ok(Training {
        template: template(spec)?,
        backoff_limit: at_least(0, spec.backoff_limit, "training.backoffLimit")?,
        progress_deadline: deadline
            .map(|seconds| at_least(1, seconds, "training.progressDeadlineSeconds").map(Duration::from_secs))
            .transpose()?,
        sampling: spec.sampling,
        checkpoint: spec.checkpoint.clone(),
        sampler_resources: spec.sampler.resources.clone(),
    })
}

fn template(spec: &TrainingSpec) -> Result<Template, Failure> {
    let mut pod = spec.template.spec.clone().unwrap_or_default();
    let mut before = std::mem::take(&mut pod.containers);
    if before.iter().any(|container| container.name == SAMPLER) {
        return refused(format!("no container of `training.template` may be named '{SAMPLER}'"));
    }
    let trainer = before.iter().position(|container| container.name == TRAINER);
    let after = before.split_off(trainer.map_or(1, |place| place + 1).min(before.len()));
    let Some(trainer) = before.pop() else {
        return refused("`training.template.spec.containers` must have the trainer");
    };
    Ok(Template {
        metadata: spec.template.metadata.clone().unwrap_or_default(),
        pod,
        before,
        trainer,
        after,
    })
}

fn dataset(spec: &DatasetSpec) -> Result<Dataset, Failure> {
    let paths = match (&spec.path, &spec.paths[..]) {
        (Some(path), []) => Paths::One(path.clone()),
        (None, [_, ..]) => Paths::Several(spec.paths.clone()),
        _ => return refused("exactly one of `dataset.path` and `dataset.paths` must be set".to_owned()),
    };
    let told: BTreeSet<_> = spec
        .path
        .iter()
        .chain(&spec.paths)
        .map(|path| Format::of_name(path))
        .collect();
    let format = format(spec.format, &told);
    let given = spec.delimiter.as_ref().and_then(|text| text.chars().next());
    let is_tabbed = |path: &Option<(Format, char)>| path.is_some_and(|(_, delimiter)| delimiter == '\t');
    let by_name = match (told.iter().any(is_tabbed), told.len()) {
        (false, _) => ',',
        (true, 1) => '\t',
        (true, _) if given.is_some() || format != Format::Csv => ',',
        (true, _) => {
            return refused(
                "`dataset.delimiter` must be set when `dataset.paths` has '.tsv' and other files".to_owned(),
            );
        }
    };
    Ok(Dataset {
        source: source(spec)?,
        paths,
        format,
        delimiter: given.unwrap_or(by_name),
        max_bad_rows: at_least(0, spec.max_bad_rows, "dataset.maxBadRows")?,
        revision: spec.revision.clone(),
        filter: filter::filter(&spec.filter)?,
        split: spec.split.as_ref().map(split).transpose()?,
        group_column: spec.group_column.clone(),
    })
}

/// The volume or the object store, whichever is given.
fn source(spec: &DatasetSpec) -> Result<Source, Failure> {
    match (&spec.volume, &spec.object_store) {
        (Some(volume), None) => Ok(Source::Volume(Box::new(volume.clone()))),
        (None, Some(store)) => objects::objects(store).map(Source::Objects),
        _ => refused("exactly one of `dataset.volume` and `dataset.objectStore` must be set"),
    }
}

/// The given format, else the one that all names tell.
fn format(given: Option<dataset::Format>, told: &BTreeSet<Option<(Format, char)>>) -> Format {
    match given {
        Some(dataset::Format::Parquet) => Format::Parquet,
        Some(dataset::Format::Csv) => Format::Csv,
        Some(dataset::Format::JsonLines) => Format::JsonLines,
        None => {
            let formats: BTreeSet<_> = told.iter().map(|path| path.map(|(format, _)| format)).collect();
            match formats.into_iter().collect::<Vec<_>>()[..] {
                [Some(format)] => format,
                // The schema refuses names that tell none without a format; should one come through, the inspection says that it is no
                // Parquet.
                _ => Format::Parquet,
            }
        }
    }
}

fn split(spec: &SplitSpec) -> Result<Split, Failure> {
    match Share::try_from(&spec.held_out) {
        Ok(fraction) if Share::ZERO < fraction && fraction < Share::ONE => Ok(Split {
            held_out: spec.held_out.clone(),
            seed: at_least(0, spec.seed, "dataset.split.seed")?,
        }),
        Ok(_) => refused("`dataset.split.heldOut` must be greater than 0 and less than 1"),
        Err(error) => refused(format!("`dataset.split.heldOut`: {error}")),
    }
}
