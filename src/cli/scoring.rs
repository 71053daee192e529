//! What the scoring commands have in common: their arguments, and how they end.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::store::StoreArgs;
use crate::api::conditions::Reason;
use crate::api::names::{MOUNT_DATASET, MOUNT_STORE};
use crate::scoring::dataset::Root;
use crate::scoring::error::ScoringError;
use crate::scoring::message::{self, MESSAGE_BYTES_ENV};
use crate::scoring::report::{Report, TERMINATION_MESSAGE_BYTES};
use crate::scoring::store::{Shard, Store};
use crate::scoring::task::{TASK_ENV, Task};
use crate::scoring::validate;
use crate::telemetry::{LogArgs, init_tracing};

/// Arguments of every scoring command.
#[derive(Args, Debug)]
pub(crate) struct ScoringArgs {
    /// File with the task as JSON. Default: the environment variable CURRICULUM_TASK.
    #[arg(long)]
    task: Option<PathBuf>,
    #[command(flatten)]
    log: LogArgs,
    /// Folder of the data set's volume.
    #[arg(long, env = "CURRICULUM_DATASET_ROOT", default_value = MOUNT_DATASET)]
    dataset_root: PathBuf,
    /// Folder of the store.
    #[arg(long, env = "CURRICULUM_STORE_ROOT", default_value = MOUNT_STORE)]
    store_root: PathBuf,
    #[command(flatten)]
    store: StoreArgs,
    /// File for the report.
    #[arg(long, env = "CURRICULUM_TERMINATION_LOG", default_value = "/dev/termination-log")]
    termination_log: PathBuf,
    /// Most bytes of the report.
    #[arg(long, env = MESSAGE_BYTES_ENV, default_value_t = TERMINATION_MESSAGE_BYTES)]
    message_bytes: usize,
}

/// The shard of a command.
#[derive(Args, Debug)]
pub(crate) struct ShardArgs {
    /// Shard, from 0.
    #[arg(long, env = "JOB_COMPLETION_INDEX", default_value_t = 0)]
    shard: u32,
}

impl ShardArgs {
    pub(crate) fn of(&self, task: &Task) -> Result<Shard, ScoringError> {
        validate::shard(task, self.shard)
    }
}

impl ScoringArgs {
    /// Reads the task, does the work, reports, and gives the exit code. `otherwise` is the reason of failures of input and output.
    pub(crate) fn report(
        &self,
        otherwise: Reason,
        work: impl FnOnce(&Task, &Store) -> Result<Outcome, ScoringError>,
    ) -> ExitCode {
        self.report_within(None, otherwise, work)
    }

    /// The same, with another time for which what the store is asked is tried again.
    pub(crate) fn report_within(
        &self,
        patience: Option<Duration>,
        otherwise: Reason,
        work: impl FnOnce(&Task, &Store) -> Result<Outcome, ScoringError>,
    ) -> ExitCode {
        if let Err(error) = init_tracing(&self.log) {
            // Work goes on without a log: its outcome is in the report.
            eprintln!("{error}");
        }
        let done = self.task().and_then(|task| {
            let shared = self.store.open(&self.store_root, patience);
            work(&task, &Store::new(shared.map_err(ScoringError::InvalidTask)?))
        });
        match done {
            Ok(Outcome::Done) => ExitCode::SUCCESS,
            Ok(Outcome::Report(report)) => {
                message::write(&self.termination_log, *report, self.message_bytes);
                ExitCode::SUCCESS
            }
            Ok(Outcome::Exit(code)) => ExitCode::from(code),
            Err(error) => {
                tracing::error!("{error}");
                let report = Report::Error(error.failure(otherwise));
                message::write(&self.termination_log, report, self.message_bytes);
                ExitCode::from(error.exit_code())
            }
        }
    }

    /// Where the data set is read from.
    ///
    /// # Errors
    /// [`ScoringError::InvalidTask`] when the task's object store cannot be talked to as it is described.
    pub(crate) fn root(&self, task: &Task) -> Result<Root, ScoringError> {
        match &task.objects {
            None => Ok(self.copies()),
            #[cfg(feature = "objects")]
            Some(objects) => crate::objects::open(objects)
                .map_err(|e| ScoringError::InvalidTask(format!("`dataset.objectStore`: {e}"))),
            #[cfg(not(feature = "objects"))]
            Some(_) => Err(ScoringError::InvalidTask(
                "`dataset.objectStore`: this build reads no object stores".to_owned(),
            )),
        }
    }

    /// The folder with the data set's files, for programs: those of its volume, or copies of its objects.
    pub(crate) fn copies(&self) -> Root {
        Root::local(&self.dataset_root)
    }

    fn task(&self) -> Result<Task, ScoringError> {
        match (&self.task, std::env::var(TASK_ENV)) {
            (Some(path), _) => validate::read_task(path),
            (None, Ok(json)) => validate::parse_task(&json),
            (None, Err(_)) => Err(ScoringError::InvalidTask(format!(
                "no task: set {TASK_ENV} or give a file with --task"
            ))),
        }
    }
}

/// How a command ended without an error.
pub(crate) enum Outcome {
    /// Nothing to report.
    Done,
    /// With a report.
    Report(Box<Report>),
    /// With somebody else's exit code, and no report of ours.
    Exit(u8),
}
