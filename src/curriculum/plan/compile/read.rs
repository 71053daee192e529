//! Reading the spec's pools: decimal strings become integers, and every contradiction names its field.

use super::super::curriculum::{Pool, PoolKind};
use super::super::{
    Admission, Band, MAX_EXACT, MAX_PACKED, MAX_STEPS, MAX_TOKENS, PlanError, ScoreThreshold, TokenBudget,
};
use super::MICRO;
use crate::api::curriculum::DeepSpeedSchedule as Schedule;
use crate::api::curriculum::{
    BatchTokensSpec, DeepSpeedDifficulty, DeepSpeedSpec, Fraction, GroupPacing, PacingFunction, PacingSpec, Positive,
    RootDegree, Score, ScorePoolSpec,
};
use crate::curriculum::decimal;
use crate::curriculum::pacing::{DeepSpeed, DeepSpeedSchedule, Pacing, Shape};
use crate::curriculum::share::Share;

/// The pool of a spec in a phase of `duration` steps.
pub(super) fn pool(field: &str, spec: &Pool, duration: u64) -> Result<(Admission, Band), PlanError> {
    let admits = match &spec.kind {
        PoolKind::Fraction(fraction) => Admission::Fraction(Pacing::Constant(
            admitted(format!("{field}.fraction"), fraction)?.units(),
        )),
        PoolKind::Pacing(spec) => Admission::Fraction(pacing(&format!("{field}.pacing"), spec, duration)?),
        PoolKind::Score(spec) => Admission::Score(threshold(&format!("{field}.score"), spec, duration)?),
        PoolKind::DeepSpeed(spec) => Admission::DeepSpeed(deep_speed(&format!("{field}.deepSpeed"), spec)?),
    };
    let one_pass = matches!(&spec.kind, PoolKind::Pacing(pacing) if pacing.function == PacingFunction::OnePass);
    let band = match &spec.window {
        None if one_pass => Band::Bucket,
        None => Band::Whole,
        Some(window) if !one_pass && matches!(admits, Admission::Fraction(_)) => {
            Band::Width(admitted(format!("{field}.window"), window)?.units())
        }
        Some(_) => {
            let problem = "goes with `fraction` or `pacing` only, and not with OnePass";
            return Err(PlanError::new(format!("{field}.window"), problem));
        }
    };
    Ok((admits, band))
}

/// A pacing function in a phase of `duration` steps.
pub(super) fn pacing(field: &str, spec: &PacingSpec, duration: u64) -> Result<Pacing, PlanError> {
    check_parameters(field, spec)?;
    let from = match &spec.from {
        Some(fraction) => admitted(format!("{field}.from"), fraction)?.units(),
        None => Share::ONE.units(),
    };
    let to = match &spec.to {
        Some(fraction) => admitted(format!("{field}.to"), fraction)?.units(),
        None => Share::ONE.units(),
    };
    let degree = |default| parameter(format!("{field}.degree"), spec.degree.as_ref(), default);
    let factor = || parameter(format!("{field}.factor"), spec.factor.as_ref(), MICRO);
    let steps = steps(field, spec, duration)?;
    let ramp = |shape| Pacing::Ramp { shape, from, to, steps };
    Ok(match spec.function {
        PacingFunction::Constant => Pacing::Constant(from),
        PacingFunction::Linear => ramp(Shape::Linear),
        PacingFunction::Quadratic => ramp(Shape::Polynomial { degree: 2 * MICRO }),
        PacingFunction::Root => ramp(Shape::Root {
            degree: degree(2 * MICRO)?,
        }),
        PacingFunction::Polynomial => ramp(Shape::Polynomial {
            degree: degree(2 * MICRO)?,
        }),
        PacingFunction::Exponential => ramp(Shape::Exponential),
        PacingFunction::Logarithmic => ramp(Shape::Logarithmic),
        PacingFunction::Step | PacingFunction::SingleStep => ramp(Shape::Step),
        PacingFunction::Competence => Pacing::Competence {
            from,
            to,
            steps,
            power: degree(MICRO)?,
        },
        PacingFunction::FixedExponential => Pacing::FixedExponential {
            from,
            to,
            factor: factor()?,
            interval: count(format!("{field}.interval"), spec.interval.unwrap_or(1))?,
        },
        PacingFunction::VariedExponential => {
            let field = format!("{field}.boundaries");
            let steps = spec.boundaries.iter().flatten().map(|&step| natural(&field, step));
            let boundaries = steps.collect::<Result<Vec<_>, _>>()?;
            ascending(&field, &boundaries)?;
            Pacing::VariedExponential {
                from,
                to,
                factor: factor()?,
                boundaries,
            }
        }
        PacingFunction::BabyStep | PacingFunction::OnePass => Pacing::Buckets {
            buckets: count(format!("{field}.buckets"), i64::from(spec.buckets.unwrap_or(1)))?,
            steps,
        },
        PacingFunction::Piecewise => {
            let points = spec.points.iter().flatten().enumerate().map(|(i, point)| {
                let field = format!("{field}.points[{i}]");
                let step = natural(&format!("{field}.step"), point.step)?;
                Ok((step, admitted(format!("{field}.fraction"), &point.fraction)?.units()))
            });
            let points = points.collect::<Result<Vec<_>, PlanError>>()?;
            ascending(
                &format!("{field}.points"),
                &points.iter().map(|&(step, _)| step).collect::<Vec<_>>(),
            )?;
            Pacing::Piecewise(points)
        }
    })
}

