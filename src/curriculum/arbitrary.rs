//! Curricula and facts within the bounds of the CRD, for property tests.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::order::{OrderScope, RowOrder};
use super::plan::{Facts, PlanScores};
use crate::api::curriculum::{CurriculumSpec, Fraction};

pub(super) fn scores() -> PlanScores {
    PlanScores {
        key: "0".repeat(64),
        digest: format!("sha256:{}", "0".repeat(64)),
    }
}

/// Any fraction above 0 that the schema admits, the ends often.
pub(super) fn fraction() -> impl Strategy<Value = Fraction> {
    prop_oneof![
        1 => Just("1".to_owned()),
        1 => Just("0.000000001".to_owned()),
        1 => Just("0.999999999".to_owned()),
        5 => (1u32..100).prop_map(|n| format!("0.{n:02}")),
        5 => (1u32..1_000_000_000).prop_map(|n| format!("0.{n:09}")),
    ]
    .prop_map(Fraction)
}

fn small_fraction() -> impl Strategy<Value = Fraction> {
    prop_oneof![
        Just("0"),
        Just("0.0000001"),
        Just("0.05"),
        Just("0.333333333"),
        Just("0.5"),
        Just("0.999999999")
    ]
    .prop_map(Fraction::from)
}

fn steps() -> impl Strategy<Value = i64> {
    prop_oneof![3 => 1..400i64, 1 => 1..=1_000_000_000i64]
}

/// Any number that the API takes as a parameter.
fn parameter() -> impl Strategy<Value = String> {
    prop_oneof![
        (1..6u32, 0..1_000_000u32).prop_map(|(whole, part)| format!("{whole}.{part:06}")),
        Just("0.000001".to_owned()),
        Just("999999".to_owned()),
    ]
}

/// An object without the entries that are null.
fn object(value: Value) -> Value {
    match value {
        Value::Object(map) => map.into_iter().filter(|(_, value)| !value.is_null()).collect(),
        other => other,
    }
}

fn pacing() -> BoxedStrategy<Value> {
    let fraction = || fraction().prop_map(|f| f.0);
    let shapes = prop::sample::select(vec![
        "Linear",
        "Quadratic",
        "Root",
        "Polynomial",
        "Exponential",
        "Logarithmic",
        "Competence",
    ]);
    let until = || (option::of(steps()), option::of(parameter()));
    let ramp = (
        shapes,
        fraction(),
        option::of(fraction()),
        until(),
        option::of(parameter()),
    )
        .prop_map(|(function, from, to, (steps, portion), degree)| {
            let graded = matches!(function, "Root" | "Polynomial" | "Competence");
            object(json!({"function": function, "from": from, "to": to, "steps": steps,
                          "portion": portion.filter(|_| steps.is_none()), "degree": degree.filter(|_| graded)}))
        });
    let jump = (
        prop::sample::select(vec!["Step", "SingleStep"]),
        fraction(),
        fraction(),
        steps(),
    )
        .prop_map(|(function, from, to, steps)| json!({"function": function, "from": from, "to": to, "steps": steps}));
    let fixed = (fraction(), parameter(), steps())
        .prop_map(|(from, factor, interval)| json!({"function": "FixedExponential", "from": from, "factor": factor, "interval": interval}));
    let ascending = || prop::collection::btree_set(0..1_000_000i64, 1..9);
    let varied = (fraction(), parameter(), ascending())
        .prop_map(|(from, factor, boundaries)| json!({"function": "VariedExponential", "from": from, "factor": factor, "boundaries": boundaries}));
    let buckets = (
        prop::sample::select(vec!["BabyStep", "OnePass"]),
        1..=256i32,
        option::of(steps()),
    )
        .prop_map(|(function, buckets, steps)| {
            object(json!({"function": function, "buckets": buckets, "steps": steps}))
        });
    let points = (ascending(), vec(fraction(), 9)).prop_map(|(steps, fractions)| {
        let points: Vec<_> = steps
            .iter()
            .zip(fractions)
            .map(|(step, fraction)| json!({"step": step, "fraction": fraction}))
            .collect();
        json!({"function": "Piecewise", "points": points})
    });
    let constant = fraction().prop_map(|from| json!({"function": "Constant", "from": from}));
    prop_oneof![6 => ramp.boxed(), 1 => jump.boxed(), 1 => fixed.boxed(), 1 => varied.boxed(), 2 => buckets.boxed(), 2 => points.boxed(), 1 => constant.boxed()].boxed()
}

