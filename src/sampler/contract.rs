//! What the sampler tells the controller: its live status (`GET /v1/status`) and its result (termination message).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::curriculum::transition::Decision;
pub use crate::curriculum::transition::MAX_METRIC_NAME;

/// Most different metrics of a phase.
pub const MAX_METRICS: usize = 32;

/// Bytes of a result's first line. The kubelet keeps 12,288 bytes of all containers' messages, each of them its equal share: so much is
/// left to each of 12 containers.
pub const ESSENTIAL_BYTES: usize = 1023;

/// Where the sampler's rows come from.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The score index that the plan names.
    Index,
    /// All rows equally likely, as the plan says.
    Uniform,
    /// All rows equally likely, because the plan's index was missing, unreadable or did not match its digest.
    UniformIndexUnusable,
}

/// What is the matter with the score index while the source is [`Source::UniformIndexUnusable`].
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexFault {
    /// There was no file of its name, for as long as it was waited for.
    Missing,
    /// The file could not be read, for as long as it was tried.
    Unreadable,
    /// The file is not the index that the plan names. No waiting helps.
    DigestMismatch,
}

impl IndexFault {
    /// Whether another attempt may find the index in order: what is wrong is the way to it, not the index.
    pub fn is_transient(self) -> bool {
        match self {
            Self::Missing | Self::Unreadable => true,
            Self::DigestMismatch => false,
        }
    }
}

/// Live status and, once the pod ends, result of one training attempt.
///
/// As a result it is two lines of at most 4,096 bytes: this without metrics and exposure, in at most [`ESSENTIAL_BYTES`], and [`Details`].
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SamplerStatus {
    /// SHA-256 of the plan's canonical JSON as `sha256:…`.
    pub plan_digest: String,
    /// Index of the phase.
    pub phase_index: u32,
    /// First step of the phase.
    pub start_step: u64,
    /// First step after the phase, as it is planned.
    pub end_step: u64,
    /// That the phase ends before that, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
    /// Criteria of the phase's transitions that had no value yet: bit i for the i-th, those of `advance` first.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unheard: u32,
    /// First step that was not handed out to every rank, counted without a hole from the step that the trainer announced: the phase's
    /// first, or its checkpoint's. The phase was trained to its end once this is `endStep`, or the decision's step.
    pub served_step: u64,
    /// Step of the checkpoint that the trainer went on from; absent when it began at the phase's first step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed_at: Option<u64>,
    /// What the trainer did that no step of it can count for, in words that name the mend; `servedStep` is `startStep` then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trainer_fault: Option<String>,
    /// Where the rows come from.
    pub source: Source,
    /// Why the source is `UniformIndexUnusable`, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_message: Option<String>,
    /// What is the matter with the index then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index_fault: Option<IndexFault>,
    /// Why the score store does not answer, in words, while the rows come from a copy of its index. Not in the result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_fault: Option<String>,
    /// Latest value of every metric that the trainer reported, with its step: name → (value, step). At most 32.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, MetricPoint>,
    /// Rows of each group in the steps from `startStep` to before `servedStep`, in the order of the groups. Empty where it is not known:
    /// without groups, without a usable index, beyond 2²⁴ rows of data or 2²⁸ of the phase, or where left out for space. The live status may be a moment behind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exposure: Vec<u64>,
    /// Where tokens bound a batch: tokens of the steps from `startStep` to before `servedStep`, as they count against the budget. Known
    /// where the digest will be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// SHA-256 over all row numbers of the phase in order, as `sha256:…`: the same for every attempt and world size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence_digest: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_zero(mask: &u32) -> bool {
    *mask == 0
}

impl SamplerStatus {
    /// First step that the visit does not train.
    pub fn end(&self) -> u64 {
        self.decision.as_ref().map_or(self.end_step, |decision| decision.step)
    }
}

/// The second line of a result: what the kubelet may cut off when a pod has many containers. A line that is not whole is ignored.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
pub struct Details {
    /// As in [`SamplerStatus`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, MetricPoint>,
    /// As in [`SamplerStatus`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exposure: Vec<u64>,
}

/// A metric at a step.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct MetricPoint {
    /// Value; finite.
    pub value: f64,
    /// Step at which it was measured.
    pub step: u64,
}
