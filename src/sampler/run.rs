//! The life of the sampler's process: prepare, serve, keep the journal, leave a result.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus::Registry;
use tokio::net::TcpListener;
use tokio::task::JoinError;
use tracing::{debug, info, warn};

use super::attempt::Attempt;
use super::contract::{SamplerStatus, Source};
use super::dataset::DatasetFiles;
use super::meters::Meters;
use super::rows_file::{self, RowsFileError};
use super::source::{OpenError, Opened, PlanFileError, Unusable, read_plan};
use super::{index, result, server, trained};
use crate::store::Shared;
use crate::telemetry::Shutdown;
use crate::telemetry::http::{Limits, serve};

/// Time between two writes of the journal.
const JOURNAL_PERIOD: Duration = Duration::from_secs(1);
/// Time between two questions whether a store that is elsewhere answers.
const STORE_PERIOD: Duration = Duration::from_secs(10);
/// Time for the sums over all rows at the end.
const SETTLE: Duration = Duration::from_secs(5);

/// Of the trainer's listener: 8 devices with 16 workers each, several times over.
const TRAINER_CONNECTIONS: usize = 1024;
/// Of the listener for anybody: the kubelet, the operator, Prometheus and who else comes. What they take, they take from each other.
const STATUS_CONNECTIONS: usize = 64;
/// Of those, what one address may take.
const STATUS_CONNECTIONS_OF_ONE: usize = 16;
/// Time after which an idle connection of anybody is closed.
const STATUS_IDLE: Duration = Duration::from_secs(10);

/// Where everything is.
#[derive(Clone, Debug)]
pub struct Config {
    /// The plan of the attempt, with one phase.
    pub plan: PathBuf,
    /// The run that the attempt is of: a checkpoint of another one is refused.
    pub run: Option<String>,
    /// The store with the score index.
    pub store: Shared,
    /// What the inspection left of the data set's files, to be told to the trainer.
    pub manifest: Option<PathBuf>,
    /// Time for which an index that is missing or cannot be read is tried again.
    pub index_patience: Duration,
    /// Folder of the journal.
    pub state: PathBuf,
    /// Address to listen on for the trainer, as `host:port`; port 0 takes a free one, which the event `listening` tells.
    pub listen: String,
    /// The same for health, metrics and status.
    pub status_listen: String,
    /// Where the rows of the phase are written, when the trainer wants a file.
    pub rows_file: Option<PathBuf>,
    /// The container's termination log.
    pub termination_log: PathBuf,
}

