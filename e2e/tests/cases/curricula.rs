//! Whole runs of two use cases of `config/samples`, on data small enough to know every row, and one that cannot be.

use std::time::Duration;

use curriculum_operator::api::conditions::{ConditionType, Reason};
use curriculum_operator::api::job::CurriculumJob;
use curriculum_operator::api::names::SAMPLER;
use curriculum_operator::api::status::{Archive, ScoreSource};
use curriculum_operator::sampler::contract::{Details, SamplerStatus};
use e2e::case::{Case, with_temp_ns};
use e2e::fixture::{BATCH, Example, ROWS, STEPS};
use e2e::observe::{ensure, expect, status};
use e2e::{Result, wait};
use serde_json::{Value, json};

/// The place of a row's text in the order of difficulty: a permutation that is neither the order of the file nor its reverse.
fn place(row: u64) -> u64 {
    row * 37 % ROWS
}

/// A text for each row: the words 0 to n for the row at place n. So longer texts have rarer words: word n is in the texts from place n on.
fn texts() -> String {
    let text = |row| {
        (0..=place(row))
            .map(|word| format!("w{word}"))
            .collect::<Vec<_>>()
            .join(" ")
    };
    let rows: String = (0..ROWS)
        .map(|row| format!("{}\n", json!({"text": text(row)})))
        .collect();
    rows
}

/// Case 15.
#[tokio::test]
async fn texts_are_trained_bin_by_bin_of_length_and_rarity() -> Result {
    with_temp_ns("text-bins", |case| async move {
        case.config_map("data", &json!({"texts.jsonl": texts()})).await?;
        case.claim("checkpoints").await?;
        let example = Example::new("run").checkpoint("checkpoints", "run").with(&json!({
            "dataset": {"path": "texts.jsonl", "groupColumn": null},
            "scoring": {"shards": 2, "scorers": [
                {"name": "length", "length": {"column": "text", "unit": "Words"}, "weight": "0.4"},
                {"name": "rarity", "rarity": {"column": "text"}, "weight": "0.6"}]},
            "curriculum": {"phases": [
                {"name": "bins", "pool": {"pacing": {"function": "BabyStep", "buckets": 4}}, "duration": {"steps": STEPS}},
                {"name": "all", "pool": {"fraction": "1"}, "duration": {"epochs": 1}}]},
        }));
        case.submit(&example).await?;
        let job = case.succeeded("run").await?;
        let source = status(&job)?.scores.as_ref().map(|scores| scores.source);
        ensure(source == Some(ScoreSource::Scored), || format!("source {source:?}"))?;

        let pass = ROWS.div_ceil(BATCH);
        let trained = case.trained("run").await?;
        ensure(trained.is_complete(STEPS + pass), || format!("{trained:?}"))?;
        for bin in 0..4 {
            let rows = trained.rows(bin * STEPS / 4, (bin + 1) * STEPS / 4);
            let hardest = rows.iter().map(|row| place(*row)).max();
            let (from, to) = (bin * ROWS / 4, (bin + 1) * ROWS / 4);
            ensure(hardest.is_some_and(|place| (from..to).contains(&place)), || {
                format!("bin {bin}: the hardest row is at {hardest:?}, not from {from} to before {to}")
            })?;
        }
        let mut rows = trained.rows(STEPS, STEPS + pass);
        rows.sort_unstable();
        rows.dedup();
        ensure(rows.len() as u64 == ROWS, || format!("{} rows in a pass over {ROWS}", rows.len()))
    })
    .await
}

/// Rows of each class, in the order of the classes' names; the first rows of the file are common, the last ones rare.
const CLASSES: [(&str, u64); 3] = [("common", 80), ("middle", 14), ("rare", 6)];

async fn imbalanced(case: &Case) -> Result {
    let labels = CLASSES
        .iter()
        .flat_map(|&(class, rows)| (0..rows).map(move |row| (class, row)));
    let rows: String = labels.map(|(class, row)| format!("{row},{class}\n")).collect();
    case.config_map("data", &json!({"data.csv": format!("difficulty,label\n{rows}")}))
        .await
}

