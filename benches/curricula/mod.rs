//! The curricula that are measured, and a score index in memory as large as the data set.

#![allow(dead_code, reason = "each benchmark needs a part of it")]

use curriculum_operator::api::curriculum::CurriculumSpec;
use curriculum_operator::curriculum::order::{OrderScope, RowOrder};
use curriculum_operator::curriculum::permute::Permutation;
use curriculum_operator::curriculum::plan::{Facts, PlanScores};
use serde_json::json;

/// Rows of a batch.
pub(crate) const BATCH: u64 = 1024;
/// Groups of the data set, of equal size but for the last, which has the rows that are left.
pub(crate) const GROUPS: u64 = 10;
/// First step of the second phase; the first phase is as long as a phase may be.
pub(crate) const SECOND_PHASE: u64 = 1_000_000_000;

/// A score index: all rows in a random order, cut into groups.
pub(crate) struct Index(Vec<u64>);

impl Index {
    /// Of `rows` rows, 8 bytes each.
    pub(crate) fn new(rows: u64) -> Self {
        let order = Permutation::new(rows, 1);
        Self((0..rows).map(|position| order.apply(position)).collect())
    }

    fn slice(&self, scope: OrderScope) -> &[u64] {
        let size = self.0.len() / GROUPS as usize;
        match scope {
            OrderScope::All => &self.0,
            OrderScope::Group(group) if u64::from(group) + 1 == GROUPS => &self.0[group as usize * size..],
            OrderScope::Group(group) => &self.0[group as usize * size..][..size],
        }
    }
}

impl RowOrder for Index {
    fn row(&self, scope: OrderScope, position: u64) -> u64 {
        self.slice(scope)[position as usize]
    }

    fn rows(&self, scope: OrderScope, positions: &mut [u64]) {
        let slice = self.slice(scope);
        positions.iter_mut().for_each(|p| *p = slice[*p as usize]);
    }
}

/// Two phases of 10⁹ steps, whose pools are the easiest half and the easiest 60 % of all rows.
///
/// - `all`: all rows in both phases instead, one stratum.
/// - `pool`: nothing else, one stratum.
/// - `blend`: 5 % of a batch from all rows, and in the second phase 10 % from the first phase's pool: 2 and 3 strata.
/// - `balanced`: the same with a pool of every group: 11 and 21 strata.
///
/// # Errors
/// When there is no curriculum of that name.
pub(crate) fn spec(name: &str) -> Result<CurriculumSpec, String> {
    let phase = |name: &str, fraction: &str| json!({"name": name, "pool": {"fraction": fraction}, "duration": {"steps": SECOND_PHASE}});
    let (half, more) = if name == "all" { ("1", "1") } else { ("0.5", "0.6") };
    let mut spec = json!({"batchSize": BATCH, "phases": [phase("half", half), phase("more", more)]});
    match name {
        "all" | "pool" => {}
        "blend" | "balanced" => {
            spec["uniformFloor"] = "0.05".into();
            spec["phases"][1]["replay"] = "0.1".into();
        }
        _ => return Err(format!("no curriculum `{name}`; expected all, pool, blend or balanced")),
    }
    if name == "balanced" {
        spec["balance"] = "Group".into();
    }
    serde_json::from_value(spec).map_err(|error| error.to_string())
}

/// A data set of `rows` rows with scores.
pub(crate) fn facts(rows: u64) -> Facts {
    let mut group_rows = vec![rows / GROUPS; GROUPS as usize - 1];
    group_rows.push(rows - group_rows.iter().sum::<u64>());
    Facts {
        seed: 42,
        rows,
        group_rows,
        scores: Some(PlanScores {
            key: "bench".into(),
            digest: "sha256:bench".into(),
        }),
        ..Facts::default()
    }
}

/// Phases whose pools grow from almost nothing to everything while the groups' shares go from by rows to equal, with a floor: both are
/// refreshed as often as they may be. With `replay`, each segment also has shares for the pools of every phase before.
///
/// # Errors
/// When there are too many phases.
pub(crate) fn growing(phases: u32, replay: bool) -> Result<CurriculumSpec, String> {
    let part = |i: u32| format!("{:.4}", f64::from(i).max(0.01) / f64::from(phases));
    let phase = |i: u32| {
        let pacing = json!({"function": "Linear", "from": part(i), "to": part(i + 1)});
        json!({
            "name": format!("phase-{i}"),
            "pool": {"pacing": pacing},
            "mixing": {"exponent": "1", "finalExponent": "0"},
            "duration": {"steps": 100_000},
            "replay": if replay && i > 0 { "0.1" } else { "0" },
        })
    };
    let spec = json!({
        "batchSize": BATCH,
        "balance": "Group",
        "uniformFloor": "0.05",
        "phases": (0..phases).map(phase).collect::<Vec<_>>(),
    });
    serde_json::from_value(spec).map_err(|error| error.to_string())
}