/// A group's own pacing in a phase of `duration` steps.
pub(super) fn group_pacing(field: &str, spec: &GroupPacing, duration: u64) -> Result<Pacing, PlanError> {
    use PacingFunction as F;
    let simple = [
        F::Linear,
        F::Quadratic,
        F::Root,
        F::Exponential,
        F::Logarithmic,
        F::Step,
        F::Competence,
    ];
    if !simple.contains(&spec.function) {
        let problem = format!("{:?} is none of {simple:?}", spec.function);
        return Err(PlanError::new(format!("{field}.function"), problem));
    }
    let whole = PacingSpec {
        function: spec.function,
        from: Some(spec.from.clone()),
        to: spec.to.clone(),
        // A step needs a place; at the end of the phase it never comes.
        steps: spec.steps.or(i64::try_from(duration).ok()),
        degree: (spec.function == F::Competence).then(|| Positive("2".to_owned())),
        portion: None,
        factor: None,
        interval: None,
        boundaries: None,
        buckets: None,
        points: None,
    };
    pacing(field, &whole, duration)
}

/// Which parameters a function has.
fn check_parameters(field: &str, spec: &PacingSpec) -> Result<(), PlanError> {
    use PacingFunction as F;
    let function = spec.function;
    let listed = matches!(function, F::BabyStep | F::OnePass | F::Piecewise);
    let exponential = matches!(function, F::FixedExponential | F::VariedExponential);
    let timed = !matches!(
        function,
        F::Constant | F::FixedExponential | F::VariedExponential | F::Piecewise
    );
    let graded = matches!(function, F::Root | F::Polynomial | F::Competence);
    let sudden = matches!(function, F::Step | F::SingleStep);
    let until = spec.steps.is_some() || spec.portion.is_some();
    // Parameter, whether it is set, whether it must be, whether it may be.
    let rules = [
        ("from", spec.from.is_some(), !listed, !listed),
        ("to", spec.to.is_some(), false, !listed && function != F::Constant),
        ("steps", until, sudden, timed),
        ("degree", spec.degree.is_some(), false, graded),
        ("factor", spec.factor.is_some(), exponential, exponential),
        (
            "interval",
            spec.interval.is_some(),
            function == F::FixedExponential,
            function == F::FixedExponential,
        ),
        (
            "boundaries",
            spec.boundaries.is_some(),
            function == F::VariedExponential,
            function == F::VariedExponential,
        ),
        (
            "buckets",
            spec.buckets.is_some(),
            listed && function != F::Piecewise,
            listed && function != F::Piecewise,
        ),
        (
            "points",
            spec.points.is_some(),
            function == F::Piecewise,
            function == F::Piecewise,
        ),
    ];
    for (name, set, needed, allowed) in rules {
        let problem = match (set, needed, allowed) {
            (false, true, _) => format!("must be set for {function:?}"),
            (true, _, false) => format!("has no meaning for {function:?}; leave it out"),
            _ => continue,
        };
        return Err(PlanError::new(format!("{field}.{name}"), problem));
    }
    if spec.steps.is_some() && spec.portion.is_some() {
        return Err(PlanError::new(
            field,
            "at most one of `steps` and `portion` must be set",
        ));
    }
    Ok(())
}

