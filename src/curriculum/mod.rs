//! The curriculum core: pure functions from a schedule and a seed to the rows of every batch.
//!
//! No Kubernetes, no async, no clock, no files: `clippy.toml` and a test keep it so.

pub mod plan;
