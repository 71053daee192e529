//! `curriculum run`: a CurriculumJob on this machine.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use futures::FutureExt;
use futures::future::BoxFuture;

use crate::local::{self, LocalError, Options, Outcome};
use crate::telemetry::Shutdown;

/// Exit code of a run that can go on later, as shells have it after a Ctrl-C.
const INTERRUPTED: u8 = 130;

/// Run a CurriculumJob on this machine, without a cluster.
///
/// Its containers run as programs of this machine, in the environment of this command. The same rows are trained on as on a cluster.
/// Ctrl-C ends it in order, and the same command goes on.
#[derive(Args, Debug)]
pub(crate) struct RunArgs {
    /// File with the CurriculumJob; `-` reads standard input.
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// Where something is on this machine: a claim, ConfigMap, Secret or volume by its name, or a folder of the image by its path.
    /// The store's and the checkpoints' claims are made in the run's folder unless they are given.
    #[arg(short, long = "volume", value_name = "NAME=DIR")]
    volumes: Vec<String>,
    /// Command line of a container or scorer, in place of the one in the manifest or the image.
    #[arg(short, long = "command", value_name = "NAME=COMMAND")]
    commands: Vec<String>,
    /// Folder of the run: its state, logs, snapshots and volumes. Default: curriculum-runs/<name of the job>.
    #[arg(short, long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Begin anew where there is a run already. Its scores stay; its checkpoints go, unless their volume was given.
    #[arg(long)]
    again: bool,
}

pub(crate) fn run(args: RunArgs) -> ExitCode {
    let options = Options {
        manifest: args.file,
        folder: args.dir,
        volumes: args.volumes,
        commands: args.commands,
        again: args.again,
    };
    block_on("run", |interrupted| async move {
        let ended = local::run(&options, interrupted).await?;
        println!("{}", ended.text);
        Ok(exit_code(ended.outcome))
    })
}

/// The exit code of the process.
pub(super) fn exit_code(outcome: Outcome) -> ExitCode {
    match outcome {
        Outcome::Succeeded => ExitCode::SUCCESS,
        Outcome::Failed => ExitCode::FAILURE,
        Outcome::Interrupted => ExitCode::from(INTERRUPTED),
    }
}

/// Does that work, which is told when a signal asks the process to end.
pub(super) fn block_on<F>(command: &str, work: impl FnOnce(BoxFuture<'static, ()>) -> F) -> ExitCode
where
    F: Future<Output = Result<ExitCode, LocalError>>,
{
    let process = |what: &str, error: std::io::Error| LocalError::Process(format!("no {what}: {error}"));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let ended = runtime.map_err(|error| process("runtime", error)).and_then(|runtime| {
        runtime.block_on(async {
            let mut signals = Shutdown::install().map_err(|error| process("signal handlers", error))?;
            let interrupted = async move {
                signals.recv().await;
            };
            work(interrupted.boxed()).await
        })
    });
    ended.unwrap_or_else(|error| {
        eprintln!("curriculum {command}: {error}");
        ExitCode::from(2)
    })
}
