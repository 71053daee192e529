//! The commands of the binary, one file each. They parse arguments, wire the library and set the exit code; nothing else.

#[cfg(feature = "operator")]
mod api_docs;
mod archive;
#[cfg(feature = "operator")]
mod attend;
mod count;
#[cfg(feature = "operator")]
mod crds;
mod curriculum;
#[cfg(feature = "operator")]
mod demo;
mod drift;
mod exec;
mod fetch;
mod freeze;
#[cfg(feature = "operator")]
mod generated;
mod index;
mod inspect;
mod install_self;
#[cfg(feature = "operator")]
mod operator;
#[cfg(feature = "operator")]
mod run;
mod sample;
mod sampler;
mod score;
mod scoring;
mod simulate;
mod store;
mod verify;
mod worklist;

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
    Demo(demo::DemoArgs),
    #[cfg(feature = "operator")]
    Run(run::RunArgs),
    #[cfg(feature = "operator")]
    #[command(hide = true)]
    Attend(attend::AttendArgs),
    Inspect(inspect::InspectArgs),
    Count(count::CountArgs),
    Score(score::ScoreArgs),
    Exec(exec::ExecArgs),
    Fetch(fetch::FetchArgs),
    Archive(archive::ArchiveArgs),
    Index(index::IndexArgs),
    InstallSelf(install_self::InstallSelfArgs),
    #[cfg(feature = "operator")]
    ApiDocs(api_docs::Args),
    #[cfg(feature = "operator")]
    Crds(crds::Args),
    Simulate(simulate::SimulateArgs),
    Sample(sample::SampleArgs),
    Verify(verify::VerifyArgs),
    Drift(drift::DriftArgs),
    Freeze(freeze::FreezeArgs),
    Worklist(worklist::WorklistArgs),
    Sampler(sampler::SamplerArgs),
    #[cfg(feature = "operator")]
    Operator(operator::OperatorArgs),
}

impl Cli {
    /// Runs the command and returns the exit code of the process.
    pub fn run(self) -> ExitCode {
        match self.command {
            #[cfg(feature = "operator")]
            Command::Demo(args) => demo::run(&args),
            #[cfg(feature = "operator")]
            Command::Run(args) => run::run(args),
            #[cfg(feature = "operator")]
            Command::Attend(args) => attend::run(&args),
            Command::Inspect(args) => inspect::run(&args),
            Command::Count(args) => count::run(&args),
            Command::Score(args) => score::run(&args),
            Command::Exec(args) => exec::run(&args),
            Command::Fetch(args) => fetch::run(&args),
            Command::Archive(args) => archive::run(&args),
            Command::Drift(args) => drift::run(&args),
            Command::Freeze(args) => freeze::run(&args),
            Command::Index(args) => index::run(&args),
            Command::InstallSelf(args) => install_self::run(&args),
            #[cfg(feature = "operator")]
            Command::ApiDocs(args) => api_docs::run(args),
            #[cfg(feature = "operator")]
            Command::Crds(args) => crds::run(args),
            Command::Simulate(args) => simulate::run(&args),
            Command::Sample(args) => sample::run(&args),
            Command::Verify(args) => verify::run(&args),
            Command::Worklist(args) => worklist::run(&args),
            Command::Sampler(args) => sampler::run(args),
            #[cfg(feature = "operator")]
            Command::Operator(args) => operator::run(args),
        }
    }
}
