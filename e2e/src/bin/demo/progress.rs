//! Live progress: a line per change of a run, at most 80 columns wide.

use std::collections::BTreeMap;
use std::time::Duration;

use curriculum_operator::api::conditions::ConditionType;
use curriculum_operator::api::job::CurriculumJob;
use e2e::case::Case;
use e2e::{Result, samples, wait};
use futures::TryStreamExt;
use kube::ResourceExt;
use kube::runtime::{WatchStreamExt, watcher};
use tokio::time::Instant;

use crate::RUNS;

/// Time for the whole demo, after which something must be wrong.
const LIMIT: Duration = Duration::from_secs(900);

/// Shows both runs until they succeeded. The control arm is started once the curriculum has its scores, so that it finds
/// them instead of computing them again.
pub(crate) async fn follow(case: &Case) -> Result {
    let start = Instant::now();
    println!(
        "{:>6}  {:<18} {:<7} {:>9} {:>9}  {:<8} STATE",
        "TIME", "RUN", "PHASE", "STEP", "ACCURACY", "SCORES"
    );
    let all = async {
        let mut shown = BTreeMap::<String, String>::new();
        let mut succeeded = BTreeMap::<String, bool>::new();
        let jobs = watcher(case.api::<CurriculumJob>(), watcher::Config::default()).applied_objects();
        let mut jobs = std::pin::pin!(jobs);
        while let Some(job) = jobs.try_next().await? {
            let (name, line) = (job.name_any(), line(&job));
            if shown.insert(name.clone(), line.clone()).as_ref() != Some(&line) {
                let seconds = start.elapsed().as_secs();
                println!("{:>3}:{:02}  {line}", seconds / 60, seconds % 60);
            }
            if wait::is_true(&job, ConditionType::Failed) {
                let message = wait::condition(&job, ConditionType::Failed).map_or("", |failed| failed.message.as_str());
                return Err(format!("{name} failed: {message}").into());
            }
            let has_scores = job.status.as_ref().is_some_and(|status| status.scores.is_some());
            if name == RUNS[0] && has_scores && !shown.contains_key(RUNS[1]) {
                samples::apply(case, samples::UNIFORM).await?;
            }
            succeeded.insert(name, wait::is_true(&job, ConditionType::Succeeded));
            if RUNS.iter().all(|run| succeeded.get(*run) == Some(&true)) {
                return Ok(());
            }
        }
        Err("the watch ended".into())
    };
    tokio::time::timeout(LIMIT, all)
        .await
        .map_err(|_| format!("not done after {} s", LIMIT.as_secs()))?
}

/// Run, phase, step, accuracy, source of the scores and state.
fn line(job: &CurriculumJob) -> String {
    let status = job.status.clone().unwrap_or_default();
    let phase = status
        .current_visit
        .map_or_else(|| "-".to_owned(), |visit| visit.phase_name);
    let step = status
        .progress
        .map_or_else(|| "-".to_owned(), |progress| progress.summary);
    let accuracy = status.metrics.iter().find(|metric| metric.name == "test_accuracy");
    let accuracy = accuracy.and_then(|metric| metric.value.parse::<f64>().ok());
    let accuracy = accuracy.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"));
    let source = status
        .scores
        .map_or_else(|| "-".to_owned(), |scores| format!("{:?}", scores.source));
    let ready = wait::condition(job, ConditionType::Ready).map_or("Accepted", |condition| condition.reason.as_str());
    let line = format!(
        "{:<18} {phase:<7} {step:>9} {accuracy:>9}  {source:<8} {ready}",
        job.name_any()
    );
    line.chars().take(72).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_fits_80_columns_with_its_time() -> Result {
        let job =
            serde_saphyr::from_str::<CurriculumJob>(include_str!("../../../../config/samples/digits-uniform.yaml"))?;
        let line = line(&job);
        assert_eq!(
            line,
            "digits-uniform     -               -         -  -        Accepted"
        );
        assert!(line.len() + 8 <= 80);
        Ok(())
    }
}