/// Three phases: by rows, by exponent, by name, none of which may go below the minimum.
fn fair(minimum: &str, rare: &str) -> Value {
    json!({"curriculum": {"balance": "Group", "groupShares": {"minimum": minimum}, "phases": [
        {"name": "natural", "pool": {"fraction": "0.5"}, "duration": {"steps": STEPS}},
        {"name": "oversample", "pool": {"fraction": "1"}, "mixing": {"exponent": "1", "finalExponent": "0"}, "duration": {"steps": STEPS}},
        {"name": "rare", "pool": {"fraction": "1"}, "duration": {"steps": STEPS}, "mixing": {"weights": [
            {"name": rare, "weight": "0.6"}, {"name": "middle", "weight": "0.3"}, {"name": "common", "weight": "0.1"}]}},
    ]}})
}

/// Case 16.
#[tokio::test]
async fn rare_classes_get_their_minimum_in_every_phase() -> Result {
    with_temp_ns("imbalanced", |case| async move {
        imbalanced(&case).await?;
        case.claim("checkpoints").await?;
        let example = Example::new("run").checkpoint("checkpoints", "run");
        case.submit(&example.with(&fair("0.2", "rare"))).await?;
        let job = case.succeeded("run").await?;
        let named = status(&job)?
            .dataset
            .as_ref()
            .map(|dataset| dataset.named_groups.clone())
            .unwrap_or_default();
        let named: Vec<_> = named.iter().map(|group| (group.name.as_str(), group.group)).collect();
        ensure(named == [("common", 0), ("middle", 1), ("rare", 2)], || {
            format!("{named:?}")
        })?;

        // What was served of each class by the sampler's account, and what the trainer got.
        let trained = case.trained("run").await?;
        ensure(trained.is_complete(3 * STEPS), || format!("{trained:?}"))?;
        let results = results(&case).await?;
        ensure(results.len() == 3, || format!("{results:?}"))?;
        let slots = STEPS * BATCH;
        // The mean of the shares at the middle of each step; a quota is off by at most 2 rows.
        let expected = [[0.6, 0.2, 0.2], [0.527, 0.249, 0.224], [0.2, 0.267, 0.533]];
        for (phase, (result, shares)) in (0..).zip(results.iter().zip(expected)) {
            let mut counted = [0; 3];
            for row in trained.rows(phase * STEPS, (phase + 1) * STEPS) {
                counted[usize::from(row >= 80) + usize::from(row >= 94)] += 1;
            }
            ensure(result.exposure == counted, || {
                format!(
                    "phase {phase}: the sampler counted {:?}, the trainer {counted:?}",
                    result.exposure
                )
            })?;
            for (count, share) in counted.into_iter().zip(shares) {
                let (least, off) = (slots / 5 - 2, count as f64 - share * slots as f64);
                ensure(count >= least && off.abs() <= 2.5, || {
                    format!("phase {phase}: {counted:?} of {slots}, at least {least} of each and about {shares:?}")
                })?;
            }
        }
        Ok(())
    })
    .await
}

/// What the sampler of each phase left as its termination message.
async fn results(case: &Case) -> Result<Vec<SamplerStatus>> {
    let mut results = Vec::new();
    for pod in case.pods("run", "train").await? {
        let status = pod.status.unwrap_or_default();
        let all = status
            .init_container_statuses
            .into_iter()
            .chain(status.container_statuses)
            .flatten();
        let ended = all
            .filter(|container| container.name == SAMPLER)
            .filter_map(|container| container.state?.terminated);
        for message in ended.filter_map(|ended| ended.message) {
            let (essentials, details) = message.split_once('\n').ok_or("a result of two lines")?;
            let Details { metrics, exposure } = serde_json::from_str(details)?;
            results.push(SamplerStatus {
                metrics,
                exposure,
                ..serde_json::from_str(essentials)?
            });
        }
    }
    results.sort_by_key(|result| result.phase_index);
    Ok(results)
}

