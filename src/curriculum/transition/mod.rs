//! Transitions: how the trainer's metrics end a phase before its last step.
//!
//! ```text
//! spec ──read──► Transitions ──in the plan──► Monitor ◄── reports, in the order of their arrival
//!                                                └──► Decision: the visit ends at a step, and then what
//!                                                             └──► course: the next visit, and its plan
//! ```
//! A phase that ends early has the rows that it would have had: a decision moves the phase's end and nothing else. So the rows
//! of a run follow from its plans and decisions, whoever asks for them and when.

mod course;
mod monitor;
mod read;

use serde::{Deserialize, Serialize};

use crate::api::curriculum::{Extreme, Goal};
use crate::curriculum::plan::PlanError;
use crate::curriculum::share::Share;

pub use course::{Course, Ended, MAX_VISITS, lasted};
pub use monitor::{Evidence, Memory, Monitor};
pub(super) use read::{advance, regress};

/// Most criteria of a rule.
pub const MAX_CRITERIA: usize = 8;
/// Longest name of a metric, in characters.
pub const MAX_METRIC_NAME: usize = 64;
/// Most values that a criterion looks at.
pub const MAX_VALUES: u32 = 1000;

/// What may end a phase early.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Transitions {
    /// When to go on with the next phase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advance: Option<Rule>,
    /// When to go back to an earlier one. It comes first where both take place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regress: Option<Rule>,
}

/// When a transition takes place.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// Steps of the phase before which it does not; at least 1.
    pub minimum_steps: u64,
    /// How many of the criteria must hold.
    pub quantifier: Quantifier,
    /// The criteria, 1 to [`MAX_CRITERIA`].
    pub criteria: Vec<Criterion>,
}

/// How many of several criteria must hold.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantifier {
    /// One of them.
    Any,
    /// All of them.
    All,
}

/// A signal, and a test of it.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Criterion {
    /// Metric.
    pub metric: String,
    /// Metric that is taken from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minus: Option<String>,
    /// Of which group; `None`: of all rows together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<Extreme>,
    /// Weight of the past in the moving average, in 10⁻¹².
    pub smoothing: u64,
    /// Values in a row that must pass, 1 to [`MAX_VALUES`].
    pub consecutive: u32,
    /// The test.
    pub test: Test,
}

/// What a value must be; numbers in 10⁻⁶.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Test {
    /// At least that.
    AtLeast(i64),
    /// At most that.
    AtMost(i64),
    /// No better than the best one by more than `min_delta`, for `patience` values.
    Plateau {
        /// What is better.
        goal: Goal,
        /// At least 0.
        min_delta: i64,
        /// 1 to [`MAX_VALUES`].
        patience: u32,
    },
    /// The slope of the least-squares line through the last `window` values, per 1,000 steps, is at least that.
    SlopeAtLeast {
        /// 2 to [`MAX_VALUES`].
        window: u32,
        /// Least slope.
        slope: i64,
    },
    /// The same, at most that.
    SlopeAtMost {
        /// 2 to [`MAX_VALUES`].
        window: u32,
        /// Greatest slope.
        slope: i64,
    },
    /// Worse than the best one by at least `by`.
    Drop {
        /// What is better.
        goal: Goal,
        /// At least 0.
        by: i64,
    },
}

/// That a visit ends before its phase's last step, and what comes then.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// What comes then.
    pub kind: Kind,
    /// First step that is not trained in the visit.
    pub step: u64,
    /// Step of the report that decided it.
    pub reported: u64,
    /// What that report said, in words: the criteria that hold.
    pub because: String,
    /// SHA-256 over the values of the visit that counted up to there, as `sha256:…`.
    pub evidence: String,
}

/// Which transition.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// To the next phase, or to the end of the run.
    Advance,
    /// To an earlier phase.
    Regress,
}

impl Kind {
    /// Name of the field of a phase that has its rule.
    pub const fn field(self) -> &'static str {
        match self {
            Self::Advance => "advance",
            Self::Regress => "regress",
        }
    }
}

impl Transitions {
    /// Whether nothing ends the phase early.
    pub fn is_empty(&self) -> bool {
        self.advance.is_none() && self.regress.is_none()
    }

    /// The rule of a transition.
    pub fn rule(&self, kind: Kind) -> Option<&Rule> {
        match kind {
            Kind::Advance => self.advance.as_ref(),
            Kind::Regress => self.regress.as_ref(),
        }
    }

