//! Watching reports until a rule holds.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::{Criterion, Kind, Quantifier, Rule, Test, Transitions};
use crate::api::curriculum::{Extreme, Goal};
use crate::curriculum::canonical;
use crate::curriculum::share::Share;

/// Steps that a slope is told of.
const SLOPE_STEPS: f64 = 1000.0;
/// Characters of the longest reason of a decision.
const BECAUSE: usize = 240;

/// Metrics that were measured after a step; values are finite.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// Batches of the run that had been trained.
    pub step: u64,
    /// Of all rows together, by name.
    pub metrics: &'a BTreeMap<String, f64>,
    /// Of each group, by name.
    pub groups: &'a BTreeMap<u32, BTreeMap<String, f64>>,
}

/// Watches the reports of one visit of a phase. A function of them in the order of their arrival.
///
/// Of each metric, and of each group's, only a report of a later step than the one before counts: one that comes twice or too
/// late, as from a trainer that went back to a checkpoint, changes nothing. Reports from before the visit do not count.
#[derive(Clone, Debug)]
pub struct Monitor {
    transitions: Transitions,
    start: u64,
    /// Groups that have rows.
    groups: Vec<u32>,
    memory: Memory,
}

/// What is remembered of the reports.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Memory {
    /// Digest of the values that counted, each with those before it; empty before the first.
    evidence: String,
    /// Latest value of each metric that is taken from another one, with its step.
    subtrahends: BTreeMap<String, (u64, f64)>,
    /// One for each criterion, those of `advance` first.
    criteria: Vec<State>,
}

/// What is remembered for a criterion.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct State {
    /// Step of the latest value.
    step: Option<u64>,
    /// Moving average.
    average: Option<f64>,
    /// Values in a row that passed, up to those that are needed.
    passed: u32,
    best: Option<f64>,
    /// Values since the best one.
    worse: u32,
    /// Latest values with their steps, as many as the slope needs.
    window: VecDeque<(u64, f64)>,
    /// Latest value of each group, with its step.
    groups: BTreeMap<u32, (u64, f64)>,
    /// What the latest value of the test was, for words.
    shown: Option<f64>,
}

impl Monitor {
    /// Watches a visit that begins at step `start`. `group_rows`: rows of each group; of one without rows no value is awaited.
    pub fn new(transitions: Transitions, start: u64, group_rows: &[u64]) -> Self {
        let with_rows = (0..).zip(group_rows).filter(|&(_, &rows)| rows > 0);
        let rules = transitions.advance.iter().chain(&transitions.regress);
        let criteria = rules.map(|rule| rule.criteria.len()).sum();
        Self {
            start,
            groups: with_rows.map(|(group, _)| group).collect(),
            memory: Memory {
                criteria: vec![State::default(); criteria],
                ..Memory::default()
            },
            transitions,
        }
    }

    /// What it has taken in so far.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Goes on from what another monitor of the same visit had taken in. What cannot be of it is left alone.
    pub fn restore(&mut self, memory: Memory) {
        if memory.criteria.len() == self.memory.criteria.len() {
            self.memory = memory;
        }
    }

    /// SHA-256 over the values that counted, as `sha256:…`; empty before the first.
    pub fn evidence(&self) -> &str {
        &self.memory.evidence
    }

    /// Which criteria had no value yet: bit i for the i-th, those of `advance` first.
    pub fn unheard(&self) -> u32 {
        let criteria = self.memory.criteria.iter().enumerate();
        let unheard = criteria.filter(|(_, state)| state.step.is_none());
        unheard.fold(0, |mask, (i, _)| mask | 1 << i)
    }

