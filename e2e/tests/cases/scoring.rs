//! Scoring that goes wrong, and what training then does.

use curriculum_operator::api::conditions::{ConditionType, Reason};
use curriculum_operator::api::job::CurriculumJob;
use curriculum_operator::api::status::ScoreSource;
use e2e::case::{Case, with_temp_ns};
use e2e::fixture::{EASY_ROWS, Example, STEPS};
use e2e::observe::{ensure, expect, status};
use e2e::{Result, metrics};
use serde_json::json;

/// The words with which the tests' scorer ends when it fails.
const SCORERS_LAST_WORDS: &str = "the teacher's weights are missing";

/// Case 2.
#[tokio::test]
async fn a_scorer_that_keeps_failing_leads_to_uniform_training_and_is_quoted() -> Result {
    with_temp_ns("scorer-fails", |case| async move {
        case.data_set().await?;
        let before = metrics::fallbacks(&case.client).await?;
        case.submit(
            &Example::new("run")
                .scored_by("exit1")
                .with(&json!({"scoring": {"backoffLimit": 1}})),
        )
        .await?;
        let job = case.succeeded("run").await?;

        let pods = case.pods("run", "score").await?.len();
        ensure(pods == 2, || format!("{pods} scoring pods for one try and one retry"))?;
        let scores = expect(&job, ConditionType::ScoresReady, "False", Some(Reason::ScorerFailed))?;
        let degraded = expect(&job, ConditionType::Degraded, "True", Some(Reason::UniformFallback))?;
        let events = case.events("run", "Warning").await?;
        for texts in [vec![&scores], vec![&degraded], events.values().collect()] {
            ensure(texts.iter().any(|text| text.contains(SCORERS_LAST_WORDS)), || {
                format!("not quoted: ScoresReady {scores:?}, Degraded {degraded:?}, events {events:?}")
            })?;
        }
        let after = metrics::fallbacks(&case.client).await?;
        ensure(after > before, || {
            format!("fallbacks counted: {before} before, {after} after")
        })?;
        is_uniform(&case, &job).await
    })
    .await
}

/// Case 3, first half.
#[tokio::test]
async fn the_last_good_index_is_used_when_a_later_scorer_fails() -> Result {
    with_temp_ns("last-good", |case| async move {
        case.data_set().await?;
        case.claim("scores").await?;
        let store = json!({"store": {"claimName": "scores"}});
        case.submit(&Example::new("earlier").one_phase().with(&store)).await?;
        let earlier = case.succeeded("earlier").await?;

        let later = Example::new("later").scored_by("exit1").with(&store);
        case.submit(&later.with(&json!({"scoring": {"onFailure": "LastGood"}})))
            .await?;
        let later = case.succeeded("later").await?;
        expect(&later, ConditionType::Degraded, "True", Some(Reason::LastGoodFallback))?;
        let (scores, good) = (status(&later)?.scores.clone(), status(&earlier)?.scores.clone());
        let (scores, good) = (scores.ok_or("no scores")?, good.ok_or("no earlier scores")?);
        ensure(scores.source == ScoreSource::LastGood, || {
            format!("source {:?}", scores.source)
        })?;
        ensure(scores.digest == good.digest, || {
            format!("{:?} instead of {:?}", scores.digest, good.digest)
        })?;
        // The earlier index orders by difficulty, so that the first phase saw the easy rows only.
        let rows = case.trained("later").await?.rows(0, STEPS);
        ensure(rows.iter().all(|row| *row < EASY_ROWS), || {
            format!("rows of the easy phase: {rows:?}")
        })
    })
    .await
}

/// Case 3, second half.
#[tokio::test]
async fn nothing_is_trained_when_scoring_fails_and_the_user_chose_to_fail() -> Result {
    with_temp_ns("fail", |case| async move {
        case.data_set().await?;
        let example = Example::new("run").scored_by("exit1");
        case.submit(&example.with(&json!({"scoring": {"onFailure": "Fail"}})))
            .await?;
        let job = case.ended("run").await?;
        let message = expect(&job, ConditionType::Failed, "True", Some(Reason::ScorerFailed))?;
        ensure(message.contains(SCORERS_LAST_WORDS), || {
            format!("not quoted: {message}")
        })?;
        expect(&job, ConditionType::Stalled, "True", None)?;
        expect(&job, ConditionType::Ready, "False", None)?;
        let created = case.jobs_created()?;
        ensure(
            !created.is_empty() && !created.iter().any(|name| name.contains("train")),
            || format!("{created:?}"),
        )
    })
    .await
}

/// Case 4: what the scorer writes, the reason, and what the message must have.
async fn bad_scores(mode: &'static str, reason: Reason, words: &'static [&'static str]) -> Result {
    with_temp_ns(&format!("scores-{mode}"), move |case| async move {
        case.data_set().await?;
        case.submit(&Example::new("run").scored_by(mode)).await?;
        let job = case.succeeded("run").await?;
        let message = expect(&job, ConditionType::ScoresReady, "False", Some(reason))?;
        for word in ["teacher"].iter().chain(words) {
            ensure(message.contains(word), || format!("no {word:?} in: {message}"))?;
        }
        expect(&job, ConditionType::Degraded, "True", Some(Reason::UniformFallback))?;
        is_uniform(&case, &job).await
    })
    .await
}

#[tokio::test]
async fn a_score_that_is_not_a_number_is_named() -> Result {
    bad_scores("nan", Reason::CoverageTooLow, &["99", "100"]).await
}

#[tokio::test]
async fn missing_scores_are_counted() -> Result {
    bad_scores("half", Reason::CoverageTooLow, &["50", "100"]).await
}

#[tokio::test]
async fn a_row_with_two_scores_is_named() -> Result {
    bad_scores("duplicate", Reason::ScoresInvalid, &["1 duplicate row"]).await
}

#[tokio::test]
async fn a_score_file_without_the_score_column_is_named() -> Result {
    bad_scores("wrong-column", Reason::ScoresInvalid, &["score", "difficulty"]).await
}

#[tokio::test]
async fn a_scorer_that_writes_nothing_is_named() -> Result {
    bad_scores("nothing", Reason::ScoresInvalid, &["0"]).await
}

/// The run used no scores: its first phase saw rows of every difficulty.
async fn is_uniform(case: &Case, job: &CurriculumJob) -> Result {
    let source = status(job)?.scores.as_ref().map(|scores| scores.source);
    ensure(source == Some(ScoreSource::Uniform), || format!("source {source:?}"))?;
    let trained = case.trained("run").await?;
    ensure(trained.is_complete(2 * STEPS), || format!("trained {trained:?}"))?;
    let rows = trained.rows(0, STEPS);
    ensure(rows.iter().any(|row| *row >= EASY_ROWS), || {
        format!("rows of the easy phase: {rows:?}")
    })
}
