//! One connection to a Redis server, made again when it is lost.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use redis::{
    Client, ClientTlsConfig, Connection, ConnectionAddr, ErrorKind, IntoConnectionInfo as _, RedisConnectionInfo,
    RedisError, RedisResult, ServerErrorKind, TlsCertificates,
};

use crate::store::place::Server;
use crate::telemetry::client::choose_cryptography;

/// Time for a connection, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for an answer: a part of 4 MiB on a slow line.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// The same for who does not wait long.
const SHORT_ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

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
            (None, None) => None,
            _ => {
                let words = "the Secret has one of `tls.crt` and `tls.key`; it must have both or none";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, words));
            }
        };
        Ok(TlsCertificates {
            client_tls,
            root_cert: self.read("ca.crt")?,
        })
    }
}

/// A server, asked by one thread after the other.
pub(super) struct Line {
    at: ConnectionAddr,
    database: i64,
    credentials: Credentials,
    patience: Duration,
    connection: Mutex<Option<Connection>>,
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Line({})", self.at)
    }
}

impl Line {
    pub(super) fn new(server: &Server, credentials: Credentials, patience: Duration) -> Self {
        let (host, port) = (server.host.clone(), server.port);
        let at = match server.has_tls {
            true => ConnectionAddr::TcpTls {
                host,
                port,
                insecure: false,
                tls_params: None,
            },
            false => ConnectionAddr::Tcp(host, port),
        };
        Self {
            at,
            database: i64::from(server.database),
            credentials,
            patience,
            connection: Mutex::new(None),
        }
    }

    /// Asks, again and again for as long as waiting may help. What is asked must do no harm when it is asked twice.
    ///
    /// # Errors
    /// The last answer's.
    #[expect(
        clippy::disallowed_methods,
        reason = "waits for a server, which has no clock of ours"
    )]
    pub(super) fn ask<T>(&self, question: impl Fn(&mut Connection) -> RedisResult<T>) -> io::Result<T> {
        let (begin, mut pause) = (Instant::now(), FIRST_PAUSE);
        // One that was kept may have been dropped on the way since: that says nothing of the server.
        let kept = self.kept().take();
        if let Some(kept) = kept
            && let Ok(answer) = self.ask_on(kept, &question)
        {
            return Ok(answer);
        }
        loop {
            let error = match self.connect().and_then(|new| self.ask_on(new, &question)) {
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

    fn kept(&self) -> MutexGuard<'_, Option<Connection>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One that fails is not used again: an answer that comes late would be taken for that of the next question.
    fn ask_on<T>(
        &self,
        mut connection: Connection,
        question: impl Fn(&mut Connection) -> RedisResult<T>,
    ) -> io::Result<T> {
        let answer = question(&mut connection).map_err(|error| io_error(&error))?;
        *self.kept() = Some(connection);
        Ok(answer)
    }

    fn connect(&self) -> io::Result<Connection> {
        choose_cryptography();
        let mut settings = RedisConnectionInfo::default().set_db(self.database);
        if let Some(password) = self.credentials.word("password")? {
            settings = settings.set_password(password);
        }
        if let Some(name) = self.credentials.word("username")? {
            settings = settings.set_username(name);
        }
        let answer_timeout = match self.patience < ANSWER_TIMEOUT {
            true => SHORT_ANSWER_TIMEOUT,
            false => ANSWER_TIMEOUT,
        };
        let at = self
            .at
            .clone()
            .into_connection_info()
            .map_err(|error| io_error(&error))?;
        let at = at.set_redis_settings(settings);
        let client = match &self.at {
            ConnectionAddr::TcpTls { .. } => Client::build_with_tls(at, self.credentials.certificates()?),
            _ => Client::open(at),
        };
        let connection = client.and_then(|client| {
            let connection = client.get_connection_with_timeout(CONNECT_TIMEOUT)?;
            connection.set_read_timeout(Some(answer_timeout))?;
            connection.set_write_timeout(Some(answer_timeout))?;
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
            Some("MISCONF" | "NOREPLICAS") => io::ErrorKind::ConnectionAborted,
            _ if error.to_string().contains("max number of clients") => io::ErrorKind::ConnectionAborted,
            _ => io::ErrorKind::InvalidInput,
        },
        ErrorKind::InvalidClientConfig | ErrorKind::UnexpectedReturnType => io::ErrorKind::InvalidInput,
        _ => io::ErrorKind::ConnectionAborted,
    };
    io::Error::new(kind, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

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
