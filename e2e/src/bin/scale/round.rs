//! One round: one program and a number of objects, from the first object to the end of the last, and a restart with all of them.

use std::collections::HashSet;

use e2e::Result;
use e2e::api_server::ApiServer;
use futures::{StreamExt, TryStreamExt, stream};
use kube::api::{Api, DynamicObject, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, ResourceExt};
use tokio::time::{Duration, Instant};

use super::figures::Figures;
use super::player;
use super::program::{self, Program};
use super::rival::{Programs, Rival};

const NAMESPACE: &str = "scale";
/// Requests at the same time that make objects.
const AT_ONCE: usize = 8;
/// Time between two lines about how far it is.
const NEWS: Duration = Duration::from_secs(10);

/// Plays one round on an API server of its own.
///
/// # Errors
/// When a program ends, an object fails, or the API server refuses something.
pub(crate) async fn play(rival: Rival, programs: &Programs, objects: usize) -> Result<Figures> {
    let server = ApiServer::start().await?;
    rival.install(&server, programs).await?;
    let client = server.client().await?;
    server.namespace(NAMESPACE).await?;
    let mut program = rival.start(programs, server.kubeconfig())?;
    program.rests().await?;
    let (before, server_before) = (program.cpu()?, program::cpu(server.pid())?);
    let begin = Instant::now();
    let ended = tokio::select! {
        ended = run(&client, rival, objects, &mut program) => ended,
        Err(error) = player::play(client.clone(), NAMESPACE) => Err(error),
    };
    ended.map_err(|error| format!("{}: {error}", rival.name()))?;
    let seconds = begin.elapsed().as_secs_f64();
    program.rests().await?;
    let (cpu, server_cpu) = (program.cpu()? - before, program::cpu(server.pid())? - server_before);
    let memory = program.peak_memory()?;
    drop(program);
    let mut again = rival.start(programs, server.kubeconfig())?;
    let restart_seconds = again.rests().await?;
    Ok(Figures {
        program: rival.name(),
        objects,
        seconds,
        cpu,
        memory,
        server_cpu,
        restart_seconds,
        restart_memory: again.peak_memory()?,
    })
}

/// Makes the objects, and waits until all have ended.
async fn run(client: &Client, rival: Rival, objects: usize, program: &mut Program) -> Result {
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), NAMESPACE, &rival.kind());
    let create = stream::iter(0..objects)
        .map(Ok)
        .try_for_each_concurrent(AT_ONCE, |number| {
            let api = api.clone();
            async move {
                let object = serde_json::from_value(rival.object(&format!("run-{number}")))?;
                api.create(&PostParams::default(), &object).await?;
                Result::Ok(())
            }
        });
    tokio::try_join!(create, all_end(api.clone(), rival, objects, program))?;
    Ok(())
}

async fn all_end(api: Api<DynamicObject>, rival: Rival, objects: usize, program: &mut Program) -> Result {
    let begin = Instant::now();
    let mut news = tokio::time::interval(NEWS);
    let mut ended = HashSet::new();
    let mut events = watcher(api, watcher::Config::default())
        .default_backoff()
        .applied_objects()
        .boxed();
    while ended.len() < objects {
        tokio::select! {
            event = events.try_next() => {
                let object = event?.ok_or("the watch ended")?;
                if rival.has_ended(&object)? {
                    ended.insert(object.name_any());
                }
            }
            _ = news.tick() => {
                program.check()?;
                println!("  {:5} of {objects} ended after {:4.0} s", ended.len(), begin.elapsed().as_secs_f64());
            }
        }
    }
    Ok(())
}
