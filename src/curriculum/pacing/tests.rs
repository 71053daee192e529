use proptest::prelude::*;
use serde_json::json;

use super::*;

const MICRO: u64 = 1_000_000;

fn units(text: &str) -> u64 {
    Share::parse(text).unwrap().units()
}

fn ramp(shape: Shape, from: &str, to: &str, steps: u64) -> Pacing {
    Pacing::Ramp {
        shape,
        from: units(from),
        to: units(to),
        steps: steps * MICRO,
    }
}

fn linear(from: &str, to: &str, steps: u64) -> Pacing {
    ramp(Shape::Linear, from, to, steps)
}

/// The records of a file of known answers, by column.
fn known(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().skip(2).map(|line| line.split(',').collect())
}

/// Published sizes are truncated where we round up; all rows are in exactly from step a·T on.
#[test]
fn wu_dyer_neyshabur_2021() {
    let mut checked = 0;
    for record in known(include_str!("../../../tests/known-answers/wu.csv")) {
        let [family, a, b, t, n, step, size] = record.as_slice() else {
            panic!("{record:?}")
        };
        let shape = match *family {
            "linear" => Shape::Linear,
            "quad" => Shape::Polynomial { degree: 2 * MICRO },
            "root" => Shape::Root { degree: 2 * MICRO },
            "exp" => Shape::Exponential,
            "log" => Shape::Logarithmic,
            "step" => Shape::Step,
            other => panic!("{other}"),
        };
        let steps = a.parse::<f64>().unwrap() * t.parse::<f64>().unwrap() * MICRO as f64;
        let (n, step, size): (u64, u64, u64) = (n.parse().unwrap(), step.parse().unwrap(), size.parse().unwrap());
        let pacing = Pacing::Ramp {
            shape,
            from: units(b),
            to: units("1"),
            steps: steps as u64,
        };
        let ours = pacing.at(step).ceil_of(n);
        assert!(ours.abs_diff(size) <= 1, "{record:?}: {ours}");
        if step * MICRO >= steps as u64 {
            assert_eq!(ours, n, "{record:?}");
        }
        checked += 1;
    }
    assert_eq!(checked, 72);
}

#[test]
fn hacohen_weinshall_2019() {
    let mut checked = 0;
    for record in known(include_str!("../../../tests/known-answers/hacohen.csv")) {
        let [n, interval, factor, from, step, size] = record.as_slice() else {
            panic!("{record:?}")
        };
        let pacing = Pacing::FixedExponential {
            from: units(from),
            to: units("1"),
            factor: (factor.parse::<f64>().unwrap() * 1e6).round() as u64,
            interval: interval.parse().unwrap(),
        };
        let ours = pacing.at(step.parse().unwrap()).ceil_of(n.parse().unwrap());
        assert_eq!(ours, size.parse::<u64>().unwrap(), "{record:?}");
        checked += 1;
    }
    assert_eq!(checked, 60);
}

#[test]
fn varied_exponential_multiplies_after_each_boundary() {
    let pacing = Pacing::VariedExponential {
        from: units("0.1"),
        to: units("0.5"),
        factor: 2 * MICRO,
        boundaries: vec![10, 30],
    };
    let at = |t| pacing.at(t).units();
    assert_eq!(
        [at(0), at(10), at(11), at(30), at(31)],
        [units("0.1"), units("0.1"), units("0.2"), units("0.2"), units("0.4")]
    );
}

#[test]
fn platanios_2019() {
    let mut checked = 0;
    for record in known(include_str!("../../../tests/known-answers/competence.csv")) {
        let [c0, t, p, step, competence] = record.as_slice() else {
            panic!("{record:?}")
        };
        let pacing = Pacing::Competence {
            from: units(c0),
            to: units("1"),
            steps: t.parse::<u64>().unwrap() * MICRO,
            power: p.parse::<u64>().unwrap() * MICRO,
        };
        let ours = pacing.at(step.parse().unwrap()).units() as f64 / 1e12;
        assert!(
            (ours - competence.parse::<f64>().unwrap()).abs() < 2e-12,
            "{record:?}: {ours}"
        );
        checked += 1;
    }
    assert_eq!(checked, 120);
    // A published implementation takes the square root whatever p is.
    let cube = Pacing::Competence {
        from: units("0.1"),
        to: units("1"),
        steps: 100 * MICRO,
        power: 3 * MICRO,
    };
    assert_eq!(cube.at(50).ceil_of(10_000), 7940);
}

