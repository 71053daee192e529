//! One connection to a Redis server, made again when it is lost.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use redis::{
    Client, ClientTlsConfig, Connection, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo as _,
    RedisError, RedisResult, ServerErrorKind, TlsCertificates,
};

use crate::telemetry::client::choose_cryptography;

/// Time for a connection, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for an answer: a part of 4 MiB on a slow line.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// A server that cannot be talked to as it is described.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL is none of a Redis server.
    #[error("`url` is '{0}'; it must be `redis://HOST:PORT/DATABASE`, or `rediss://…` for TLS, without a password")]
    Url(String),
}

/// A folder with the files `password`, and where they are wanted `username`, `ca.crt`, and `tls.crt` with `tls.key`: a Secret as a
/// volume shows it. Each is read for every connection, so that a new password is used as soon as it is there.
#[derive(Clone, Debug)]
pub struct Credentials {
    folder: PathBuf,
}

impl Credentials {
    /// Those in a folder, which may be missing.
    pub fn in_folder(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// A file's content; `None` where there is no such file.
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.folder.join(name)) {
            Ok(content) => Ok(Some(content)),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A word: the line break at the end, which editors put there, is not of it.
    fn word(&self, name: &str) -> io::Result<Option<String>> {
        let Some(content) = self.read(name)? else {
            return Ok(None);
        };
        let text = String::from_utf8(content).map_err(|_| {
            let words = format!("the file `{name}` of the Secret is no text");
            io::Error::new(io::ErrorKind::InvalidInput, words)
        })?;
        Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
    }

    /// What a server is known by, and what it knows this client by.
    fn certificates(&self) -> io::Result<TlsCertificates> {
        let client_tls = match (self.read("tls.crt")?, self.read("tls.key")?) {
            (Some(client_cert), Some(client_key)) => Some(ClientTlsConfig {
                client_cert,
                client_key,
            }),
            _ => None,
        };
        Ok(TlsCertificates {
            client_tls,
            root_cert: self.read("ca.crt")?,
        })
    }
}

/// A server, asked by one thread after the other.
pub(super) struct Server {
    at: ConnectionInfo,
    credentials: Credentials,
    patience: Duration,
    connection: Mutex<Option<Connection>>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Server({})", self.at.addr())
    }
}

impl Server {
    pub(super) fn new(url: &str, credentials: Credentials, patience: Duration) -> Result<Self, OpenError> {
        let at = url
            .into_connection_info()
            .map_err(|_| OpenError::Url(without_password(url)))?;
        let is_tcp = matches!(
            at.addr(),
            ConnectionAddr::Tcp(..) | ConnectionAddr::TcpTls { insecure: false, .. }
        );
        if !is_tcp || at.redis_settings().password().is_some() {
            return Err(OpenError::Url(without_password(url)));
        }
        Ok(Self {
            at,
            credentials,
            patience,
            connection: Mutex::new(None),
        })
    }

    /// Asks, again and again for as long as waiting may help. What is asked must be the same when it is asked twice.
    ///
    /// # Errors
    /// The last answer's.
    #[expect(
        clippy::disallowed_methods,
        reason = "waits for a server, which has no clock of ours"
    )]
    pub(super) fn ask<T>(&self, question: impl Fn(&mut Connection) -> RedisResult<T>) -> io::Result<T> {
        let (begin, mut pause) = (Instant::now(), FIRST_PAUSE);
        loop {
            let error = match self.ask_once(&question) {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let may_pass = error.kind() == io::ErrorKind::ConnectionAborted;
            if !may_pass || begin.elapsed() + pause > self.patience {
                return Err(error);
            }
            thread::sleep(pause);
            pause = (2 * pause).min(LONGEST_PAUSE);
        }
    }

    fn ask_once<T>(&self, question: impl Fn(&mut Connection) -> RedisResult<T>) -> io::Result<T> {
        let mut kept = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        // One that fails is not used again: an answer that comes late would be taken for that of the next question.
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => self.connect()?,
        };
        let answer = question(&mut connection);
        if answer.is_ok() {
            *kept = Some(connection);
        }
        answer.map_err(|error| io_error(&error))
    }

    fn connect(&self) -> io::Result<Connection> {
        choose_cryptography();
        let mut settings = self.at.redis_settings().clone();
        if let Some(password) = self.credentials.word("password")? {
            settings = settings.set_password(password);
        }
        if let Some(name) = self.credentials.word("username")? {
            settings = settings.set_username(name);
        }
        let at = self.at.clone().set_redis_settings(settings);
        let is_tls = matches!(at.addr(), ConnectionAddr::TcpTls { .. });
        let client = match is_tls {
            true => Client::build_with_tls(at, self.credentials.certificates()?),
            false => Client::open(at),
        };
        let connection = client.and_then(|client| {
            let connection = client.get_connection_with_timeout(CONNECT_TIMEOUT)?;
            connection.set_read_timeout(Some(ANSWER_TIMEOUT))?;
            connection.set_write_timeout(Some(ANSWER_TIMEOUT))?;
            Ok(connection)
        });
        connection.map_err(|error| io_error(&error))
    }
}