fn pool() -> BoxedStrategy<Value> {
    let fraction = || fraction().prop_map(|f| f.0);
    let window = || option::weighted(0.2, fraction());
    let score = (-1000..1000i32, option::of(-1000..1000i32)).prop_map(
        |(from, to)| json!({"score": object(json!({"from": from.to_string(), "to": to.map(|to| to.to_string())}))}),
    );
    let degree = option::of(prop_oneof![
        parameter().prop_map(Value::from),
        (1..9i64).prop_map(Value::from),
        Just(json!(0.5))
    ]);
    let deep_speed = (0..100i64, 1..1000i64, 1..50i64, steps(), any::<bool>(), degree).prop_map(
        |(min, more, multiple, total, percentile, degree)| {
            let schedule = if degree.is_some() { "fixed_root" } else { "fixed_linear" };
            let config =
                object(json!({"total_curriculum_step": total, "difficulty_step": multiple, "root_degree": degree}));
            json!({"deepSpeed": {"min_difficulty": min, "max_difficulty": min + more, "schedule_type": schedule,
                             "difficulty_type": if percentile { "percentile" } else { "value" },
                             "schedule_config": config}})
        },
    );
    prop_oneof![
        4 => (fraction(), window()).prop_map(|(fraction, window)| object(json!({"fraction": fraction, "window": window}))),
        8 => (pacing(), window()).prop_map(|(pacing, window)| {
            let window = window.filter(|_| pacing["function"] != "OnePass");
            object(json!({"pacing": pacing, "window": window}))
        }),
        1 => score,
        1 => deep_speed,
    ]
    .boxed()
}

fn group_pacing() -> impl Strategy<Value = Value> {
    let functions = prop::sample::select(vec![
        "Linear",
        "Quadratic",
        "Root",
        "Exponential",
        "Logarithmic",
        "Step",
        "Competence",
    ]);
    (functions, fraction(), option::of(fraction()), option::of(steps())).prop_map(|(function, from, to, steps)| {
        object(json!({"function": function, "from": from.0, "to": to.map(|to| to.0), "steps": steps}))
    })
}

/// Groups are named by their numbers.
fn mixing() -> BoxedStrategy<Value> {
    let share = || small_fraction().prop_map(|f| f.0);
    let group = (share(), option::of(share()), option::weighted(0.3, group_pacing()));
    let weights = (prop::collection::btree_set(0..4u32, 1..4), vec(group, 4)).prop_map(|(names, groups)| {
        let weights: Vec<_> = names
            .iter()
            .zip(groups)
            .map(|(name, (weight, end, pacing))| {
                object(json!({"name": name.to_string(), "weight": weight, "finalWeight": end, "pacing": pacing}))
            })
            .collect();
        json!({"weights": weights})
    });
    let exponent = (share(), option::of(share()))
        .prop_map(|(start, end)| object(json!({"exponent": start, "finalExponent": end})));
    prop_oneof![weights, exponent].boxed()
}

fn duration() -> impl Strategy<Value = Value> {
    prop_oneof![
        3 => steps().prop_map(|s| json!({"steps": s})),
        1 => prop_oneof![1..20i32, 1..=1_000_000i32].prop_map(|e| json!({"epochs": e})),
    ]
}

