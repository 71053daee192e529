//! Data and scores on servers that pods reach: a bucket, and Redis.

use std::collections::BTreeMap;
use std::time::Duration;

use curriculum_operator::api::conditions::{ConditionType, Reason};
use curriculum_operator::api::job::CurriculumJob;
use curriculum_operator::api::status::{Archive, ScoreSource};
use e2e::case::{Case, with_temp_ns};
use e2e::fixture::{EASY_ROWS, Example, ROWS, STEPS};
use e2e::observe::{ensure, expect, status};
use e2e::servers::{ACCESS_KEY, PASSWORD, Reach, Redis, S3, SECRET_KEY};
use e2e::{Result, dump, wait};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Secret};
use kube::api::{ListParams, PostParams};
use serde_json::{Value, json};

use super::claims::meddle;

async fn secret(case: &Case, name: &str, words: &[(&str, &str)]) -> Result {
    let words: BTreeMap<_, _> = words.iter().copied().collect();
    let object = serde_json::from_value(json!({"metadata": {"name": name}, "stringData": words}))?;
    case.api::<Secret>().create(&PostParams::default(), &object).await?;
    Ok(())
}

fn source(job: &CurriculumJob) -> Result<ScoreSource> {
    Ok(status(job)?.scores.as_ref().ok_or("no scores")?.source)
}

/// No claim was made, and the password is in no status, event, log or object of a pod.
async fn nothing_is_left(case: &Case, password: &str) -> Result {
    let claims = case.api::<PersistentVolumeClaim>().list(&ListParams::default()).await?;
    ensure(claims.items.is_empty(), || format!("{} claims", claims.items.len()))?;
    let all = dump::namespace(&case.client, &case.namespace).await;
    ensure(all.contains("CurriculumJob") && !all.contains(password), || {
        "the password is where it must not be".to_owned()
    })
}

/// Case 21.
#[tokio::test]
async fn data_and_scores_in_buckets_need_no_volume() -> Result {
    with_temp_ns("bucket", |case| async move {
        let server = S3::start(Reach::Pods).await?;
        let rows = (0..ROWS).map(|row| format!("{row},{}\n", if row % 2 == 0 { "a" } else { "b" }));
        let csv = format!("difficulty,label\n{}", rows.collect::<String>());
        server.put("corpus/data.csv", csv.into_bytes()).await?;
        let keys = [("AWS_ACCESS_KEY_ID", ACCESS_KEY), ("AWS_SECRET_ACCESS_KEY", SECRET_KEY)];
        secret(&case, "reader", &keys).await?;
        secret(&case, "writer", &keys).await?;
        let place = |prefix: &str, secret: &str| {
            json!({"url": format!("s3://data/{prefix}"), "endpoint": server.endpoint(), "envFrom": [{"secretRef": {"name": secret}}]})
        };
        let spec = json!({
            "dataset": {"volume": Value::Null, "objectStore": place("corpus", "reader")},
            "store": {"objectStore": place("scores", "writer")},
            "scoring": {"shards": 2, "parallelism": 2},
            "snapshots": {"archive": true},
        });
        // A program gets copies of the data, and puts its scores into the bucket.
        case.submit(&Example::new("first").scored_by("column").with(&spec)).await?;
        let first = case.succeeded("first").await?;
        case.submit(&Example::new("second").scored_by("column").with(&spec)).await?;
        let second = case.succeeded("second").await?;
        ensure(
            (source(&first)?, source(&second)?) == (ScoreSource::Scored, ScoreSource::Cached),
            || format!("{:?}, then {:?}", first.status, second.status),
        )?;
        for run in ["first", "second"] {
            let trained = case.trained(run).await?;
            ensure(trained.is_complete(2 * STEPS), || format!("{trained:?}"))?;
            let easy = trained.rows(0, STEPS);
            ensure(easy.iter().all(|row| *row < EASY_ROWS), || format!("{run}: {easy:?}"))?;
        }
        let (namespace, uid) = (&case.namespace, first.metadata.uid.as_deref().unwrap_or_default());
        for (visit, of) in status(&first)?.visits.iter().zip(["0", "1"]) {
            let archived = |job: &CurriculumJob| {
                let mut visits = job.status.iter().flat_map(|status| &status.visits);
                visits.any(|now| now.visit == visit.visit && now.archive == Some(Archive::Archived))
            };
            let jobs = case.api::<CurriculumJob>();
            wait::until_found(&jobs, "first", "archived", Duration::from_secs(120), archived).await?;
            let found = server.get(&format!("scores/snapshots/{namespace}/first/{uid}/{of}.json")).await?;
            let found: Value = serde_json::from_slice(&found)?;
            let digest = visit.snapshot_digest.as_deref();
            ensure(found["spec"]["digest"].as_str() == digest, || format!("{found}, not {digest:?}"))?;
        }
        nothing_is_left(&case, SECRET_KEY).await
    })
    .await
}

/// Case 22.
#[tokio::test]
async fn redis_killed_in_the_middle_of_a_phase_is_told_and_costs_nothing() -> Result {
    with_temp_ns("redis", |case| async move {
        let mut server = Redis::start(Reach::Pods).await?;
        case.data_set().await?;
        secret(&case, "cache", &[("password", PASSWORD)]).await?;
        let example = Example::new("run").trainer("AWAIT", "told").with(&json!({
            "store": {"redis": {"url": server.url(), "keyPrefix": "team:", "secretName": "cache"}},
        }));
        case.claim("checkpoints").await?;
        case.submit(&example.checkpoint("checkpoints", "run")).await?;
        let first = case.running("run", "train").await?;
        case.trained_step(&first, 0).await?;
        let is = |wanted: &'static str, reason: Reason| {
            move |job: &CurriculumJob| expect(job, ConditionType::Degraded, wanted, Some(reason)).is_ok()
        };
        let (jobs, limit) = (case.api::<CurriculumJob>(), Duration::from_secs(120));
        server.stop();
        let told = is("True", Reason::StoreUnavailable);
        let job = wait::until_found(&jobs, "run", "Degraded", limit, told).await?;
        expect(&job, ConditionType::Ready, "True", Some(Reason::Training))?;
        server.go_on().await?;
        wait::until_found(&jobs, "run", "not Degraded", limit, is("False", Reason::AsExpected)).await?;
        let goes_on = "open('/checkpoints/run/told', 'w').close()\n";
        meddle(&case, "tells", &["checkpoints"], goes_on).await?;

        let job = case.succeeded("run").await?;
        let chain = case.snapshot_chain(&job).await?;
        ensure(
            chain.len() == 2
                && chain
                    .iter()
                    .all(|snapshot| snapshot.spec.state.contains("\"scoreDigest\"")),
            || format!("{chain:?}"),
        )?;
        let trained = case.trained("run").await?;
        ensure(trained.is_complete(2 * STEPS), || format!("{trained:?}"))?;
        let events = case.events("run", "Normal").await?;
        ensure(events.contains_key("StoreAvailable"), || format!("{events:?}"))?;
        let all = dump::namespace(&case.client, &case.namespace).await;
        ensure(!all.contains(PASSWORD), || {
            "the password is where it must not be".to_owned()
        })
    })
    .await
}
