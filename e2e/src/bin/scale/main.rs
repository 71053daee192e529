//! How the operator and JobSet keep up with many objects: each moves objects of five Jobs, one after the other, to their end on
//! a real etcd and API server. Nobody runs pods: this program writes what a Job controller and a kubelet would write.

mod figures;
mod player;
mod program;
mod rival;
mod round;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use e2e::Result;

use rival::{Programs, Rival};

/// Compares the operator with JobSet at many objects.
#[derive(Parser)]
struct Args {
    /// Numbers of objects, one round of each program for each.
    #[arg(long, value_delimiter = ',', default_value = "500,10000")]
    objects: Vec<usize>,
    /// Programs to measure.
    #[arg(long, value_delimiter = ',', default_value = "curriculum,jobset")]
    only: Vec<Rival>,
    #[command(flatten)]
    programs: Programs,
    /// Page whose section on scale is written; default: none, the table is only printed.
    #[arg(long)]
    page: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("scale: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args) -> Result {
    let mut all = Vec::new();
    for &objects in &args.objects {
        for &rival in &args.only {
            println!("{}: {objects} objects of five Jobs each ...", rival.name());
            let figures = round::play(rival, &args.programs, objects).await?;
            println!("{}", figures::table(std::slice::from_ref(&figures)));
            all.push(figures);
        }
    }
    println!("{}", figures::table(&all));
    if let Some(page) = &args.page {
        figures::write(page, &all)?;
        println!("written: {}", page.display());
    }
    Ok(())
}
