//! Random histories, and what they must all come to.

use k8s_openapi::api::batch::v1::Job;
use proptest::prelude::*;
use serde_json::json;

use super::cluster::OnClaim;
use super::invariants::is;
use super::{Cluster, Fate, Leader};
use crate::api::conditions::ConditionType;
use crate::api::status::ScoreSource;
use crate::controller::evidence::is_live;
use crate::controller::observed::component;
use crate::controller::test_support::curriculum_job;

/// One thing that happens.
#[derive(Clone, Debug)]
enum Op {
    CatchUp {
        leader: usize,
        store: usize,
        changes: usize,
    },
    Turn {
        leader: usize,
        served: u64,
    },
    Look {
        leader: usize,
        served: u64,
        lost_index: bool,
    },
    Act {
        leader: usize,
        effects: usize,
    },
    Crash {
        leader: usize,
    },
    StartPod {
        pick: usize,
        stuck: bool,
    },
    EndPod {
        pick: usize,
        fate: Fate,
    },
    EndJob {
        pick: usize,
    },
    Sweep,
    LoseJob {
        pick: usize,
    },
    LosePod {
        pick: usize,
    },
    LoseConfigMap {
        pick: usize,
    },
    Queue {
        pick: usize,
        suspend: bool,
    },
    Suspend {
        suspend: bool,
    },
    Pass {
        seconds: i64,
    },
}

fn fates() -> impl Strategy<Value = Fate> {
    prop_oneof![
        6 => Just(Fate::Well),
        4 => Just(Fate::Badly),
        1 => Just(Fate::ScoresAtFault),
        1 => Just(Fate::Silently),
        1 => Just(Fate::WithoutIndex),
        1 => Just(Fate::Early),
    ]
}

fn ops() -> impl Strategy<Value = Op> {
    let leader = 0..2_usize;
    let pick = 0..8_usize;
    prop_oneof![
        8 => (leader.clone(), 0..10_u64).prop_map(|(leader, served)| Op::Turn { leader, served }),
        8 => (leader.clone(), 0..4_usize, 1..20_usize)
            .prop_map(|(leader, store, changes)| Op::CatchUp { leader, store, changes }),
        8 => (leader.clone(), 0..10_u64, prop::bool::weighted(0.05))
            .prop_map(|(leader, served, lost_index)| Op::Look { leader, served, lost_index }),
        12 => (leader.clone(), 1..5_usize).prop_map(|(leader, effects)| Op::Act { leader, effects }),
        1 => leader.prop_map(|leader| Op::Crash { leader }),
        12 => (pick.clone(), prop::bool::weighted(0.1)).prop_map(|(pick, stuck)| Op::StartPod { pick, stuck }),
        12 => (pick.clone(), fates()).prop_map(|(pick, fate)| Op::EndPod { pick, fate }),
        12 => pick.clone().prop_map(|pick| Op::EndJob { pick }),
        3 => Just(Op::Sweep),
        3 => pick.clone().prop_map(|pick| Op::LoseJob { pick }),
        2 => pick.clone().prop_map(|pick| Op::LosePod { pick }),
        1 => pick.clone().prop_map(|pick| Op::LoseConfigMap { pick }),
        1 => (pick, any::<bool>()).prop_map(|(pick, suspend)| Op::Queue { pick, suspend }),
        1 => any::<bool>().prop_map(|suspend| Op::Suspend { suspend }),
        3 => (1..90_i64).prop_map(|seconds| Op::Pass { seconds }),
    ]
}

