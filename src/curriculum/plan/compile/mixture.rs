//! The mixture of a phase: its pools, and the share of each in a batch over the steps.

use std::ops::Range;

use super::super::{Admission, Band, Part, PlanError, PoolPlan, Role, Scope, Segment, WHOLE};
use super::groups::{Division, Limits};
use super::{Facts, MICRO, read, refresh};
use crate::api::curriculum::WeightingSpec;
use crate::curriculum::order::Identity;
use crate::curriculum::pacing::{DeepSpeed, DeepSpeedSchedule, PARAMETER_UNIT, Pacing};
use crate::curriculum::share::Share;

/// Where a pool's share comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Source {
    /// The uniform floor.
    Floor(Share),
    /// The same share throughout.
    Fixed(f64),
    /// A part of the own pool's share: that of a group and of a bin.
    Own { group: Option<usize>, bin: Option<u32> },
}

/// A softmax over bins, whose temperature moves.
#[derive(Clone, Copy, Debug)]
struct Bins {
    count: u32,
    from: f64,
    to: f64,
}

/// Pools and shares under construction.
pub(super) struct Mixture<'a> {
    facts: &'a Facts,
    /// Steps of the phase.
    steps: u64,
    /// Share of the phase's own pools.
    own: f64,
    /// Steps of the warm-up.
    warm_up: u64,
    bins: Option<Bins>,
    division: Option<(Division, Option<Limits>)>,
    field: String,
    pools: Vec<PoolPlan>,
    /// What makes up the share of each pool.
    sources: Vec<Vec<Source>>,
    /// Of each pool that is constant and whole, what tells its rows: see [`Self::plain`].
    plain: Vec<Option<(Scope, u64)>>,
}

impl<'a> Mixture<'a> {
    pub(super) fn new(facts: &'a Facts, steps: u64, own: Share) -> Self {
        Self {
            facts,
            steps,
            own: own.to_f64(),
            warm_up: 0,
            bins: None,
            division: None,
            field: String::new(),
            pools: Vec::new(),
            sources: Vec::new(),
            plain: Vec::new(),
        }
    }

    /// Adds a pool, unless it has no share. Constant pools with the same rows become one, at the place of the last of them.
    pub(super) fn add(&mut self, pool: PoolPlan, source: Source) {
        if matches!(source, Source::Floor(Share::ZERO)) || matches!(source, Source::Fixed(share) if share <= 0.0) {
            return;
        }
        let mut sources = vec![source];
        let plain = self.plain(&pool);
        let same = plain.and_then(|_| self.plain.iter().position(|other| *other == plain));
        if let Some(same) = same {
            self.pools.remove(same);
            self.plain.remove(same);
            sources.extend(self.sources.remove(same));
        }
        self.pools.push(pool);
        self.plain.push(plain);
        self.sources.push(sources);
    }

    /// What tells the rows of a constant and whole pool: its scope and how many they are. All such pools of a scope begin at its
    /// first row, and a larger fraction has no fewer rows of any group.
    fn plain(&self, pool: &PoolPlan) -> Option<(Scope, u64)> {
        let constant = matches!(pool.admits, Admission::Fraction(Pacing::Constant(_)));
        let plain = constant && pool.band == Band::Whole && pool.part.is_none();
        plain.then(|| (pool.scope, rows_of(pool, self.facts)))
    }

    /// Adds an own pool, cut into bins where bins are weighted.
    pub(super) fn add_bins(&mut self, pool: &PoolPlan, group: Option<usize>) {
        match self.bins {
            None => self.add(pool.clone(), Source::Own { group, bin: None }),
            Some(Bins { count, .. }) => {
                for index in 0..count {
                    let part = Some(Part { index, of: count });
                    self.add(
                        PoolPlan { part, ..pool.clone() },
                        Source::Own {
                            group,
                            bin: Some(index),
                        },
                    );
                }
            }
        }
    }

    /// Weights for the bins of the pools that are added from now on.
    pub(super) fn weigh_bins(&mut self, field: &str, spec: Option<&WeightingSpec>) -> Result<(), PlanError> {
        let Some(spec) = spec else { return Ok(()) };
        let count = u32::try_from(spec.bins)
            .ok()
            .filter(|bins| (2..=64).contains(bins))
            .ok_or_else(|| {
                PlanError::new(
                    format!("{field}.bins"),
                    format!("{} is not between 2 and 64", spec.bins),
                )
            })?;
        let from = read::parameter(format!("{field}.temperature"), Some(&spec.temperature), MICRO)?;
        let to = read::parameter(
            format!("{field}.finalTemperature"),
            spec.final_temperature.as_ref(),
            from,
        )?;
        let temperature = |units: u64| units as f64 * PARAMETER_UNIT;
        self.bins = Some(Bins {
            count,
            from: temperature(from),
            to: temperature(to),
        });
        Ok(())
    }

