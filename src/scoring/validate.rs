//! Checks a task before anything is read: the controller made it, but from what a user wrote.

use std::collections::BTreeSet;
use std::path::{Component, Path};

use super::companions::{self, Companion};
use super::dataset::{Field, Kind};
use super::error::ScoringError;
use super::joined;
use super::store::Shard;
use super::task::{Combine, Condition, MAX_CONDITIONS, Scorer, ScorerKind, Task, Test};
use crate::curriculum::share::Share;
use crate::curriculum::split::HeldOut;

/// Reads and checks a task.
///
/// # Errors
/// [`ScoringError::InvalidTask`] names the field.
pub fn parse_task(json: &str) -> Result<Task, ScoringError> {
    let task: Task =
        serde_json::from_str(json).map_err(|e| ScoringError::InvalidTask(format!("the task is not readable: {e}")))?;
    check(&task)?;
    Ok(task)
}

/// As [`parse_task`], from a file.
///
/// # Errors
/// As [`parse_task`], and when the file cannot be read.
pub fn read_task(path: &Path) -> Result<Task, ScoringError> {
    parse_task(&std::fs::read_to_string(path).map_err(|e| ScoringError::io("read", path, e))?)
}

/// True for 64 hexadecimal digits in lower case.
pub fn is_key(key: &str) -> bool {
    key.len() == 64 && key.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn check(task: &Task) -> Result<(), ScoringError> {
    let invalid = |message: String| Err(ScoringError::InvalidTask(message));
    for (name, key) in [("datasetKey", &task.dataset_key), ("key", &task.key)] {
        if !is_key(key) {
            return invalid(format!("the task's `{name}` must be 64 hexadecimal digits"));
        }
    }
    if task.path.is_some() != task.paths.is_empty() {
        return invalid("exactly one of `dataset.path` and `dataset.paths` must be set".to_owned());
    }
    if !task.delimiter.is_ascii() || matches!(task.delimiter, '"' | '\r' | '\n' | '\0') {
        return invalid(format!(
            "`dataset.delimiter` is `{}`; it must be one ASCII character, no quote and no line break",
            task.delimiter.escape_default()
        ));
    }
    if task.shards == 0 {
        return invalid("`scoring.shards` is 0; it must be at least 1".to_owned());
    }
    if task.scorers.is_empty() {
        return invalid("`scoring.scorers` is empty; name at least one scorer".to_owned());
    }
    let mut names = BTreeSet::new();
    for Scorer { name, .. } in &task.scorers {
        let plain = name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if name.is_empty() || name.len() > 63 || !plain {
            return invalid(format!(
                "scorer `{name}`: a name has 1 to 63 lower case letters, digits and '-'"
            ));
        }
        if !names.insert(name) {
            return invalid(format!("two scorers are named `{name}`; names must differ"));
        }
    }
    let inside = |path: &str| {
        Path::new(path)
            .components()
            .all(|c| matches!(c, Component::Normal(_) | Component::CurDir))
    };
    for Companion { path, field } in companions::of_task(task) {
        if path.is_empty() || !inside(path) {
            return invalid(format!(
                "`{field}` is `{path}`; it must be a path relative to the data set's volume, without `..`"
            ));
        }
    }
    weights(task)?;
    held_out(task, 1)?;
    bounds(task)?;
    min_coverage(task).map(|_| ())
}

/// The weights of the scorers, in their order; finite, not negative, not all 0 unless the combination ignores them.
///
/// # Errors
/// [`ScoringError::InvalidTask`] names the scorer.
pub fn weights(task: &Task) -> Result<Vec<f64>, ScoringError> {
    let mut weights = Vec::with_capacity(task.scorers.len());
    for scorer in &task.scorers {
        match scorer.weight.parse::<f64>() {
            Ok(weight) if weight.is_finite() && weight >= 0.0 => weights.push(weight),
            _ => {
                return Err(ScoringError::InvalidTask(format!(
                    "scorer `{}`: `weight` is `{}`; it must be a decimal number of at least 0",
                    scorer.name, scorer.weight
                )));
            }
        }
    }
    if task.combine != Combine::Max && weights.iter().all(|&weight| weight == 0.0) {
        return Err(ScoringError::InvalidTask(
            "every scorer has `weight` 0; give one a greater weight".to_owned(),
        ));
    }
    Ok(weights)
}

/// Least fraction of rows with a finite score, 0 to 1.
///
/// # Errors
/// [`ScoringError::InvalidTask`] when it is something else.
pub fn min_coverage(task: &Task) -> Result<f64, ScoringError> {
    match task.min_coverage.parse::<f64>() {
        Ok(fraction) if (0.0..=1.0).contains(&fraction) => Ok(fraction),
        _ => Err(ScoringError::InvalidTask(format!(
            "`scoring.minCoverage` is `{}`; it must be a decimal number from 0 to 1",
            task.min_coverage
        ))),
    }
}

/// Which of `rows` rows are held out of training; `None`: none are.
///
/// # Errors
/// [`ScoringError::InvalidTask`] when the fraction is none.
pub fn held_out(task: &Task, rows: u64) -> Result<Option<HeldOut>, ScoringError> {
    let Some(split) = &task.split else { return Ok(None) };
    match Share::parse(&split.held_out) {
        Ok(fraction) if Share::ZERO < fraction && fraction < Share::ONE => {
            Ok(Some(HeldOut::of(fraction, rows, split.seed)))
        }
        _ => Err(ScoringError::InvalidTask(format!(
            "`dataset.split.heldOut` is `{}`; it must be a decimal number between 0 and 1",
            split.held_out
        ))),
    }
}

/// The bounds of each condition of the filter, infinite where none is set.
///
/// # Errors
/// [`ScoringError::InvalidTask`] when there are too many conditions, a bound is no number, or a list has an
/// empty text or none.
pub fn bounds(task: &Task) -> Result<Vec<(f64, f64)>, ScoringError> {
    if task.filter.len() > MAX_CONDITIONS {
        return Err(ScoringError::InvalidTask(format!(
            "`dataset.filter` has {} conditions; at most {MAX_CONDITIONS} are possible",
            task.filter.len()
        )));
    }
    let number = |place: usize, name: &str, text: &Option<String>, default: f64| match text {
        None => Ok(default),
        Some(text) => match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(number),
            _ => Err(ScoringError::InvalidTask(format!(
                "`dataset.filter[{place}].{name}` is `{text}`; it must be a decimal number"
            ))),
        },
    };
    let conditions = task.filter.iter().enumerate();
    let bounds = conditions.map(|(place, Condition { test, .. })| match test {
        Test::Range { min: None, max: None } => Err(ScoringError::InvalidTask(format!(
            "`dataset.filter[{place}]` has neither `min` nor `max`; it must have one"
        ))),
        Test::Range { min, max } => Ok((
            number(place, "min", min, f64::NEG_INFINITY)?,
            number(place, "max", max, f64::INFINITY)?,
        )),
        Test::In(texts) | Test::NotIn(texts) if texts.is_empty() || texts.iter().any(String::is_empty) => {
            Err(ScoringError::InvalidTask(format!(
                "`dataset.filter[{place}]` has an empty list, or an empty text in it; it must have texts"
            )))
        }
        Test::In(_) | Test::NotIn(_) => Ok((f64::NEG_INFINITY, f64::INFINITY)),
    });
    bounds.collect()
}

