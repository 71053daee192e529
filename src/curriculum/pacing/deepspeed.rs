//! DeepSpeed's schedules, step for step. Source of the semantics: DeepSpeed 0.19.8, `curriculum_scheduler.py`, as measured.

use serde::{Deserialize, Serialize};

/// A schedule of DeepSpeed's data efficiency library: step → difficulty, an integer.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeepSpeed {
    /// Difficulty at the start.
    pub minimum: u64,
    /// Difficulty at the end. Once reached it stays.
    pub maximum: u64,
    /// How it gets there.
    pub schedule: DeepSpeedSchedule,
    /// The difficulty counts `maximum`-ths of the rows, instead of being a score.
    pub percentile: bool,
}

/// How a difficulty grows.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum DeepSpeedSchedule {
    /// `fixed_root`, and `fixed_linear` with degree 1.
    Root {
        /// `total_curriculum_step`; 0 is taken as 1.
        total: u64,
        /// `difficulty_step`; 0 is taken as 1.
        multiple: u64,
        /// `root_degree` in 10⁻⁶; 0 is taken as 10⁻⁶.
        degree: u64,
    },
    /// `fixed_discrete`: difficulties, each up to and including a step, the last without end.
    Discrete {
        /// The difficulties.
        difficulties: Vec<u64>,
        /// Last step of each but the last, ascending.
        last_steps: Vec<u64>,
    },
}

impl DeepSpeed {
    /// The difficulty of the batch of step `t` of the phase. DeepSpeed advances its own step before it asks, so that the first
    /// batch has its step 1; and it stops asking once the maximum was reached.
    pub fn at(&self, t: u64) -> u64 {
        let step = t.saturating_add(1);
        match &self.schedule {
            _ if self.minimum >= self.maximum => self.minimum,
            // Grows with the step: what was reached is not left again.
            DeepSpeedSchedule::Root { .. } => self.difficulty(step),
            DeepSpeedSchedule::Discrete {
                difficulties,
                last_steps,
            } => {
                let now = last_steps.partition_point(|&last| last < step);
                // The first one at or above the maximum stays, if its turn has come. Steps count from 1: what ends at 0 has none.
                let first = last_steps.partition_point(|&last| last < 1);
                (first..=now)
                    .filter_map(|i| difficulties.get(i))
                    .find(|&&difficulty| difficulty >= self.maximum)
                    .or_else(|| difficulties.get(now.min(difficulties.len().saturating_sub(1))))
                    .copied()
                    .unwrap_or(self.maximum)
            }
        }
    }

    /// `get_difficulty` of the root schedules:
    /// `d = ⌊(step/total)^(1/degree) · (max − min) + min⌋`, down to a multiple, up to the first multiple from the minimum on, at most the
    /// maximum, which may be no multiple.
    fn difficulty(&self, step: u64) -> u64 {
        let DeepSpeedSchedule::Root {
            total,
            multiple,
            degree,
        } = self.schedule
        else {
            return self.maximum;
        };
        // Divided, so that a whole degree is exact.
        let (multiple, degree) = (multiple.max(1), degree.max(1) as f64 / 1e6);
        let x = step as f64 / total.max(1) as f64;
        let root = if degree == 1.0 { x } else { libm::pow(x, 1.0 / degree) };
        let raw = (root * (self.maximum - self.minimum) as f64 + self.minimum as f64).floor() as u64;
        let least = self.minimum.div_ceil(multiple).saturating_mul(multiple);
        (raw - raw % multiple).max(least).min(self.maximum)
    }

    /// The steps of the phase, up to `limit` of them, at which the difficulty changes; `None` when there are more.
    pub(crate) fn changes(&self, duration: u64, limit: usize) -> Option<Vec<u64>> {
        let mut changes = Vec::new();
        let mut t = 0;
        loop {
            // The first step of the next difficulty: the difficulties of a discrete schedule may come back, so step by its list.
            let next = match &self.schedule {
                DeepSpeedSchedule::Discrete { last_steps, .. } => last_steps
                    .iter()
                    .copied()
                    .find(|&last| last > t)
                    .filter(|&next| next < duration),
                DeepSpeedSchedule::Root { .. } => {
                    let now = self.at(t);
                    (self.at(duration.saturating_sub(1)) > now).then(|| first_above(t, duration, |t| self.at(t) > now))
                }
            };
            match next {
                None => return Some(changes),
                Some(_) if changes.len() == limit => return None,
                Some(next) => changes.push(next),
            }
            t = changes.last().copied().unwrap_or(duration);
        }
    }
}

/// The first of the steps after `low`, before `high`, at which a monotone condition holds that holds at the last of them.
pub(crate) fn first_above(low: u64, high: u64, holds: impl Fn(u64) -> bool) -> u64 {
    let (mut low, mut high) = (low, high.saturating_sub(1));
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if holds(middle) { high = middle } else { low = middle }
    }
    high
}
