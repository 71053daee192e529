//! Snapshots: the state of a curriculum at the end of a phase, chained by hashes.
//!
//! ```text
//! state 0 ──digest──► state 1 ──digest──► state 2        a state names the digest of the one before it, and so its own digest
//! previous: –         previous: d₀        previous: d₁    vouches for the whole history
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::canonical;
use super::transition::Decision;

/// Version of the format.
pub const SNAPSHOT_VERSION: u32 = 2;

/// What was shown until a step, and with what result.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct State {
    /// Always [`SNAPSHOT_VERSION`].
    pub version: u32,
    /// Digest of the state before this one; `None` for the first of a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
    /// Digest of the plan of the visit that completed the phase.
    pub plan_digest: String,
    /// Digest of the score index; `None` when there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score_digest: Option<String>,
    /// What people said of the rows in that index; `None` where nobody was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overrides: Option<OverridesState>,
    /// Index of the phase that ended.
    pub phase_index: u32,
    /// Name of the phase that ended.
    pub phase_name: String,
    /// Number of the visit that completed it, over the whole run.
    pub visit: u32,
    /// First step that was not served yet.
    pub step: u64,
    /// Why it ended there; `None`: as planned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
    /// Seed of the run.
    pub seed: u64,
    /// Rows of the data set.
    pub rows: u64,
    /// Rows handed out of each group during the phase; empty without groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exposure: Vec<u64>,
    /// Tokens of the phase, where they bound its batches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// SHA-256 over all row numbers of the phase in order, as `sha256:…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence_digest: Option<String>,
    /// Latest value of each metric, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, MetricState>,
}

/// What people said of rows: by which file, and how much.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OverridesState {
    /// SHA-256 of the file, as `sha256:…`.
    pub digest: String,
    /// Rows to train on that they ranked.
    pub rows: u64,
    /// Rows that they left out of training.
    pub left_out: u64,
    /// How many people ranked these rows.
    pub people: u64,
    /// The latest time at which one of these rows was ranked, as RFC 3339; `None` when none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest: Option<String>,
}

/// A metric at a step.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MetricState {
    /// Value as a decimal string.
    pub value: String,
    /// Step at which it was measured.
    pub step: u64,
}

impl State {
    /// The state as canonical JSON (RFC 8785).
    #[expect(
        clippy::expect_used,
        reason = "a state holds strings, integers, lists and maps of them only"
    )]
    pub fn to_canonical_json(&self) -> String {
        canonical::to_json(self).expect("a state is representable as canonical JSON")
    }

    /// SHA-256 of the canonical JSON, as `sha256:…`.
    pub fn digest(&self) -> String {
        canonical::sha256(self.to_canonical_json())
    }
}

/// A snapshot as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link<'a> {
    /// Name, for messages.
    pub name: &'a str,
    /// Bytes of the state.
    pub state: &'a str,
    /// What the snapshot says that the state's digest is.
    pub digest: &'a str,
    /// What the snapshot says that the digest of the one before is.
    pub previous: Option<&'a str>,
}

/// Why snapshots are no chain. The first that does not fit is named.
#[derive(thiserror::Error, Debug)]
pub enum ChainError {
    /// The bytes are not those that were hashed.
    #[error("snapshot {name}: the state's digest is {actual}, but the snapshot says {said}; the state was changed")]
    Digest {
        /// The snapshot.
        name: String,
        /// What it says.
        said: String,
        /// What is right.
        actual: String,
    },
    /// The state cannot be read.
    #[error("snapshot {name}: the state cannot be read: {source}")]
    Unreadable {
        /// The snapshot.
        name: String,
        /// Why.
        source: serde_json::Error,
    },
    /// The state has a version that this build does not know.
    #[error("snapshot {name}: version {version} is not {known}, the only one that this build reads", known = SNAPSHOT_VERSION)]
    Version {
        /// The snapshot.
        name: String,
        /// Its version.
        version: u32,
    },
    /// The snapshot names another predecessor than its state.
    #[error("snapshot {name}: it says that the one before is {said}, but its state says {actual}")]
    Previous {
        /// The snapshot.
        name: String,
        /// What the snapshot says.
        said: String,
        /// What the state says.
        actual: String,
    },
    /// The snapshot does not follow the one before it in the list.
    #[error(
        "snapshot {name}: it follows {said}, but the one before it is {before} with {actual}; one is missing or was replaced"
    )]
    Broken {
        /// The snapshot.
        name: String,
        /// The digest that it follows.
        said: String,
        /// The snapshot before it.
        before: String,
        /// Digest of that one.
        actual: String,
    },
    /// The snapshot is of another run than the one before it, or of an earlier time.
    #[error("snapshot {name}: {field} is {value}, but {before} has {other}")]
    Other {
        /// The snapshot.
        name: String,
        /// Field of the state.
        field: &'static str,
        /// Its value.
        value: u64,
        /// The snapshot before it.
        before: String,
        /// The value there.
        other: u64,
    },
}

/// Checks that snapshots, oldest first, are one unbroken history, and returns their states.
///
/// The first may name a predecessor that is not in the list: old snapshots are removed, and what they vouched for went with them.
///
/// # Errors
/// Names the first snapshot that was changed, is missing its predecessor, or belongs to another run.
pub fn verify(chain: &[Link<'_>]) -> Result<Vec<State>, ChainError> {
    let mut states: Vec<State> = Vec::with_capacity(chain.len());
    for (i, link) in chain.iter().enumerate() {
        let state = link.read()?;
        if let (Some(before), Some(last)) = (i.checked_sub(1).map(|i| &chain[i]), states.last()) {
            link.follows(&state, before, last)?;
        }
        states.push(state);
    }
    Ok(states)
}

impl Link<'_> {
    fn read(&self) -> Result<State, ChainError> {
        let name = self.name.to_owned();
        let actual = canonical::sha256(self.state);
        if actual != self.digest {
            return Err(ChainError::Digest {
                name,
                said: self.digest.to_owned(),
                actual,
            });
        }
        let state: State = match serde_json::from_str(self.state) {
            Ok(state) => state,
            Err(source) => return Err(ChainError::Unreadable { name, source }),
        };
        if state.version != SNAPSHOT_VERSION {
            return Err(ChainError::Version {
                name,
                version: state.version,
            });
        }
        if state.previous.as_deref() != self.previous {
            let (said, actual) = (or_none(self.previous), or_none(state.previous.as_deref()));
            return Err(ChainError::Previous { name, said, actual });
        }
        Ok(state)
    }

    fn follows(&self, state: &State, before: &Link<'_>, last: &State) -> Result<(), ChainError> {
        let (name, earlier) = (self.name.to_owned(), before.name.to_owned());
        if self.previous != Some(before.digest) {
            let (said, actual) = (or_none(self.previous), before.digest.to_owned());
            return Err(ChainError::Broken {
                name,
                said,
                before: earlier,
                actual,
            });
        }
        let checks = [
            ("seed", state.seed, last.seed, state.seed == last.seed),
            ("rows", state.rows, last.rows, state.rows == last.rows),
            ("step", state.step, last.step, state.step > last.step),
        ];
        match checks.into_iter().find(|&(.., holds)| !holds) {
            None => Ok(()),
            Some((field, value, other, _)) => Err(ChainError::Other {
                name,
                field,
                value,
                before: earlier,
                other,
            }),
        }
    }
}

fn or_none(digest: Option<&str>) -> String {
    digest.unwrap_or("none").to_owned()
}

#[cfg(test)]
mod tests;
