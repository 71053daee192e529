//! The sampler sidecar: hands the rows of every batch to the trainer. HTTP and files, but no Kubernetes.

pub mod contract;
