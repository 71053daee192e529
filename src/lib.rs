//! The curriculum operator: a Kubernetes operator that trains models on easy data first.

pub mod api;
pub mod cli;
#[cfg(feature = "operator")]
pub mod controller;
pub mod curriculum;
#[cfg(feature = "operator")]
pub mod demo;
pub mod index;
#[cfg(feature = "operator")]
pub mod local;
pub mod objects;
#[cfg(feature = "redis")]
pub mod redis;
pub mod sampler;
pub mod scoring;
pub mod simulate;
pub mod store;
pub mod telemetry;
