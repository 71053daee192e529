//! Pacing functions: step of a phase → admitted fraction of the rows.
//!
//! They stand in the plan as they are, and are evaluated at the step that is asked for: no refresh, no table, nothing to catch up
//! with on resume. All parameters are integers (fractions in 10⁻¹², factors and degrees in 10⁻⁶), so that a plan is the same bytes
//! on every platform. Further families enter here (and in `api::curriculum::PacingFunction`) and nowhere else.

mod deepspeed;
mod shape;

use serde::{Deserialize, Serialize};

use super::share::Share;

pub(crate) use deepspeed::first_above;
pub use deepspeed::{DeepSpeed, DeepSpeedSchedule};
pub use shape::{PARAMETER_UNIT, Shape};

/// A pacing function with its parameters.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Pacing {
    /// The same fraction at every step, in 10⁻¹².
    Constant(u64),
    /// From one fraction to another along a shape: the families of Wu, Dyer, Neyshabur (ICLR 2021), with b = `from`, aT = `steps`.
    Ramp {
        /// Shape of the way.
        shape: Shape,
        /// At step 0.
        from: u64,
        /// From step `steps` on.
        to: u64,
        /// Steps from one to the other in 10⁻⁶ (Wu's a need not make a whole number of them); 0 is taken as the least.
        steps: u64,
    },
    /// `(from^p + (to^p − from^p) · t/steps)^(1/p)`: the competence of Platanios et al. (NAACL 2019), with c₀ = `from`, T = `steps`.
    Competence {
        /// At step 0.
        from: u64,
        /// From step `steps` on.
        to: u64,
        /// Steps from one to the other in 10⁻⁶; 0 is taken as the least.
        steps: u64,
        /// p in 10⁻⁶.
        power: u64,
    },
    /// `from · factor^⌊t/interval⌋`, at most `to`: fixed exponential pacing of Hacohen, Weinshall (ICML 2019).
    FixedExponential {
        /// At step 0.
        from: u64,
        /// Greatest fraction.
        to: u64,
        /// Factor in 10⁻⁶.
        factor: u64,
        /// Steps between two multiplications; 0 is taken as 1.
        interval: u64,
    },
    /// `from · factor^k`, at most `to`, where k boundaries are less than t: varied exponential pacing of Hacohen, Weinshall.
    VariedExponential {
        /// At step 0.
        from: u64,
        /// Greatest fraction.
        to: u64,
        /// Factor in 10⁻⁶.
        factor: u64,
        /// Last step before each multiplication, ascending.
        boundaries: Vec<u64>,
    },
    /// (k+1)/buckets, where step t lies in part k of as many equal parts of `steps`: Bengio et al. (ICML 2009).
    Buckets {
        /// Number of buckets.
        buckets: u64,
        /// Steps of all of them together in 10⁻⁶; 0 is taken as the least.
        steps: u64,
    },
    /// Straight lines between points (step, fraction) with ascending steps; constant before the first and after the last.
    Piecewise(Vec<(u64, u64)>),
}

impl Pacing {
    /// The admitted fraction at step `t` of the phase, rounded down to the unit of [`Share`].
    pub fn at(&self, t: u64) -> Share {
        let units = match self {
            Self::Constant(share) => *share,
            Self::Ramp { shape, from, to, steps } => between(*shape, *from, *to, micro(t), *steps),
            Self::Competence { from, to, steps, power } => competence(*from, *to, micro(t), *steps, *power),
            Self::FixedExponential {
                from,
                to,
                factor,
                interval,
            } => multiplied(*from, *to, *factor, t / (*interval).max(1)),
            Self::VariedExponential {
                from,
                to,
                factor,
                boundaries,
            } => multiplied(
                *from,
                *to,
                *factor,
                boundaries.partition_point(|&boundary| boundary < t) as u64,
            ),
            Self::Buckets { buckets, .. } => share_of(self.bucket(t) + 1, *buckets),
            Self::Piecewise(points) => piecewise(points, t),
        };
        Share::from_units(units).unwrap_or(Share::ONE)
    }

    /// Where the bucket that ends at [`Pacing::at`] begins: 0 for functions without buckets.
    pub(super) fn bucket_start(&self, t: u64) -> Share {
        match self {
            Self::Buckets { buckets, .. } => {
                Share::from_units(share_of(self.bucket(t), *buckets)).unwrap_or(Share::ZERO)
            }
            _ => Share::ZERO,
        }
    }

    fn bucket(&self, t: u64) -> u64 {
        match self {
            Self::Buckets { buckets, steps } => {
                let k = u128::from(micro(t)) * u128::from(*buckets) / u128::from((*steps).max(1));
                (k as u64).min(buckets.saturating_sub(1))
            }
            _ => 0,
        }
    }

    /// Steps between which the function is monotone, beside 0 and the end: none for most.
    pub(crate) fn turns(&self) -> Vec<u64> {
        match self {
            Self::Piecewise(points) => points.iter().map(|&(step, _)| step).collect(),
            _ => Vec::new(),
        }
    }

    /// The largest fraction at any of the first `duration` steps.
    pub(super) fn largest(&self, duration: u64) -> Share {
        let last = duration.saturating_sub(1);
        let turns = self.turns().into_iter().filter(|&t| t <= last);
        // Monotone in between, so that the largest is at an end.
        [0, last]
            .into_iter()
            .chain(turns)
            .map(|t| self.at(t))
            .max()
            .unwrap_or(Share::ONE)
    }
}

/// Steps in 10⁻⁶. No phase has as many as would not fit.
const fn micro(t: u64) -> u64 {
    t.saturating_mul(1_000_000)
}

/// A shape between fractions, which fit in 40 bits.
fn between(shape: Shape, from: u64, to: u64, t: u64, steps: u64) -> u64 {
    shape.between(from as i64, to as i64, t, steps).unsigned_abs()
}

fn competence(from: u64, to: u64, t: u64, steps: u64, power: u64) -> u64 {
    if power == 1_000_000 {
        return between(Shape::Linear, from, to, t, steps);
    }
    if t >= steps.max(1) {
        return to;
    }
    let (one, p) = (Share::ONE.units() as f64, power as f64 * PARAMETER_UNIT);
    let end = |units: u64| libm::pow(units as f64 / one, p);
    let x = t as f64 / steps as f64;
    let c = libm::pow(end(from) + (end(to) - end(from)) * x, 1.0 / p);
    // The first is exact, whatever the powers make of it.
    let units = if t == 0 { from } else { (c * one).floor() as u64 };
    units.clamp(from.min(to), from.max(to))
}

fn multiplied(from: u64, to: u64, factor: u64, times: u64) -> u64 {
    let grown = from as f64 * libm::pow(factor as f64 * PARAMETER_UNIT, times as f64);
    // A cast of what is too large saturates.
    (grown.floor() as u64).min(to)
}

fn share_of(part: u64, parts: u64) -> u64 {
    (u128::from(Share::ONE.units()) * u128::from(part) / u128::from(parts.max(1))) as u64
}

fn piecewise(points: &[(u64, u64)], t: u64) -> u64 {
    let after = points.partition_point(|&(step, _)| step <= t);
    match (after.checked_sub(1).and_then(|i| points.get(i)), points.get(after)) {
        (Some(&(start, from)), Some(&(end, to))) => between(Shape::Linear, from, to, t - start, end - start),
        (Some(&(_, fraction)), None) | (None, Some(&(_, fraction))) => fraction,
        (None, None) => Share::ONE.units(),
    }
}

#[cfg(test)]
mod tests;