#[test]
fn deep_speed_step_for_step() {
    let configs: serde_json::Value =
        serde_json::from_str(include_str!("../../../tests/known-answers/deepspeed.json")).unwrap();
    let mut checked = 0;
    for record in known(include_str!("../../../tests/known-answers/deepspeed.csv")) {
        let [name, step, difficulty] = record.as_slice() else {
            panic!("{record:?}")
        };
        let schedule = read(&configs[name]);
        // Its first step is 1, ours 0.
        let t = step.parse::<u64>().unwrap() - 1;
        assert_eq!(schedule.at(t), difficulty.parse::<u64>().unwrap(), "{record:?}");
        checked += 1;
    }
    assert!(checked > 200, "{checked}");
}

fn read(config: &serde_json::Value) -> DeepSpeed {
    let number = |value: &serde_json::Value| value.as_u64().unwrap();
    let list = |value: &serde_json::Value| value.as_array().unwrap().iter().map(number).collect();
    let of = &config["schedule_config"];
    let root = |degree| DeepSpeedSchedule::Root {
        total: number(&of["total_curriculum_step"]),
        multiple: number(&of["difficulty_step"]),
        degree,
    };
    DeepSpeed {
        minimum: number(&config["min_difficulty"]),
        maximum: number(&config["max_difficulty"]),
        schedule: match config["schedule_type"].as_str().unwrap() {
            "fixed_linear" => root(1_000_000),
            "fixed_root" => root((of["root_degree"].as_f64().unwrap() * 1e6) as u64),
            _ => DeepSpeedSchedule::Discrete {
                difficulties: list(&of["difficulty"]),
                last_steps: list(&of["max_step"]),
            },
        },
        percentile: false,
    }
}

/// Traps of DeepSpeed's scheduler, each with what it does.
#[test]
fn deep_speed_traps() {
    let linear = |min: u64, max: u64, total: u64, multiple: u64| {
        read(
            &json!({"min_difficulty": min, "max_difficulty": max, "schedule_type": "fixed_linear",
                     "schedule_config": {"total_curriculum_step": total, "difficulty_step": multiple}}),
        )
    };
    let first = |schedule: &DeepSpeed, n| (0..n).map(|t| schedule.at(t)).collect::<Vec<_>>();
    // Its own unit test, steps 1 to 10.
    assert_eq!(first(&linear(2, 10, 8, 2), 10), [2, 4, 4, 6, 6, 8, 8, 10, 10, 10]);
    // Before 0.19.8 a minimum below the multiple was rounded down to 0: an empty batch.
    assert_eq!(linear(8, 100, 50, 16).at(0), 16);
    // A maximum that is no multiple is reached only some steps after the total, since the line goes on.
    assert_eq!([49, 55, 56].map(|t| linear(8, 100, 50, 16).at(t)), [96, 96, 100]);
    assert_eq!(linear(8, 100, 50, 16).at(1_000_000), 100);
    // A difficulty that goes down again does go down, unless the maximum was reached.
    let discrete = |difficulties: &[u64]| {
        read(
            &json!({"min_difficulty": 1, "max_difficulty": 5, "schedule_type": "fixed_discrete",
                     "schedule_config": {"difficulty": difficulties, "max_step": [2, 4]}}),
        )
    };
    assert_eq!(first(&discrete(&[3, 1, 4]), 6), [3, 3, 1, 1, 4, 4]);
    assert_eq!(first(&discrete(&[2, 5, 1]), 6), [2, 2, 5, 5, 5, 5]);
    // Nothing to grow: it stays where it began.
    assert_eq!(first(&linear(7, 7, 10, 2), 3), [7, 7, 7]);
}

#[test]
fn deep_speed_changes_where_the_difficulty_does() {
    let schedule = read(
        &json!({"min_difficulty": 2, "max_difficulty": 10, "schedule_type": "fixed_linear",
                                "schedule_config": {"total_curriculum_step": 8, "difficulty_step": 2}}),
    );
    assert_eq!(schedule.changes(100, 10), Some(vec![1, 3, 5, 7]));
    assert_eq!(schedule.changes(4, 10), Some(vec![1, 3]));
    assert_eq!(schedule.changes(100, 3), None);
    assert_eq!(schedule.changes(1, 3), Some(vec![]));
}

/// Bengio et al. (ICML 2009): buckets add up (BabyStep), or stand alone (OnePass).
#[test]
fn buckets_take_equal_parts_of_the_steps_and_of_the_rows() {
    let pacing = Pacing::Buckets {
        buckets: 3,
        steps: 9 * MICRO,
    };
    let ends: Vec<u64> = (0..10).map(|t| pacing.at(t).ceil_of(3000)).collect();
    let starts: Vec<u64> = (0..10).map(|t| pacing.bucket_start(t).ceil_of(3000)).collect();
    assert_eq!(ends, [1000, 1000, 1000, 2000, 2000, 2000, 3000, 3000, 3000, 3000]);
    assert_eq!(starts, [0, 0, 0, 1000, 1000, 1000, 2000, 2000, 2000, 2000]);
}

