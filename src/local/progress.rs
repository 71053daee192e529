//! What a run looks like while it runs: a line for everything that happens, and a bar for the phase that trains.

use std::path::Path;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use super::process::now;
use crate::api::job::CurriculumJob;
use crate::api::names::LABEL_COMPONENT;
use crate::api::status::{CurriculumJobStatus, VisitOutcome};
use crate::controller::actions::Event;
use crate::controller::evidence::is_live;

/// Time between two lines of progress where no bar can be drawn.
const LINES: Duration = Duration::from_secs(5);
const WIDTH: usize = 80;
/// Characters of a message that are shown: its begin says what happened, its end why.
const MESSAGE: usize = 220;

pub(super) struct Progress {
    began: Timestamp,
    bar: ProgressBar,
    /// What was said last of the stage, so that it is said once.
    said: String,
    /// When the last line of progress was printed.
    line: Timestamp,
    step: i64,
    /// Ends of phases that were said.
    ended: usize,
    /// What was said last of what is in the way.
    obstacle: String,
}

impl Progress {
    pub(super) fn new(job: &CurriculumJob, folder: &Path) -> Self {
        let progress = Self {
            began: now(),
            bar: ProgressBar::no_length(),
            said: String::new(),
            line: now(),
            step: 0,
            obstacle: String::new(),
            ended: job.status.as_ref().map_or(0, |status| status.visits.len()),
        };
        if let Ok(style) = ProgressStyle::with_template("{elapsed:>7}  {prefix} {bar:24} {pos}/{len}  {wide_msg}") {
            progress.bar.set_style(style.progress_chars("█▉▊▋▌▍▎▏ "));
        }
        let goes_on = job.status.as_ref().is_some_and(|status| status.start_time.is_some());
        let verb = if goes_on { "goes on" } else { "begins" };
        progress.say(&format!("{} {verb} in {}", job.name_any(), folder.display()));
        progress
    }

    /// One line, with the time since the begin.
    pub(super) fn say(&self, text: &str) {
        let seconds = now().duration_since(self.began).as_secs_f64();
        self.bar.suspend(|| println!("{seconds:6.1}s  {text}"));
    }

    /// An event of the run.
    pub(super) fn event(&self, event: &Event) {
        self.say(&short(&format!("{}: {}", event.reason.as_str(), event.note)));
    }

    /// Says what has changed.
    pub(super) fn show<'a>(&mut self, job: &CurriculumJob, jobs: impl Iterator<Item = &'a Job>) {
        let Some(status) = &job.status else { return };
        for visit in status.visits.iter().skip(self.ended) {
            let steps = format!("steps {}..{}", visit.start_step, visit.end_step);
            self.say(&format!(
                "phase '{}' {}: {steps}  {}",
                visit.phase_name,
                outcome(visit.outcome),
                metrics(status)
            ));
            if let Some(decision) = &visit.decision {
                self.say(&short(&format!("  because {}", decision.because)));
            }
        }
        self.ended = status.visits.len();
        self.obstacle(status);
        match &status.scores {
            None => self.scoring(status, jobs),
            Some(_) => self.training(status),
        }
    }

    /// What is in the way, such as a sampler that does not start.
    fn obstacle(&mut self, status: &CurriculumJobStatus) {
        let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready");
        let message = ready.filter(|ready| ready.status == "False" && status.completion_time.is_none());
        let message = message.map(|ready| short(&format!("{}: {}", ready.reason, ready.message)));
        let message = message.unwrap_or_default();
        if message != self.obstacle && !message.is_empty() {
            self.say(&message);
        }
        self.obstacle = message;
    }

    fn scoring<'a>(&mut self, status: &CurriculumJobStatus, jobs: impl Iterator<Item = &'a Job>) {
        let mut live = jobs.filter(|job| is_live(job));
        let Some(job) = live.next() else { return };
        let spec = job.spec.clone().unwrap_or_default();
        let done = job.status.as_ref().and_then(|status| status.succeeded).unwrap_or(0);
        let text = match job.labels().get(LABEL_COMPONENT).map(String::as_str) {
            Some("inspect") => "inspecting the data".to_owned(),
            Some("index") => "making the score index".to_owned(),
            Some(verb) => {
                let rows = status.dataset.as_ref().map_or(0, |dataset| dataset.rows);
                let shards = spec.completions.unwrap_or(1);
                format!("{verb}: {done} of {shards} shards of {rows} rows")
            }
            None => return,
        };
        if text != self.said {
            self.say(&text);
            self.said = text;
        }
    }

    fn training(&mut self, status: &CurriculumJobStatus) {
        let (Some(current), Some(progress)) = (&status.current_visit, &status.progress) else {
            return;
        };
        let length = u64::try_from(current.end_step - current.start_step).unwrap_or(0);
        let done = u64::try_from((progress.step - current.start_step).max(0)).unwrap_or(0);
        let metrics = metrics(status);
        if self.said != current.phase_name {
            self.said.clone_from(&current.phase_name);
            self.bar.set_prefix(current.phase_name.clone());
            self.line = now();
        }
        self.bar.set_length(length);
        self.bar.set_position(done.min(length));
        self.bar.set_message(metrics.clone());
        let due = now().duration_since(self.line).as_secs_f64() >= LINES.as_secs_f64();
        if self.bar.is_hidden() && due && progress.step != self.step {
            let line = format!("{} {done}/{length}  {metrics}", current.phase_name);
            self.say(&line.chars().take(WIDTH - 9).collect::<String>());
            (self.line, self.step) = (now(), progress.step);
        }
    }

    /// Takes the bar away.
    pub(super) fn stop(&self) {
        self.bar.finish_and_clear();
    }
}

fn outcome(outcome: VisitOutcome) -> &'static str {
    match outcome {
        VisitOutcome::Completed => "completed",
        VisitOutcome::Advanced => "ended early",
        VisitOutcome::Regressed => "went back",
        VisitOutcome::Failed => "failed",
    }
}

fn metrics(status: &CurriculumJobStatus) -> String {
    let metrics = status
        .metrics
        .iter()
        .map(|metric| format!("{} {}", metric.name, number(&metric.value)));
    metrics.collect::<Vec<_>>().join("  ")
}

/// A decimal number with four digits after its point.
pub(super) fn number(text: &str) -> String {
    match text.parse::<f64>() {
        Ok(value) if text.len() > 8 => format!("{value:.4}"),
        _ => text.to_owned(),
    }
}

/// A message without its middle, if it is long, and in one line.
pub(super) fn short(text: &str) -> String {
    let text: Vec<char> = text.split_whitespace().collect::<Vec<_>>().join(" ").chars().collect();
    if text.len() <= MESSAGE {
        return text.into_iter().collect();
    }
    let (begin, end) = (&text[..MESSAGE / 2], &text[text.len() - MESSAGE / 2..]);
    format!(
        "{} … {}",
        begin.iter().collect::<String>(),
        end.iter().collect::<String>()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_keeps_its_begin_and_its_end() {
        assert_eq!(short("a  b\nc"), "a b c");
        let long = short(&format!("begin{}end", "ä".repeat(1000)));
        assert!(long.starts_with("beginä") && long.ends_with("äend"), "{long}");
        assert_eq!(long.chars().count(), MESSAGE + 3);
    }
}
