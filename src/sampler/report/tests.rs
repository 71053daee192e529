use super::*;

fn parse(body: &str) -> Result<Report, String> {
    Report::parse(body.as_bytes(), 100, 200).map_err(|e| e.0)
}

fn refused(body: &str) -> String {
    parse(body).unwrap_err()
}

#[test]
fn a_report_with_everything() {
    let report =
        parse(r#"{"step":180,"metrics":{"val_accuracy":0.883,"epoch":3},"groups":{"3":{"val_accuracy":0.71}}}"#);
    let report = report.unwrap();
    assert_eq!(report.step, 180);
    assert_eq!(
        report.metrics,
        BTreeMap::from([("epoch".into(), 3.0), ("val_accuracy".into(), 0.883)])
    );
    assert_eq!(
        report.groups,
        BTreeMap::from([(3, BTreeMap::from([("val_accuracy".into(), 0.71)]))])
    );
    assert!(
        parse(r#"{"step":200}"#).is_ok(),
        "the end of the phase is a step at which one validates"
    );
}

#[test]
fn what_is_no_finite_number_is_named() {
    for (value, found) in [
        ("\"0.5\"", "the string \"0.5\""),
        ("null", "null"),
        ("true", "true"),
        ("[1]", "an array"),
    ] {
        let message = refused(&format!(r#"{{"step":100,"metrics":{{"loss":{value}}}}}"#));
        assert_eq!(
            message,
            format!("`metrics.loss` is {found}; expected a finite number, or leave it out")
        );
    }
    for value in ["NaN", "Infinity", "-Infinity", "1e999"] {
        let message = refused(&format!(r#"{{"step":100,"metrics":{{"loss":{value}}}}}"#));
        assert!(message.starts_with("the body is not JSON: "), "{message}");
        assert!(
            message.ends_with("numbers must be finite: leave out a metric that is NaN or infinite"),
            "{message}"
        );
    }
    let message = refused(r#"{"step":100,"groups":{"1":{"loss":"x"}}}"#);
    assert!(message.starts_with("`groups.1.loss` is the string \"x\""), "{message}");
}

#[test]
fn what_is_wrong_with_the_shape_is_named() {
    let cases = [
        ("[]", "the body is an array; expected an object like"),
        ("", "the body is not JSON: EOF"),
        ("{\"step\":", "the body is not JSON: EOF"),
        (
            "{}",
            "`step` is missing; expected the number of batches trained so far, from 100 to 200",
        ),
        (r#"{"step":"7"}"#, "`step` is the string \"7\""),
        (r#"{"step":1.5}"#, "`step` is 1.5"),
        (r#"{"step":-1}"#, "`step` is -1"),
        (r#"{"step":99}"#, "`step` is 99; expected"),
        (r#"{"step":201}"#, "`step` is 201; expected"),
        (
            r#"{"step":100,"metrics":3}"#,
            "`metrics` is 3; expected an object of name → number",
        ),
        (r#"{"step":100,"groups":[]}"#, "`groups` is an array"),
        (
            r#"{"step":100,"groups":{"cats":{}}}"#,
            "`groups` has the key `cats`; expected the number of a group",
        ),
        (r#"{"step":100,"groups":{"256":{}}}"#, "`groups` has the key `256`"),
        (
            r#"{"step":100,"metrics":{"a b":1}}"#,
            "`metrics` has the name \"a b\"; expected 1 to 64 visible",
        ),
        (r#"{"step":100,"metrics":{"":1}}"#, "`metrics` has the name \"\""),
        (r#"{"step":100,"loss":1}"#, "`loss` is no field of a report"),
    ];
    for (body, expected) in cases {
        let message = refused(body);
        assert!(message.starts_with(expected), "{body} → {message}");
    }
}

#[test]
fn messages_do_not_grow_with_the_input() {
    let long = "x".repeat(50_000);
    for body in [
        format!(r#"{{"step":"{long}"}}"#),
        format!(r#"{{"step":100,"metrics":{{"{long}":1}}}}"#),
        format!(r#"{{"step":100,"groups":{{"{long}":1}}}}"#),
        format!(r#"{{"step":100,"{long}":1}}"#),
    ] {
        assert!(refused(&body).len() < 300);
    }
}

#[test]
fn the_same_report_twice_counts_once_and_a_late_one_is_ignored() {
    let mut metrics = Metrics::default();
    let at = |step: u64, value: f64| parse(&format!(r#"{{"step":{step},"metrics":{{"loss":{value}}}}}"#)).unwrap();
    assert_eq!(
        metrics.take(at(150, 0.5)),
        Taken {
            accepted: 1,
            ignored: 0,
            left_out: 0
        }
    );
    assert_eq!(
        metrics.take(at(150, 0.5)),
        Taken {
            accepted: 0,
            ignored: 1,
            left_out: 0
        }
    );
    assert_eq!(
        metrics.take(at(140, 0.9)),
        Taken {
            accepted: 0,
            ignored: 1,
            left_out: 0
        }
    );
    assert_eq!(metrics.latest()["loss"], MetricPoint { value: 0.5, step: 150 });
    assert_eq!(
        metrics.take(at(151, 0.4)),
        Taken {
            accepted: 1,
            ignored: 0,
            left_out: 0
        }
    );
    let other = parse(r#"{"step":150,"metrics":{"accuracy":1},"groups":{"0":{"accuracy":1}}}"#).unwrap();
    assert_eq!(
        metrics.take(other),
        Taken {
            accepted: 2,
            ignored: 0,
            left_out: 0
        },
        "each metric has its own step"
    );
}

#[test]
fn at_most_32_different_metrics() {
    let mut metrics = Metrics::default();
    let named = |range: std::ops::Range<u32>, step: u64| {
        let fields: Vec<String> = range.map(|i| format!(r#""m{i}":1"#)).collect();
        format!(r#"{{"step":{step},"metrics":{{{}}}}}"#, fields.join(","))
    };
    metrics.take(parse(&named(0..30, 100)).unwrap());
    let taken = metrics.take(parse(&named(28..40, 101)).unwrap());
    let expected = Taken {
        accepted: 4,
        ignored: 0,
        left_out: 8,
    };
    assert_eq!(
        taken, expected,
        "those that were there first stay, and their values still count"
    );
    assert_eq!((metrics.latest().len(), metrics.latest()["m28"].step), (32, 101));
    let of_groups = parse(r#"{"step":102,"groups":{"0":{"m1":1,"new":1},"1":{"new":1}}}"#).unwrap();
    assert_eq!(metrics.take(of_groups).left_out, 2);
}
