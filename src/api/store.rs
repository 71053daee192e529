//! `spec.store`: where scores and the score index live.

use k8s_openapi::api::core::v1::{EnvFromSource, PersistentVolumeClaimSpec};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema;

/// Where the score index lives: a claim of the user's, one made for this job, an object store, or Redis.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "[has(self.claimName), has(self.claimTemplate), has(self.objectStore), has(self.redis)].filter(x, x).size() <= 1",
     "message": "at most one of `claimName`, `claimTemplate`, `objectStore` and `redis` must be set"}
]))]
pub struct StoreSpec {
    /// An existing claim, which several jobs may share; scores with the same key are computed once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::object_name")]
    pub claim_name: Option<String>,
    /// Spec of the claim `<job>-store`. Default: 1Gi, ReadWriteOnce, the default storage class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::core::<PersistentVolumeClaimSpec>")]
    pub claim_template: Option<PersistentVolumeClaimSpec>,
    /// A part of an object store, which jobs of several namespaces and clusters may share. Each pod has copies of what it needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object_store: Option<StoreObjectsSpec>,
    /// Keys of a Redis or Valkey server. Each pod has copies of what it needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redis: Option<RedisSpec>,
}

/// A part of an object store that takes objects.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "!has(self.region) || self.url.startsWith('s3://')",
     "message": "`region` must be left out where `url` does not begin with 's3://'", "fieldPath": ".region"}
]))]
pub struct StoreObjectsSpec {
    /// What all names begin with: `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX` or `az://CONTAINER/PREFIX`.
    #[schemars(length(min = 1, max = 1024), extend("x-kubernetes-validations" = [
        {"rule": "self.matches('^(s3|gs|az)://[^/@?#\\\\s]+(/[^?#\\\\s]*)?$') && !self.matches('/[.][.]?(/|$)')",
         "message": "must be 's3://BUCKET/PREFIX', 'gs://BUCKET/PREFIX' or 'az://CONTAINER/PREFIX', without user, password, '?', '..' and white space"}]))]
    pub url: String,
    /// Base URL of a server that is not the service's own, such as `https://minio.example.com`. Over plain HTTP what is read can be
    /// changed on its way; the index is checked against its digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::endpoint")]
    pub endpoint: Option<String>,
    /// Region of an S3 bucket. Default: that of the environment, else `us-east-1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::region")]
    pub region: Option<String>,
    /// Secrets and ConfigMaps with the credentials, as those of `dataset.objectStore`: they may read, write, list and remove below `url`.
    /// The operator's programs get them; one of these starts each scorer in a container. Default: what the pods have, from
    /// `dataset.objectStore` or the identity of the service account or the node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::env_from_list")]
    pub env_from: Vec<EnvFromSource>,
}

/// Keys of a Redis or Valkey server that is no cluster.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RedisSpec {
    /// `redis://HOST:PORT/DATABASE`, or `rediss://HOST:PORT/DATABASE` for TLS, without a password. Port 6379 and database 0 by default.
    #[schemars(length(min = 1, max = 512), extend("x-kubernetes-validations" = [
        {"rule": "self.matches('^rediss?://[A-Za-z0-9._-]+(:[1-9][0-9]{0,4})?(/[0-9]{0,5})?$')",
         "message": "must be 'redis://HOST:PORT/DATABASE', or 'rediss://HOST:PORT/DATABASE' for TLS, without user and password"}]))]
    pub url: String,
    /// What every key begins with. Jobs with the same server and prefix share scores. Default `curriculum:`.
    #[serde(default = "key_prefix")]
    #[schemars(length(min = 1, max = 128), regex(pattern = "^[A-Za-z0-9:._/{}-]+$"))]
    pub key_prefix: String,
    /// Secret in the namespace of the job with `password`, and where they are needed `username`, `ca.crt` (authority of the server's
    /// certificate; default: the public ones), `tls.crt` and `tls.key`. It is mounted where the operator's programs run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::object_name")]
    pub secret_name: Option<String>,
}

fn key_prefix() -> String {
    "curriculum:".to_owned()
}
