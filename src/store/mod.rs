//! Files that pods share, each whole or absent: on a volume, or kept by a remote.

mod error;
pub mod scratch;
mod shared;

use std::fs;
use std::path::Path;

use serde::de::DeserializeOwned;

pub use error::StoreError;
pub use shared::{Remote, Shared};

/// Reads a JSON document.
///
/// # Errors
/// [`StoreError::Io`] when it cannot be read, [`StoreError::Content`] when it is something else.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, StoreError> {
    let bytes = fs::read(path).map_err(|e| StoreError::io("read", path, e))?;
    serde_json::from_slice(&bytes).map_err(|e| StoreError::content(path, e))
}
