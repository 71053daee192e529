//! The container that copies a data set's objects to the node, for programs that read paths.

use k8s_openapi::api::core::v1::{Container, EnvFromSource, VolumeMount};

use super::{
    Settings, key,
    pod::{FALLBACK_TO_LOGS, env, own_container, requests},
    volumes::{self, mount},
};
use crate::{
    api::names::MOUNT_DATASET,
    controller::validate::ObjectStore,
    scoring::task::{TASK_ENV, Task},
};

/// Name of the container; the user's own init containers have others.
const NAME: &str = "curriculum-copy";

/// Which files are copied. With the mount of the scores' store they are those that were inspected.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Wanted {
    /// Those with rows of the pod's shard.
    OfShard(VolumeMount),
    /// All.
    All(Option<VolumeMount>),
}

/// An init container that copies to the volume of the data set.
pub(super) fn container(settings: &Settings, store: &ObjectStore, task: &Task, wanted: Wanted) -> Container {
    let mut args = vec![
        "fetch".to_owned(),
        format!("--to={MOUNT_DATASET}"),
        format!("--size-limit={}", store.size_limit.0),
    ];
    let of_store = match wanted {
        Wanted::OfShard(mount) => {
            args.push("--of-shard".to_owned());
            Some(mount)
        }
        Wanted::All(mount) => mount,
    };
    let mounts = std::iter::once(mount(volumes::DATASET.to_owned(), MOUNT_DATASET)).chain(of_store);
    Container {
        env: Some(vec![env(TASK_ENV, &key::value(task).to_string())]),
        env_from: env_from(store),
        resources: Some(requests("100m", "128Mi")),
        termination_message_policy: Some(FALLBACK_TO_LOGS.to_owned()),
        volume_mounts: Some(mounts.collect()),
        ..own_container(settings, NAME, args)
    }
}

/// The credentials, for a container that talks to the store.
pub(super) fn env_from(store: &ObjectStore) -> Option<Vec<EnvFromSource>> {
    Some(store.env_from.clone()).filter(|list| !list.is_empty())
}
