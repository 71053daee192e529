//! A real etcd and kube-apiserver for tests that need Kubernetes' validation and storage, but no node: no pod ever runs
//! here, and the status of Jobs is written by the test.
//!
//! The binaries are those of the local cluster; [`ApiServer::start`] says how to get them when they are missing.

use std::env;
use std::fs;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Weak};
use std::time::Duration;

use curriculum_operator::api::{MANAGER, crd};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::{conditions, wait::await_condition};
use kube::{Client, Config};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use tokio::sync::Mutex;

use crate::process::Process;

/// Time that a start may take on a busy machine.
const READY_TIMEOUT: Duration = Duration::from_secs(90);
/// Starts that are tried: between choosing a free port and using it, somebody else may take it.
const STARTS: usize = 3;

/// Why there is no API server.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A binary is missing.
    #[error("{} is missing: run `e2e/cluster/cluster build` (or set CURRICULUM_CACHE to the folder that holds bin/)", .0.display())]
    Missing(PathBuf),
    /// A file or process could not be made.
    #[error("cannot prepare the API server: {0}")]
    Io(#[from] io::Error),
    /// The certificates could not be made.
    #[error("cannot make the API server's certificates: {0}")]
    Certificate(#[from] rcgen::Error),
    /// A process ended or did not become ready in time.
    #[error("{what}; last lines of its log:\n{log}")]
    NotReady {
        /// Which process, and what is wrong with it.
        what: String,
        /// The end of its log.
        log: String,
    },
    /// The client refused the kubeconfig.
    #[error("cannot use the API server's kubeconfig: {0}")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    /// A request failed.
    #[error("a request to the API server failed: {0}")]
    Request(#[from] kube::Error),
    /// A CRD was not established.
    #[error("the CRDs were not established: {0}")]
    Crd(#[from] kube::runtime::wait::Error),
}

/// A running API server with its etcd. Both end, and their files go, when it is dropped.
#[derive(Debug)]
pub struct ApiServer {
    kubeconfig: PathBuf,
    // Dropped in this order: the API server first, then etcd, then the files of both.
    apiserver: Process,
    _etcd: Process,
    dir: TempDir,
}

impl ApiServer {
    /// Starts etcd and kube-apiserver on free ports of the loopback interface, waits until they are ready, and applies
    /// the project's CRDs.
    ///
    /// # Errors
    /// Names the missing binary, or gives the end of the log of the process that failed.
    pub async fn start() -> Result<Self, StartError> {
        let mut attempt = 1;
        let server = loop {
            match Self::start_once(&binaries()).await {
                Err(StartError::NotReady { .. }) if attempt < STARTS => attempt += 1,
                result => break result?,
            }
        };
        server.install_crds().await?;
        Ok(server)
    }

    /// The server that the tests of this process share; it is started by the first to ask, and ends with the last.
    /// Each test takes a namespace of its own.
    ///
    /// # Errors
    /// As [`ApiServer::start`].
    pub async fn shared() -> Result<Arc<Self>, StartError> {
        static SHARED: Mutex<Weak<ApiServer>> = Mutex::const_new(Weak::new());
        let mut shared = SHARED.lock().await;
        if let Some(server) = shared.upgrade() {
            return Ok(server);
        }
        let server = Arc::new(Self::start().await?);
        *shared = Arc::downgrade(&server);
        Ok(server)
    }

    /// Path of a kubeconfig of a cluster administrator.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Process number of kube-apiserver.
    pub fn pid(&self) -> u32 {
        self.apiserver.pid()
    }

    /// A new client of a cluster administrator, for the runtime that calls it.
    ///
    /// # Errors
    /// When the kubeconfig cannot be used.
    pub async fn client(&self) -> Result<Client, StartError> {
        client(&self.kubeconfig).await
    }

    /// `kubectl` with this server's kubeconfig; its caches stay within the server's folder.
    pub fn kubectl(&self) -> Command {
        let mut command = Command::new(binaries().join("kubectl"));
        command
            .env("KUBECONFIG", &self.kubeconfig)
            .env("KUBECACHEDIR", self.dir.path().join("kubectl"));
        command
    }

    /// Makes a namespace of this name.
    ///
    /// # Errors
    /// When the request fails, for instance because the namespace exists.
    pub async fn namespace(&self, name: &str) -> Result<(), StartError> {
        let client = self.client().await?;
        let namespace = serde_json::json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        let request = http::Request::post("/api/v1/namespaces")
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(namespace.to_string().into_bytes())
            .map_err(kube::Error::HttpError)?;
        client.request::<serde_json::Value>(request).await?;
        Ok(())
    }

    async fn start_once(bin: &Path) -> Result<Self, StartError> {
        for name in ["etcd", "kube-apiserver", "kubectl"] {
            if !bin.join(name).exists() {
                return Err(StartError::Missing(bin.join(name)));
            }
        }
        let dir = TempDir::with_prefix("curriculum-api-server-")?;
        let [clients, peers, secure] = free_ports()?;
        let token = KeyPair::generate()?
            .public_key_raw()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>();
        write_credentials(dir.path(), &token)?;
        let kubeconfig = write_kubeconfig(dir.path(), secure, &token)?;
        let mut etcd = spawn("etcd", bin, dir.path(), &etcd_arguments(clients, peers))?;
        let mut apiserver = spawn("kube-apiserver", bin, dir.path(), &apiserver_arguments(clients, secure))?;
        wait_until_ready(&kubeconfig, &mut etcd, &mut apiserver).await?;
        Ok(Self {
            kubeconfig,
            apiserver,
            _etcd: etcd,
            dir,
        })
    }

    async fn install_crds(&self) -> Result<(), StartError> {
        let client = self.client().await?;
        let crds: Api<CustomResourceDefinition> = Api::all(client);
        for (_, crd) in crd::all() {
            let name = crd["metadata"]["name"].as_str().unwrap_or_default();
            crds.patch(name, &PatchParams::apply(MANAGER), &Patch::Apply(&crd))
                .await?;
            await_condition(crds.clone(), name, conditions::is_crd_established()).await?;
        }
        Ok(())
    }
}

fn spawn(name: &'static str, bin: &Path, dir: &Path, arguments: &[String]) -> io::Result<Process> {
    let mut command = Command::new(bin.join(name));
    command.args(arguments).current_dir(dir);
    Process::spawn(name, &mut command, dir.join(format!("{name}.log")))
}

/// An error when the process ended by itself.
fn check(process: &mut Process) -> Result<(), StartError> {
    match process.ended()? {
        None => Ok(()),
        Some(status) => Err(not_ready(process, &format!("ended with {status}"))),
    }
}

fn not_ready(process: &Process, what: &str) -> StartError {
    StartError::NotReady {
        what: format!("{} {what}", process.name()),
        log: process.last_lines(),
    }
}

/// Folder of the local cluster's binaries, under names without versions.
pub fn binaries() -> PathBuf {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("CURRICULUM_CACHE").unwrap_or_else(|| {
        let caches = set("XDG_CACHE_HOME").unwrap_or_else(|| set("HOME").unwrap_or_default().join(".cache"));
        caches.join("curriculum-operator")
    });
    cache.join("bin/path")
}

fn free_ports() -> io::Result<[u16; 3]> {
    // All are held until all are known, so that they differ.
    let listeners = [
        TcpListener::bind("127.0.0.1:0")?,
        TcpListener::bind("127.0.0.1:0")?,
        TcpListener::bind("127.0.0.1:0")?,
    ];
    let [a, b, c] = listeners.each_ref().map(TcpListener::local_addr);
    Ok([a?.port(), b?.port(), c?.port()])
}

fn etcd_arguments(clients: u16, peers: u16) -> Vec<String> {
    vec![
        "--data-dir=etcd".into(),
        format!("--listen-client-urls=http://127.0.0.1:{clients}"),
        format!("--advertise-client-urls=http://127.0.0.1:{clients}"),
        format!("--listen-peer-urls=http://127.0.0.1:{peers}"),
        format!("--initial-advertise-peer-urls=http://127.0.0.1:{peers}"),
        format!("--initial-cluster=default=http://127.0.0.1:{peers}"),
        "--unsafe-no-fsync".into(),
    ]
}

fn apiserver_arguments(etcd: u16, secure: u16) -> Vec<String> {
    vec![
        format!("--etcd-servers=http://127.0.0.1:{etcd}"),
        "--bind-address=127.0.0.1".into(),
        "--advertise-address=127.0.0.1".into(),
        format!("--secure-port={secure}"),
        "--tls-cert-file=server.crt".into(),
        "--tls-private-key-file=server.key".into(),
        "--token-auth-file=tokens.csv".into(),
        "--authorization-mode=RBAC".into(),
        "--service-cluster-ip-range=10.96.0.0/24".into(),
        "--service-account-issuer=https://kubernetes.default.svc".into(),
        "--service-account-key-file=service-accounts.pub".into(),
        "--service-account-signing-key-file=service-accounts.key".into(),
        // No controller makes the default service account that this plug-in asks for.
        "--disable-admission-plugins=ServiceAccount".into(),
    ]
}

/// Writes the server's certificate with the authority that signed it, the key of service account tokens, and the one user.
fn write_credentials(dir: &Path, token: &str) -> Result<(), StartError> {
    let mut authority = CertificateParams::new(Vec::<String>::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate()?;
    fs::write(dir.join("ca.crt"), authority.self_signed(&authority_key)?.pem())?;
    let key = KeyPair::generate()?;
    let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
    let certificate = CertificateParams::new(names)?.signed_by(&key, &Issuer::new(authority, authority_key))?;
    fs::write(dir.join("server.crt"), certificate.pem())?;
    fs::write(dir.join("server.key"), key.serialize_pem())?;
    let service_accounts = KeyPair::generate()?;
    fs::write(dir.join("service-accounts.key"), service_accounts.serialize_pem())?;
    fs::write(dir.join("service-accounts.pub"), service_accounts.public_key_pem())?;
    fs::write(dir.join("tokens.csv"), format!("{token},admin,admin,system:masters\n"))?;
    Ok(())
}

fn write_kubeconfig(dir: &Path, port: u16, token: &str) -> io::Result<PathBuf> {
    let config = serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{"name": "test", "cluster": {
            "server": format!("https://127.0.0.1:{port}"), "certificate-authority": dir.join("ca.crt")}}],
        "users": [{"name": "test", "user": {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": "default"}}],
    });
    let path = dir.join("kubeconfig");
    fs::write(&path, config.to_string())?;
    Ok(path)
}

async fn client(kubeconfig: &Path) -> Result<Client, StartError> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}

async fn wait_until_ready(kubeconfig: &Path, etcd: &mut Process, apiserver: &mut Process) -> Result<(), StartError> {
    let client = client(kubeconfig).await?;
    let ready = async {
        loop {
            check(etcd)?;
            check(apiserver)?;
            let request = http::Request::get("/readyz")
                .body(Vec::new())
                .map_err(kube::Error::HttpError)?;
            if client.request_text(request).await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    match tokio::time::timeout(READY_TIMEOUT, ready).await {
        Ok(result) => result,
        Err(_) => Err(not_ready(
            apiserver,
            &format!("was not ready after {} s", READY_TIMEOUT.as_secs()),
        )),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_missing_binary_is_named_with_the_remedy() {
        let error = ApiServer::start_once(Path::new("/nonexistent"))
            .await
            .map(|_| ())
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("/nonexistent/etcd is missing: run `e2e/cluster/cluster build`"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_process_that_ends_is_named_with_its_log() {
        let dir = TempDir::new().unwrap();
        let mut process = spawn("ls", Path::new("/bin"), dir.path(), &["/nonexistent".to_owned()]).unwrap();
        while process.ended().unwrap().is_none() {
            std::thread::yield_now();
        }
        let error = check(&mut process).unwrap_err().to_string();
        assert!(error.starts_with("ls ended with exit status: 2"), "{error}");
        assert!(error.contains("No such file or directory"), "{error}");
    }
}
