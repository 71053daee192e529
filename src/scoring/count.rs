//! `curriculum count`: how often each token occurs, shard by shard, for the rarity scorers.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::dataset::{Cell, Dataset, Field};
use super::error::ScoringError;
use super::manifest::Manifest;
use super::scratch::write_json;
use super::store::{Shard, Store, read_json};
use super::task::{ScorerKind, Task};
use super::validate;

/// Occurrences of tokens.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct TokenCounts {
    /// Occurrences of all tokens together.
    pub total: u64,
    /// Occurrences of each token.
    pub counts: HashMap<String, u64>,
}

impl TokenCounts {
    /// Counts the tokens of a text.
    pub fn add(&mut self, text: &str) {
        for token in tokens(text) {
            self.add_token(&token, 1);
        }
    }

    fn add_token(&mut self, token: &str, count: u64) {
        self.total += count;
        match self.counts.get_mut(token) {
            Some(counted) => *counted += count,
            None => {
                self.counts.insert(token.to_owned(), count);
            }
        }
    }

    /// Mean of −ln(count(token) / total) over the text's tokens: the rarity of Platanios et al. (2019), "Competence-based
    /// curriculum learning for neural machine translation", normalised by length. 0 for a text without tokens;
    /// `None` when a token was never counted.
    pub fn rarity(&self, text: &str) -> Option<f64> {
        let (mut sum, mut length) = (0.0, 0_u64);
        for token in tokens(text) {
            let count = *self.counts.get(token.as_ref())?;
            sum -= libm::log(count as f64 / self.total as f64);
            length += 1;
        }
        // A single token that is all there is gives −0: one zero is enough.
        Some(if length == 0 || sum <= 0.0 {
            0.0
        } else {
            sum / length as f64
        })
    }

    /// The counts of a scorer over all shards.
    ///
    /// # Errors
    /// When a shard's counts are missing or not readable.
    pub fn load(store: &Store, task: &Task, scorer: &str) -> Result<Self, ScoringError> {
        let mut all = Self::default();
        for index in 0..task.shards {
            let shard: Self = read_json(&store.counts(
                task,
                scorer,
                Shard {
                    index,
                    count: task.shards,
                },
            ))?;
            for (token, count) in &shard.counts {
                all.add_token(token, *count);
            }
        }
        Ok(all)
    }
}

/// Runs of characters between white space, in lower case.
pub fn tokens(text: &str) -> impl Iterator<Item = Cow<'_, str>> {
    text.split_whitespace().map(|token| {
        if token.bytes().all(|b| b.is_ascii() && !b.is_ascii_uppercase()) {
            Cow::Borrowed(token)
        } else {
            Cow::Owned(token.to_lowercase())
        }
    })
}

/// Counts the tokens of a shard's rows for every rarity scorer and writes them to the store.
///
/// # Errors
/// Those of the data set and the store.
pub fn count_shard(task: &Task, root: &Path, store: &Store, shard: Shard) -> Result<(), ScoringError> {
    let manifest = Manifest::load(store, task)?;
    let dataset = Dataset::open_inspected(task, root, store.disk(), &manifest)?;
    let scorers: Vec<_> = task
        .scorers
        .iter()
        .filter(|s| matches!(s.kind, ScorerKind::Rarity { .. }))
        .collect();
    if scorers.is_empty() {
        return Ok(());
    }
    let fields: Vec<Field> = scorers.iter().filter_map(|scorer| validate::field(scorer)).collect();
    let mut counts = vec![TokenCounts::default(); fields.len()];
    dataset.for_each_row(&fields, shard.rows(manifest.rows), &manifest, |_, cursor| {
        for (place, counts) in counts.iter_mut().enumerate() {
            if let Cell::Text(text) = cursor.cell(place) {
                counts.add(text);
            }
        }
        Ok(())
    })?;
    for (scorer, counts) in scorers.iter().zip(&counts) {
        write_json(&store.counts(task, &scorer.name, shard), counts)?;
    }
    Ok(())
}
