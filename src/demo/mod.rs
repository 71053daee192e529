//! The digits demo: what it shows of its runs, on a cluster or on this machine, and how it runs on this machine.

mod local;
mod outcome;
mod picture;

pub use local::{Demo, run};
pub use outcome::{Outcome, table};
pub use picture::draw;
