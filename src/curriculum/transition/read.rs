//! Reading the spec's transitions.

use super::{Criterion, MAX_CRITERIA, Quantifier, Rule, Test};
use crate::api::curriculum::{AdvanceSpec, CriterionSpec, PlateauSpec, RegressSpec, Score, SlopeSpec};
use crate::curriculum::decimal;
use crate::curriculum::plan::PlanError;
use crate::curriculum::share::Share;

/// `advance` of a phase of `steps` steps at most.
pub(in crate::curriculum) fn advance(field: &str, spec: &AdvanceSpec, steps: u64) -> Result<Rule, PlanError> {
    rule(field, (&spec.any_of, &spec.all_of), spec.minimum_steps, steps)
}

/// `regress` of such a phase.
pub(in crate::curriculum) fn regress(field: &str, spec: &RegressSpec, steps: u64) -> Result<Rule, PlanError> {
    let limit = spec.limit.unwrap_or(1);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(PlanError::new(
            format!("{field}.limit"),
            format!("{limit} is not between 1 and {MAX_LIMIT}"),
        ));
    }
    rule(field, (&spec.any_of, &spec.all_of), spec.minimum_steps, steps)
}

/// How often a phase may be left backwards, at most.
const MAX_LIMIT: i32 = 8;

type Criteria<'a> = &'a Option<Vec<CriterionSpec>>;

fn rule(
    field: &str,
    (any_of, all_of): (Criteria<'_>, Criteria<'_>),
    minimum_steps: Option<i64>,
    steps: u64,
) -> Result<Rule, PlanError> {
    let (quantifier, criteria, field_of) = match (any_of, all_of) {
        (Some(criteria), None) => (Quantifier::Any, criteria, format!("{field}.anyOf")),
        (None, Some(criteria)) => (Quantifier::All, criteria, format!("{field}.allOf")),
        _ => return Err(PlanError::new(field, "exactly one of `anyOf` and `allOf` must be set")),
    };
    if !(1..=MAX_CRITERIA).contains(&criteria.len()) {
        let problem = format!("{} criteria; needed are 1 to {MAX_CRITERIA}", criteria.len());
        return Err(PlanError::new(field_of, problem));
    }
    let minimum = minimum_steps.unwrap_or(1);
    let minimum_steps = u64::try_from(minimum)
        .ok()
        .filter(|minimum| (1..=steps).contains(minimum));
    let minimum_steps = minimum_steps.ok_or_else(|| {
        let problem = format!("{minimum} is not between 1 and the {steps} steps of the phase");
        PlanError::new(format!("{field}.minimumSteps"), problem)
    })?;
    let criteria = criteria.iter().enumerate();
    let criteria = criteria.map(|(i, spec)| criterion(&format!("{field_of}[{i}]"), spec));
    Ok(Rule {
        minimum_steps,
        quantifier,
        criteria: criteria.collect::<Result<_, _>>()?,
    })
}

fn criterion(field: &str, spec: &CriterionSpec) -> Result<Criterion, PlanError> {
    let smoothing = match &spec.smoothing {
        Some(text) => Share::parse(&text.0)
            .map_err(|error| PlanError::new(format!("{field}.smoothing"), error.to_string()))?
            .units(),
        None => 0,
    };
    let criterion = Criterion {
        metric: spec.metric.clone(),
        minus: spec.minus.clone(),
        groups: spec.groups,
        smoothing,
        consecutive: count(format!("{field}.consecutive"), spec.consecutive.unwrap_or(1))?,
        test: test(field, spec)?,
    };
    criterion.check(field)?;
    Ok(criterion)
}

fn test(field: &str, spec: &CriterionSpec) -> Result<Test, PlanError> {
    match (&spec.at_least, &spec.at_most, &spec.plateau, &spec.slope, &spec.drop) {
        (Some(value), None, None, None, None) => Ok(Test::AtLeast(number(format!("{field}.atLeast"), value)?)),
        (None, Some(value), None, None, None) => Ok(Test::AtMost(number(format!("{field}.atMost"), value)?)),
        (None, None, Some(plateau), None, None) => {
            let PlateauSpec {
                goal,
                min_delta,
                patience,
            } = plateau;
            let min_delta = min_delta
                .as_ref()
                .map(|delta| number(format!("{field}.plateau.minDelta"), delta));
            Ok(Test::Plateau {
                goal: *goal,
                min_delta: min_delta.transpose()?.unwrap_or(0),
                patience: count(format!("{field}.plateau.patience"), *patience)?,
            })
        }
        (None, None, None, Some(spec), None) => slope(&format!("{field}.slope"), spec),
        (None, None, None, None, Some(drop)) => Ok(Test::Drop {
            goal: drop.goal,
            by: number(format!("{field}.drop.by"), &drop.by)?,
        }),
        _ => Err(PlanError::new(
            field,
            "exactly one of `atLeast`, `atMost`, `plateau`, `slope` and `drop` must be set",
        )),
    }
}

fn slope(field: &str, spec: &SlopeSpec) -> Result<Test, PlanError> {
    let window = count(format!("{field}.window"), spec.window)?;
    match (&spec.at_least, &spec.at_most) {
        (Some(slope), None) => Ok(Test::SlopeAtLeast {
            window,
            slope: number(format!("{field}.atLeast"), slope)?,
        }),
        (None, Some(slope)) => Ok(Test::SlopeAtMost {
            window,
            slope: number(format!("{field}.atMost"), slope)?,
        }),
        _ => Err(PlanError::new(
            field,
            "exactly one of `atLeast` and `atMost` must be set",
        )),
    }
}

fn number(field: String, score: &Score) -> Result<i64, PlanError> {
    decimal::units(&score.0, 6).ok_or_else(|| {
        let problem = format!(
            "'{}' is no decimal number with at most 6 digits after the point, such as '0.5'",
            score.0
        );
        PlanError::new(field, problem)
    })
}

fn count(field: String, count: i32) -> Result<u32, PlanError> {
    u32::try_from(count).map_err(|_| PlanError::new(field, format!("{count} is negative")))
}
