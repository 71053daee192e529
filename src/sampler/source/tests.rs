use super::*;
use crate::api::curriculum::Order as PlanOrder;
use crate::curriculum::pacing::Pacing;
use crate::curriculum::plan::{Admission, PLAN_VERSION, PoolPlan, Role, Scope, Segment, WHOLE};

/// Rows backwards; the groups are the row numbers modulo the number of groups.
struct Backwards {
    rows: u64,
    groups: u64,
}

impl RowOrder for Backwards {
    fn row(&self, scope: OrderScope, position: u64) -> u64 {
        match scope {
            OrderScope::All => self.rows - 1 - position,
            OrderScope::Group(group) => position * self.groups + u64::from(group),
        }
    }
}

/// 1,000 rows in four groups; 20 steps of 12 rows, the easiest 10 % of every group.
pub(crate) fn attempt_plan() -> Plan {
    let pool = PoolPlan {
        scope: Scope::EachGroup,
        admits: Admission::Fraction(Pacing::Constant(100_000_000_000)),
        ..PoolPlan::everything(Role::Own)
    };
    let segment = Segment {
        start_step: 10,
        shares: vec![WHOLE],
    };
    Plan {
        version: PLAN_VERSION,
        seed: 7,
        batch_size: 12,
        tokens: None,
        order: PlanOrder::EasyFirst,
        rows: 1000,
        group_rows: vec![250; 4],
        held_out: None,
        filtered: None,
        scores: Some(PlanScores {
            key: "k".into(),
            digest: "sha256:d".into(),
        }),
        phases: vec![PhasePlan {
            index: 1,
            name: "grow".into(),
            start_step: 10,
            end_step: 30,
            pools: vec![pool],
            segments: vec![segment],
            transitions: None,
            left_at: None,
        }],
    }
}

pub(crate) fn index(_: &PlanScores) -> Result<Index, Unusable> {
    Ok(Index {
        order: Arc::new(Backwards { rows: 1000, groups: 4 }),
        rows: 1000,
        group_rows: vec![250; 4],
    })
}

/// For plans without a filter.
pub(crate) fn no_filter(_: &Plan, _: &Filtered) -> Result<SharedOrder, Unusable> {
    panic!("the plan has no filter")
}

fn rows(opened: &Opened) -> Vec<u64> {
    let (mut all, mut batch) = (Vec::new(), Vec::new());
    for step in opened.steps() {
        opened.rows.batch(step, Part::WHOLE, &mut batch).unwrap();
        all.extend_from_slice(&batch);
    }
    all
}

#[test]
fn a_fitting_index_is_used() {
    let opened = Opened::new(attempt_plan(), index, no_filter).unwrap();
    assert_eq!((opened.source, opened.source_message.as_deref()), (Source::Index, None));
    assert_eq!(opened.plan_digest, attempt_plan().digest());
    assert!(
        rows(&opened).iter().all(|row| *row < 100),
        "the easiest 25 of each group"
    );
    let groups = opened.groups.unwrap();
    assert!((0..1000).all(|row| groups.of(row) == Some((row % 4) as usize)));
    assert_eq!((groups.count(), groups.of(1000)), (4, None));
}

#[test]
fn an_index_that_cannot_be_used_gives_the_uniform_plan_and_the_digest_stays_the_plans() {
    type Open = fn(&PlanScores) -> Result<Index, Unusable>;
    let cases: [(Open, &str); 3] = [
        (
            |_| {
                Err(Unusable {
                    fault: IndexFault::Missing,
                    message: "no such file".into(),
                })
            },
            "no such file",
        ),
        (
            |s| Ok(Index { rows: 999, ..index(s)? }),
            "the score index has 999 rows, the plan 1000",
        ),
        (
            |s| {
                Ok(Index {
                    group_rows: vec![500, 500],
                    ..index(s)?
                })
            },
            "the 2 groups of the score index are not the 4 groups of the plan",
        ),
    ];
    let uniform = Opened::new(
        attempt_plan().uniform(),
        |_| panic!("a uniform plan names no index"),
        no_filter,
    )
    .unwrap();
    assert_eq!(uniform.source, Source::Uniform);
    for (open, message) in cases {
        let opened = Opened::new(attempt_plan(), open, no_filter).unwrap();
        assert_eq!(
            (opened.source, opened.source_message.as_deref()),
            (Source::UniformIndexUnusable, Some(message))
        );
        assert_eq!(
            (&opened.plan, &opened.plan_digest),
            (&attempt_plan().uniform(), &attempt_plan().digest())
        );
        assert_eq!(rows(&opened), rows(&uniform));
        assert!(opened.groups.is_none());
    }
}

