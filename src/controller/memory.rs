//! What the process remembers of each CurriculumJob between reconciles. Losing it costs a little time and nothing else:
//! the run's memory is its status.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::runtime::watcher::DefaultBackoff;

use super::observed::{About, Warning};

/// The wait when the back-off gives none, which it never does.
const LAST_RETRY: Duration = Duration::from_secs(30);

/// Longest wait for a store to show an object that was made: then it was deleted again before anybody saw it.
const ECHO: SignedDuration = SignedDuration::from_secs(10);

/// First wait for a store that is behind. The watch event that it waits for triggers a reconcile too; this is the net below it.
const CATCH_UP: Duration = Duration::from_millis(200);

#[derive(Default)]
struct Entry {
    /// Resource version of our own last write, and when it was made.
    written: Option<(u64, Timestamp)>,
    /// Turns in a row that could only wait for a newer view.
    behind: u32,
    /// Waits after errors; absent after a success.
    backoff: Option<DefaultBackoff>,
    /// Since when the awaited Job is stuck.
    stuck: Option<Timestamp>,
    /// What was last heard of a silent object: which, when, and the warnings about it.
    heard: Option<(About, Timestamp, Vec<Warning>)>,
    /// UIDs of objects that were made for it and that no store has shown since, with the time.
    unseen: Vec<(String, Timestamp)>,
}

/// By UID of the CurriculumJob.
#[derive(Default)]
pub(crate) struct Memory(Mutex<HashMap<String, Entry>>);

