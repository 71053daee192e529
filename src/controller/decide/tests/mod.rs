//! What `decide` comes to, case by case. Everything at once is tried in `controller::model`.

mod archive;
mod golden;
mod groups;
mod interruptions;
mod lifecycle;
mod obstacles;
mod overrides;
mod scoring;
mod training;
mod transitions;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use kube::ResourceExt;
use serde_json::Value;

use super::{Actions, Settings, decide};
use crate::api::conditions::ConditionType;
use crate::api::job::CurriculumJob;
use crate::api::names::ANNOTATION_SUSPENDED;
use crate::api::status::CurriculumJobStatus;
use crate::controller::actions::{Applied, Ensure};
use crate::controller::cluster::Children;
use crate::controller::memory::Memory;
use crate::controller::observed::{Observed, component};
use crate::controller::test_support::{
    as_json, at, curriculum_job, exited, finished, indexed, inspected, inspected_groups, pod, running, sampler_status,
    settings, summary,
};
use crate::controller::validate::{Head, validate};

/// A CurriculumJob and what is around it; a turn leaves it as `act` would.
struct Case {
    settings: Settings,
    job: CurriculumJob,
    observed: Observed,
    memory: Memory,
}

fn case(patch: Value) -> Case {
    let job = curriculum_job(patch);
    let observed = Observed::new(&job, at(0), Children::default(), Duration::from_secs(10));
    Case {
        settings: settings(),
        job,
        observed,
        memory: Memory::default(),
    }
}

/// A case whose data set was inspected, scored and indexed, at the first phase's intent.
fn scored(patch: Value) -> Case {
    let mut case = case(patch);
    case.turn();
    case.turn();
    case.completes("inspect", exited("inspect", 0, Some(&inspected(None))));
    case.turn();
    case.completes("score", exited("score", 0, None));
    case.turn();
    let key = super::build::task(&validate(&case.job).unwrap()).key;
    case.completes("index", exited("index", 0, Some(&indexed(summary(&key)))));
    case.turn();
    assert_eq!(case.phase(), (0, 0, 0));
    case
}

/// A case whose first attempt runs.
fn training(patch: Value) -> Case {
    let mut case = scored(patch);
    case.turn();
    case.runs("train");
    case
}

impl Case {
    /// Decides and takes over what was decided; UIDs are the objects' names.
    fn turn(&mut self) -> Actions {
        self.observed.stuck_since = self.memory.stuck("", self.observed.is_stuck(), self.observed.now);
        let actions = decide(&self.settings, &validate(&self.job).unwrap(), &self.observed);
        let mut applied = Applied::default();
        for ensure in actions.ensure.clone() {
            match ensure {
                Ensure::Claim(claim) => self.observed.claims.push(claim.metadata),
                Ensure::ConfigMap(map) => self.observed.config_maps.push(map.metadata),
                Ensure::Snapshot(snapshot) => self.observed.snapshots.push(stamped(snapshot.metadata)),
                Ensure::ScoringJob(job) | Ensure::ArchiveJob(job) => self.make(*job),
                Ensure::TrainJob(job) => {
                    applied.train_job_uid = Some(job.name_any());
                    self.make(*job);
                }
            }
        }
        if let Some(status) = actions.status.clone() {
            self.edit(|job| job.status = Some(status.complete(&applied)));
        }
        actions
    }

    fn make(&mut self, mut job: Job) {
        job.metadata = stamped(job.metadata);
        self.observed.jobs.push(Arc::new(job));
    }

    fn edit(&mut self, edit: impl FnOnce(&mut CurriculumJob)) {
        edit(&mut self.job);
        self.observed.suspended = self.job.spec.suspend;
        self.observed.status = self.job.status.clone();
    }

    fn pass(&mut self, seconds: i64) {
        let since = self.observed.now.as_second() - at(0).as_second();
        self.observed.now = at(since + seconds);
    }

    fn status(&self) -> &CurriculumJobStatus {
        self.observed.status.as_ref().unwrap()
    }

    fn condition(&self, type_: ConditionType) -> &Condition {
        self.status()
            .conditions
            .iter()
            .find(|condition| condition.type_ == type_.as_str())
            .unwrap()
    }

    fn says(&self, type_: ConditionType) -> (&str, &str) {
        let condition = self.condition(type_);
        (&condition.status, &condition.reason)
    }

