//! `curriculum simulate`: shows what the sampler would serve.

use std::fs;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::curriculum::CurriculumArgs;
use crate::curriculum::plan::{MAX_EXACT, Plan};
use crate::curriculum::sampler::Sampler;
use crate::curriculum::transition::{Course, Decision};
use crate::sampler::report::Report;
use crate::simulate::deepspeed;
use crate::simulate::document::{Document, Kind};
use crate::simulate::error::SimulateError;
use crate::simulate::lines::Line;
use crate::simulate::population::Population;
use crate::simulate::run::{Shown, Simulation};
use crate::simulate::summary::Summary;
use crate::simulate::{page, picture, shortage, table};

/// Rows of a table, and points of a curve, when --every is not given.
const TABLE_ROWS: u64 = 24;
const CURVE_POINTS: u64 = 1000;

/// Show what the sampler would serve: pools, difficulties, groups, distinct rows, and what is short.
#[derive(Args, Debug)]
pub(crate) struct SimulateArgs {
    #[command(flatten)]
    curriculum: CurriculumArgs,
    /// Steps to show, from A up to, but not including, B; either may be left out. Batches are drawn from step 0 on whatever A is.
    #[arg(long, value_name = "A..B")]
    steps: Option<String>,
    /// Show every K-th step. Default: about 24 rows of a table, about 1,000 points of a picture, every step as JSON.
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u64).range(1..))]
    every: Option<u64>,
    /// What the trainer would report, one JSON object per line as in POST /v1/report: plays the transitions of the curriculum.
    #[arg(long, value_name = "FILE")]
    metrics: Option<PathBuf>,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// File to write to. Default: standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Another curriculum over the same rows, to draw into the same picture; may be given several times.
    #[arg(long, value_name = "FILE")]
    compare: Vec<PathBuf>,
}

/// Form of the output.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Output {
    /// Text of 80 columns.
    Table,
    /// JSON Lines, one object per shown step.
    Json,
    /// A picture.
    Svg,
    /// A page with the picture, totals and shortages.
    Html,
}

pub(crate) fn run(args: &SimulateArgs) -> ExitCode {
    match simulate(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("curriculum simulate: {error}");
            ExitCode::FAILURE
        }
    }
}

fn simulate(args: &SimulateArgs) -> Result<(), SimulateError> {
    if args.output == Output::Json && !args.compare.is_empty() {
        let problem = "goes with -o table, svg and html; run `-o json` once for each curriculum";
        return Err(SimulateError::argument("--compare", problem));
    }
    let document = Document::read(&args.curriculum.file)?;
    let population = args.curriculum.population(&document)?;
    let steps = args.steps.as_deref().map(Steps::parse).transpose()?.unwrap_or_default();
    let first = Compiled::new(args, document, &population, &steps)?;
    if args.output == Output::Json {
        return lines(args, &first, &population, &steps);
    }
    let others = args.compare.iter().map(|path| {
        let document = Document::read(path)?;
        if document.kind == Kind::Job && document.split != first.document.split {
            let problem = format!(
                "{} has another `dataset.split`, so that it has other rows",
                path.display()
            );
            return Err(SimulateError::argument("--compare", problem));
        }
        if document.kind == Kind::Job && document.filter != first.document.filter {
            let problem = format!(
                "{} has another `dataset.filter`, so that it has other rows",
                path.display()
            );
            return Err(SimulateError::argument("--compare", problem));
        }
        if document.kind == Kind::Job && document.leave_out != first.document.leave_out {
            let problem = format!(
                "{} has another `scoring.overrides.leaveOut`, so that it may have other rows",
                path.display()
            );
            return Err(SimulateError::argument("--compare", problem));
        }
        Compiled::new(args, document, &population, &steps)
    });
    let others = others.collect::<Result<Vec<_>, _>>()?;
    let summary = first.summary(args, &population, &steps)?;
    let others = others.iter().map(|other| {
        // A shorter curriculum is shown to its own end.
        let steps = Steps {
            end: steps.end.map(|end| end.min(other.sampler.plan().total_steps())),
            ..steps
        };
        other.summary(args, &population, &steps)
    });
    let others = others.collect::<Result<Vec<_>, _>>()?;
    let text = match args.output {
        Output::Table | Output::Json => {
            let mut texts = vec![table::text(&summary)];
            texts.extend(
                others
                    .iter()
                    .map(|other| format!("\nCOMPARED WITH {}\n{}", other.name, table::text(other))),
            );
            texts.concat()
        }
        Output::Svg => picture::svg(&summary, &others)?,
        Output::Html => page::page(&summary, &others, &picture::svg(&summary, &others)?),
    };
    write(args, |out| Ok(out.write_all(text.as_bytes())?))
}

/// A curriculum, ready to be drawn from.
struct Compiled {
    document: Document,
    sampler: Sampler,
    /// How each phase of the plan was left, where reports were played.
    decisions: Vec<Option<Decision>>,
}

impl Compiled {
    fn new(
        args: &SimulateArgs,
        mut document: Document,
        population: &Population,
        steps: &Steps,
    ) -> Result<Self, SimulateError> {
        if let (Kind::DeepSpeed, Some(end)) = (document.kind, steps.end) {
            deepspeed::extend(&mut document.spec, end);
        }
        let Course { plan, decisions } = match &args.metrics {
            Some(path) => {
                let reports = reports(path)?;
                let evidence: Vec<_> = reports.iter().map(Report::evidence).collect();
                args.curriculum.course(&document, population, &evidence)?
            }
            None => Course {
                plan: args.curriculum.plan(&document, population)?,
                decisions: Vec::new(),
            },
        };
        Ok(Self {
            document,
            sampler: Sampler::new(plan)?,
            decisions,
        })
    }

