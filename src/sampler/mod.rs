//! The sampler sidecar: hands the rows of every batch to the trainer. HTTP and files, but no Kubernetes.
//!
//! ```text
//! plan + score index ─► source ─► attempt ◄── server ◄── trainer, kubelet, controller, Prometheus
//!                                  │  sessions, report: who asks and what it got, what was reported
//!                                  ├─► audit    digest of the sequence, rows of each group   (a thread of its own)
//!                                  ├─► journal  survives a restart of the container
//!                                  └─► result   the termination message
//! ```

pub mod attempt;
pub mod audit;
pub mod body;
pub mod contract;
pub mod dataset;
pub mod frontiers;
pub mod index;
pub mod info;
pub mod journal;
pub mod marks;
pub mod meters;
pub mod part;
pub mod progress;
pub mod report;
pub mod request;
pub mod result;
pub mod rows_file;
pub mod run;
pub mod server;
pub mod sessions;
pub mod source;
pub mod stretches;
pub mod trained;
