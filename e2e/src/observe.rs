//! What happened in a case's namespace, read from objects and logs.

use std::collections::BTreeMap;
use std::time::Duration;

use curriculum_operator::api::conditions::{ConditionType, Reason};
use curriculum_operator::api::job::CurriculumJob;
use curriculum_operator::api::names::{LABEL_COMPONENT, LABEL_JOB, LABEL_VISIT, TRAINER};
use curriculum_operator::api::snapshot::CurriculumSnapshot;
use curriculum_operator::api::status::CurriculumJobStatus;
use curriculum_operator::controller::build::names;
use futures::future::{ready, try_join_all};
use futures::{AsyncBufReadExt, TryStreamExt};
use k8s_openapi::api::batch::v1::{Job, JobStatus};
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::ResourceExt;
use kube::api::{ListParams, LogParams};
use kube::runtime::{WatchStreamExt, watcher};
use serde::Deserialize;

use crate::case::Case;
use crate::{Error, Result, wait};

/// Time for a whole run of the plain example on a busy machine.
pub const RUN_LIMIT: Duration = Duration::from_secs(240);

/// What the tests' trainer wrote down about its whole run.
#[derive(Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Trained {
    /// The next step.
    pub step: u64,
    /// How often the trainer was started.
    pub starts: u64,
    /// Each step that went into the checkpoint, in order, with its rows.
    pub history: Vec<(u64, Vec<u64>)>,
}

impl Trained {
    /// From the trainer's logs in the order of its starts; `None` when no start came to its end.
    fn from_logs(logs: &[String]) -> Result<Option<Self>> {
        let mut trained: Option<Self> = None;
        for line in logs.iter().flat_map(|log| log.lines()) {
            let Some(line) = line.strip_prefix("checkpoint ") else {
                continue;
            };
            let mut next: Self = serde_json::from_str(line)?;
            // Without a checkpoint, each phase only knows of its own steps.
            let is_whole = next.history.first().is_some_and(|(step, _)| *step == 0);
            if let Some(before) = trained.take().filter(|_| !is_whole) {
                next.history = [before.history, next.history].concat();
            }
            trained = Some(next);
        }
        Ok(trained)
    }

    /// Rows of all steps from `from` to before `to`.
    pub fn rows(&self, from: u64, to: u64) -> Vec<u64> {
        let steps = self.history.iter().filter(|(step, _)| (from..to).contains(step));
        steps.flat_map(|(_, rows)| rows.iter().copied()).collect()
    }

    /// Whether steps 0 to `end` were each trained exactly once and in order.
    pub fn is_complete(&self, end: u64) -> bool {
        self.step == end && self.history.iter().map(|(step, _)| *step).eq(0..end)
    }
}

impl Case {
    /// Waits until the run has ended, and returns it.
    ///
    /// # Errors
    /// When it has not ended within [`RUN_LIMIT`].
    pub async fn ended(&self, name: &str) -> Result<CurriculumJob> {
        wait::until_found(&self.api(), name, "Succeeded or Failed", RUN_LIMIT, wait::has_ended).await
    }

    /// Waits until the run has ended, and returns it if it succeeded.
    ///
    /// # Errors
    /// When it failed, or has not ended within [`RUN_LIMIT`].
    pub async fn succeeded(&self, name: &str) -> Result<CurriculumJob> {
        let job = self.ended(name).await?;
        expect(&job, ConditionType::Succeeded, "True", None)?;
        expect(&job, ConditionType::Ready, "True", None)?;
        Ok(job)
    }

    /// The Jobs of a CurriculumJob for one purpose, in the order of phase and attempt.
    ///
    /// # Errors
    /// When the API cannot be asked.
    pub async fn children(&self, job: &str, component: &str) -> Result<Vec<Job>> {
        let selector = format!("{LABEL_JOB}={job},{LABEL_COMPONENT}={component}");
        let mut jobs = self
            .api::<Job>()
            .list(&ListParams::default().labels(&selector))
            .await?
            .items;
        jobs.sort_by_key(|job| number(job, LABEL_VISIT));
        Ok(jobs)
    }

    /// The pods of a CurriculumJob for one purpose.
    ///
    /// # Errors
    /// When the API cannot be asked.
    pub async fn pods(&self, job: &str, component: &str) -> Result<Vec<Pod>> {
        let jobs = self.children(job, component).await?;
        let pods = try_join_all(jobs.iter().map(|job| self.pods_of(job))).await?;
        Ok(pods.into_iter().flatten().collect())
    }

    /// The pods of a Job.
    ///
    /// # Errors
    /// When the API cannot be asked.
    pub async fn pods_of(&self, job: &Job) -> Result<Vec<Pod>> {
        let selector = format!("batch.kubernetes.io/job-name={}", job.name_any());
        Ok(self
            .api::<Pod>()
            .list(&ListParams::default().labels(&selector))
            .await?
            .items)
    }