    /// Whether a criterion is about groups.
    pub fn looks_at_groups(&self) -> bool {
        let mut rules = self.advance.iter().chain(&self.regress);
        rules.any(|rule| rule.criteria.iter().any(|criterion| criterion.groups.is_some()))
    }

    /// The metrics that keep a rule from ever taking place, of the criteria that had no value as [`Monitor::unheard`] says: one of those
    /// that must all hold, or all of those of which one must.
    pub fn missing(&self, unheard: u32) -> Vec<&str> {
        let mut missing = Vec::new();
        let mut first = 0;
        for rule in self.advance.iter().chain(&self.regress) {
            let silent = (first..).zip(&rule.criteria).filter(|(i, _)| unheard >> i & 1 == 1);
            let silent: Vec<&str> = silent.map(|(_, criterion)| criterion.metric.as_str()).collect();
            let blind = match rule.quantifier {
                Quantifier::All => !silent.is_empty(),
                Quantifier::Any => silent.len() == rule.criteria.len(),
            };
            missing.extend(silent.into_iter().filter(|_| blind));
            first += rule.criteria.len();
        }
        missing.sort_unstable();
        missing.dedup();
        missing
    }

    /// Whether it is one that can be watched.
    ///
    /// # Errors
    /// Names the first field that is not as it must be.
    pub(super) fn check(&self, field: &str) -> Result<(), PlanError> {
        for (name, rule) in [("advance", &self.advance), ("regress", &self.regress)] {
            let Some(rule) = rule else { continue };
            let field = format!("{field}.{name}");
            if rule.minimum_steps == 0 {
                return Err(PlanError::new(format!("{field}.minimumSteps"), "must be at least 1"));
            }
            if !(1..=MAX_CRITERIA).contains(&rule.criteria.len()) {
                let problem = format!("{} of them; needed are 1 to {MAX_CRITERIA}", rule.criteria.len());
                return Err(PlanError::new(format!("{field}.criteria"), problem));
            }
            for (i, criterion) in rule.criteria.iter().enumerate() {
                criterion.check(&format!("{field}.criteria[{i}]"))?;
            }
        }
        Ok(())
    }
}

impl Criterion {
    fn check(&self, field: &str) -> Result<(), PlanError> {
        let fail = |name: &str, problem: String| Err(PlanError::new(format!("{field}.{name}"), problem));
        for (name, metric) in [("metric", Some(&self.metric)), ("minus", self.minus.as_ref())] {
            if let Some(metric) = metric.filter(|metric| !is_metric(metric)) {
                let problem = format!(
                    "{metric:?} is no name of a metric; expected 1 to {MAX_METRIC_NAME} visible ASCII characters without \
                     quotes, backslashes and spaces"
                );
                return fail(name, problem);
            }
        }
        if self.minus.is_some() && self.groups.is_some() {
            return fail("groups", "does not go with `minus`".to_owned());
        }
        if Share::from_units(self.smoothing).is_none_or(|smoothing| smoothing == Share::ONE) {
            return fail(
                "smoothing",
                "must be less than 1: new values would count nothing".to_owned(),
            );
        }
        let values = 1..=MAX_VALUES;
        if !values.contains(&self.consecutive) {
            return fail("consecutive", format!("{} is not 1 to {MAX_VALUES}", self.consecutive));
        }
        match self.test {
            Test::Plateau { patience, .. } if !values.contains(&patience) => {
                fail("plateau.patience", format!("{patience} is not 1 to {MAX_VALUES}"))
            }
            Test::Plateau { min_delta, .. } if min_delta < 0 => {
                fail("plateau.minDelta", "must not be negative".to_owned())
            }
            Test::Drop { by, .. } if by < 0 => fail("drop.by", "must not be negative".to_owned()),
            Test::SlopeAtLeast { window, .. } | Test::SlopeAtMost { window, .. }
                if !(2..=MAX_VALUES).contains(&window) =>
            {
                fail("slope.window", format!("{window} is not 2 to {MAX_VALUES}"))
            }
            _ => Ok(()),
        }
    }
}

/// Whether a text can be the name of a metric.
pub fn is_metric(name: &str) -> bool {
    let fine = |c: char| c.is_ascii_graphic() && c != '"' && c != '\\';
    (1..=MAX_METRIC_NAME).contains(&name.len()) && name.chars().all(fine)
}

#[cfg(test)]
mod tests;
