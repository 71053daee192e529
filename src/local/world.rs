//! The objects of one run, as an API server would hold them, in one file: what a run that goes on later starts from.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use serde::{Deserialize, Serialize};

use super::error::LocalError;
use crate::api::job::CurriculumJob;
use crate::api::snapshot::CurriculumSnapshot;
use crate::controller::actions::{Ensure, Kind};

/// Everything, by name. Each write has a number of its own, the version of what was written.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct World {
    version: u64,
    pub(super) curriculum_job: CurriculumJob,
    #[serde(default)]
    pub(super) jobs: BTreeMap<String, Job>,
    #[serde(default)]
    pub(super) pods: BTreeMap<String, Pod>,
    #[serde(default)]
    pub(super) config_maps: BTreeMap<String, ConfigMap>,
    #[serde(default)]
    pub(super) claims: BTreeMap<String, PersistentVolumeClaim>,
    #[serde(default)]
    pub(super) snapshots: BTreeMap<String, CurriculumSnapshot>,
}

impl World {
    /// A world with nothing but that CurriculumJob, which gets that UID.
    pub(super) fn new(mut job: CurriculumJob, uid: String, now: Timestamp) -> Self {
        job.metadata.uid = Some(uid);
        job.metadata.generation = Some(1);
        job.metadata.resource_version = Some("1".to_owned());
        job.metadata.creation_timestamp = Some(Time(now));
        Self {
            version: 1,
            curriculum_job: job,
            jobs: BTreeMap::new(),
            pods: BTreeMap::new(),
            config_maps: BTreeMap::new(),
            claims: BTreeMap::new(),
            snapshots: BTreeMap::new(),
        }
    }

    /// Reads what [`Self::write`] wrote; `None`: there is no such file.
    ///
    /// # Errors
    /// When the file cannot be read, or is none of these.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, LocalError> {
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(LocalError::io(path, source)),
        };
        let world = serde_json::from_slice(&text).map_err(|error| LocalError::io(path, error.into()))?;
        Ok(Some(world))
    }

    /// Writes it whole, by a rename.
    ///
    /// # Errors
    /// When the file cannot be written; then it is what it was before.
    pub(super) fn write(&self, path: &Path) -> Result<(), LocalError> {
        let folder = path.parent().unwrap_or(Path::new("."));
        let write = || {
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            serde_json::to_writer(&mut file, self)?;
            file.flush()?;
            file.as_file().sync_data()?;
            file.persist(path).map_err(|error| error.error)?;
            Ok(())
        };
        write().map_err(|source| LocalError::io(path, source))
    }

    /// Metadata of an object that is being written: a new version, and a UID if it is new.
    pub(super) fn stamp(&mut self, meta: &mut ObjectMeta, now: Timestamp) {
        self.version += 1;
        meta.resource_version = Some(self.version.to_string());
        let run = self.curriculum_job.uid().unwrap_or_default();
        meta.uid.get_or_insert_with(|| format!("{run}.{}", self.version));
        meta.creation_timestamp.get_or_insert(Time(now));
    }

    /// Metadata of an object.
    pub(super) fn metadata(&self, kind: Kind, name: &str) -> Option<&ObjectMeta> {
        match kind {
            Kind::Claim => self.claims.get(name).map(|object| &object.metadata),
            Kind::ConfigMap => self.config_maps.get(name).map(|object| &object.metadata),
            Kind::Job => self.jobs.get(name).map(|object| &object.metadata),
            Kind::Snapshot => self.snapshots.get(name).map(|object| &object.metadata),
            Kind::Pod => self.pods.get(name).map(|object| &object.metadata),
            Kind::CurriculumJob => {
                Some(&self.curriculum_job.metadata).filter(|meta| meta.name.as_deref() == Some(name))
            }
        }
    }

    /// Adds an object whose name is free, and returns its metadata.
    pub(super) fn add(&mut self, object: &Ensure, now: Timestamp) -> ObjectMeta {
        let mut meta = object.metadata().clone();
        self.stamp(&mut meta, now);
        let name = meta.name.clone().unwrap_or_default();
        macro_rules! put {
            ($list:ident, $object:expr) => {{
                let mut object = $object.as_ref().clone();
                object.metadata = meta.clone();
                self.$list.insert(name, object);
            }};
        }
        match object {
            Ensure::Claim(claim) => put!(claims, claim),
            Ensure::ConfigMap(map) => put!(config_maps, map),
            Ensure::ScoringJob(job) | Ensure::ArchiveJob(job) | Ensure::TrainJob(job) => put!(jobs, job),
            Ensure::Snapshot(snapshot) => put!(snapshots, snapshot),
        }
        meta
    }

    /// Removes an object; of a Job, its pods go when whoever runs them has ended them.
    pub(super) fn remove(&mut self, kind: Kind, name: &str) {
        match kind {
            Kind::Claim => drop(self.claims.remove(name)),
            Kind::ConfigMap => drop(self.config_maps.remove(name)),
            Kind::Job => drop(self.jobs.remove(name)),
            Kind::Snapshot => drop(self.snapshots.remove(name)),
            Kind::Pod => drop(self.pods.remove(name)),
            // It goes with its folder, when the user removes that.
            Kind::CurriculumJob => {}
        }
    }
}
