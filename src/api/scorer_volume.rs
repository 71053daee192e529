//! Volumes of a container scorer: where each one comes from, and where its program finds it.

use k8s_openapi::api::core::v1::{
    CSIVolumeSource, ConfigMapVolumeSource, EmptyDirVolumeSource, HostPathVolumeSource, ImageVolumeSource,
    NFSVolumeSource, PersistentVolumeClaimVolumeSource, SecretVolumeSource,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema;

/// A volume of a container scorer: exactly one source of `core/v1`, mounted read-only unless it says otherwise.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "[has(self.persistentVolumeClaim), has(self.nfs), has(self.csi), has(self.hostPath), has(self.configMap), has(self.secret), has(self.image), has(self.emptyDir)].exists_one(x, x)",
     "message": "exactly one of `persistentVolumeClaim`, `nfs`, `csi`, `hostPath`, `configMap`, `secret`, `image` and `emptyDir` must be set"},
    {"rule": "!has(self.readOnly) || self.readOnly || !(has(self.configMap) || has(self.secret) || has(self.image))",
     "message": "`readOnly` must not be false of a `configMap`, a `secret` or an `image`: nobody can write to those", "fieldPath": ".readOnly"}
]))]
pub struct ScorerVolume {
    /// Name of the volume, unique within the scorer. In the pod it is `<scorer>--<name>`.
    #[schemars(length(min = 1, max = 30), regex(pattern = "^[a-z0-9]+(-[a-z0-9]+)*$"), extend("x-kubernetes-validations" = [
        {"rule": "self.matches('^[a-z0-9]+(-[a-z0-9]+)*$')",
         "message": "must consist of lower case letters, digits and single '-', and begin and end with a letter or a digit"},
        {"rule": "self != 'shared-memory'", "message": "must not be 'shared-memory': that is the volume of `sharedMemory`"}]))]
    pub name: String,
    /// Where the program finds it: an absolute path that is not `/curriculum` or below it.
    #[schemars(length(min = 2, max = 512), extend("x-kubernetes-validations" = [
        {"rule": "self.matches('^(/[^/:]+)+$') && !self.split('/').exists(s, s == '.' || s == '..')",
         "message": "must be an absolute path such as '/weights', without ':', '.', '..' and empty parts"},
        {"rule": "self != '/curriculum' && !self.startsWith('/curriculum/')",
         "message": "must not be '/curriculum' or below it: the operator mounts the data set and the store there"}]))]
    pub mount_path: String,
    /// File or folder within the volume to mount. Default: the volume's root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), extend("x-kubernetes-validations" = [
        {"rule": "!self.startsWith('/') && !self.split('/').exists(s, s == '..')",
         "message": "must be a path relative to the volume's root, without '..'"}]))]
    pub sub_path: Option<String>,
    /// False: the program may write to it. Default true; false of an `emptyDir`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_only: Option<bool>,
    /// A claim in the namespace of the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::core::<PersistentVolumeClaimVolumeSource>")]
    pub persistent_volume_claim: Option<PersistentVolumeClaimVolumeSource>,
    /// An NFS export.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::core::<NFSVolumeSource>")]
    pub nfs: Option<NFSVolumeSource>,
    /// An inline CSI volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::core::<CSIVolumeSource>")]
    pub csi: Option<CSIVolumeSource>,
    /// A file or folder of the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::core::<HostPathVolumeSource>")]
    pub host_path: Option<HostPathVolumeSource>,
    /// A ConfigMap in the namespace of the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::core::<ConfigMapVolumeSource>")]
    pub config_map: Option<ConfigMapVolumeSource>,
    /// A Secret in the namespace of the job. The operator never reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::core::<SecretVolumeSource>")]
    pub secret: Option<SecretVolumeSource>,
    /// An OCI image or artefact, such as one that holds weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::core::<ImageVolumeSource>")]
    pub image: Option<ImageVolumeSource>,
    /// An empty folder for as long as the pod lives, such as for a cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::core::<EmptyDirVolumeSource>")]
    pub empty_dir: Option<EmptyDirVolumeSource>,
}
