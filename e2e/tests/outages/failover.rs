//! Two operators: one acts, the other takes over.

use std::time::Duration;

use curriculum_operator::api::job::CurriculumJob;
use e2e::audit::by_operator_since;
use e2e::case::{Case, with_temp_ns};
use e2e::fixture::Example;
use e2e::observe::{ensure, status};
use e2e::operator::Operator;
use e2e::{Result, wait};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use tokio::time::Instant;

const LIMIT: Duration = Duration::from_secs(120);

/// Submits a run and waits until an operator has accepted it.
async fn accepted(case: &Case, name: &str) -> Result {
    case.submit(&Example::new(name).one_phase()).await?;
    let accepted = |job: &CurriculumJob| job.status.as_ref().is_some_and(|status| status.start_time.is_some());
    wait::until_found(&case.api::<CurriculumJob>(), name, "accepted", LIMIT, accepted).await?;
    Ok(())
}

/// 20 s after a crash and 3 s after an orderly end are promised; the limits here have slack for a loaded machine.
#[tokio::test]
async fn another_operator_takes_over() -> Result {
    with_temp_ns("failover", |case| async move {
        let operator = Operator::of(&case.client);
        operator.ready().await?;
        case.data_set().await?;
        for (name, crash, limit) in [("orderly", false, 12), ("crashed", true, 40)] {
            let leader = operator.leader().await?;
            let begin = Instant::now();
            if crash {
                operator.signal(&leader, "-9")?;
                operator.delete(&leader, Some(0)).await?;
            } else {
                operator.delete(&leader, None).await?;
            }
            accepted(&case, name).await?;
            let took = begin.elapsed();
            eprintln!("{name}: the next run was accepted after {:.1} s", took.as_secs_f64());
            let next = operator.leader_but(&leader.name_any()).await?;
            ensure(next.name_any() != leader.name_any(), || "the same operator acts".into())?;
            ensure(took < Duration::from_secs(limit), || format!("{name}: {took:?}"))?;
            case.succeeded(name).await?;
            operator.ready().await?;
        }
        Ok(())
    })
    .await
}

/// A leader that was stopped and wakes up when another one acts writes nothing.
#[tokio::test]
async fn a_leader_that_slept_does_not_write() -> Result {
    with_temp_ns("fencing", |case| async move {
        let operator = Operator::of(&case.client);
        operator.ready().await?;
        case.data_set().await?;
        case.submit(&Example::new("before").one_phase().trainer("STEP_SECONDS", "0.5"))
            .await?;
        let training = case.running("before", "train").await?;
        case.trained_step(&training, 1).await?;

        let sleeper = operator.leader().await?;
        let address = sleeper.status.as_ref().and_then(|status| status.pod_ip.clone());
        let address = address.ok_or("an address")?;
        operator.signal(&sleeper, "-STOP")?;
        let next = operator.leader_but(&sleeper.name_any()).await;
        let woken = async {
            next?;
            // Long enough that it is seen while it runs: the Job controller counts ready pods once a second.
            case.submit(&Example::new("after").one_phase().trainer("STEP_SECONDS", "0.5"))
                .await?;
            case.running("after", "train").await
        };
        let woken = woken.await;
        #[expect(clippy::disallowed_methods, reason = "the audit log is searched by time")]
        let since = Timestamp::now();
        operator.signal(&sleeper, "-CONT")?;
        woken?;
        for name in ["before", "after"] {
            let job = case.succeeded(name).await?;
            let attempts: Vec<i32> = status(&job)?.visits.iter().map(|visit| visit.attempts).collect();
            ensure(attempts == [1], || format!("{name}: attempts {attempts:?}"))?;
        }
        let all = by_operator_since(since)?;
        let writes: Vec<_> = all.iter().filter(|request| request.verb != "list").collect();
        let (late, others): (Vec<_>, Vec<_>) = writes
            .into_iter()
            .partition(|write| write.source_ips.contains(&address));
        ensure(!others.is_empty(), || "the other operator wrote nothing".into())?;
        ensure(late.is_empty(), || format!("written by the one that slept: {late:?}"))
    })
    .await
}
