//! `curriculum exec`: runs a program as a scorer.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Args;

use super::scoring::{Outcome, ScoringArgs, ShardArgs};
use crate::api::conditions::Reason;
use crate::scoring::exec;

/// Run a program as the scorer of one shard and take over the file of scores that it writes.
#[derive(Args, Debug)]
pub(crate) struct ExecArgs {
    #[command(flatten)]
    scoring: ScoringArgs,
    #[command(flatten)]
    shard: ShardArgs,
    /// Name of the scorer.
    #[arg(long)]
    scorer: String,
    /// The program and its arguments.
    #[arg(last = true, required = true)]
    program: Vec<OsString>,
}

pub(crate) fn run(args: &ExecArgs) -> ExitCode {
    args.scoring.report(Reason::ScorerFailed, |task, store| {
        let (root, shard) = (args.scoring.copies(), args.shard.of(task)?);
        // After a failure the kubelet shows the program's own last lines, as long as nobody writes a message.
        Ok(
            match exec::run(task, &root, store, shard, &args.scorer, &args.program)? {
                exec::Outcome::Scored => Outcome::Done,
                exec::Outcome::Failed(code) => Outcome::Exit(code),
            },
        )
    })
}
