//! `curriculum attend`: what `curriculum run` starts programs through.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::local::attend;

/// Run a program that ends when standard input does.
#[derive(Args, Debug)]
pub(crate) struct AttendArgs {
    /// File to hold locked, shared, meanwhile.
    #[arg(long)]
    lock: PathBuf,
    /// The program and its arguments.
    #[arg(last = true, required = true)]
    program: Vec<OsString>,
}

pub(crate) fn run(args: &AttendArgs) -> ExitCode {
    ExitCode::from(attend(&args.program, &args.lock))
}