    /// Phase, visit, failures.
    fn phase(&self) -> (i32, i32, i32) {
        let current = self.status().current_visit.as_ref().unwrap();
        (current.phase_index, current.visit, current.failures)
    }

    fn plan_digest(&self) -> String {
        self.status()
            .current_visit
            .as_ref()
            .unwrap()
            .plan_digest
            .clone()
            .unwrap()
    }

    /// The newest Job of that component.
    fn job(&self, of: &str) -> Arc<Job> {
        Arc::clone(
            self.observed
                .jobs
                .iter()
                .rev()
                .find(|job| component(&job.metadata) == Some(of))
                .unwrap(),
        )
    }

    fn replace(&mut self, job: Job) {
        let name = job.name_any();
        self.observed.jobs.retain(|old| old.name_any() != name);
        self.observed.jobs.push(Arc::new(job));
    }

    fn has_pod(&mut self, pod: Pod) {
        self.observed.pods.retain(|old| old.name_any() != pod.name_any());
        self.observed.pods.push(Arc::new(pod));
    }

    fn runs(&mut self, of: &str) {
        let job = self.job(of);
        self.has_pod(pod(&job, "Running", vec![running(of)]));
    }

    fn completes(&mut self, of: &str, said: ContainerStatus) {
        let job = Job::clone(&self.job(of));
        self.has_pod(pod(&job, "Succeeded", vec![said]));
        self.replace(finished(job, "Complete", "CompletionsReached"));
    }

    fn fails(&mut self, of: &str, reason: &str, said: ContainerStatus) {
        let job = Job::clone(&self.job(of));
        self.has_pod(pod(&job, "Failed", vec![said]));
        self.replace(finished(job, "Failed", reason));
    }

    /// The running attempt trains its phase to the end.
    fn trains(&mut self) {
        let phase = u32::try_from(self.phase().0).unwrap();
        let said = as_json(&sampler_status(&self.plan_digest(), phase, 10));
        self.completes("train", exited("sampler", 0, Some(&said)));
    }

    /// Edits the pod of that component's newest Job.
    fn edit_pod(&mut self, of: &str, edit: impl FnOnce(&mut Pod)) {
        let job = self.job(of);
        let mut pod = self.observed.pods_of(&job).next().unwrap().clone();
        edit(&mut pod);
        self.has_pod(pod);
    }

    /// Whether a plan or the newest one made names a score index.
    fn plan_has_scores(actions: &Actions) -> bool {
        let plan = actions.ensure.iter().find_map(|ensure| match ensure {
            Ensure::ConfigMap(map) => map.data.as_ref()?.get("plan.json"),
            _ => None,
        });
        plan.expect("a plan").contains("\"key\"")
    }

    fn loses(&mut self, of: &str) {
        let name = self.job(of).name_any();
        self.observed.jobs.retain(|job| job.name_any() != name);
        self.observed.pods.clear();
    }

    /// Somebody holds a Job or lets it go on; only the operator leaves its mark.
    fn holds(&mut self, of: &str, suspend: bool, mark: bool) {
        let mut job = Job::clone(&self.job(of));
        job.spec.get_or_insert_default().suspend = Some(suspend);
        job.annotations_mut().clear();
        if mark {
            job.annotations_mut()
                .insert(ANNOTATION_SUSPENDED.to_owned(), "true".to_owned());
        }
        self.replace(job);
    }
}

fn stamped(mut meta: ObjectMeta) -> ObjectMeta {
    meta.uid = meta.name.clone();
    meta
}

/// Names of the objects to ensure.
fn ensured(actions: &Actions) -> Vec<String> {
    let name = |ensure: &Ensure| match ensure {
        Ensure::Claim(claim) => claim.name_any(),
        Ensure::ConfigMap(map) => map.name_any(),
        Ensure::ScoringJob(job) | Ensure::ArchiveJob(job) | Ensure::TrainJob(job) => job.name_any(),
        Ensure::Snapshot(snapshot) => snapshot.name_any(),
    };
    actions.ensure.iter().map(name).collect()
}

/// Reasons of the events.
fn told(actions: &Actions) -> Vec<&'static str> {
    actions.events.iter().map(|event| event.reason.as_str()).collect()
}