    /// Takes a report in. Returns the transition that takes place by it, and why.
    pub fn observe(&mut self, report: Evidence<'_>) -> Option<(Kind, String)> {
        if report.step < self.start {
            return None;
        }
        let rules = self.transitions.advance.iter().chain(&self.transitions.regress);
        let mut counted = String::new();
        for (i, criterion) in rules.flat_map(|rule| &rule.criteria).enumerate() {
            if let Some(minus) = &criterion.minus
                && let Some(&value) = report.metrics.get(minus)
            {
                let known = self
                    .memory
                    .subtrahends
                    .entry(minus.clone())
                    .or_insert((report.step, value));
                if known.0 < report.step {
                    *known = (report.step, value);
                }
            }
            let Some(state) = self.memory.criteria.get_mut(i) else {
                break;
            };
            if let Some(value) = signal(criterion, state, report, &self.memory.subtrahends, &self.groups)
                && state.take(criterion, report.step, value)
            {
                let _ = writeln!(counted, "{i} {} {:016x}", report.step, value.to_bits());
            }
        }
        if !counted.is_empty() {
            self.memory.evidence = canonical::sha256(format!("{}\n{counted}", self.memory.evidence));
        }
        let (advance, regress) = (&self.transitions.advance, &self.transitions.regress);
        let split = advance.as_ref().map_or(0, |rule| rule.criteria.len());
        let (of_advance, of_regress) = self.memory.criteria.split_at(split.min(self.memory.criteria.len()));
        let steps = report.step - self.start;
        let holds = |kind, rule: &Option<Rule>, states: &[State]| {
            let rule = rule.as_ref().filter(|rule| rule.holds(steps, states))?;
            Some((kind, rule.because(states)))
        };
        holds(Kind::Regress, regress, of_regress).or_else(|| holds(Kind::Advance, advance, of_advance))
    }
}

/// The criterion's value by a report; `None` where it says nothing new of it.
fn signal(
    criterion: &Criterion,
    state: &mut State,
    report: Evidence<'_>,
    subtrahends: &BTreeMap<String, (u64, f64)>,
    groups: &[u32],
) -> Option<f64> {
    let is_later = state.step.is_none_or(|step| step < report.step);
    let Some(extreme) = criterion.groups else {
        if !is_later {
            return None;
        }
        let value = *report.metrics.get(&criterion.metric)?;
        let minus = match &criterion.minus {
            Some(minus) => subtrahends.get(minus)?.1,
            None => 0.0,
        };
        return Some(value - minus);
    };
    let mut is_new = false;
    for (group, values) in report.groups {
        // A group without rows has no say.
        if let Some(&value) = values.get(&criterion.metric)
            && groups.contains(group)
            && state.groups.get(group).is_none_or(|known| known.0 < report.step)
        {
            state.groups.insert(*group, (report.step, value));
            is_new = true;
        }
    }
    let values = groups.iter().map(|group| Some(state.groups.get(group)?.1));
    let values: Option<Vec<f64>> = values.collect();
    values
        .filter(|_| is_new && is_later)?
        .into_iter()
        .reduce(match extreme {
            Extreme::Lowest => f64::min,
            Extreme::Highest => f64::max,
        })
}

impl State {
    /// Takes a value in; false where the sum is beyond what a number can be, and then nothing changes.
    fn take(&mut self, criterion: &Criterion, step: u64, value: f64) -> bool {
        let past = Share::from_units(criterion.smoothing).map_or(0.0, Share::to_f64);
        let average = match self.average {
            Some(average) => past * average + (1.0 - past) * value,
            None => value,
        };
        if !average.is_finite() {
            return false;
        }
        (self.step, self.average) = (Some(step), Some(average));
        let passes = self.test(criterion.test, step, average);
        self.passed = if passes {
            self.passed.saturating_add(1).min(criterion.consecutive)
        } else {
            0
        };
        true
    }

    /// Whether a value passes, with what came before it.
    fn test(&mut self, test: Test, step: u64, value: f64) -> bool {
        self.shown = Some(value);
        match test {
            Test::AtLeast(least) => value >= of_micro(least),
            Test::AtMost(most) => value <= of_micro(most),
            Test::Plateau {
                goal,
                min_delta,
                patience,
            } => {
                self.compare(goal, value, of_micro(min_delta));
                self.worse >= patience
            }
            Test::Drop { goal, by } => {
                self.compare(goal, value, 0.0);
                // As a sum, so that 0.8 is 0.1 worse than 0.9.
                let is_worse = |best| loss(goal, value) >= loss(goal, best) + of_micro(by);
                self.worse > 0 && self.best.is_some_and(is_worse)
            }
            Test::SlopeAtLeast { window, slope } => {
                self.slope(window, step, value).is_some_and(|s| s >= of_micro(slope))
            }
            Test::SlopeAtMost { window, slope } => {
                self.slope(window, step, value).is_some_and(|s| s <= of_micro(slope))
            }
        }
    }

