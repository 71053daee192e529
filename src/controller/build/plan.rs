//! The ConfigMap that hands a plan to the sampler.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;

use super::{Visit, metadata, names};
use crate::{controller::validate::JobId, curriculum::plan::Plan};

/// Key of the plan in its ConfigMap, and so the file's name in the sampler.
pub const PLAN_FILE: &str = "plan.json";
/// Annotation of the ConfigMap: digest of the plan as `sha256:…`.
pub const ANNOTATION_PLAN_DIGEST: &str = "curriculum.dev/plan-digest";

/// The plan of that visit, at the plan's first phase. Immutable: a sampler that restarts reads what it read before.
pub fn plan_config_map(of: &JobId, visit: u32, plan: &Plan) -> ConfigMap {
    // A plan has at least one phase, as a curriculum has.
    let phase = plan.phases.first().map_or("", |phase| phase.name.as_str());
    let name = names::plan(&of.name, visit);
    let mut metadata = metadata(of, name, "plan", Some(Visit { number: visit, phase }));
    metadata.annotations = Some(BTreeMap::from([(ANNOTATION_PLAN_DIGEST.to_owned(), plan.digest())]));
    ConfigMap {
        metadata,
        immutable: Some(true),
        data: Some(BTreeMap::from([(PLAN_FILE.to_owned(), plan.to_canonical_json())])),
        binary_data: None,
    }
}
