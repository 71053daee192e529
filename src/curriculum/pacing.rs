//! Pacing functions: progress within a phase → admitted fraction of the rows.
//!
//! Every function is a variant of [`Pacing`] with three answers: the fraction at a step, the first step from which it stays, and
//! the largest fraction it takes. Further families enter here (and in `api::curriculum::PacingFunction`) and nowhere else. Those
//! with powers or logarithms use the `libm` crate and [`Share::from_f64`], so that a plan is the same bytes on every platform.

use super::share::Share;

/// A pacing function with its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pacing {
    /// The same fraction at every step.
    Constant(Share),
    /// `from + (to − from) · min(t / steps, 1)`: the linear family of Platanios et al. (NAACL 2019) and Wu et al. (ICLR 2021).
    Linear {
        /// At step 0.
        from: Share,
        /// From step `steps` on.
        to: Share,
        /// Steps from one to the other; 0 is taken as 1.
        steps: u64,
    },
}

impl Pacing {
    /// The admitted fraction at step `t` of the phase, rounded down to the unit of [`Share`]: down, because a fraction
    /// that is an integer number of rows must not become one row more.
    pub fn at(&self, t: u64) -> Share {
        match *self {
            Self::Constant(share) => share,
            Self::Linear { to, steps, .. } if t >= steps.max(1) => to,
            Self::Linear { from, to, steps } => {
                let (a, b) = (i128::from(from.units()), i128::from(to.units()));
                let units = a + ((b - a) * i128::from(t)).div_euclid(i128::from(steps.max(1)));
                // Between `from` and `to`, and so always a share.
                u64::try_from(units).ok().and_then(Share::from_units).unwrap_or(to)
            }
        }
    }

    /// The first step from which the fraction does not change any more.
    pub fn settles(&self) -> u64 {
        match *self {
            Self::Constant(_) => 0,
            Self::Linear { steps, .. } => steps.max(1),
        }
    }

    /// The largest fraction at any step, whether or not a phase lasts until then.
    pub fn largest(&self) -> Share {
        match *self {
            Self::Constant(share) => share,
            Self::Linear { from, to, .. } => from.max(to),
        }
    }

    /// The steps of a phase of `duration` steps at which the fraction is looked at: at most `limit`, evenly spaced, the first 0,
    /// one of them the step at which the function settles if the phase lasts that long.
    pub(super) fn refreshes(&self, duration: u64, limit: u64) -> impl Iterator<Item = u64> + use<> {
        let settles = self.settles();
        let intervals = settles.min(if settles < duration { limit - 1 } else { limit });
        (0..=intervals)
            .map(move |k| (u128::from(k) * u128::from(settles) / u128::from(intervals.max(1))) as u64)
            .take_while(move |&t| t < duration)
    }
}

#[cfg(test)]
mod tests;
