//! Scoring: from a data set to a score index. Files, but no Kubernetes.

pub mod report;
pub mod task;
