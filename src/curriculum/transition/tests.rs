//! Known answers of each test, and what holds for any reports.

mod course;

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Evidence, Kind, Monitor, Transitions, advance, regress};
use crate::api::curriculum::{AdvanceSpec, RegressSpec};

const START: u64 = 100;

/// Transitions of a phase of 1,000 steps, of the spec's `advance` and `regress`.
fn read(advance_spec: &Value, regress_spec: &Value) -> Result<Transitions, String> {
    let of = |spec: &Value| (!spec.is_null()).then(|| spec.clone());
    let advance_spec = of(advance_spec).map(|spec| serde_json::from_value::<AdvanceSpec>(spec).unwrap());
    let regress_spec = of(regress_spec).map(|spec| serde_json::from_value::<RegressSpec>(spec).unwrap());
    let rule = advance_spec.map(|spec| advance("advance", &spec, 1000)).transpose();
    let back = regress_spec.map(|spec| regress("regress", &spec, 1000)).transpose();
    let (advance, regress) = (rule.map_err(|e| e.to_string())?, back.map_err(|e| e.to_string())?);
    Ok(Transitions { advance, regress })
}

fn monitor(criterion: &Value) -> Monitor {
    let transitions = read(&json!({"allOf": [criterion]}), &Value::Null).unwrap();
    Monitor::new(transitions, START, &[50, 0, 50])
}

/// Reports a metric, `v`.
fn report(monitor: &mut Monitor, step: u64, value: f64) -> bool {
    told(monitor, step, &[("v", value)]).is_some()
}

fn told(monitor: &mut Monitor, step: u64, values: &[(&str, f64)]) -> Option<(Kind, String)> {
    let metrics = values.iter().map(|&(name, value)| (name.to_owned(), value)).collect();
    monitor.observe(Evidence {
        step,
        metrics: &metrics,
        groups: &BTreeMap::new(),
    })
}

/// Which of the values, reported every 10 steps, end the phase.
fn ends(criterion: &Value, values: &[f64]) -> Vec<usize> {
    let mut monitor = monitor(criterion);
    let steps = (0..values.len()).zip((1..).map(|i| START + 10 * i));
    steps
        .filter(|&(i, step)| report(&mut monitor, step, values[i]))
        .map(|(i, _)| i)
        .collect()
}

#[test]
fn each_test_holds_where_it_should() {
    let cases = [
        (json!({"atLeast": "0.9"}), vec![0.5, 0.9, 0.89, 0.95], vec![1, 3]),
        (json!({"atMost": "-1.5"}), vec![0.0, -1.5, -1.4, -9.0], vec![1, 3]),
        (
            json!({"atLeast": "0.9", "consecutive": 2}),
            vec![0.9, 0.95, 0.2, 0.9, 0.9, 0.9],
            vec![1, 4, 5],
        ),
        // m = 0.5 m + 0.5 x: 0, 0.5, 0.75, 0.875
        (
            json!({"atLeast": "0.8", "smoothing": "0.5"}),
            vec![0.0, 1.0, 1.0, 1.0],
            vec![3],
        ),
        // The best is 1, 0.8, 0.8, 0.79 (better by 0.01, which is not more than 0.01), then 0.5.
        (
            json!({"plateau": {"goal": "Minimize", "minDelta": "0.01", "patience": 2}}),
            vec![1.0, 0.8, 0.85, 0.79, 0.5, 0.6, 0.6],
            vec![3, 6],
        ),
        (
            json!({"plateau": {"goal": "Maximize", "patience": 1}}),
            vec![0.1, 0.2, 0.2, 0.3],
            vec![2],
        ),
        // 0, 1, 2 at steps 10 apart: 100 in 1,000 steps.
        (
            json!({"slope": {"window": 3, "atLeast": "100"}}),
            vec![0.0, 1.0, 2.0, 2.0],
            vec![2],
        ),
        (
            json!({"slope": {"window": 2, "atMost": "0"}}),
            vec![1.0, 2.0, 2.0, 1.0],
            vec![2, 3],
        ),
        (
            json!({"drop": {"goal": "Maximize", "by": "0.25"}}),
            vec![0.5, 0.75, 0.6, 0.5, 0.75],
            vec![3],
        ),
        (
            json!({"drop": {"goal": "Minimize", "by": "0"}}),
            vec![0.5, 0.5, 0.4, 0.41],
            vec![1, 3],
        ),
    ];
    let cases = cases.into_iter().chain([(
        json!({"drop": {"goal": "Maximize", "by": "0.1"}}),
        vec![0.9, 0.8],
        vec![1],
    )]);
    for (mut criterion, values, expected) in cases {
        criterion["metric"] = "v".into();
        assert_eq!(ends(&criterion, &values), expected, "{criterion}");
    }
}

