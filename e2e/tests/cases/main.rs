//! The operator on the real cluster, each test in a namespace of its own. `e2e/run-tests` installs the operator first.
//! The numbers in the tests' comments are those of the table of cases in `e2e/README.md`.

mod claims;
mod curricula;
mod dataset;
mod demo;
mod local;
mod obstacles;
mod scoring;
mod stores;
mod suspend;
mod trainer;
mod transitions;
