//! Simulation: what the sampler would serve, before a GPU is used. Files, but no Kubernetes.
//!
//! ```text
//! file ─document─► spec ─┐
//!                        ├─compile─► plan ─► Sampler ─run─► points, totals ─► table, JSON Lines, picture, page
//! rows, index ─► population                                 └─► shortages
//! ```
//! Nothing is estimated: the batches are drawn by the sampler that serves a training run, and counted.

pub mod deepspeed;
pub mod document;
pub mod error;
pub mod ids;
pub mod lines;
pub mod page;
pub mod picture;
pub mod population;
pub mod run;
pub mod shortage;
pub mod summary;
pub mod table;
pub mod tally;
pub mod unique;