fn phases() -> impl Strategy<Value = Vec<Value>> {
    let share = || option::weighted(0.3, small_fraction().prop_map(|f| f.0));
    let weighting = option::weighted(0.2, (2..=64i32, parameter(), option::of(parameter())));
    let phase = (pool(), duration(), share(), (share(), fraction()), option::weighted(0.2, mixing()), weighting, option::weighted(0.2, steps()), any::<bool>())
        .prop_map(|(pool, duration, replay, (hard, of), mixing, weighting, warm_up, inherit)| {
            let hard = hard.map(|share| json!({"share": share, "fraction": of.0}));
            let weighting = weighting.map(|(bins, from, to)| object(json!({"bins": bins, "temperature": from, "finalTemperature": to})));
            object(json!({"pool": pool, "duration": duration, "replay": replay, "hardNegatives": hard, "mixing": mixing,
                          "weighting": weighting, "warmUpSteps": warm_up, "inherit": inherit}))
        })
        .boxed();
    prop_oneof![4 => vec(phase.clone(), 1..4), 1 => vec(phase, 4..=32)].prop_map(|mut phases| {
        for (i, phase) in phases.iter_mut().enumerate() {
            phase["name"] = format!("phase-{i}").into();
            if i == 0 {
                (phase["replay"], phase["inherit"]) = ("0".into(), false.into());
            } else if phase["inherit"] == true && i % 2 == 0 {
                // Leaves out what it can.
                *phase = json!({"name": phase["name"], "inherit": true, "duration": phase["duration"]});
            }
        }
        phases
    })
}

/// Any curriculum; it may still contradict itself in ways that no schema can see.
pub(super) fn spec() -> impl Strategy<Value = CurriculumSpec> {
    let batch_size = prop_oneof![4 => 1..300i32, 1 => 1..=1_048_576i32];
    let order = prop::sample::select(vec!["EasyFirst", "HardFirst", "Random"]);
    let balance = prop::sample::select(vec!["None", "Group"]);
    let share = || option::of(small_fraction().prop_map(|f| f.0));
    let limits = option::weighted(0.2, (Just("0.01"), prop::sample::select(vec!["0.5", "0.9", "1"])));
    (batch_size, order, balance, share(), limits, phases()).prop_map(
        |(batch_size, order, balance, floor, limits, mut phases)| {
            let limits = limits
                .filter(|_| balance == "Group")
                .map(|(least, most)| json!({"minimum": least, "maximum": most}));
            if balance == "None" {
                phases
                    .iter_mut()
                    .filter_map(Value::as_object_mut)
                    .for_each(|phase| drop(phase.remove("mixing")));
            }
            let spec = object(
                json!({"batchSize": batch_size, "order": order, "balance": balance, "uniformFloor": floor,
                                 "groupShares": limits, "phases": phases}),
            );
            serde_json::from_value(spec).unwrap()
        },
    )
}

/// Any data set of up to three thousand million rows, in up to 256 groups of which some are empty.
pub(super) fn facts() -> impl Strategy<Value = Facts> {
    let size = prop_oneof![1 => Just(0), 4 => 1..50u64, 2 => 1..20_000u64, 1 => 1..12_000_000u64];
    let groups = prop_oneof![3 => vec(size.clone(), 1..12), 1 => vec(size, 200..=256)];
    (groups, 0..1u64 << 53).prop_map(|(mut group_rows, seed)| {
        group_rows[0] += u64::from(group_rows.iter().all(|&rows| rows == 0));
        Facts {
            seed,
            rows: group_rows.iter().sum(),
            groups: (0..group_rows.len() as u32)
                .map(|group| (group.to_string(), group))
                .collect(),
            group_rows,
            held_out: None,
            filtered: None,
            scores: Some(scores()),
            lasted: std::collections::BTreeMap::new(),
        }
    })
}

/// An order whose rows tell where they come from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tagged;

impl Tagged {
    const GROUP: u64 = 1 << 40;

    /// Scope and position of a row.
    pub(super) fn read(row: u64) -> (OrderScope, u64) {
        let scope = match row / Self::GROUP {
            0 => OrderScope::All,
            group => OrderScope::Group(group as u32 - 1),
        };
        (scope, row % Self::GROUP)
    }
}

impl RowOrder for Tagged {
    fn row(&self, scope: OrderScope, position: u64) -> u64 {
        match scope {
            OrderScope::All => position,
            OrderScope::Group(group) => (u64::from(group) + 1) * Self::GROUP + position,
        }
    }
}