impl Memory {
    fn entries(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        // Every entry is whole at any time, so a panic elsewhere has broken nothing.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers the version that a write of ours made.
    pub(crate) fn wrote(&self, uid: &str, resource_version: Option<&str>, now: Timestamp) {
        let version = resource_version.and_then(|text| text.parse().ok());
        self.entries().entry(uid.to_owned()).or_default().written = version.map(|version| (version, now));
    }

    /// Whether this version is older than our own last write, so that the store has to catch up. Versions compare as numbers (KEP-5504).
    /// After a while an older version is taken as it is: then the storage has been restored to an older state.
    pub(crate) fn is_stale(&self, uid: &str, resource_version: Option<&str>, now: Timestamp) -> bool {
        let written = self.entries().get(uid).and_then(|entry| entry.written);
        let seen = resource_version.and_then(|text| text.parse::<u64>().ok());
        matches!((written, seen), (Some((written, at)), Some(seen)) if seen < written && is_within(ECHO, at, now))
    }

    /// The wait for a newer view: from 0.2 s, twice as long each time up to 12.8 s, so that a store that never catches up makes no
    /// loop at full speed. As a rule the event that it waits for comes first.
    pub(crate) fn behind(&self, uid: &str) -> Duration {
        let mut entries = self.entries();
        let behind = &mut entries.entry(uid.to_owned()).or_default().behind;
        let wait = CATCH_UP.saturating_mul(1 << (*behind).min(6));
        *behind = behind.saturating_add(1);
        wait
    }

    /// A turn came to its end on a view that was new enough.
    pub(crate) fn caught_up(&self, uid: &str) {
        if let Some(entry) = self.entries().get_mut(uid) {
            entry.behind = 0;
        }
    }

    /// Remembers an object that was just made for the CurriculumJob.
    pub(crate) fn made(&self, uid: &str, object: &str, now: Timestamp) {
        let mut entries = self.entries();
        entries
            .entry(uid.to_owned())
            .or_default()
            .unseen
            .push((object.to_owned(), now));
    }

    /// Whether the stores do not show everything yet that was made. A decision now would make it a second time; the API
    /// server would refuse that, but it would have to be asked.
    pub(crate) fn awaits_echo(&self, uid: &str, now: Timestamp, is_seen: impl Fn(&str) -> bool) -> bool {
        self.entries().get_mut(uid).is_some_and(|entry| {
            entry
                .unseen
                .retain(|(object, made)| !is_seen(object) && is_within(ECHO, *made, now));
            !entry.unseen.is_empty()
        })
    }

    /// The wait before the next try: from 0.8 s, twice as long each time up to 30 s, with jitter, without end.
    pub(crate) fn failed(&self, uid: &str) -> Duration {
        let mut entries = self.entries();
        let backoff = &mut entries.entry(uid.to_owned()).or_default().backoff;
        backoff.get_or_insert_default().next().unwrap_or(LAST_RETRY)
    }

    /// Starts the waits anew.
    pub(crate) fn succeeded(&self, uid: &str) {
        if let Some(entry) = self.entries().get_mut(uid) {
            entry.backoff = None;
        }
    }

    /// Since when the awaited Job is stuck, if it is. Its pods do not tell: they know when they were placed, not when a pull first
    /// failed. After a restart of the process the wait begins anew.
    pub(crate) fn stuck(&self, uid: &str, is_stuck: bool, now: Timestamp) -> Option<Timestamp> {
        let mut entries = self.entries();
        if !is_stuck {
            if let Some(entry) = entries.get_mut(uid) {
                entry.stuck = None;
            }
            return None;
        }
        let since = &mut entries.entry(uid.to_owned()).or_default().stuck;
        // A clock that was set back must not make the wait longer.
        *since = Some(since.map_or(now, |since| since.min(now)));
        *since
    }

    /// The warnings about that object, unless they are older than the interval.
    pub(crate) fn heard(&self, uid: &str, about: &About, now: Timestamp, interval: Duration) -> Option<Vec<Warning>> {
        let entries = self.entries();
        let (object, at, warnings) = entries.get(uid)?.heard.as_ref()?;
        let fresh = is_within(SignedDuration::try_from(interval).unwrap_or_default(), *at, now);
        (fresh && object == about).then(|| warnings.clone())
    }

    /// Remembers the warnings about an object.
    pub(crate) fn hears(&self, uid: &str, about: About, now: Timestamp, warnings: Vec<Warning>) {
        self.entries().entry(uid.to_owned()).or_default().heard = Some((about, now, warnings));
    }

    /// Forgets the CurriculumJobs that are gone, once there are many of them.
    pub(crate) fn prune(&self, known: usize, all: impl FnOnce() -> HashSet<String>) {
        let mut entries = self.entries();
        if entries.len() > 2 * known + 64 {
            let all = all();
            entries.retain(|uid, _| all.contains(uid));
        }
    }
}

/// Whether less than that has passed since. A clock that was set back makes no wait longer.
fn is_within(wait: SignedDuration, since: Timestamp, now: Timestamp) -> bool {
    let passed = now.duration_since(since);
    SignedDuration::ZERO <= passed && passed < wait
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::test_support::at;

    #[test]
    fn a_version_older_than_our_own_write_is_stale_for_a_while() {
        let memory = Memory::default();
        assert!(!memory.is_stale("a", Some("1"), at(0)));
        memory.wrote("a", Some("99"), at(0));
        assert!(
            memory.is_stale("a", Some("9"), at(9)),
            "versions are numbers, not texts"
        );
        assert!(!memory.is_stale("a", Some("99"), at(0)));
        assert!(!memory.is_stale("a", Some("100"), at(0)));
        assert!(!memory.is_stale("b", Some("1"), at(0)));
        assert!(
            !memory.is_stale("a", Some("not a number"), at(0)),
            "then the API server decides"
        );
        assert!(!memory.is_stale("a", Some("9"), at(10)), "the storage was restored");
        assert!(!memory.is_stale("a", Some("9"), at(-1)), "the clock was set back");
    }

    #[test]
    fn waits_grow_and_start_anew_after_a_success() {
        let memory = Memory::default();
        let first = memory.failed("a");
        for _ in 0..10 {
            memory.failed("a");
        }
        assert!(memory.failed("a") > first * 4);
        assert!(memory.failed("b") < Duration::from_secs(2), "each object for itself");
        memory.succeeded("a");
        assert!(memory.failed("a") < Duration::from_secs(2));
    }

    #[test]
    fn a_view_that_stays_old_is_looked_at_less_and_less() {
        let memory = Memory::default();
        let waits: Vec<_> = (0..9).map(|_| memory.behind("a").as_millis()).collect();
        assert_eq!(waits, [200, 400, 800, 1600, 3200, 6400, 12_800, 12_800, 12_800]);
        assert_eq!(memory.behind("b").as_millis(), 200, "each object for itself");
        memory.caught_up("a");
        assert_eq!(memory.behind("a").as_millis(), 200);
    }

    #[test]
    fn being_stuck_counts_from_its_first_sight() {
        let memory = Memory::default();
        assert_eq!(memory.stuck("a", false, at(0)), None);
        assert_eq!(memory.stuck("a", true, at(300)), Some(at(300)));
        assert_eq!(memory.stuck("a", true, at(330)), Some(at(300)));
        assert_eq!(memory.stuck("a", false, at(331)), None);
        assert_eq!(memory.stuck("a", true, at(332)), Some(at(332)));
    }

    #[test]
    fn warnings_are_asked_for_once_per_interval_and_object() {
        let memory = Memory::default();
        let half_a_minute = Duration::from_secs(30);
        let warning = Warning {
            reason: "FailedCreate".to_owned(),
            message: "exceeded quota".to_owned(),
            about: "train".to_owned(),
            at: at(0),
        };
        let (job, pod) = (About::Object("job".to_owned()), About::Object("pod".to_owned()));
        memory.hears("a", job.clone(), at(0), vec![warning.clone()]);
        assert_eq!(memory.heard("a", &job, at(29), half_a_minute), Some(vec![warning]));
        assert_eq!(memory.heard("a", &pod, at(29), half_a_minute), None);
        assert_eq!(memory.heard("a", &job, at(30), half_a_minute), None);
    }

    #[test]
    fn what_was_made_is_waited_for_until_it_is_seen_or_time_is_up() {
        let memory = Memory::default();
        assert!(!memory.awaits_echo("a", at(0), |_| false));
        memory.made("a", "x", at(0));
        memory.made("a", "y", at(1));
        assert!(memory.awaits_echo("a", at(1), |_| false));
        assert!(!memory.awaits_echo("b", at(1), |_| false), "each object for itself");
        assert!(
            memory.awaits_echo("a", at(2), |object| object == "x"),
            "y is still unseen"
        );
        assert!(memory.awaits_echo("a", at(3), |_| false), "x was seen once and for all");
        assert!(!memory.awaits_echo("a", at(11), |_| false), "y never came");
    }

    #[test]
    fn the_gone_are_forgotten_once_there_are_many() {
        let memory = Memory::default();
        for uid in 0..100 {
            memory.wrote(&uid.to_string(), Some("1"), at(0));
        }
        memory.prune(1, || HashSet::from(["7".to_owned()]));
        assert_eq!(memory.entries().keys().collect::<Vec<_>>(), ["7"]);
    }
}
