//! Data sets and scores in object stores: S3 and what speaks its protocol, Google Cloud Storage, Azure Blob Storage, web servers and the
//! Hugging Face hub.
//!
//! ```text
//! address ─► client ─► ObjectDisk ─open─► ObjectFile: Read + Seek over ranges, with read-ahead
//! ```
//!
//! Credentials come from this process's environment alone.

pub mod address;
#[cfg(feature = "objects")]
mod authorities;
#[cfg(feature = "objects")]
mod client;
#[cfg(feature = "objects")]
mod disk;
#[cfg(feature = "objects")]
mod error;
#[cfg(feature = "objects")]
mod file;
#[cfg(feature = "objects")]
mod hub;
#[cfg(feature = "objects")]
mod remote;
#[cfg(feature = "objects")]
mod runtime;

#[cfg(feature = "objects")]
pub use client::{OpenError, open, open_store};

#[cfg(test)]
#[cfg(feature = "objects")]
mod tests;
