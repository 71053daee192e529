//! Where files are kept that no volume holds, as one program tells another.

use serde::{Deserialize, Serialize};

/// A remote, in the variable `CURRICULUM_STORE` of pods, as JSON. Credentials are elsewhere.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum Place {
    /// Objects below an address.
    Objects(Objects),
    /// Keys of a Redis server.
    Redis(Redis),
}

/// A part of an object store.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Objects {
    /// The place that paths are relative to, such as `s3://BUCKET/PREFIX`.
    pub url: String,
    /// Base URL of a server that is not the service's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Region of an S3 bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
}

/// A part of a Redis server's keys.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Redis {
    /// `redis://HOST:PORT/DATABASE`, or `rediss://…` for TLS.
    pub url: String,
    /// What every key begins with.
    pub key_prefix: String,
}
