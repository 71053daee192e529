//! The server's side: storage with resource versions, and everybody but the operator who changes something in it.
//! What the operator asks of it is in [`super::answers`].

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use super::World;
use super::invariants::Ledger;
use crate::api::job::CurriculumJob;
use crate::api::names::ANNOTATION_SUSPENDED;
use crate::controller::build;
use crate::controller::evidence::{has_ended, is_live, phase};
use crate::controller::observed::{component, visit};
use crate::controller::test_support::{
    as_json, at, complains, evicted, exited, finished, indexed, inspected, pod, running, sampler_status, summary,
    waiting,
};
use crate::controller::validate::validate;
use crate::curriculum::plan::Plan;
use crate::curriculum::transition::{Decision, Kind as Transition};
use crate::sampler::contract::{SamplerStatus, Source};
use crate::scoring::report::FoundIndex;

/// Annotation of a training pod with the plan that its sampler has read.
const PLAN: &str = "plan";

/// How a pod ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// As it should.
    Well,
    /// Exit code 1, with words.
    Badly,
    /// Exit code 66 with a reason: the scores are at fault. Trainers and inspections end badly instead.
    ScoresAtFault,
    /// Exit code 0, but with nothing valid said.
    Silently,
    /// Exit code 0, but the sampler had lost its index.
    WithoutIndex,
    /// Exit code 0, but before the last step.
    Early,
    /// As it should, but the sampler ends the phase after 5 of its steps where its plan has such a rule.
    Leaves(Transition),
    /// Exit code 0 and a whole result, but because somebody evicted it. Only trainers have something to lose by that.
    Evicted,
}

/// What the inspection finds on the claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnClaim {
    Nothing,
    LastGood,
    Exact,
}

/// The one server of a test, shared with the connections of the leaders.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Mutex<Server>>);

impl Shared {
    pub(crate) fn new(job: CurriculumJob, on_claim: OnClaim) -> Self {
        Self(Arc::new(Mutex::new(Server::new(job, on_claim))))
    }

    /// The server at this moment. Nobody else gets to it while this is held.
    pub(crate) fn at(&self) -> MutexGuard<'_, Server> {
        self.0.lock().expect("an invariant has failed")
    }
}

pub(crate) struct Server {
    pub(crate) world: World,
    pub(crate) now: Timestamp,
    /// Every state since the beginning; a stale store reads one of these.
    pub(crate) history: Vec<Arc<World>>,
    pub(crate) ledger: Ledger,
    pub(crate) on_claim: OnClaim,
    /// UIDs of the Jobs that a queueing controller holds.
    queued: BTreeSet<String>,
    version: u64,
}

impl Server {
    fn new(job: CurriculumJob, on_claim: OnClaim) -> Self {
        let world = World {
            curriculum_job: Some(Arc::new(job)),
            ..World::default()
        };
        Self {
            history: vec![Arc::new(world.clone())],
            ledger: Ledger::default(),
            world,
            now: at(0),
            on_claim,
            queued: BTreeSet::new(),
            version: 1,
        }
    }

    /// Metadata of an object that was just stored.
    pub(crate) fn stamp(&mut self, meta: &mut ObjectMeta) {
        self.version += 1;
        meta.resource_version = Some(self.version.to_string());
        if meta.uid.is_none() {
            meta.uid = Some(format!("uid-{}", self.version));
            meta.creation_timestamp = Some(Time(self.now));
        }
    }

    /// Makes a change visible to everybody who reads from now on, and checks it.
    pub(crate) fn commit(&mut self) {
        self.ledger.check(&self.world);
        self.history.push(Arc::new(self.world.clone()));
    }

    pub(crate) fn pass(&mut self, seconds: i64) {
        self.now = self.now.checked_add(SignedDuration::from_secs(seconds)).unwrap();
    }

    pub(crate) fn curriculum_job(&self) -> &CurriculumJob {
        self.world.curriculum_job.as_ref().unwrap()
    }

    /// The user edits the spec.
    pub(crate) fn edit(&mut self, edit: impl FnOnce(&mut CurriculumJob)) {
        let Some(job) = &self.world.curriculum_job else { return };
        let mut job = CurriculumJob::clone(job);
        edit(&mut job);
        job.metadata.generation = job.metadata.generation.map(|generation| generation + 1);
        self.stamp(&mut job.metadata);
        self.world.curriculum_job = Some(Arc::new(job));
        self.commit();
    }

