//! Job controller and kubelet of the rounds: every Job gets a pod, which ends well, and ends.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use curriculum_operator::api::names::LABEL_VISIT;
use e2e::Result;
use e2e::played::{self, LastWords, PlayedJobs, component};
use futures::TryStreamExt;
use k8s_openapi::api::batch::v1::Job;
use kube::api::Api;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, ResourceExt};
use tokio::sync::Mutex;

/// Jobs that end at the same time.
const AT_ONCE: usize = 16;

/// Last words by part of the run and number of the visit: all runs of a round have the same spec, so that what is said in one is
/// right in all of them, and reading it once keeps the player's own share of the load the same for both programs.
type Known = Mutex<HashMap<(String, String), LastWords>>;

/// Plays until it is dropped.
///
/// # Errors
/// When the API server refuses something.
pub(crate) async fn play(client: Client, namespace: &str) -> Result {
    let jobs: Api<Job> = Api::namespaced(client.clone(), namespace);
    let played = PlayedJobs::new(&client, namespace);
    let known = Arc::new(Known::default());
    let mut seen = HashSet::new();
    let events = watcher(jobs, watcher::Config::default())
        .default_backoff()
        .applied_objects();
    let new = events.try_filter(|job| std::future::ready(seen.insert(job.uid()) && !played::has_ended(job)));
    new.map_err(e2e::Error::from)
        .try_for_each_concurrent(AT_ONCE, |job| {
            let (client, played, known) = (client.clone(), played.clone(), Arc::clone(&known));
            async move {
                let words = words(&client, &job, &known).await?;
                played.completes(&job, &words).await
            }
        })
        .await
}

async fn words(client: &Client, job: &Job, known: &Known) -> Result<LastWords> {
    if component(job).is_empty() {
        let container = "trainer".to_owned();
        let message = String::new();
        return Ok(LastWords { container, message });
    }
    let visit = job.labels().get(LABEL_VISIT).cloned().unwrap_or_default();
    let key = (component(job).to_owned(), visit);
    let mut known = known.lock().await;
    if let Some(words) = known.get(&key) {
        return Ok(words.clone());
    }
    let words = played::last_words(client, job, false).await?;
    known.insert(key, words.clone());
    Ok(words)
}
