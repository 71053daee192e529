//! `curriculum simulate` and `curriculum sample` as a person runs them: files in, text out.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    missing_docs,
    reason = "a test may stop at the first thing that is not as it should be"
)]

mod bench;
mod counts;
mod drift;
mod inputs;
mod known_answers;
mod pictures;
mod samples;
mod transitions;
