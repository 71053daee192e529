//! A Redis server as the place of a store's files.
//!
//! ```text
//! <prefix>file:<name>       hash {id, bytes, parts, digest}: the file as it is now
//! <prefix>part:<id>:<n>     bytes n·4 MiB to before (n+1)·4 MiB of the content that was put under that id
//! <prefix>folder:<folder>   set of the names in a folder
//! ```
//!
//! A content is put under a random id, with a time to live; then one transaction, which begins anew when another writer was faster, sees
//! that all parts are there, makes them stay, names them as the file, and gives those of the content before an hour for who is still
//! reading them. So a writer that dies leaves nothing for long, and what there was stays until what replaces it is whole.

mod connection;

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use redis::{Connection, Pipeline, RedisResult};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::curriculum::canonical;
use crate::store::Remote;
use crate::store::place::Redis as Place;
use connection::Line;

pub use connection::Credentials;

/// Bytes of a part: small beside what a server buffers for a client, large beside what a request costs.
const PART: usize = 4 << 20;
/// Seconds that the parts of a content live until it is whole.
const UNFINISHED_SECONDS: u64 = 24 * 60 * 60;
/// Seconds for who reads a content that was replaced.
const REPLACED_SECONDS: u64 = 60 * 60;

/// Where the files of a store are kept. Nothing is asked yet; a request is tried again for `patience`.
///
/// # Errors
/// In words, when the place is none.
pub fn open(place: &Place, credentials: Credentials, patience: Duration) -> Result<Arc<dyn Remote>, String> {
    Ok(Arc::new(Files {
        server: Line::new(&place.server()?, credentials, patience),
        prefix: place.key_prefix.clone(),
    }))
}

#[derive(Debug)]
struct Files {
    server: Line,
    prefix: String,
}

/// The content of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Content {
    id: String,
    bytes: u64,
    parts: u64,
    /// SHA-256 as `sha256:…`.
    digest: String,
}

/// Names of its fields.
const FIELDS: [&str; 4] = ["id", "bytes", "parts", "digest"];

impl Files {
    fn file(&self, name: &str) -> String {
        format!("{}file:{name}", self.prefix)
    }

    fn part(&self, id: &str, number: u64) -> String {
        format!("{}part:{id}:{number}", self.prefix)
    }

    fn parts(&self, content: &Content) -> Vec<String> {
        (0..content.parts)
            .map(|number| self.part(&content.id, number))
            .collect()
    }

    /// Key of the folder's names, and the file's own.
    fn place<'a>(&self, name: &'a str) -> (String, &'a str) {
        let (folder, own) = name.rsplit_once('/').unwrap_or(("", name));
        (format!("{}folder:{folder}", self.prefix), own)
    }

    fn existing(&self, name: &str) -> io::Result<Content> {
        let key = self.file(name);
        let content = self.server.ask(|connection| content(connection, &key))?;
        content.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "there is no such file"))
    }

    /// Puts the parts of a content that is not named yet.
    fn put_parts(&self, file: &mut File) -> io::Result<Content> {
        let mut content = Content {
            id: Uuid::new_v4().simple().to_string(),
            bytes: 0,
            parts: 0,
            digest: String::new(),
        };
        let mut hash = Sha256::new();
        loop {
            let mut part = Vec::new();
            (&mut *file).take(PART as u64).read_to_end(&mut part)?;
            if part.is_empty() {
                content.digest = canonical::digest(hash);
                return Ok(content);
            }
            hash.update(&part);
            let key = self.part(&content.id, content.parts);
            self.server.ask(|connection| {
                let mut set = redis::cmd("SET");
                set.arg(&key)
                    .arg(&part)
                    .arg("EX")
                    .arg(UNFINISHED_SECONDS)
                    .exec(connection)
            })?;
            content.parts += 1;
            content.bytes += part.len() as u64;
        }
    }

    /// Parts that nobody finds any more go after a while.
    fn let_go(&self, transaction: &mut Pipeline, content: Option<&Content>) {
        for part in content.map(|content| self.parts(content)).unwrap_or_default() {
            let mut expire = redis::cmd("EXPIRE");
            expire.arg(part).arg(REPLACED_SECONDS);
            transaction.add_command(expire).ignore();
        }
    }

    fn read(&self, content: &Content, out: &mut File) -> io::Result<()> {
        let mut hash = Sha256::new();
        for key in self.parts(content) {
            let part: Option<Vec<u8>> = self
                .server
                .ask(|connection| redis::cmd("GET").arg(&key).query(connection))?;
            let Some(part) = part else { return Err(torn()) };
            hash.update(&part);
            out.write_all(&part)?;
        }
        if canonical::digest(hash) == content.digest {
            Ok(())
        } else {
            Err(torn())
        }
    }
}

