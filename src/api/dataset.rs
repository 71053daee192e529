//! `spec.dataset`: the rows to train on, and the volumes of `core/v1` that data and checkpoints live on.

use k8s_openapi::api::core::v1::{
    CSIVolumeSource, ConfigMapVolumeSource, HostPathVolumeSource, ImageVolumeSource, NFSVolumeSource,
    PersistentVolumeClaimVolumeSource,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{filter::FilterSpec, object_store::ObjectStoreSpec, schema, split::SplitSpec};

/// The rows 0..N-1 to train on: those of one file, or of several, whose numbers run on from file to file.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "has(self.volume) != has(self.objectStore)",
     "message": "exactly one of `volume` and `objectStore` must be set"},
    {"rule": "has(self.path) != has(self.paths)",
     "message": "exactly one of `path` and `paths` must be set", "fieldPath": ".path"},
    {"rule": "has(self.format) || !has(self.path) || self.path.matches('[.](parquet|(csv|tsv|jsonl|ndjson)([.](gz|zst))?)$')",
     "message": "`path` must end in '.parquet', '.csv', '.tsv', '.jsonl' or '.ndjson', of text also with '.gz' or '.zst' behind it, or `format` must be set", "fieldPath": ".path"},
    {"rule": "has(self.format) || !has(self.paths) || self.paths.all(p, p.matches('[.]parquet$')) || self.paths.all(p, p.matches('[.](csv|tsv)([.](gz|zst))?$')) || self.paths.all(p, p.matches('[.](jsonl|ndjson)([.](gz|zst))?$'))",
     "message": "`paths` must all end in '.parquet', or in '.csv' or '.tsv', or in '.jsonl' or '.ndjson', of text also with '.gz' or '.zst' behind it, or `format` must be set", "fieldPath": ".paths"},
    {"rule": "!has(self.delimiter) || (has(self.format) ? self.format == 'Csv' : has(self.path) ? self.path.matches('[.](csv|tsv)([.](gz|zst))?$') : self.paths.all(p, p.matches('[.](csv|tsv)([.](gz|zst))?$')))",
     "message": "`delimiter` must be left out of a format that is not CSV", "fieldPath": ".delimiter"}
]))]
pub struct DatasetSpec {
    /// The volume that holds the data; mounted read-only at `/curriculum/dataset` into scoring and training pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<VolumeSpec>,
    /// The object store that holds the data, in place of `volume`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object_store: Option<ObjectStoreSpec>,
    /// File, folder or pattern within the volume: a relative path without `..`. Of a folder all files of the format are read, also
    /// those in folders below; a pattern has `*`, `?`, `[…]`, or `**` for any folders. Files stand in the order of their paths'
    /// bytes. Text may be packed with gzip or Zstandard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), extend("x-kubernetes-validations" = [
        {"rule": "!self.startsWith('/') && !self.split('/').exists(s, s == '..')",
         "message": "must be a path relative to the volume's root, without '..'"}]))]
    pub path: Option<String>,
    /// Up to 64 files, folders and patterns within the volume, in the order of their rows, in place of `path`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 512)), extend("x-kubernetes-validations" = [
        {"rule": "self.all(p, !p.startsWith('/') && !p.matches('(^|/)[.][.](/|$)'))",
         "message": "must be paths relative to the volume's root, without '..'"}]))]
    pub paths: Vec<String>,
    /// Format of the files. Default: by the extension of `path`, or of `paths`; needed for a folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// What separates the fields of CSV: one ASCII character, such as `;` or `"\t"`. Default `,`; of a `.tsv` file the tab.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1), regex(pattern = r"^[\t -!#-~]$"), extend("x-kubernetes-validations" = [
        {"rule": "self.matches('^[\\\\t -!#-~]$')", "message": "must be one ASCII character, but no quote and no line break"}]))]
    pub delimiter: Option<String>,
    /// Most lines of CSV or JSON Lines that may be no rows of their format. Such a line stays a row, without a score. Default 0.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub max_bad_rows: i32,
    /// The caller's name for this content, part of the key under which scores are kept. Change it when the data change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub revision: Option<String>,
    /// Which rows are trained on and ranked: those that meet all of these conditions, at most 16. Default:
    /// all rows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 16))]
    pub filter: Vec<FilterSpec>,
    /// Rows that are never trained on, for validation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<SplitSpec>,
    /// Column that says to which group (class, domain, annotator, client) a row belongs. At most 256 distinct values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub group_column: Option<String>,
}

/// File format of a data set.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum Format {
    /// Apache Parquet.
    Parquet,
    /// Values separated by commas, or by `delimiter`, with a header line.
    Csv,
    /// One JSON object per line.
    JsonLines,
}

/// A volume: exactly one source of `core/v1`.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "[has(self.persistentVolumeClaim), has(self.nfs), has(self.csi), has(self.hostPath), has(self.configMap), has(self.image)].exists_one(x, x)",
     "message": "exactly one of `persistentVolumeClaim`, `nfs`, `csi`, `hostPath`, `configMap` and `image` must be set"}
]))]
pub struct VolumeSpec {
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
    /// A folder of the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::core::<HostPathVolumeSource>")]
    pub host_path: Option<HostPathVolumeSource>,
    /// A ConfigMap in the namespace of the job, for data of up to 1 MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::core::<ConfigMapVolumeSource>")]
    pub config_map: Option<ConfigMapVolumeSource>,
    /// An OCI image or artefact that holds the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::core::<ImageVolumeSource>")]
    pub image: Option<ImageVolumeSource>,
}
