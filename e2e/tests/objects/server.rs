//! A real S3 server, versitygw over a folder, on a free port of this machine.

use std::env;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use e2e::Result;
use e2e::process::Process;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path as Key;
use object_store::{Certificate, ClientOptions, ObjectStoreExt as _, PutPayload};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

pub(crate) const BUCKET: &str = "data";
pub(crate) const ACCESS_KEY: &str = "reader";
pub(crate) const SECRET_KEY: &str = "not-a-secret-of-anybody";

/// An authority's certificate, that of a server of this machine, and the server's key.
pub(crate) fn certificates() -> Result<(String, String, String)> {
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate()?;
    let certificate = authority.self_signed(&key)?;
    let own = KeyPair::generate()?;
    let signed = CertificateParams::new(vec!["127.0.0.1".to_owned()])?.signed_by(&own, &Issuer::new(authority, key))?;
    Ok((certificate.pem(), signed.pem(), own.serialize_pem()))
}

/// A server with one bucket. It keeps its objects while it is stopped.
pub(crate) struct Server {
    folder: TempDir,
    port: u16,
    process: Option<Process>,
    /// Certificate of the authority, where it speaks TLS.
    authority: Option<String>,
}

impl Server {
    pub(crate) async fn start() -> Result<Self> {
        Self::with(None).await
    }

    /// One that speaks TLS, with a certificate of an authority that nobody else knows.
    pub(crate) async fn start_with_tls() -> Result<Self> {
        Self::with(Some(certificates()?)).await
    }

    async fn with(tls: Option<(String, String, String)>) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        for name in ["objects/data", "attributes"] {
            std::fs::create_dir_all(folder.path().join(name))?;
        }
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let mut server = Self {
            folder,
            port,
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
    pub(crate) fn stop(&mut self) {
        self.process = None;
    }

    /// Starts it, and waits until it answers.
    pub(crate) async fn go_on(&mut self) -> Result {
        let server = env::var("S3_SERVER").map_err(|_| "S3_SERVER must name a versitygw: run e2e/run-objects")?;
        let at = |name: &str| self.folder.path().join(name);
        let mut command = Command::new(server);
        command.args(["--port", &format!("127.0.0.1:{}", self.port), "--quiet"]);
        if self.authority.is_some() {
            command.arg("--cert").arg(at("certificate")).arg("--key").arg(at("key"));
        }
        command
            .args(["posix", "--sidecar"])
            .args([at("attributes"), at("objects")])
            .env("ROOT_ACCESS_KEY", ACCESS_KEY)
            .env("ROOT_SECRET_KEY", SECRET_KEY);
        let mut process = Process::spawn("versitygw", &mut command, at("log"))?;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            if let Some(status) = process.ended()? {
                return Err(format!("versitygw ended with {status}: {}", process.last_lines()).into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.process = Some(process);
        Ok(())
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn endpoint(&self) -> String {
        let scheme = if self.authority.is_some() { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    /// Certificate of its authority.
    pub(crate) fn authority(&self) -> &str {
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

    pub(crate) async fn put(&self, key: &str, content: impl Into<PutPayload>) -> Result {
        self.client()?.put(&Key::parse(key)?, content.into()).await?;
        Ok(())
    }

    /// Every file of a folder, under a prefix.
    pub(crate) async fn put_folder(&self, folder: &Path, prefix: &str) -> Result {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            self.put(&format!("{prefix}/{name}"), std::fs::read(&path)?).await?;
        }
        Ok(())
    }

    /// The variables with which a program may read.
    pub(crate) fn credentials(&self) -> [(&'static str, &'static str); 3] {
        [
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
            ("AWS_REGION", "us-east-1"),
        ]
    }
}
