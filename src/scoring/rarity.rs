//! Rarity: how often each token occurs, counted shard by shard, and what that says of a text.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::ScoringError;
use super::fingerprint::Fingerprint;
use super::manifest::Manifest;
use super::store::{Shard, Store};
use super::task::Task;
use crate::store::read_json;
use crate::store::scratch::write_json;

/// Occurrences of tokens.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct TokenCounts {
    /// Occurrences of all tokens together.
    pub total: u64,
    /// Occurrences of each token.
    pub counts: HashMap<String, u64>,
}

/// Counts on the store, and which content of the data set was counted.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
struct Counted {
    source: Fingerprint,
    tokens: TokenCounts,
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

    /// Leaves the counts of a shard of the data that `manifest` is of.
    pub(super) fn write(self, path: &Path, manifest: &Manifest) -> Result<(), ScoringError> {
        let source = manifest.source.clone();
        Ok(write_json(path, &Counted { source, tokens: self })?)
    }

    /// The counts of a scorer over all shards, of the data that `manifest` is of.
    ///
    /// The first command that needs them leaves the sum on the store for the others. Several may do so at once: a file appears by a
    /// rename, and all of them are alike. It dies before: the next one sums up. It cannot write: it has the sum itself.
    ///
    /// # Errors
    /// When a shard's counts are missing or not readable.
    pub fn load(store: &Store, task: &Task, scorer: &str, manifest: &Manifest) -> Result<Self, ScoringError> {
        let path = store.all_counts(task, scorer);
        let shared = store.shared();
        match shared.pull(&path).and_then(|()| read_json::<Counted>(&path)) {
            Ok(all) if all.source == manifest.source => return Ok(all.tokens),
            Err(error) if error.is_missing() => {}
            Ok(_) => {}
            // Whatever is wrong with the sum, its parts are there.
            Err(error) => tracing::warn!(%error, "the sum of the token counts is not usable"),
        }
        let mut all = Self::default();
        let mut of_this_data = true;
        for index in 0..task.shards {
            let shard = Shard {
                index,
                count: task.shards,
            };
            let counts = store.counts(task, scorer, shard);
            shared.pull(&counts)?;
            let counted: Counted = read_json(&counts)?;
            of_this_data &= counted.source == manifest.source;
            for (token, count) in &counted.tokens.counts {
                all.add_token(token, *count);
            }
        }
        // Where another job of the same key inspects or counts again at this moment, the sum is nobody else's.
        if !of_this_data {
            return Ok(all);
        }
        let sum = Counted {
            source: manifest.source.clone(),
            tokens: all,
        };
        if let Err(error) = write_json(&path, &sum).and_then(|()| shared.push(&path)) {
            tracing::warn!(%error, "cannot leave the sum of the token counts to the other shards");
        }
        Ok(sum.tokens)
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
