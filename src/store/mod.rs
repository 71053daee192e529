//! Files that pods share, each whole or absent: on a volume, or kept by a remote.

mod error;
pub mod place;
pub mod scratch;
mod shared;

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde::de::DeserializeOwned;

pub use error::StoreError;
#[cfg(test)]
pub(crate) use shared::tests::Pods;
pub use shared::{Remote, Shared};

/// Seconds for which what is asked of a server is tried again, in place of [`PATIENCE`].
const PATIENCE_ENV: &str = "CURRICULUM_RETRY_SECONDS";
/// A server that is restarted comes back within that, and credentials live longer.
const PATIENCE: Duration = Duration::from_secs(180);

/// For how long what is asked of a server is tried again, unless somebody knows better.
pub fn patience() -> Duration {
    let seconds = std::env::var(PATIENCE_ENV).ok().and_then(|text| text.parse().ok());
    seconds.map_or(PATIENCE, Duration::from_secs)
}

/// Reads a JSON document.
///
/// # Errors
/// [`StoreError::Io`] when it cannot be read, [`StoreError::Content`] when it is something else.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, StoreError> {
    let bytes = fs::read(path).map_err(|e| StoreError::io("read", path, e))?;
    serde_json::from_slice(&bytes).map_err(|e| StoreError::content(path, e))
}
