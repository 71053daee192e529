//! What running samplers say: asked in the background, so that one that does not answer holds up no reconcile.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::cluster::Said;
use super::sampler_client::SamplerClient;
use crate::api::job::CurriculumJob;
use crate::sampler::contract::SamplerStatus;

/// Most questions under way.
const AT_ONCE: usize = 512;
/// How many times the wait doubles for a sampler that does not answer.
const DOUBLINGS: u32 = 4;
/// Share of a running job in the interval between two questions to each: at most 50 a second, whatever their number.
const SHARE: Duration = Duration::from_millis(20);

/// Asks samplers and remembers what they last said.
pub(crate) struct Samplers {
    client: SamplerClient,
    slots: Semaphore,
    followed: Mutex<HashMap<String, Followed>>,
    /// Told of every CurriculumJob whose sampler said something that does not wait for the next look.
    news: Box<dyn Fn(ObjectRef<CurriculumJob>) + Send + Sync>,
}

struct Followed {
    at: SocketAddr,
    said: Option<SamplerStatus>,
    /// When it said so.
    heard: Instant,
    asking: bool,
    due: Instant,
    /// Questions in a row without an answer.
    silent: u32,
}

impl Samplers {
    pub(crate) fn new(
        client: SamplerClient,
        news: impl Fn(ObjectRef<CurriculumJob>) + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            client,
            slots: Semaphore::new(AT_ONCE),
            followed: Mutex::default(),
            news: Box::new(news),
        })
    }

    fn followed(&self) -> MutexGuard<'_, HashMap<String, Followed>> {
        // Every entry is whole at any time, so a panic elsewhere has broken nothing.
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The interval between two questions to one sampler: that of the settings, or more with many running jobs.
    pub(crate) fn interval(&self, least: Duration) -> Duration {
        let running = u32::try_from(self.followed().len()).unwrap_or(u32::MAX);
        least.max(SHARE.saturating_mul(running))
    }

    /// What the sampler at that address last said, if it answered when it was last asked. Asks again if the interval is over; the answer
    /// is there at the next look. Without an address: the job has no sampler any more.
    pub(crate) fn latest(
        self: &Arc<Self>,
        of: &CurriculumJob,
        at: Option<SocketAddr>,
        interval: Duration,
    ) -> Option<Said> {
        let uid = of.uid()?;
        let mut all = self.followed();
        let Some(at) = at else {
            all.remove(&uid);
            return None;
        };
        let entry = all.entry(uid.clone()).or_insert_with(|| Followed::new(at));
        if entry.at != at {
            *entry = Followed::new(at);
        }
        if !entry.asking && entry.due <= Instant::now() {
            entry.asking = true;
            tokio::spawn(Arc::clone(self).ask(uid, of.into(), at, interval));
        }
        let age = entry.heard.elapsed();
        entry.said.clone().map(|status| Said { status, age })
    }

    async fn ask(self: Arc<Self>, uid: String, name: JobRef, at: SocketAddr, interval: Duration) {
        let Ok(slot) = self.slots.acquire().await else { return };
        let said = self.client.status(at).await;
        drop(slot);
        let is_news = {
            let mut all = self.followed();
            // Another pod, or none, may have taken its place meanwhile.
            let Some(entry) = all.get_mut(&uid).filter(|entry| entry.at == at) else {
                return;
            };
            entry.asking = false;
            entry.silent = if said.is_some() {
                0
            } else {
                entry.silent.saturating_add(1)
            };
            entry.due = Instant::now() + interval * 2_u32.pow(entry.silent.min(DOUBLINGS));
            let source = |said: &Option<SamplerStatus>| said.as_ref().map(|said| said.source);
            let is_news = said.is_some() && source(&said) != source(&entry.said);
            (entry.said, entry.heard) = (said, Instant::now());
            is_news
        };
        if is_news {
            (self.news)(name.0);
        }
    }

    /// Forgets the CurriculumJobs that are gone.
    pub(crate) fn prune(&self, is_known: impl Fn(&str) -> bool) {
        self.followed().retain(|uid, _| is_known(uid));
    }
}