    /// Divides the own share over the groups.
    pub(super) fn divide(&mut self, division: Division, limits: Option<Limits>, field: &str) {
        field.clone_into(&mut self.field);
        self.division = Some((division, limits));
    }

    /// Lets the phase begin with uniform sampling.
    pub(super) fn warm_up(&mut self, field: &str, steps: Option<i64>) -> Result<(), PlanError> {
        let field = format!("{field}.warmUpSteps");
        self.warm_up = match steps {
            None | Some(0) => return Ok(()),
            Some(steps) => read::count(field.clone(), steps)?,
        };
        if matches!(self.division, Some((_, Some(_)))) {
            let problem = "does not go with `groupShares`: uniform sampling does not keep the groups' shares";
            return Err(PlanError::new(field, problem));
        }
        if !self
            .sources
            .iter()
            .flatten()
            .any(|source| matches!(source, Source::Floor(_)))
        {
            self.pools.insert(0, PoolPlan::everything(Role::Floor));
            self.sources.insert(0, vec![Source::Floor(Share::ZERO)]);
            self.plain.insert(0, None);
        }
        Ok(())
    }

    /// Whether the pools' shares are those of `other`, another try at the same phase.
    pub(super) fn has_shares_of(&self, other: &Self) -> bool {
        self.sources == other.sources
    }

    pub(super) fn pools(&self) -> &[PoolPlan] {
        &self.pools
    }

    pub(super) fn into_pools(self) -> Vec<PoolPlan> {
        self.pools
    }

    /// The steps at which shares change, the first 0.
    pub(super) fn refreshes(&self, steps: u64, limit: usize) -> Vec<u64> {
        let mut at = vec![0];
        let moves = self.bins.is_some_and(|bins| bins.from != bins.to)
            || self.division.as_ref().is_some_and(|(division, _)| division.moves());
        if moves {
            at.extend(refresh::evenly(steps, limit / 2));
        }
        if self.warm_up > 0 {
            at.extend(refresh::evenly(self.warm_up.min(steps), limit / 2 - 1));
            at.extend(Some(self.warm_up).filter(|&end| end < steps));
        }
        at
    }

    /// The shares of the pools in some steps, in millionths: those in the middle of the steps, so that what moves along a straight
    /// line has the right sum over the phase.
    pub(super) fn shares(&self, steps: Range<u64>) -> Result<Vec<u32>, PlanError> {
        let x = (steps.start + steps.end) as f64 / 2.0 / self.steps as f64;
        let uniform = match self.warm_up {
            0 => 0.0,
            end => (1.0 - ((steps.start + steps.end - 1) as f64 / 2.0) / end as f64).max(0.0),
        };
        let groups = self.groups_at(x)?;
        let bins = self.bins.map(|bins| bins.weights(x));
        let share = |source: &Source| match *source {
            Source::Floor(floor) => floor.to_f64() * (1.0 - uniform) + uniform,
            Source::Fixed(share) => share * (1.0 - uniform),
            Source::Own { group, bin } => {
                // A group stands in a source only where the share is divided, and a bin only where bins are weighted.
                let of_group = group.map_or(1.0, |group| groups[group]);
                let of_bin = bin.zip(bins.as_ref()).map_or(1.0, |(bin, bins)| bins[bin as usize]);
                self.own * (1.0 - uniform) * of_group * of_bin
            }
        };
        let shares: Vec<f64> = self
            .sources
            .iter()
            .map(|sources| sources.iter().map(share).sum())
            .collect();
        Ok(millionths(&shares))
    }

    /// The groups' shares of the own pool; empty where it is not divided.
    fn groups_at(&self, x: f64) -> Result<Vec<f64>, PlanError> {
        let Some((division, limits)) = &self.division else {
            return Ok(Vec::new());
        };
        let mut shares = division.at(x, &self.facts.group_rows);
        if let Some(limits) = limits {
            let mut others = vec![0.0; self.facts.group_rows.len()];
            for (pool, sources) in self.pools.iter().zip(&self.sources) {
                let taken: f64 = sources
                    .iter()
                    .map(|source| match *source {
                        Source::Floor(floor) => floor.to_f64(),
                        Source::Fixed(share) => share,
                        Source::Own { .. } => 0.0,
                    })
                    .sum();
                if taken > 0.0 {
                    let (rows, of_groups) = self.group_shares(pool);
                    others
                        .iter_mut()
                        .zip(of_groups)
                        .for_each(|(other, part)| *other += taken * part as f64 / rows as f64);
                }
            }
            let phase = self.field.trim_end_matches(".mixing");
            limits.apply(phase, &mut shares, self.own, &others, &self.facts.group_rows)?;
        }
        Ok(shares)
    }

