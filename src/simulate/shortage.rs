//! Shortages: where a curriculum cannot do what it says, or hardly. Found before the run instead of in it.

use super::population::Population;
use super::run::PhaseTotal;
use crate::api::curriculum::{CurriculumSpec, Fraction, PhaseSpec};
use crate::curriculum::pacing::first_above;
use crate::curriculum::plan::{Admission, MAX_STEPS, PhasePlan, Plan, Role};
use crate::curriculum::share::Share;

/// Groups that are named in one line; the others are counted.
const NAMED: usize = 4;

/// Something that is short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// The phase; `None`: the whole curriculum.
    pub phase: Option<String>,
    /// What is short, by how much, and what helps.
    pub problem: String,
}

impl std::fmt::Display for Shortage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.phase {
            Some(phase) => write!(f, "phase {phase}: {}", self.problem),
            None => f.write_str(&self.problem),
        }
    }
}

/// All shortages of a curriculum, those of the whole of it first.
pub fn find(spec: &CurriculumSpec, plan: &Plan, population: &Population, totals: &[PhaseTotal]) -> Vec<Shortage> {
    let mut found: Vec<Shortage> = of_batch(spec, plan)
        .into_iter()
        .map(|problem| Shortage { phase: None, problem })
        .collect();
    for (phase, total) in plan.phases.iter().zip(totals) {
        // A phase that was gone back to is there several times.
        let number = phase.index as usize;
        let mut problems = Vec::new();
        problems.extend(total.raised.as_ref().map(|raised| {
            let (first, last) = raised.steps;
            format!(
                "the pool is raised from {} to {} so that it holds a batch of {} (from step {first} to {last}); begin with a larger \
                 pool or take a smaller batch",
                count(raised.wanted),
                count(raised.held),
                plan.batch_size
            )
        }));
        problems.extend(window(spec, number, plan));
        problems.extend(pacing(phase));
        problems.extend(groups(spec, number, population, total));
        problems.extend(without_scores(phase, population));
        found.extend(problems.into_iter().map(|problem| Shortage {
            phase: Some(phase.name.clone()),
            problem,
        }));
    }
    found
}

/// What a batch is too small for, or the data set.
fn of_batch(spec: &CurriculumSpec, plan: &Plan) -> Vec<String> {
    let mut found = Vec::new();
    if plan.rows < plan.batch_size {
        found.push(format!(
            "the data set has {} and a batch {}: every batch holds rows more than once; `batchSize` should be at most {}",
            count(plan.rows),
            count(plan.batch_size),
            plan.rows
        ));
    }
    let minimum = spec.group_shares.as_ref().and_then(|shares| shares.minimum.as_ref());
    for (name, fraction, of) in [
        ("uniformFloor", spec.uniform_floor.as_ref(), "it"),
        ("groupShares.minimum", minimum, "a group"),
    ] {
        let Some(share) = fraction.and_then(|fraction| Share::try_from(fraction).ok()) else {
            continue;
        };
        let rows = share.to_f64() * plan.batch_size as f64;
        if rows > 0.0 && rows < 1.0 {
            let Fraction(text) = fraction.cloned().unwrap_or_else(|| "0".into());
            found.push(format!(
                "`{name}` '{text}' of a batch of {} is less than one row: {of} gets one every {:.0} batches, and nothing in between; \
                 for a row in every batch set at least '{:.4}'",
                plan.batch_size,
                (1.0 / rows).ceil(),
                1.0 / plan.batch_size as f64
            ));
        }
    }
    found
}

/// A window that holds less than a batch.
fn window(spec: &CurriculumSpec, number: usize, plan: &Plan) -> Option<String> {
    let pool = inherited(spec, number, |phase| phase.pool.as_ref())?;
    let window = pool.window.as_ref()?;
    let rows = Share::try_from(window).ok()?.ceil_of(plan.rows);
    (rows < plan.batch_size.min(plan.rows)).then(|| {
        format!(
            "`window` '{}' is {}, less than a batch of {}, and is widened to hold one",
            window.0,
            count(rows),
            plan.batch_size
        )
    })
}

/// What a phase says, or the phase that it inherits from.
fn inherited<'a, T>(spec: &'a CurriculumSpec, number: usize, field: impl Fn(&'a PhaseSpec) -> Option<T>) -> Option<T> {
    let mut number = number;
    loop {
        let phase = spec.phases.get(number)?;
        match field(phase) {
            Some(found) => return Some(found),
            None if phase.inherit => number = number.checked_sub(1)?,
            None => return None,
        }
    }
}

