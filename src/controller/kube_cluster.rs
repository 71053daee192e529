//! [`Cluster`] over a Kubernetes API server, the stores that the watches fill, and the samplers' HTTP.

use std::fmt::Debug;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::PartialObjectMeta;
use kube::runtime::events::{self, EventType, Recorder};
use kube::runtime::reflector::Store;
use kube::{Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::actions::{Delete, Ensure, Event, Kind, SetSuspend};
use super::cluster::{Answer, Children, Cluster, PodsOf, Said};
use super::index::Indexed;
use super::merge_patch::merge_patch;
use super::observed::{About, Warning};
use super::samplers::Samplers;
use super::stored_job::StoredJob;
use crate::api::MANAGER;
use crate::api::job::CurriculumJob;
use crate::api::names::{ANNOTATION_SUSPENDED, LABEL_COMPONENT, LABEL_JOB, SAMPLER_STATUS_PORT};
use crate::api::snapshot::CurriculumSnapshot;
use crate::api::status::CurriculumJobStatus;

/// Label that the Job controller gives to the pods of a Job.
const LABEL_JOB_NAME: &str = "batch.kubernetes.io/job-name";
/// Longest note of an event, in bytes: the API allows 1,024.
const NOTE_BYTES: usize = 1000;

/// Local copies of what is watched. Jobs and pods without what nobody reads, of the others only the metadata.
#[derive(Clone)]
pub(crate) struct Stores {
    pub(crate) curriculum_jobs: Store<StoredJob>,
    /// By the UID of the CurriculumJob that controls them, as are the others but for pods.
    pub(crate) jobs: Arc<Indexed<Job>>,
    /// By [`pod_key`].
    pub(crate) pods: Arc<Indexed<Pod>>,
    pub(crate) config_maps: Arc<Indexed<PartialObjectMeta<ConfigMap>>>,
    pub(crate) claims: Arc<Indexed<PartialObjectMeta<PersistentVolumeClaim>>>,
    pub(crate) snapshots: Arc<Indexed<PartialObjectMeta<CurriculumSnapshot>>>,
}

/// Key of the pods of a CurriculumJob, which have its name as a label.
pub(crate) fn pod_key(namespace: Option<&str>, job: &str) -> String {
    format!("{}/{job}", namespace.unwrap_or_default())
}

/// The cluster of a client.
pub(crate) struct KubeCluster {
    client: Client,
    recorder: Recorder,
    stores: Stores,
    samplers: Arc<Samplers>,
}

impl KubeCluster {
    pub(crate) fn new(client: Client, stores: Stores, samplers: Arc<Samplers>) -> Self {
        let reporter = events::Reporter::from(MANAGER);
        Self {
            recorder: Recorder::new(client.clone(), reporter),
            client,
            stores,
            samplers,
        }
    }

    pub(crate) fn stores(&self) -> &Stores {
        &self.stores
    }

    pub(crate) fn samplers(&self) -> &Samplers {
        &self.samplers
    }

    fn api<K>(&self, of: &CurriculumJob) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &of.namespace().unwrap_or_default())
    }

    async fn create_as<K>(&self, of: &CurriculumJob, object: &K) -> Answer<ObjectMeta>
    where
        K: Resource<Scope = NamespaceResourceScope> + Clone + Debug + Serialize + DeserializeOwned,
        K::DynamicType: Default,
    {
        let params = PostParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PostParams::default()
        };
        let body = serde_json::to_vec(object).map_err(kube::Error::SerdeError)?;
        let url = K::url_path(&K::DynamicType::default(), of.metadata.namespace.as_deref());
        let request = kube::core::Request::new(url)
            .create(&params, body)
            .map_err(kube::Error::BuildRequest)?;
        let made: PartialObjectMeta<K> = self.client.request(metadata_only(request)).await?;
        Ok(made.metadata)
    }

    async fn metadata_as<K>(&self, of: &CurriculumJob, name: &str) -> Answer<Option<ObjectMeta>>
    where
        K: Resource<Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
        K::DynamicType: Default,
    {
        let found = self.api::<K>(of).get_metadata_opt(name).await?;
        Ok(found.map(|found| found.metadata))
    }

    async fn delete_as<K>(&self, of: &CurriculumJob, target: &Delete) -> Answer<()>
    where
        K: Resource<Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
        K::DynamicType: Default,
    {
        let only = Preconditions {
            uid: Some(target.uid.clone()),
            ..Preconditions::default()
        };
        let params = DeleteParams::background().preconditions(only);
        self.api::<K>(of).delete(&target.name, &params).await.map(drop)
    }
}