    fn shown(&self, args: &SimulateArgs, steps: &Steps) -> Result<Shown, SimulateError> {
        let steps = steps.of(self.sampler.plan())?;
        let count = steps.end - steps.start;
        let default = match args.output {
            Output::Table => count.div_ceil(TABLE_ROWS),
            Output::Json => 1,
            Output::Svg | Output::Html => count.div_ceil(CURVE_POINTS),
        };
        Ok(Shown {
            steps,
            every: args.every.unwrap_or(default).max(1),
            last: args.output != Output::Json,
        })
    }

    fn summary<'a>(
        &'a self,
        args: &SimulateArgs,
        population: &'a Population,
        steps: &Steps,
    ) -> Result<Summary<'a>, SimulateError> {
        let simulation = Simulation::new(&self.sampler, population, self.shown(args, steps)?);
        let mut points = Vec::new();
        let totals = simulation.run::<SimulateError>(|point| {
            points.push(point);
            Ok(())
        })?;
        let plan = self.sampler.plan();
        let data = args.curriculum.data();
        Ok(Summary::new(
            &self.document,
            (plan, &self.decisions),
            population,
            simulation.depth(),
            points,
            totals,
            &data,
        ))
    }
}

fn lines(
    args: &SimulateArgs,
    compiled: &Compiled,
    population: &Population,
    steps: &Steps,
) -> Result<(), SimulateError> {
    let plan = compiled.sampler.plan();
    let simulation = Simulation::new(&compiled.sampler, population, compiled.shown(args, steps)?);
    for note in &compiled.document.notes {
        eprintln!("curriculum simulate: {note}");
    }
    write(args, |out| {
        let totals = simulation.run(|point| -> Result<(), Failure> {
            let phase = &plan.phases[point.phase].name;
            serde_json::to_writer(&mut *out, &Line::new(&point, phase, population.group_names()))
                .map_err(io::Error::from)?;
            Ok(out.write_all(b"\n")?)
        })?;
        for shortage in shortage::find(&compiled.document.spec, plan, population, &totals) {
            eprintln!("curriculum simulate: {shortage}");
        }
        Ok(())
    })
}

/// The reports of a file.
fn reports(path: &Path) -> Result<Vec<Report>, SimulateError> {
    let text = fs::read_to_string(path).map_err(|source| SimulateError::Io {
        path: path.to_owned(),
        source,
    })?;
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    let read = |(number, line): (u64, &str)| {
        Report::parse(line.as_bytes(), 0, MAX_EXACT).map_err(|error| SimulateError::File {
            path: path.to_owned(),
            problem: format!("line {number}: {error}"),
        })
    };
    lines.map(read).collect()
}

/// What ends a run that writes as it goes.
enum Failure {
    Simulate(SimulateError),
    Write(io::Error),
}

impl From<SimulateError> for Failure {
    fn from(error: SimulateError) -> Self {
        Self::Simulate(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Write(error)
    }
}

/// Writes to the file or to standard output.
fn write(
    args: &SimulateArgs,
    content: impl FnOnce(&mut dyn Write) -> Result<(), Failure>,
) -> Result<(), SimulateError> {
    let to = |out: &mut dyn Write| content(&mut *out).and_then(|()| Ok(out.flush()?));
    let written = match &args.out {
        Some(path) => fs::File::create(path)
            .map_err(Failure::from)
            .and_then(|file| to(&mut BufWriter::new(file))),
        None => to(&mut BufWriter::new(io::stdout().lock())),
    };
    match written {
        // Who reads has read enough.
        Err(Failure::Write(error)) if args.out.is_none() && error.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(Failure::Simulate(error)) => Err(error),
        Err(Failure::Write(source)) => Err(SimulateError::Io {
            path: args.out.clone().unwrap_or_else(|| "standard output".into()),
            source,
        }),
        Ok(()) => Ok(()),
    }
}

/// `A..B`, `A..`, `..B`.
#[derive(Clone, Copy, Debug, Default)]
struct Steps {
    start: u64,
    end: Option<u64>,
}

impl Steps {
    fn parse(text: &str) -> Result<Self, SimulateError> {
        let read = || {
            let (start, end) = text.split_once("..")?;
            Some(Self {
                start: if start.is_empty() { 0 } else { start.parse().ok()? },
                end: if end.is_empty() { None } else { Some(end.parse().ok()?) },
            })
        };
        read().ok_or_else(|| {
            SimulateError::argument(
                "--steps",
                format!("'{text}' is no range such as 0..1000, 500.. or ..1000"),
            )
        })
    }

    fn of(&self, plan: &Plan) -> Result<Range<u64>, SimulateError> {
        let total = plan.total_steps();
        let end = self.end.unwrap_or(total);
        if self.start < end && end <= total {
            return Ok(self.start..end);
        }
        let problem = format!(
            "{}..{end} is not within the steps of the curriculum, 0..{total}, or has none",
            self.start
        );
        Err(SimulateError::argument("--steps", problem))
    }
}
