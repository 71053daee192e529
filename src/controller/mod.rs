//! The controller: `observe → validate → decide → act`.
//!
//! ```text
//!            shell                        pure core                          shell
//! stores ─► observe ─► Observed ─► validate ─► decide ─► Actions ─► act ─► API server
//!    ▲                                build/ (child objects) ─┘        │
//!    └───────────────────────── watches (run) ◄───────────────────────┘
//! ```
//! Only `observe`, `act` and `run` hold a client, and only `observe` reads the clock. `decide` is a function of what was
//! observed and returns effects as values, so that everything it can come to is tested without a cluster.

mod act;
mod actions;
pub mod build;
mod context;
mod decide;
mod error;
mod evidence;
mod memory;
mod metrics;
#[cfg(test)]
mod model;
mod observe;
mod observed;
mod readiness;
mod reconcile;
mod run;
mod sampler_client;
#[cfg(test)]
mod test_support;
mod untrusted;
mod validate;

pub use decide::Settings;
pub use metrics::Metrics;
pub use readiness::Readiness;
pub use run::{Options, StartError, run};
