//! How the server answers the operator's requests, with the refusals of an API server.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use kube::core::Status;

use super::Server;
use crate::api::job::CurriculumJob;
use crate::api::status::CurriculumJobStatus;
use crate::controller::actions::{Delete, Ensure, Event, Kind, SetSuspend};
use crate::controller::cluster::{Answer, PodsOf};
use crate::controller::observed::component;

fn no<T>(code: u16, reason: &str) -> Answer<T> {
    Err(kube::Error::Api(Box::new(Status {
        code,
        ..Status::failure("no", reason)
    })))
}

impl Server {
    pub(crate) fn pods(&self, which: PodsOf<'_>) -> Vec<Pod> {
        let job = match which {
            PodsOf::Trainers => None,
            PodsOf::Job(name) => Some(self.world.jobs.get(name).and_then(|job| job.uid())),
        };
        let wanted = |pod: &&Arc<Pod>| match &job {
            None => component(&pod.metadata) == Some("train"),
            Some(uid) => pod
                .owner_references()
                .iter()
                .any(|owner| Some(&owner.uid) == uid.as_ref()),
        };
        let pods = self.world.pods.values().filter(wanted);
        pods.map(|pod| Pod::clone(pod)).collect()
    }

    pub(crate) fn create(&mut self, object: &Ensure) -> Answer<ObjectMeta> {
        self.ledger.writes += 1;
        let name = object.metadata().name.clone().unwrap();
        if self.world.metadata(object.kind(), &name).is_some() {
            return no(409, "AlreadyExists");
        }
        macro_rules! put {
            ($list:ident, $object:expr) => {{
                let mut object = $object.clone();
                self.stamp(&mut object.metadata);
                let metadata = object.metadata.clone();
                self.world.$list.insert(name, Arc::new(*object));
                metadata
            }};
        }
        let made = match object {
            Ensure::Claim(claim) => put!(claims, claim),
            Ensure::ConfigMap(map) => put!(config_maps, map),
            Ensure::ScoringJob(job) | Ensure::ArchiveJob(job) => put!(jobs, job),
            Ensure::Snapshot(snapshot) => put!(snapshots, snapshot),
            Ensure::TrainJob(job) => {
                self.ledger.makes_train_job(job);
                put!(jobs, job)
            }
        };
        self.commit();
        Ok(made)
    }

    pub(crate) fn suspend(&mut self, hold: &SetSuspend) -> Answer<()> {
        self.ledger.writes += 1;
        match self.world.metadata(Kind::Job, &hold.name) {
            None => no(404, "NotFound"),
            Some(found) if found.uid.as_ref() != Some(&hold.uid) => no(409, "Conflict"),
            Some(_) => {
                self.hold(&hold.name, &hold.uid, hold.suspend, Some(hold.suspend));
                Ok(())
            }
        }
    }

    pub(crate) fn delete(&mut self, target: &Delete) -> Answer<()> {
        self.ledger.writes += 1;
        let Delete { kind, name, uid } = target;
        match self.world.metadata(*kind, name) {
            None => return no(404, "NotFound"),
            Some(found) if found.uid.as_ref() != Some(uid) => return no(409, "Conflict"),
            Some(_) => {}
        }
        let world = &mut self.world;
        match kind {
            Kind::Claim => drop(world.claims.remove(name)),
            Kind::ConfigMap => drop(world.config_maps.remove(name)),
            Kind::Job => drop(world.jobs.remove(name)),
            Kind::Snapshot => drop(world.snapshots.remove(name)),
            Kind::Pod => drop(world.pods.remove(name)),
            Kind::CurriculumJob => drop(world.curriculum_job.take()),
        }
        self.commit();
        Ok(())
    }

    pub(crate) fn write_status(&mut self, over: &CurriculumJob, status: &CurriculumJobStatus) -> Answer<ObjectMeta> {
        self.ledger.writes += 1;
        let Some(newest) = &self.world.curriculum_job else {
            return no(404, "NotFound");
        };
        if newest.metadata.resource_version != over.metadata.resource_version {
            return no(409, "Conflict");
        }
        let mut job = CurriculumJob::clone(newest);
        job.status = Some(status.clone());
        self.stamp(&mut job.metadata);
        let written = job.metadata.clone();
        self.world.curriculum_job = Some(Arc::new(job));
        self.commit();
        Ok(written)
    }

    pub(crate) fn publish(&mut self, event: &Event) -> Answer<()> {
        self.ledger.writes += 1;
        self.ledger.events.push(event.clone());
        Ok(())
    }
}
