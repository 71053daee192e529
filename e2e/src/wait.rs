//! Waiting for an object to be in a state: by watching it, never by sleeping.

use std::fmt::Debug;
use std::time::Duration;

use curriculum_operator::api::conditions::ConditionType;
use curriculum_operator::api::job::CurriculumJob;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::runtime::wait::await_condition;
use kube::{Api, Resource};
use serde::de::DeserializeOwned;

use crate::Result;

/// Waits until `holds` is true of the object, which may not exist yet.
///
/// # Errors
/// When the watch fails, or after `limit`; the message then has `what` and the name of the object.
pub async fn until<K>(
    api: &Api<K>,
    name: &str,
    what: &str,
    limit: Duration,
    holds: impl Fn(Option<&K>) -> bool,
) -> Result<Option<K>>
where
    K: Clone + Debug + Send + DeserializeOwned + Resource + 'static,
{
    match tokio::time::timeout(limit, await_condition(api.clone(), name, holds)).await {
        Ok(found) => Ok(found?),
        Err(_) => Err(format!("{name}: not seen within {} s: {what}", limit.as_secs()).into()),
    }
}

/// Waits until `holds` is true of an existing object, and returns it.
///
/// # Errors
/// As [`until`].
pub async fn until_found<K>(
    api: &Api<K>,
    name: &str,
    what: &str,
    limit: Duration,
    holds: impl Fn(&K) -> bool,
) -> Result<K>
where
    K: Clone + Debug + Send + DeserializeOwned + Resource + 'static,
{
    let found = until(api, name, what, limit, |object| object.is_some_and(&holds)).await?;
    found.ok_or_else(|| format!("{name}: gone while waiting for: {what}").into())
}

/// The condition of that type, if the status has it.
pub fn condition(job: &CurriculumJob, kind: ConditionType) -> Option<&Condition> {
    job.status
        .as_ref()?
        .conditions
        .iter()
        .find(|condition| condition.type_ == kind.as_str())
}

/// Whether the condition of that type is `True` for the spec as it stands.
pub fn is_true(job: &CurriculumJob, kind: ConditionType) -> bool {
    condition(job, kind)
        .is_some_and(|condition| condition.status == "True" && condition.observed_generation == job.metadata.generation)
}

/// Whether the run has ended, well or not.
pub fn has_ended(job: &CurriculumJob) -> bool {
    is_true(job, ConditionType::Succeeded) || is_true(job, ConditionType::Failed)
}
