//! `curriculum fetch`: copies a data set's files to this machine.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::scoring::{Outcome, ScoringArgs, ShardArgs};
use crate::api::conditions::Reason;
use crate::scoring::fetch::{Wanted, bytes_of, fetch};

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
        let wanted = if args.of_shard {
            Wanted::Of(store, args.shard.of(task)?)
        } else {
            Wanted::All(Some(store))
        };
        let root = args.scoring.root(task)?;
        let fetched = fetch(task, &root, wanted, &args.to, args.size_limit)?;
        tracing::info!(
            files = fetched.files,
            present = fetched.present,
            bytes = fetched.bytes,
            "the data set is here"
        );
        Ok(Outcome::Done)
    })
}