    /// Rows of a constant pool, of all groups together and of each.
    fn group_shares(&self, pool: &PoolPlan) -> (u64, Vec<u64>) {
        let bounds = pool.bounds(0, self.facts.rows, &Identity);
        let length = |rows: u64| {
            let interval = pool.interval(bounds, rows);
            interval.end - interval.start
        };
        let groups = &self.facts.group_rows;
        let parts: Vec<u64> = match pool.scope {
            // Only all rows together are an interval of all rows whose groups are known.
            Scope::All if groups.is_empty() => vec![length(self.facts.rows)],
            Scope::All if length(self.facts.rows) == self.facts.rows => groups.clone(),
            Scope::All => vec![length(self.facts.rows)],
            Scope::EachGroup => groups.iter().map(|&rows| length(rows)).collect(),
            Scope::Group(group) => (0..)
                .zip(groups)
                .map(|(g, &rows)| if g == group { length(rows) } else { 0 })
                .collect(),
        };
        (parts.iter().sum::<u64>().max(1), parts)
    }

    /// Slots of a batch that each group's own pools have together, in the segment where they are most.
    pub(super) fn slots(&self, segments: &[Segment], batch_size: u64) -> Vec<u64> {
        // The tree of quotas rounds each pool's slots by less than its depth, the first time within the division below.
        let depth = u64::from(self.pools.len().next_power_of_two().trailing_zeros());
        let own: Vec<(usize, usize)> = (self.pools.iter().enumerate())
            .filter_map(|(pool, plan)| match plan.scope {
                Scope::Group(group) if plan.role == Role::Own => Some((pool, group as usize)),
                _ => None,
            })
            .collect();
        let mut slots = vec![0; self.facts.group_rows.len()];
        for segment in segments {
            let mut shares = vec![0; slots.len()];
            own.iter()
                .for_each(|&(pool, group)| shares[group] += u64::from(segment.shares[pool]));
            for (slots, share) in slots.iter_mut().zip(shares).filter(|(_, share)| *share > 0) {
                let exact = (batch_size * share).div_ceil(u64::from(WHOLE));
                *slots = (exact + depth.saturating_sub(1)).min(batch_size).max(*slots);
            }
        }
        slots
    }

    /// The own pools as later phases replay them: whole, as they are at step `t`, each with its share of them.
    ///
    /// # Errors
    /// When the groups' bounds cannot be kept at the end of the phase.
    pub(super) fn leaves(&self, t: u64) -> Result<Vec<(f64, PoolPlan)>, PlanError> {
        let groups = self.groups_at(1.0).map_err(|error| PlanError {
            problem: format!("{}, at the end of the phase", error.problem),
            ..error
        })?;
        let mut leaves = Vec::new();
        for (pool, sources) in self.pools.iter().zip(&self.sources) {
            for source in sources {
                // Of several bins the first stands for all.
                if let Source::Own {
                    group,
                    bin: None | Some(0),
                } = *source
                {
                    let share = group.map_or(1.0, |group| groups[group]);
                    leaves.push((share, frozen(pool, t)));
                }
            }
        }
        Ok(leaves)
    }
}

/// Rows of a constant pool.
pub(super) fn rows_of(pool: &PoolPlan, facts: &Facts) -> u64 {
    let bounds = pool.bounds(0, facts.rows, &Identity);
    let length = |&rows: &u64| {
        let interval = pool.interval(bounds, rows);
        interval.end - interval.start
    };
    match pool.scope {
        Scope::All => length(&facts.rows),
        Scope::EachGroup => facts.group_rows.iter().map(length).sum(),
        Scope::Group(group) => facts.group_rows.get(group as usize).map_or(0, length),
    }
}

/// A pool as it is at step `t`, from the first row on.
fn frozen(pool: &PoolPlan, t: u64) -> PoolPlan {
    let admits = match &pool.admits {
        Admission::Fraction(pacing) => Admission::Fraction(Pacing::Constant(pacing.at(t).units().max(pool.least))),
        Admission::Score(threshold) => {
            let at = threshold
                .shape
                .between(threshold.from, threshold.to, t, threshold.steps);
            Admission::Score(super::super::ScoreThreshold {
                from: at,
                to: at,
                ..*threshold
            })
        }
        Admission::DeepSpeed(schedule) => Admission::DeepSpeed(DeepSpeed {
            schedule: DeepSpeedSchedule::Discrete {
                difficulties: vec![schedule.at(t)],
                last_steps: Vec::new(),
            },
            ..schedule.clone()
        }),
    };
    PoolPlan {
        role: Role::Replay,
        admits,
        band: Band::Whole,
        part: None,
        ..pool.clone()
    }
}

