//! `curriculum worklist`: the rows that are most worth a look by people, as a file of overrides to fill in.

use std::collections::BTreeSet;
use std::io::{self, BufWriter, ErrorKind};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::index::map::ScoreIndex;
use crate::scoring::store::Store;
use crate::scoring::worklist::{Item, disputed, nearest, read_scores};
use crate::simulate::ids::Ids;
use crate::store::Shared;

/// Print the rows that are most worth a look by people, as a file of overrides to fill in.
///
/// The columns rank, who, when and reason are empty; fill them in for the rows that are somewhere else than they should be, and
/// leave the other lines out. `place` is the rank that the row has now.
#[derive(Args, Debug)]
pub(crate) struct WorklistArgs {
    /// Score index: index/<key>/index.arrow of the store.
    #[arg(long, value_name = "FILE")]
    index: PathBuf,
    /// Number of rows.
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
    /// Rows whose rank is near this one, from 0 to 1, such as the fraction of a pool.
    #[arg(long, value_name = "RANK", value_parser = rank, required_unless_present = "scores", conflicts_with = "scores")]
    near: Option<f64>,
    /// Rows about which the scorers disagree most: the folder scores/<key> of the store.
    #[arg(long, value_name = "FOLDER")]
    scores: Option<PathBuf>,
    /// In how many shards the rows were scored. Default: as the files say.
    #[arg(long, value_name = "COUNT", requires = "scores", value_parser = clap::value_parser!(u32).range(1..))]
    shards: Option<u32>,
    /// Print the values of this column of the data set too.
    #[arg(long, value_name = "COLUMN", requires = "data")]
    ids: Option<String>,
    /// A file of the data set, for --ids; of several, each one in the order of their rows.
    #[arg(long, value_name = "FILE", requires = "ids")]
    data: Vec<PathBuf>,
}

fn rank(text: &str) -> Result<f64, String> {
    let rank = text.parse::<f64>().ok().filter(|rank| (0.0..=1.0).contains(rank));
    rank.ok_or_else(|| "it must be a number from 0 to 1".to_owned())
}

pub(crate) fn run(args: &WorklistArgs) -> ExitCode {
    match list(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("curriculum worklist: {error}");
            ExitCode::FAILURE
        }
    }
}

fn list(args: &WorklistArgs) -> Result<(), String> {
    let index = ScoreIndex::open(&args.index, None).map_err(|e| format!("{}: {e}", args.index.display()))?;
    let count = args.count as usize;
    let (measure, items) = match (&args.scores, args.near) {
        (Some(folder), _) => {
            let store = Store::new(Shared::volume(folder.clone()));
            let scores = read_scores(&store, folder, args.shards, index.len()).map_err(|e| e.to_string())?;
            if scores.len() < 2 {
                let found = scores.len();
                return Err(format!(
                    "--scores: {} has {found} scorers; two are needed to disagree",
                    folder.display()
                ));
            }
            let scores = scores.into_iter().map(|(_, scores)| scores).collect();
            ("disagreement", disputed(&index, scores, count))
        }
        (None, near) => ("distance", nearest(&index, near.unwrap_or(1.0), count)),
    };
    let wanted: BTreeSet<u64> = items.iter().map(|item| item.row).collect();
    let ids = args.ids.as_ref().map(|column| {
        let ids = Ids::read(&args.data, column, &wanted, index.len());
        ids.map(|ids| (column.as_str(), ids)).map_err(|e| e.to_string())
    });
    match print(&items, measure, ids.transpose()?.as_ref()) {
        // Who reads has read enough.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(format!("standard output: {error}")),
        _ => Ok(()),
    }
}

fn print(items: &[Item], measure: &str, ids: Option<&(&str, Ids)>) -> io::Result<()> {
    let mut table = csv::Writer::from_writer(BufWriter::new(io::stdout().lock()));
    let columns = ["row"].into_iter().chain(ids.map(|(column, _)| *column));
    table.write_record(columns.chain(["rank", "who", "when", "reason", "place", measure]))?;
    for item in items {
        let row = item.row.to_string();
        let (place, measure) = (item.rank.to_string(), item.measure.to_string());
        let id = ids.map(|(_, ids)| ids.of(item.row).unwrap_or_default());
        let named = [row.as_str()].into_iter().chain(id);
        table.write_record(named.chain(["", "", "", "", &place, &measure]))?;
    }
    table.flush()
}
