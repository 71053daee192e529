//! What to do about a Lease as it was found. No clock but what is passed in.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;

use super::DURATION;

/// What is to be done.
#[derive(Debug)]
pub(super) enum Step {
    /// There is no Lease: make it.
    Create(Box<Lease>),
    /// It is ours, or free to be taken: write this over it.
    Replace(Box<Lease>),
    /// Somebody else has it, for at most so long.
    Wait(Duration),
}

/// Remembers when the Lease last changed, by the process's own clock.
pub(super) struct Elector {
    identity: String,
    seen: Option<(String, Duration)>,
}

impl Elector {
    pub(super) fn new(identity: &str) -> Self {
        Self {
            identity: identity.to_owned(),
            seen: None,
        }
    }

    /// Decides on a Lease that was read; `now` is the process's own clock, `wall` what is written for people.
    pub(super) fn look(&mut self, found: Option<&Lease>, now: Duration, wall: Timestamp) -> Step {
        let Some(lease) = found else {
            return Step::Create(Box::new(self.taken(&Lease::default(), wall)));
        };
        let spec = lease.spec.clone().unwrap_or_default();
        match spec.holder_identity.as_deref() {
            Some(holder) if holder == self.identity => {
                let mut renewed = lease.clone();
                let spec = renewed.spec.get_or_insert_default();
                spec.renew_time = Some(MicroTime(wall));
                spec.lease_duration_seconds = i32::try_from(DURATION.as_secs()).ok();
                Step::Replace(Box::new(renewed))
            }
            None | Some("") => Step::Replace(Box::new(self.taken(lease, wall))),
            Some(_) => {
                let version = lease.metadata.resource_version.clone().unwrap_or_default();
                let since = match &self.seen {
                    Some((seen, since)) if *seen == version => *since,
                    _ => {
                        self.seen = Some((version, now));
                        now
                    }
                };
                let seconds = spec
                    .lease_duration_seconds
                    .and_then(|seconds| u64::try_from(seconds).ok());
                let duration = seconds.map_or(DURATION, Duration::from_secs);
                match duration.saturating_sub(now.saturating_sub(since)) {
                    Duration::ZERO => Step::Replace(Box::new(self.taken(lease, wall))),
                    rest => Step::Wait(rest),
                }
            }
        }
    }

    fn taken(&self, lease: &Lease, wall: Timestamp) -> Lease {
        let before = lease.spec.clone().unwrap_or_default();
        Lease {
            metadata: lease.metadata.clone(),
            spec: Some(LeaseSpec {
                holder_identity: Some(self.identity.clone()),
                lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
                acquire_time: Some(MicroTime(wall)),
                renew_time: Some(MicroTime(wall)),
                lease_transitions: Some(before.lease_transitions.map_or(0, |count| count.saturating_add(1))),
                ..before
            }),
        }
    }
}

