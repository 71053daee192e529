//! Data sets that cannot be used: no retry and no fallback can help.

use curriculum_operator::api::conditions::{ConditionType, Reason};
use e2e::Result;
use e2e::case::with_temp_ns;
use e2e::fixture::Example;
use e2e::observe::{ensure, expect};
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
