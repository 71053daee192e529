//! Data sets that cannot be used: no retry and no fallback can help.

use curriculum_operator::api::conditions::{ConditionType, Reason};
use curriculum_operator::api::status::ScoreSource;
use e2e::Result;
use e2e::case::with_temp_ns;
use e2e::fixture::Example;
use e2e::observe::{ensure, expect, status};
use serde_json::{Value, json};

/// Case 5: the run fails with that reason, says these words, tried once, and trained nothing.
async fn unusable(name: &'static str, dataset: Value, reason: Reason, words: &'static [&'static str]) -> Result {
    with_temp_ns(&format!("dataset-{name}"), move |case| async move {
        let files =
            json!({"data.csv": "difficulty,text\n1,one\n", "empty.csv": "difficulty,label\n", "bad.parquet": "no"});
        case.config_map("data", &files).await?;
        case.submit(&Example::new("run").with(&json!({"dataset": dataset})))
            .await?;
        let job = case.ended("run").await?;
        let message = expect(&job, ConditionType::Failed, "True", Some(reason))?;
        expect(&job, ConditionType::Stalled, "True", Some(reason))?;
        for word in words {
            ensure(message.contains(word), || format!("no {word:?} in: {message}"))?;
        }
        let created = case.jobs_created()?;
        ensure(created.len() == 1 && created[0].starts_with("run-inspect-"), || {
            format!("Jobs created: {created:?}")
        })?;
        let tries = case.pods("run", "inspect").await?.len();
        ensure(tries == 1, || format!("{tries} pods to find that out"))
    })
    .await
}

/// Case 20: parts are scored by a program in shards of their own division, and give the index of the one file.
#[tokio::test]
async fn parts_give_the_scores_and_rows_of_the_whole() -> Result {
    with_temp_ns("dataset-parts", |case| async move {
        let rows: Vec<String> = (0..100).map(|row| format!("{},{}", row * 7 % 100, row % 3)).collect();
        let text = |rows: &[String]| format!("difficulty,label\n{}\n", rows.join("\n"));
        let mut files = json!({"data.csv": text(&rows)});
        for (place, rows) in rows.chunks(30).enumerate() {
            files[format!("part-{place:05}-of-00004.csv")] = text(rows).into();
        }
        case.config_map("data", &files).await?;
        case.submit(&Example::new("whole")).await?;
        let parts = Example::new("parts").scored_by("column");
        let several = json!({"dataset": {"path": "part-*.csv"}, "scoring": {"shards": 3, "parallelism": 3}});
        case.submit(&parts.with(&several)).await?;
        let (whole, parts) = (case.succeeded("whole").await?, case.succeeded("parts").await?);
        let mut served = Vec::new();
        for job in [&whole, &parts] {
            ensure(
                status(job)?
                    .scores
                    .as_ref()
                    .is_some_and(|scores| scores.source == ScoreSource::Scored),
                || format!("{:?}", job.status),
            )?;
            let snapshots = case.snapshot_chain(job).await?;
            let states = snapshots
                .into_iter()
                .map(|snapshot| serde_json::from_str::<Value>(&snapshot.spec.state));
            served.push(
                states
                    .map(|state| Ok(state?["sequenceDigest"].take()))
                    .collect::<Result<Vec<Value>>>()?,
            );
        }
        let whole = &served[0];
        ensure(
            *whole == served[1] && whole.len() == 2 && whole.iter().all(Value::is_string),
            || format!("{served:#?}"),
        )
    })
    .await
}

#[tokio::test]
async fn a_missing_file_is_named() -> Result {
    unusable(
        "missing",
        json!({"path": "other.csv"}),
        Reason::DatasetNotFound,
        &["other.csv"],
    )
    .await
}

#[tokio::test]
async fn an_unreadable_file_is_named() -> Result {
    unusable(
        "unreadable",
        json!({"path": "bad.parquet"}),
        Reason::DatasetUnreadable,
        &["bad.parquet", "Parquet"],
    )
    .await
}

#[tokio::test]
async fn a_file_without_rows_is_named() -> Result {
    unusable(
        "empty",
        json!({"path": "empty.csv"}),
        Reason::DatasetEmpty,
        &["empty.csv"],
    )
    .await
}

#[tokio::test]
async fn a_missing_group_column_is_named() -> Result {
    unusable(
        "group",
        json!({"path": "data.csv"}),
        Reason::ColumnNotFound,
        &["label", "difficulty"],
    )
    .await
}
