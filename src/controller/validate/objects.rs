//! `dataset.objectStore`: an address, and no server of its own where the address has one.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::run::ObjectStore;
use super::{Failure, refused};
use crate::api::object_store::ObjectStoreSpec;
use crate::objects::address::{Address, Service};
use crate::scoring::quantity::bytes_of;
use crate::store::place::Objects;

const DEFAULT_SIZE: &str = "50Gi";
const FIELD: &str = "dataset.objectStore";

pub(super) fn objects(spec: &ObjectStoreSpec) -> Result<ObjectStore, Failure> {
    let address = Address::parse(&spec.url).or_else(|error| refused(format!("`{FIELD}.url` {error}")))?;
    if spec.region.is_some() && !matches!(address.service, Service::S3(_)) {
        return refused(format!(
            "`{FIELD}.region` must be left out where `url` does not begin with 's3://'"
        ));
    }
    if spec.endpoint.is_some() && matches!(address.service, Service::Web(_)) {
        return refused(format!(
            "`{FIELD}.endpoint` must be left out where `url` names the server itself"
        ));
    }
    let size_limit = spec
        .size_limit
        .clone()
        .unwrap_or_else(|| Quantity(DEFAULT_SIZE.to_owned()));
    if bytes_of(&size_limit.0).is_none_or(|bytes| bytes == 0) {
        return refused(format!(
            "`{FIELD}.sizeLimit` is '{}'; it must be a size greater than 0, such as '50Gi'",
            size_limit.0
        ));
    }
    Ok(ObjectStore {
        place: Objects {
            url: spec.url.clone(),
            endpoint: spec.endpoint.clone(),
            region: spec.region.clone(),
        },
        env_from: spec.env_from.clone(),
        trainer_reads: spec.trainer_reads,
        size_limit,
    })
}
