//! What is shown of a simulation, in whichever form.

use super::document::{Document, Kind};
use super::population::Population;
use super::run::{Depth, PhaseTotal, Point};
use super::shortage::{self, Shortage};
use crate::curriculum::plan::Plan;
use crate::curriculum::transition::Decision;

/// A simulation that has run.
#[derive(Debug)]
pub struct Summary<'a> {
    /// Name of the curriculum: its file's.
    pub name: String,
    /// The plan that was simulated.
    pub plan: &'a Plan,
    /// The shown steps.
    pub points: Vec<Point>,
    /// What each phase comes to.
    pub totals: Vec<PhaseTotal>,
    /// Where a phase was left by what the trainer reported.
    pub transitions: Vec<Transition>,
    /// What is short.
    pub shortages: Vec<Shortage>,
    /// The groups' values; empty without groups.
    pub group_names: &'a [String],
    /// What a group is: the data set's column, or "group".
    pub group_label: &'a str,
    /// Whether difficulties are scores; else they are ranks.
    pub has_scores: bool,
    /// What the numbers do not say.
    pub notes: Vec<String>,
    /// What to do next: a command, and what it does.
    pub next: Vec<(String, String)>,
}

/// A phase that was left by what the trainer reported.
#[derive(Clone, Debug)]
pub struct Transition {
    /// First step that it did not train.
    pub step: u64,
    /// The phase, and the one that came next; `None`: the run ended.
    pub phases: (String, Option<String>),
    /// Why.
    pub because: String,
}

impl<'a> Summary<'a> {
    /// Puts together what a run gave; `decisions` say how each phase of the plan was left, where reports were played. `data` are the arguments that told the rows, for the commands of what to do next.
    pub fn new(
        document: &'a Document,
        (plan, decisions): (&'a Plan, &[Option<Decision>]),
        population: &'a Population,
        depth: Depth,
        points: Vec<Point>,
        totals: Vec<PhaseTotal>,
        data: &str,
    ) -> Self {
        let name = document
            .path
            .file_stem()
            .map_or_else(|| "curriculum".to_owned(), |name| name.to_string_lossy().into_owned());
        Self {
            shortages: shortage::find(&document.spec, plan, population, &totals),
            transitions: transitions(plan, decisions),
            notes: [document.notes.clone(), notes(plan, population, depth, &totals)].concat(),
            next: next(document, data),
            name,
            plan,
            points,
            totals,
            group_names: population.group_names(),
            group_label: document.group_column.as_deref().unwrap_or("group"),
            has_scores: population.has_scores(),
        }
    }

    /// Name of a phase by its place in the plan.
    pub fn phase_name(&self, phase: usize) -> &str {
        self.plan.phases.get(phase).map_or("", |phase| &phase.name)
    }

    /// The groups that were drawn most, at most `limit`, in the order of the groups.
    pub fn largest_groups(&self, limit: usize) -> Vec<usize> {
        let drawn = |group: usize| {
            self.totals
                .iter()
                .map(|total| total.groups.get(group).copied().unwrap_or(0))
                .sum::<u64>()
        };
        let mut groups: Vec<usize> = (0..self.group_names.len()).collect();
        groups.sort_by_key(|&group| std::cmp::Reverse(drawn(group)));
        groups.truncate(limit);
        groups.sort_unstable();
        groups
    }

    /// What a phase comes to in tokens, in words, where they bound its batches.
    pub fn tokens_of(&self, total: &PhaseTotal) -> Option<String> {
        let (budget, packed) = (self.plan.tokens?.budget, total.packed?);
        let steps = total.steps.end - total.steps.start;
        let whole = u128::from(budget) * u128::from(steps);
        let used = packed.tokens as f64 / whole.max(1) as f64 * 100.0;
        let (least, most) = packed.rows;
        Some(format!(
            "{} tokens, {used:.1} % of the budget of {budget} a batch; {least} to {most} rows a batch",
            packed.tokens
        ))
    }

    /// First step after the simulated ones.
    pub fn end(&self) -> u64 {
        self.totals.last().map_or(0, |total| total.steps.end)
    }
}

fn transitions(plan: &Plan, decisions: &[Option<Decision>]) -> Vec<Transition> {
    let name = |place: usize| plan.phases.get(place).map(|phase| phase.name.clone());
    let left = decisions.iter().enumerate();
    let left = left.filter_map(|(place, decision)| {
        let decision = decision.as_ref()?;
        Some(Transition {
            step: decision.step,
            phases: (name(place)?, name(place + 1)),
            because: decision.because.clone(),
        })
    });
    left.collect()
}

fn notes(plan: &Plan, population: &Population, depth: Depth, totals: &[PhaseTotal]) -> Vec<String> {
    let mut notes = Vec::new();
    if plan.tokens.is_some() && !population.has_lengths() {
        notes.push(format!(
            "No lengths of rows are known here, so a batch has {} rows: as many as fit however long they are. The score index of \
             a job with `batchTokens` knows them (--index).",
            plan.fewest_rows()
        ));
    }
    if plan.tokens.is_some() && depth != Depth::Every {
        notes.push("Rows are the most that there may be: where batches end, only drawing them all tells.".to_owned());
    }
    if plan.phases.iter().any(|phase| phase.transitions.is_some()) {
        notes.push(
            "Phases with `advance` or `regress` may be left earlier: here each lasts as long as it may. A file of what a trainer \
             reports (--metrics) shows when they are left."
                .to_owned(),
        );
    }
    match depth {
        Depth::Every => {}
        Depth::Shown => notes.push(
            "To draw every step would take long: difficulties and shares of groups are those of the shown steps alone, and \
             distinct rows are left out."
                .to_owned(),
        ),
        Depth::Nothing => notes.push(
            "To draw the shown steps would take long: only pools and schedules are shown. Take fewer steps (--steps, --every).".to_owned(),
        ),
    }
    let end = totals.last().map_or(0, |total| total.steps.end);
    if end < plan.total_steps() {
        notes.push(format!(
            "Totals are those of the first {end} of {} steps.",
            plan.total_steps()
        ));
    }
    notes
}

fn next(document: &Document, data: &str) -> Vec<(String, String)> {
    let file = document.path.display();
    let mut next = vec![
        (
            format!("curriculum simulate -f {file} {data} -o html --out page.html"),
            "the same as a page with pictures".to_owned(),
        ),
        (
            format!("curriculum sample -f {file} {data} --from 0 --count 1"),
            "the rows of a batch".to_owned(),
        ),
    ];
    match document.kind {
        Kind::Job => next.push((format!("kubectl apply -f {file}"), "run it".to_owned())),
        Kind::Curriculum => next.push((
            "kubectl explain curriculumjob.spec".to_owned(),
            "what else a job needs besides this `curriculum`".to_owned(),
        )),
        Kind::DeepSpeed => next.push((
            "kubectl explain curriculumjob.spec.curriculum.phases.pool.deepSpeed".to_owned(),
            "where this metric goes in a job, as it is".to_owned(),
        )),
    }
    next
}

/// A name in at most `width` characters, none of which moves the cursor.
pub(super) fn label(name: &str, width: usize) -> String {
    let clean = |c: char| if c.is_control() { '?' } else { c };
    let name = if name.is_empty() { "(empty)" } else { name };
    match name.chars().count() > width {
        true => name.chars().take(width - 1).map(clean).chain(['…']).collect(),
        false => name.chars().map(clean).collect(),
    }
}
