//! What every plan satisfies. A plan may come from a file, and the sampler must not panic or go wrong on any.

use super::{MAX_BATCH, MAX_EXACT, MAX_GROUPS, MAX_STEPS, PLAN_VERSION, PhasePlan, Plan, PlanError, Segment, WHOLE};
use crate::curriculum::share::Share;

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
        if !(1..=MAX_EXACT).contains(&self.rows) {
            return fail("rows", format!("{} is not between 1 and {MAX_EXACT}", self.rows));
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
            next = phase.end_step;
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
        if self.segments.is_empty() {
            return Err(PlanError::new(format!("{field}.segments"), "there is none"));
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
            segment.check(&field)?;
            least = segment.start_step + 1;
        }
        Ok(())
    }
}

impl Segment {
    fn check(&self, field: &str) -> Result<(), PlanError> {
        let sum: u64 = self.terms.iter().map(|term| u64::from(term.share)).sum();
        if sum != u64::from(WHOLE) {
            return Err(PlanError::new(
                format!("{field}.terms"),
                format!("the shares sum to {sum}, not to {WHOLE}"),
            ));
        }
        match self
            .terms
            .iter()
            .position(|term| term.fraction == 0 || Share::from_units(term.fraction).is_none())
        {
            None => Ok(()),
            Some(i) => Err(PlanError::new(
                format!("{field}.terms[{i}].fraction"),
                format!("{} is not between 1 and {}", self.terms[i].fraction, Share::ONE.units()),
            )),
        }
    }
}
