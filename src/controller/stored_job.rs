//! A CurriculumJob as the store keeps it: written down, as its children are, because most of ten thousand jobs are read once in a
//! while, and the type has 5 kB before anything is in it.

use std::borrow::Cow;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::decide::stage;
use super::packed::Packed;
use crate::api::job::CurriculumJob;
use crate::api::status::{CurriculumJobStatus, Stage};

/// Annotation with the manifest as it was applied: as large as the object itself, and never read.
const APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// One that was read from the API server, whether it fits our types or not: an object that was stored under an older CRD must not
/// stop the watch of all others.
#[derive(Clone, Debug)]
pub(crate) struct StoredJob {
    /// Name, namespace, UID and version.
    metadata: ObjectMeta,
    /// Where its run stands; `None`: its status cannot be read.
    stage: Option<Stage>,
    json: Packed,
}

impl StoredJob {
    /// The whole object.
    ///
    /// # Errors
    /// When it does not fit our types.
    pub(crate) fn open(&self) -> Result<CurriculumJob, serde_json::Error> {
        let text = self.json.text().map_err(serde_json::Error::custom)?;
        serde_json::from_slice(&text)
    }

    /// Where its run stands; `None`: its status cannot be read.
    pub(crate) fn stage(&self) -> Option<Stage> {
        self.stage
    }
}

impl<'de> Deserialize<'de> for StoredJob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut object = Value::deserialize(deserializer)?;
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            // Who wrote which field is as large as the fields, and never read either.
            metadata.remove("managedFields");
            let annotations = metadata.get_mut("annotations").and_then(Value::as_object_mut);
            annotations.map(|annotations| annotations.remove(APPLIED));
        }
        let text = |field: &str| object["metadata"][field].as_str().map(str::to_owned);
        let status = match &object["status"] {
            Value::Null => Ok(None),
            status => CurriculumJobStatus::deserialize(status).map(Some),
        };
        let written = serde_json::to_vec(&object).map_err(D::Error::custom)?;
        Ok(Self {
            metadata: ObjectMeta {
                name: text("name"),
                namespace: text("namespace"),
                uid: text("uid"),
                resource_version: text("resourceVersion"),
                ..ObjectMeta::default()
            },
            stage: status.ok().map(|status| stage(status.as_ref())),
            json: Packed::new(&written),
        })
    }
}

impl Resource for StoredJob {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind(_: &()) -> Cow<'_, str> {
        CurriculumJob::kind(&())
    }

    fn group(_: &()) -> Cow<'_, str> {
        CurriculumJob::group(&())
    }

    fn version(_: &()) -> Cow<'_, str> {
        CurriculumJob::version(&())
    }

    fn plural(_: &()) -> Cow<'_, str> {
        CurriculumJob::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use kube::ResourceExt;
    use serde_json::json;

    use super::*;
    use crate::controller::test_support::curriculum_job;

    fn stored(object: &Value) -> StoredJob {
        // As in a watch, where the object stands within another one.
        let event: kube::core::WatchEvent<StoredJob> =
            serde_json::from_value(json!({"type": "ADDED", "object": object})).unwrap();
        match event {
            kube::core::WatchEvent::Added(job) => job,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn it_comes_back_as_it_was_but_for_what_nobody_reads() {
        let mut job = curriculum_job(json!({}));
        job.annotations_mut().insert("note".to_owned(), "kept".to_owned());
        let mut object = serde_json::to_value(&job).unwrap();
        object["metadata"]["annotations"][APPLIED] = json!("{}");
        object["metadata"]["managedFields"] = json!([{"manager": "kubectl"}]);
        let stored = stored(&object);
        assert_eq!(stored.open().unwrap(), job);
        assert_eq!((stored.name_any(), stored.uid()), (job.name_any(), job.uid()));
        assert_eq!(stored.resource_version(), job.resource_version());
        assert_eq!(stored.stage(), Some(stage(None)));
    }

    #[test]
    fn one_that_does_not_fit_is_named_and_opens_with_an_error() {
        let mut object = serde_json::to_value(curriculum_job(json!({}))).unwrap();
        object["spec"]["seed"] = json!("seven");
        object["status"] = json!({"visits": 3});
        let stored = stored(&object);
        assert_eq!(
            (stored.name_any(), stored.namespace()),
            ("digits".to_owned(), Some("lab".to_owned()))
        );
        assert!(stored.open().unwrap_err().to_string().contains("seven"));
        assert_eq!(stored.stage(), None);
    }
}
