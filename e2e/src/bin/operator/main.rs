//! The project's binary, for tests that run it as a process of their own beside an API server.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    curriculum_operator::cli::Cli::parse().run()
}