    /// The Job that `pick` means of those that `wanted` says.
    fn pick(&self, pick: usize, wanted: impl Fn(&Job) -> bool) -> Option<Arc<Job>> {
        let jobs: Vec<_> = self.world.jobs.values().filter(|job| wanted(job)).collect();
        (!jobs.is_empty()).then(|| Arc::clone(jobs[pick % jobs.len()]))
    }

    fn pod_of(&self, job: &Job) -> Option<Arc<Pod>> {
        let owned = |pod: &&Arc<Pod>| {
            pod.owner_references()
                .iter()
                .any(|owner| Some(&owner.uid) == job.uid().as_ref())
        };
        self.world.pods.values().find(owned).cloned()
    }

    fn put_pod(&mut self, mut pod: Pod) {
        self.stamp(&mut pod.metadata);
        self.world.pods.insert(pod.name_any(), Arc::new(pod));
        self.commit();
    }

    fn put_job(&mut self, mut job: Job) {
        self.stamp(&mut job.metadata);
        self.world.jobs.insert(job.name_any(), Arc::new(job));
        self.commit();
    }

    /// The Job controller and the kubelet start a pod of a live Job; with `stuck`, its image does not come.
    pub(crate) fn start_pod(&mut self, pick: usize, stuck: bool) -> bool {
        let startable = |job: &Job| is_live(job) && !is_held(job) && self.pod_of(job).is_none() && self.has_plan(job);
        let Some(job) = self.pick(pick, startable) else {
            return false;
        };
        let name = component(&job.metadata).unwrap_or_default();
        let mut pod = if stuck {
            let mut pod = pod(&job, "Pending", vec![waiting(name, "ImagePullBackOff")]);
            pod.status.as_mut().unwrap().start_time = Some(Time(self.now));
            pod
        } else {
            pod(&job, "Running", vec![running(name)])
        };
        // The sampler reads its plan when it starts.
        let plan = self.plan(&job).map(|plan| (PLAN.to_owned(), plan));
        pod.annotations_mut().extend(plan);
        self.put_pod(pod);
        true
    }

    /// The images that did not come are there.
    pub(crate) fn unstick(&mut self) -> bool {
        let waits = |pod: &&Arc<Pod>| phase(pod) == Some("Pending");
        let Some(pod) = self.world.pods.values().find(waits) else {
            return false;
        };
        let mut pod = Pod::clone(pod);
        let name = component(&pod.metadata).unwrap_or_default().to_owned();
        let status = pod.status.get_or_insert_default();
        status.phase = Some("Running".to_owned());
        status.container_statuses = Some(vec![running(&name)]);
        self.put_pod(pod);
        true
    }

    /// A training pod mounts its plan.
    fn has_plan(&self, job: &Job) -> bool {
        component(&job.metadata) != Some("train") || self.plan(job).is_some()
    }

    fn plan(&self, job: &Job) -> Option<String> {
        let number = visit(&job.metadata)?;
        let name = build::names::plan("digits", u32::try_from(number).unwrap());
        self.world
            .config_maps
            .get(&name)?
            .data
            .as_ref()?
            .get("plan.json")
            .cloned()
    }

    /// What the sampler of the Job's pod says after so many steps of the plan that it has read.
    fn said(&self, job: &Job, served: u64) -> Option<SamplerStatus> {
        let plan = self.pod_of(job)?.annotations().get(PLAN)?.clone();
        let plan: Plan = serde_json::from_str(&plan).unwrap();
        let phase = &plan.phases[0];
        Some(SamplerStatus {
            start_step: phase.start_step,
            end_step: phase.end_step,
            served_step: phase.start_step + served,
            ..sampler_status(&plan.digest(), phase.index, 0)
        })
    }

    /// The same at the end of a phase that a transition ends, if the plan has its rule.
    fn left(&self, job: &Job, kind: Transition) -> Option<SamplerStatus> {
        let plan = self.pod_of(job)?.annotations().get(PLAN)?.clone();
        let plan: Plan = serde_json::from_str(&plan).unwrap();
        plan.phases[0].transitions.as_ref()?.rule(kind)?;
        let said = self.said(job, 5)?;
        let decision = Decision {
            kind,
            step: said.served_step,
            reported: said.served_step,
            because: "the trainer said so".to_owned(),
            evidence: format!("sha256:{}", "e".repeat(64)),
        };
        Some(SamplerStatus {
            decision: Some(decision),
            ..said
        })
    }

