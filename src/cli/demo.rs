//! `curriculum demo`: the digits demo on this machine.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::run::{block_on, exit_code};
use crate::demo::{self, Demo};

/// Train the digits demo on this machine: 40 % wrong labels, with a curriculum and without.
///
/// Needs Python with numpy, and no cluster; ends with a table and a picture.
#[derive(Args, Debug)]
pub(crate) struct DemoArgs {
    /// Folder for all of it.
    #[arg(short, long, value_name = "DIR", default_value = "curriculum-demo")]
    dir: PathBuf,
}

pub(crate) fn run(args: &DemoArgs) -> ExitCode {
    block_on("demo", |interrupted| async move {
        Ok(match demo::run(&args.dir, interrupted).await? {
            Demo::Shown => ExitCode::SUCCESS,
            Demo::Ended(outcome) => exit_code(outcome),
        })
    })
}
