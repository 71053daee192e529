//! `curriculum sample`: prints the rows of batches, so that anyone can check what a run saw.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::curriculum::CurriculumArgs;
use crate::curriculum::sampler::Sampler;
use crate::simulate::document::Document;
use crate::simulate::error::SimulateError;
use crate::simulate::ids::Ids;

/// Print the row numbers of batches, or the rows' ids, one batch per line.
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
    /// Print the values of this column of the data set in place of row numbers.
    #[arg(long, value_name = "COLUMN", requires = "data")]
    ids: Option<String>,
    /// A file of the data set, for --ids; of several, each one in the order of their rows.
    #[arg(long, value_name = "FILE", requires = "ids")]
    data: Vec<PathBuf>,
    /// Form of the output.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Form of the output.
#[derive(ValueEnum, Clone, Copy, Debug)]
enum Format {
    /// Row numbers separated by blanks, or ids separated by tabs.
    Text,
    /// `{"step":0,"rows":[…]}`, or `{"step":0,"ids":[…]}` with null for a row without one.
    Json,
}

/// A batch.
#[derive(Serialize)]
struct Line<'a> {
    step: u64,
    #[serde(flatten)]
    names: Names<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Names<'a> {
    Rows(&'a [u64]),
    Ids(Vec<Option<&'a str>>),
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
    args.curriculum.knows_rows(&document)?;
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
    let batch =
        |step, rows: &mut Vec<u64>| sampler.batch_for_rank(step, args.rank, args.world, population.order(), rows);
    let ids = match &args.ids {
        None => None,
        Some(column) => {
            let (mut wanted, mut rows) = (BTreeSet::new(), Vec::new());
            for step in args.from..end {
                batch(step, &mut rows)?;
                wanted.extend(rows.iter().copied());
            }
            let all = sampler.plan().dataset_rows();
            Some(Ids::read(&args.data, column, &wanted, all)?)
        }
    };
    let mut out = BufWriter::new(io::stdout().lock());
    let mut rows = Vec::new();
    for step in args.from..end {
        batch(step, &mut rows)?;
        let names = match &ids {
            None => Names::Rows(&rows),
            Some(ids) => Names::Ids(rows.iter().map(|row| ids.of(*row)).collect()),
        };
        match write(&mut out, args.format, &Line { step, names }) {
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

fn write(out: &mut impl Write, format: Format, line: &Line<'_>) -> io::Result<()> {
    match (format, &line.names) {
        (Format::Text, Names::Rows(rows)) => join(out, " ", rows.iter())?,
        (Format::Text, Names::Ids(ids)) => join(out, "\t", ids.iter().map(|id| id.unwrap_or_default()))?,
        (Format::Json, _) => serde_json::to_writer(&mut *out, line)?,
    }
    out.write_all(b"\n")
}

fn join<T: Display>(out: &mut impl Write, between: &str, all: impl Iterator<Item = T>) -> io::Result<()> {
    for (place, one) in all.enumerate() {
        let between = if place > 0 { between } else { "" };
        write!(out, "{between}{one}")?;
    }
    Ok(())
}

fn failed(source: io::Error) -> SimulateError {
    SimulateError::Io {
        path: "standard output".into(),
        source,
    }
}
