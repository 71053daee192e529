//! One container as a process: its start, its log, its last words, its end.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use k8s_openapi::api::core::v1::{ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::watch;

use super::program::Program;
use crate::scoring::exec::exit_code as exit_code_of;

/// Bytes of the log's end that stand in for last words, as with the kubelet.
const LOG_BYTES: u64 = 2048;
/// Bytes of last words that are kept, as with the kubelet.
const WORDS_BYTES: usize = 4096;

/// What is run, and where its words go.
pub(super) struct Spec {
    /// The binary that attends to the program.
    pub(super) attend: PathBuf,
    pub(super) program: Program,
    /// Locked, shared, while the program lives.
    pub(super) lock: PathBuf,
    /// Standard output and error, one attempt after the other.
    pub(super) log: PathBuf,
    /// The termination log.
    pub(super) last_words: PathBuf,
    /// Whether the end of the log stands in for last words after a failure.
    pub(super) words_from_log: bool,
}

/// How a process ended.
pub(super) struct Exit {
    code: i32,
    words: String,
    started: Timestamp,
    finished: Timestamp,
}

/// A request to end, which is never taken back.
#[derive(Clone, Debug)]
pub(super) struct Stop(watch::Sender<bool>);

impl Default for Stop {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl Stop {
    pub(super) fn ask(&self) {
        self.0.send_replace(true);
    }

    pub(super) fn is_asked(&self) -> bool {
        *self.0.borrow()
    }

    pub(super) async fn asked(&self) {
        // The sender lives as long as this.
        let _ = self.0.subscribe().wait_for(|asked| *asked).await;
    }

    /// Waits for the request, but no longer than that.
    pub(super) async fn asked_within(&self, time: Duration) {
        let _ = tokio::time::timeout(time, self.asked()).await;
    }
}

/// The time, for what people read.
#[expect(
    clippy::disallowed_methods,
    reason = "times of processes; nothing is decided on them"
)]
pub(super) fn now() -> Timestamp {
    Timestamp::now()
}

/// Runs the process to its end; when it is told to stop, it has that time to end by itself.
pub(super) async fn run(spec: &Spec, grace: Duration, stop: &Stop) -> Exit {
    let started = now();
    let ended = async {
        let mut child = start(spec)?;
        // Closing it ends the process, which waiting for it would do.
        let pipe = child.stdin.take();
        let status = tokio::select! {
            status = child.wait() => status?,
            () = stop.asked() => end(&mut child, pipe, grace).await?,
        };
        Ok::<_, io::Error>(i32::from(exit_code_of(status)))
    };
    let (code, problem) = match ended.await {
        Ok(code) => (code, String::new()),
        Err(error) => (126, format!("cannot start the program: {error}")),
    };
    Exit {
        code,
        words: if problem.is_empty() { words(spec, code) } else { problem },
        started,
        finished: now(),
    }
}

/// Lets a program find what lies beside this one, such as the Python of the virtual environment that both are of, before anything else.
pub fn find_beside(command: &mut std::process::Command) {
    let beside = std::env::current_exe()
        .ok()
        .and_then(|binary| Some(binary.parent()?.to_owned()));
    let Some(beside) = beside.filter(|folder| folder.join("python3").exists()) else {
        return;
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    // A folder with a colon in its name cannot be in a path; then it is not.
    if let Ok(path) = std::env::join_paths(std::iter::once(beside).chain(std::env::split_paths(&path))) {
        command.env("PATH", path);
    }
}

fn start(spec: &Spec) -> io::Result<Child> {
    let log = File::options().create(true).append(true).open(&spec.log)?;
    let mut command = Command::new(&spec.attend);
    find_beside(command.as_std_mut());
    command
        .arg("attend")
        .arg("--lock")
        .arg(&spec.lock)
        .arg("--")
        .args(&spec.program.words)
        .envs(spec.program.env.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::piped())
        .stdout(log.try_clone()?)
        .stderr(log)
        // A Ctrl-C at the terminal is for this process, which ends the others in their order.
        .process_group(0)
        .kill_on_drop(false);
    if let Some(folder) = &spec.program.folder {
        command.current_dir(folder);
    }
    command.spawn()
}

/// Asks the process to end; once its time is over the pipe is closed, and `attend` kills what is left.
async fn end(child: &mut Child, pipe: Option<ChildStdin>, grace: Duration) -> io::Result<ExitStatus> {
    let pid = child
        .id()
        .and_then(|pid| i32::try_from(pid).ok())
        .and_then(Pid::from_raw);
    // It may have ended just now.
    let _ = pid.map(|pid| kill_process(pid, Signal::TERM));
    if let Ok(status) = tokio::time::timeout(grace, child.wait()).await {
        return status;
    }
    drop(pipe);
    child.wait().await
}

fn words(spec: &Spec, code: i32) -> String {
    let left = fs::read(&spec.last_words).unwrap_or_default();
    if !left.is_empty() {
        return String::from_utf8_lossy(&left[..left.len().min(WORDS_BYTES)]).into_owned();
    }
    if code == 0 || !spec.words_from_log {
        return String::new();
    }
    let end_of_log = || {
        let mut file = File::open(&spec.log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LOG_BYTES)))?;
        let mut end = Vec::new();
        file.read_to_end(&mut end)?;
        Ok::<_, io::Error>(String::from_utf8_lossy(&end).into_owned())
    };
    end_of_log().unwrap_or_default()
}

/// The status of a container that has just been started.
pub(super) fn running(mut status: ContainerStatus, since: Timestamp) -> ContainerStatus {
    let running = ContainerStateRunning {
        started_at: Some(Time(since)),
    };
    status.state = Some(ContainerState {
        running: Some(running),
        ..ContainerState::default()
    });
    (status.ready, status.started) = (true, Some(true));
    status
}

/// The status of a container that has ended.
pub(super) fn ended(mut status: ContainerStatus, exit: Exit) -> ContainerStatus {
    let terminated = ContainerStateTerminated {
        exit_code: exit.code,
        message: Some(exit.words).filter(|words| !words.is_empty()),
        reason: Some(if exit.code == 0 { "Completed" } else { "Error" }.to_owned()),
        started_at: Some(Time(exit.started)),
        finished_at: Some(Time(exit.finished)),
        ..ContainerStateTerminated::default()
    };
    status.state = Some(ContainerState {
        terminated: Some(terminated),
        ..ContainerState::default()
    });
    (status.ready, status.started) = (false, Some(false));
    status
}

/// The exit code of a container that has ended.
pub(super) fn exit_code(status: &ContainerStatus) -> i32 {
    let terminated = status.state.as_ref().and_then(|state| state.terminated.as_ref());
    terminated.map_or(0, |terminated| terminated.exit_code)
}
