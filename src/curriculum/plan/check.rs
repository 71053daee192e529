//! What every plan satisfies. A plan may come from a file, and the sampler must not panic or go wrong on any.

use super::{
    Admission, Band, MAX_BATCH, MAX_EXACT, MAX_GROUPS, MAX_PACKED, MAX_POOLS, MAX_SEGMENTS, MAX_STEPS, MAX_TOKENS,
    PLAN_VERSION, PhasePlan, Plan, PlanError, PoolPlan, Scope, Segment, TokenBudget, WHOLE,
};
use crate::curriculum::filter::Filtered;
use crate::curriculum::pacing::Pacing;
use crate::curriculum::share::Share;
use crate::curriculum::split::HeldOut;

/// Last step that a plan may reach: 32 phases of 10⁹ steps and ample room, and its slots still fit in 64 bits.
const LAST_STEP: u64 = 1 << 40;

impl Plan {
    /// Whether the plan is one that can be sampled from.
    ///
    /// # Errors
    /// Names the first field that is not as it must be.
    pub fn check(&self) -> Result<(), PlanError> {
        let fail = |field: &str, problem: String| Err(PlanError::new(field, problem));
        if self.version != PLAN_VERSION {
            return fail(
                "version",
                format!(
                    "{} is not {PLAN_VERSION}, the only version that this build samples",
                    self.version
                ),
            );
        }
        if !(1..=MAX_BATCH).contains(&self.batch_size) {
            return fail(
                "batchSize",
                format!("{} is not between 1 and {MAX_BATCH}", self.batch_size),
            );
        }
        if let Some(TokenBudget { budget, max_length }) = self.tokens {
            if !(1..=MAX_TOKENS).contains(&budget) || !(1..=budget.min(u64::from(u32::MAX))).contains(&max_length) {
                return fail(
                    "tokens",
                    format!("a budget of {budget} and rows of up to {max_length} are not between 1 and {MAX_TOKENS}"),
                );
            }
            if self.batch_size > MAX_PACKED {
                return fail("batchSize", format!("{} is more than {MAX_PACKED}", self.batch_size));
            }
        }
        if !(1..=MAX_EXACT).contains(&self.rows) {
            return fail("rows", format!("{} is not between 1 and {MAX_EXACT}", self.rows));
        }
        if let Some(HeldOut { rows, seed }) = self.held_out {
            let all = rows.checked_add(self.rows);
            if rows == 0 || seed > MAX_EXACT || all.is_none_or(|all| all > MAX_EXACT) {
                return fail(
                    "heldOut",
                    format!("{rows} rows by seed {seed} are not between 1 and {MAX_EXACT} with the others"),
                );
            }
        }
        if let Some(Filtered { rows, key, digest }) = &self.filtered {
            if self.dataset_rows() > MAX_EXACT {
                return fail(
                    "filtered",
                    format!("{rows} rows are more than {MAX_EXACT} with the others"),
                );
            }
            if key.is_empty() || digest.is_empty() {
                return fail("filtered", "`key` and `digest` must name a file".to_owned());
            }
        }
        if self.group_rows.len() > MAX_GROUPS {
            return fail(
                "groupRows",
                format!("{} groups, more than {MAX_GROUPS}", self.group_rows.len()),
            );
        }
        let in_groups: u128 = self.group_rows.iter().map(|&n| u128::from(n)).sum();
        if in_groups != u128::from(self.rows) {
            return fail(
                "groupRows",
                format!("sum to {in_groups}, not to the {} rows", self.rows),
            );
        }
        let mut next = self.start_step();
        for (i, phase) in self.phases.iter().enumerate() {
            let field = format!("phases[{i}]");
            if phase.start_step != next {
                return fail(
                    &format!("{field}.startStep"),
                    format!("{} is not {next}", phase.start_step),
                );
            }
            phase.check(&field)?;
            for (p, pool) in phase.pools.iter().enumerate() {
                pool.check(&format!("{field}.pools[{p}]"), &self.group_rows)?;
            }
            next = phase.end();
        }
        match self.phases.is_empty() {
            true => fail("phases", "there is none".to_owned()),
            false => Ok(()),
        }
    }
}