/// The fraction of the rows that have a score, of those that can have one: bad rows, as many as the user allowed, cannot.
pub fn coverage(scored: u64, rows: u64, bad_rows: u64) -> f64 {
    match rows.saturating_sub(bad_rows) {
        0 => 1.0,
        readable => (scored as f64 / readable as f64).min(1.0),
    }
}

/// The shard of an index.
///
/// # Errors
/// [`ScoringError::InvalidTask`] when there are not that many shards.
pub fn shard(task: &Task, index: u32) -> Result<Shard, ScoringError> {
    if index >= task.shards {
        return Err(ScoringError::InvalidTask(format!(
            "shard {index} does not exist: the task has {} shards, counted from 0",
            task.shards
        )));
    }
    Ok(Shard {
        index,
        count: task.shards,
    })
}

/// The scorer of a name.
///
/// # Errors
/// [`ScoringError::InvalidTask`] when there is none.
pub fn scorer<'a>(task: &'a Task, name: &str) -> Result<&'a Scorer, ScoringError> {
    task.scorers
        .iter()
        .find(|scorer| scorer.name == name)
        .ok_or_else(|| ScoringError::InvalidTask(format!("the task has no scorer `{name}`")))
}

/// The column that a scorer reads; `None` for programs.
pub fn field(scorer: &Scorer) -> Option<Field> {
    let asked_by = format!("scorer `{}`", scorer.name);
    let (column, kind) = match &scorer.kind {
        ScorerKind::Column { column } => (column, Kind::Number),
        ScorerKind::Length { column, .. } | ScorerKind::Tokens { column, .. } => (column, Kind::Length),
        ScorerKind::Rarity { column } | ScorerKind::Duplicates { column, .. } => (column, Kind::Text),
        ScorerKind::CentreDistance { column, .. } => (column, Kind::Vector),
        ScorerKind::File { join, .. } => return joined::field_of_data(join, &asked_by),
        ScorerKind::Container => return None,
    };
    Some(Field {
        column: column.clone(),
        kind,
        asked_by,
    })
}
