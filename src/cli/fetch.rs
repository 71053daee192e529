//! `curriculum fetch`: copies a data set's files to this machine.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::scoring::{Outcome, ScoringArgs, ShardArgs};
use crate::api::conditions::Reason;
use crate::scoring::fetch::fetch;
use crate::scoring::quantity::bytes_of;

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
    args.scoring.report(Reason::DatasetUnreadable, |task, store| {
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
