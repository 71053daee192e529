//! Where a command finds the files that pods share.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use crate::api::names::{ENV_CREDENTIALS, ENV_STORE, MOUNT_CREDENTIALS};
use crate::store::Shared;
use crate::store::place::Place;

/// Arguments of every command that has a store.
#[derive(Args, Debug)]
pub(crate) struct StoreArgs {
    /// Where the store's files are kept, as JSON, such as {"redis":{"url":"redis://cache:6379/0","keyPrefix":"curriculum:"}}. The folder of the
    /// store holds copies of them then. Default: the folder is the store.
    #[arg(long = "store-place", value_name = "JSON", env = ENV_STORE, value_parser = |text: &str| serde_json::from_str::<Place>(text))]
    place: Option<Place>,
    /// Folder with the files `password`, `username`, `ca.crt`, `tls.crt` and `tls.key` for a store in Redis, each where it is needed.
    #[arg(long = "store-credentials", value_name = "DIR", env = ENV_CREDENTIALS, default_value = MOUNT_CREDENTIALS)]
    credentials: PathBuf,
}

impl StoreArgs {
    /// The store with that folder. What it is asked is tried again for `patience`; `None`: as long as the environment says.
    ///
    /// # Errors
    /// In words, when the place is none that can be asked.
    #[cfg_attr(
        not(any(feature = "objects", feature = "redis")),
        expect(unused_variables, reason = "for those that ask")
    )]
    pub(crate) fn open(&self, root: &Path, patience: Option<Duration>) -> Result<Shared, String> {
        match &self.place {
            None => Ok(Shared::volume(root)),
            #[cfg(feature = "objects")]
            Some(Place::Objects(objects)) => {
                let remote = crate::objects::open_store(objects, patience.unwrap_or_else(crate::store::patience));
                let remote = remote.map_err(|error| format!("`store.objectStore`: {error}"))?;
                Ok(Shared::copies(root, remote))
            }
            #[cfg(feature = "redis")]
            Some(Place::Redis(redis)) => {
                let credentials = crate::redis::Credentials::in_folder(&self.credentials);
                let remote = crate::redis::open(redis, credentials, patience.unwrap_or_else(crate::store::patience));
                let remote = remote.map_err(|error| format!("`store.redis`: {error}"))?;
                Ok(Shared::copies(root, remote))
            }
            #[cfg(not(feature = "objects"))]
            Some(Place::Objects(_)) => {
                Err("`store.objectStore`: this build keeps no scores in object stores".to_owned())
            }
            #[cfg(not(feature = "redis"))]
            Some(Place::Redis(_)) => Err("`store.redis`: this build keeps no scores in Redis".to_owned()),
        }
    }
}
