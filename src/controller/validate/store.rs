//! `store`: a claim, an object store, or Redis.

use k8s_openapi::api::core::v1::PersistentVolumeClaimSpec;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::run::{Remote, RemoteCredentials, Store};
use super::{Failure, refused};
use crate::api::store::{RedisSpec, StoreObjectsSpec, StoreSpec};
use crate::objects::address::{Address, Service};
use crate::store::place::{Objects, Place, Redis};

const STORAGE: &str = "storage";

pub(super) fn store(spec: &StoreSpec) -> Result<Store, Failure> {
    match spec {
        StoreSpec {
            claim_name: Some(name),
            claim_template: None,
            object_store: None,
            redis: None,
        } => Ok(Store::Claim(name.clone())),
        StoreSpec {
            claim_name: None,
            claim_template: None,
            object_store: Some(objects),
            redis: None,
        } => self::objects(objects).map(Store::Remote),
        StoreSpec {
            claim_name: None,
            claim_template: None,
            object_store: None,
            redis: Some(redis),
        } => self::redis(redis).map(Store::Remote),
        StoreSpec {
            claim_name: None,
            claim_template,
            object_store: None,
            redis: None,
        } => Ok(Store::Own(Box::new(own(claim_template.clone().unwrap_or_default())))),
        _ => refused(
            "at most one of `store.claimName`, `store.claimTemplate`, `store.objectStore` and `store.redis` must be set",
        ),
    }
}

/// The claim as `store.claimTemplate` says: by default 1Gi, ReadWriteOnce, of the default storage class.
fn own(mut claim: PersistentVolumeClaimSpec) -> PersistentVolumeClaimSpec {
    claim
        .access_modes
        .get_or_insert_with(|| vec!["ReadWriteOnce".to_owned()]);
    let resources = claim.resources.get_or_insert_default();
    let requests = resources.requests.get_or_insert_default();
    requests
        .entry(STORAGE.to_owned())
        .or_insert_with(|| Quantity("1Gi".to_owned()));
    claim
}

fn objects(spec: &StoreObjectsSpec) -> Result<Remote, Failure> {
    let address = Address::parse(&spec.url).or_else(|error| refused(format!("`store.objectStore.url` {error}")))?;
    match address.service {
        Service::S3(_) => {}
        Service::Google(_) | Service::Azure(_) if spec.region.is_none() => {}
        Service::Google(_) | Service::Azure(_) => {
            return refused("`store.objectStore.region` must be left out where `url` does not begin with 's3://'");
        }
        Service::Web(_) | Service::Hub { .. } => {
            return refused(format!(
                "`store.objectStore.url` is '{}', where nothing can be put; it must be 's3://BUCKET/PREFIX', 'gs://BUCKET/PREFIX' or \
                 'az://CONTAINER/PREFIX'",
                spec.url
            ));
        }
    }
    Ok(Remote {
        place: Place::Objects(Objects {
            url: spec.url.clone(),
            endpoint: spec.endpoint.clone(),
            region: spec.region.clone(),
        }),
        credentials: RemoteCredentials::Variables(spec.env_from.clone()),
    })
}

fn redis(spec: &RedisSpec) -> Result<Remote, Failure> {
    let place = Redis {
        url: spec.url.clone(),
        key_prefix: spec.key_prefix.clone(),
    };
    if let Err(problem) = place.server() {
        return refused(format!("`store.redis`: {problem}"));
    }
    Ok(Remote {
        place: Place::Redis(place),
        credentials: RemoteCredentials::Secret(spec.secret_name.clone()),
    })
}
