//! Inheritance: what a phase leaves out, it takes from the phase before.

use super::super::PlanError;
use crate::api::curriculum::Fraction;
use crate::api::curriculum::{DurationSpec, HardNegativesSpec, MixingSpec, PhaseSpec, PoolSpec, WeightingSpec};

/// A phase with nothing left to look up.
pub(super) struct Phase<'a> {
    pub(super) name: &'a str,
    pub(super) pool: &'a PoolSpec,
    pub(super) duration: &'a DurationSpec,
    pub(super) replay: Option<&'a Fraction>,
    pub(super) hard_negatives: Option<&'a HardNegativesSpec>,
    pub(super) mixing: Option<&'a MixingSpec>,
    pub(super) weighting: Option<&'a WeightingSpec>,
    pub(super) warm_up_steps: Option<i64>,
}

/// The phases with what they inherit.
pub(super) fn resolve(phases: &[PhaseSpec]) -> Result<Vec<Phase<'_>>, PlanError> {
    let mut resolved: Vec<Phase<'_>> = Vec::with_capacity(phases.len());
    for (i, spec) in phases.iter().enumerate() {
        let field = |name: &str| format!("curriculum.phases[{i}].{name}");
        let before = match (spec.inherit, resolved.last()) {
            (false, _) => None,
            (true, Some(before)) => Some(before),
            (true, None) => {
                return Err(PlanError::new(
                    field("inherit"),
                    "the first phase has no phase before it",
                ));
            }
        };
        let missing = |name| PlanError::new(field(name), "must be set, or `inherit` be true");
        let phase = Phase {
            name: &spec.name,
            pool: spec
                .pool
                .as_ref()
                .or(before.map(|b| b.pool))
                .ok_or_else(|| missing("pool"))?,
            duration: spec
                .duration
                .as_ref()
                .or(before.map(|b| b.duration))
                .ok_or_else(|| missing("duration"))?,
            replay: spec.replay.as_ref().or(before.and_then(|b| b.replay)),
            hard_negatives: spec.hard_negatives.as_ref().or(before.and_then(|b| b.hard_negatives)),
            mixing: spec.mixing.as_ref().or(before.and_then(|b| b.mixing)),
            weighting: spec.weighting.as_ref().or(before.and_then(|b| b.weighting)),
            warm_up_steps: spec.warm_up_steps.or(before.and_then(|b| b.warm_up_steps)),
        };
        resolved.push(phase);
    }
    Ok(resolved)
}
