//! Curricula and facts within the bounds of the CRD, for property tests.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::order::{OrderScope, RowOrder};
use super::plan::{Facts, PlanScores};
use crate::api::curriculum::{
    Balance, CurriculumSpec, DurationSpec, Fraction, Order, PacingFunction, PacingSpec, PhaseSpec, PoolSpec,
};

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

fn pool() -> impl Strategy<Value = PoolSpec> {
    prop_oneof![
        fraction().prop_map(|f| PoolSpec {
            fraction: Some(f),
            pacing: None
        }),
        (fraction(), fraction(), option::of(steps())).prop_map(|(from, to, steps)| {
            let pacing = PacingSpec {
                function: PacingFunction::Linear,
                from,
                to,
                steps,
            };
            PoolSpec {
                fraction: None,
                pacing: Some(pacing),
            }
        }),
    ]
}

fn duration() -> impl Strategy<Value = DurationSpec> {
    prop_oneof![
        3 => steps().prop_map(|s| DurationSpec { steps: Some(s), epochs: None }),
        1 => prop_oneof![1..20i32, 1..=1_000_000i32].prop_map(|e| DurationSpec { steps: None, epochs: Some(e) }),
    ]
}

fn phases() -> impl Strategy<Value = Vec<PhaseSpec>> {
    let phase = || (pool(), duration(), option::weighted(0.3, small_fraction()));
    prop_oneof![4 => vec(phase(), 1..4), 1 => vec(phase(), 4..=32)].prop_map(|phases| {
        let named = phases
            .into_iter()
            .enumerate()
            .map(|(i, (pool, duration, replay))| PhaseSpec {
                name: format!("phase-{i}"),
                pool,
                duration,
                replay: replay.filter(|_| i > 0),
            });
        named.collect()
    })
}

/// Any curriculum; it may still contradict itself in ways that no schema can see.
pub(super) fn spec() -> impl Strategy<Value = CurriculumSpec> {
    let batch_size = prop_oneof![4 => 1..300i32, 1 => 1..=1_048_576i32];
    let order = prop_oneof![Just(Order::EasyFirst), Just(Order::HardFirst), Just(Order::Random)];
    let balance = prop_oneof![Just(Balance::None), Just(Balance::Group)];
    (batch_size, order, balance, option::of(small_fraction()), phases()).prop_map(
        |(batch_size, order, balance, uniform_floor, phases)| CurriculumSpec {
            batch_size,
            order,
            balance,
            uniform_floor,
            phases,
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
            group_rows,
            scores: Some(scores()),
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
