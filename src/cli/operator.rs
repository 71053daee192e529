//! `curriculum operator`: the controller in the cluster, or beside it.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use kube::{Client, Config};
use prometheus::Registry;
use tokio::net::TcpListener;

use crate::api::MANAGER;
use crate::controller::build;
use crate::controller::{LeaseOptions, Options, Readiness, Settings, StartError, run as run_controller};
use crate::telemetry::http::{self, Limits};
use crate::telemetry::{LogArgs, Shutdown, init_tracing};

/// Runs the controller of CurriculumJobs.
#[derive(Args, Debug)]
pub(crate) struct OperatorArgs {
    /// Image of the operator itself: scoring pods and samplers run it.
    #[arg(long, env = "CURRICULUM_IMAGE")]
    image: String,
    /// Pull policy of that image. Default: as the cluster decides for its tag.
    #[arg(long, env = "CURRICULUM_IMAGE_PULL_POLICY", value_parser = ["Always", "IfNotPresent", "Never"])]
    image_pull_policy: Option<String>,
    /// Address of /healthz, /readyz and /metrics.
    #[arg(long, env = "CURRICULUM_HEALTH_ADDR", default_value = "0.0.0.0:8080")]
    health_addr: SocketAddr,
    /// The one namespace to watch. Default: all of them.
    #[arg(long, env = "CURRICULUM_WATCH_NAMESPACE")]
    watch_namespace: Option<String>,
    /// CurriculumJobs that are reconciled at the same time.
    #[arg(long, env = "CURRICULUM_CONCURRENCY", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..))]
    concurrency: u16,
    /// Seconds before the second attempt at a phase; the wait doubles with every failure, up to 300.
    #[arg(long, env = "CURRICULUM_RETRY_BASE_SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=300))]
    retry_base_seconds: u64,
    /// Seconds that something may be in the way of a pod (an image, a node, a volume, a queue) before it is said; before an image that
    /// does not come makes scoring fail.
    #[arg(long, env = "CURRICULUM_IMAGE_GRACE_SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    image_grace_seconds: u64,
    /// Seconds that the node of a training pod may be silent before its pod is deleted; the pod that follows waits until its end is sure.
    #[arg(long, env = "CURRICULUM_NODE_GRACE_SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(60..=86_400))]
    node_grace_seconds: u64,
    /// Least seconds between two reports of a run's progress.
    #[arg(long, env = "CURRICULUM_PROGRESS_SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    progress_seconds: u64,
    /// Namespace of the Lease that lets one of several operators act: the operator's own. Default: no Lease, this one acts.
    #[arg(long, env = "CURRICULUM_LEASE_NAMESPACE")]
    lease_namespace: Option<String>,
    /// Name of that Lease.
    #[arg(long, env = "CURRICULUM_LEASE_NAME", default_value = MANAGER)]
    lease_name: String,
    /// Name by which to hold it: unlike that of every other process, such as the pod's. Default: host and process.
    #[arg(long, env = "CURRICULUM_LEASE_IDENTITY")]
    lease_identity: Option<String>,
    #[command(flatten)]
    log: LogArgs,
}

/// The operator could not start.
#[derive(thiserror::Error, Debug)]
enum OperatorError {
    #[error("runtime: {0}")]
    Runtime(#[source] std::io::Error),
    #[error("signals: {0}")]
    Signals(#[source] std::io::Error),
    #[error("listening on {address}: {source}")]
    Listen {
        address: SocketAddr,
        source: std::io::Error,
    },
    #[error("no Kubernetes cluster is configured: {0}")]
    Config(#[source] Box<kube::config::InferConfigError>),
    #[error("no Kubernetes cluster is configured, although KUBERNETES_SERVICE_HOST is set: {0}")]
    InCluster(#[source] Box<kube::config::InClusterError>),
    #[error("Kubernetes client: {0}")]
    Client(#[source] Box<kube::Error>),
    #[error(transparent)]
    Start(#[from] StartError),
}

pub(crate) fn run(args: OperatorArgs) -> ExitCode {
    if let Err(error) = init_tracing(&args.log) {
        eprintln!("curriculum operator: {error}");
        return ExitCode::FAILURE;
    }
    // The operator waits for the API server; a second thread would mostly be woken up to find nothing to do.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(OperatorError::Runtime);
    match runtime.and_then(|runtime| runtime.block_on(operate(args))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the operator ends");
            ExitCode::FAILURE
        }
    }
}

async fn operate(args: OperatorArgs) -> Result<(), OperatorError> {
    let mut signals = Shutdown::install().map_err(OperatorError::Signals)?;
    let (stop, stopping) = tokio::sync::watch::channel(false);
    tokio::spawn(async move {
        let signal = signals.recv().await;
        tracing::info!(signal, "the operator ends once the reconciles under way have");
        stop.send_replace(true);
    });
    let stopped = || {
        let mut stopping = stopping.clone();
        // An error means that the sender is gone, and then so is the wish to go on.
        async move {
            let _ = stopping.wait_for(|stop| *stop).await;
        }
    };

    let registry = Registry::new();
    let readiness = Readiness::default();
    let address = args.health_addr;
    let listener = TcpListener::bind(address)
        .await
        .map_err(|source| OperatorError::Listen { address, source })?;
    let ready = readiness.clone();
    let router = http::router(registry.clone(), move || ready.get());
    let server = tokio::spawn(http::serve(listener, router, Limits::default(), stopped()));

    let client = Client::try_from(config().await?).map_err(|error| OperatorError::Client(Box::new(error)))?;
    run_controller(client, options(args), &registry, readiness, stopped()).await?;
    if let Err(error) = server.await {
        tracing::error!(%error, "the health server broke");
    }
    Ok(())
}

/// The cluster by the environment of a pod: by address, because a minimal cluster has no DNS. Otherwise by kubeconfig.
async fn config() -> Result<Config, OperatorError> {
    if std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() {
        return Config::incluster_env().map_err(|error| OperatorError::InCluster(Box::new(error)));
    }
    Config::infer()
        .await
        .map_err(|error| OperatorError::Config(Box::new(error)))
}

/// A name that no other process has: the host's and the process's number.
fn own_identity() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{host}-{}", std::process::id())
}

fn options(args: OperatorArgs) -> Options {
    let lease = args.lease_namespace.map(|namespace| LeaseOptions {
        namespace,
        name: args.lease_name,
        identity: args.lease_identity.unwrap_or_else(own_identity),
    });
    let build = build::Settings {
        image: args.image,
        image_pull_policy: args.image_pull_policy,
    };
    Options {
        settings: Settings {
            retry_base: Duration::from_secs(args.retry_base_seconds),
            image_grace: Duration::from_secs(args.image_grace_seconds),
            node_grace: Duration::from_secs(args.node_grace_seconds),
            progress_interval: Duration::from_secs(args.progress_seconds),
            ..Settings::new(build)
        },
        namespace: args.watch_namespace,
        concurrency: args.concurrency,
        lease,
    }
}
