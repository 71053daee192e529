//! `dataset.filter`: each condition with the one test that it has.

use super::refused;
use super::run::{Condition, Test};
use crate::api::curriculum::Score;
use crate::api::filter::FilterSpec;
use crate::controller::evidence::Failure;
use crate::scoring::task::MAX_CONDITIONS;

pub(super) fn filter(specs: &[FilterSpec]) -> Result<Vec<Condition>, Failure> {
    if specs.len() > MAX_CONDITIONS {
        return refused(format!(
            "`dataset.filter` must not have more than {MAX_CONDITIONS} conditions, but has {}",
            specs.len()
        ));
    }
    specs
        .iter()
        .enumerate()
        .map(|(place, spec)| condition(&format!("dataset.filter[{place}]"), spec))
        .collect()
}

fn condition(field: &str, spec: &FilterSpec) -> Result<Condition, Failure> {
    if spec.column.is_empty() {
        return refused(format!("`{field}.column` must name a column"));
    }
    let test = match (&spec.is_in[..], &spec.not_in[..], &spec.min, &spec.max) {
        ([_, ..], [], None, None) => Test::In(texts(field, "in", &spec.is_in)?),
        ([], [_, ..], None, None) => Test::NotIn(texts(field, "notIn", &spec.not_in)?),
        ([], [], Some(min), None) => Test::AtLeast(number(field, "min", min).map(|_| min.clone())?),
        ([], [], None, Some(max)) => Test::AtMost(number(field, "max", max).map(|_| max.clone())?),
        ([], [], Some(min), Some(max)) => {
            if number(field, "min", min)? > number(field, "max", max)? {
                return refused(format!(
                    "`{field}.min` must not be greater than `max`, but is '{}', and `max` is '{}'",
                    min.0, max.0
                ));
            }
            Test::Between(min.clone(), max.clone())
        }
        _ => {
            return refused(format!(
                "exactly one of `in`, `notIn`, and `min` or `max` or both must be set in `{field}`"
            ));
        }
    };
    Ok(Condition {
        column: spec.column.clone(),
        test,
    })
}

/// A row without a value is in no list, so that no text of one may be empty.
fn texts(field: &str, name: &str, texts: &[String]) -> Result<Vec<String>, Failure> {
    if texts.iter().any(String::is_empty) {
        return refused(format!("no text of `{field}.{name}` may be empty"));
    }
    Ok(texts.to_vec())
}

fn number(field: &str, name: &str, text: &Score) -> Result<f64, Failure> {
    match text.0.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        _ => refused(format!(
            "`{field}.{name}` must be a decimal number, but is '{}'",
            text.0
        )),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn parsed(spec: Value) -> Result<Vec<Condition>, String> {
        let specs: Vec<FilterSpec> = serde_json::from_value(spec).unwrap();
        filter(&specs).map_err(|failure| failure.message)
    }

    #[test]
    fn each_condition_has_one_test() {
        let test = |spec: Value| parsed(json!([spec])).unwrap().remove(0).test;
        let score = |text: &str| Score(text.to_owned());
        let texts = || vec!["x".to_owned()];
        assert_eq!(parsed(json!([])), Ok(Vec::new()));
        assert_eq!(test(json!({"column": "a", "in": ["x"]})), Test::In(texts()));
        assert_eq!(test(json!({"column": "a", "notIn": ["x"]})), Test::NotIn(texts()));
        assert_eq!(test(json!({"column": "a", "min": "-1"})), Test::AtLeast(score("-1")));
        assert_eq!(test(json!({"column": "a", "max": "1"})), Test::AtMost(score("1")));
        let (min, max) = (score("1"), score("1.0"));
        assert_eq!(
            test(json!({"column": "a", "min": "1", "max": "1.0"})),
            Test::Between(min, max)
        );
    }

    #[test]
    fn what_contradicts_itself_is_refused_with_the_field() {
        for (spec, expected) in [
            (
                json!([{"column": "a"}]),
                "exactly one of `in`, `notIn`, and `min` or `max` or both must be set in `dataset.filter[0]`",
            ),
            (
                json!([{"column": "a", "in": ["x"], "max": "1"}]),
                "exactly one of `in`, `notIn`, and `min` or `max` or both must be set in `dataset.filter[0]`",
            ),
            (
                json!([{"column": "b", "min": "0"}, {"column": "a", "min": "10", "max": "9.5"}]),
                "`dataset.filter[1].min` must not be greater than `max`, but is '10', and `max` is '9.5'",
            ),
            (
                json!([{"column": "a", "min": "low"}]),
                "`dataset.filter[0].min` must be a decimal number, but is 'low'",
            ),
            (
                json!([{"column": "a", "notIn": ["x", ""]}]),
                "no text of `dataset.filter[0].notIn` may be empty",
            ),
            (
                json!([{"column": "", "in": ["x"]}]),
                "`dataset.filter[0].column` must name a column",
            ),
            (
                json!(vec![json!({"column": "a", "in": ["x"]}); 17]),
                "`dataset.filter` must not have more than 16 conditions, but has 17",
            ),
        ] {
            assert_eq!(parsed(spec), Err(expected.to_owned()));
        }
    }
}