impl Followed {
    fn new(at: SocketAddr) -> Self {
        Self {
            at,
            said: None,
            heard: Instant::now(),
            asking: false,
            due: Instant::now(),
            silent: 0,
        }
    }
}

struct JobRef(ObjectRef<CurriculumJob>);

impl From<&CurriculumJob> for JobRef {
    fn from(job: &CurriculumJob) -> Self {
        let name = ObjectRef::new(&job.name_any());
        Self(match &job.meta().namespace {
            Some(namespace) => name.within(namespace),
            None => name,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use serde_json::json;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::sync::mpsc;

    use super::*;
    use crate::api::names::SAMPLER_STATUS_PORT;
    use crate::controller::test_support::{as_json, curriculum_job, sampler_status};

    const SILENT: u8 = 100;

    fn job(number: u8) -> CurriculumJob {
        let mut job = curriculum_job(json!({}));
        job.metadata.uid = Some(number.to_string());
        job
    }

    fn address(number: u8) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::new(127, 71, 0, number), SAMPLER_STATUS_PORT))
    }

    async fn listen(number: u8) -> TcpListener {
        TcpListener::bind(address(number)).await.unwrap()
    }

    #[tokio::test]
    async fn a_hundred_that_do_not_answer_delay_nobody() {
        // They accept, and say nothing.
        let mut silent = Vec::new();
        for number in 1..=SILENT {
            silent.push(listen(number).await);
        }
        let good = listen(SILENT + 1).await;
        let answers = tokio::spawn(async move {
            let said = as_json(&sampler_status(&format!("sha256:{}", "a".repeat(64)), 0, 3));
            let (mut stream, _) = good.accept().await.unwrap();
            assert!(stream.read(&mut [0; 1024]).await.unwrap() > 0);
            let reply = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{said}", said.len());
            stream.write_all(reply.as_bytes()).await.unwrap();
        });
        let (news, mut told) = mpsc::unbounded_channel();
        // None of the silent ones is given up in the course of the test: whoever waited for one would wait in vain.
        let client = SamplerClient::with_deadline(Duration::from_secs(3600)).unwrap();
        let samplers = Samplers::new(client, move |name| {
            let _ = news.send(name.name);
        });
        let interval = Duration::from_secs(10);
        for number in 1..=SILENT + 1 {
            assert_eq!(samplers.latest(&job(number), Some(address(number)), interval), None);
        }
        let first = tokio::time::timeout(Duration::from_secs(60), told.recv()).await;
        assert_eq!(first.expect("an answer").as_deref(), Some("digits"));
        let asking = samplers.followed().values().filter(|entry| entry.asking).count();
        assert_eq!(asking, usize::from(SILENT), "all others are still being asked");
        let said = samplers.latest(&job(SILENT + 1), Some(address(SILENT + 1)), interval);
        assert_eq!(said.unwrap().status.served_step, 3);
        answers.await.unwrap();
        assert_eq!(samplers.interval(interval), interval);
        assert_eq!(samplers.interval(Duration::from_secs(1)), SHARE * 101);
        samplers.latest(&job(1), None, interval);
        assert_eq!(samplers.followed().len(), 100, "it has no pod any more");
        samplers.prune(|uid| uid == "7");
        assert_eq!(samplers.followed().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_does_not_answer_is_asked_less_and_less() {
        // Nobody listens there.
        let at = SocketAddr::from((Ipv4Addr::new(127, 71, 1, 1), SAMPLER_STATUS_PORT));
        let interval = Duration::from_secs(10);
        let samplers = Samplers::new(SamplerClient::new().unwrap(), |_| {});
        let wait = |samplers: &Arc<Samplers>| {
            let followed = samplers.followed();
            let entry = &followed["1"];
            (!entry.asking).then(|| entry.due.duration_since(Instant::now()))
        };
        for doublings in [1, 2, 3, 4, 4] {
            samplers.latest(&job(1), Some(at), interval);
            let due = loop {
                if let Some(due) = wait(&samplers) {
                    break due;
                }
                tokio::task::yield_now().await;
            };
            assert_eq!(due.as_secs_f64().round(), 10.0 * f64::from(1 << doublings));
            tokio::time::advance(due).await;
        }
    }
}
