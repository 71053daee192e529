//! Random histories, and what they must all come to.

use k8s_openapi::api::batch::v1::Job;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::invariants::is;
use super::leader::{Fault, STORES};
use super::server::OnClaim;
use super::{Fate, Leader, Server, Shared};
use crate::api::conditions::ConditionType;
use crate::api::status::{Archive, ScoreSource};
use crate::controller::build;
use crate::controller::evidence::is_live;
use crate::controller::observed::component;
use crate::controller::test_support::curriculum_job;
use crate::curriculum::transition::Kind;

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
    Fault {
        leader: usize,
        fault: Fault,
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
        2 => Just(Fate::Leaves(Kind::Advance)),
        3 => Just(Fate::Leaves(Kind::Regress)),
        2 => Just(Fate::Evicted),
    ]
}

fn ops() -> impl Strategy<Value = Op> {
    let leader = 0..2_usize;
    let pick = 0..8_usize;
    prop_oneof![
        8 => (leader.clone(), 0..10_u64).prop_map(|(leader, served)| Op::Turn { leader, served }),
        8 => (leader.clone(), 0..STORES, 1..20_usize)
            .prop_map(|(leader, store, changes)| Op::CatchUp { leader, store, changes }),
        8 => (leader.clone(), 0..10_u64, prop::bool::weighted(0.05))
            .prop_map(|(leader, served, lost_index)| Op::Look { leader, served, lost_index }),
        12 => (leader.clone(), 1..5_usize).prop_map(|(leader, effects)| Op::Act { leader, effects }),
        2 => (leader.clone(), prop::sample::select(vec![Fault::Request, Fault::Reply]))
            .prop_map(|(leader, fault)| Op::Fault { leader, fault }),
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

/// Phases that may be left early, and gone back from.
fn adaptive() -> Value {
    let advance = json!({"anyOf": [{"metric": "val", "atLeast": "0.9"}]});
    let regress =
        |to: &str, limit: u32| json!({"to": to, "limit": limit, "anyOf": [{"metric": "val", "atMost": "0.5"}]});
    json!({"batchSize": 4, "phases": [
        {"name": "easy", "pool": {"fraction": "0.2"}, "duration": {"steps": 10}, "advance": advance},
        {"name": "middle", "pool": {"fraction": "0.6"}, "duration": {"steps": 10}, "advance": advance, "regress": regress("easy", 2)},
        {"name": "all", "pool": {"fraction": "1"}, "duration": {"steps": 10}, "regress": regress("middle", 1)},
    ]})
}

fn run(op: &Op, server: &Shared, leaders: &mut [Leader; 2]) {
    match *op {
        Op::CatchUp { leader, store, changes } => leaders[leader].catch_up(store, changes),
        Op::Turn { leader, served } => drop(leaders[leader].whole_turn(served)),
        Op::Look {
            leader,
            served,
            lost_index,
        } => leaders[leader].look(served, lost_index),
        Op::Act { leader, effects } => drop((0..effects).take_while(|_| leaders[leader].act()).count()),
        Op::Fault { leader, fault } => leaders[leader].fault(fault),
        Op::Crash { leader } => leaders[leader].crash(),
        Op::StartPod { pick, stuck } => drop(server.at().start_pod(pick, stuck)),
        Op::EndPod { pick, fate } => drop(server.at().end_pod(pick, fate)),
        Op::EndJob { pick } => drop(server.at().end_job(pick)),
        Op::Sweep => drop(server.at().sweep()),
        Op::LoseJob { pick } => server.at().lose_job(pick),
        Op::LosePod { pick } => server.at().lose_pod(pick),
        Op::LoseConfigMap { pick } => server.at().lose_config_map(pick),
        Op::Queue { pick, suspend } => server.at().queue(pick, suspend),
        Op::Suspend { suspend } => server.at().edit(|job| job.spec.suspend = suspend),
        Op::Pass { seconds } => server.at().pass(seconds),
    }
}

/// Nothing goes wrong any more: one leader with fresh stores, pods that start and end well, holds that are let go.
fn settle(server: &Shared, fate: Fate) {
    let mut leader = Leader::new(server);
    for _ in 0..2000 {
        let mut busy = false;
        while leader.whole_turn(5) > 0 {
            busy = true;
        }
        assert_nothing_is_left_behind(&server.at());
        busy |= server.at().sweep();
        if !server.at().curriculum_job().spec.suspend {
            busy |= server.at().release();
        }
        busy |= server.at().unstick();
        busy |= server.at().start_pod(0, false);
        busy |= server.at().end_pod(0, fate);
        busy |= server.at().end_job(0);
        let over = server.at().curriculum_job().status.as_ref().is_some_and(|status| {
            is(status, ConditionType::Succeeded)
                || is(status, ConditionType::Failed)
                || is(status, ConditionType::Suspended)
        });
        if !busy && over && !awaits_archive(&server.at()) {
            return;
        }
        if !busy {
            server.at().pass(30); // A back-off, the grace of an image, or of a plan.
        }
    }
    panic!("no end: {:#?}", server.at().curriculum_job().status);
}

/// Whether it will still be told what became of a snapshot: not while its Job is held.
fn awaits_archive(server: &Server) -> bool {
    let job = server.curriculum_job();
    let status = job.status.clone().unwrap_or_default();
    let mut pending = status
        .visits
        .iter()
        .filter(|visit| visit.archive == Some(Archive::Pending));
    pending.any(|visit| {
        let name = build::names::archive("digits", visit.visit.unsigned_abs());
        !job.spec.suspend || !server.world.jobs.contains_key(&name)
    })
}

/// Once the scores are chosen nothing scores any more.
fn assert_nothing_is_left_behind(server: &Server) {
    let chosen = server
        .curriculum_job()
        .status
        .as_ref()
        .is_some_and(|status| status.scores.is_some());
    let scores = |job: &Job| !matches!(component(&job.metadata), Some("train" | "archive")) && is_live(job);
    assert!(
        !chosen || !server.world.jobs.values().any(|job| scores(job)),
        "a scoring Job outlives its purpose"
    );
}

/// The next turns of a fresh leader write nothing, whatever the time.
fn assert_fixed(server: &Shared) {
    let writes = server.at().ledger.writes;
    for seconds in [0, 10, 3600] {
        server.at().pass(seconds);
        assert_eq!(Leader::new(server).whole_turn(7), 0, "no fixed point");
    }
    assert_eq!(server.at().ledger.writes, writes);
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
        archive in any::<bool>(),
        transitions in any::<bool>(),
    ) {
        let mut spec = json!({"scoring": {"onFailure": on_failure}, "snapshots": {"keep": 2, "archive": archive}});
        if transitions {
            spec["curriculum"] = adaptive();
        }
        let server = Shared::new(curriculum_job(spec), on_claim);
        let mut leaders = [Leader::new(&server), Leader::new(&server)];
        for _ in 0..head_start {
            leaders[0].whole_turn(0);
            server.at().start_pod(0, false);
            server.at().end_pod(0, Fate::Well);
            server.at().end_job(0);
        }
        for op in &history {
            run(op, &server, &mut leaders);
        }
        if suspended_at_the_end {
            server.at().edit(|job| job.spec.suspend = true);
            settle(&server, Fate::Well);
            prop_assert!(server.at().world.pods.values().all(|pod| crate::controller::evidence::has_ended(pod)), "a pod runs");
            assert_fixed(&server);
        }
        server.at().edit(|job| job.spec.suspend = false);
        settle(&server, Fate::Well);
        assert_fixed(&server);
        let live = server.at().world.jobs.values().any(|job| is_live(job));
        prop_assert!(!live, "a Job outlives its run");
        prop_assert!(server.at().world.snapshots.len() <= 2, "snapshots.keep");
        let status = server.at().curriculum_job().status.clone().unwrap();
        let completed = status.visits.iter().filter(|visit| visit.outcome.is_trained());
        for visit in completed {
            prop_assert_eq!(visit.archive.is_some(), archive);
            prop_assert_ne!(visit.archive, Some(Archive::Pending), "it is known what became of every snapshot");
        }
    }

    /// Scoring that never works ends in training, unless the user said otherwise.
    #[test]
    fn scoring_that_fails_ends_in_training(
        fate in prop::sample::select(vec![Fate::Badly, Fate::ScoresAtFault, Fate::Silently]),
        on_failure in prop::sample::select(vec!["Uniform", "LastGood"]),
        on_claim in prop::sample::select(vec![OnClaim::Nothing, OnClaim::LastGood]),
    ) {
        let server = Shared::new(curriculum_job(json!({"scoring": {"onFailure": on_failure}})), on_claim);
        let mut leader = Leader::new(&server);
        for _ in 0..100 {
            leader.whole_turn(0);
            server.at().start_pod(0, false);
            server.at().end_pod(0, fate);
            server.at().end_job(0);
            if server.at().curriculum_job().status.as_ref().is_some_and(|status| status.scores.is_some()) {
                break;
            }
        }
        settle(&server, Fate::Well);
        let status = server.at().curriculum_job().status.clone().unwrap();
        prop_assert!(is(&status, ConditionType::Succeeded));
        prop_assert!(is(&status, ConditionType::Degraded));
        let source = match (on_failure, on_claim) {
            ("LastGood", OnClaim::LastGood) => ScoreSource::LastGood,
            _ => ScoreSource::Uniform,
        };
        prop_assert_eq!(status.scores.unwrap().source, source);
    }
}

/// 9 writes and 5 for every phase; the counting pass of a rarity scorer is one Job more.
#[test]
fn a_run_without_failures_keeps_its_budget_of_writes() {
    let rarity = json!({"scoring": {"scorers": [{"name": "rare", "rarity": {"column": "text"}}]}});
    for (spec, on_claim, budget) in [
        (json!({}), OnClaim::Nothing, 9 + 5 * 3),
        (json!({}), OnClaim::Exact, 6 + 5 * 3),
        (json!({"store": {"claimName": "shared"}}), OnClaim::Nothing, 8 + 5 * 3),
        (rarity, OnClaim::Nothing, 10 + 5 * 3),
    ] {
        let server = Shared::new(curriculum_job(spec), on_claim);
        let mut leader = Leader::new(&server);
        while !server
            .at()
            .curriculum_job()
            .status
            .as_ref()
            .is_some_and(|status| is(status, ConditionType::Succeeded))
        {
            while leader.whole_turn(0) > 0 {}
            server.at().start_pod(0, false);
            server.at().end_pod(0, Fate::Well);
            server.at().end_job(0);
        }
        while leader.whole_turn(0) > 0 {}
        assert_eq!(server.at().ledger.writes, budget);
        assert_eq!(server.at().ledger.events.len(), 1, "one event: the end");
        assert_eq!(server.at().ledger.made.len(), 3);
    }
}
