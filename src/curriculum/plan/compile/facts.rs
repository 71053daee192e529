//! What is known of the data, and what must be true of any curriculum before a phase of it is compiled.

use std::collections::{BTreeMap, HashSet};

use super::super::curriculum::Phase;
use super::super::{MAX_EXACT, MAX_GROUPS, MAX_PHASES, PlanError, PlanScores};
use crate::curriculum::filter::Filtered;
use crate::curriculum::split::HeldOut;

/// Longest name of a phase.
const MAX_NAME: usize = 30;

/// What a plan needs to know besides the spec.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Seed of the run, at most 2⁵³ − 1.
    pub seed: u64,
    /// Rows to train on: those of the data set but for the ones that are held out or filtered out.
    pub rows: u64,
    /// Of these, the rows of each group, in the order of the groups; empty without a group column.
    pub group_rows: Vec<u64>,
    /// Rows of the data set that are held out of training.
    pub held_out: Option<HeldOut>,
    /// Further rows of it that do not match a filter.
    pub filtered: Option<Filtered>,
    /// Places of the groups that the spec names.
    pub groups: BTreeMap<String, u32>,
    /// The score index to use; `None`: go without, every row equally likely.
    pub scores: Option<PlanScores>,
    /// Steps that phases lasted, by index, where a transition ended them early: what a later phase replays of one is what it had
    /// come to.
    pub lasted: BTreeMap<u32, u64>,
}

impl Facts {
    /// Whether they are within bounds and agree with each other.
    pub(super) fn check(&self) -> Result<(), PlanError> {
        if self.seed > MAX_EXACT {
            return Err(PlanError::new(
                "seed",
                format!("{} is not between 0 and {MAX_EXACT}", self.seed),
            ));
        }
        if !(1..=MAX_EXACT).contains(&self.rows) {
            return Err(PlanError::new(
                "dataset",
                format!("{} rows; needed are between 1 and {MAX_EXACT}", self.rows),
            ));
        }
        let groups = &self.group_rows;
        if groups.len() > MAX_GROUPS {
            let problem = format!("{} groups; at most {MAX_GROUPS} are possible", groups.len());
            return Err(PlanError::new("dataset.groupColumn", problem));
        }
        let in_groups: u128 = groups.iter().map(|&n| u128::from(n)).sum();
        if !groups.is_empty() && in_groups != u128::from(self.rows) {
            let problem = format!(
                "the groups have {in_groups} rows together, but the data set has {}",
                self.rows
            );
            return Err(PlanError::new("dataset.groupColumn", problem));
        }
        Ok(())
    }
}

/// Whether every phase has a name of its own that a Job's name can be made of.
pub(super) fn check_names(phases: &[Phase]) -> Result<(), PlanError> {
    if !(1..=MAX_PHASES).contains(&phases.len()) {
        let problem = format!("{} phases; needed are between 1 and {MAX_PHASES}", phases.len());
        return Err(PlanError::new("curriculum.phases", problem));
    }
    if let Some(i) = phases.iter().position(|phase| !is_name(&phase.name)) {
        let problem = format!(
            "'{}' is no name of at most {MAX_NAME} lower case letters, digits and '-', with a letter or a digit at both ends",
            phases[i].name
        );
        return Err(PlanError::new(format!("curriculum.phases[{i}].name"), problem));
    }
    let mut seen = HashSet::new();
    match phases.iter().position(|phase| !seen.insert(&phase.name)) {
        None => Ok(()),
        Some(i) => Err(PlanError::new(
            format!("curriculum.phases[{i}].name"),
            format!(
                "'{}' is the name of an earlier phase too; names must be unique",
                phases[i].name
            ),
        )),
    }
}

/// Names become parts of the names of Jobs.
fn is_name(name: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(inner) && !name.starts_with('-') && !name.ends_with('-')
}
