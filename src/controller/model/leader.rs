//! A process of the operator: stores that lag, a decision, and its effects one at a time. The effects follow `act`.

use std::collections::VecDeque;
use std::sync::Arc;

use kube::ResourceExt;

use super::{Cluster, World};
use crate::api::job::CurriculumJob;
use crate::controller::actions::{Actions, Applied, Delete, Ensure, Event, Kind, NextStatus, SetSuspend};
use crate::controller::decide::{Settings, decide};
use crate::controller::observed::{Observed, component, is_controlled_by};
use crate::controller::test_support::settings;
use crate::controller::validate::validate;

/// One effect of a turn.
enum Effect {
    Hold(SetSuspend),
    Ensure(Box<Ensure>),
    Delete(Delete),
    Status(Box<NextStatus>),
    Tell(Event),
}

/// What has been decided and is not done yet.
struct Turn {
    seen: Arc<CurriculumJob>,
    effects: VecDeque<Effect>,
    applied: Applied,
}

pub(crate) struct Leader {
    settings: Settings,
    /// How far each store has read the history: CurriculumJobs, Jobs, pods, metadata.
    read: [usize; 4],
    /// Version of its own last write.
    written: u64,
    turn: Option<Turn>,
}

impl Leader {
    pub(crate) fn new() -> Self {
        Self {
            settings: settings(),
            read: [0; 4],
            written: 0,
            turn: None,
        }
    }

    /// Lets a store read on, by so many changes.
    pub(crate) fn catch_up(&mut self, cluster: &Cluster, store: usize, changes: usize) {
        let newest = cluster.history.len() - 1;
        self.read[store] = (self.read[store] + changes).min(newest);
    }

    /// Dies and starts again: lists everything, remembers nothing.
    pub(crate) fn crash(&mut self, cluster: &Cluster) {
        *self = Self {
            read: [cluster.history.len() - 1; 4],
            ..Self::new()
        };
    }

    fn observe(&self, cluster: &Cluster, served: u64, lost_index: bool) -> Option<Observed> {
        let [cjobs, jobs, pods, rest] = self.read.map(|at| &cluster.history[at]);
        let job = cjobs.curriculum_job.clone()?;
        let uid = job.uid().unwrap_or_default();
        let ours = |meta: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta| is_controlled_by(meta, &uid);
        let mut observed = Observed {
            now: cluster.now,
            jobs: jobs.jobs.values().filter(|job| ours(&job.metadata)).cloned().collect(),
            pods: pods.pods.values().cloned().collect(),
            config_maps: rest
                .config_maps
                .values()
                .map(|object| object.metadata.clone())
                .collect(),
            claims: rest.claims.values().map(|object| object.metadata.clone()).collect(),
            snapshots: rest.snapshots.values().map(|object| object.metadata.clone()).collect(),
            sampler: None,
            job,
        };
        // The questions that `observe` asks the API server.
        let newest = &cluster.world;
        if let Some(name) = observed.job_in_doubt() {
            observed
                .jobs
                .extend(newest.jobs.get(&name).filter(|job| ours(&job.metadata)).cloned());
        }
        if observed.may_meet_old_pods() {
            let trainers = newest
                .pods
                .values()
                .filter(|pod| component(&pod.metadata) == Some("train"));
            observed.take_in(trainers.cloned().collect::<Vec<_>>());
        }
        for name in observed.jobs_without_evidence() {
            let uid = observed.job_named(&name).and_then(ResourceExt::uid);
            let of_job = newest
                .pods
                .values()
                .filter(|pod| pod.owner_references().iter().any(|o| Some(&o.uid) == uid.as_ref()));
            observed.take_in(of_job.cloned().collect::<Vec<_>>());
        }
        let asked = observed
            .current_train_job()
            .filter(|name| observed.job_named(name).is_some());
        observed.sampler = asked.and_then(|name| cluster.sampler(served, lost_index).remove(&name));
        Some(observed)
    }

    /// Looks and decides; an unfinished turn is dropped, as after its deadline.
    pub(crate) fn look(&mut self, cluster: &Cluster, served: u64, lost_index: bool) {
        self.turn = None;
        let Some(observed) = self.observe(cluster, served, lost_index) else {
            return;
        };
        let version: u64 = observed.job.resource_version().unwrap().parse().unwrap();
        if version < self.written {
            return;
        }
        let actions = decide(&self.settings, validate(&observed.job).unwrap(), &observed);
        let Actions {
            ensure,
            suspend,
            delete,
            status,
            events,
            milestones: _,
            requeue: _,
        } = actions;
        let mut effects = VecDeque::new();
        effects.extend(suspend.into_iter().map(Effect::Hold));
        effects.extend(ensure.into_iter().map(|object| Effect::Ensure(Box::new(object))));
        effects.extend(delete.into_iter().map(Effect::Delete));
        if let Some(status) = status {
            effects.push_back(Effect::Status(Box::new(status)));
            effects.extend(events.into_iter().map(Effect::Tell));
        }
        self.turn = Some(Turn {
            seen: Arc::clone(&observed.job),
            effects,
            applied: Applied::default(),
        });
    }

