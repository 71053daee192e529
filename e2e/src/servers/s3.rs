//! A real S3 server: versitygw over a folder.

use std::path::Path;

use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path as Key;
use object_store::{Certificate, ClientOptions, ObjectStoreExt as _, PutPayload};
use tempfile::TempDir;

use super::{Reach, certificates, free_port, program, start, text};
use crate::Result;
use crate::process::Process;

/// The bucket.
pub const BUCKET: &str = "data";
/// Who may do everything.
pub const ACCESS_KEY: &str = "reader";
/// With that key.
pub const SECRET_KEY: &str = "not-a-secret-of-anybody";

/// A server with one bucket. It keeps its objects while it is stopped.
pub struct S3 {
    reach: Reach,
    folder: TempDir,
    port: u16,
    process: Option<Process>,
    /// Certificate of the authority, where it speaks TLS.
    authority: Option<String>,
}

impl S3 {
    /// Starts one that those reach.
    ///
    /// # Errors
    /// When it ends at once.
    pub async fn start(reach: Reach) -> Result<Self> {
        Self::with(reach, None).await
    }

    /// One that speaks TLS, with a certificate of an authority that nobody else knows.
    ///
    /// # Errors
    /// When it ends at once.
    pub async fn start_with_tls() -> Result<Self> {
        let reach = Reach::Loopback;
        Self::with(reach, Some(certificates(reach.address())?)).await
    }

    async fn with(reach: Reach, tls: Option<(String, String, String)>) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        for name in ["objects/data", "attributes"] {
            std::fs::create_dir_all(folder.path().join(name))?;
        }
        let mut server = Self {
            reach,
            folder,
            port: free_port()?,
            process: None,
            authority: tls.as_ref().map(|(authority, ..)| authority.clone()),
        };
        if let Some((_, certificate, key)) = tls {
            std::fs::write(server.folder.path().join("certificate"), certificate)?;
            std::fs::write(server.folder.path().join("key"), key)?;
        }
        server.go_on().await?;
        Ok(server)
    }

    /// Kills it.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Starts it, and waits until it takes connections.
    ///
    /// # Errors
    /// When it ends at once.
    pub async fn go_on(&mut self) -> Result {
        let at = |name: &str| text(&self.folder.path().join(name));
        let address = (self.reach.address(), self.port);
        let mut command = self.reach.command(&program("S3_SERVER")?);
        command.args(["--port", &format!("{}:{}", address.0, address.1), "--quiet"]);
        if self.authority.is_some() {
            command.args(["--cert", &at("certificate"), "--key", &at("key")]);
        }
        command
            .args(["posix", "--sidecar", &at("attributes"), &at("objects")])
            .env("ROOT_ACCESS_KEY", ACCESS_KEY)
            .env("ROOT_SECRET_KEY", SECRET_KEY);
        let log = self.folder.path().join("log");
        self.process = Some(start("versitygw", &mut command, log, address).await?);
        Ok(())
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its URL.
    pub fn endpoint(&self) -> String {
        let scheme = if self.authority.is_some() { "https" } else { "http" };
        format!("{scheme}://{}:{}", self.reach.address(), self.port)
    }

    /// Certificate of its authority.
    pub fn authority(&self) -> &str {
        self.authority.as_deref().unwrap_or_default()
    }

    fn client(&self) -> Result<AmazonS3> {
        // A second time it is there already.
        drop(rustls::crypto::ring::default_provider().install_default());
        let mut options = ClientOptions::new().with_allow_http(true);
        if let Some(authority) = &self.authority {
            options = options.with_root_certificate(Certificate::from_pem(authority.as_bytes())?);
        }
        Ok(AmazonS3Builder::new()
            .with_bucket_name(BUCKET)
            .with_endpoint(self.endpoint())
            .with_region("us-east-1")
            .with_access_key_id(ACCESS_KEY)
            .with_secret_access_key(SECRET_KEY)
            .with_client_options(options)
            .build()?)
    }

    /// Puts an object.
    ///
    /// # Errors
    /// What the server says.
    pub async fn put(&self, key: &str, content: impl Into<PutPayload>) -> Result {
        self.client()?.put(&Key::parse(key)?, content.into()).await?;
        Ok(())
    }

    /// Reads an object.
    ///
    /// # Errors
    /// When it is not there, or the server does not answer.
    pub async fn get(&self, key: &str) -> Result<Vec<u8>> {
        Ok(self.client()?.get(&Key::parse(key)?).await?.bytes().await?.to_vec())
    }

    /// Puts every file of a folder, under a prefix.
    ///
    /// # Errors
    /// What the server says.
    pub async fn put_folder(&self, folder: &Path, prefix: &str) -> Result {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            self.put(&format!("{prefix}/{name}"), std::fs::read(&path)?).await?;
        }
        Ok(())
    }

    /// The variables with which a program may read.
    pub fn credentials(&self) -> [(&'static str, &'static str); 3] {
        [
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
            ("AWS_REGION", "us-east-1"),
        ]
    }
}
