//! What a run came to: numbers for the table and curves for the picture.

use curriculum_operator::api::job::CurriculumJob;
use curriculum_operator::api::names::{LABEL_COMPONENT, LABEL_JOB};
use curriculum_operator::curriculum::order::Identity;
use curriculum_operator::curriculum::plan::Plan;
use curriculum_operator::curriculum::sampler::Sampler;
use e2e::Result;
use e2e::case::Case;
use e2e::observe::status;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::ListParams;
use serde::Deserialize;

/// Name of the metric that the demo is about.
const METRIC: &str = "test_accuracy";
/// The resource of which training pods request one.
const GPU: &str = "nvidia.com/gpu";

/// A finished run.
pub(crate) struct Outcome {
    /// Name of the CurriculumJob.
    pub(crate) name: String,
    /// Test accuracy after the last step.
    pub(crate) accuracy: f64,
    /// Steps of the whole run.
    pub(crate) steps: i64,
    /// Rows that the student saw, with repetitions.
    pub(crate) samples: i64,
    /// From the start to the end of the run, scoring included.
    pub(crate) wall_seconds: f64,
    /// GPUs requested × time, over all training pods.
    pub(crate) gpu_seconds: f64,
    /// Where the scores came from.
    pub(crate) source: String,
    /// Snapshots in the run's valid chain.
    pub(crate) snapshots: usize,
    /// Rows of the data set.
    pub(crate) rows: i64,
    /// Phases: name and first step.
    pub(crate) phases: Vec<(String, i64)>,
    /// (step, test accuracy) in the order of steps.
    pub(crate) accuracies: Vec<(f64, f64)>,
    /// (first step, rows in the pool) in the order of steps.
    pub(crate) pool: Vec<(f64, f64)>,
}

/// Reads the outcome of a run that has succeeded.
///
/// # Errors
/// When the API cannot be asked, or the run left no accuracy.
pub(crate) async fn of(case: &Case, name: &str) -> Result<Outcome> {
    let job = case.api::<CurriculumJob>().get(name).await?;
    let status = status(&job)?;
    let metric = status.metrics.iter().find(|metric| metric.name == METRIC);
    let metric = metric.ok_or_else(|| format!("{name} reported no {METRIC}"))?;
    let steps = status.visits.last().map_or(0, |visit| visit.end_step);
    let (start, end) = (status.start_time.as_ref(), status.completion_time.as_ref());
    let wall_seconds = start
        .zip(end)
        .map_or(0.0, |(start, end)| end.0.duration_since(start.0).as_secs_f64());
    Ok(Outcome {
        name: name.to_owned(),
        accuracy: metric.value.parse()?,
        steps,
        samples: steps * i64::from(job.spec.curriculum.batch_size),
        wall_seconds,
        gpu_seconds: case.pods(name, "train").await?.iter().map(gpu_seconds).sum(),
        source: status
            .scores
            .as_ref()
            .map_or_else(String::new, |scores| format!("{:?}", scores.source)),
        snapshots: case.snapshot_chain(&job).await?.len(),
        rows: status.dataset.as_ref().map_or(0, |dataset| dataset.rows),
        phases: status
            .visits
            .iter()
            .map(|visit| (visit.phase_name.clone(), visit.start_step))
            .collect(),
        accuracies: accuracies(&case.trainer_logs(name).await?),
        pool: pool(case, name).await?,
    })
}

/// The accuracies that the trainer printed as JSON lines; a step that was trained again after a failure counts once.
fn accuracies(logs: &[String]) -> Vec<(f64, f64)> {
    #[derive(Deserialize)]
    struct Point {
        step: u32,
        test_accuracy: f64,
    }
    let points = logs
        .iter()
        .flat_map(|log| log.lines())
        .filter_map(|line| serde_json::from_str::<Point>(line).ok());
    let mut points: Vec<_> = points
        .map(|point| (f64::from(point.step), point.test_accuracy))
        .collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    points.dedup_by_key(|point| point.0);
    points
}

/// Points of a phase at which the picture shows the pool.
const POINTS: u64 = 100;

/// Pool sizes from the plans that the samplers read.
async fn pool(case: &Case, name: &str) -> Result<Vec<(f64, f64)>> {
    let selector = format!("{LABEL_JOB}={name},{LABEL_COMPONENT}=plan");
    let mut points = Vec::new();
    for map in case
        .api::<ConfigMap>()
        .list(&ListParams::default().labels(&selector))
        .await?
    {
        let text = map
            .data
            .as_ref()
            .and_then(|data| data.get("plan.json"))
            .ok_or("a plan without plan.json")?;
        let plan: Plan = serde_json::from_str(text)?;
        let (start, end) = (plan.start_step(), plan.total_steps());
        let sampler = Sampler::new(plan)?;
        for step in (start..end).step_by((end - start).div_ceil(POINTS).max(1) as usize) {
            points.push((step as f64, sampler.look(step, &Identity)?.own_rows() as f64));
        }
    }
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    points.dedup_by_key(|point| point.0);
    Ok(points)
}

/// GPUs that the pod requested × the time from its start to the end of its last container.
fn gpu_seconds(pod: &Pod) -> f64 {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let requests = containers.filter_map(|container| container.resources.as_ref()?.requests.as_ref()?.get(GPU));
    let gpus: f64 = requests.filter_map(|quantity| quantity.0.parse::<f64>().ok()).sum();
    let status = pod.status.clone().unwrap_or_default();
    let ends = status.container_statuses.iter().flatten().filter_map(|container| {
        container
            .state
            .as_ref()?
            .terminated
            .as_ref()?
            .finished_at
            .as_ref()
            .map(|time| time.0)
    });
    let span = status.start_time.zip(ends.max());
    gpus * span.map_or(0.0, |(start, end)| end.duration_since(start.0).as_secs_f64())
}

/// The result, one column per run.
pub(crate) fn table(outcomes: &[Outcome]) -> String {
    let row = |title: &str, cell: &dyn Fn(&Outcome) -> String| {
        let cells: String = outcomes
            .iter()
            .map(|outcome| format!("{:>20}", cell(outcome)))
            .collect();
        format!("{title:<26}{cells}\n")
    };
    let mut text = row("RESULT", &|o| o.name.clone());
    text += &row("test accuracy", &|o| format!("{:.3}", o.accuracy));
    text += &row("steps", &|o| o.steps.to_string());
    text += &row("samples", &|o| o.samples.to_string());
    text += &row("wall time", &|o| format!("{:.0} s", o.wall_seconds));
    text += &row("GPUs requested x time", &|o| format!("{:.0} GPU s", o.gpu_seconds));
    text += &row("scores", &|o| o.source.clone());
    text += &row("snapshots, chain valid", &|o| o.snapshots.to_string());
    if let [curriculum, uniform] = outcomes {
        let difference = curriculum.accuracy - uniform.accuracy;
        text += &format!(
            "\nThe curriculum's test accuracy is {:.1} points ",
            100.0 * difference.abs()
        );
        text += if difference >= 0.0 { "higher.\n" } else { "lower.\n" };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_was_trained_again_counts_once() {
        let logs = ["{\"step\": 100, \"test_accuracy\": 0.5}\nstarting\n".to_owned()];
        let again = "{\"step\": 200, \"test_accuracy\": 0.75}\n{\"step\": 100, \"test_accuracy\": 0.5}\n".to_owned();
        assert_eq!(
            accuracies(&[logs.as_slice(), &[again]].concat()),
            [(100.0, 0.5), (200.0, 0.75)]
        );
    }
}
