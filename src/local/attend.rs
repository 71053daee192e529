//! Starts a program and sees to its end: nothing of it outlives the run that started it, however that ends.
//!
//! ```text
//! run ──pipe──► attend ──► program and whatever it starts, in a process group of their own
//! ```
//! A signal to `attend` goes to the whole group. When the pipe is closed, because the run ended it or was killed itself, the
//! group is asked to end and, a while later, killed. When the program ends, what it left behind is killed too, as with a container.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::scoring::exec::exit_code;

/// Time between the request to end and the kill once the pipe is closed.
const PATIENCE: Duration = Duration::from_secs(5);
/// Exit code of a program that is not there, as shells have it.
const NOT_FOUND: u8 = 127;
/// Exit code of a program that cannot be started.
const NOT_STARTED: u8 = 126;

/// Runs the program while standard input stays open, holding that file locked, and returns its exit code: 128 + N after signal N.
pub fn attend(words: &[OsString], lock: &Path) -> u8 {
    match supervise(words, lock) {
        Ok(status) => exit_code(status),
        Err(error) => {
            let name = words.first().map(|word| word.to_string_lossy()).unwrap_or_default();
            eprintln!("cannot start '{name}': {error}");
            if error.kind() == io::ErrorKind::NotFound {
                NOT_FOUND
            } else {
                NOT_STARTED
            }
        }
    }
}

fn supervise(words: &[OsString], lock: &Path) -> io::Result<ExitStatus> {
    // Whoever goes on with the run waits until this is set free.
    let lock = File::open(lock)?;
    lock.lock_shared()?;
    // Before the start: no signal gets lost.
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP, SIGCHLD])?;
    let [program, arguments @ ..] = words else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no program is named"));
    };
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .process_group(0)
        .spawn()?;
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    std::thread::spawn(move || {
        // An error is as good as the end of the pipe.
        let _ = io::stdin().lock().read_to_end(&mut Vec::new());
        tell(group, Signal::TERM);
        std::thread::sleep(PATIENCE);
        tell(group, Signal::KILL);
    });
    loop {
        for signal in signals.wait() {
            match signal {
                SIGCHLD => {}
                SIGINT => tell(group, Signal::INT),
                SIGHUP => tell(group, Signal::HUP),
                _ => tell(group, Signal::TERM),
            }
        }
        if let Some(status) = child.try_wait()? {
            tell(group, Signal::KILL);
            return Ok(status);
        }
    }
}

/// Signals a group. That nobody is left in it is no fault.
fn tell(group: Option<Pid>, signal: Signal) {
    let _ = group.map(|group| kill_process_group(group, signal));
}