    /// A pod that runs comes to an end. Its Job learns of it later.
    pub(crate) fn end_pod(&mut self, pick: usize, fate: Fate) -> bool {
        let Some(job) = self.pick(pick, |job| self.pod_of(job).is_some_and(|pod| is_running(&pod))) else {
            return false;
        };
        let mut ended = Pod::clone(&self.pod_of(&job).unwrap());
        let (phase, container) = self.last_words(&job, fate);
        let status = ended.status.get_or_insert_default();
        status.phase = Some(phase.to_owned());
        status.container_statuses = Some(vec![container]);
        if let Some(of) = visit(&job.metadata).filter(|_| component(&job.metadata) == Some("train")) {
            match fate {
                Fate::Well | Fate::WithoutIndex | Fate::Leaves(_) => self.ledger.earned.insert(of),
                Fate::Evicted => self.ledger.interrupted.insert(of),
                _ => self.ledger.spoilt.insert(of),
            };
            if fate == Fate::Evicted {
                ended.status.get_or_insert_default().conditions = Some(vec![evicted()]);
            }
        }
        self.put_pod(ended);
        true
    }

    fn last_words(&self, job: &Job, fate: Fate) -> (&'static str, k8s_openapi::api::core::v1::ContainerStatus) {
        let name = component(&job.metadata).unwrap_or_default();
        let scoring = matches!(name, "count" | "score" | "index");
        let key = build::task(&validate(self.curriculum_job()).unwrap()).key;
        match (name, fate) {
            (_, Fate::ScoresAtFault) if scoring => (
                "Failed",
                exited(name, 66, Some(&complains("ScoresInvalid", "3 rows without a score"))),
            ),
            // What an inspection cannot read no fallback can replace: it ends well, or says nothing (then it is run again).
            ("inspect", _) => {
                let found = match self.on_claim {
                    OnClaim::Nothing => None,
                    OnClaim::LastGood => Some(FoundIndex {
                        exact: false,
                        summary: summary(&"0".repeat(64)),
                    }),
                    OnClaim::Exact => Some(FoundIndex {
                        exact: true,
                        summary: summary(&key),
                    }),
                };
                ("Succeeded", exited(name, 0, Some(&inspected(found))))
            }
            (_, Fate::Badly | Fate::ScoresAtFault) => ("Failed", exited(name, 1, Some("out of luck"))),
            ("train", _) => {
                let served = if fate == Fate::Early { 4 } else { 10 };
                let left = match fate {
                    Fate::Leaves(kind) => self.left(job, kind),
                    _ => None,
                };
                let mut said = left
                    .or_else(|| self.said(job, served))
                    .expect("its pod has read a plan");
                if fate == Fate::WithoutIndex {
                    said.source = Source::UniformIndexUnusable;
                }
                let message = (fate != Fate::Silently).then(|| as_json(&said));
                ("Succeeded", exited("sampler", 0, message.as_deref()))
            }
            ("index", Fate::Silently) => ("Succeeded", exited(name, 0, None)),
            ("index", _) => ("Succeeded", exited(name, 0, Some(&indexed(summary(&key))))),
            _ => ("Succeeded", exited(name, 0, None)),
        }
    }

    /// The Job controller takes in the end of a pod.
    pub(crate) fn end_job(&mut self, pick: usize) -> bool {
        let over = |job: &Job| is_live(job) && self.pod_of(job).is_some_and(|pod| has_ended(&pod));
        let Some(job) = self.pick(pick, over) else { return false };
        let phase = self.pod_of(&job).and_then(|pod| pod.status.as_ref()?.phase.clone());
        let job = Job::clone(&job);
        self.put_job(match phase.as_deref() {
            Some("Succeeded") => finished(job, "Complete", "CompletionsReached"),
            _ => finished(job, "Failed", "BackoffLimitExceeded"),
        });
        true
    }

    /// The Job controller removes the pods of held Jobs; kubelets remove pods whose Job is gone.
    pub(crate) fn sweep(&mut self) -> bool {
        let wanted = |pod: &Pod| {
            let owner = pod.owner_references().first().map(|owner| owner.uid.clone());
            let job = self.world.jobs.values().find(|job| job.metadata.uid == owner);
            job.is_some_and(|job| !is_live(job) || !is_held(job))
        };
        let gone: Vec<_> = self
            .world
            .pods
            .values()
            .filter(|pod| !wanted(pod))
            .map(|pod| pod.name_any())
            .collect();
        for name in &gone {
            self.world.pods.remove(name);
            self.commit();
        }
        !gone.is_empty()
    }