    fn compare(&mut self, goal: Goal, value: f64, min_delta: f64) {
        if self
            .best
            .is_none_or(|best| loss(goal, value) < loss(goal, best) - min_delta)
        {
            (self.best, self.worse) = (Some(value), 0);
        } else {
            self.worse = self.worse.saturating_add(1);
        }
    }

    /// Least squares: Σ(t − t̄)(v − v̄) / Σ(t − t̄)², per 1,000 steps. `None` while there are too few values.
    fn slope(&mut self, window: u32, step: u64, value: f64) -> Option<f64> {
        self.window.push_back((step, value));
        while self.window.len() > window as usize {
            self.window.pop_front();
        }
        self.shown = None;
        if self.window.len() < window as usize {
            return None;
        }
        let first = self.window.front()?.0;
        let points = || {
            self.window
                .iter()
                .map(|&(step, value)| ((step - first) as f64 / SLOPE_STEPS, value))
        };
        let count = f64::from(window);
        let (sum_t, sum_v) = points().fold((0.0, 0.0), |(t, v), point| (t + point.0, v + point.1));
        let (mean_t, mean_v) = (sum_t / count, sum_v / count);
        let products = points().map(|(t, v)| (t - mean_t) * (v - mean_v)).sum::<f64>();
        let squares = points().map(|(t, _)| (t - mean_t).powi(2)).sum::<f64>();
        self.shown = Some(products / squares).filter(|slope| slope.is_finite());
        self.shown
    }
}

impl Rule {
    fn holds(&self, steps: u64, states: &[State]) -> bool {
        let mut holding = self
            .criteria
            .iter()
            .zip(states)
            .map(|(criterion, state)| state.passed >= criterion.consecutive);
        steps >= self.minimum_steps
            && match self.quantifier {
                Quantifier::Any => holding.any(|holds| holds),
                Quantifier::All => holding.all(|holds| holds),
            }
    }

    /// The criteria that hold, in words.
    fn because(&self, states: &[State]) -> String {
        let pairs = self.criteria.iter().zip(states);
        let holding = pairs.filter(|(criterion, state)| state.passed >= criterion.consecutive);
        let words: Vec<String> = holding.map(|(criterion, state)| criterion.words(state)).collect();
        words.join("; ").chars().take(BECAUSE).collect()
    }
}

impl Criterion {
    fn words(&self, state: &State) -> String {
        let mut text = match self.groups {
            Some(Extreme::Lowest) => format!("the lowest {} of a group", self.metric),
            Some(Extreme::Highest) => format!("the highest {} of a group", self.metric),
            None => self.metric.clone(),
        };
        if let Some(minus) = &self.minus {
            let _ = write!(text, " − {minus}");
        }
        let value = number(state.shown.unwrap_or(f64::NAN));
        let _ = match self.test {
            Test::AtLeast(least) => write!(text, " is {value}, at least {}", number(of_micro(least))),
            Test::AtMost(most) => write!(text, " is {value}, at most {}", number(of_micro(most))),
            Test::Plateau { .. } => {
                let best = number(state.best.unwrap_or(f64::NAN));
                write!(text, " is {value}, no better than {best} for {} values", state.worse)
            }
            Test::Drop { by, .. } => {
                let best = number(state.best.unwrap_or(f64::NAN));
                write!(
                    text,
                    " is {value}, worse than {best} by at least {}",
                    number(of_micro(by))
                )
            }
            Test::SlopeAtLeast { slope, .. } => {
                write!(
                    text,
                    " goes by {value} in 1,000 steps, at least {}",
                    number(of_micro(slope))
                )
            }
            Test::SlopeAtMost { slope, .. } => {
                write!(
                    text,
                    " goes by {value} in 1,000 steps, at most {}",
                    number(of_micro(slope))
                )
            }
        };
        if self.consecutive > 1 {
            let _ = write!(text, ", {} times in a row", self.consecutive);
        }
        text
    }
}

/// What is to be as low as possible.
fn loss(goal: Goal, value: f64) -> f64 {
    match goal {
        Goal::Minimize => value,
        Goal::Maximize => -value,
    }
}

fn of_micro(micro: i64) -> f64 {
    micro as f64 / 1e6
}

/// At most six digits after the point.
fn number(value: f64) -> String {
    let text = format!("{value:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
