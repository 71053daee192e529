//! A real Redis server on a free port of this machine.

use std::env;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use e2e::Result;
use e2e::process::Process;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::server::certificates;

pub(crate) const PASSWORD: &str = "not-a-secret-of-anybody";

/// A server with a password. It keeps its keys while it is stopped.
pub(crate) struct Redis {
    folder: TempDir,
    port: u16,
    process: Option<Process>,
    has_tls: bool,
}

impl Redis {
    pub(crate) async fn start() -> Result<Self> {
        Self::with(false).await
    }

    /// One that speaks TLS, with a certificate of an authority that nobody else knows.
    pub(crate) async fn start_with_tls() -> Result<Self> {
        Self::with(true).await
    }

    async fn with(has_tls: bool) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        std::fs::create_dir(folder.path().join("secret"))?;
        std::fs::write(folder.path().join("secret/password"), PASSWORD)?;
        if has_tls {
            let (authority, certificate, key) = certificates()?;
            std::fs::write(folder.path().join("secret/ca.crt"), authority)?;
            std::fs::write(folder.path().join("secret/username"), "scores\n")?;
            std::fs::write(folder.path().join("certificate"), certificate)?;
            std::fs::write(folder.path().join("key"), key)?;
        }
        let mut server = Self {
            folder,
            port,
            process: None,
            has_tls,
        };
        server.go_on().await?;
        Ok(server)
    }

    /// Kills it: SIGKILL.
    pub(crate) fn stop(&mut self) {
        self.process = None;
    }

    /// Starts it, and waits until it answers.
    pub(crate) async fn go_on(&mut self) -> Result {
        let server =
            env::var("REDIS_SERVER").map_err(|_| "REDIS_SERVER must name a redis-server: run e2e/run-objects")?;
        let at = |name: &str| self.folder.path().join(name).to_string_lossy().into_owned();
        let port = self.port.to_string();
        let mut command = Command::new(server);
        command.args([
            "--bind",
            "127.0.0.1",
            "--requirepass",
            PASSWORD,
            "--dir",
            &at(""),
            "--save",
            "",
        ]);
        // What was answered is on the disk.
        command.args(["--appendonly", "yes", "--appendfsync", "always"]);
        if self.has_tls {
            command.args(["--port", "0", "--tls-port", &port, "--tls-auth-clients", "no"]);
            command.args(["--tls-cert-file", &at("certificate"), "--tls-key-file", &at("key")]);
            command.args(["--tls-ca-cert-file", &at("secret/ca.crt")]);
            // With no more rights than the guide names.
            let rights = ["~test:*", "+@read", "+@write", "+@transaction", "+@connection"];
            command
                .args(["--user", "scores", "on", &format!(">{PASSWORD}")])
                .args(rights);
        } else {
            command.args(["--port", &port]);
        }
        let mut process = Process::spawn("redis-server", &mut command, self.folder.path().join("log"))?;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            if let Some(status) = process.ended()? {
                return Err(format!("redis-server ended with {status}: {}", process.last_lines()).into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.process = Some(process);
        Ok(())
    }

    pub(crate) fn url(&self) -> String {
        let scheme = if self.has_tls { "rediss" } else { "redis" };
        format!("{scheme}://127.0.0.1:{}/3", self.port)
    }

    /// What `CURRICULUM_STORE` says.
    pub(crate) fn place(&self) -> Value {
        json!({"redis": {"url": self.url(), "keyPrefix": "test:"}})
    }

    /// The folder that a Secret is.
    pub(crate) fn secret(&self) -> PathBuf {
        self.folder.path().join("secret")
    }

    /// All that it has written down.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}
