//! `curriculum sampler`: the sidecar that hands the rows of every batch to the trainer.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use tracing::error;

use super::store::StoreArgs;
use crate::sampler::result;
use crate::sampler::run::{self, Config};
use crate::store::Shared;
use crate::telemetry::{LogArgs, Shutdown, init_tracing};

/// For how long one question to a store is tried again: whoever asks goes on asking, or does without.
const STORE_PATIENCE: Duration = Duration::from_secs(2);

/// Hands the rows of every batch to the trainer, over HTTP or as a file.
///
/// When the score index is missing or is not the one that the plan names, every row is equally likely, and the status says so.
#[derive(Args, Debug)]
pub(crate) struct SamplerArgs {
    /// Plan of the attempt, with one phase.
    #[arg(long, value_name = "FILE")]
    plan: PathBuf,
    /// Name of the run, such as the UID of its CurriculumJob: a trainer that goes on from a checkpoint must name it. Default: any run will do.
    #[arg(long, value_name = "NAME")]
    run: Option<String>,
    /// Store with the score index in `index/<key>/index.arrow`.
    #[arg(long, value_name = "DIR")]
    store: PathBuf,
    /// What the inspection found, `scores/<key>/manifest.json` on the store: the trainer is told the files and where their rows begin.
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// Seconds for which a score index that is missing or cannot be read is tried again before every row is equally likely.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    index_patience: u64,
    /// Folder for the journal, which survives a restart of the container.
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    /// Address to listen on for the trainer, which is trusted; port 0 takes a free one, which the log tells.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:7070")]
    listen: String,
    /// Address to listen on for health, metrics and status, for anybody.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:7071")]
    status_listen: String,
    /// Write the rows of all batches of the phase to this file before answering, as little-endian u64.
    #[arg(long, value_name = "FILE")]
    rows_file: Option<PathBuf>,
    /// File for the result, which must exist: in a container, the kubelet makes it.
    #[arg(
        long,
        value_name = "FILE",
        env = "CURRICULUM_TERMINATION_LOG",
        default_value = "/dev/termination-log"
    )]
    termination_log: PathBuf,
    #[command(flatten)]
    store_place: StoreArgs,
    #[command(flatten)]
    log: LogArgs,
}

pub(crate) fn run(args: SamplerArgs) -> ExitCode {
    if let Err(error) = init_tracing(&args.log) {
        eprintln!("curriculum sampler: {error}");
        return ExitCode::from(2);
    }
    let termination_log = args.termination_log.clone();
    let failed = |message: String| {
        error!("{message}");
        if let Err(error) = result::write(&termination_log, &message) {
            error!(%error, "the termination log cannot be written");
        }
        ExitCode::FAILURE
    };
    // The trainer shares the pod's processors: two threads answer. Those that draw wait for a file system now and then.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(16)
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return failed(format!("no runtime: {error}")),
    };
    // Without its store it draws uniformly, which is better than nothing.
    let store = args
        .store_place
        .open(&args.store, Some(STORE_PATIENCE))
        .unwrap_or_else(|error| {
            error!("{error}");
            Shared::volume(args.store)
        });
    let config = Config {
        plan: args.plan,
        run: args.run,
        store,
        manifest: args.manifest,
        index_patience: Duration::from_secs(args.index_patience),
        state: args.state,
        listen: args.listen,
        status_listen: args.status_listen,
        rows_file: args.rows_file,
        termination_log: args.termination_log,
    };
    let ended = runtime.block_on(async {
        let shutdown = Shutdown::install().map_err(|error| format!("no signal handlers: {error}"))?;
        run::run(config, shutdown).await.map_err(|error| error.to_string())
    });
    // Preparation may still run on a thread of its own: the process does not wait for it.
    runtime.shutdown_background();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => failed(message),
    }
}