fn run(op: &Op, cluster: &mut Cluster, leaders: &mut [Leader; 2]) {
    match *op {
        Op::CatchUp { leader, store, changes } => leaders[leader].catch_up(cluster, store, changes),
        Op::Turn { leader, served } => drop(leaders[leader].whole_turn(cluster, served)),
        Op::Look {
            leader,
            served,
            lost_index,
        } => leaders[leader].look(cluster, served, lost_index),
        Op::Act { leader, effects } => drop((0..effects).take_while(|_| leaders[leader].act(cluster)).count()),
        Op::Crash { leader } => leaders[leader].crash(cluster),
        Op::StartPod { pick, stuck } => drop(cluster.start_pod(pick, stuck)),
        Op::EndPod { pick, fate } => drop(cluster.end_pod(pick, fate)),
        Op::EndJob { pick } => drop(cluster.end_job(pick)),
        Op::Sweep => drop(cluster.sweep()),
        Op::LoseJob { pick } => cluster.lose_job(pick),
        Op::LosePod { pick } => cluster.lose_pod(pick),
        Op::LoseConfigMap { pick } => cluster.lose_config_map(pick),
        Op::Queue { pick, suspend } => cluster.queue(pick, suspend),
        Op::Suspend { suspend } => cluster.edit(|job| job.spec.suspend = suspend),
        Op::Pass { seconds } => cluster.pass(seconds),
    }
}

/// Nothing goes wrong any more: one leader with fresh stores, pods that start and end well, holds that are let go.
fn settle(cluster: &mut Cluster, fate: Fate) {
    let mut leader = Leader::new();
    for _ in 0..2000 {
        let mut busy = false;
        while leader.whole_turn(cluster, 5) > 0 {
            busy = true;
        }
        assert_nothing_is_left_behind(cluster);
        busy |= cluster.sweep();
        if !cluster.curriculum_job().spec.suspend {
            busy |= cluster.release();
        }
        busy |= cluster.unstick();
        busy |= cluster.start_pod(0, false);
        busy |= cluster.end_pod(0, fate);
        busy |= cluster.end_job(0);
        let over = cluster.curriculum_job().status.as_ref().is_some_and(|status| {
            is(status, ConditionType::Succeeded)
                || is(status, ConditionType::Failed)
                || is(status, ConditionType::Suspended)
        });
        if !busy && over {
            return;
        }
        if !busy {
            cluster.pass(30); // A back-off, the grace of an image, or of a plan.
        }
    }
    panic!("no end: {:#?}", cluster.curriculum_job().status);
}

/// Once the scores are chosen nothing scores any more.
fn assert_nothing_is_left_behind(cluster: &Cluster) {
    let chosen = cluster
        .curriculum_job()
        .status
        .as_ref()
        .is_some_and(|status| status.scores.is_some());
    let scores = |job: &Job| component(&job.metadata) != Some("train") && is_live(job);
    assert!(
        !chosen || !cluster.world.jobs.values().any(|job| scores(job)),
        "a scoring Job outlives its purpose"
    );
}

/// The next turns of a fresh leader write nothing, whatever the time.
fn assert_fixed(cluster: &mut Cluster) {
    let writes = cluster.ledger.writes;
    for seconds in [0, 10, 3600] {
        cluster.pass(seconds);
        assert_eq!(Leader::new().whole_turn(cluster, 7), 0, "no fixed point");
    }
    assert_eq!(cluster.ledger.writes, writes);
}

fn on_claims() -> impl Strategy<Value = OnClaim> {
    prop_oneof![4 => Just(OnClaim::Nothing), 1 => Just(OnClaim::LastGood), 1 => Just(OnClaim::Exact)]
}

