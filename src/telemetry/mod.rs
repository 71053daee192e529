//! What a long-running process tells its surroundings: log lines, metrics, health. Shared by the operator and the sampler.

#[cfg(any(feature = "operator", feature = "objects", feature = "redis"))]
pub(crate) mod client;
pub mod http;
mod logs;
mod signals;

pub use logs::{LogArgs, LogFormat, TelemetryError, init_tracing};
pub use signals::Shutdown;
