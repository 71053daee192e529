//! The CurriculumJob of a file, and the ConfigMaps beside it.

use std::collections::BTreeMap;
use std::path::Path;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use serde_json::Value;

use super::error::LocalError;
use crate::api::job::CurriculumJob;

/// Namespace of a job whose manifest names none.
const NAMESPACE: &str = "local";

/// What a file holds.
pub(super) struct Manifest {
    /// The CurriculumJob.
    pub(super) job: CurriculumJob,
    /// ConfigMaps, by name.
    pub(super) config_maps: BTreeMap<String, ConfigMap>,
}

/// Reads the one CurriculumJob of a file, or of standard input for `-`, and the ConfigMaps there; other objects are left alone.
///
/// # Errors
/// When there is not exactly one, or a field is not as the API has it.
pub(super) fn read(path: &Path) -> Result<Manifest, LocalError> {
    let wrong = |problem: String| LocalError::Manifest {
        path: path.to_owned(),
        problem,
    };
    let text = match path.as_os_str() == "-" {
        true => std::io::read_to_string(std::io::stdin()),
        false => std::fs::read_to_string(path),
    };
    let text = text.map_err(|source| LocalError::io(path, source))?;
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text).map_err(|error| wrong(error.to_string()))?;
    let (maps, others): (Vec<_>, Vec<_>) = documents
        .into_iter()
        .partition(|document| document["kind"] == "ConfigMap");
    let mut config_maps = BTreeMap::new();
    for map in maps {
        let map: ConfigMap = serde_path_to_error::deserialize(map)
            .map_err(|error| wrong(format!("ConfigMap: `{}`: {}", error.path(), error.inner())))?;
        let keys = map.data.iter().flat_map(BTreeMap::keys);
        let mut keys = keys.chain(map.binary_data.iter().flat_map(BTreeMap::keys));
        if let Some(key) = keys.find(|key| !is_key(key)) {
            return Err(wrong(format!(
                "ConfigMap '{}': the key '{key}' must have letters, digits, '-', '_' and '.' only, and not begin with '..'",
                map.name_any()
            )));
        }
        config_maps.insert(map.name_any(), map);
    }
    let mut jobs = others
        .into_iter()
        .filter(|document| document["kind"] == "CurriculumJob");
    let (Some(job), None) = (jobs.next(), jobs.next()) else {
        return Err(wrong("must have exactly one object of kind CurriculumJob".to_owned()));
    };
    let mut job: CurriculumJob = serde_path_to_error::deserialize(job)
        .map_err(|error| wrong(format!("`{}`: {}", error.path(), error.inner())))?;
    if job.name_any().is_empty() {
        return Err(wrong("`metadata.name` must be set".to_owned()));
    }
    if job.spec.suspend {
        return Err(wrong(
            "`spec.suspend` is true, so nothing would run; leave it out".to_owned(),
        ));
    }
    job.metadata.namespace.get_or_insert_with(|| NAMESPACE.to_owned());
    job.status = None;
    // The folder is the user's, who removes it.
    job.spec.ttl_seconds_after_finished = None;
    Ok(Manifest { job, config_maps })
}

/// Whether the API server would take it, and no file leaves its folder.
fn is_key(key: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !key.is_empty() && key != "." && !key.starts_with("..") && key.chars().all(fits)
}
