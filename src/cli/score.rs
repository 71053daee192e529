//! `curriculum score`: runs the built-in scorers.

use std::process::ExitCode;

use clap::Args;

use super::scoring::{Outcome, ScoringArgs, ShardArgs};
use crate::api::conditions::Reason;
use crate::scoring::builtin::score_shard;

/// Score one shard's rows with all built-in scorers.
#[derive(Args, Debug)]
pub(crate) struct ScoreArgs {
    #[command(flatten)]
    scoring: ScoringArgs,
    #[command(flatten)]
    shard: ShardArgs,
}

pub(crate) fn run(args: &ScoreArgs) -> ExitCode {
    args.scoring.report(Reason::ScorerFailed, |task, store| {
        score_shard(task, &args.scoring.root(task)?, store, args.shard.of(task)?)?;
        Ok(Outcome::Done)
    })
}
