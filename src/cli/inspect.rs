//! `curriculum inspect`: finds out what the data set holds.

use std::process::ExitCode;

use clap::Args;

use super::scoring::{Outcome, ScoringArgs};
use crate::api::conditions::Reason;
use crate::scoring::inspect::inspect;
use crate::scoring::report::Report;

/// Count the data set's rows and groups, check its columns, and look for a score index on the store.
#[derive(Args, Debug)]
pub(crate) struct InspectArgs {
    #[command(flatten)]
    scoring: ScoringArgs,
}

pub(crate) fn run(args: &InspectArgs) -> ExitCode {
    args.scoring.report(Reason::InspectionFailed, |task, store| {
        let inspection = inspect(task, &args.scoring.root(task)?, store)?;
        tracing::info!(
            rows = inspection.rows,
            groups = inspection.group_rows.len(),
            "inspected"
        );
        Ok(Outcome::Report(Box::new(Report::Inspected(inspection))))
    })
}
