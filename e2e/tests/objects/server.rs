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
use object_store::{ClientOptions, ObjectStoreExt as _, PutPayload};
use tempfile::TempDir;

pub(crate) const BUCKET: &str = "data";
pub(crate) const ACCESS_KEY: &str = "reader";
pub(crate) const SECRET_KEY: &str = "not-a-secret-of-anybody";

/// A server with one bucket. It keeps its objects while it is stopped.
pub(crate) struct Server {
    folder: TempDir,
    port: u16,
    process: Option<Process>,
}

impl Server {
    pub(crate) async fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        for name in ["objects/data", "attributes"] {
            std::fs::create_dir_all(folder.path().join(name))?;
        }
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let mut server = Self {
            folder,
            port,
            process: None,
        };
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
        command
            .args([
                "--port",
                &format!("127.0.0.1:{}", self.port),
                "--quiet",
                "posix",
                "--sidecar",
            ])
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

    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn client(&self) -> Result<AmazonS3> {
        // A second time it is there already.
        drop(rustls::crypto::ring::default_provider().install_default());
        Ok(AmazonS3Builder::new()
            .with_bucket_name(BUCKET)
            .with_endpoint(self.endpoint())
            .with_region("us-east-1")
            .with_access_key_id(ACCESS_KEY)
            .with_secret_access_key(SECRET_KEY)
            .with_client_options(ClientOptions::new().with_allow_http(true))
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
