//! What a spec must fulfil beyond its schema before anything is done with it: small named checks, read top down.
//!
//! The CRD's schema and CEL rules refuse nearly all of this already. The checks are for objects that were stored under an older
//! or a hand-edited CRD, so that `decide` may rely on them.

use std::collections::BTreeSet;

use kube::ResourceExt;

use super::evidence::Failure;
use crate::api::conditions::Reason;
use crate::api::job::CurriculumJob;
use crate::api::names::SAMPLER;
use crate::curriculum::plan::{self, MAX_GROUPS};

/// Longest name of a CurriculumJob: child names keep room for a phase, an attempt and a pod's index.
const MAX_NAME: usize = 40;

/// A CurriculumJob that passed every check.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Validated<'a> {
    job: &'a CurriculumJob,
}

impl<'a> Validated<'a> {
    /// The job.
    pub(crate) fn job(&self) -> &'a CurriculumJob {
        self.job
    }
}

type Check = fn(&CurriculumJob) -> Option<String>;

const CHECKS: [Check; 7] = [
    name_is_short,
    phases_have_names_of_their_own,
    phases_have_one_duration,
    phases_have_one_pool,
    phases_name_few_groups,
    scorers_have_one_kind,
    template_has_a_trainer,
];

/// Runs every check.
///
/// # Errors
/// The first check that fails, as [`Reason::InvalidSpec`] and a message that names the field and what would be right.
pub(crate) fn validate(job: &CurriculumJob) -> Result<Validated<'_>, Failure> {
    let problem = CHECKS.iter().find_map(|check| check(job));
    problem.map_or(Ok(Validated { job }), |message| {
        Err(Failure::new(Reason::InvalidSpec, message))
    })
}

fn name_is_short(job: &CurriculumJob) -> Option<String> {
    (job.name_any().len() > MAX_NAME).then(|| format!("`metadata.name` must not be longer than {MAX_NAME} characters"))
}

fn phases_have_names_of_their_own(job: &CurriculumJob) -> Option<String> {
    let phases = &job.spec.curriculum.phases;
    let names: BTreeSet<&str> = phases.iter().map(|phase| phase.name.as_str()).collect();
    (phases.is_empty() || names.len() != phases.len())
        .then(|| "`curriculum.phases` must have at least one phase, each with a name of its own".to_owned())
}

fn phases_have_one_duration(job: &CurriculumJob) -> Option<String> {
    let wrong = job.spec.curriculum.phases.iter().find(|p| match &p.duration {
        None => !p.inherit,
        Some(duration) => duration.steps.is_some() == duration.epochs.is_some(),
    })?;
    Some(format!(
        "exactly one of `steps` and `epochs` must be set in `duration` of phase '{}'",
        wrong.name
    ))
}

fn phases_have_one_pool(job: &CurriculumJob) -> Option<String> {
    let wrong = job.spec.curriculum.phases.iter().find(|p| match &p.pool {
        None => !p.inherit,
        Some(pool) => {
            let kinds = [
                pool.fraction.is_some(),
                pool.pacing.is_some(),
                pool.score.is_some(),
                pool.deep_speed.is_some(),
            ];
            kinds.iter().filter(|set| **set).count() != 1
        }
    })?;
    Some(format!(
        "exactly one of `fraction`, `pacing`, `score` and `deepSpeed` must be set in `pool` of phase '{}'",
        wrong.name
    ))
}

/// More groups than any data set has would not fit into the inspection's report either. The schema bounds a phase, not all of them.
fn phases_name_few_groups(job: &CurriculumJob) -> Option<String> {
    let named = plan::named_groups(&job.spec.curriculum).len();
    (named > MAX_GROUPS).then(|| {
        format!("the `mixing.weights` of all `curriculum.phases` must not name more than {MAX_GROUPS} groups, but name {named}")
    })
}

fn scorers_have_one_kind(job: &CurriculumJob) -> Option<String> {
    let wrong = job.spec.scoring.scorers.iter().find(|scorer| {
        let kinds = [
            scorer.column.is_some(),
            scorer.length.is_some(),
            scorer.rarity.is_some(),
            scorer.container.is_some(),
        ];
        kinds.iter().filter(|set| **set).count() != 1
    })?;
    let name = &wrong.name;
    Some(format!(
        "exactly one of `column`, `length`, `rarity` and `container` must be set in scorer '{name}'"
    ))
}

fn template_has_a_trainer(job: &CurriculumJob) -> Option<String> {
    let containers = job
        .spec
        .training
        .template
        .spec
        .as_ref()
        .map(|pod| pod.containers.as_slice())
        .unwrap_or_default();
    if containers.is_empty() {
        return Some("`training.template.spec.containers` must have the trainer".to_owned());
    }
    let taken = containers.iter().any(|container| container.name == SAMPLER);
    taken.then(|| format!("no container of `training.template` may be named '{SAMPLER}'"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::scoring::{ColumnScorer, RarityScorer};
    use crate::controller::test_support::curriculum_job;

    #[test]
    fn a_valid_job_passes() {
        assert!(validate(&curriculum_job(json!({}))).is_ok());
    }

    #[test]
    fn each_check_refuses_and_names_the_field() {
        type Break = fn(&mut CurriculumJob);
        let cases: [(Break, &str); 10] = [
            (|job| job.metadata.name = Some("x".repeat(41)), "`metadata.name`"),
            (|job| job.spec.curriculum.phases.clear(), "`curriculum.phases`"),
            (
                |job| job.spec.curriculum.phases[2].name = "easy".to_owned(),
                "`curriculum.phases`",
            ),
            (
                |job| job.spec.curriculum.phases[1].duration.as_mut().unwrap().epochs = Some(1),
                "`duration` of phase 'middle'",
            ),
            (
                |job| job.spec.curriculum.phases[1].pool.as_mut().unwrap().fraction = None,
                "`pool` of phase 'middle'",
            ),
            (
                |job| {
                    for (i, phase) in job.spec.curriculum.phases.iter_mut().enumerate() {
                        let weights: Vec<_> = (0..100)
                            .map(|n| json!({"name": format!("{i}-{n}"), "weight": "1"}))
                            .collect();
                        phase.mixing = serde_json::from_value(json!({"weights": weights})).unwrap();
                    }
                },
                "must not name more than 256 groups, but name 300",
            ),
            (
                |job| {
                    job.spec.scoring.scorers[0].rarity = Some(RarityScorer { column: "t".to_owned() });
                },
                "scorer 'difficulty'",
            ),
            (
                |job| job.spec.scoring.scorers[0].column = None::<ColumnScorer>,
                "scorer 'difficulty'",
            ),
            (
                |job| job.spec.training.template.spec = None,
                "`training.template.spec.containers`",
            ),
            (
                |job| job.spec.training.template.spec.as_mut().unwrap().containers[0].name = "sampler".to_owned(),
                "may be named 'sampler'",
            ),
        ];
        for (break_it, words) in cases {
            let mut job = curriculum_job(json!({}));
            break_it(&mut job);
            let failure = validate(&job).unwrap_err();
            assert_eq!(failure.reason, Reason::InvalidSpec);
            assert!(failure.message.contains(words), "{}", failure.message);
        }
    }
}
