//! A program under test, and what it costs.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use e2e::Result;
use e2e::process::Process;
use procfs::process::Process as Proc;
use tempfile::TempDir;
use tokio::time::Instant;

/// Time between two looks at a program's processor time.
const LOOK: Duration = Duration::from_secs(1);
/// Share of one core below which a program is at rest.
const REST: f64 = 0.03;
/// Longest wait for that.
const LIMIT: Duration = Duration::from_secs(600);

/// A running program under test.
pub(crate) struct Program {
    process: Process,
    _folder: TempDir,
}

impl Program {
    /// Starts it with that kubeconfig; what it prints goes to a file that goes with it.
    pub(crate) fn start(name: &'static str, command: &mut Command, kubeconfig: &Path) -> Result<Self> {
        let folder = TempDir::with_prefix("curriculum-scale-")?;
        command
            .env_remove("KUBERNETES_SERVICE_HOST")
            .env("KUBECONFIG", kubeconfig);
        let process = Process::spawn(name, command, folder.path().join("log"))
            .map_err(|error| format!("{}: {error}", command.get_program().display()))?;
        Ok(Self {
            process,
            _folder: folder,
        })
    }

    /// An error with the end of its log when it has ended.
    pub(crate) fn check(&mut self) -> Result {
        let Some(status) = self.process.ended()? else {
            return Ok(());
        };
        let log = self.process.last_lines();
        Err(format!("ended with {status}; last lines of its log:\n{log}").into())
    }

    /// Processor time in seconds since it was started, user and system.
    pub(crate) fn cpu(&self) -> Result<f64> {
        cpu(self.process.pid())
    }

    /// The most memory that it ever had, in bytes.
    pub(crate) fn peak_memory(&self) -> Result<u64> {
        let status = Proc::new(i32::try_from(self.process.pid())?)?.status()?;
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

/// Processor time in seconds of that process, user and system.
pub(crate) fn cpu(pid: u32) -> Result<f64> {
    let stat = Proc::new(i32::try_from(pid)?)?.stat()?;
    #[expect(clippy::cast_precision_loss, reason = "a count of hundredths of a second")]
    Ok((stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64)
}