/// Case 17.
async fn impossible(name: &'static str, spec: Value, words: &'static [&'static str]) -> Result {
    with_temp_ns(&format!("impossible-{name}"), move |case| async move {
        imbalanced(&case).await?;
        case.submit(&Example::new("run").with(&spec)).await?;
        let job = case.ended("run").await?;
        let message = expect(&job, ConditionType::Failed, "True", Some(Reason::InvalidSpec))?;
        for word in words {
            ensure(message.contains(word), || format!("no {word:?} in: {message}"))?;
        }
        let created = case.jobs_created()?;
        ensure(created.len() == 1 && created[0].starts_with("run-inspect-"), || {
            format!("Jobs created: {created:?}")
        })
    })
    .await
}

#[tokio::test]
async fn shares_that_the_groups_make_impossible_are_refused_before_scoring() -> Result {
    impossible(
        "shares",
        fair("0.4", "rare"),
        &["`curriculum.groupShares.minimum`", "'0.4'", "3 groups"],
    )
    .await
}

#[tokio::test]
async fn a_group_that_the_data_set_lacks_is_refused_before_scoring() -> Result {
    impossible(
        "group",
        fair("0.2", "unicorn"),
        &["names group `unicorn`", "`common`, `middle` and `rare`"],
    )
    .await
}

/// Case 23. Row n has n tokens, at least one; 60 of them count, and 200 fit into a batch.
#[tokio::test]
async fn only_rows_of_the_filter_are_trained_as_many_as_their_tokens_fit() -> Result {
    with_temp_ns("filter-tokens", |case| async move {
        case.data_set().await?;
        case.claim("checkpoints").await?;
        let example = Example::new("run").checkpoint("checkpoints", "run").with(&json!({
            "dataset": {"filter": [{"column": "label", "in": ["a"]}, {"column": "difficulty", "max": "89"}]},
            "curriculum": {"batchTokens": {"budget": 200, "maxLength": 60, "lengthScorer": "given"}},
            "snapshots": {"archive": true},
        }));
        case.submit(&example).await?;
        let job = case.succeeded("run").await?;
        let found = status(&job)?;
        let filtered = found.dataset.as_ref().and_then(|dataset| dataset.filtered_rows);
        ensure(filtered == Some(55), || format!("{filtered:?} rows are filtered out"))?;
        let trained = case.trained("run").await?;
        ensure(trained.is_complete(2 * STEPS), || format!("{trained:?}"))?;
        let counted = |rows: &[u64]| -> u64 { rows.iter().map(|row| (*row).clamp(1, 60)).sum() };
        for step in 0..2 * STEPS {
            let rows = trained.rows(step, step + 1);
            ensure(rows.iter().all(|row| row % 2 == 0 && *row < 90), || {
                format!("step {step}: {rows:?}")
            })?;
            ensure((3..=8).contains(&rows.len()) && counted(&rows) <= 200, || {
                format!("step {step}: {rows:?}")
            })?;
        }
        for (visit, phase) in found.visits.iter().zip(0..) {
            let tokens = counted(&trained.rows(phase * STEPS, (phase + 1) * STEPS));
            let said = visit.tokens.map(i64::unsigned_abs);
            ensure(said == Some(tokens), || {
                format!("{said:?} tokens, and {tokens} were trained")
            })?;
        }
        // The run does not wait for its last snapshot.
        let archived = |job: &CurriculumJob| {
            let visits = job.status.iter().flat_map(|status| &status.visits);
            visits.filter(|visit| visit.archive == Some(Archive::Archived)).count() == 2
        };
        let jobs = case.api::<CurriculumJob>();
        wait::until_found(&jobs, "run", "archived", Duration::from_secs(120), archived).await?;
        Ok(())
    })
    .await
}