    /// Does the next effect; false when there is none.
    pub(crate) fn act(&mut self, cluster: &mut Cluster) -> bool {
        let Some(turn) = &mut self.turn else { return false };
        let Some(effect) = turn.effects.pop_front() else {
            self.turn = None;
            return false;
        };
        let seen = Arc::clone(&turn.seen);
        let done = match effect {
            Effect::Hold(SetSuspend { name, uid, suspend }) => {
                cluster.ledger.writes += 1;
                cluster.hold(&name, &uid, suspend, Some(suspend));
                true
            }
            Effect::Ensure(object) if matches!(*object, Ensure::TrainJob(_)) && !is_newest(&cluster.world, &seen) => {
                false
            }
            Effect::Ensure(object) => ensure(cluster, *object, &mut turn.applied),
            Effect::Delete(target) => {
                cluster.ledger.writes += 1;
                delete(cluster, &target);
                true
            }
            Effect::Status(_) if !is_newest(&cluster.world, &seen) => {
                cluster.ledger.writes += 1;
                false
            }
            Effect::Status(next) => {
                let mut job = CurriculumJob::clone(&seen);
                let status = next.complete(&turn.applied);
                if job.status.as_ref() != Some(&status) {
                    cluster.ledger.writes += 1;
                    job.status = Some(status);
                    cluster.stamp(&mut job.metadata);
                    self.written = job.resource_version().unwrap().parse().unwrap();
                    cluster.world.curriculum_job = Some(Arc::new(job));
                    cluster.commit();
                }
                true
            }
            Effect::Tell(event) => {
                cluster.ledger.writes += 1;
                cluster.ledger.events.push(event);
                true
            }
        };
        if !done {
            self.turn = None;
        }
        true
    }

    /// One whole turn on the newest state; the number of effects that it had.
    pub(crate) fn whole_turn(&mut self, cluster: &mut Cluster, served: u64) -> usize {
        self.read = [cluster.history.len() - 1; 4];
        self.look(cluster, served, false);
        let mut effects = 0;
        while self.act(cluster) {
            effects += 1;
        }
        effects
    }
}

fn is_newest(world: &World, seen: &CurriculumJob) -> bool {
    let newest = world.curriculum_job.as_ref();
    newest.is_some_and(|newest| newest.metadata.resource_version == seen.metadata.resource_version)
}

/// Creates an object unless it is there, like `act` and the API server.
fn ensure(cluster: &mut Cluster, object: Ensure, applied: &mut Applied) -> bool {
    cluster.ledger.writes += 1;
    macro_rules! create {
        ($list:ident, $object:expr) => {{
            let mut object = *$object;
            let name = object.name_any();
            if !cluster.world.$list.contains_key(&name) {
                cluster.stamp(&mut object.metadata);
                cluster.world.$list.insert(name.clone(), Arc::new(object));
                cluster.commit();
            }
            Arc::clone(&cluster.world.$list[&name])
        }};
    }
    match object {
        Ensure::Claim(claim) => drop(create!(claims, claim)),
        Ensure::ConfigMap(map) => drop(create!(config_maps, map)),
        Ensure::ScoringJob(job) => drop(create!(jobs, job)),
        Ensure::Snapshot(snapshot) => drop(create!(snapshots, snapshot)),
        Ensure::TrainJob(job) => {
            if !cluster.world.jobs.contains_key(&job.name_any()) {
                cluster.ledger.makes_train_job(&job);
            }
            applied.train_job_uid = create!(jobs, job).uid();
        }
    }
    true
}

/// Deletes an object with that UID.
fn delete(cluster: &mut Cluster, target: &Delete) {
    let Delete { kind, name, uid } = target;
    let world = &mut cluster.world;
    let gone = match kind {
        Kind::Job if world.jobs.get(name).is_some_and(|job| job.uid().as_ref() == Some(uid)) => {
            world.jobs.remove(name).is_some()
        }
        Kind::Snapshot => world.snapshots.remove(name).is_some(),
        Kind::CurriculumJob => world.curriculum_job.take().is_some(),
        Kind::Job => false,
    };
    if gone {
        cluster.commit();
    }
}
