//! Metrics of the controller. No label carries a job's name: their number must not grow with the cluster.

use std::time::Duration;

use kube::runtime::reflector::Store;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::actions::Milestone;
use super::lease::Leadership;
use super::stored_job::StoredJob;
use crate::api::status::Stage;

/// Counters of the controller, registered once.
#[derive(Clone, Debug)]
pub struct Metrics {
    reconciles: IntCounter,
    errors: IntCounterVec,
    duration: Histogram,
    fallbacks: IntCounterVec,
    transitions: IntCounterVec,
    writes: IntCounterVec,
}

impl Metrics {
    /// Registers the controller's metrics.
    ///
    /// # Errors
    /// When a metric of one of these names is registered already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counters = |name: &str, help: &str, labels: &[&str]| IntCounterVec::new(Opts::new(name, help), labels);
        let buckets = prometheus::exponential_buckets(0.001, 4.0, 8)?;
        let metrics = Self {
            reconciles: IntCounter::new(
                "curriculum_reconcile_total",
                "Reconciles that ended, with an error or without.",
            )?,
            errors: counters(
                "curriculum_reconcile_errors_total",
                "Reconciles that ended with an error.",
                &["category"],
            )?,
            duration: Histogram::with_opts(
                HistogramOpts::new("curriculum_reconcile_duration_seconds", "Time that a reconcile took.")
                    .buckets(buckets),
            )?,
            fallbacks: counters(
                "curriculum_fallbacks_total",
                "Runs that went on without the scores they asked for.",
                &["reason", "source"],
            )?,
            transitions: counters(
                "curriculum_phase_transitions_total",
                "Ends of attempts at a phase: Completed, Retried, or Failed for good.",
                &["outcome"],
            )?,
            writes: counters(
                "curriculum_api_writes_total",
                "Write requests to the API server.",
                &["verb", "resource"],
            )?,
        };
        registry.register(Box::new(metrics.reconciles.clone()))?;
        registry.register(Box::new(metrics.duration.clone()))?;
        for vec in [
            &metrics.errors,
            &metrics.fallbacks,
            &metrics.transitions,
            &metrics.writes,
        ] {
            registry.register(Box::new(vec.clone()))?;
        }
        Ok(metrics)
    }

    pub(crate) fn reconciled(&self, took: Duration) {
        self.reconciles.inc();
        self.duration.observe(took.as_secs_f64());
    }

    pub(crate) fn failed(&self, category: &str) {
        self.errors.with_label_values(&[category]).inc();
    }

    pub(crate) fn wrote(&self, verb: &str, resource: &str) {
        self.writes.with_label_values(&[verb, resource]).inc();
    }

    pub(crate) fn reached(&self, milestone: Milestone) {
        match milestone {
            Milestone::Fallback { reason, source } => {
                self.fallbacks
                    .with_label_values(&[reason.as_str(), &format!("{source:?}")])
                    .inc();
            }
            Milestone::PhaseCompleted => self.transitions.with_label_values(&["Completed"]).inc(),
            Milestone::AttemptFailed => self.transitions.with_label_values(&["Retried"]).inc(),
            Milestone::AttemptInterrupted => self.transitions.with_label_values(&["Interrupted"]).inc(),
            Milestone::PhaseFailed => self.transitions.with_label_values(&["Failed"]).inc(),
        }
    }
}

/// `curriculum_jobs{state}`, counted in the store when it is asked for: nothing to keep in step, nothing to get wrong.
#[derive(Clone)]
pub(crate) struct Jobs {
    store: Store<StoredJob>,
    gauge: IntGaugeVec,
}

impl Jobs {
    /// Registers the gauge.
    ///
    /// # Errors
    /// When a metric of this name is registered already.
    pub(crate) fn register(registry: &Registry, store: Store<StoredJob>) -> Result<(), prometheus::Error> {
        let gauge = IntGaugeVec::new(Opts::new("curriculum_jobs", "CurriculumJobs by state."), &["state"])?;
        registry.register(Box::new(Self { store, gauge }))
    }
}

impl Collector for Jobs {
    fn desc(&self) -> Vec<&Desc> {
        self.gauge.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let jobs = self.store.state();
        let stages: Vec<Stage> = jobs.iter().filter_map(|job| job.stage()).collect();
        for stage in Stage::ALL {
            let count = stages.iter().filter(|other| **other == stage).count();
            self.gauge
                .with_label_values(&[stage.as_str()])
                .set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        self.gauge.collect()
    }
}

/// `curriculum_leader`: asked for when it is read.
#[derive(Clone)]
pub(crate) struct Leader {
    leadership: Leadership,
    gauge: IntGauge,
}

impl Leader {
    /// Registers the gauge.
    ///
    /// # Errors
    /// When a metric of this name is registered already.
    pub(crate) fn register(registry: &Registry, leadership: Leadership) -> Result<(), prometheus::Error> {
        let gauge = IntGauge::new("curriculum_leader", "1 while this process acts, 0 while it stands by.")?;
        registry.register(Box::new(Self { leadership, gauge }))
    }
}

impl Collector for Leader {
    fn desc(&self) -> Vec<&Desc> {
        self.gauge.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.gauge.set(i64::from(self.leadership.is_held()));
        self.gauge.collect()
    }
}
