//! The custom resources: types, bounds and CEL rules. No behaviour lives here.
//!
//! `curriculum` (the schedule), `split`, `filter`, `conditions` and `names` need neither Kubernetes nor the
//! `operator` feature, so that scoring, sampler and command line can use them without; everything else is the
//! Kubernetes API proper.

pub mod conditions;
pub mod curriculum;
pub mod filter;
pub mod names;
pub mod split;

#[cfg(feature = "operator")]
pub mod crd;
#[cfg(feature = "operator")]
pub mod dataset;
#[cfg(feature = "operator")]
pub mod job;
#[cfg(feature = "operator")]
pub mod object_store;
#[cfg(feature = "operator")]
pub mod overrides;
#[cfg(feature = "operator")]
pub mod schema;
#[cfg(feature = "operator")]
pub mod scorer_volume;
#[cfg(feature = "operator")]
pub mod scoring;
#[cfg(feature = "operator")]
pub mod snapshot;
#[cfg(feature = "operator")]
pub mod status;
#[cfg(feature = "operator")]
pub mod store;
#[cfg(feature = "operator")]
pub mod training;

/// API group of every kind of this project.
pub const GROUP: &str = "curriculum.dev";
/// The one served version.
pub const VERSION: &str = "v1alpha1";
/// Field manager of every server-side apply by the operator, and reporting controller of its events.
pub const MANAGER: &str = "curriculum-operator";
