//! A program under test, and what it costs.

use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use e2e::Result;
use procfs::process::Process as Proc;
use tempfile::TempDir;
use tokio::time::Instant;

/// Time between two looks at a program's processor time.
const LOOK: Duration = Duration::from_secs(1);
/// Share of one core below which a program is at rest.
const REST: f64 = 0.03;
/// Longest wait for that.
const LIMIT: Duration = Duration::from_secs(600);

/// A running program; it is killed when this is dropped.
pub(crate) struct Process {
    child: Child,
    folder: TempDir,
}

impl Process {
    /// Starts it with that kubeconfig; what it prints goes to a file that goes with it.
    pub(crate) fn start<A: AsRef<OsStr>>(program: &Path, arguments: &[A], kubeconfig: &Path) -> Result<Self> {
        let folder = TempDir::with_prefix("curriculum-scale-")?;
        let log = File::create(folder.path().join("log"))?;
        let child = Command::new(program)
            .args(arguments)
            .env_remove("KUBERNETES_SERVICE_HOST")
            .env("KUBECONFIG", kubeconfig)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .map_err(|error| format!("{}: {error}", program.display()))?;
        Ok(Self { child, folder })
    }

    /// An error with the end of its log when it has ended.
    pub(crate) fn check(&mut self) -> Result {
        let Some(status) = self.child.try_wait()? else {
            return Ok(());
        };
        let log = std::fs::read_to_string(self.folder.path().join("log"))?;
        let lines: Vec<&str> = log.lines().collect();
        let end = lines[lines.len().saturating_sub(20)..].join("\n");
        Err(format!("ended with {status}; last lines of its log:\n{end}").into())
    }

    /// Processor time in seconds since it was started, user and system.
    pub(crate) fn cpu(&self) -> Result<f64> {
        cpu(self.child.id())
    }

    /// The most memory that it ever had, in bytes.
    pub(crate) fn peak_memory(&self) -> Result<u64> {
        let status = Proc::new(i32::try_from(self.child.id())?)?.status()?;
        Ok(status.vmhwm.ok_or("no memory in the process's status")? * 1024)
    }

    /// Waits until it has nothing to do; the seconds until it had nothing left.
    pub(crate) async fn rests(&mut self) -> Result<f64> {
        let begin = Instant::now();
        let (mut before, mut since, mut quiet) = (self.cpu()?, begin, 0);
        while begin.elapsed() < LIMIT {
            tokio::time::sleep(LOOK).await;
            self.check()?;
            let now = self.cpu()?;
            let idle = (now - before) / LOOK.as_secs_f64() < REST;
            before = now;
            if !idle {
                (since, quiet) = (Instant::now(), 0);
                continue;
            }
            quiet += 1;
            if quiet == 3 {
                return Ok(since.duration_since(begin).as_secs_f64());
            }
        }
        Err(format!("not at rest after {} s", LIMIT.as_secs()).into())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when it has ended already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Processor time in seconds of that process, user and system.
pub(crate) fn cpu(pid: u32) -> Result<f64> {
    let stat = Proc::new(i32::try_from(pid)?)?.stat()?;
    #[expect(clippy::cast_precision_loss, reason = "a count of hundredths of a second")]
    Ok((stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64)
}
