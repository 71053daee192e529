//! Which of several operators acts: the one that holds a Lease (coordination.k8s.io). The others keep their stores warm.
//!
//! ```text
//! standby ──lease free, or not renewed for 15 s by our own clock──► leader ──not renewed for 10 s──► standby
//!                                                                     └──shutdown: the lease is set free
//! ```
//! Clocks of two machines are never compared: who stands by counts from when it saw the last renewal, which is not before it was made;
//! who leads counts from when it asked for its own. So a leader stops 5 s before anybody else begins, whatever its clock says and
//! however long an answer takes. Every write asks [`Leadership::is_held`] first. A process that was stopped in between and sends a
//! write that it had already begun meets resource versions and names that no longer fit (`docs/design/controller.md`, "Writes").
//!
//! Our own, because the libraries for it compare the clocks of two machines, or renew without a resource version.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Api, PostParams};
use tokio::time::Instant;

use self::elector::{Elector, Step};
use crate::api::MANAGER;

mod elector;

/// How long a lease is good without being renewed, for those who stand by.
pub(super) const DURATION: Duration = Duration::from_secs(15);
/// How long it is good for who holds it.
const RENEW: Duration = Duration::from_secs(10);
/// Wait between two looks at it.
const RETRY: Duration = Duration::from_secs(2);
/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(4);

/// Which Lease, and by which name to hold it.
#[derive(Clone, Debug)]
pub struct LeaseOptions {
    /// Namespace of the Lease: the operator's own.
    pub namespace: String,
    /// Name of the Lease.
    pub name: String,
    /// Name of this process, unlike that of any other that wants the Lease, such as its pod's.
    pub identity: String,
}

/// Whether this process may act. Shared by all that write.
#[derive(Clone, Debug)]
pub(crate) struct Leadership(Arc<Until>);

#[derive(Debug)]
struct Until {
    origin: Instant,
    /// Milliseconds after `origin`; `u64::MAX`: for ever.
    milliseconds: AtomicU64,
}

impl Leadership {
    /// Of a process that has no rival.
    pub(crate) fn unrivalled() -> Self {
        Self::until(u64::MAX)
    }

    fn none() -> Self {
        Self::until(0)
    }

    fn until(milliseconds: u64) -> Self {
        Self(Arc::new(Until {
            origin: Instant::now(),
            milliseconds: AtomicU64::new(milliseconds),
        }))
    }

    /// Whether this process may act now.
    pub(crate) fn is_held(&self) -> bool {
        let until = self.0.milliseconds.load(Ordering::Acquire);
        u128::from(until) > self.0.origin.elapsed().as_millis()
    }

    /// Goes on with a request only while the lead is held: this is asked before every step of it, so that neither what the client tries
    /// again by itself nor what was begun before the process was stopped is sent after the lead is lost. `None`: it may have been done.
    pub(crate) async fn while_held<T>(&self, request: impl Future<Output = T>) -> Option<T> {
        let mut request = std::pin::pin!(request);
        std::future::poll_fn(|waking| {
            if self.is_held() {
                request.as_mut().poll(waking).map(Some)
            } else {
                std::task::Poll::Ready(None)
            }
        })
        .await
    }

    fn hold_until(&self, end: Instant) {
        let milliseconds = end.duration_since(self.0.origin).as_millis();
        let milliseconds = u64::try_from(milliseconds).unwrap_or(u64::MAX - 1);
        self.0.milliseconds.store(milliseconds, Ordering::Release);
    }

    fn end(&self) {
        self.0.milliseconds.store(0, Ordering::Release);
    }
}

/// Whose the Lease is.
enum Found {
    Ours,
    /// Somebody else's, who has not renewed it if it is still the same after so long.
    Theirs(Duration),
}

/// Wants the Lease, and keeps it once it has it.
pub(super) struct Campaign {
    leases: Api<Lease>,
    options: LeaseOptions,
    elector: Elector,
    leadership: Leadership,
    origin: Instant,
}

impl Campaign {
    pub(super) fn new(client: Client, options: LeaseOptions) -> Self {
        Self {
            leases: Api::namespaced(client, &options.namespace),
            elector: Elector::new(&options.identity),
            options,
            leadership: Leadership::none(),
            origin: Instant::now(),
        }
    }

    pub(super) fn leadership(&self) -> Leadership {
        self.leadership.clone()
    }