impl Cluster for KubeCluster {
    #[expect(clippy::disallowed_methods, reason = "the one place where a decision's time is read")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn children(&self, of: &CurriculumJob) -> Children {
        let uid = of.uid().unwrap_or_default();
        Children {
            jobs: shared(self.stores.jobs.of(&uid)),
            pods: shared(self.stores.pods.of(&pod_key(of.namespace().as_deref(), &of.name_any()))),
            config_maps: metadata(&self.stores.config_maps, &uid),
            claims: metadata(&self.stores.claims, &uid),
            snapshots: metadata(&self.stores.snapshots, &uid),
        }
    }

    fn sampler(&self, of: &CurriculumJob, at: Option<IpAddr>, interval: Duration) -> Option<Said> {
        let at = at.map(|ip| SocketAddr::new(ip, SAMPLER_STATUS_PORT));
        self.samplers.latest(of, at, interval)
    }

    fn progress_interval(&self, least: Duration) -> Duration {
        self.samplers.interval(least)
    }

    async fn job(&self, of: &CurriculumJob, name: &str) -> Answer<Option<Job>> {
        self.api::<Job>(of).get_opt(name).await
    }

    async fn pods(&self, of: &CurriculumJob, which: PodsOf<'_>) -> Answer<Vec<Pod>> {
        let selector = match which {
            PodsOf::Trainers => format!("{LABEL_JOB}={},{LABEL_COMPONENT}=train", of.name_any()),
            PodsOf::Job(name) => format!("{LABEL_JOB_NAME}={name}"),
        };
        let found = self
            .api::<Pod>(of)
            .list(&ListParams::default().labels(&selector))
            .await?;
        Ok(found.items)
    }

    async fn warnings(&self, of: &CurriculumJob, about: &About) -> Answer<Vec<Warning>> {
        let selector = match about {
            About::Object(uid) => format!("involvedObject.uid={uid},type=Warning"),
            // That a claim gets no volume is told by events of type Normal.
            About::Claims(_) => "involvedObject.kind=PersistentVolumeClaim".to_owned(),
        };
        let is_meant = |event: &core::v1::Event| match about {
            About::Object(_) => true,
            About::Claims(names) => {
                let name = event.involved_object.name.as_ref();
                let tells =
                    event.type_.as_deref() == Some("Warning") || event.reason.as_deref() == Some("FailedBinding");
                tells && name.is_some_and(|name| names.contains(name))
            }
        };
        let params = ListParams::default().fields(&selector);
        let found = self.api::<core::v1::Event>(of).list(&params).await?;
        let warning = |event: core::v1::Event| {
            let seen = event
                .series
                .and_then(|series| series.last_observed_time)
                .map(|time| time.0);
            let seen = seen
                .or(event.last_timestamp.map(|time| time.0))
                .or(event.event_time.map(|time| time.0));
            Some(Warning {
                reason: event.reason?,
                message: event.message.unwrap_or_default(),
                about: event.involved_object.name.unwrap_or_default(),
                at: seen.or(event.metadata.creation_timestamp.map(|time| time.0))?,
            })
        };
        Ok(found.items.into_iter().filter(is_meant).filter_map(warning).collect())
    }

    async fn metadata(&self, of: &CurriculumJob, kind: Kind, name: &str) -> Answer<Option<ObjectMeta>> {
        match kind {
            Kind::Claim => self.metadata_as::<PersistentVolumeClaim>(of, name).await,
            Kind::ConfigMap => self.metadata_as::<ConfigMap>(of, name).await,
            Kind::Job => self.metadata_as::<Job>(of, name).await,
            Kind::Snapshot => self.metadata_as::<CurriculumSnapshot>(of, name).await,
            Kind::Pod => self.metadata_as::<Pod>(of, name).await,
            Kind::CurriculumJob => self.metadata_as::<CurriculumJob>(of, name).await,
        }
    }

    async fn create(&self, of: &CurriculumJob, object: &Ensure) -> Answer<ObjectMeta> {
        match object {
            Ensure::Claim(claim) => self.create_as(of, claim.as_ref()).await,
            Ensure::ConfigMap(map) => self.create_as(of, map.as_ref()).await,
            Ensure::ScoringJob(job) | Ensure::ArchiveJob(job) | Ensure::TrainJob(job) => {
                self.create_as(of, job.as_ref()).await
            }
            Ensure::Snapshot(snapshot) => self.create_as(of, snapshot.as_ref()).await,
        }
    }

    async fn suspend(&self, of: &CurriculumJob, hold: &SetSuspend) -> Answer<()> {
        let mark = json!({ANNOTATION_SUSPENDED: hold.suspend.then_some("true")});
        let patch = json!({"metadata": {"uid": hold.uid, "annotations": mark}, "spec": {"suspend": hold.suspend}});
        let params = PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let api = self.api::<Job>(of);
        api.patch(&hold.name, &params, &Patch::Merge(patch)).await.map(drop)
    }

    async fn delete(&self, of: &CurriculumJob, target: &Delete) -> Answer<()> {
        match target.kind {
            Kind::Claim => self.delete_as::<PersistentVolumeClaim>(of, target).await,
            Kind::ConfigMap => self.delete_as::<ConfigMap>(of, target).await,
            Kind::Job => self.delete_as::<Job>(of, target).await,
            Kind::Snapshot => self.delete_as::<CurriculumSnapshot>(of, target).await,
            Kind::Pod => self.delete_as::<Pod>(of, target).await,
            Kind::CurriculumJob => self.delete_as::<CurriculumJob>(of, target).await,
        }
    }

    async fn write_status(&self, over: &CurriculumJob, status: &CurriculumJobStatus) -> Answer<ObjectMeta> {
        let old = over
            .status
            .as_ref()
            .map_or(Ok(Value::Object(Map::new())), serde_json::to_value);
        let old = old.map_err(kube::Error::SerdeError)?;
        let new = serde_json::to_value(status).map_err(kube::Error::SerdeError)?;
        // What changed, over exactly the version that it was decided on: a merge patch that names a version is refused over
        // any other. Server-side apply would carry the whole status, and the API server would work out the owner of every
        // field of it, for a status that nobody else writes.
        let patch = json!({
            "metadata": {"uid": over.metadata.uid, "resourceVersion": over.metadata.resource_version},
            "status": merge_patch(&old, &new),
        });
        let params = PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let url = CurriculumJob::url_path(&(), over.metadata.namespace.as_deref());
        let request = kube::core::Request::new(url)
            .patch_subresource("status", &over.name_any(), &params, &Patch::Merge(patch))
            .map_err(kube::Error::BuildRequest)?;
        let written: PartialObjectMeta<CurriculumJob> = self.client.request(metadata_only(request)).await?;
        Ok(written.metadata)
    }

    async fn publish(&self, about: &CurriculumJob, event: &Event) -> Answer<()> {
        let event = events::Event {
            type_: if event.warning {
                EventType::Warning
            } else {
                EventType::Normal
            },
            reason: event.reason.as_str().to_owned(),
            note: Some(cut(&event.note).to_owned()),
            action: event.action.to_owned(),
            secondary: None,
        };
        self.recorder.publish(&event, &about.object_ref(&())).await
    }
}

fn metadata<K>(index: &Indexed<PartialObjectMeta<K>>, uid: &str) -> Vec<ObjectMeta>
where
    K: Resource<DynamicType = ()>,
{
    index.of(uid).into_iter().map(|object| object.metadata).collect()
}

fn shared<K>(objects: Vec<K>) -> Vec<Arc<K>> {
    objects.into_iter().map(Arc::new).collect()
}

/// Asks for the metadata of what a write made, not for all of it.
fn metadata_only(mut request: http::Request<Vec<u8>>) -> http::Request<Vec<u8>> {
    let accept = http::HeaderValue::from_static("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1");
    request.headers_mut().insert(http::header::ACCEPT, accept);
    request
}

fn cut(note: &str) -> &str {
    &note[..note.floor_char_boundary(NOTE_BYTES)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_cut_between_characters() {
        assert_eq!(cut(&"ä".repeat(600)).len(), 1000);
        assert_eq!(cut(&("ä".repeat(600) + "x")).chars().last(), Some('ä'));
    }
}
