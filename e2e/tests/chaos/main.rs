//! What can go wrong between the operator and the API server goes wrong, at every write of a run: the run ends as it does
//! without it, and nothing is made twice. No node: the test plays Job controller, kubelet and user.
//!
//! `make test` takes a sample that is spread over all plans, `make chaos` (`CHAOS=all`) all of them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod leaders;
mod player;
mod run;

use std::sync::Arc;
use std::time::Duration;

use e2e::api_server::ApiServer;
use e2e::fault_proxy::{Fault, WatchFault};
use futures::{StreamExt, stream};

use self::player::Story;
use self::run::{Outcome, Trouble, play};

/// Plans of the sample, for each story.
const SAMPLE: usize = 24;
/// Runs at the same time.
const AT_ONCE: usize = 8;

/// Plays every trouble, and compares each end with that of the run without one.
async fn sweep(server: &Arc<ApiServer>, name: &str, story: Story, troubles: Vec<Trouble>, reference: &Outcome) {
    let total = troubles.len();
    let runs = stream::iter(troubles.into_iter().enumerate()).map(|(number, trouble)| {
        let (server, namespace) = (Arc::clone(server), format!("{name}-{number}"));
        async move { (trouble, play(server, namespace, story, trouble).await) }
    });
    let failures: Vec<String> = runs
        .buffer_unordered(AT_ONCE)
        .filter_map(|(trouble, result)| async move {
            match result {
                Err(error) => Some(format!("{trouble:?}: {error}")),
                Ok((outcome, _)) if outcome != *reference => {
                    Some(format!("{trouble:?}: {outcome:#?}\ninstead of\n{reference:#?}"))
                }
                Ok(_) => None,
            }
        })
        .collect()
        .await;
    println!("{name}: {total} plans, {} failed", failures.len());
    assert!(failures.is_empty(), "{name}:\n{}", failures.join("\n"));
}

/// All plans, or a sample that has every kind of fault and is spread over all writes.
fn plans(writes: usize) -> Vec<Trouble> {
    let all: Vec<Trouble> = (0..writes)
        .flat_map(|write| Fault::ALL.map(|fault| Trouble::Write(write, fault)))
        .collect();
    if std::env::var("CHAOS").is_ok_and(|which| which == "all") {
        return all;
    }
    // One more than a whole number of faults, so that each plan has the fault after that of the one before it.
    let stride = (all.len() / SAMPLE / Fault::ALL.len()).max(1) * Fault::ALL.len() + 1;
    all.into_iter().step_by(stride).collect()
}

async fn every_write(name: &str, story: Story) {
    let server = ApiServer::shared().await.unwrap();
    let (reference, writes) = play(
        Arc::clone(&server),
        format!("{name}-reference"),
        story,
        Trouble::Nothing,
    )
    .await
    .unwrap();
    println!("{name}: {writes} writes without a fault: {reference:#?}");
    sweep(&server, name, story, plans(writes), &reference).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_at_any_write_of_a_scored_run_changes_nothing() {
    every_write("scored", Story::Scored).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_at_any_write_of_a_run_that_falls_back_changes_nothing() {
    every_write("fallback", Story::Fallback).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watches_that_come_late_break_or_are_too_old_change_nothing() {
    let server = ApiServer::shared().await.unwrap();
    let (reference, _) = play(
        Arc::clone(&server),
        "watch-reference".to_owned(),
        Story::Scored,
        Trouble::Nothing,
    )
    .await
    .unwrap();
    let troubles = [
        WatchFault::Delayed(Duration::from_millis(300)),
        WatchFault::Delayed(Duration::from_secs(2)),
        WatchFault::CutAfter(1),
        WatchFault::CutAfter(3),
        WatchFault::Gone(6),
        WatchFault::Gone(18),
    ];
    sweep(
        &server,
        "watch",
        Story::Scored,
        troubles.map(Trouble::Watches).to_vec(),
        &reference,
    )
    .await;
}
