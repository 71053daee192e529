//! What a run costs the API server: section "Budgets" of `docs/design/controller.md`, counted in the audit log.

use std::collections::BTreeMap;
use std::time::Duration;

use e2e::Result;
use e2e::audit::{self, Request};
use e2e::case::with_temp_ns;
use e2e::fixture::Example;
use e2e::observe::{ensure, status};
use e2e::operator::Operator;
use k8s_openapi::jiff::Timestamp;
use serde_json::json;

/// Phases of the run that is counted.
const PHASES: usize = 6;
/// How long nothing may happen once nothing changes: three times the sampler's and the status's own period of 10 s.
const STEADY: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_run_stays_within_its_api_budget_and_moves_on_at_once() -> Result {
    with_temp_ns("budget", |case| async move {
        Operator::of(&case.client).ready().await?;
        case.data_set().await?;
        case.claim("checkpoints").await?;
        let phases: Vec<_> = (0..PHASES)
            .map(|k| json!({"name": format!("phase-{k}"), "pool": {"fraction": "1"}, "duration": {"steps": 5}}))
            .collect();
        let example = Example::new("run").checkpoint("checkpoints", "run");
        case.submit(&example.with(&json!({"curriculum": {"phases": phases}})))
            .await?;
        let job = case.succeeded("run").await?;
        ensure(status(&job)?.visits.len() == PHASES, || format!("{:?}", status(&job)))?;

        // The last write of a run: nothing changes from here on.
        case.event("run", "Completed").await?;
        steady().await?;
        let writes = case.writes()?;
        few(&writes)?;
        prompt(&writes)
    })
    .await
}

/// At most 9 + 5 per phase writes by the operator in the life of a run without failures.
fn few(writes: &[Request]) -> Result {
    let mut kinds = BTreeMap::<String, usize>::new();
    for write in writes
        .iter()
        .filter(|write| write.is_by_operator() && write.verb != "list")
    {
        *kinds.entry(write.kind()).or_default() += 1;
    }
    let (count, budget) = (kinds.values().sum::<usize>(), 9 + 5 * PHASES);
    eprintln!("{count} writes of {budget}: {kinds:?}");
    ensure(0 < count && count <= budget, || {
        format!("{count} writes instead of at most {budget}: {kinds:?}")
    })
}

/// The next phase's Job is created within a second, at the median, of the last status write of the finished one.
fn prompt(writes: &[Request]) -> Result {
    let mut delays = Vec::new();
    for k in 1..PHASES {
        let (last, next) = (format!("run-train-{}", k - 1), format!("run-train-{k}"));
        let created = writes
            .iter()
            .find(|write| write.object_ref.name == next && write.kind() == "create jobs");
        let created = created
            .ok_or_else(|| format!("{next} was not created"))?
            .stage_timestamp;
        let ended = writes.iter().rev().find(|write| {
            let of_status = write.object_ref.resource == "jobs" && write.object_ref.subresource == "status";
            write.object_ref.name == last && of_status && write.stage_timestamp <= created
        });
        let ended = ended.ok_or_else(|| format!("{last} has no status"))?.stage_timestamp;
        delays.push(created.duration_since(ended).as_secs_f64());
    }
    delays.sort_by(f64::total_cmp);
    eprintln!("from a finished Job to the next one: {delays:.3?} s");
    let median = delays[delays.len() / 2];
    ensure(median < 1.0, || {
        format!("the median of {delays:.3?} s is not below 1 s")
    })
}

/// No write and no list by the operator while nothing changes.
async fn steady() -> Result {
    #[expect(clippy::disallowed_methods, reason = "the audit log is searched by time")]
    let start = Timestamp::now();
    // The length of the window is what is tested; there is no condition to wait for.
    tokio::time::sleep(STEADY).await;
    let requests: Vec<String> = audit::by_operator_since(start)?.iter().map(Request::kind).collect();
    ensure(requests.is_empty(), || {
        format!("writes or lists while nothing changed: {requests:?}")
    })
}