/// Steps of a pacing function in 10⁻⁶.
fn steps(field: &str, spec: &PacingSpec, duration: u64) -> Result<u64, PlanError> {
    match (spec.steps, &spec.portion) {
        (Some(steps), _) => Ok(count(format!("{field}.steps"), steps)? * MICRO),
        (None, Some(portion)) => {
            let field = format!("{field}.portion");
            let units = u128::from(parameter(field.clone(), Some(portion), MICRO)?) * u128::from(duration);
            u64::try_from(units)
                .ok()
                .filter(|&units| units <= MAX_EXACT)
                .ok_or_else(|| {
                    PlanError::new(
                        field,
                        format!("'{}' of {duration} steps are too many; use a smaller one", portion.0),
                    )
                })
        }
        (None, None) => Ok(duration.max(1) * MICRO),
    }
}

fn threshold(field: &str, spec: &ScorePoolSpec, duration: u64) -> Result<ScoreThreshold, PlanError> {
    let from = score(format!("{field}.from"), &spec.from)?;
    let to = match &spec.to {
        Some(to) => score(format!("{field}.to"), to)?,
        None => from,
    };
    let degree = parameter(format!("{field}.degree"), spec.degree.as_ref(), 2 * MICRO)?;
    let shape = match spec.function.unwrap_or(PacingFunction::Linear) {
        PacingFunction::Linear => Shape::Linear,
        PacingFunction::Quadratic => Shape::Polynomial { degree: 2 * MICRO },
        PacingFunction::Root => Shape::Root { degree },
        PacingFunction::Polynomial => Shape::Polynomial { degree },
        PacingFunction::Exponential => Shape::Exponential,
        PacingFunction::Logarithmic => Shape::Logarithmic,
        PacingFunction::Step => Shape::Step,
        other => {
            let problem =
                format!("{other:?} is none of Linear, Quadratic, Root, Polynomial, Exponential, Logarithmic and Step");
            return Err(PlanError::new(format!("{field}.function"), problem));
        }
    };
    let steps = match spec.steps {
        Some(steps) => count(format!("{field}.steps"), steps)?,
        None => duration.max(1),
    };
    Ok(ScoreThreshold { shape, from, to, steps })
}

fn deep_speed(field: &str, spec: &DeepSpeedSpec) -> Result<DeepSpeed, PlanError> {
    let minimum = natural(&format!("{field}.min_difficulty"), spec.min_difficulty)?;
    let maximum = count(format!("{field}.max_difficulty"), spec.max_difficulty)?;
    if minimum > maximum {
        let problem = format!("{minimum} is greater than `max_difficulty` {maximum}");
        return Err(PlanError::new(format!("{field}.min_difficulty"), problem));
    }
    let config = &spec.schedule_config;
    let field = format!("{field}.schedule_config");
    let needed = |name: &str, value: Option<i64>| match value {
        Some(value) => count(format!("{field}.{name}"), value),
        None => Err(PlanError::new(
            format!("{field}.{name}"),
            format!("must be set for {:?}", spec.schedule_type),
        )),
    };
    let root = |degree| {
        Ok::<_, PlanError>(DeepSpeedSchedule::Root {
            total: needed("total_curriculum_step", config.total_curriculum_step)?,
            multiple: needed("difficulty_step", config.difficulty_step)?,
            degree,
        })
    };
    let schedule = match spec.schedule_type {
        Schedule::FixedLinear => root(MICRO)?,
        Schedule::FixedRoot => root(match &config.root_degree {
            Some(RootDegree(degree)) => {
                parameter(format!("{field}.root_degree"), Some(&Positive(degree.clone())), MICRO)?
            }
            None => needed("root_degree", None)?,
        })?,
        Schedule::FixedDiscrete => {
            let list = |name: &str, values: &Option<Vec<i64>>, least: u64| {
                let field = format!("{field}.{name}");
                let values = values.iter().flatten().map(|&value| {
                    natural(&field, value).and_then(|value| {
                        if value < least {
                            return Err(PlanError::new(&field, format!("{value} is less than {least}")));
                        }
                        Ok(value)
                    })
                });
                values.collect::<Result<Vec<_>, _>>()
            };
            let difficulties = list("difficulty", &config.difficulty, 1)?;
            let last_steps = list("max_step", &config.max_step, 0)?;
            if difficulties.len() != last_steps.len() + 1 {
                let problem = format!(
                    "has {} entries; needed is one more than the {} of `max_step`",
                    difficulties.len(),
                    last_steps.len()
                );
                return Err(PlanError::new(format!("{field}.difficulty"), problem));
            }
            ascending(&format!("{field}.max_step"), &last_steps)?;
            DeepSpeedSchedule::Discrete {
                difficulties,
                last_steps,
            }
        }
    };
    Ok(DeepSpeed {
        minimum,
        maximum,
        schedule,
        percentile: spec.difficulty_type == Some(DeepSpeedDifficulty::Percentile),
    })
}

