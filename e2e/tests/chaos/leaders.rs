//! Two processes of the operator, one of which acts: how long it takes until the other one does, and what a leader does that
//! slept meanwhile.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use curriculum_operator::api::job::CurriculumJob;
use e2e::api_server::ApiServer;
use e2e::fault_proxy::FaultProxy;
use e2e::wait;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::Api;
use kube::{Client, Config};
use serde_json::json;
use tempfile::TempDir;
use tokio::time::Instant;

use super::player::{Player, Story};
use super::run::{prepare, submit};

const LIMIT: Duration = Duration::from_secs(60);
const LEASE: &str = "operator";
/// What is promised of an orderly end and of any other.
const ORDERLY: Duration = Duration::from_secs(3);
const CRASH: Duration = Duration::from_secs(20);

/// A process of the operator; it is killed when this is dropped.
struct Process {
    process: e2e::process::Process,
    health: Client,
    _folder: TempDir,
}

impl Process {
    /// Starts one that watches the namespace, with its Lease in it, and waits until it is ready.
    async fn start(name: &'static str, namespace: &str, kubeconfig: &Path) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let folder = TempDir::new().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_operator"));
        command
            .arg("operator")
            .args(["--image=curriculum:test", "--health-addr", &address])
            .args(["--watch-namespace", namespace, "--lease-namespace", namespace])
            .args(["--lease-name", LEASE, "--lease-identity", name])
            .env_remove("KUBERNETES_SERVICE_HOST")
            .env("KUBECONFIG", kubeconfig);
        let process = e2e::process::Process::spawn(name, &mut command, folder.path().join("log")).unwrap();
        let health = Client::try_from(Config::new(format!("http://{address}").parse().unwrap())).unwrap();
        let process = Self {
            process,
            health,
            _folder: folder,
        };
        let ready = tokio::time::timeout(LIMIT, async {
            while process.get("/readyz").await.is_none() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        ready.await.unwrap_or_else(|_| panic!("{name} is not ready"));
        process
    }

    async fn get(&self, path: &str) -> Option<String> {
        let request = http::Request::get(path).body(Vec::new()).unwrap();
        self.health.request_text(request).await.ok()
    }

    /// What it says of itself.
    async fn leads(&self) -> bool {
        let text = self.get("/metrics").await.unwrap();
        e2e::metrics::sum(&text, "curriculum_leader").unwrap() == 1.0
    }

    fn signal(&self, signal: &str) {
        let status = Command::new("kill")
            .args([signal, &self.process.pid().to_string()])
            .status();
        assert!(status.unwrap().success(), "kill {signal} {}", self.process.name());
    }
}

async fn until_held_by(client: &Client, namespace: &str, name: &str) {
    let leases: Api<Lease> = Api::namespaced(client.clone(), namespace);
    let held = |lease: &Lease| {
        let spec = lease.spec.as_ref();
        spec.and_then(|spec| spec.holder_identity.as_deref()) == Some(name)
    };
    wait::until_found(&leases, LEASE, &format!("held by {name}"), LIMIT, held)
        .await
        .unwrap();
}

/// Submits a run, and gives the time until an operator has taken it up, from `since`.
async fn taken_up(client: &Client, namespace: &str, name: &str, since: Instant) -> Duration {
    submit(client, namespace, name).await.unwrap();
    let runs: Api<CurriculumJob> = Api::namespaced(client.clone(), namespace);
    let accepted = |job: &CurriculumJob| job.status.as_ref().is_some_and(|status| status.start_time.is_some());
    wait::until_found(&runs, name, "taken up", LIMIT, accepted)
        .await
        .unwrap();
    since.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_process_takes_over_in_time() {
    let server = ApiServer::shared().await.unwrap();
    let namespace = "leaders-in-time";
    let client = prepare(&server, namespace).await.unwrap();
    let mut leader = Process::start("first", namespace, server.kubeconfig()).await;
    until_held_by(&client, namespace, "first").await;
    let rounds = [
        ("second", "-TERM", ORDERLY),
        ("third", "-KILL", CRASH),
        ("fourth", "-TERM", ORDERLY),
        ("fifth", "-KILL", CRASH),
    ];
    for (name, signal, promised) in rounds {
        let next = Process::start(name, namespace, server.kubeconfig()).await;
        assert!(
            leader.leads().await && !next.leads().await,
            "{name} is ready, and only stands by"
        );
        let since = Instant::now();
        leader.signal(signal);
        let took = taken_up(&client, namespace, name, since).await;
        println!(
            "after kill {signal}, the next run was taken up within {:.2} s",
            took.as_secs_f64()
        );
        assert!(next.leads().await);
        assert!(took < promised, "kill {signal}: {took:?}");
        leader = next;
    }
}

/// The leader is stopped in the middle of a reconcile, between two writes, and wakes up when another one has finished the run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_slept_between_two_writes_does_not_go_on() {
    let server = ApiServer::shared().await.unwrap();
    let namespace = "leaders-fenced";
    let client = prepare(&server, namespace).await.unwrap();
    let (proxy, mut stops) = FaultProxy::start(client.clone()).await.unwrap();
    // The turn that makes a training Job writes its UID into the status next, and asks nothing in between.
    proxy.stop_at(|write| write.name.as_deref() == Some("run-train-0"));
    let folder = TempDir::new().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "test", "users": [],
        "clusters": [{"name": "test", "cluster": {"server": proxy.url()}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": ""}}],
    });
    std::fs::write(&kubeconfig, config.to_string()).unwrap();
    let sleeper = Process::start("sleeper", namespace, &kubeconfig).await;
    until_held_by(&client, namespace, "sleeper").await;
    let _other = Process::start("other", namespace, server.kubeconfig()).await;
    let _cluster = Player::start(&client, namespace, Story::Plain);
    submit(&client, namespace, "run").await.unwrap();

    let stop = tokio::time::timeout(LIMIT, stops.recv()).await.unwrap().unwrap();
    sleeper.signal("-STOP");
    stop.send(()).unwrap();
    let written = proxy.writes();
    assert_eq!(written.last().unwrap().name.as_deref(), Some("run-train-0"));
    let runs: Api<CurriculumJob> = Api::namespaced(client.clone(), namespace);
    wait::until_found(&runs, "run", "the end", LIMIT, wait::has_ended)
        .await
        .unwrap();

    let looked = proxy.leases();
    sleeper.signal("-CONT");
    // It has read the answer to its write long before it looks at the Lease for the second time.
    proxy.until(LIMIT, |proxy| proxy.leases() >= looked + 3).await.unwrap();
    assert_eq!(proxy.writes(), written, "the sleeper wrote");
    assert!(!sleeper.leads().await);
    until_held_by(&client, namespace, "other").await;
}