/// A schedule that is not at its end when the phase is.
fn pacing(phase: &PhasePlan) -> Vec<String> {
    let steps = phase.steps();
    let mut found = Vec::new();
    for pool in phase.pools.iter().filter(|pool| pool.role == Role::Own) {
        // At step `steps` itself, the first of the next phase: a schedule over the whole phase ends there.
        let problem = match &pool.admits {
            Admission::Fraction(pacing) => {
                let at = |t| pacing.at(t);
                let percent = |share: Share| format!("{} %", short(share.to_f64() * 100.0));
                // A shrinking exponential has no end.
                let ends = at(u64::from(u32::MAX)) > Share::ZERO;
                unfinished(steps, at, pacing.turns().last().copied())
                    .filter(|_| ends)
                    .map(|end| (end, percent(at(steps)), percent(at(end))))
            }
            Admission::Score(threshold) => {
                let score = |t: u64| format!("score {}", short(threshold.at(t)));
                unfinished(steps, |t| threshold.at(t), None).map(|end| (end, score(steps), score(end)))
            }
            Admission::DeepSpeed(schedule) => {
                let difficulty = |t: u64| format!("difficulty {}", schedule.at(t));
                unfinished(steps, |t| schedule.at(t), None).map(|end| (end, difficulty(steps), difficulty(end)))
            }
        };
        if let Some((end, now, then)) = problem {
            let problem = format!(
                "its schedule needs {end} steps, but the phase has {steps}: it ends at {now}, not at {then}; lengthen the phase or \
                 shorten the schedule"
            );
            if !found.contains(&problem) {
                found.push(problem);
            }
        }
    }
    found
}

/// The step at which a schedule has its last value, when that is after `steps`.
fn unfinished<T: PartialEq>(steps: u64, at: impl Fn(u64) -> T, last_turn: Option<u64>) -> Option<u64> {
    const FAR: u64 = 2 * MAX_STEPS;
    let goal = at(FAR);
    if let Some(turn) = last_turn {
        return (turn > steps).then_some(turn);
    }
    if at(steps) == goal {
        return None;
    }
    // Monotone towards the goal.
    Some(first_above(steps, FAR + 1, |t| at(t) == goal))
}

/// Groups that are drawn more than once over, or more often than the phase's epochs ask for.
fn groups(spec: &CurriculumSpec, number: usize, population: &Population, total: &PhaseTotal) -> Option<String> {
    let epochs = inherited(spec, number, |phase| phase.duration.as_ref()).and_then(|duration| duration.epochs);
    let passes = u64::try_from(epochs.unwrap_or(1)).unwrap_or(1);
    // Steps are rounded up: the last batch may begin a further pass.
    let slack = if epochs.is_some() {
        total.rows / total.steps.end.saturating_sub(total.steps.start).max(1)
    } else {
        0
    };
    let mut over: Vec<(f64, &str, u64, u64)> = population
        .group_names()
        .iter()
        .zip(population.group_rows())
        .zip(&total.groups)
        .filter(|&((_, &rows), &drawn)| rows > 0 && drawn > rows * passes + slack)
        .map(|((name, &rows), &drawn)| (drawn as f64 / rows as f64, name.as_str(), rows, drawn))
        .collect();
    if over.is_empty() {
        return None;
    }
    over.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    let named = over.iter().take(NAMED).map(|(passes, name, rows, drawn)| {
        format!(
            "'{name}' {} times over ({drawn} drawn, {})",
            short(*passes),
            count(*rows)
        )
    });
    let more = over.len().saturating_sub(NAMED);
    let more = if more > 0 {
        format!(", and {more} more")
    } else {
        String::new()
    };
    let text = format!("groups are used up: {}{more}", named.collect::<Vec<_>>().join(", "));
    Some(text)
}

/// A pool by score in a simulation whose rows have no scores.
fn without_scores(phase: &PhasePlan, population: &Population) -> Option<String> {
    let by_score = phase
        .pools
        .iter()
        .filter(|pool| pool.role == Role::Own)
        .any(|pool| match &pool.admits {
            Admission::Score(_) => true,
            Admission::DeepSpeed(schedule) => !schedule.percentile,
            Admission::Fraction(_) => false,
        });
    (by_score && !population.has_scores()).then(|| {
        "the pool is cut at a score, and the simulated rows have their rank (above 0, up to 1) as score; give the score index \
         (--index) to see its true size"
            .to_owned()
    })
}

fn count(rows: u64) -> String {
    if rows == 1 {
        "1 row".to_owned()
    } else {
        format!("{rows} rows")
    }
}

/// A number with at most two digits after the point.
pub(super) fn short(x: f64) -> String {
    let text = format!("{x:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    text.to_owned()
}
