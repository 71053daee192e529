//! `curriculum count`: what scorers need to know of all rows before any is scored, shard by shard.

use super::centre::Sums;
use super::dataset::{Cell, Cursor, Field, Inspected, Root};
use super::duplicates::Sketches;
use super::error::ScoringError;
use super::manifest::Manifest;
use super::overrides;
use super::rarity::TokenCounts;
use super::store::{Shard, Store};
use super::task::{ScorerKind, Task};
use super::validate;

/// What is kept of a shard's rows for a scorer.
enum Counted {
    Tokens(TokenCounts),
    Sketches(Box<Sketches>),
    Sums(Sums),
}

/// Counts a shard's rows for every scorer that [needs it](ScorerKind::is_counted), and writes what it keeps to the store.
///
/// # Errors
/// Those of the data set and the store.
pub fn count_shard(task: &Task, root: &Root, store: &Store, shard: Shard) -> Result<(), ScoringError> {
    let manifest = Manifest::load(store, task)?;
    overrides::usable(task, &manifest)?;
    let rows = shard.rows(manifest.rows);
    let dataset = Inspected::open(task, root, store, &manifest, rows.clone())?;
    let (mut fields, mut scorers) = (Vec::<Field>::new(), Vec::new());
    for scorer in &task.scorers {
        let Some(field) = validate::field(scorer) else {
            continue;
        };
        let counted = match &scorer.kind {
            ScorerKind::Rarity { .. } => Counted::Tokens(TokenCounts::default()),
            ScorerKind::Duplicates { shingle, .. } => {
                Counted::Sketches(Box::new(Sketches::new(*shingle, rows.end - rows.start)))
            }
            ScorerKind::CentreDistance { .. } => Counted::Sums(Sums::new(task, root, store, &manifest, &field, &rows)?),
            _ => continue,
        };
        fields.push(field);
        scorers.push((&scorer.name, counted));
    }
    if scorers.is_empty() {
        return Ok(());
    }
    dataset.for_each_row(&fields, |row, cursor: &dyn Cursor| {
        for (place, (_, counted)) in scorers.iter_mut().enumerate() {
            match (counted, cursor.cell(place)) {
                (Counted::Tokens(counts), Cell::Text(text)) => counts.add(text),
                (Counted::Tokens(_), _) => {}
                (Counted::Sketches(sketches), cell) => sketches.add(cell),
                (Counted::Sums(sums), cell) => sums.add(row, cell),
            }
        }
        Ok(())
    })?;
    for (name, counted) in scorers {
        let path = match counted {
            Counted::Tokens(counts) => {
                let path = store.counts(task, name, shard);
                counts.write(&path, &manifest)?;
                path
            }
            Counted::Sketches(sketches) => {
                let path = store.sketches(task, name, shard);
                sketches.write(&path, &manifest)?;
                path
            }
            Counted::Sums(sums) => {
                let path = store.sums(task, name, shard);
                sums.write(&path, &manifest)?;
                path
            }
        };
        store.shared().push(&path)?;
    }
    Ok(())
}