    /// Somebody deletes a Job; its pods stay until they are swept.
    pub(crate) fn lose_job(&mut self, pick: usize) {
        if let Some(job) = self.pick(pick, |_| true) {
            let trains = component(&job.metadata) == Some("train");
            self.ledger.spoilt.extend(visit(&job.metadata).filter(|_| trains));
            self.world.jobs.remove(&job.name_any());
            self.commit();
        }
    }

    /// A pod that has ended is removed, its last words with it.
    pub(crate) fn lose_pod(&mut self, pick: usize) {
        let ended: Vec<_> = self
            .world
            .pods
            .values()
            .filter(|pod| has_ended(pod))
            .map(|pod| pod.name_any())
            .collect();
        if !ended.is_empty() {
            let gone = self.world.pods.remove(&ended[pick % ended.len()]);
            self.ledger
                .interrupted
                .extend(gone.and_then(|pod| visit(&pod.metadata)));
            self.commit();
        }
    }

    /// Somebody deletes a ConfigMap.
    pub(crate) fn lose_config_map(&mut self, pick: usize) {
        let names: Vec<_> = self.world.config_maps.keys().cloned().collect();
        if !names.is_empty() {
            self.world.config_maps.remove(&names[pick % names.len()]);
            self.commit();
        }
    }

    /// A queueing controller holds a Job, or lets it go on.
    pub(crate) fn queue(&mut self, pick: usize, suspend: bool) {
        if let Some(job) = self.pick(pick, |job| is_live(job) && is_held(job) != suspend) {
            let uid = job.uid().unwrap();
            if !suspend && job.annotations().contains_key(ANNOTATION_SUSPENDED) {
                self.ledger.interrupted.extend(visit(&job.metadata));
            }
            self.hold(&job.name_any(), &uid, suspend, None);
            if suspend {
                self.queued.insert(uid)
            } else {
                self.queued.remove(&uid)
            };
        }
    }

    /// The queueing controller lets everything go on that it held; the operator has to do so by itself.
    pub(crate) fn release(&mut self) -> bool {
        let held: Vec<_> = self
            .world
            .jobs
            .values()
            .filter(|job| is_live(job) && is_held(job))
            .cloned()
            .collect();
        let queued: Vec<_> = held
            .iter()
            .filter(|job| self.queued.contains(&job.uid().unwrap()))
            .collect();
        for job in &queued {
            self.hold(&job.name_any(), &job.uid().unwrap(), false, None);
        }
        !queued.is_empty()
    }

    /// The operator, or a queueing controller, holds a Job or lets it go on; only the operator leaves or takes a mark.
    pub(crate) fn hold(&mut self, name: &str, uid: &str, suspend: bool, mark: Option<bool>) {
        let held = self
            .world
            .jobs
            .get(name)
            .filter(|job| job.uid().as_deref() == Some(uid));
        let Some(mut job) = held.map(|job| Job::clone(job)) else {
            return;
        };
        job.spec.get_or_insert_default().suspend = Some(suspend);
        match mark {
            Some(true) => drop(
                job.annotations_mut()
                    .insert(ANNOTATION_SUSPENDED.to_owned(), "true".to_owned()),
            ),
            Some(false) => drop(job.annotations_mut().remove(ANNOTATION_SUSPENDED)),
            None => {}
        }
        self.put_job(job);
    }

    /// What the sampler of the running training pod would answer.
    pub(crate) fn sampler(&self, served: u64, lost_index: bool) -> Option<SamplerStatus> {
        let runs = |job: &&Arc<Job>| self.pod_of(job).is_some_and(|pod| is_running(&pod));
        let mut training = self
            .world
            .jobs
            .values()
            .filter(|job| component(&job.metadata) == Some("train"));
        let job = training.find(runs)?;
        let mut said = self.said(job, served)?;
        if lost_index {
            said.source = Source::UniformIndexUnusable;
        }
        Some(said)
    }
}

fn is_running(pod: &Pod) -> bool {
    phase(pod) == Some("Running")
}

fn is_held(job: &Job) -> bool {
    job.spec.as_ref().and_then(|spec| spec.suspend) == Some(true)
}
