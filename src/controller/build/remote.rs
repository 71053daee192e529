//! What a container needs to ask a store that no volume holds.

use k8s_openapi::api::core::v1::{Container, EnvFromSource};

use super::pod::env;
use super::volumes::{self, Volumes, mount_read_only};
use crate::api::names::{ENV_STORE, ENV_STORE_PREFIX, MOUNT_CREDENTIALS};
use crate::controller::validate::{RemoteCredentials, Run};

/// Tells the container where the store is, and gives it the credentials. Nothing of a store on a volume.
///
/// The names of the variables of an object store get a beginning of their own: those of the data set are others.
pub(super) fn let_ask(run: &Run, volumes: &mut Volumes, container: &mut Container) {
    let Some(remote) = run.store.remote() else { return };
    // A place is made of words: there is nothing that JSON cannot hold.
    let place = serde_json::to_string(&remote.place).unwrap_or_default();
    container.env.get_or_insert_default().insert(0, env(ENV_STORE, &place));
    match &remote.credentials {
        RemoteCredentials::Variables(sources) => {
            let own = sources.iter().map(|source| EnvFromSource {
                prefix: Some(format!(
                    "{ENV_STORE_PREFIX}{}",
                    source.prefix.as_deref().unwrap_or_default()
                )),
                ..source.clone()
            });
            let own: Vec<_> = own.collect();
            if !own.is_empty() {
                container.env_from.get_or_insert_default().extend(own);
            }
        }
        RemoteCredentials::Secret(_) => {
            if let Some(secret) = volumes::credentials(run) {
                let mount = mount_read_only(volumes.add_once(secret), MOUNT_CREDENTIALS);
                container.volume_mounts.get_or_insert_default().push(mount);
            }
        }
    }
}
