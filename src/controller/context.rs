//! What every reconcile has at hand.

use super::decide::Settings;
use super::lease::Leadership;
use super::memory::Memory;
use super::metrics::Metrics;

/// Shared by all reconciles of one process.
pub(crate) struct Context<C> {
    pub(crate) cluster: C,
    pub(crate) settings: Settings,
    pub(crate) metrics: Metrics,
    pub(crate) memory: Memory,
    pub(crate) leadership: Leadership,
}
