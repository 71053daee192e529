//! The score index as an order of rows.

use std::path::Path;
use std::sync::Arc;

use super::source::Index;
use crate::curriculum::plan::PlanScores;
use crate::scoring::index_map::ScoreIndex;

/// Maps `<store>/index/<key>/index.arrow` and checks it against the plan's digest.
///
/// # Errors
/// Says in words why the index cannot be used.
pub fn open(store: &Path, scores: &PlanScores) -> Result<Index, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if scores.key.is_empty() || !scores.key.chars().all(plain) {
        return Err("the plan's score key is no name of a folder".to_owned());
    }
    let name = format!("index/{}/index.arrow", scores.key);
    let index = ScoreIndex::open(&store.join(&name), Some(&scores.digest)).map_err(|e| format!("{name}: {e}"))?;
    let group_rows = index.group_rows();
    Ok(Index {
        rows: index.len(),
        group_rows,
        order: Arc::new(index),
    })
}