#[test]
fn a_gap_takes_the_latest_value_of_the_other_metric() {
    let mut monitor = monitor(&json!({"metric": "train", "minus": "val", "atLeast": "0.125"}));
    assert_eq!(
        told(&mut monitor, 110, &[("train", 1.0)]),
        None,
        "nothing to take from it"
    );
    assert_eq!(
        told(&mut monitor, 120, &[("val", 0.5)]),
        None,
        "nothing new of the metric itself"
    );
    let (kind, because) = told(&mut monitor, 130, &[("train", 0.75)]).unwrap();
    assert_eq!(kind, Kind::Advance);
    assert_eq!(because, "train − val is 0.25, at least 0.125");
    assert_eq!(told(&mut monitor, 140, &[("train", 0.75), ("val", 0.7)]), None);
}

/// Group 1 has no rows, and nobody waits for it.
#[test]
fn the_lowest_group_counts_once_every_group_has_a_value() {
    let mut monitor = monitor(&json!({"metric": "v", "groups": "Lowest", "atLeast": "0.5"}));
    let mut told = |step, values: &[(u32, f64)]| {
        let of = |&(group, value): &(u32, f64)| (group, BTreeMap::from([("v".to_owned(), value)]));
        let groups = values.iter().map(of).collect();
        monitor.observe(Evidence {
            step,
            metrics: &BTreeMap::new(),
            groups: &groups,
        })
    };
    assert_eq!(told(110, &[(0, 0.9)]), None);
    assert_eq!(told(120, &[(2, 0.4)]), None);
    let (_, because) = told(130, &[(2, 0.6), (9, 0.1)]).unwrap();
    assert_eq!(because, "the lowest v of a group is 0.6, at least 0.5");
    assert!(told(140, &[(0, 0.9)]).is_some());
    // The second part of an evaluation is no value of its own, but the next one knows it.
    told(140, &[(2, 0.1)]);
    assert_eq!(told(150, &[(0, 0.9)]), None, "group 2 has been bad since 140");
}

#[test]
fn what_comes_twice_or_too_late_or_from_before_counts_nothing() {
    let mut monitor = monitor(&json!({"metric": "v", "atLeast": "1", "consecutive": 2}));
    assert!(!report(&mut monitor, START - 1, 1.0));
    assert_eq!(monitor.evidence(), "");
    assert!(!report(&mut monitor, 110, 1.0));
    let evidence = monitor.evidence().to_owned();
    assert!(!report(&mut monitor, 110, 1.0));
    assert!(!report(&mut monitor, 105, 1.0));
    assert_eq!(monitor.evidence(), evidence);
    assert!(report(&mut monitor, 120, 1.0));
    assert_ne!(monitor.evidence(), evidence);
}

#[test]
fn a_rule_waits_for_its_steps_and_going_back_comes_first() {
    let transitions = read(
        &json!({"anyOf": [{"metric": "a", "atLeast": "1"}, {"metric": "b", "atLeast": "1"}], "minimumSteps": 50}),
        &json!({"to": "easy", "allOf": [{"metric": "a", "atLeast": "1"}, {"metric": "c", "atMost": "0"}], "minimumSteps": 50}),
    );
    let mut monitor = Monitor::new(transitions.unwrap(), START, &[]);
    assert_eq!(told(&mut monitor, 149, &[("a", 1.0), ("b", 0.0)]), None, "too early");
    let (kind, because) = told(&mut monitor, 150, &[("b", 1.0)]).unwrap();
    assert_eq!(
        (kind, because.as_str()),
        (Kind::Advance, "a is 1, at least 1; b is 1, at least 1")
    );
    assert_eq!(told(&mut monitor, 160, &[("c", 0.0)]).unwrap().0, Kind::Regress);
}

#[test]
fn what_is_no_rule_is_refused_by_name() {
    let valid = json!({"metric": "v", "atLeast": "1"});
    let with = |name: &str, value: Value| {
        let mut criterion = valid.clone();
        criterion[name] = value;
        json!({"allOf": [criterion]})
    };
    let cases = [
        (
            json!({"allOf": [valid], "anyOf": [valid]}),
            "advance: exactly one of `anyOf` and `allOf` must be set",
        ),
        (
            json!({"allOf": [valid], "minimumSteps": 1001}),
            "advance.minimumSteps: 1001 is not between 1 and the 1000 steps of the phase",
        ),
        (json!({"allOf": [{"metric": "v"}]}), "advance.allOf[0]: exactly one of"),
        (
            with("metric", "a b".into()),
            "advance.allOf[0].metric: \"a b\" is no name of a metric",
        ),
        (
            with("atLeast", "x".into()),
            "advance.allOf[0].atLeast: 'x' is no decimal number",
        ),
        (
            with("smoothing", "1".into()),
            "advance.allOf[0].smoothing: must be less than 1",
        ),
        (
            with("consecutive", 0.into()),
            "advance.allOf[0].consecutive: 0 is not 1 to 1000",
        ),
        (
            json!({"anyOf": [{"metric": "v", "slope": {"window": 1, "atLeast": "0"}}]}),
            "advance.anyOf[0].slope.window: 1 is not 2 to 1000",
        ),
        (
            json!({"anyOf": [{"metric": "v", "drop": {"goal": "Minimize", "by": "-1"}}]}),
            "advance.anyOf[0].drop.by: must not be negative",
        ),
        (
            json!({"anyOf": [{"metric": "v", "minus": "w", "groups": "Lowest", "atMost": "0"}]}),
            "advance.anyOf[0].groups: does not go with `minus`",
        ),
    ];
    for (spec, expected) in cases {
        let error = read(&spec, &Value::Null).unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    }
}

