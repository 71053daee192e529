//! `curriculum count`: what scorers need to know of all rows before any is scored.

use std::process::ExitCode;

use clap::Args;

use super::scoring::{Outcome, ScoringArgs, ShardArgs};
use crate::api::conditions::Reason;
use crate::scoring::count::count_shard;

/// Find out what scorers need to know of all rows, such as how often each token occurs: of one shard's rows.
#[derive(Args, Debug)]
pub(crate) struct CountArgs {
    #[command(flatten)]
    scoring: ScoringArgs,
    #[command(flatten)]
    shard: ShardArgs,
}

pub(crate) fn run(args: &CountArgs) -> ExitCode {
    args.scoring.report(Reason::ScorerFailed, |task, store| {
        count_shard(task, &args.scoring.root(task)?, store, args.shard.of(task)?)?;
        Ok(Outcome::Done)
    })
}
