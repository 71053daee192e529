//! `spec.dataset.objectStore`: a data set in a bucket, on a web server, or on the Hugging Face hub.

use k8s_openapi::api::core::v1::EnvFromSource;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema;

/// An object store. Scoring pods read from it by ranges; programs get copies of the files they need.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "!has(self.region) || self.url.startsWith('s3://')",
     "message": "`region` must be left out where `url` does not begin with 's3://'", "fieldPath": ".region"},
    {"rule": "!has(self.endpoint) || !self.url.startsWith('http')",
     "message": "`endpoint` must be left out where `url` names the server itself", "fieldPath": ".endpoint"}
]))]
pub struct ObjectStoreSpec {
    /// What `path` and `paths` are relative to: `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX`, `az://CONTAINER/PREFIX`,
    /// `https://HOST/PATH` or `hf://datasets/OWNER/NAME@REVISION/PATH`.
    #[schemars(length(min = 1, max = 1024), extend("x-kubernetes-validations" = [
        {"rule": "self.matches('^(s3|gs|az|https?|hf)://[^/@?#\\\\s]+(/[^?#\\\\s]*)?$') && !self.matches('/[.][.]?(/|$)')",
         "message": "must be 's3://BUCKET/PREFIX', 'gs://BUCKET/PREFIX', 'az://CONTAINER/PREFIX', 'https://HOST/PATH' or 'hf://datasets/OWNER/NAME@REVISION/PATH', without user, password, '?', '..' and white space"},
        {"rule": "!self.startsWith('hf://') || self.matches('^hf://(datasets|models)/[^/@]+/[^/@]+(@[^/]+)?(/.*)?$')",
         "message": "must be 'hf://datasets/OWNER/NAME@REVISION/PATH'"}]))]
    pub url: String,
    /// Base URL of a server that is not the service's own, such as `https://minio.example.com`. Over plain HTTP what is read can be
    /// changed on its way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::endpoint")]
    pub endpoint: Option<String>,
    /// Region of an S3 bucket. Default: that of the environment, else `us-east-1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::region")]
    pub region: Option<String>,
    /// Secrets and ConfigMaps with the credentials, whose every key becomes a variable: `AWS_ACCESS_KEY_ID` and
    /// `AWS_SECRET_ACCESS_KEY`, `GOOGLE_SERVICE_ACCOUNT_KEY`, `AZURE_STORAGE_ACCOUNT_NAME` and `AZURE_STORAGE_ACCOUNT_KEY`, `HF_TOKEN`. The
    /// operator never reads them. Default: the identity of the pods' service account or of the node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::env_from_list")]
    pub env_from: Vec<EnvFromSource>,
    /// How the trainer gets at its rows. Default `Copy`.
    #[serde(default)]
    pub trainer_reads: TrainerReads,
    /// Most bytes that are copied to the node of a pod. Default `50Gi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::memory_size")]
    pub size_limit: Option<Quantity>,
}

/// How the trainer gets at its rows.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub enum TrainerReads {
    /// The files are copied to the node before it starts, and lie where those of a volume would.
    #[default]
    Copy,
    /// From the store by itself: it gets the URL and the credentials.
    Store,
}
