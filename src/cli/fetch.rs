//! `curriculum fetch`: copies a data set's files to this machine.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::scoring::{Outcome, ScoringArgs, ShardArgs};
use crate::api::conditions::Reason;
use crate::scoring::fetch::fetch;
use crate::scoring::quantity::bytes_of;

/// For how long the store is asked for the trainer's files, at most.
const STORE_PATIENCE: Duration = Duration::from_secs(10);

/// Copy the data set's files to a folder, for programs that read paths.
#[derive(Args, Debug)]
pub(crate) struct FetchArgs {
    #[command(flatten)]
    scoring: ScoringArgs,
    #[command(flatten)]
    shard: ShardArgs,
    /// Folder to copy to.
    #[arg(long)]
    to: PathBuf,
    /// Only the files with rows of the shard.
    #[arg(long)]
    of_shard: bool,
    /// Most bytes to copy, such as 50Gi. Default: no limit.
    #[arg(long, value_parser = |text: &str| bytes_of(text).ok_or("must be a size such as 50Gi"))]
    size_limit: Option<u64>,
}

pub(crate) fn run(args: &FetchArgs) -> ExitCode {
    // A trainer does without what the store says of its files.
    let patience = (!args.of_shard).then_some(STORE_PATIENCE);
    args.scoring
        .report_within(patience, Reason::DatasetUnreadable, |task, store| {
            let shard = args.of_shard.then(|| args.shard.of(task)).transpose()?;
            let root = args.scoring.root(task)?;
            let fetched = fetch(task, &root, store, shard, &args.to, args.size_limit)?;
            tracing::info!(
                files = fetched.files,
                present = fetched.present,
                bytes = fetched.bytes,
                "the data set is here"
            );
            Ok(Outcome::Done)
        })
}