/// The Lease without its holder, if that is us.
pub(super) fn released(mut lease: Lease, identity: &str, wall: Timestamp) -> Option<Lease> {
    let spec = lease.spec.as_mut()?;
    (spec.holder_identity.as_deref() == Some(identity)).then_some(())?;
    spec.holder_identity = Some(String::new());
    spec.renew_time = Some(MicroTime(wall));
    Some(lease)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::RENEW;
    use super::*;
    use crate::controller::test_support::at;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn stored(step: Step, version: u64) -> Lease {
        let (Step::Create(lease) | Step::Replace(lease)) = step else {
            panic!("{step:?}")
        };
        let mut lease = *lease;
        lease.metadata.resource_version = Some(version.to_string());
        lease
    }

    fn holder(lease: &Lease) -> &str {
        lease.spec.as_ref().unwrap().holder_identity.as_deref().unwrap()
    }

    #[test]
    fn a_lease_is_made_renewed_taken_over_and_set_free() {
        let (mut a, mut b) = (Elector::new("a"), Elector::new("b"));
        let lease = stored(a.look(None, seconds(0), at(0)), 1);
        assert_eq!(holder(&lease), "a");
        let rest = |step: Step| match step {
            Step::Wait(rest) => rest,
            step => panic!("{step:?}"),
        };
        assert_eq!(rest(b.look(Some(&lease), seconds(100), at(0))), seconds(15));
        assert_eq!(rest(b.look(Some(&lease), seconds(114), at(14))), seconds(1));
        let lease = stored(a.look(Some(&lease), seconds(14), at(14)), 2);
        assert_eq!(rest(b.look(Some(&lease), seconds(116), at(16))), seconds(15), "renewed");
        let lease = stored(b.look(Some(&lease), seconds(131), at(31)), 3);
        assert_eq!(holder(&lease), "b");
        assert_eq!(lease.spec.as_ref().unwrap().lease_transitions, Some(1));
        assert_eq!(rest(a.look(Some(&lease), seconds(31), at(31))), seconds(15));
        assert!(released(lease.clone(), "a", at(32)).is_none(), "not ours");
        let free = released(lease, "b", at(32)).unwrap();
        assert_eq!(holder(&stored(a.look(Some(&free), seconds(32), at(32)), 4)), "a");
    }

    #[derive(Clone, Debug)]
    enum Op {
        /// A process reads the Lease.
        Look(usize),
        /// It writes what it made of what it read.
        Write(usize),
        /// It sets the Lease free.
        Release(usize),
        Pass(u64),
    }

    fn ops() -> impl Strategy<Value = Op> {
        prop_oneof![
            4 => (0..3_usize).prop_map(Op::Look),
            4 => (0..3_usize).prop_map(Op::Write),
            1 => (0..3_usize).prop_map(Op::Release),
            3 => (1..9_000_u64).prop_map(Op::Pass),
        ]
    }

    struct Process {
        elector: Elector,
        /// What it is about to write, over which version, and when it began.
        planned: Option<(Lease, Option<String>, u64)>,
        leads_until: u64,
    }

    proptest! {
        /// Processes may stop between any two of their steps for as long as they like.
        #[test]
        fn never_do_two_lead(ops in prop::collection::vec(ops(), 1..200)) {
            let mut lease: Option<Lease> = None;
            let (mut now, mut version) = (0_u64, 0_u64);
            let mut all: Vec<Process> = (0..3)
                .map(|i| Process { elector: Elector::new(&i.to_string()), planned: None, leads_until: 0 })
                .collect();
            for op in ops {
                match op {
                    Op::Pass(milliseconds) => now += milliseconds,
                    Op::Look(i) => {
                        let process = &mut all[i];
                        // Each process has a clock of its own.
                        let clock = Duration::from_millis(now + 1_000_000 * i as u64);
                        let read = lease.as_ref().and_then(|lease| lease.metadata.resource_version.clone());
                        process.planned = match process.elector.look(lease.as_ref(), clock, at(0)) {
                            Step::Wait(_) => {
                                process.leads_until = 0;
                                None
                            }
                            Step::Create(lease) | Step::Replace(lease) => Some((*lease, read, now)),
                        };
                    }
                    Op::Write(i) => {
                        let Some((planned, read, asked)) = all[i].planned.take() else { continue };
                        let stored = lease.as_ref().and_then(|lease| lease.metadata.resource_version.clone());
                        if stored != read {
                            all[i].leads_until = 0;
                            continue;
                        }
                        version += 1;
                        let mut written = planned;
                        written.metadata.resource_version = Some(version.to_string());
                        lease = Some(written);
                        all[i].leads_until = asked + u64::try_from(RENEW.as_millis()).unwrap();
                    }
                    Op::Release(i) => {
                        all[i].leads_until = 0;
                        all[i].planned = None;
                        if let Some(free) = lease.clone().and_then(|lease| released(lease, &i.to_string(), at(0))) {
                            version += 1;
                            let mut free = free;
                            free.metadata.resource_version = Some(version.to_string());
                            lease = Some(free);
                        }
                    }
                }
                let leaders = all.iter().filter(|process| process.leads_until > now).count();
                prop_assert!(leaders <= 1, "{leaders} leaders at {now} ms");
            }
        }
    }
}