/// Any criterion that the schema admits.
fn criterion() -> impl Strategy<Value = Value> {
    let goal = prop_oneof![Just("Minimize"), Just("Maximize")];
    let test = prop_oneof![
        Just(json!({"atLeast": "0.5"})),
        Just(json!({"atMost": "0.5"})),
        (goal.clone(), 1..5)
            .prop_map(|(goal, patience)| json!({"plateau": {"goal": goal, "minDelta": "0.1", "patience": patience}})),
        (2..6).prop_map(|window| json!({"slope": {"window": window, "atLeast": "0.2"}})),
        goal.prop_map(|goal| json!({"drop": {"goal": goal, "by": "0.3"}})),
    ];
    let signal = prop_oneof![
        3 => Just(json!({"metric": "a"})),
        1 => Just(json!({"metric": "a", "minus": "b"})),
        1 => Just(json!({"metric": "a", "groups": "Lowest"})),
    ];
    (signal, test, prop_oneof![Just("0"), Just("0.75")], 1..4).prop_map(|(signal, test, smoothing, consecutive)| {
        let mut all = json!({"smoothing": smoothing, "consecutive": consecutive});
        for part in [signal, test] {
            let part = part.as_object().unwrap().clone();
            all.as_object_mut().unwrap().extend(part);
        }
        all
    })
}

type Told = (u64, Option<f64>, Option<f64>, Vec<Option<f64>>);

fn reports() -> impl Strategy<Value = Vec<Told>> {
    let value = || prop_oneof![4 => (-1.0..2.0f64).prop_map(Some), 1 => Just(None), 1 => Just(Some(f64::MAX))];
    vec((START - 20..START + 200, value(), value(), vec(value(), 0..4)), 0..60)
}

fn tell(monitor: &mut Monitor, (step, a, b, groups): &Told) -> Option<(Kind, String)> {
    let pairs = [("a", a), ("b", b)];
    let metrics = pairs
        .iter()
        .filter_map(|(name, value)| Some(((*name).to_owned(), (**value)?)))
        .collect();
    let groups = (0..).zip(groups);
    let groups = groups.filter_map(|(group, value)| Some((group, BTreeMap::from([("a".to_owned(), (*value)?)]))));
    monitor.observe(Evidence {
        step: *step,
        metrics: &metrics,
        groups: &groups.collect(),
    })
}

proptest! {
    /// A monitor that went through a journal at any report goes on as if it had not, to the bit.
    #[test]
    fn a_restart_changes_nothing(criteria in vec(criterion(), 1..4), reports in reports(), at in 0..60usize) {
        let transitions = read(&json!({"anyOf": criteria}), &json!({"to": "x", "allOf": criteria})).unwrap();
        let mut whole = Monitor::new(transitions.clone(), START, &[1, 1, 1]);
        let mut cut = whole.clone();
        for (i, report) in reports.iter().enumerate() {
            if i == at {
                let text = serde_json::to_string(cut.memory()).unwrap();
                cut = Monitor::new(transitions.clone(), START, &[1, 1, 1]);
                cut.restore(serde_json::from_str(&text).unwrap());
            }
            prop_assert_eq!(tell(&mut whole, report), tell(&mut cut, report));
        }
        prop_assert_eq!(whole.memory(), cut.memory());
    }

    /// A report that comes again, at once or after others, changes nothing of what is known.
    #[test]
    fn a_report_counts_once(criteria in vec(criterion(), 1..4), reports in reports(), again in vec(0..60usize, 60)) {
        let transitions = read(&json!({"anyOf": criteria}), &Value::Null).unwrap();
        let mut once = Monitor::new(transitions, START, &[1, 1, 1]);
        let mut twice = once.clone();
        let mut sorted = reports;
        sorted.sort_by_key(|report| report.0);
        sorted.dedup_by_key(|report| report.0);
        for (i, report) in sorted.iter().enumerate() {
            tell(&mut once, report);
            tell(&mut twice, report);
            let earlier = &sorted[again[i] % (i + 1)];
            // A gap that had nothing to take away then may have it now.
            if earlier.2.is_some() {
                tell(&mut twice, earlier);
            }
        }
        prop_assert_eq!(once.evidence(), twice.evidence());
    }

    /// Nothing happens before `minimumSteps`, whatever is reported.
    #[test]
    fn a_visit_lasts_its_minimum(criteria in vec(criterion(), 1..4), reports in reports(), minimum in 1..200u64) {
        let transitions = read(&json!({"anyOf": criteria, "minimumSteps": minimum}), &Value::Null).unwrap();
        let mut monitor = Monitor::new(transitions, START, &[1, 1, 1]);
        for report in &reports {
            let ended = tell(&mut monitor, report).is_some();
            prop_assert!(!ended || report.0 >= START + minimum);
        }
    }
}