fn content(connection: &mut Connection, file: &str) -> RedisResult<Option<Content>> {
    type Found = (Option<String>, Option<u64>, Option<u64>, Option<String>);
    let found: Found = redis::cmd("HMGET").arg(file).arg(&FIELDS).query(connection)?;
    Ok(match found {
        (Some(id), Some(bytes), Some(parts), Some(digest)) => Some(Content {
            id,
            bytes,
            parts,
            digest,
        }),
        _ => None,
    })
}

/// Whether all of these keys are there.
fn are_there(connection: &mut Connection, keys: &[String]) -> RedisResult<bool> {
    if keys.is_empty() {
        return Ok(true);
    }
    let there: u64 = redis::cmd("EXISTS").arg(keys).query(connection)?;
    Ok(there == keys.len() as u64)
}

/// A file of which not all parts are there.
fn torn() -> io::Error {
    let words = "parts of it are gone: a server that keeps scores must not evict keys (`maxmemory-policy noeviction`)";
    io::Error::new(io::ErrorKind::InvalidData, words)
}

impl Remote for Files {
    fn get(&self, name: &str, out: &mut File) -> io::Result<()> {
        let mut content = self.existing(name)?;
        loop {
            let read = self.read(&content, out);
            let now = match &read {
                Err(error) if error.kind() == io::ErrorKind::InvalidData => self.existing(name)?,
                _ => return read,
            };
            // Not replaced meanwhile: it is torn.
            if now == content {
                return read;
            }
            content = now;
            io::Seek::rewind(out)?;
            out.set_len(0)?;
        }
    }

    fn bytes(&self, name: &str) -> io::Result<u64> {
        let content = self.existing(name)?;
        let parts = self.parts(&content);
        match self.server.ask(|connection| are_there(connection, &parts))? {
            true => Ok(content.bytes),
            false => Err(torn()),
        }
    }

    fn put(&self, name: &str, file: &mut File) -> io::Result<()> {
        let content = self.put_parts(file)?;
        let (key, parts, (folder, own)) = (self.file(name), self.parts(&content), self.place(name));
        let is_named = self.server.ask(|connection| {
            redis::transaction(connection, &[&key], |connection, transaction| {
                let before = self::content(connection, &key)?;
                if !are_there(connection, &parts)? {
                    return Ok(Some(false));
                }
                for part in &parts {
                    transaction.cmd("PERSIST").arg(part).ignore();
                }
                let mut set = redis::cmd("HSET");
                set.arg(&key)
                    .arg(&[("id", &content.id), ("digest", &content.digest)])
                    .arg(&[("bytes", content.bytes), ("parts", content.parts)]);
                transaction.add_command(set).ignore();
                transaction.cmd("SADD").arg(&folder).arg(own).ignore();
                // Asked a second time, because its answer was lost, it is named already.
                self.let_go(transaction, before.as_ref().filter(|before| before.id != content.id));
                let done: Option<()> = transaction.query(connection)?;
                Ok(done.map(|()| true))
            })
        })?;
        if is_named { Ok(()) } else { Err(torn()) }
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let key = format!("{}folder:{folder}", self.prefix);
        self.server
            .ask(|connection| redis::cmd("SMEMBERS").arg(&key).query(connection))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let (key, (folder, own)) = (self.file(name), self.place(name));
        self.server.ask(|connection| {
            redis::transaction(connection, &[&key], |connection, transaction| {
                let before = content(connection, &key)?;
                transaction.cmd("DEL").arg(&key).ignore();
                transaction.cmd("SREM").arg(&folder).arg(own).ignore();
                self.let_go(transaction, before.as_ref());
                transaction.query(connection)
            })
        })
    }
}
