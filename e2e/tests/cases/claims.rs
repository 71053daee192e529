//! The score index on its claim: shared by runs, and overwritten by somebody.

use std::time::Duration;

use curriculum_operator::api::conditions::{ConditionType, Reason};
use curriculum_operator::api::job::CurriculumJob;
use curriculum_operator::api::status::ScoreSource;
use e2e::case::{Case, with_temp_ns};
use e2e::fixture::{EASY_ROWS, Example, STEPS};
use e2e::observe::{ensure, expect, has_ended, status};
use e2e::{Result, demo_image, wait};
use k8s_openapi::api::batch::v1::Job;
use kube::api::PostParams;
use serde_json::json;

/// Case 11.
#[tokio::test]
async fn an_index_overwritten_between_phases_leads_to_uniform_training() -> Result {
    with_temp_ns("garbage", |case| async move {
        case.data_set().await?;
        for claim in ["checkpoints", "scores"] {
            case.claim(claim).await?;
        }
        let example = Example::new("run")
            .trainer("AWAIT", "overwritten")
            .checkpoint("checkpoints", "run");
        case.submit(&example.with(&json!({"store": {"claimName": "scores"}})))
            .await?;
        let first = case.running("run", "train").await?;
        case.trained_step(&first, 0).await?;
        overwrite_index(&case).await?;

        let job = case.succeeded("run").await?;
        expect(&job, ConditionType::Degraded, "True", Some(Reason::IndexUnusable))?;
        let attempts: Vec<i32> = status(&job)?.visits.iter().map(|phase| phase.attempts).collect();
        ensure(attempts == [1, 1], || format!("attempts of the phases: {attempts:?}"))?;
        let trained = case.trained("run").await?;
        ensure(trained.is_complete(2 * STEPS), || format!("{trained:?}"))?;
        let rows = trained.rows(0, STEPS);
        ensure(rows.iter().all(|row| *row < EASY_ROWS), || {
            format!("rows before: {rows:?}")
        })
    })
    .await
}

/// Replaces the score index by garbage of the same length, as another program with access to the claim could, and lets the
/// trainer end its first phase.
async fn overwrite_index(case: &Case) -> Result {
    let script = "\
[path] = glob.glob('/scores/index/*/index.arrow')
size = os.path.getsize(path)
with open('/scores/garbage', 'wb') as file:
    file.write(os.urandom(size))
os.replace('/scores/garbage', path)
open('/checkpoints/run/overwritten', 'w').close()
";
    meddle(case, "vandal", &BOTH, script).await
}

/// A store that is away for a while: the phase that begins meanwhile is trained uniformly, the next one by the scores again.
#[tokio::test]
async fn an_index_that_is_away_for_a_while_is_used_again_by_the_next_phase() -> Result {
    with_temp_ns("away", |case| async move {
        case.data_set().await?;
        for claim in ["checkpoints", "scores"] {
            case.claim(claim).await?;
        }
        let phase = |name: &str| json!({"name": name, "pool": {"fraction": "0.25"}, "duration": {"steps": STEPS}});
        let example = Example::new("run")
            .trainer("AWAIT", "left,back")
            .checkpoint("checkpoints", "run");
        case.submit(&example.with(&json!({
            "store": {"claimName": "scores"},
            "curriculum": {"phases": [phase("before"), phase("meanwhile"), phase("after")]},
        })))
        .await?;
        let first = case.running("run", "train").await?;
        case.trained_step(&first, 0).await?;
        let leaves = "os.rename('/scores/index', '/scores/away')\nopen('/checkpoints/run/left', 'w').close()\n";
        meddle(&case, "leaves", &BOTH, leaves).await?;
        let degraded = |job: &CurriculumJob| wait::is_true(job, ConditionType::Degraded);
        let limit = Duration::from_secs(180);
        let job = wait::until_found(&case.api::<CurriculumJob>(), "run", "Degraded", limit, degraded).await?;
        expect(&job, ConditionType::Degraded, "True", Some(Reason::IndexUnusable))?;
        let returns = "os.rename('/scores/away', '/scores/index')\nopen('/checkpoints/run/back', 'w').close()\n";
        meddle(&case, "returns", &BOTH, returns).await?;

        let job = case.succeeded("run").await?;
        expect(&job, ConditionType::Degraded, "False", Some(Reason::AsExpected))?;
        expect(&job, ConditionType::ScoresReady, "True", Some(Reason::Scored))?;
        let chain = case.snapshot_chain(&job).await?;
        let by_scores: Vec<bool> = chain
            .iter()
            .map(|snapshot| snapshot.spec.state.contains("\"scoreDigest\""))
            .collect();
        ensure(by_scores == [true, false, true], || {
            format!("phases trained by scores: {by_scores:?}")
        })?;
        let trained = case.trained("run").await?;
        ensure(trained.is_complete(3 * STEPS), || format!("{trained:?}"))?;
        let easy = |phase: u64| {
            let rows = trained.rows(phase * STEPS, (phase + 1) * STEPS);
            rows.iter().all(|row| *row < EASY_ROWS)
        };
        let easy = [easy(0), easy(1), easy(2)];
        ensure(easy == [true, false, true], || {
            format!("phases of easy rows only: {easy:?}")
        })?;
        let events = case.events("run", "Normal").await?;
        ensure(events.contains_key("IndexUsable"), || format!("{events:?}"))
    })
    .await
}

