//! The sampler's metrics for Prometheus.

use prometheus::{Gauge, GaugeVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use super::contract::MetricPoint;

/// Handles of the metrics; all are of one attempt at one phase, so they carry no labels of it.
#[derive(Clone, Debug)]
pub struct Meters {
    /// First step of the phase.
    pub start_step: IntGauge,
    /// First step after the phase.
    pub end_step: IntGauge,
    /// First step that was not handed out.
    pub served_step: IntGauge,
    /// 1 while all rows are equally likely because the score index cannot be used.
    pub index_unusable: IntGauge,
    /// Rows handed out, those asked for again included.
    pub rows: IntCounter,
    /// Requests beyond a step that was not handed out yet.
    pub holes: IntCounter,
    /// Sessions that were opened.
    pub sessions: IntCounter,
    /// Refused requests.
    pub refused: IntCounter,
    /// Reported values by what became of them.
    pub values: IntCounterVec,
    /// Failures to write a file, by file.
    pub write_failures: IntCounterVec,
    /// 1 while the score store does not answer.
    pub store_away: IntGauge,
    reported: GaugeVec,
    reported_group: GaugeVec,
    reported_step: Gauge,
}

impl Meters {
    /// Makes the metrics and registers them.
    ///
    /// # Errors
    /// When the registry holds one of the names already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauge = |name: &str, help: &str| added(registry, IntGauge::new(name, help));
        let counter = |name: &str, help: &str| added(registry, IntCounter::new(name, help));
        let counters =
            |name: &str, help: &str, label: &str| added(registry, IntCounterVec::new(Opts::new(name, help), &[label]));
        let reported =
            |name: &str, help: &str, labels: &[&str]| added(registry, GaugeVec::new(Opts::new(name, help), labels));
        Ok(Self {
            start_step: gauge("curriculum_sampler_start_step", "First step of the phase.")?,
            end_step: gauge("curriculum_sampler_end_step", "First step after the phase.")?,
            served_step: gauge(
                "curriculum_sampler_served_step",
                "First step that was not handed out to every rank.",
            )?,
            index_unusable: gauge(
                "curriculum_sampler_index_unusable",
                "1 while all rows are equally likely because the score index cannot be used.",
            )?,
            store_away: gauge(
                "curriculum_sampler_store_away",
                "1 while the score store does not answer and rows come from the copy of its index.",
            )?,
            rows: counter(
                "curriculum_sampler_rows_total",
                "Rows handed out, those asked for again included.",
            )?,
            holes: counter(
                "curriculum_sampler_holes_total",
                "Requests beyond a step that was not handed out yet.",
            )?,
            sessions: counter("curriculum_sampler_sessions_total", "Sessions that ranks opened.")?,
            refused: counter(
                "curriculum_sampler_refused_total",
                "Requests refused with status 400, 404 or 409.",
            )?,
            values: counters(
                "curriculum_sampler_values_total",
                "Reported values by what became of them.",
                "outcome",
            )?,
            write_failures: counters(
                "curriculum_sampler_write_failures_total",
                "Files that could not be written.",
                "file",
            )?,
            reported: reported(
                "curriculum_sampler_reported",
                "Latest value that the trainer reported.",
                &["metric"],
            )?,
            reported_group: reported(
                "curriculum_sampler_reported_group",
                "Latest value that the trainer reported of a group.",
                &["metric", "group"],
            )?,
            reported_step: added(
                registry,
                Gauge::new(
                    "curriculum_sampler_reported_step",
                    "Latest step that the trainer reported about.",
                ),
            )?,
        })
    }

    /// Shows a metric's latest value.
    pub fn show(&self, name: &str, point: MetricPoint) {
        self.reported.with_label_values(&[name]).set(point.value);
        #[expect(
            clippy::cast_precision_loss,
            reason = "Prometheus knows no integers; steps stay far below 2⁵³"
        )]
        self.reported_step.set(self.reported_step.get().max(point.step as f64));
    }

    /// Shows a group's latest value.
    pub fn show_group(&self, group: u32, name: &str, point: MetricPoint) {
        self.reported_group
            .with_label_values(&[name, &group.to_string()])
            .set(point.value);
    }
}

fn added<C: prometheus::core::Collector + Clone + 'static>(
    registry: &Registry,
    collector: prometheus::Result<C>,
) -> prometheus::Result<C> {
    let collector = collector?;
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}