impl PhasePlan {
    fn check(&self, field: &str) -> Result<(), PlanError> {
        let length = self.end_step.saturating_sub(self.start_step);
        if !(1..=MAX_STEPS).contains(&length) || self.end_step > LAST_STEP {
            let problem = format!(
                "{} does not end a phase of 1 to {MAX_STEPS} steps from {}",
                self.end_step, self.start_step
            );
            return Err(PlanError::new(format!("{field}.endStep"), problem));
        }
        if let Some(left) = self
            .left_at
            .filter(|left| !(self.start_step + 1..=self.end_step).contains(left))
        {
            let problem = format!("{left} is not between {} and {}", self.start_step + 1, self.end_step);
            return Err(PlanError::new(format!("{field}.leftAt"), problem));
        }
        if let Some(transitions) = &self.transitions {
            transitions.check(&format!("{field}.transitions"))?;
        }
        if !(1..=MAX_POOLS).contains(&self.pools.len()) {
            let problem = format!("{} pools; needed are between 1 and {MAX_POOLS}", self.pools.len());
            return Err(PlanError::new(format!("{field}.pools"), problem));
        }
        if !(1..=MAX_SEGMENTS).contains(&self.segments.len()) {
            let problem = format!(
                "{} segments; needed are between 1 and {MAX_SEGMENTS}",
                self.segments.len()
            );
            return Err(PlanError::new(format!("{field}.segments"), problem));
        }
        let mut least = self.start_step;
        for (i, segment) in self.segments.iter().enumerate() {
            let field = format!("{field}.segments[{i}]");
            if segment.start_step < least
                || segment.start_step >= self.end_step
                || (i == 0 && segment.start_step != least)
            {
                let problem = format!(
                    "{} is not after the segment before, or not within the phase",
                    segment.start_step
                );
                return Err(PlanError::new(format!("{field}.startStep"), problem));
            }
            segment.check(&field, self.pools.len())?;
            least = segment.start_step + 1;
        }
        Ok(())
    }
}

impl Segment {
    fn check(&self, field: &str, pools: usize) -> Result<(), PlanError> {
        let field = format!("{field}.shares");
        if self.shares.len() != pools {
            let problem = format!("{} shares of {pools} pools", self.shares.len());
            return Err(PlanError::new(field, problem));
        }
        let sum: u64 = self.shares.iter().map(|&share| u64::from(share)).sum();
        if sum != u64::from(WHOLE) {
            return Err(PlanError::new(field, format!("sum to {sum}, not to {WHOLE}")));
        }
        Ok(())
    }
}

impl PoolPlan {
    fn check(&self, field: &str, group_rows: &[u64]) -> Result<(), PlanError> {
        let whole = Share::ONE.units();
        let fail = |name: &str, problem: String| Err(PlanError::new(format!("{field}.{name}"), problem));
        if !(1..=whole).contains(&self.least) {
            return fail("least", format!("{} is not between 1 and {whole}", self.least));
        }
        if let Scope::Group(group) = self.scope
            && group_rows.get(group as usize).is_none_or(|&rows| rows == 0)
        {
            return fail("scope", format!("group {group} has no rows"));
        }
        if let Band::Width(width) = self.band
            && !(1..=whole).contains(&width)
        {
            return fail("band", format!("{width} is not between 1 and {whole}"));
        }
        if let Some(part) = self.part
            && part.index >= part.of
        {
            return fail("part", format!("part {} of {} does not exist", part.index, part.of));
        }
        let Admission::Fraction(pacing) = &self.admits else {
            return match self.scope {
                Scope::All if self.band == Band::Whole && self.part.is_none() => Ok(()),
                _ => fail("scope", "thresholds need the whole order of all rows".to_owned()),
            };
        };
        let fractions: Vec<u64> = match pacing {
            Pacing::Constant(fraction) => vec![*fraction],
            Pacing::Ramp { from, to, .. }
            | Pacing::Competence { from, to, .. }
            | Pacing::FixedExponential { from, to, .. }
            | Pacing::VariedExponential { from, to, .. } => vec![*from, *to],
            Pacing::Buckets { .. } => Vec::new(),
            Pacing::Piecewise(points) => {
                if points.is_empty() || points.windows(2).any(|pair| pair[0].0 >= pair[1].0) {
                    return fail("admits", "its points do not ascend".to_owned());
                }
                points.iter().map(|&(_, fraction)| fraction).collect()
            }
        };
        match fractions.iter().find(|fraction| !(1..=whole).contains(*fraction)) {
            None => Ok(()),
            Some(fraction) => fail("admits", format!("{fraction} is not between 1 and {whole}")),
        }
    }
}
