//! Scoring: from a data set to a score index. Files, but no Kubernetes.
//!
//! ```text
//! data set ─inspect─► manifest, groups ─count─► what is known of all rows ─score, exec─► shard files ─index─► score index ─► sampler
//! ```

pub mod builtin;
mod centre;
pub mod combine;
pub mod companions;
pub mod count;
mod counted;
pub mod dataset;
mod duplicates;
pub mod error;
pub mod exec;
pub mod fetch;
mod filter;
pub mod fingerprint;
pub mod gather;
mod given;
mod groups;
pub mod index;
pub mod inspect;
mod joined;
pub mod manifest;
pub mod message;
mod minhash;
pub mod offsets;
pub mod overrides;
pub mod quantity;
pub mod rarity;
mod reading;
pub mod report;
pub mod shards;
pub mod store;
pub mod task;
pub mod tokens;
pub mod validate;
pub mod worklist;

#[cfg(test)]
mod tests;
