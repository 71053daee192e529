//! End-to-end harness.

pub mod api_server;