const BOTH: [&str; 2] = ["scores", "checkpoints"];

/// Runs a few lines of Python with these claims mounted under their names, and waits until they have run.
pub(super) async fn meddle(case: &Case, name: &str, claims: &[&str], lines: &str) -> Result {
    let script = format!("import glob, os\n{lines}");
    let mounts: Vec<_> = claims
        .iter()
        .map(|claim| json!({"name": claim, "mountPath": format!("/{claim}")}))
        .collect();
    let volumes: Vec<_> = claims
        .iter()
        .map(|claim| json!({"name": claim, "persistentVolumeClaim": {"claimName": claim}}))
        .collect();
    let job = serde_json::from_value(
        json!({"metadata": {"name": name}, "spec": {"backoffLimit": 0, "template": {"spec": {
            "restartPolicy": "Never",
            "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "program", "image": demo_image(), "command": ["python3", "-c", script],
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                "volumeMounts": mounts}],
            "volumes": volumes,
        }}}}),
    )?;
    case.api::<Job>().create(&PostParams::default(), &job).await?;
    let ended = |job: &Job| job.status.as_ref().is_some_and(has_ended);
    let job = wait::until_found(&case.api::<Job>(), name, "ended", Duration::from_secs(60), ended).await?;
    ensure(job.status.is_some_and(|status| status.succeeded == Some(1)), || {
        format!("Job '{name}' failed")
    })
}

/// Case 13.
#[tokio::test]
async fn a_second_run_with_the_same_scorers_finds_the_scores() -> Result {
    with_temp_ns("cached", |case| async move {
        case.data_set().await?;
        case.claim("scores").await?;
        let same = json!({"store": {"claimName": "scores"}, "scoring": {"shards": 2, "parallelism": 2}});
        case.submit(&Example::new("first").one_phase().with(&same)).await?;
        let first = case.succeeded("first").await?;
        case.submit(&Example::new("second").one_phase().with(&same)).await?;
        let second = case.succeeded("second").await?;

        let (first, second) = (status(&first)?.scores.clone(), status(&second)?.scores.clone());
        let (first, second) = (first.ok_or("no scores")?, second.ok_or("no second scores")?);
        ensure(
            (first.source, second.source) == (ScoreSource::Scored, ScoreSource::Cached),
            || format!("sources {:?} and {:?}", first.source, second.source),
        )?;
        ensure(first.digest == second.digest, || {
            format!("{:?}, then {:?}", first.digest, second.digest)
        })?;
        let of_second: Vec<String> = case
            .jobs_created()?
            .into_iter()
            .filter(|name| name.starts_with("second-"))
            .collect();
        let scoring = of_second
            .iter()
            .any(|name| name.contains("-score-") || name.contains("-index-"));
        ensure(!of_second.is_empty() && !scoring, || {
            format!("Jobs of the second run: {of_second:?}")
        })
    })
    .await
}
