//! An object store as the disk that data sets are read from.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use object_store::path::Path as Key;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt as _};

use super::address::{Address, Service};
use super::error::io_error;
use super::file::ObjectFile;
use super::hub::Hub;
use super::runtime::wait;
use crate::scoring::dataset::{Disk, Entry, EntryKind, Found, Input};

/// Objects below an address, by their paths relative to it.
#[derive(Debug)]
pub(super) struct ObjectDisk {
    address: Address,
    client: Arc<dyn ObjectStore>,
    hub: Option<Hub>,
}

/// An object as it is now.
#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) client: Arc<dyn ObjectStore>,
    pub(super) key: Key,
    pub(super) bytes: u64,
    pub(super) modified: Option<Timestamp>,
    /// What tells this content from another, in the words of the store.
    pub(super) tag: Option<String>,
}

impl ObjectDisk {
    pub(super) fn new(address: Address, client: Arc<dyn ObjectStore>, hub: Option<Hub>) -> Self {
        Self { address, client, hub }
    }

    /// Whether objects can be put there.
    pub(super) fn takes_objects(&self) -> bool {
        matches!(
            self.address.service,
            Service::S3(_) | Service::Google(_) | Service::Azure(_)
        )
    }

    pub(super) fn client(&self) -> &Arc<dyn ObjectStore> {
        &self.client
    }

    pub(super) fn key(&self, path: &Path) -> io::Result<Key> {
        let text = path.to_str().ok_or(io::ErrorKind::InvalidInput)?;
        Key::parse(self.address.key(text)).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
    }

    /// The object at a path.
    pub(super) fn object(&self, path: &Path) -> io::Result<Object> {
        let key = self.key(path)?;
        let (bytes, modified, tag) = match &self.hub {
            // What it says of a file it says of the folder that holds it, and asks for no second answer.
            Some(hub) => (hub.bytes(key.as_ref())?, None, None),
            None => {
                let meta = wait(self.client.head(&key)).map_err(|error| io_error(&error))?;
                (meta.size, modified(&meta), meta.e_tag)
            }
        };
        Ok(Object {
            client: Arc::clone(&self.client),
            key,
            bytes,
            modified,
            // A weak tag may not be asked for again.
            tag: tag.filter(|tag| !tag.starts_with("W/")),
        })
    }
}

/// A web server that does not say so says 1970.
fn modified(meta: &ObjectMeta) -> Option<Timestamp> {
    let seconds = meta.last_modified.timestamp();
    Timestamp::new(seconds, 0)
        .ok()
        .filter(|time| *time > Timestamp::UNIX_EPOCH)
}

impl Disk for ObjectDisk {
    fn look(&self, path: &Path) -> io::Result<Found> {
        let missing = match self.object(path) {
            Ok(object) => {
                return Ok(Found {
                    bytes: object.bytes,
                    modified: object.modified,
                    is_file: true,
                });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => error,
            Err(error) => return Err(error),
        };
        match self.list(path) {
            Ok(entries) if !entries.is_empty() => Ok(Found {
                bytes: 0,
                modified: None,
                is_file: false,
            }),
            Err(error) if !matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::NotFound) => Err(error),
            _ => Err(missing),
        }
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<Entry>> {
        let key = self.key(folder)?;
        if let Some(hub) = &self.hub {
            return hub.list(key.as_ref());
        }
        if let Service::Web(_) = self.address.service {
            let words = "a web server does not tell which files it has; name each one in `dataset.paths`";
            return Err(io::Error::new(io::ErrorKind::Unsupported, words));
        }
        let found = wait(self.client.list_with_delimiter(Some(&key))).map_err(|error| io_error(&error))?;
        let entry = |key: &Key, kind| {
            let name = key.filename()?;
            Some(Entry {
                name: OsString::from(name),
                kind,
            })
        };
        let folders = found.common_prefixes.iter().map(|key| entry(key, EntryKind::Folder));
        // An empty object may stand for the folder itself.
        let files = found.objects.iter().filter(|object| object.location != key);
        let files = files.map(|object| entry(&object.location, EntryKind::File));
        Ok(folders.chain(files).flatten().collect())
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Input>> {
        Ok(Box::new(ObjectFile::new(self.object(path)?)))
    }
}