#[test]
fn piecewise_goes_straight_from_point_to_point() {
    let pacing = Pacing::Piecewise(vec![(10, units("0.2")), (20, units("0.8")), (30, units("0.4"))]);
    let at: Vec<u64> = [0, 10, 15, 20, 25, 30, 99]
        .map(|t| pacing.at(t).units() / 1_000_000_000)
        .to_vec();
    assert_eq!(at, [200, 200, 500, 800, 600, 400, 400]);
    assert_eq!(pacing.largest(100), Share::parse("0.8").unwrap());
    assert_eq!(pacing.largest(16).units(), units("0.5"));
}

#[test]
fn a_whole_number_of_rows_is_not_rounded_up() {
    // f = 2/3, no multiple of the unit.
    assert_eq!(linear("0.5", "1", 3).at(1).ceil_of(3), 2);
    assert_eq!(linear("0.000000001", "1", 3).at(1).units(), 333_333_334_000);
    assert_eq!(linear("0.25", "1", 9).at(3).ceil_of(4), 2);
    // (3/5)² and √(9/25) of ten thousand rows, in floating point.
    assert_eq!(
        ramp(Shape::Polynomial { degree: 2 * MICRO }, "0.000000001", "1", 5)
            .at(3)
            .ceil_of(25),
        10
    );
    assert!(
        ramp(Shape::Root { degree: 2 * MICRO }, "0.2", "1", 25)
            .at(9)
            .ceil_of(25)
            <= 18
    );
}

#[test]
fn shrinks_too() {
    let pacing = linear("0.8", "0.2", 6);
    let units: Vec<u64> = (0..8).map(|t| pacing.at(t).units() / 1_000_000_000).collect();
    assert_eq!(units, [800, 700, 600, 500, 400, 300, 200, 200]);
    assert_eq!(pacing.largest(8), Share::parse("0.8").unwrap());
}

/// Every family, with parameters of any size.
fn any_pacing() -> impl Strategy<Value = Pacing> {
    let fraction = || prop_oneof![1..=1_000_000_000_000u64, Just(1), Just(1_000_000_000_000)];
    let steps = || prop_oneof![1..=1_000_000_000_000_000u64, (1..1000u64).prop_map(|s| s * MICRO)];
    let parameter = || prop_oneof![1..=5 * MICRO, 1..=1_000_000_000_000u64];
    let shape = prop_oneof![
        Just(Shape::Linear),
        parameter().prop_map(|degree| Shape::Polynomial { degree }),
        parameter().prop_map(|degree| Shape::Root { degree }),
        Just(Shape::Exponential),
        Just(Shape::Logarithmic),
        Just(Shape::Step)
    ];
    let ends = || (fraction(), fraction()).prop_map(|(a, b)| (a.min(b), a.max(b)));
    prop_oneof![
        fraction().prop_map(Pacing::Constant),
        (shape, ends(), steps()).prop_map(|(shape, (from, to), steps)| Pacing::Ramp { shape, from, to, steps }),
        (ends(), steps(), parameter()).prop_map(|((from, to), steps, power)| Pacing::Competence {
            from,
            to,
            steps,
            power
        }),
        (ends(), MICRO..3 * MICRO, 1..=1_000_000_000u64).prop_map(|((from, to), factor, interval)| {
            Pacing::FixedExponential {
                from,
                to,
                factor,
                interval,
            }
        }),
        (1..=256u64, steps()).prop_map(|(buckets, steps)| Pacing::Buckets { buckets, steps }),
    ]
}

proptest! {
    #[test]
    fn growing_functions_grow_within_their_ends(pacing in any_pacing(), t in 0..=1_000_000_000u64, ahead in 0..=1_000_000u64) {
        let (now, later) = (pacing.at(t), pacing.at(t + ahead));
        // Powers are exact to some units of 10⁻¹².
        prop_assert!(now.units() <= later.units() + 2, "{:?} {:?}", now, later);
        prop_assert!(later <= pacing.largest(t + ahead + 1).max(now));
        prop_assert!(now <= Share::ONE);
        if let Pacing::Ramp { from, to, steps, shape } = &pacing {
            prop_assert!((*from..=*to).contains(&now.units()));
            prop_assert_eq!(pacing.at(steps.div_ceil(MICRO)).units(), *to);
            if !matches!(shape, Shape::Logarithmic) {
                prop_assert_eq!(pacing.at(0).units(), *from);
            }
        }
    }
}
