//! How fast scores are read, ranked and opened, each beside a rival that does the least that the work needs, in turns.
//!
//! ```text
//! cargo bench --locked --bench scoring [-- --python PATH] [--rows N] [--bytes N] [--groups N] [--repeat N] [--folder DIR] [index] [csv] [parquet] [duplicates]
//! ```
//!
//! Prints one line of JSON per comparison: `{"name", "ours_s", "rival_s", "ratio", "rival", "versions", …}`; seconds are the least of all
//! repetitions, the medians stand beside them. `--python` names an interpreter that has numpy and datasketch: without
//! one the index and the near-duplicates have no rival. Needs three times `--bytes`, and 80 bytes per row, of disk in `--folder`, and removes them.

#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a benchmark: it reads the clock, and stops when something fails"
)]

mod columns;
mod duplicates;
mod index;
mod report;
mod tasks;

use std::path::PathBuf;

use clap::Parser;

#[derive(Parser, Debug)]
struct Args {
    /// Rows of the index.
    #[arg(long, default_value_t = 10_000_000)]
    rows: u64,
    /// Groups of the index's rows; 0: none.
    #[arg(long, default_value_t = 0)]
    groups: u64,
    /// Length of each data set in bytes.
    #[arg(long, default_value_t = 1_000_000_000)]
    bytes: u64,
    /// Texts that near-duplicates are looked for in.
    #[arg(long, default_value_t = 20_000)]
    texts: u64,
    /// How often everything is timed.
    #[arg(long, default_value_t = 5)]
    repeat: usize,
    /// Python interpreter with numpy and datasketch.
    #[arg(long)]
    python: Option<PathBuf>,
    /// Folder for the files. Default: that of the system.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    folder: PathBuf,
    /// Builds the index of this folder once and prints what it took: the process of its own that the memory is measured in.
    #[arg(long)]
    build: Option<PathBuf>,
    /// Which comparisons: `index`, `csv`, `parquet`, `duplicates`. Default: all.
    only: Vec<String>,
    /// Cargo says that this is a benchmark and no test.
    #[arg(long)]
    bench: bool,
}

impl Args {
    fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }
}

fn main() {
    let mut args = Args::parse();
    if let Some(folder) = &args.build {
        index::build(folder);
        return;
    }
    if !args.bench {
        (args.rows, args.bytes, args.texts, args.repeat) = (1000, 100_000, 1000, 1);
    }
    if args.wants("index") {
        index::run(&args);
    }
    if args.wants("duplicates") {
        duplicates::run(&args);
    }
    for format in ["csv", "parquet"] {
        if args.wants(format) {
            columns::run(&args, format);
        }
    }
}
