//! What a run of the demo came to: numbers for the table and curves for the picture.

use serde::Deserialize;

use crate::api::job::CurriculumJob;
use crate::curriculum::order::Identity;
use crate::curriculum::plan::Plan;
use crate::curriculum::sampler::Sampler;

/// Name of the metric that the demo is about.
const METRIC: &str = "test_accuracy";
/// Points of a phase at which the picture shows the pool.
const POINTS: u64 = 100;

/// A finished run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Name of the CurriculumJob.
    pub name: String,
    /// Test accuracy after the last step.
    pub accuracy: f64,
    /// Steps of the whole run.
    pub steps: i64,
    /// Rows that the student saw, with repetitions.
    pub samples: i64,
    /// From the start to the end of the run, scoring included.
    pub wall_seconds: f64,
    /// GPUs requested × time, over all training pods; `None`: none were requested.
    pub gpu_seconds: Option<f64>,
    /// Where the scores came from.
    pub source: String,
    /// Snapshots in the run's valid chain.
    pub snapshots: usize,
    /// Rows of the data set.
    pub rows: i64,
    /// Phases: name and first step.
    pub phases: Vec<(String, i64)>,
    /// (step, test accuracy) in the order of steps.
    pub accuracies: Vec<(f64, f64)>,
    /// (first step, rows in the pool) in the order of steps.
    pub pool: Vec<(f64, f64)>,
}

impl Outcome {
    /// What a run's status, logs of trainers and plans tell.
    ///
    /// # Errors
    /// When it left no accuracy, or a plan is none.
    pub fn new(job: &CurriculumJob, logs: &[String], plans: &[String]) -> Result<Self, String> {
        let name = job.metadata.name.clone().unwrap_or_default();
        let status = job.status.clone().unwrap_or_default();
        let metric = status.metrics.iter().find(|metric| metric.name == METRIC);
        let metric = metric.ok_or_else(|| format!("{name} reported no {METRIC}"))?;
        let accuracy = metric
            .value
            .parse()
            .map_err(|error| format!("{name}: {METRIC}: {error}"))?;
        let steps = status.visits.last().map_or(0, |visit| visit.end_step);
        let (start, end) = (status.start_time.as_ref(), status.completion_time.as_ref());
        Ok(Self {
            accuracy,
            steps,
            samples: steps * i64::from(job.spec.curriculum.batch_size),
            wall_seconds: start
                .zip(end)
                .map_or(0.0, |(start, end)| end.0.duration_since(start.0).as_secs_f64()),
            gpu_seconds: None,
            source: status
                .scores
                .as_ref()
                .map_or_else(String::new, |scores| format!("{:?}", scores.source)),
            snapshots: 0,
            rows: status.dataset.as_ref().map_or(0, |dataset| dataset.rows),
            phases: status
                .visits
                .iter()
                .map(|visit| (visit.phase_name.clone(), visit.start_step))
                .collect(),
            accuracies: accuracies(logs),
            pool: pool(plans).map_err(|error| format!("{name}: {error}"))?,
            name,
        })
    }
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

/// Pool sizes from the plans that the samplers read.
#[expect(clippy::cast_precision_loss, reason = "points of a picture")]
fn pool(plans: &[String]) -> Result<Vec<(f64, f64)>, String> {
    let mut points = Vec::new();
    for text in plans {
        let plan: Plan = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let (start, end) = (plan.start_step(), plan.total_steps());
        let sampler = Sampler::new(plan).map_err(|error| error.to_string())?;
        let every = (end - start).div_ceil(POINTS).max(1);
        let mut step = start;
        while step < end {
            let look = sampler.look(step, &Identity).map_err(|error| error.to_string())?;
            points.push((step as f64, look.own_rows() as f64));
            step += every;
        }
    }
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    points.dedup_by_key(|point| point.0);
    Ok(points)
}

/// The result, one column per run.
pub fn table(outcomes: &[Outcome]) -> String {
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
    if outcomes.iter().any(|outcome| outcome.gpu_seconds.is_some()) {
        text += &row("GPUs requested x time", &|o| {
            format!("{:.0} GPU s", o.gpu_seconds.unwrap_or(0.0))
        });
    }
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