#[test]
fn a_plan_file_that_is_no_plan_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("plan.json");
    let message = || read_plan(&path).unwrap_err().to_string();
    assert!(
        message().ends_with("No such file or directory (os error 2)"),
        "{}",
        message()
    );
    fs::write(&path, "{").unwrap();
    assert!(message().contains("does not parse: EOF"), "{}", message());
    fs::write(
        &path,
        serde_json::to_vec(&Plan {
            batch_size: 0,
            ..attempt_plan()
        })
        .unwrap(),
    )
    .unwrap();
    assert!(message().contains("batchSize"), "{}", message());
    let phase = PhasePlan {
        start_step: 30,
        end_step: 40,
        ..attempt_plan().phases[0].clone()
    };
    let phase = PhasePlan {
        segments: vec![Segment {
            start_step: 30,
            ..phase.segments[0].clone()
        }],
        ..phase
    };
    let phases = vec![attempt_plan().phases[0].clone(), phase];
    fs::write(
        &path,
        serde_json::to_vec(&Plan {
            phases,
            ..attempt_plan()
        })
        .unwrap(),
    )
    .unwrap();
    assert!(
        message().ends_with("has 2 phases; expected the one phase that this attempt trains"),
        "{}",
        message()
    );
    fs::write(&path, vec![b' '; PLAN_BYTES as usize + 1]).unwrap();
    assert!(message().contains("has 1048577 bytes"), "{}", message());
    fs::write(&path, attempt_plan().to_canonical_json()).unwrap();
    assert_eq!(read_plan(&path).unwrap(), attempt_plan());
}

/// Rows that are held out are in no batch, whether the index can be used or not.
#[test]
fn held_out_rows_are_never_served() {
    use std::collections::BTreeSet;

    use crate::curriculum::split::{HeldOut, Split};

    let held_out = HeldOut { rows: 100, seed: 9 };
    let apart: BTreeSet<u64> = Split::new(1000, held_out).held_out().collect();
    /// The trained rows in ascending order, and behind them the others.
    struct Ascending(Vec<u64>);
    impl RowOrder for Ascending {
        fn row(&self, _scope: OrderScope, position: u64) -> u64 {
            self.0[position as usize]
        }
    }
    let (mut rows, mut others): (Vec<u64>, Vec<u64>) = (0..1000).partition(|row| !apart.contains(row));
    rows.append(&mut others);
    let plan = Plan {
        rows: 900,
        group_rows: vec![900],
        held_out: Some(held_out),
        phases: vec![PhasePlan {
            pools: vec![PoolPlan::everything(Role::Own)],
            end_step: 510,
            ..attempt_plan().phases.remove(0)
        }],
        ..attempt_plan()
    };
    let usable = |_: &PlanScores| {
        Ok(Index {
            order: Arc::new(Ascending(rows.clone())),
            rows: 1000,
            group_rows: vec![1000],
        })
    };
    let unusable = |_: &PlanScores| {
        Err(Unusable {
            fault: IndexFault::Missing,
            message: String::new(),
        })
    };
    let without = Plan {
        scores: None,
        ..plan.clone()
    };
    for (opened, source) in [
        (Opened::new(plan.clone(), usable, no_filter), Source::Index),
        (Opened::new(plan, unusable, no_filter), Source::UniformIndexUnusable),
        (Opened::new(without, unusable, no_filter), Source::Uniform),
    ] {
        let opened = opened.unwrap();
        assert_eq!(opened.source, source);
        let (mut served, mut batch) = (BTreeSet::new(), Vec::new());
        for step in opened.steps() {
            opened.rows.batch(step, Part::WHOLE, &mut batch).unwrap();
            served.extend(batch.iter().copied());
        }
        // 6,000 rows of 900: every one at least six times.
        assert_eq!(served.len(), 900);
        assert!(served.is_disjoint(&apart));
    }
}
