//! `curriculum archive`: puts a snapshot on the store.

use std::io::Write;
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::store::StoreArgs;
use crate::api::names::{ENV_ARCHIVE_PATH, ENV_SNAPSHOT, MOUNT_STORE};
use crate::scoring::report::EXIT_IO;
use crate::store::scratch::write_whole;
use crate::store::{Shared, StoreError};
use crate::telemetry::{LogArgs, init_tracing};

/// Put a snapshot on the store. What is there already under its name is replaced.
#[derive(Args, Debug)]
pub(crate) struct ArchiveArgs {
    #[command(flatten)]
    log: LogArgs,
    /// Its manifest.
    #[arg(long, env = ENV_SNAPSHOT, hide_env_values = true)]
    snapshot: String,
    /// Where to put it: a path below the store.
    #[arg(long, env = ENV_ARCHIVE_PATH)]
    path: PathBuf,
    /// Folder of the store.
    #[arg(long, env = "CURRICULUM_STORE_ROOT", default_value = MOUNT_STORE)]
    store_root: PathBuf,
    #[command(flatten)]
    store: StoreArgs,
}

pub(crate) fn run(args: &ArchiveArgs) -> ExitCode {
    if let Err(error) = init_tracing(&args.log) {
        eprintln!("{error}");
    }
    let archived = args
        .store
        .open(&args.store_root, None)
        .and_then(|store| archive(&store, &args.path, args.snapshot.as_bytes()));
    match archived {
        Ok(()) => {
            tracing::info!(path = %args.path.display(), "the snapshot is on the store");
            ExitCode::SUCCESS
        }
        Err(error) => {
            // The last line of the log is what the operator tells.
            eprintln!("the snapshot cannot be put on the store: {error}");
            ExitCode::from(EXIT_IO)
        }
    }
}

fn archive(store: &Shared, path: &Path, snapshot: &[u8]) -> Result<(), String> {
    if !path.components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(format!("`{}` is no path below the store", path.display()));
    }
    let path = store.root().join(path);
    let written = write_whole(&path, |file| {
        file.write_all(snapshot)
            .map_err(|error| StoreError::io("write", &path, error))
    });
    written
        .and_then(|()| store.push(&path))
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_snapshot_is_put_below_the_store_and_nowhere_else() {
        let folder = tempfile::tempdir().unwrap();
        let store = Shared::volume(folder.path());
        for content in ["first", "again"] {
            archive(
                &store,
                Path::new("snapshots/team/digits/uid/0.json"),
                content.as_bytes(),
            )
            .unwrap();
            let found = fs::read_to_string(folder.path().join("snapshots/team/digits/uid/0.json")).unwrap();
            assert_eq!(found, content);
        }
        for path in ["../out", "/etc/x", "a/../../b"] {
            assert!(archive(&store, Path::new(path), b"x").is_err(), "{path}");
        }
    }
}
