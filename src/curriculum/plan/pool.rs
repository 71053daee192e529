//! Pools: intervals of the order of rows, whose ends are functions of the step.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::curriculum::order::RowOrder;
use crate::curriculum::pacing::{DeepSpeed, Pacing, Shape};
use crate::curriculum::share::Share;

/// A source of rows within a phase: an interval of the order of all rows, of one group's or of each group's.
///
/// A pool of [`Scope::EachGroup`] stands for one stratum per group, weighted by the stratum's rows.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PoolPlan {
    /// What it is there for.
    pub role: Role,
    /// Whose order it is an interval of.
    pub scope: Scope,
    /// Where the interval ends.
    pub admits: Admission,
    /// Where it begins.
    pub band: Band,
    /// The least fraction that it holds whatever `admits` says, in 10⁻¹²: enough rows for a batch.
    pub least: u64,
    /// Only a part of the interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
}

/// What a pool is there for.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    /// All rows, so that none is starved.
    Floor,
    /// Rows of an earlier phase.
    Replay,
    /// The other end of the order.
    HardNegatives,
    /// The phase's own rows.
    Own,
}

/// What an interval is taken of.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum Scope {
    /// All rows in one order.
    All,
    /// Every group in an order of its own.
    EachGroup,
    /// One group, by its number.
    Group(u32),
}

/// Up to where rows are admitted, at a step of the phase.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum Admission {
    /// The first ⌈f·n⌉ of n rows.
    Fraction(Pacing),
    /// The rows with at most a score; of the order of all rows only.
    Score(ScoreThreshold),
    /// The rows with at most a difficulty, or of a percentile; ties are admitted together. Of the order of all rows only.
    DeepSpeed(DeepSpeed),
}

/// A score that changes along a shape. In 10⁻⁶.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScoreThreshold {
    /// Shape of the way.
    pub shape: Shape,
    /// At step 0.
    pub from: i64,
    /// From step `steps` on.
    pub to: i64,
    /// Steps from one to the other; 0 is taken as 1.
    pub steps: u64,
}

/// Where an interval begins.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum Band {
    /// At the first row.
    Whole,
    /// This fraction of the rows before its end, in 10⁻¹².
    Width(u64),
    /// At the bucket that ends there (see [`Pacing::Buckets`]).
    Bucket,
}

/// Part `index` of `of` parts of equal size.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Part {
    /// Counted from 0.
    pub index: u32,
    /// Number of parts.
    pub of: u32,
}

/// Both ends of a pool at a step, before they are applied to a number of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bounds {
    Shares { from: Share, to: Share },
    Rows(u64),
}

impl PoolPlan {
    /// The pool of all rows.
    pub fn everything(role: Role) -> Self {
        Self {
            role,
            scope: Scope::All,
            admits: Admission::Fraction(Pacing::Constant(Share::ONE.units())),
            band: Band::Whole,
            least: 1,
            part: None,
        }
    }

    /// Whether it holds the same rows at every step.
    pub fn is_constant(&self) -> bool {
        match &self.admits {
            Admission::Fraction(pacing) => matches!(pacing, Pacing::Constant(_)),
            Admission::Score(threshold) => threshold.from == threshold.to,
            Admission::DeepSpeed(_) => false,
        }
    }

    /// The pacing function's fraction at step `t` of the phase, before it is raised to hold a batch; `None` for pools by score.
    pub fn fraction(&self, t: u64) -> Option<Share> {
        match &self.admits {
            Admission::Fraction(pacing) => Some(pacing.at(t)),
            _ => None,
        }
    }

    /// DeepSpeed's difficulty at step `t` of the phase.
    pub fn difficulty(&self, t: u64) -> Option<u64> {
        match &self.admits {
            Admission::DeepSpeed(schedule) => Some(schedule.at(t)),
            _ => None,
        }
    }

    /// Both ends at step `t` of the phase; `rows` is the number of rows of the whole order, which thresholds are looked up in.
    pub(crate) fn bounds<O: RowOrder + ?Sized>(&self, t: u64, rows: u64, order: &O) -> Bounds {
        match &self.admits {
            Admission::Fraction(pacing) => {
                let (from, to) = self.shares(pacing, t);
                Bounds::Shares { from, to }
            }
            Admission::Score(threshold) => Bounds::Rows(order.at_most(threshold.at(t)).min(rows)),
            Admission::DeepSpeed(schedule) => {
                let difficulty = schedule.at(t);
                if !schedule.percentile {
                    return Bounds::Rows(order.at_most(difficulty as f64).min(rows));
                }
                if difficulty >= schedule.maximum {
                    return Bounds::Rows(rows);
                }
                let wanted = (u128::from(rows) * u128::from(difficulty)).div_ceil(u128::from(schedule.maximum.max(1)));
                Bounds::Rows(order.with_ties(wanted as u64).min(rows))
            }
        }
    }

    fn shares(&self, pacing: &Pacing, t: u64) -> (Share, Share) {
        let least = Share::from_units(self.least).unwrap_or(Share::ONE);
        let to = pacing.at(t).max(least);
        let from = match self.band {
            Band::Whole => Share::ZERO,
            Band::Width(width) => Share::from_units(to.units().saturating_sub(width)).unwrap_or(Share::ZERO),
            Band::Bucket => pacing.bucket_start(t).min(to),
        };
        (from, to)
    }

    /// The interval at `bounds` of an order of `rows` rows: at least one row, unless there is none.
    pub(crate) fn interval(&self, bounds: Bounds, rows: u64) -> Range<u64> {
        let least = Share::from_units(self.least).unwrap_or(Share::ONE).ceil_of(rows);
        let whole = match bounds {
            Bounds::Shares { from, to } => {
                let end = to.ceil_of(rows);
                // A window or bucket of too few rows takes some from before it.
                from.ceil_of(rows).min(end.saturating_sub(least))..end
            }
            Bounds::Rows(to) => 0..to.max(least),
        };
        let whole = whole.start.min(whole.end.saturating_sub(1))..whole.end;
        match self.part {
            None => whole,
            Some(Part { index, of }) => {
                let bound = |i: u32| {
                    whole.start + ((u128::from(whole.end - whole.start) * u128::from(i)) / u128::from(of.max(1))) as u64
                };
                let (start, end) = (bound(index), bound(index.saturating_add(1)));
                // Fewer rows than parts: neighbours share one.
                if start < end {
                    start..end
                } else {
                    start.min(whole.end.saturating_sub(1))..(start + 1).min(whole.end)
                }
            }
        }
    }

    /// Where the interval of a pool by fraction begins and ends at step `t` of the phase, in 10⁻¹².
    pub(crate) fn shares_at(&self, t: u64) -> Option<(u64, u64)> {
        match &self.admits {
            Admission::Fraction(pacing) => {
                let (from, to) = self.shares(pacing, t);
                Some((from.units(), to.units()))
            }
            _ => None,
        }
    }
}

impl ScoreThreshold {
    /// The greatest admitted score at step `t` of the phase.
    pub fn at(&self, t: u64) -> f64 {
        // The division rounds once, so that a threshold of '0.1' is the same double as a score of 0.1.
        self.shape.between(self.from, self.to, t, self.steps) as f64 / 1e6
    }
}
