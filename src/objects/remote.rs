//! Objects as the files of a store.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;

use bytes::Bytes;
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt as _, WriteMultipart};

use super::disk::ObjectDisk;
use super::error::io_error;
use super::file::ObjectFile;
use super::runtime::wait;
use crate::scoring::dataset::{Disk, EntryKind};
use crate::store::Remote;

/// Bytes of a request; what is longer is put in parts. A store takes 10,000 parts, so the longest file has 78 GiB.
const PART: usize = 8 << 20;
/// Parts that are on their way at the same time.
const AT_ONCE: usize = 4;

impl Remote for ObjectDisk {
    fn get(&self, name: &str, out: &mut File) -> io::Result<()> {
        let mut object = self.object(Path::new(name))?;
        let mut bytes = object.bytes;
        let mut read = io::copy(&mut ObjectFile::new(object), out);
        if matches!(&read, Err(error) if error.kind() == io::ErrorKind::InvalidData) {
            // Somebody put it again meanwhile: the new one is as good.
            out.rewind()?;
            out.set_len(0)?;
            object = self.object(Path::new(name))?;
            bytes = object.bytes;
            read = io::copy(&mut ObjectFile::new(object), out);
        }
        let copied = read?;
        if copied == bytes {
            Ok(())
        } else {
            let words = format!("{copied} of {bytes} bytes came");
            Err(io::Error::new(io::ErrorKind::ConnectionAborted, words))
        }
    }

    fn bytes(&self, name: &str) -> io::Result<u64> {
        Ok(self.object(Path::new(name))?.bytes)
    }

    fn put(&self, name: &str, content: &mut File) -> io::Result<()> {
        let key = self.key(Path::new(name))?;
        let first = part(content)?;
        if first.len() < PART {
            wait(self.client().put(&key, first.into())).map_err(|error| io_error(&error))?;
            return Ok(());
        }
        wait(put_parts(&**self.client(), &key, first, content))
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let entries = match Disk::list(self, Path::new(folder)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            entries => entries?,
        };
        let files = entries.into_iter().filter(|entry| entry.kind == EntryKind::File);
        Ok(files.filter_map(|entry| entry.name.into_string().ok()).collect())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let key = self.key(Path::new(name))?;
        match wait(self.client().delete(&key)) {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(io_error(&error)),
        }
    }
}

/// The next bytes, [`PART`] of them unless the content ends.
fn part(content: &mut File) -> io::Result<Bytes> {
    let mut part = Vec::new();
    content.take(PART as u64).read_to_end(&mut part)?;
    Ok(part.into())
}

/// The object appears with its last part. One that is not put to its end leaves nothing that can be read; the parts that came are
/// removed now, or by the bucket's own rule.
async fn put_parts(client: &dyn ObjectStore, key: &Key, first: Bytes, content: &mut File) -> io::Result<()> {
    let upload = client.put_multipart(key).await.map_err(|error| io_error(&error))?;
    let mut upload = WriteMultipart::new_with_chunk_size(upload, PART);
    let mut next = first;
    while !next.is_empty() {
        let ready = upload
            .wait_for_capacity(AT_ONCE)
            .await
            .map_err(|error| io_error(&error));
        upload.put(next);
        next = match ready.and_then(|()| part(content)) {
            Ok(part) => part,
            Err(error) => {
                drop(upload.abort().await);
                return Err(error);
            }
        };
    }
    upload.finish().await.map_err(|error| io_error(&error))?;
    Ok(())
}
