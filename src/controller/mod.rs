//! The controller: `observe → validate → decide → act`.
//!
//! ```text
//!            shell                      pure core                              shell
//! stores ─► observe ─► Observed ───────────────┬─► decide ─► Actions ─► act ─► API server
//!    ▲         └────── spec ─► validate ─► Run ┘     └─ build/ (child objects)     │
//!    └──────────────────────────── watches ◄───────────────────────────────────────┘
//! ```
//! `validate` parses: below it nobody looks at the spec again, only at the [`Run`](validate::Run) that was
//! made of it. Only `run`, `watches` and `kube_cluster` hold a client: `observe` and `act` are written over the small
//! trait [`cluster::Cluster`], which the tests' in-memory cluster implements too. Only `observe` asks for the
//! time. `decide` is a function of what was observed and returns effects as values, so that everything it can
//! come to is tested without a cluster.

mod act;
pub(crate) mod actions;
pub mod build;
pub(crate) mod cluster;
pub(crate) mod context;
pub(crate) mod decide;
mod error;
pub(crate) mod evidence;
mod index;
mod kube_cluster;
pub(crate) mod lease;
pub(crate) mod memory;
mod merge_patch;
mod metrics;
#[cfg(test)]
mod model;
mod observe;
pub(crate) mod observed;
mod packed;
mod readiness;
pub(crate) mod reconcile;
mod run;
pub(crate) mod sampler_client;
pub(crate) mod samplers;
mod stored_job;
#[cfg(test)]
mod test_support;
mod untrusted;
pub mod validate;
mod watches;

pub use decide::Settings;
pub use lease::LeaseOptions;
pub use metrics::Metrics;
pub use readiness::Readiness;
pub use run::{Options, StartError, run};
