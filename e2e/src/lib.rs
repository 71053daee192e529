//! What the demo and the end-to-end tests share: waiting on the real cluster, reading what it did, and saying why not.

pub mod api_server;
pub mod audit;
pub mod case;
pub mod dump;
pub mod fault_proxy;
pub mod fixture;
pub mod metrics;
pub mod observe;
pub mod operator;
pub mod played;
pub mod process;
pub mod samples;
pub mod servers;
pub mod wait;

/// Any error: tests and the demo only pass it on to whoever reads their output.
pub type Error = Box<dyn std::error::Error + Send + Sync>;
/// Result of a test or of a step of the demo.
pub type Result<T = ()> = std::result::Result<T, Error>;

/// Namespace in which `e2e/install` installs the operator.
pub const OPERATOR_NAMESPACE: &str = "curriculum-system";
/// Image of the demo's and the tests' programs, unless `DEMO_IMAGE` names another.
pub const DEMO_IMAGE: &str = concat!("localhost/curriculum-demo:", env!("CARGO_PKG_VERSION"));

/// Image of the demo's and the tests' programs.
pub fn demo_image() -> String {
    std::env::var("DEMO_IMAGE").unwrap_or_else(|_| DEMO_IMAGE.to_owned())
}
