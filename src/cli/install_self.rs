//! `curriculum install-self`: puts this program where other containers of the pod can run it.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

/// Copy this program to DIR/curriculum.
#[derive(Args, Debug)]
pub(crate) struct InstallSelfArgs {
    /// Folder to copy to.
    dir: PathBuf,
}

pub(crate) fn run(args: &InstallSelfArgs) -> ExitCode {
    match install(&args.dir) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cannot copy this program to {}: {error}", args.dir.display());
            ExitCode::from(crate::scoring::report::EXIT_IO)
        }
    }
}

fn install(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let mut own = File::open(std::env::current_exe()?)?;
    let mut copy = tempfile::Builder::new()
        .permissions(Permissions::from_mode(0o755))
        .tempfile_in(dir)?;
    io::copy(&mut own, &mut copy)?;
    // The umask may have taken bits away, and a scorer may run as any user.
    copy.as_file().set_permissions(Permissions::from_mode(0o755))?;
    copy.persist(dir.join("curriculum")).map_err(|e| e.error)?;
    Ok(())
}
