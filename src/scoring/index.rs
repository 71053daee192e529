//! `curriculum index`: from the scorers' shard files to the score index and its summary.

use std::fs;

use super::combine::Combination;
use super::error::ScoringError;
use super::filter;
use super::gather::gather;
use super::manifest::Manifest;
use super::overrides;
use super::store::{Store, StoredSummary};
use super::task::Task;
use super::validate;
use crate::curriculum::order::UNKNOWN_LENGTH;
use crate::curriculum::split::Split;
use crate::index::file::{self, IndexContent};
use crate::index::order::Order;
use crate::index::summary;
use crate::index::summary::{IndexSummary, Lengths};
use crate::store::scratch::write_json;

/// Merges, checks, combines, ranks and sorts the scores, and writes the score index, its summary, and the data set's record of it.
/// The index is the same bytes for the same scores, however many shards they came in.
///
/// `now` goes into the summary: the newest index of a data set is the one to fall back to.
///
/// # Errors
/// [`ScoringError::ScoresInvalid`], [`ScoringError::CoverageTooLow`], and those of the store.
pub fn build_index(task: &Task, store: &Store, now: jiff::Timestamp) -> Result<IndexSummary, ScoringError> {
    let manifest = Manifest::load(store, task)?;
    let groups = load_groups(task, store, &manifest)?;
    let split = manifest.split();
    let filtered = filter::filtered_out(task, store, &manifest)?;
    let (combined, lengths) = combine(task, store, &manifest, split.as_ref(), filtered.as_deref())?;
    let filtered = (0..).zip(filtered.iter().flatten()).filter(|(_, out)| **out);
    let held_out = split.iter().flat_map(Split::held_out);
    let order = Order::new(combined, task.seed, held_out.chain(filtered.map(|(row, _)| row)));
    let grouped = groups
        .as_ref()
        .map(|groups| order.by_group(groups, &manifest.group_rows));
    let sorted = &order.scores[..order.scored];
    let mut summary = IndexSummary {
        key: task.key.clone(),
        digest: String::new(),
        rows: manifest.trained_rows(),
        scored_rows: order.scored as u64,
        quantiles: summary::quantiles(sorted),
        histogram: summary::histogram(sorted),
        group_rows: manifest.trained_group_rows(),
        group_names: manifest.group_names.clone(),
        group_mean_ranks: groups
            .map(|groups| summary::mean_ranks(&order, &groups, &manifest.trained_group_rows()))
            .unwrap_or_default(),
        lengths: lengths
            .as_ref()
            .map(|lengths| Lengths::of(&order, manifest.trained_rows(), lengths)),
        overrides: overrides::usable(task, &manifest)?.map(|(_, told)| told.clone()),
    };
    let content = IndexContent {
        key: task.key.clone(),
        group_rows: manifest.group_rows,
        group_names: manifest.group_names,
        order,
        grouped,
        lengths,
    };
    let index = store.index(&task.key);
    let written = file::write(&index, content)?;
    store.shared().push(&index)?;
    summary.digest = written.digest;
    let stored = StoredSummary {
        created: now,
        bytes: written.bytes,
        source: Some(manifest.source),
        held_out: manifest.held_out,
        filtered: manifest.filtered,
        companions: manifest.companions,
        summary,
    };
    for path in [store.summary(&task.key), store.record(task, &task.key)] {
        write_json(&path, &stored)?;
        store.shared().push(&path)?;
    }
    Ok(stored.summary)
}

/// Each row's group; `None` without a group column.
fn load_groups(task: &Task, store: &Store, manifest: &Manifest) -> Result<Option<Vec<u8>>, ScoringError> {
    if task.group_column.is_none() {
        return Ok(None);
    }
    let path = store.groups(task);
    store.shared().pull(&path)?;
    let groups = fs::read(&path).map_err(|e| ScoringError::io("read", &path, e))?;
    let mut counts = [0_u64; crate::curriculum::plan::MAX_GROUPS];
    for group in &groups {
        counts[usize::from(*group)] += 1;
    }
    let (used, unused) = counts.split_at(manifest.group_rows.len().min(counts.len()));
    if used != manifest.group_rows || unused.iter().any(|count| *count > 0) {
        return Err(ScoringError::store(&path, "it does not match the manifest"));
    }
    Ok(Some(groups))
}

/// The combined score of every row, or what people say in its place, NaN for rows without one and for those that are `filtered` out; and its length in tokens, where a
/// scorer tells it.
fn combine(
    task: &Task,
    store: &Store,
    manifest: &Manifest,
    split: Option<&Split>,
    filtered: Option<&[bool]>,
) -> Result<(Vec<f64>, Option<Vec<u32>>), ScoringError> {
    // What is wrong with these is known before anything is read.
    overrides::usable(task, manifest)?;
    let mut combination = Combination::new(task.combine, &validate::weights(task)?);
    let (mut broken, mut faults, mut lengths) = (false, Vec::new(), None);
    for scorer in &task.scorers {
        let mut gathered = gather(task, store, scorer, manifest.rows)?;
        // Ranks are those among the other rows.
        for (score, _) in gathered
            .scores
            .iter_mut()
            .zip(filtered.into_iter().flatten())
            .filter(|(_, out)| **out)
        {
            *score = f64::NAN;
        }
        broken |= !gathered.broken.is_empty();
        let found = [gathered.broken, gathered.unscored].concat();
        if !found.is_empty() {
            faults.push(format!("scorer `{}`: {}", scorer.name, found.join(", ")));
        }
        if task.length_scorer.as_ref() == Some(&scorer.name) {
            lengths = Some(gathered.scores.iter().map(|score| length(*score)).collect());
        }
        combination.add(gathered.scores);
    }
    let faults = faults.join("; ");
    if broken {
        return Err(ScoringError::ScoresInvalid(faults));
    }
    let mut combined = combination.finish();
    let people = overrides::load(task, store, manifest)?;
    overrides::apply(&mut combined, &people, split.into_iter().flat_map(Split::held_out));
    let all_scored = combined.iter().filter(|score| !score.is_nan()).count();
    // Whether a row that is held out has a score is all the same.
    let held_out = split.into_iter().flat_map(Split::held_out);
    let scored = (all_scored - held_out.filter(|row| !combined[*row as usize].is_nan()).count()) as u64;
    let rows = manifest.trained_rows();
    if validate::coverage(scored, rows, manifest.trained_bad_rows(task)) < validate::min_coverage(task)? {
        return Err(ScoringError::CoverageTooLow(format!(
            "{scored} of {rows} rows have a finite score from every scorer, but `scoring.minCoverage` asks for {}; {}",
            task.min_coverage,
            if faults.is_empty() {
                "the sum of the scores is not finite"
            } else {
                &faults
            }
        )));
    }
    if scored < rows {
        tracing::warn!(scored, rows, "rows without a score are ranked last: {faults}");
    }
    Ok((combined, lengths))
}

/// A score as a number of tokens: rounded up, and at least one.
fn length(score: f64) -> u32 {
    if score.is_nan() {
        return UNKNOWN_LENGTH;
    }
    // The cast saturates.
    (score.ceil() as u32).clamp(1, UNKNOWN_LENGTH - 1)
}
