//! `curriculum drift`: how far scores have moved.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use crate::curriculum::drift::{shift, spearman};
use crate::index::map::ScoreIndex;

/// Exit code when there is drift.
const DRIFTED: u8 = 3;

/// Tell how far the scores of an index have moved from those of another one, as a distribution and as an order.
///
/// Exit code 3 says that they have drifted: the population stability index is above `--psi` and above what so many rows come to
/// by chance, or the rank correlation of the same rows is below `--spearman`.
#[derive(Args, Debug)]
pub(crate) struct DriftArgs {
    /// Score index of before, index/<key>/index.arrow of the store.
    #[arg(value_name = "REFERENCE")]
    reference: PathBuf,
    /// Score index of now.
    #[arg(value_name = "CURRENT")]
    current: PathBuf,
    /// Greatest population stability index that is no drift; by custom, above 0.1 is a little and above 0.25 much.
    #[arg(long, value_name = "NUMBER", default_value_t = 0.25, value_parser = at_least_0)]
    psi: f64,
    /// Least rank correlation of the rows that is no drift, from -1 to 1. Default: it is only told.
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true, value_parser = correlation)]
    spearman: Option<f64>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

fn at_least_0(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| *number >= 0.0);
    number.ok_or_else(|| "it must be a number from 0 on".to_owned())
}

fn correlation(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| (-1.0..=1.0).contains(number));
    number.ok_or_else(|| "it must be a number from -1 to 1".to_owned())
}

pub(crate) fn run(args: &DriftArgs) -> ExitCode {
    match compare(args) {
        Ok((text, drifted)) => {
            println!("{text}");
            if drifted {
                ExitCode::from(DRIFTED)
            } else {
                ExitCode::SUCCESS
            }
        }
        Err(error) => {
            eprintln!("curriculum drift: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compare(args: &DriftArgs) -> Result<(String, bool), String> {
    let open = |path: &Path| ScoreIndex::open(path, None).map_err(|error| format!("{}: {error}", path.display()));
    let (before, now) = (open(&args.reference)?, open(&args.current)?);
    let (scored_before, scored_now) = (scores(&before), scores(&now));
    let found = shift(scored_before, scored_now)
        .ok_or_else(|| "one of the indexes has no row with a score, so there is nothing to compare".to_owned())?;
    // Row numbers mean the same rows only where there are as many of them.
    let order = (before.len() == now.len()).then(|| {
        let (a, b) = (ranks(&before), ranks(&now));
        spearman(a.iter().copied().zip(b.iter().copied()))
    });
    let order = order.flatten();
    let moved = found.psi > args.psi && found.psi > found.noise;
    let shuffled = args
        .spearman
        .is_some_and(|least| order.is_some_and(|order| order < least));
    let drifted = moved || shuffled;
    if args.json {
        let object = json!({
            "rows": [before.len(), now.len()], "scored": [scored_before.len(), scored_now.len()], "bins": found.bins,
            "psi": found.psi, "psiNoise": found.noise, "kl": found.kl, "spearman": order, "drifted": drifted,
        });
        return Ok((object.to_string(), drifted));
    }
    let order = order.map_or_else(|| "- (not the same rows)".to_owned(), |order| format!("{order:.4}"));
    let verdict = match (moved, shuffled) {
        (true, true) => "drifted, as a distribution and as an order",
        (true, false) => "drifted as a distribution",
        (false, true) => "drifted as an order",
        (false, false) if found.psi > args.psi => "no drift: so few rows differ as much by chance",
        (false, false) => "no drift",
    };
    let (a, b) = (scored_before.len(), scored_now.len());
    let text = format!(
        "{:<22} {:>12} {:>12}\n{:<22} {:>12} {:>12}\n{:<22} {a:>12} {b:>12}\n\n\
         PSI                    {:.4}  (limit {}, by chance up to {:.4}; {} bins)\nKL                     {:.4}\n\
         Spearman               {order}\n\n{verdict}",
        "",
        "REFERENCE",
        "CURRENT",
        "rows",
        before.len(),
        now.len(),
        "scored",
        found.psi,
        args.psi,
        found.noise,
        found.bins,
        found.kl,
    );
    Ok((text, drifted))
}

/// The scores of the rows that have one, ascending.
fn scores(index: &ScoreIndex) -> &[f64] {
    let scored = index.scores().partition_point(|score| !score.is_nan());
    &index.scores()[..scored]
}

/// The rank of each row; NaN for one without a score.
fn ranks(index: &ScoreIndex) -> Vec<f64> {
    let mut ranks = vec![f64::NAN; index.rows().len()];
    let scored = scores(index).len();
    for (row, rank) in index.rows().iter().zip(index.ranks()).take(scored) {
        if let Some(place) = usize::try_from(*row).ok().and_then(|row| ranks.get_mut(row)) {
            *place = *rank;
        }
    }
    ranks
}
