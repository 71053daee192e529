//! Shapes: how a value goes from one end to the other. Used for fractions, scores and shares alike.

use serde::{Deserialize, Serialize};

/// Unit of the parameters of shapes and pacing functions: 10⁻⁶.
pub const PARAMETER_UNIT: f64 = 1e-6;

/// A monotone function s with s(0) = 0 (but for `Logarithmic`, see there) and s(1) = 1.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Shape {
    /// x.
    Linear,
    /// x^degree, degree in 10⁻⁶: the quadratic family of Wu et al. (ICLR 2021) with degree 2.
    Polynomial {
        /// Degree in 10⁻⁶.
        degree: u64,
    },
    /// x^(1/degree): the root family of Wu et al. with degree 2.
    Root {
        /// Degree in 10⁻⁶.
        degree: u64,
    },
    /// (e^(10x) − 1)/(e^10 − 1): Wu et al.
    Exponential,
    /// 1 + ln(x + e^−10)/10: Wu et al. At 1 it is a little more than 1 as published (4.5·10⁻⁶), and taken as 1 here.
    Logarithmic,
    /// 0 before the end: Wu et al.
    Step,
}

impl Shape {
    /// `from + (to − from) · s(t / steps)`, rounded down to an integer, and exactly `to` from step `steps` on; 0 steps are taken as 1.
    ///
    /// Down, because a fraction that is an integer number of rows must not become one row more. The linear shape is computed in
    /// integers; the others by `libm`, so that a plan means the same rows on every platform.
    pub fn between(self, from: i64, to: i64, t: u64, steps: u64) -> i64 {
        let steps = steps.max(1);
        if t >= steps {
            return to;
        }
        let span = i128::from(to) - i128::from(from);
        let x = t as f64 / steps as f64;
        let parameter = |units: u64| units as f64 * PARAMETER_UNIT;
        let s = match self {
            Self::Step => return from,
            Self::Linear => {
                let units = i128::from(from) + (span * i128::from(t)).div_euclid(i128::from(steps));
                // Between `from` and `to`.
                return i64::try_from(units).unwrap_or(to);
            }
            Self::Polynomial { degree } => libm::pow(x, parameter(degree)),
            Self::Root { degree } => libm::pow(x, 1.0 / parameter(degree)),
            Self::Exponential => libm::expm1(10.0 * x) / libm::expm1(10.0),
            Self::Logarithmic => 1.0 + libm::log(x + libm::exp(-10.0)) / 10.0,
        };
        let units = i128::from(from) + (span as f64 * s.clamp(0.0, 1.0)).floor() as i128;
        i64::try_from(units).unwrap_or(to).clamp(from.min(to), from.max(to))
    }
}
