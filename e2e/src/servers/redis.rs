//! A real Redis server.

use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Reach, certificates, free_port, program, start, text};
use crate::Result;
use crate::process::Process;

/// Its password.
pub const PASSWORD: &str = "not-a-secret-of-anybody";

/// A server with a password. It keeps its keys while it is stopped.
pub struct Redis {
    reach: Reach,
    folder: TempDir,
    port: u16,
    process: Option<Process>,
    has_tls: bool,
}

impl Redis {
    /// Starts one that those reach.
    ///
    /// # Errors
    /// When it ends at once.
    pub async fn start(reach: Reach) -> Result<Self> {
        Self::with(reach, false).await
    }

    /// One that speaks TLS, with a certificate of an authority that nobody else knows, and that asks for one of its clients.
    ///
    /// # Errors
    /// When it ends at once.
    pub async fn start_with_tls(reach: Reach) -> Result<Self> {
        Self::with(reach, true).await
    }

    async fn with(reach: Reach, has_tls: bool) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        std::fs::create_dir(folder.path().join("secret"))?;
        std::fs::write(folder.path().join("secret/password"), PASSWORD)?;
        if has_tls {
            let (authority, certificate, key) = certificates(reach.address())?;
            std::fs::write(folder.path().join("secret/ca.crt"), authority)?;
            std::fs::write(folder.path().join("secret/username"), "scores\n")?;
            // Who asks shows the certificate of the same authority.
            for (ours, theirs, content) in [("certificate", "tls.crt", certificate), ("key", "tls.key", key)] {
                std::fs::write(folder.path().join(ours), &content)?;
                std::fs::write(folder.path().join("secret").join(theirs), content)?;
            }
        }
        let mut server = Self {
            reach,
            folder,
            port: free_port()?,
            process: None,
            has_tls,
        };
        server.go_on().await?;
        Ok(server)
    }

    /// Kills it: SIGKILL.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Starts it, and waits until it takes connections.
    ///
    /// # Errors
    /// When it ends at once.
    pub async fn go_on(&mut self) -> Result {
        let at = |name: &str| text(&self.folder.path().join(name));
        let (address, port) = (self.reach.address(), self.port.to_string());
        let mut command = self.reach.command(&program("REDIS_SERVER")?);
        command.args(["--bind", &address.to_string(), "--requirepass", PASSWORD]);
        // What was answered is on the disk.
        command.args([
            "--dir",
            &at(""),
            "--save",
            "",
            "--appendonly",
            "yes",
            "--appendfsync",
            "always",
        ]);
        if self.has_tls {
            command.args(["--port", "0", "--tls-port", &port, "--tls-auth-clients", "yes"]);
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
        let log = self.folder.path().join("log");
        self.process = Some(start("redis-server", &mut command, log, (address, self.port)).await?);
        Ok(())
    }

    /// What a job's `store.redis.url` says.
    pub fn url(&self) -> String {
        let scheme = if self.has_tls { "rediss" } else { "redis" };
        format!("{scheme}://{}:{}/3", self.reach.address(), self.port)
    }

    /// What `CURRICULUM_STORE` says.
    pub fn place(&self) -> Value {
        json!({"redis": {"url": self.url(), "keyPrefix": "test:"}})
    }

    /// The folder that a Secret is.
    pub fn secret(&self) -> PathBuf {
        self.folder.path().join("secret")
    }
}
