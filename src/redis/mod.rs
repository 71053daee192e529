//! A Redis server as the place of a store's files.
//!
//! ```text
//! <prefix>file:<name>       hash {id, bytes, parts}: the file as it is now
//! <prefix>part:<id>:<n>     bytes n·4 MiB to before (n+1)·4 MiB of the content that was put under that id
//! <prefix>folder:<folder>   set of the names in a folder
//! <prefix>ids               the last id
//! ```
//!
//! A content is put under an id of its own, with a time to live; then one transaction makes its parts stay, names them as the file,
//! and gives those of the content before an hour for who is still reading them. So a writer that dies leaves nothing for long.

mod connection;

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use redis::{Pipeline, pipe};

use crate::store::Remote;
use crate::store::place::Redis as Place;
use connection::Server;

pub use connection::{Credentials, OpenError};

/// Bytes of a part: small beside what a server buffers for a client, large beside what a request costs.
const PART: usize = 4 << 20;
/// Seconds that the parts of a content live until it is whole.
const UNFINISHED_SECONDS: u64 = 24 * 60 * 60;
/// Seconds for who reads a content that was replaced.
const REPLACED_SECONDS: u64 = 60 * 60;

/// Where the files of a store are kept. Nothing is asked yet; a request is tried again for `patience`.
///
/// # Errors
/// When the URL is none.
pub fn open(place: &Place, credentials: Credentials, patience: Duration) -> Result<Arc<dyn Remote>, OpenError> {
    Ok(Arc::new(Files {
        server: Server::new(&place.url, credentials, patience)?,
        prefix: place.key_prefix.clone(),
    }))
}

#[derive(Debug)]
struct Files {
    server: Server,
    prefix: String,
}

/// The content of a file: id, bytes, parts.
type Content = (u64, u64, u64);

impl Files {
    fn file(&self, name: &str) -> String {
        format!("{}file:{name}", self.prefix)
    }

    fn part(&self, id: u64, number: u64) -> String {
        format!("{}part:{id}:{number}", self.prefix)
    }

    /// Key of the folder's names, and the file's own.
    fn place<'a>(&self, name: &'a str) -> (String, &'a str) {
        let (folder, own) = name.rsplit_once('/').unwrap_or(("", name));
        (format!("{}folder:{folder}", self.prefix), own)
    }

    fn content(&self, name: &str) -> io::Result<Option<Content>> {
        let key = self.file(name);
        let found: (Option<u64>, Option<u64>, Option<u64>) = self.server.ask(|connection| {
            let fields = ["id", "bytes", "parts"];
            redis::cmd("HMGET").arg(&key).arg(&fields).query(connection)
        })?;
        let (id, bytes, parts) = found;
        Ok(id.zip(bytes).zip(parts).map(|((id, bytes), parts)| (id, bytes, parts)))
    }

    fn existing(&self, name: &str) -> io::Result<Content> {
        let missing = || io::Error::new(io::ErrorKind::NotFound, "there is no such file");
        self.content(name)?.ok_or_else(missing)
    }

    /// Puts the parts of a content that is not named yet; gives how many there are, and their bytes.
    fn put_parts(&self, id: u64, content: &mut File) -> io::Result<(u64, u64)> {
        let (mut parts, mut bytes) = (0, 0);
        loop {
            let mut part = Vec::new();
            (&mut *content).take(PART as u64).read_to_end(&mut part)?;
            if part.is_empty() {
                return Ok((parts, bytes));
            }
            let key = self.part(id, parts);
            self.server.ask(|connection| {
                let mut set = redis::cmd("SET");
                set.arg(&key)
                    .arg(&part)
                    .arg("EX")
                    .arg(UNFINISHED_SECONDS)
                    .exec(connection)
            })?;
            parts += 1;
            bytes += part.len() as u64;
        }
    }

    /// Parts that nobody finds any more go after a while.
    fn let_go(&self, transaction: &mut Pipeline, content: Option<Content>) {
        let Some((id, _, parts)) = content else { return };
        for number in 0..parts {
            let mut expire = redis::cmd("EXPIRE");
            expire.arg(self.part(id, number)).arg(REPLACED_SECONDS);
            transaction.add_command(expire).ignore();
        }
    }

    fn read(&self, (id, bytes, parts): Content, out: &mut File) -> io::Result<()> {
        let mut came = 0;
        for number in 0..parts {
            let key = self.part(id, number);
            let part: Option<Vec<u8>> = self
                .server
                .ask(|connection| redis::cmd("GET").arg(&key).query(connection))?;
            let Some(part) = part else { return Err(torn()) };
            out.write_all(&part)?;
            came += part.len() as u64;
        }
        if came == bytes { Ok(()) } else { Err(torn()) }
    }
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
            let read = self.read(content, out);
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
        Ok(self.existing(name)?.1)
    }

    fn put(&self, name: &str, content: &mut File) -> io::Result<()> {
        let ids = format!("{}ids", self.prefix);
        let id: u64 = self
            .server
            .ask(|connection| redis::cmd("INCR").arg(&ids).query(connection))?;
        let (parts, bytes) = self.put_parts(id, content)?;
        let before = self.content(name)?;
        let (folder, own) = self.place(name);
        let kept: Vec<u64> = self.server.ask(|connection| {
            let mut transaction = pipe();
            transaction.atomic();
            for number in 0..parts {
                transaction.cmd("PERSIST").arg(self.part(id, number));
            }
            let fields = [("id", id), ("bytes", bytes), ("parts", parts)];
            transaction.cmd("HSET").arg(self.file(name)).arg(&fields).ignore();
            transaction.cmd("SADD").arg(&folder).arg(own).ignore();
            self.let_go(&mut transaction, before.filter(|before| before.0 != id));
            transaction.query(connection)
        })?;
        // A part that was kept already: this was asked twice, because the answer was lost. Or it is gone.
        if kept.contains(&0) {
            let all: Vec<String> = (0..parts).map(|number| self.part(id, number)).collect();
            let there: u64 = self
                .server
                .ask(|connection| redis::cmd("EXISTS").arg(&all).query(connection))?;
            if there < parts {
                return Err(torn());
            }
        }
        Ok(())
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let key = format!("{}folder:{folder}", self.prefix);
        self.server
            .ask(|connection| redis::cmd("SMEMBERS").arg(&key).query(connection))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let before = self.content(name)?;
        let (folder, own) = self.place(name);
        self.server.ask(|connection| {
            let mut transaction = pipe();
            transaction.atomic();
            transaction.cmd("DEL").arg(self.file(name)).ignore();
            transaction.cmd("SREM").arg(&folder).arg(own).ignore();
            self.let_go(&mut transaction, before);
            transaction.exec(connection)
        })
    }
}
