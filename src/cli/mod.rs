//! The commands of the binary, one file each. They parse arguments, wire the library and set the exit code; nothing else.

#[cfg(feature = "operator")]
mod api_docs;
#[cfg(feature = "operator")]
mod crds;
#[cfg(feature = "operator")]
mod generated;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Trains models on easy data first, on Kubernetes.
#[derive(Parser, Debug)]
#[command(name = "curriculum", version, about, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    #[cfg(feature = "operator")]
    ApiDocs(api_docs::Args),
    #[cfg(feature = "operator")]
    Crds(crds::Args),
}

impl Cli {
    /// Runs the command and returns the exit code of the process.
    pub fn run(self) -> ExitCode {
        match self.command {
            #[cfg(feature = "operator")]
            Command::ApiDocs(args) => api_docs::run(args),
            #[cfg(feature = "operator")]
            Command::Crds(args) => crds::run(args),
        }
    }
}