    /// Looks at the Lease every 2 s, and at once when it has run out, without end; calls `gained` each time that this process begins to lead.
    pub(super) async fn run(mut self, gained: impl Fn() + Send) {
        let mut led = false;
        loop {
            let asked = Instant::now();
            let mut wait = RETRY;
            match tokio::time::timeout(PATIENCE, self.step()).await {
                Ok(Ok(Found::Ours)) => self.leadership.hold_until(asked + RENEW),
                Ok(Ok(Found::Theirs(rest))) => {
                    self.leadership.end();
                    wait = wait.min(rest);
                }
                Ok(Err(error)) => tracing::warn!(%error, "the lease could not be looked at"),
                Err(_) => tracing::warn!("the API server does not answer about the lease"),
            }
            let leads = self.leadership.is_held();
            if leads != led {
                let (lease, identity) = (&self.options.name, &self.options.identity);
                tracing::info!(lease, identity, leads, "the lease has changed hands");
                led = leads;
                if leads {
                    gained();
                }
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// Looks once, and writes what is to be written; whose the Lease is now.
    ///
    /// Dies before or after the write: the Lease runs out, or this process finds that it has it. Twice, or another one was faster: the
    /// resource version does not match, and nothing is written.
    async fn step(&mut self) -> kube::Result<Found> {
        let name = &self.options.name;
        let found = self.leases.get_opt(name).await?;
        let step = self.elector.look(found.as_ref(), self.origin.elapsed(), wall_clock());
        let params = PostParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PostParams::default()
        };
        let written = match step {
            Step::Wait(rest) => return Ok(Found::Theirs(rest)),
            Step::Create(mut lease) => {
                lease.metadata.name = Some(name.clone());
                self.leases.create(&params, &lease).await
            }
            Step::Replace(lease) => self.leases.replace(name, &params, &lease).await,
        };
        match written {
            Ok(_) => Ok(Found::Ours),
            Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => {
                Ok(Found::Theirs(DURATION))
            }
            Err(error) => Err(error),
        }
    }
}

/// Sets the Lease free, so that another process need not wait until it runs out. A courtesy: without it, it runs out.
pub(super) async fn release(client: Client, options: &LeaseOptions, leadership: &Leadership) {
    leadership.end();
    let leases: Api<Lease> = Api::namespaced(client, &options.namespace);
    let release = async {
        let Some(lease) = leases.get_opt(&options.name).await? else {
            return Ok(());
        };
        match elector::released(lease, &options.identity, wall_clock()) {
            Some(free) => leases
                .replace(&options.name, &PostParams::default(), &free)
                .await
                .map(drop),
            None => Ok(()),
        }
    };
    match tokio::time::timeout(PATIENCE, release).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "the lease could not be set free; it runs out by itself"),
        Err(_) => tracing::warn!("the lease could not be set free in time; it runs out by itself"),
    }
}

/// For people who read the Lease; nothing is decided on it.
#[expect(clippy::disallowed_methods, reason = "the shell reads the clock")]
fn wall_clock() -> Timestamp {
    Timestamp::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn leadership_ends_by_the_own_clock() {
        assert!(Leadership::unrivalled().is_held());
        let leadership = Leadership::none();
        assert!(!leadership.is_held());
        leadership.hold_until(Instant::now() + RENEW);
        assert!(leadership.is_held());
        tokio::time::advance(RENEW - Duration::from_millis(1)).await;
        assert!(leadership.is_held());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(!leadership.is_held(), "whatever has become of the lease");
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_was_begun_goes_no_further_without_the_lead() {
        let leadership = Leadership::none();
        leadership.hold_until(Instant::now() + RENEW);
        assert_eq!(leadership.while_held(async { 1 }).await, Some(1));
        // As the client does that tries again after a 429.
        let mut sent = 0;
        let request = async {
            for _ in 0..20 {
                sent += 1;
                tokio::time::sleep(Duration::from_secs(3)).await;
            }
        };
        assert_eq!(leadership.while_held(request).await, None);
        assert_eq!(sent, 4, "at 0, 3, 6 and 9 s, and not at 12 s");
    }

    #[test]
    fn who_leads_stops_before_anybody_else_begins() {
        assert!(RENEW + PATIENCE < DURATION);
        assert!(RETRY + PATIENCE < RENEW, "one lost answer costs no lease");
    }
}
