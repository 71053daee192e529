//! Groups: their shares of the phase's own pool.

use super::super::PlanError;
use super::Facts;
use super::read;
use crate::api::curriculum::{GroupSharesSpec, MixingSpec};

/// How the own pool's share is divided over the groups.
#[derive(Clone, Debug)]
pub(super) enum Division {
    /// Weight at the beginning and at the end of the phase, by group.
    Weights(Vec<(f64, f64)>),
    /// Weights rows^exponent, exponent at the beginning and at the end.
    Exponent(f64, f64),
}

impl Division {
    /// Reads what the spec says.
    pub(super) fn read(field: &str, spec: Option<&MixingSpec>, facts: &Facts) -> Result<Self, PlanError> {
        let Some(spec) = spec else {
            return Ok(Self::Exponent(1.0, 1.0));
        };
        match (&spec.weights, &spec.exponent) {
            (Some(listed), None) => {
                let mut weights = vec![(0.0, 0.0); facts.group_rows.len()];
                for (i, group) in listed.iter().enumerate() {
                    let field = format!("{field}.weights[{i}]");
                    let place = place(&field, &group.name, facts)?;
                    let start = read::share(format!("{field}.weight"), &group.weight)?.to_f64();
                    let end = match &group.final_weight {
                        Some(end) => read::share(format!("{field}.finalWeight"), end)?.to_f64(),
                        None => start,
                    };
                    weights[place] = (start, end);
                }
                let sums = weights.iter().fold((0.0, 0.0), |sums, w| (sums.0 + w.0, sums.1 + w.1));
                if sums.0 <= 0.0 || sums.1 <= 0.0 {
                    let problem = "all are '0' at the beginning or at the end of the phase; one must be greater";
                    return Err(PlanError::new(format!("{field}.weights"), problem));
                }
                Ok(Self::Weights(weights))
            }
            (None, Some(exponent)) => {
                let start = read::share(format!("{field}.exponent"), exponent)?.to_f64();
                let end = match &spec.final_exponent {
                    Some(end) => read::share(format!("{field}.finalExponent"), end)?.to_f64(),
                    None => start,
                };
                Ok(Self::Exponent(start, end))
            }
            _ => Err(PlanError::new(
                field,
                "exactly one of `weights` and `exponent` must be set",
            )),
        }
    }

    /// Whether it changes within the phase.
    pub(super) fn moves(&self) -> bool {
        match self {
            Self::Weights(weights) => weights.iter().any(|(start, end)| start != end),
            Self::Exponent(start, end) => start != end,
        }
    }

    /// Shares of the groups at `x` of the phase, from 0 to 1. They sum to 1.
    pub(super) fn at(&self, x: f64, group_rows: &[u64]) -> Vec<f64> {
        let line = |start: f64, end: f64| start + (end - start) * x;
        let mut weights: Vec<f64> = match self {
            Self::Weights(weights) => weights.iter().map(|&(start, end)| line(start, end)).collect(),
            Self::Exponent(start, end) => {
                let exponent = line(*start, *end);
                let weight = |&rows: &u64| {
                    if rows == 0 {
                        0.0
                    } else {
                        libm::pow(rows as f64, exponent)
                    }
                };
                group_rows.iter().map(weight).collect()
            }
        };
        let sum: f64 = weights.iter().sum();
        weights.iter_mut().for_each(|weight| *weight /= sum);
        weights
    }
}

/// The number of a named group that has rows.
pub(super) fn place(field: &str, name: &str, facts: &Facts) -> Result<usize, PlanError> {
    let found = facts.groups.get(name).map(|&group| group as usize);
    found
        .filter(|&group| facts.group_rows.get(group).is_some_and(|&rows| rows > 0))
        .ok_or_else(|| {
            PlanError::new(
                format!("{field}.name"),
                format!("'{name}' is no value of `dataset.groupColumn`"),
            )
        })
}

/// Bounds on the share of every group in every batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    minimum: f64,
    maximum: f64,
}