/// A share from 0 to 1.
pub(super) fn share(field: String, fraction: &Fraction) -> Result<Share, PlanError> {
    Share::try_from(fraction).map_err(|error| PlanError::new(field, error.to_string()))
}

/// A share greater than 0.
pub(super) fn admitted(field: String, fraction: &Fraction) -> Result<Share, PlanError> {
    match share(field.clone(), fraction)? {
        Share::ZERO => Err(PlanError::new(
            field,
            format!("'{}' is not greater than '0': an empty pool has no rows", fraction.0),
        )),
        share => Ok(share),
    }
}

/// A number greater than 0 in 10⁻⁶.
pub(super) fn parameter(field: String, value: Option<&Positive>, default: u64) -> Result<u64, PlanError> {
    let Some(Positive(text)) = value else {
        return Ok(default);
    };
    decimal::units(text, 6)
        .and_then(|units| u64::try_from(units).ok())
        .filter(|units| (1..MICRO * MICRO).contains(units))
        .ok_or_else(|| {
            PlanError::new(
                field,
                format!(
                    "'{text}' is not a decimal number greater than '0' with at most 6 digits before and after the point"
                ),
            )
        })
}

fn score(field: String, Score(text): &Score) -> Result<i64, PlanError> {
    decimal::units(text, 6)
        .filter(|units| units.unsigned_abs() <= MAX_EXACT)
        .ok_or_else(|| {
            PlanError::new(
                field,
                format!("'{text}' is not a decimal number with at most 9 digits before and 6 after the point"),
            )
        })
}

/// A bound on the tokens of a batch of at most `batch_size` rows.
pub(super) fn tokens(spec: &BatchTokensSpec, batch_size: u64) -> Result<TokenBudget, PlanError> {
    let number = |name: &str, value: i64, most: u64| {
        let found = u64::try_from(value).ok().filter(|value| (1..=most).contains(value));
        let problem = || {
            PlanError::new(
                format!("curriculum.batchTokens.{name}"),
                format!("{value} is not between 1 and {most}"),
            )
        };
        found.ok_or_else(problem)
    };
    let budget = number("budget", spec.budget, MAX_TOKENS)?;
    let max_length = number("maxLength", spec.max_length, budget.min(u64::from(u32::MAX)))?;
    if batch_size > MAX_PACKED {
        let problem =
            format!("{batch_size} is more than the {MAX_PACKED} rows that a batch may have with `batchTokens`");
        return Err(PlanError::new("curriculum.batchSize", problem));
    }
    Ok(TokenBudget { budget, max_length })
}

/// A number of steps or the like, at least 1.
pub(super) fn count(field: String, value: i64) -> Result<u64, PlanError> {
    u64::try_from(value)
        .ok()
        .filter(|count| (1..=MAX_STEPS).contains(count))
        .ok_or_else(|| PlanError::new(field, format!("{value} is not between 1 and {MAX_STEPS}")))
}

fn natural(field: &str, value: i64) -> Result<u64, PlanError> {
    u64::try_from(value)
        .ok()
        .filter(|&count| count <= MAX_STEPS)
        .ok_or_else(|| PlanError::new(field, format!("{value} is not between 0 and {MAX_STEPS}")))
}

fn ascending(field: &str, steps: &[u64]) -> Result<(), PlanError> {
    match steps.windows(2).find(|pair| pair[0] >= pair[1]) {
        None => Ok(()),
        Some(pair) => Err(PlanError::new(
            field,
            format!("step {} follows step {}; steps must ascend", pair[1], pair[0]),
        )),
    }
}
