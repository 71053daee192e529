//! The curriculum core: pure functions from a schedule and a seed to the rows of every batch.
//!
//! ```text
//! CurriculumSpec ──plan::compile──► Plan ──Sampler::new──► Sampler ──batch(step)──► row numbers
//!                  share pacing pool                  quota permute order
//! ```
//! No Kubernetes, no async, no clock, no files: `clippy.toml` and `tests/architecture.rs` keep it so.

#[cfg(test)]
mod arbitrary;
pub mod canonical;
mod decimal;
pub mod drift;
pub mod filter;
mod mix;
pub mod order;
pub mod pacing;
pub mod permute;
pub mod plan;

pub mod quota;
pub mod rank;
pub mod sampler;
pub mod share;
pub mod snapshot;
pub mod split;
pub mod transition;