impl Limits {
    /// Reads what the spec says, and refuses what the number of groups makes impossible.
    pub(super) fn read(spec: &GroupSharesSpec, facts: &Facts) -> Result<Self, PlanError> {
        let field = |name: &str| format!("curriculum.groupShares.{name}");
        let groups = facts.group_rows.iter().filter(|&&rows| rows > 0).count() as f64;
        let minimum = match &spec.minimum {
            Some(minimum) => read::share(field("minimum"), minimum)?.to_f64(),
            None => 0.0,
        };
        let maximum = match &spec.maximum {
            Some(maximum) => read::share(field("maximum"), maximum)?.to_f64(),
            None => 1.0,
        };
        if minimum > maximum {
            let problem = format!("'{minimum}' is greater than `maximum` '{maximum}'");
            return Err(PlanError::new(field("minimum"), problem));
        }
        if minimum * groups > 1.0 + SLACK {
            let problem = format!(
                "'{minimum}' for each of {groups} groups is more than a batch; at most '{}' is possible",
                shorten(1.0 / groups)
            );
            return Err(PlanError::new(field("minimum"), problem));
        }
        if maximum * groups < 1.0 - SLACK {
            let problem = format!(
                "'{maximum}' for each of {groups} groups is less than a batch; at least '{}' is needed",
                shorten(1.0 / groups + 5e-7)
            );
            return Err(PlanError::new(field("maximum"), problem));
        }
        Ok(Self { minimum, maximum })
    }

    /// Moves the groups' shares of the own pool (which has the share `own` of the batch) as little as needed for the whole batch to
    /// keep the bounds: all are multiplied by one factor, and those that would break a bound are put on it. `others` is what each
    /// group gets from floor, replay and hard negatives.
    ///
    /// # Errors
    /// When the other parts alone break a bound.
    pub(super) fn apply(
        &self,
        phase: &str,
        shares: &mut [f64],
        own: f64,
        others: &[f64],
        group_rows: &[u64],
    ) -> Result<(), PlanError> {
        let bounds: Vec<(f64, f64)> = others
            .iter()
            .zip(group_rows)
            .map(|(&other, &rows)| match rows {
                0 => (0.0, 0.0),
                _ => (((self.minimum - other) / own).max(0.0), (self.maximum - other) / own),
            })
            .collect();
        let (least, most) = bounds.iter().fold((0.0, 0.0), |sum, b| (sum.0 + b.0, sum.1 + b.1));
        let broken = bounds.iter().any(|&(_, most)| most < -SLACK);
        if broken || least > 1.0 + SLACK || most < 1.0 - SLACK {
            let problem = format!(
                "cannot be kept in {phase}: `uniformFloor`, `replay` and `hardNegatives` leave the pool '{}' of a batch, too little to \
                 make up for the groups' shares in them; lower those, or widen the bounds",
                shorten(own)
            );
            return Err(PlanError::new("curriculum.groupShares", problem));
        }
        // The sum grows with the factor: from `least` at 0 to `most`, but for groups without a weight.
        let clamped = |factor: f64| {
            shares
                .iter()
                .zip(&bounds)
                .map(|(&share, &(least, most))| (share * factor).clamp(least, most.max(least)))
                .collect::<Vec<_>>()
        };
        let (mut low, mut high) = (0.0, 1.0);
        while clamped(high).iter().sum::<f64>() < 1.0 - SLACK && high < 1e12 {
            high *= 2.0;
        }
        for _ in 0..100 {
            let middle = (low + high) / 2.0;
            if clamped(middle).iter().sum::<f64>() < 1.0 {
                low = middle;
            } else {
                high = middle;
            }
        }
        let found = clamped(high);
        if found.iter().sum::<f64>() < 1.0 - 1e-6 {
            let problem =
                format!("cannot be kept in {phase}: the groups with a weight may not have a whole batch together");
            return Err(PlanError::new("curriculum.groupShares.maximum", problem));
        }
        shares.copy_from_slice(&found);
        Ok(())
    }
}

/// For sums of decimal fractions.
const SLACK: f64 = 1e-9;

/// A number for a message: six digits, rounded down.
fn shorten(x: f64) -> String {
    let text = format!("{:.6}", (x * 1e6).floor() / 1e6);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
