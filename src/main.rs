//! The one binary of the project, `curriculum`.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    curriculum_operator::cli::Cli::parse().run()
}
