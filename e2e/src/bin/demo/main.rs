//! The digits demo: the same model, seed and steps with a curriculum and without, on a cluster that has the operator.

mod outcome;
mod progress;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use curriculum_operator::demo::{self, Outcome};
use e2e::case::Case;
use e2e::{Result, dump, samples};
use kube::Client;

/// The two runs; each file in `config/samples` has the name of its run.
const RUNS: [&str; 2] = ["digits-curriculum", "digits-uniform"];
/// Trains the digits demo and shows what the curriculum changed.
#[derive(Parser)]
struct Args {
    /// Namespace of the demo. One left by an earlier demo is deleted first.
    #[arg(long, default_value = "curriculum-demo")]
    namespace: String,
    /// Where the picture goes.
    #[arg(long, default_value = "out/demo.svg")]
    picture: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args) -> Result {
    let client = Client::try_default().await?;
    println!("preparing the data in namespace {} ...", args.namespace);
    let case = Case::create(&client, &args.namespace, "demo").await?;
    samples::prepare(&case).await?;
    samples::apply(&case, samples::CURRICULUM).await?;
    if let Err(error) = progress::follow(&case).await {
        eprintln!("{}", dump::namespace(&client, &case.namespace).await);
        return Err(error);
    }
    let outcomes = futures::future::try_join_all(RUNS.map(|name| outcome::of(&case, name))).await?;
    println!("\n{}", demo::table(&outcomes));
    demo::draw(&args.picture, &outcomes)?;
    println!("{}", closing(args, &outcomes));
    Ok(())
}

fn closing(args: &Args, outcomes: &[Outcome]) -> String {
    let namespace = &args.namespace;
    let picture = std::fs::canonicalize(&args.picture).unwrap_or_else(|_| args.picture.clone());
    let mut text = format!("Picture: {}\n\nTry next:\n", picture.display());
    if std::env::var("CLUSTER").as_deref() != Ok("current") {
        text += "  eval \"$(e2e/cluster/cluster env)\"        # kubectl and helm of the local cluster\n";
    }
    let first = outcomes.first().map_or(RUNS[0], |outcome| outcome.name.as_str());
    text += &format!(
        "  kubectl -n {namespace} get curriculumjobs,curriculumsnapshots
  kubectl -n {namespace} describe curriculumjob {first}
  kubectl -n {namespace} get configmap {first}-scores -o yaml
  # The hardest rows first: this should hurt.
  sed 's/EasyFirst/HardFirst/; s/{first}/digits-hard/' \\
    config/samples/{first}.yaml | kubectl -n {namespace} apply -f -
"
    );
    if std::env::var("CLUSTER").as_deref() != Ok("current") {
        text += "  make down                              # ends the cluster, leaves nothing behind\n";
    }
    text
}
