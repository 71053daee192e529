//! `curriculum index`: builds the score index.

use std::process::ExitCode;

use clap::Args;

use super::scoring::{Outcome, ScoringArgs};
use crate::api::conditions::Reason;
use crate::scoring::index::build_index;
use crate::scoring::report::Report;

/// Check and merge the scores of all shards and write the score index.
#[derive(Args, Debug)]
pub(crate) struct IndexArgs {
    #[command(flatten)]
    scoring: ScoringArgs,
}

pub(crate) fn run(args: &IndexArgs) -> ExitCode {
    #[expect(
        clippy::disallowed_methods,
        reason = "the shell reads the time once; the newest index is the one to fall back to"
    )]
    let now = jiff::Timestamp::now();
    args.scoring.report(Reason::ScorerFailed, |task, store| {
        let summary = build_index(task, store, now)?;
        tracing::info!(
            rows = summary.rows,
            scored = summary.scored_rows,
            digest = summary.digest,
            "indexed"
        );
        Ok(Outcome::Report(Box::new(Report::Indexed(summary))))
    })
}