/// The sampler cannot serve.
#[derive(thiserror::Error, Debug)]
pub enum RunError {
    /// There is no plan.
    #[error(transparent)]
    PlanFile(#[from] PlanFileError),
    /// The plan contradicts itself, or its rows are not known.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The trainer's file cannot be written.
    #[error(transparent)]
    RowsFile(#[from] RowsFileError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// A metric has a name that is taken.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// The score index was written over. The container is started again, checks the index, and goes on with what is there then.
    #[error("the score index changed while it was in use; the next start of this container checks it again")]
    IndexChanged,
    /// The thread that prepared ended.
    #[error("preparation ended early: {0}")]
    Prepare(#[from] JoinError),
}

/// Serves until SIGTERM or SIGINT, and leaves the result in the termination log.
///
/// # Errors
/// When there is nothing to serve or no address to serve on. Everything else is survived.
pub async fn run(config: Config, mut shutdown: Shutdown) -> Result<(), RunError> {
    let registry = Registry::new();
    let meters = Meters::register(&registry)?;
    let files = Arc::new(DatasetFiles::new(config.store.clone(), config.manifest.clone()));
    let prepared = {
        let (config, files) = (config.clone(), Arc::clone(&files));
        tokio::task::spawn_blocking(move || prepare(&config, meters, &files))
    };
    let attempt = tokio::select! {
        prepared = prepared => Arc::new(prepared??),
        signal = shutdown.recv() => {
            info!(signal, "ended before anything was served");
            return Ok(());
        }
    };
    let (trainers, others) = (bind(&config.listen).await?, bind(&config.status_listen).await?);
    info!(address = %trainers.1, status = %others.1, "listening");
    let keeper = tokio::spawn(keep(Arc::clone(&attempt), config.clone()));
    let watcher = tokio::spawn(watch_store(Arc::clone(&attempt), config.store.clone()));
    let mut index_changed = false;
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let for_trainer = serve(
        trainers.0,
        server::trainer_router(Arc::clone(&attempt), files),
        trainer_limits(),
        async {
            tokio::select! {
                signal = shutdown.recv() => info!(signal, "ending"),
                () = attempt.broken().notified() => index_changed = true,
            }
            // At once, in case that there is no time for more.
            leave(&config.termination_log, &attempt.result(Duration::ZERO));
            let _ = stop.send(());
        },
    );
    let status = server::status_router(Arc::clone(&attempt), registry);
    let for_others = serve(others.0, status, status_limits(), async {
        let _ = stopped.await;
    });
    tokio::join!(for_trainer, for_others);
    keeper.abort();
    watcher.abort();
    let ended = tokio::task::spawn_blocking(move || {
        attempt.save();
        leave(&config.termination_log, &attempt.result(SETTLE));
    });
    ended.await?;
    if index_changed {
        Err(RunError::IndexChanged)
    } else {
        Ok(())
    }
}

/// Reads the plan, checks the index, takes up the journal and writes the rows file.
fn prepare(config: &Config, meters: Meters, files: &DatasetFiles) -> Result<Attempt, RunError> {
    let opened = Opened::new(
        read_plan(&config.plan)?,
        |scores| patiently("the score index", config, || index::open(&config.store, scores)),
        |plan, filtered| {
            patiently("the list of the rows to train on", config, || {
                trained::open(&config.store, plan, filtered)
            })
        },
    )?;
    match (opened.source, &opened.source_message) {
        (Source::UniformIndexUnusable, message) => {
            warn!(
                reason = message.as_deref().unwrap_or_default(),
                "the score index cannot be used: every row is equally likely"
            );
        }
        (source, _) => info!(?source, plan = %opened.plan_digest, "rows are ready"),
    }
    if opened.source == Source::Index {
        files.prepare();
    }
    let attempt = Attempt::new(opened, config.run.clone(), config.state.clone(), meters);
    if let Some(path) = &config.rows_file {
        give_file(&attempt, path)?;
    }
    Ok(attempt)
}

/// Opens a file of the store, which may take a while to be there.
#[expect(clippy::disallowed_methods, reason = "the shell waits for the store")]
fn patiently<T>(what: &str, config: &Config, open: impl FnMut() -> Result<T, Unusable>) -> Result<T, Unusable> {
    let begin = Instant::now();
    index::patiently(
        what,
        config.index_patience,
        || begin.elapsed(),
        std::thread::sleep,
        open,
    )
}

/// Writes the rows file, unless the phase is too long for one. What is there already stays: a trainer may be reading it.
fn give_file(attempt: &Attempt, path: &Path) -> Result<(), RunError> {
    let opened = attempt.opened();
    let bytes = rows_file::bytes(opened);
    if bytes > rows_file::MAX_BYTES {
        attempt.refuse_file(format!(
            "the rows file of this phase would have {bytes} bytes, more than {}; \
             expected `sampling: Http`, or phases with fewer steps",
            rows_file::MAX_BYTES
        ));
        return Ok(());
    }
    if attempt.rows_file() != Some(opened.source) || !rows_file::is_whole(path, opened) {
        rows_file::write(path, opened, &attempt.info())?;
        info!(%bytes, "the rows file is written");
    }
    attempt.serve_file(path.to_owned());
    attempt.save();
    Ok(())
}

fn trainer_limits() -> Limits {
    Limits {
        connections: TRAINER_CONNECTIONS,
        per_peer: TRAINER_CONNECTIONS,
        ..Limits::default()
    }
}

fn status_limits() -> Limits {
    Limits {
        connections: STATUS_CONNECTIONS,
        per_peer: STATUS_CONNECTIONS_OF_ONE,
        header_time: STATUS_IDLE,
        ..Limits::default()
    }
}

async fn bind(address: &str) -> Result<(TcpListener, SocketAddr), RunError> {
    let failed = |source| RunError::Listen {
        address: address.to_owned(),
        source,
    };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// Writes the journal after changes, once a second at most, and the result once the phase is at its end: a sampler that is killed
/// later has left it. A trainer that begins again takes it back.
async fn keep(attempt: Arc<Attempt>, config: Config) {
    let mut left = false;
    loop {
        tokio::select! {
            () = attempt.changed().notified() => {}
            () = tokio::time::sleep(JOURNAL_PERIOD), if attempt.has_marks() => {}
        }
        let (attempt, config) = (Arc::clone(&attempt), config.clone());
        let written = tokio::task::spawn_blocking(move || {
            attempt.read_marks();
            attempt.save();
            let ended = attempt.ended();
            let is_left = ended.is_some();
            if is_left || left {
                leave(&config.termination_log, &ended.unwrap_or_else(|| attempt.status()));
            }
            is_left
        });
        match written.await {
            Ok(is_left) => left = is_left,
            Err(error) => warn!(%error, "the journal was not written"),
        }
        tokio::time::sleep(JOURNAL_PERIOD).await;
    }
}

/// Asks a store that is elsewhere whether it is still there. The rows do not need it any more, but a pod that starts does.
async fn watch_store(attempt: Arc<Attempt>, store: Shared) {
    let opened = attempt.opened();
    let Some(scores) = opened
        .plan
        .scores
        .clone()
        .filter(|_| opened.source == Source::Index && store.is_remote())
    else {
        return;
    };
    loop {
        let (store, scores) = (store.clone(), scores.clone());
        let asked = tokio::task::spawn_blocking(move || index::fault_of_store(&store, &scores));
        match asked.await {
            Ok(fault) => attempt.hear_of_store(fault),
            Err(error) => warn!(%error, "the store was not asked"),
        }
        tokio::time::sleep(STORE_PERIOD).await;
    }
}

fn leave(path: &Path, status: &SamplerStatus) {
    match result::write(path, &result::encode(status)) {
        Ok(()) => debug!(served = status.served_step, "the result is written"),
        Err(error) => warn!(%error, path = %path.display(), "the result cannot be written"),
    }
}