    /// The trainer's log in each pod of the job's training Jobs, in the order of phase and attempt.
    ///
    /// # Errors
    /// When a log cannot be read.
    pub async fn trainer_logs(&self, job: &str) -> Result<Vec<String>> {
        let parameters = LogParams {
            container: Some(TRAINER.to_owned()),
            ..LogParams::default()
        };
        let (api, pods) = (self.api::<Pod>(), self.pods(job, "train").await?);
        Ok(try_join_all(
            pods.iter()
                .map(|pod| api.logs(pod.metadata.name.as_deref().unwrap_or(""), &parameters)),
        )
        .await?)
    }

    /// What the tests' trainer wrote down: its last checkpoint, or without checkpoints what it knew at the end of each phase.
    ///
    /// # Errors
    /// When the last training pod is gone, or did not get that far.
    pub async fn trained(&self, job: &str) -> Result<Trained> {
        let trained = Trained::from_logs(&self.trainer_logs(job).await?)?;
        trained.ok_or_else(|| format!("{job}: no trainer wrote down what it trained").into())
    }

    /// Waits until the trainer in a Job's pod has trained that step.
    ///
    /// # Errors
    /// When it has not within [`RUN_LIMIT`], or its log ended before.
    pub async fn trained_step(&self, job: &Job, step: u64) -> Result {
        let pods = self.pods_of(job).await?;
        let pod = pods
            .first()
            .ok_or_else(|| format!("{}: no pod", job.name_any()))?
            .name_any();
        let running = |pod: &Pod| {
            pod.status
                .as_ref()
                .is_some_and(|status| status.phase.as_deref() != Some("Pending"))
        };
        wait::until_found(&self.api::<Pod>(), &pod, "started", RUN_LIMIT, running).await?;
        let parameters = LogParams {
            container: Some(TRAINER.to_owned()),
            follow: true,
            ..LogParams::default()
        };
        let mut lines = self.api::<Pod>().log_stream(&pod, &parameters).await?.lines();
        let line = format!("trained step {step}");
        let seen = async {
            while let Some(found) = lines.try_next().await? {
                if found == line {
                    return Ok(());
                }
            }
            Err(Error::from(format!("{pod}: the log ended before: {line}")))
        };
        tokio::time::timeout(RUN_LIMIT, seen).await?
    }

    /// The first Job of a CurriculumJob for that purpose, once a pod of it runs.
    ///
    /// # Errors
    /// When there is none within [`RUN_LIMIT`].
    pub async fn running(&self, job: &str, component: &str) -> Result<Job> {
        let selector = format!("{LABEL_JOB}={job},{LABEL_COMPONENT}={component}");
        let jobs = watcher(self.api::<Job>(), watcher::Config::default().labels(&selector)).applied_objects();
        let running = jobs.try_filter(|job| {
            ready(
                job.status
                    .as_ref()
                    .is_some_and(|status| status.ready.unwrap_or(0) > 0 && !has_ended(status)),
            )
        });
        let found = tokio::time::timeout(RUN_LIMIT, std::pin::pin!(running).try_next()).await;
        found
            .map_err(|_| format!("{job}: no {component} Job runs"))??
            .ok_or_else(|| "the watch ended".into())
    }

    /// The training Job of a visit, once a pod of it runs.
    ///
    /// # Errors
    /// When there is none within [`RUN_LIMIT`].
    pub async fn visit(&self, job: &str, visit: u32) -> Result<Job> {
        let name = names::train(job, visit);
        let ready = |job: &Job| {
            let status = job.status.as_ref();
            status.is_some_and(|status| status.ready.unwrap_or(0) > 0 && !has_ended(status))
        };
        wait::until_found(&self.api::<Job>(), &name, "a pod of it running", RUN_LIMIT, ready).await
    }

    /// The names of all Jobs that the operator ever created in the namespace, deleted ones too.
    ///
    /// # Errors
    /// When there is no audit log.
    pub fn jobs_created(&self) -> Result<Vec<String>> {
        let mut writes = self.writes()?;
        writes.retain(|write| write.is_by_operator() && write.kind() == "create jobs");
        Ok(writes.into_iter().map(|write| write.object_ref.name).collect())
    }

    /// The reasons of all events of that type about the CurriculumJob, with their messages.
    ///
    /// # Errors
    /// When the API cannot be asked.
    pub async fn events(&self, job: &str, kind: &str) -> Result<BTreeMap<String, String>> {
        let selector = format!("involvedObject.kind=CurriculumJob,involvedObject.name={job},type={kind}");
        let events = self
            .api::<Event>()
            .list(&ListParams::default().fields(&selector))
            .await?;
        Ok(events
            .into_iter()
            .filter_map(|event| Some((event.reason?, event.message.unwrap_or_default())))
            .collect())
    }

