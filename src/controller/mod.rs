//! The controller.

pub mod build;