/// That many histories, or `PROPTEST_CASES`.
fn cases(cases: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|asked| asked.parse().ok());
    ProptestConfig {
        cases: asked.unwrap_or(cases),
        max_shrink_iters: 4000,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(cases(2000))]

    /// The invariants are checked at every change by the ledger; here is what every history must come to.
    #[test]
    fn any_history_ends_right(
        on_failure in prop::sample::select(vec!["Uniform", "LastGood", "Fail"]),
        on_claim in on_claims(),
        head_start in 0..16_usize,
        history in prop::collection::vec(ops(), 0..200),
        suspended_at_the_end in prop::bool::weighted(0.2),
    ) {
        let spec = json!({"scoring": {"onFailure": on_failure}, "snapshots": {"keep": 2}});
        let mut cluster = Cluster::new(curriculum_job(spec), on_claim);
        let mut leaders = [Leader::new(), Leader::new()];
        for _ in 0..head_start {
            leaders[0].whole_turn(&mut cluster, 0);
            cluster.start_pod(0, false);
            cluster.end_pod(0, Fate::Well);
            cluster.end_job(0);
        }
        for op in &history {
            run(op, &mut cluster, &mut leaders);
        }
        if suspended_at_the_end {
            cluster.edit(|job| job.spec.suspend = true);
            settle(&mut cluster, Fate::Well);
            prop_assert!(cluster.world.pods.values().all(|pod| crate::controller::evidence::has_ended(pod)), "a pod runs");
            assert_fixed(&mut cluster);
        }
        cluster.edit(|job| job.spec.suspend = false);
        settle(&mut cluster, Fate::Well);
        assert_fixed(&mut cluster);
        let live = cluster.world.jobs.values().any(|job| is_live(job));
        prop_assert!(!live, "a Job outlives its run");
        prop_assert!(cluster.world.snapshots.len() <= 2, "snapshots.keep");
    }

    /// Scoring that never works ends in training, unless the user said otherwise.
    #[test]
    fn scoring_that_fails_ends_in_training(
        fate in prop::sample::select(vec![Fate::Badly, Fate::ScoresAtFault, Fate::Silently]),
        on_failure in prop::sample::select(vec!["Uniform", "LastGood"]),
        on_claim in prop::sample::select(vec![OnClaim::Nothing, OnClaim::LastGood]),
    ) {
        let mut cluster = Cluster::new(curriculum_job(json!({"scoring": {"onFailure": on_failure}})), on_claim);
        let mut leader = Leader::new();
        for _ in 0..100 {
            leader.whole_turn(&mut cluster, 0);
            cluster.start_pod(0, false);
            cluster.end_pod(0, fate);
            cluster.end_job(0);
            if cluster.curriculum_job().status.as_ref().is_some_and(|status| status.scores.is_some()) {
                break;
            }
        }
        settle(&mut cluster, Fate::Well);
        let status = cluster.curriculum_job().status.clone().unwrap();
        prop_assert!(is(&status, ConditionType::Succeeded));
        prop_assert!(is(&status, ConditionType::Degraded));
        let source = match (on_failure, on_claim) {
            ("LastGood", OnClaim::LastGood) => ScoreSource::LastGood,
            _ => ScoreSource::Uniform,
        };
        prop_assert_eq!(status.scores.unwrap().source, source);
    }
}

/// 8 writes and 5 for every phase; the counting pass of a rarity scorer is one Job more.
#[test]
fn a_run_without_failures_keeps_its_budget_of_writes() {
    let rarity = json!({"scoring": {"scorers": [{"name": "rare", "rarity": {"column": "text"}}]}});
    for (spec, on_claim, budget) in [
        (json!({}), OnClaim::Nothing, 8 + 5 * 3),
        (json!({}), OnClaim::Exact, 6 + 5 * 3),
        (json!({"store": {"claimName": "shared"}}), OnClaim::Nothing, 7 + 5 * 3),
        (rarity, OnClaim::Nothing, 9 + 5 * 3),
    ] {
        let mut cluster = Cluster::new(curriculum_job(spec), on_claim);
        let mut leader = Leader::new();
        while !cluster
            .curriculum_job()
            .status
            .as_ref()
            .is_some_and(|status| is(status, ConditionType::Succeeded))
        {
            while leader.whole_turn(&mut cluster, 0) > 0 {}
            cluster.start_pod(0, false);
            cluster.end_pod(0, Fate::Well);
            cluster.end_job(0);
        }
        while leader.whole_turn(&mut cluster, 0) > 0 {}
        assert_eq!(cluster.ledger.writes, budget);
        assert_eq!(cluster.ledger.events.len(), 1, "one event: the end");
        assert_eq!(cluster.ledger.made.len(), 3);
    }
}
