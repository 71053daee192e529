//! Job controller, kubelet and user of one namespace. Every run that it plays has a failed attempt and a suspension; scoring
//! succeeds or fails.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use curriculum_operator::api::conditions::ConditionType;
use curriculum_operator::api::job::CurriculumJob;
use curriculum_operator::api::names::LABEL_VISIT;
use e2e::played::{self, PlayedJobs, component, last_words, lenient};
use e2e::{Result, wait};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::batch::v1::Job;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, ResourceExt};
use serde_json::json;
use tokio::task::JoinSet;

/// What happens to the run of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Story {
    /// Scored; the first attempt fails; suspended in the second one.
    Scored,
    /// The scorer fails; the rest as before.
    Fallback,
    /// Nothing goes wrong.
    Plain,
}

/// Names of the Jobs that were made, each with the UIDs that it has had.
pub(crate) type Made = BTreeMap<String, BTreeSet<String>>;

/// Ends when it is dropped.
pub(crate) struct Player {
    made: Arc<Mutex<Made>>,
    _task: JoinSet<()>,
}

impl Player {
    pub(crate) fn start(client: &Client, namespace: &str, story: Story) -> Self {
        let made = Arc::<Mutex<Made>>::default();
        let jobs: Api<Job> = Api::namespaced(client.clone(), namespace);
        let mut stage = Stage {
            client: client.clone(),
            played: PlayedJobs::new(client, namespace),
            runs: Api::namespaced(client.clone(), namespace),
            story,
            made: Arc::clone(&made),
            held: BTreeMap::new(),
        };
        let mut task = JoinSet::new();
        task.spawn(async move {
            let jobs = watcher(jobs, watcher::Config::default()).map_ok(|event| Seen::Job(Box::new(event)));
            let runs = watcher(stage.runs.clone(), watcher::Config::default())
                .applied_objects()
                .map_ok(|run| Seen::Run(Box::new(run)));
            let mut events = stream::select(jobs.boxed(), runs.boxed());
            while let Some(event) = events.next().await {
                let result = match event {
                    Ok(Seen::Job(event)) => match *event {
                        Event::Apply(job) | Event::InitApply(job) => stage.job(&job).await,
                        Event::Delete(job) => stage.played.gone(&job).await,
                        Event::Init | Event::InitDone => Ok(()),
                    },
                    Ok(Seen::Run(run)) => stage.run(&run).await,
                    Err(error) => Err(error.into()),
                };
                if let Err(error) = result {
                    eprintln!("the player of the cluster: {error}");
                }
            }
        });
        Self { made, _task: task }
    }

    /// The Jobs that were made until now.
    pub(crate) fn made(&self) -> Made {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

enum Seen {
    Job(Box<Event<Job>>),
    Run(Box<CurriculumJob>),
}

/// What becomes of a Job.
enum End {
    Well,
    Badly,
    /// It runs until the user has suspended it and lets it go on.
    Held,
}

/// A Job that is held.
#[derive(PartialEq, Eq)]
enum Held {
    Running,
    Suspended,
}

struct Stage {
    client: Client,
    played: PlayedJobs,
    runs: Api<CurriculumJob>,
    story: Story,
    made: Arc<Mutex<Made>>,
    held: BTreeMap<String, Held>,
}

impl Stage {
    fn end(&self, job: &Job) -> End {
        let visit = job.labels().get(LABEL_VISIT).map_or("", String::as_str);
        match (self.story, component(job), visit) {
            (Story::Plain, ..) => End::Well,
            (Story::Fallback, "score", _) | (_, "train", "0") => End::Badly,
            (_, "train", "1") => End::Held,
            _ => End::Well,
        }
    }

    async fn job(&mut self, job: &Job) -> Result {
        let uid = job.uid().unwrap_or_default();
        {
            let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
            made.entry(job.name_any()).or_default().insert(uid.clone());
        }
        if played::has_ended(job) {
            return Ok(());
        }
        let is_suspended = job.spec.as_ref().is_some_and(|spec| spec.suspend == Some(true));
        let held = self.held.get(&uid);
        if is_suspended {
            if held != Some(&Held::Suspended) {
                self.held.insert(uid, Held::Suspended);
                self.played.is_suspended(job).await?;
            }
            return Ok(());
        }
        match (self.end(job), held) {
            (End::Held, None) => {
                self.held.insert(uid, Held::Running);
                self.played.runs(job).await?;
                self.suspend(job, true).await
            }
            (End::Held, Some(Held::Running)) => Ok(()),
            (End::Well | End::Held, _) => {
                let words = last_words(&self.client, job, self.story == Story::Fallback).await?;
                self.played.completes(job, &words).await
            }
            (End::Badly, _) => {
                let container = if component(job) == "train" {
                    "sampler"
                } else {
                    component(job)
                };
                self.played.fails(job, container).await
            }
        }
    }

    /// The user lets the run go on once it says that it is suspended.
    async fn run(&mut self, run: &CurriculumJob) -> Result {
        if run.spec.suspend && wait::is_true(run, ConditionType::Suspended) {
            let patch = Patch::Merge(json!({"spec": {"suspend": false}}));
            lenient(self.runs.patch(&run.name_any(), &PatchParams::default(), &patch).await)?;
        }
        Ok(())
    }

    async fn suspend(&self, job: &Job, suspend: bool) -> Result {
        let Some(owner) = job.owner_references().first() else {
            return Ok(());
        };
        let patch = Patch::Merge(json!({"spec": {"suspend": suspend}}));
        lenient(self.runs.patch(&owner.name, &PatchParams::default(), &patch).await)
    }
}