    /// Waits for an event with that reason about the CurriculumJob.
    ///
    /// # Errors
    /// When there is none within [`RUN_LIMIT`].
    pub async fn event(&self, job: &str, reason: &str) -> Result {
        let selector = format!("involvedObject.kind=CurriculumJob,involvedObject.name={job},reason={reason}");
        let events = watcher(self.api::<Event>(), watcher::Config::default().fields(&selector)).applied_objects();
        let found = tokio::time::timeout(RUN_LIMIT, std::pin::pin!(events).try_next()).await;
        found
            .map_err(|_| format!("{job}: no event {reason}"))??
            .ok_or("the watch ended")?;
        Ok(())
    }

    /// The job's snapshots in the order of their steps, checked to form a chain.
    ///
    /// # Errors
    /// When the API cannot be asked, a digest does not fit its state, or a link of the chain is wrong.
    pub async fn snapshot_chain(&self, job: &CurriculumJob) -> Result<Vec<CurriculumSnapshot>> {
        let uid = job.uid().unwrap_or_default();
        let mut all = self
            .api::<CurriculumSnapshot>()
            .list(&ListParams::default())
            .await?
            .items;
        all.retain(|snapshot| snapshot.spec.job_uid == uid);
        all.sort_by_key(|snapshot| snapshot.spec.step);
        let mut previous = None;
        for snapshot in &all {
            let digest = format!("sha256:{}", hex(&sha256(snapshot.spec.state.as_bytes())));
            ensure(snapshot.spec.digest == digest, || {
                format!("{}: digest of another state", snapshot.name_any())
            })?;
            ensure(snapshot.spec.previous == previous, || {
                format!("{}: broken chain", snapshot.name_any())
            })?;
            previous = Some(digest);
        }
        Ok(all)
    }
}

/// The value of a label as a number; -1 without one.
fn number(job: &Job, label: &str) -> i64 {
    job.labels()
        .get(label)
        .and_then(|value| value.parse().ok())
        .unwrap_or(-1)
}

/// Whether a Job is complete or failed.
pub fn has_ended(status: &JobStatus) -> bool {
    let conditions = status.conditions.as_deref().unwrap_or_default();
    conditions
        .iter()
        .any(|condition| matches!(condition.type_.as_str(), "Complete" | "Failed") && condition.status == "True")
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The status of a job that was reconciled at least once.
///
/// # Errors
/// When there is none.
pub fn status(job: &CurriculumJob) -> Result<&CurriculumJobStatus> {
    job.status
        .as_ref()
        .ok_or_else(|| Error::from(format!("{}: no status", job.name_any())))
}

/// Checks a condition and returns its message.
///
/// # Errors
/// When it is missing or has another status or reason; the message shows all conditions.
pub fn expect(job: &CurriculumJob, kind: ConditionType, status: &str, reason: Option<Reason>) -> Result<String> {
    let found = wait::condition(job, kind);
    if let Some(condition) = found
        && condition.status == status
        && reason.is_none_or(|reason| condition.reason == reason.as_str())
    {
        return Ok(condition.message.clone());
    }
    let conditions = job
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice())
        .unwrap_or_default();
    let all: Vec<String> = conditions
        .iter()
        .map(|c| format!("\n  {}={} {}: {}", c.type_, c.status, c.reason, c.message))
        .collect();
    let reason = reason.map_or("", Reason::as_str);
    Err(format!(
        "{}: expected {}={status} {reason}, found{}",
        job.name_any(),
        kind.as_str(),
        all.concat()
    )
    .into())
}

/// An error with that message unless `holds`.
///
/// # Errors
/// When it does not hold.
pub fn ensure(holds: bool, message: impl FnOnce() -> String) -> Result {
    if holds { Ok(()) } else { Err(message().into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_logs(logs: &[&str]) -> Result<Trained> {
        let logs: Vec<String> = logs.iter().map(|log| (*log).to_owned()).collect();
        Trained::from_logs(&logs)?.ok_or_else(|| "nothing".into())
    }

    #[test]
    fn phases_without_checkpoints_are_put_together() -> Result {
        let first = r#"checkpoint {"step": 1, "starts": 1, "history": [[0, [5, 6]]]}"#;
        let second = r#"checkpoint {"step": 2, "starts": 1, "history": [[1, [7, 8]]]}"#;
        let trained = from_logs(&[first, second])?;
        assert!(trained.is_complete(2));
        assert_eq!(trained.rows(1, 2), [7, 8]);
        assert!(!from_logs(&[second])?.is_complete(2));
        Ok(())
    }

    #[test]
    fn a_checkpoint_replaces_the_ones_before_it() -> Result {
        let first = r#"checkpoint {"step": 1, "starts": 1, "history": [[0, [5]]]}"#;
        let second = r#"checkpoint {"step": 2, "starts": 2, "history": [[0, [5]], [1, [7]]]}"#;
        assert!(from_logs(&[first, second])?.is_complete(2));
        let twice = r#"checkpoint {"step": 2, "starts": 2, "history": [[0, [5]], [0, [5]], [1, [7]]]}"#;
        assert!(!from_logs(&[twice])?.is_complete(2));
        Ok(())
    }
}
