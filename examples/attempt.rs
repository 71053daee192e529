//! Makes what `curriculum sampler` starts from: `cargo run --example attempt FOLDER < request.json` writes `FOLDER/plan.json`, and
//! `FOLDER/store` with a score index when one is asked for.
//!
//! ```json
//! {"curriculum": {"batchSize": 12, "phases": [{"name": "easy", "pool": {"fraction": "0.5"}, "duration": {"steps": 50}}]},
//!  "seed": 7, "rows": 500, "groups": 5, "phase": 0}
//! ```
//! `groups` is the number of groups; row r is in group r mod `groups`, and the order of difficulty follows from the seed. Without it
//! there are no scores, and every row is equally likely, but for those of `"heldOut": {"rows": 50, "seed": 1}`, which are in no batch.
//! With `batchTokens`, row r has 1 + (7919·r mod 100) tokens.

use std::error::Error;
use std::fs;
use std::io;
use std::path::PathBuf;

use curriculum_operator::api::curriculum::CurriculumSpec;
use curriculum_operator::curriculum::permute::Permutation;
use curriculum_operator::curriculum::plan::{Facts, PlanScores, compile};
use curriculum_operator::curriculum::split::HeldOut;
use curriculum_operator::index::file::{self, IndexContent};
use curriculum_operator::index::order::Order;
use serde::Deserialize;

const KEY: &str = "example";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Request {
    curriculum: CurriculumSpec,
    seed: u64,
    rows: u64,
    groups: Option<u64>,
    held_out: Option<HeldOut>,
    phase: u32,
}

impl Request {
    fn group_rows(&self) -> Vec<u64> {
        let groups = self.groups.unwrap_or(1).max(1);
        (0..groups)
            .map(|group| (self.rows + groups - 1 - group) / groups)
            .collect()
    }

    fn index(&self) -> IndexContent {
        let difficulty = Permutation::new(self.rows, self.seed);
        let rows: Vec<u64> = (0..self.rows).map(|position| difficulty.apply(position)).collect();
        let groups = self.group_rows().len() as u64;
        let grouped = |group| rows.iter().copied().filter(move |row| row % groups == group);
        let rank = |position: u64| (position + 1) as f64 / self.rows as f64;
        IndexContent {
            key: KEY.into(),
            group_rows: self.group_rows(),
            group_names: (0..groups).map(|group| group.to_string()).collect(),
            grouped: Some((0..groups).flat_map(grouped).collect()),
            order: Order {
                scores: (0..self.rows).map(rank).collect(),
                ranks: (0..self.rows).map(rank).collect(),
                scored: rows.len(),
                rows,
            },
            lengths: self.has_lengths().then(|| (0..self.rows).map(length).collect()),
        }
    }

    fn has_lengths(&self) -> bool {
        self.curriculum.batch_tokens.is_some()
    }
}

fn length(row: u64) -> u32 {
    u32::try_from(1 + 7919 * row % 100).unwrap_or(1)
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args_os().nth(1).ok_or("expected a folder")?);
    let request: Request = serde_json::from_reader(io::stdin())?;
    if request.groups.is_some() && request.held_out.is_some() {
        return Err("`heldOut` goes without `groups`".into());
    }
    let mut scores = None;
    if request.groups.is_some() {
        let path = folder.join("store/index").join(KEY).join("index.arrow");
        fs::create_dir_all(path.parent().unwrap_or(&folder))?;
        scores = Some(PlanScores {
            key: KEY.into(),
            digest: file::write(&path, request.index())?.digest,
        });
    }
    let facts = Facts {
        seed: request.seed,
        rows: request.rows - request.held_out.map_or(0, |held_out| held_out.rows),
        group_rows: request.groups.map(|_| request.group_rows()).unwrap_or_default(),
        held_out: request.held_out,
        scores,
        ..Facts::default()
    };
    let plan = compile(&request.curriculum, &facts)?;
    let plan = plan
        .for_phase(request.phase)
        .ok_or("the curriculum has no such phase")?;
    fs::write(folder.join("plan.json"), plan.to_canonical_json())?;
    Ok(())
}
