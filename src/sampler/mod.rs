//! The sampler sidecar: hands the rows of every batch to the trainer. HTTP and files, but no Kubernetes.
//!
//! ```text
//! plan + score index ─► source ─► session ◄── server ◄── trainer, kubelet, controller, Prometheus
//!                                  │  coverage, report: what was handed out, what was reported
//!                                  ├─► audit    digest of the sequence, rows of each group   (a thread of its own)
//!                                  ├─► journal  survives a restart of the container
//!                                  └─► result   the termination message
//! ```

pub mod audit;
pub mod contract;
pub mod coverage;
pub mod journal;
pub mod report;
pub mod result;
pub mod source;
