//! The container that copies a data set's objects to the node, for programs that read paths.

use k8s_openapi::api::core::v1::{Container, EnvFromSource};

use super::{
    Settings, key,
    pod::{FALLBACK_TO_LOGS, env, own_container, requests},
    volumes::{self, mount},
};
use crate::{
    api::names::MOUNT_DATASET,
    controller::validate::{ObjectStore, Run, Source},
    scoring::task::{TASK_ENV, Task},
};

/// Name of the container; the user's own init containers have others.
const NAME: &str = "curriculum-copy";

/// Which files are copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Those with rows of the pod's shard.
    Shard,
    /// All.
    All,
}

/// An init container that copies to the volume of the data set. What else it mounts is the caller's affair.
pub(super) fn container(settings: &Settings, store: &ObjectStore, task: &Task, wanted: Wanted) -> Container {
    let mut args = vec![
        "fetch".to_owned(),
        format!("--to={MOUNT_DATASET}"),
        format!("--size-limit={}", store.size_limit.0),
    ];
    if wanted == Wanted::Shard {
        args.push("--of-shard".to_owned());
    }
    Container {
        env: Some(vec![env(TASK_ENV, &key::value(task).to_string())]),
        env_from: env_from(store),
        resources: Some(requests("100m", "128Mi")),
        termination_message_policy: Some(FALLBACK_TO_LOGS.to_owned()),
        volume_mounts: Some(vec![mount(volumes::DATASET.to_owned(), MOUNT_DATASET)]),
        ..own_container(settings, NAME, args)
    }
}

/// The credentials, for a container that talks to the store.
pub(super) fn env_from(store: &ObjectStore) -> Option<Vec<EnvFromSource>> {
    Some(store.env_from.clone()).filter(|list| !list.is_empty())
}

/// The object store of a run, if its data set is in one.
pub(super) fn store_of(run: &Run) -> Option<&ObjectStore> {
    match &run.dataset.source {
        Source::Objects(store) => Some(store),
        Source::Volume(_) => None,
    }
}
