//! A CurriculumJob on this machine, without a cluster: `curriculum run`.
//!
//! ```text
//!                 the controller's own code
//! world ─► observe ─► validate ─► decide ─► act ─► world ◄─► state.json
//!   ▲                                               │
//!   └──────── jobs ─► pod ─► process ◄──────────────┘
//! ```
//! [`cluster`] is another implementation of the controller's trait for a cluster, [`jobs`] stands in for the Job controller
//! and [`pod`] for the kubelet. What is decided, and so every row, digest and snapshot, is the same as on a cluster.
//!
//! The process may die at any time: the objects are in a file, written whole after each change, the programs end when the
//! process does ([`attend`]), and the same command goes on from there.

mod attend;
mod cluster;
mod error;
mod jobs;
mod manifest;
mod places;
mod pod;
mod process;
mod program;
mod progress;
mod result;
mod run;
mod world;

pub use attend::attend;
pub use error::LocalError;
pub use process::find_beside;
pub use result::{Left, left};
pub use run::{Ended, Options, Outcome, run};