/// An answer as an error of a file. [`io::ErrorKind::ConnectionAborted`] may pass.
fn io_error(error: &RedisError) -> io::Error {
    let kind = match error.kind() {
        ErrorKind::AuthenticationFailed | ErrorKind::Server(ServerErrorKind::NoPerm) => io::ErrorKind::PermissionDenied,
        ErrorKind::Server(
            ServerErrorKind::BusyLoading
            | ServerErrorKind::TryAgain
            | ServerErrorKind::MasterDown
            | ServerErrorKind::ReadOnly
            | ServerErrorKind::ClusterDown,
        ) => io::ErrorKind::ConnectionAborted,
        ErrorKind::Server(ServerErrorKind::Moved | ServerErrorKind::Ask | ServerErrorKind::CrossSlot) => {
            let words = "the server is one of a Redis cluster; the store needs a server, or a proxy, that has all keys";
            return io::Error::new(io::ErrorKind::Unsupported, words);
        }
        ErrorKind::Server(_) | ErrorKind::Extension => match error.code() {
            Some("NOAUTH" | "WRONGPASS") => io::ErrorKind::PermissionDenied,
            Some("OOM") => io::ErrorKind::StorageFull,
            Some("MISCONF") => io::ErrorKind::ConnectionAborted,
            _ => io::ErrorKind::InvalidInput,
        },
        ErrorKind::InvalidClientConfig | ErrorKind::UnexpectedReturnType => io::ErrorKind::InvalidInput,
        _ => io::ErrorKind::ConnectionAborted,
    };
    io::Error::new(kind, error.to_string())
}

/// The URL without what stands before an `@`.
fn without_password(url: &str) -> String {
    match url.rsplit_once('@') {
        Some((before, host)) => {
            let scheme = before.split_once("://").map_or("", |(scheme, _)| scheme);
            format!("{scheme}://…@{host}")
        }
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_server_and_no_password() {
        let open = |url: &str| Server::new(url, Credentials::in_folder("/nowhere"), Duration::ZERO);
        for url in [
            "redis://cache:6379/2",
            "rediss://cache.example.com",
            "redis://[::1]:6380",
        ] {
            assert!(open(url).is_ok(), "{url}");
        }
        for url in [
            "cache:6379",
            "http://cache",
            "redis://user:secret@cache",
            "unix:///run/redis.sock",
            "rediss://cache/#insecure",
            "redis://cache/two",
        ] {
            let error = open(url).unwrap_err().to_string();
            assert!(error.contains("must be `redis://HOST:PORT/DATABASE`"), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn words_of_a_secret_end_with_their_line() {
        let folder = tempfile::tempdir().unwrap();
        let credentials = Credentials::in_folder(folder.path());
        assert_eq!(credentials.word("password").unwrap(), None);
        fs::write(folder.path().join("password"), "a b\n").unwrap();
        assert_eq!(credentials.word("password").unwrap().as_deref(), Some("a b"));
        fs::write(folder.path().join("password"), [0xff]).unwrap();
        assert_eq!(
            credentials.word("password").unwrap_err().kind(),
            io::ErrorKind::InvalidInput
        );
    }
}
