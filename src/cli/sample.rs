//! `curriculum sample`: prints the rows of batches, so that anyone can check what a run saw.

use std::io::{self, BufWriter, ErrorKind, Write};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::curriculum::CurriculumArgs;
use crate::curriculum::sampler::Sampler;
use crate::simulate::document::Document;
use crate::simulate::error::SimulateError;

/// Print the row numbers of batches, one batch per line.
#[derive(Args, Debug)]
pub(crate) struct SampleArgs {
    #[command(flatten)]
    curriculum: CurriculumArgs,
    /// First step.
    #[arg(long, value_name = "STEP")]
    from: u64,
    /// Number of batches.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    /// Only the part of this rank, from 0.
    #[arg(long, value_name = "RANK", requires = "world", default_value_t = 0)]
    rank: u32,
    /// Number of ranks that share a batch.
    #[arg(long, value_name = "RANKS", default_value_t = 1)]
    world: u32,
    /// Form of the output.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Form of the output.
#[derive(ValueEnum, Clone, Copy, Debug)]
enum Format {
    /// Row numbers separated by blanks.
    Text,
    /// `{"step":0,"rows":[…]}`
    Json,
}

#[derive(Serialize)]
struct Line<'a> {
    step: u64,
    rows: &'a [u64],
}

pub(crate) fn run(args: &SampleArgs) -> ExitCode {
    match sample(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("curriculum sample: {error}");
            ExitCode::FAILURE
        }
    }
}

fn sample(args: &SampleArgs) -> Result<(), SimulateError> {
    let document = Document::read(&args.curriculum.file)?;
    let population = args.curriculum.population(&document)?;
    for note in &document.notes {
        eprintln!("curriculum sample: {note}");
    }
    let sampler = Sampler::new(args.curriculum.plan(&document, &population)?)?;
    let total = sampler.plan().total_steps();
    let end = args.from.saturating_add(args.count);
    if end > total {
        let problem = format!(
            "steps {} to {} are not all of the curriculum, which has {total}",
            args.from,
            end - 1
        );
        return Err(SimulateError::argument("--from, --count", problem));
    }
    let mut out = BufWriter::new(io::stdout().lock());
    let mut rows = Vec::new();
    for step in args.from..end {
        sampler.batch_for_rank(step, args.rank, args.world, population.order(), &mut rows)?;
        match write(&mut out, args.format, step, &rows) {
            Ok(()) => {}
            // Who reads has read enough.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
            Err(source) => return Err(failed(source)),
        }
    }
    match out.flush() {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(failed(error)),
        _ => Ok(()),
    }
}

fn write(out: &mut impl Write, format: Format, step: u64, rows: &[u64]) -> io::Result<()> {
    match format {
        Format::Text => {
            for (i, row) in rows.iter().enumerate() {
                if i > 0 {
                    out.write_all(b" ")?;
                }
                write!(out, "{row}")?;
            }
            out.write_all(b"\n")
        }
        Format::Json => {
            serde_json::to_writer(&mut *out, &Line { step, rows })?;
            out.write_all(b"\n")
        }
    }
}

fn failed(source: io::Error) -> SimulateError {
    SimulateError::Io {
        path: "standard output".into(),
        source,
    }
}