impl Bins {
    /// e^(−d/T) of each bin, d = (i + ½)/n, divided by their sum. T moves in a geometric way.
    fn weights(self, x: f64) -> Vec<f64> {
        let temperature = self.from * libm::pow(self.to / self.from, x);
        // Relative to the first bin, so that a small T does not make all of them 0.
        let weight = |i: u32| libm::exp(-f64::from(i) / f64::from(self.count) / temperature);
        let mut weights: Vec<f64> = (0..self.count).map(weight).collect();
        let sum: f64 = weights.iter().sum();
        weights.iter_mut().for_each(|weight| *weight /= sum);
        weights
    }
}

/// Shares in millionths that sum to [`WHOLE`]: rounded down, the rest to those that lost most; at least one for a share above 0.
fn millionths(shares: &[f64]) -> Vec<u32> {
    let sum: f64 = shares.iter().sum();
    let mut exact: Vec<f64> = shares.iter().map(|share| share / sum * f64::from(WHOLE)).collect();
    // The casts round down: no share is negative.
    let mut rounded: Vec<u32> = exact
        .iter()
        .map(|&share| if share > 0.0 { (share as u32).max(1) } else { 0 })
        .collect();
    let total: u32 = rounded.iter().sum();
    if let Some(missing) = WHOLE.checked_sub(total) {
        let mut order: Vec<usize> = (0..exact.len()).filter(|&i| exact[i] > 0.0).collect();
        exact.iter_mut().for_each(|share| *share -= f64::from(*share as u32));
        let lost = exact;
        // Each share lost less than one, so that fewer are missing than there are shares.
        let missing = (missing as usize).min(order.len());
        if missing > 0 {
            order.select_nth_unstable_by(missing - 1, |&a, &b| lost[b].total_cmp(&lost[a]).then(a.cmp(&b)));
        }
        order[..missing].iter().for_each(|&i| rounded[i] += 1);
    } else {
        // Only where tiny shares were raised: the largest gives.
        let mut excess = total - WHOLE;
        while excess > 0 {
            let Some(largest) = (0..rounded.len()).max_by_key(|&i| rounded[i]) else {
                break;
            };
            let gives = excess.min(rounded[largest] - 1).max(1);
            rounded[largest] -= gives;
            excess -= gives;
        }
    }
    rounded
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn decimal_shares_are_exact() {
        assert_eq!(millionths(&[0.05, 0.1, 0.85]), [50_000, 100_000, 850_000]);
        assert_eq!(millionths(&[1.0, 1.0, 1.0]), [333_334, 333_333, 333_333]);
        assert_eq!(millionths(&[0.000_000_01, 0.0, 0.999_999_99]), [1, 0, 999_999]);
    }

    #[test]
    fn a_softmax_prefers_the_first_bins_and_flattens_with_temperature() {
        let bins = Bins {
            count: 4,
            from: 0.25,
            to: 1e6,
        };
        let cold = bins.weights(0.0);
        // e^0 : e^-1 : e^-2 : e^-3
        for (weight, expected) in cold.iter().zip([0.6439, 0.2369, 0.0871, 0.0321]) {
            assert!((weight - expected).abs() < 1e-4, "{cold:?}");
        }
        assert!(bins.weights(1.0).iter().all(|weight| (weight - 0.25).abs() < 1e-6));
        assert_eq!(
            Bins {
                count: 2,
                from: 1e-6,
                to: 1e-6
            }
            .weights(0.5),
            [1.0, 0.0]
        );
    }

    proptest! {
        #[test]
        fn millionths_sum_to_the_whole(shares in prop::collection::vec(prop_oneof![Just(0.0), 1e-12..1.0], 1..5000)) {
            prop_assume!(shares.iter().any(|&share| share > 0.0));
            let sum: f64 = shares.iter().sum();
            let rounded = millionths(&shares);
            prop_assert_eq!(rounded.iter().sum::<u32>(), WHOLE);
            for (&rounded, share) in rounded.iter().zip(shares) {
                prop_assert_eq!(rounded > 0, share > 0.0);
            }
            prop_assert!(sum > 0.0);
        }
    }
}
