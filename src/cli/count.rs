//! `curriculum count`: counts tokens for rarity scorers.

use std::process::ExitCode;

use clap::Args;

use super::scoring::{Outcome, ScoringArgs, ShardArgs};
use crate::api::conditions::Reason;
use crate::scoring::count::count_shard;

/// Count the tokens of one shard's rows for the rarity scorers.
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
