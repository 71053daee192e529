//! The scoring commands as the pods run them: the real binary, a task in the environment, files in a temporary folder.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod failures;
mod harness;
mod pipeline;
mod program;
