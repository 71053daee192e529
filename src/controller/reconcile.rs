//! One reconcile, and what follows when it does not come to its end.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use kube::ResourceExt;
use kube::runtime::controller::Action;

use super::act::{Ended, act};
use super::cluster::Cluster;
use super::context::Context;
use super::decide::{self, decide};
use super::error::Error;
use super::observe::observe;
use super::stored_job::StoredJob;
use super::validate::{Head, validate};
use crate::api::job::CurriculumJob;

/// Longest time for one reconcile. The client retries 429, 503 and 504 on its own, and must not do so for ever.
const DEADLINE: Duration = Duration::from_secs(30);

/// Brings one CurriculumJob a step further; when to look again although nothing changed, `None`: only when something changes.
pub(super) async fn reconcile<C: Cluster>(
    context: &Context<C>,
    job: &CurriculumJob,
) -> Result<Option<Duration>, Error> {
    let uid = job.uid().unwrap_or_default();
    let Some(observed) = observe(context, job).await? else {
        return Ok(Some(context.memory.behind(&uid)));
    };
    let settings = &context.settings;
    let actions = match validate(job) {
        Ok(run) => decide(settings, &run, &observed),
        Err(problem) => decide::refuse(settings, &Head::of(job), &problem, &observed),
    };
    match act(context, job, observed.now, actions).await? {
        Ended::Done(requeue) => {
            context.memory.caught_up(&uid);
            Ok(requeue)
        }
        Ended::Stale => Ok(Some(context.memory.behind(&uid))),
        Ended::Blocked(obstacle) => {
            let actions = decide::blocked(settings, &Head::of(job), &obstacle, &observed);
            act(context, job, observed.now, actions).await?;
            Err(Error::Blocked(obstacle.message))
        }
    }
}

/// [`reconcile_safely`] for a queue, with a place for objects that cannot be read.
pub(crate) async fn reconcile_stored<C: Cluster>(
    stored: Arc<StoredJob>,
    context: Arc<Context<C>>,
) -> Result<Action, Error> {
    if !context.leadership.is_held() {
        return Ok(Action::await_change()); // Everything is looked at when this process begins to lead.
    }
    let job = match stored.open() {
        Ok(job) => job,
        Err(error) => return Ok(skip(&context, &stored, &error)),
    };
    let again = reconcile_safely(&context, &job).await?;
    Ok(again.map_or_else(Action::await_change, Action::requeue))
}

/// [`reconcile`] with a deadline and a net for panics.
#[expect(
    clippy::disallowed_methods,
    reason = "measures how long a reconcile takes; nothing is decided on it"
)]
pub(crate) async fn reconcile_safely<C: Cluster>(
    context: &Context<C>,
    job: &CurriculumJob,
) -> Result<Option<Duration>, Error> {
    let uid = job.uid().unwrap_or_default();
    let started = std::time::Instant::now();
    let turn = AssertUnwindSafe(reconcile(context, job)).catch_unwind();
    let result = match tokio::time::timeout(DEADLINE, turn).await {
        Ok(Ok(result)) => result,
        Ok(Err(panic)) => Err(Error::Panicked(words_of(panic.as_ref()))),
        Err(_) => Err(Error::Deadline(DEADLINE.as_secs())),
    };
    context.metrics.reconciled(started.elapsed());
    if result.is_ok() {
        context.memory.succeeded(&uid);
    }
    result
}

/// An object that this version cannot read is left alone until somebody changes it; the others go on.
fn skip<C>(context: &Context<C>, stored: &StoredJob, error: &serde_json::Error) -> Action {
    context.metrics.failed("malformed");
    tracing::warn!(
        namespace = stored.namespace(),
        name = stored.name_any(),
        %error,
        "the CurriculumJob cannot be read and is skipped until it changes"
    );
    Action::await_change()
}

fn words_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without words".to_owned())
}

/// Every error is retried: exponential back-off with jitter per object, without end.
#[expect(clippy::needless_pass_by_value, reason = "the signature that kube asks for")]
pub(crate) fn on_error<C>(stored: Arc<StoredJob>, error: &Error, context: Arc<Context<C>>) -> Action {
    context.metrics.failed(error.category());
    let wait = context.memory.failed(&stored.uid().unwrap_or_default());
    tracing::warn!(
        namespace = stored.namespace(), name = stored.name_any(), category = error.category(), %error, ?wait,
        "the reconcile is tried again"
    );
    Action::requeue(wait)
}
