//! Writing to the store so that a file is whole or absent, and removing what attempts that were killed have left.
//!
//! Every scratch file is locked (`flock`) by the process that writes it. The kernel drops the lock when the process ends, however
//! it ends: so another attempt at the same file can tell what is left behind from what a living one is writing, also on another
//! node, as long as the file system shows its locks there (NFS and CephFS do). Where it cannot lock, nothing is removed.

use std::fs::{self, File, Permissions, TryLockError};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use tempfile::{NamedTempFile, TempDir};

use super::StoreError;

/// Creates a folder and those above it, writable by the group: jobs that share a claim may run as different users, but all with the
/// volume's group.
///
/// # Errors
/// Errors of the file system.
pub fn create_folder(folder: &Path) -> Result<(), StoreError> {
    let missing: Vec<&Path> = folder
        .ancestors()
        .take_while(|f| !f.as_os_str().is_empty() && !f.exists())
        .collect();
    for folder in missing.into_iter().rev() {
        match fs::create_dir(folder) {
            Ok(()) => share_with_group(folder)?,
            // Another shard was faster.
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(StoreError::io("create", folder, e)),
        }
    }
    Ok(())
}

fn share_with_group(folder: &Path) -> Result<(), StoreError> {
    let mode = fs::metadata(folder)
        .map_err(|e| StoreError::io("open", folder, e))?
        .permissions()
        .mode();
    fs::set_permissions(folder, Permissions::from_mode(mode | 0o020))
        .map_err(|e| StoreError::io("set the permissions of", folder, e))
}

/// A file beside `path` to write into before it is renamed by [`commit`]; it goes when dropped. Creates the folder, and removes the
/// scratch files that killed attempts at the same `path` have left.
///
/// # Errors
/// Errors of the file system.
pub fn file(path: &Path) -> Result<NamedTempFile, StoreError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    claim(folder, &format!(".scratch-{name}."))
}

/// A folder for a program to write into; it goes when dropped.
#[derive(Debug)]
pub struct ScratchFolder {
    // The lock is the last to go: until then the folder is not anybody's to remove.
    folder: TempDir,
    _lock: NamedTempFile,
}

impl ScratchFolder {
    /// Creates one in `parent`, and removes those that killed attempts of the same `owner` have left.
    ///
    /// # Errors
    /// Errors of the file system.
    pub fn create(parent: &Path, owner: &str) -> Result<Self, StoreError> {
        let lock = claim(parent, &format!("{owner}."))?;
        let path = folder_of(lock.path());
        let folder = tempfile::Builder::new()
            .prefix(path.file_name().unwrap_or_default())
            .rand_bytes(0)
            .permissions(Permissions::from_mode(0o755))
            .tempdir_in(parent)
            .map_err(|e| StoreError::io("create a folder in", parent, e))?;
        Ok(Self { folder, _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// The folder that a lock stands for.
fn folder_of(lock: &Path) -> PathBuf {
    let mut name = lock.as_os_str().to_owned();
    name.push(".files");
    PathBuf::from(name)
}

/// A new file named `prefix` and something random, locked as long as it is open.
fn claim(folder: &Path, prefix: &str) -> Result<NamedTempFile, StoreError> {
    create_folder(folder)?;
    sweep(folder, prefix);
    loop {
        let file = tempfile::Builder::new()
            .prefix(prefix)
            .permissions(Permissions::from_mode(0o644))
            .tempfile_in(folder)
            .map_err(|e| StoreError::io("create a file in", folder, e))?;
        match file.as_file().try_lock() {
            // Another attempt saw the file before it was locked, and took it for a dead one's.
            Err(TryLockError::WouldBlock) => {}
            Ok(()) if !file.path().exists() => {}
            // Where files cannot be locked nobody removes them either.
            Ok(()) | Err(TryLockError::Error(_)) => return Ok(file),
        }
    }
}

/// Removes what attempts that ended without cleaning up have left under `prefix`: files that nobody has locked, and their folders.
/// What cannot be removed stays: it is in nobody's way.
fn sweep(folder: &Path, prefix: &str) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(prefix)
            && let Err(error) = remove_dead(&entry.path())
        {
            tracing::warn!(%error, "cannot remove what an earlier attempt has left");
        }
    }
}

fn remove_dead(lock: &Path) -> io::Result<()> {
    // For writing, although nothing is written: NFS locks no other files.
    let Ok(file) = File::options().write(true).open(lock) else {
        return Ok(());
    };
    if file.try_lock().is_err() {
        return Ok(());
    }
    ignore_missing(fs::remove_dir_all(folder_of(lock)))?;
    ignore_missing(fs::remove_file(lock))
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Renames a scratch file to `path`, so that other processes see the whole file or none.
///
/// # Errors
/// Errors of the file system.
pub fn commit(scratch: NamedTempFile, path: &Path) -> Result<(), StoreError> {
    scratch
        .persist(path)
        .map_err(|e| StoreError::io("rename to", path, e.error))?;
    Ok(())
}

/// Writes a file whole: `fill` writes it into a scratch file, which is then renamed.
///
/// # Errors
/// Whatever `fill` returns, and errors of the file system.
pub fn write_whole<T, E: From<StoreError>>(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<&mut NamedTempFile>) -> Result<T, E>,
) -> Result<T, E> {
    let mut file = file(path)?;
    let mut writer = BufWriter::with_capacity(1 << 18, &mut file);
    let value = fill(&mut writer)?;
    writer.flush().map_err(|e| StoreError::io("write", path, e))?;
    drop(writer);
    commit(file, path)?;
    Ok(value)
}

/// Writes a JSON document whole.
///
/// # Errors
/// Errors of the file system.
pub fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), StoreError> {
    write_whole(path, |writer| {
        serde_json::to_writer(writer, value).map_err(|e| StoreError::io("write", path, e.into()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_whole_or_absent() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/file");
        let write = |text: &str, fail: bool| {
            write_whole(&path, |file| {
                file.write_all(text.as_bytes()).unwrap();
                if fail {
                    Err(StoreError::content(&path, "interrupted"))
                } else {
                    Ok(())
                }
            })
        };
        write("half", true).unwrap_err();
        assert!(names(path.parent().unwrap()).is_empty());
        write("first", false).unwrap();
        write("sec", true).unwrap_err();
        assert_eq!(fs::read_to_string(&path).unwrap(), "first");
        assert_eq!(names(path.parent().unwrap()), ["file"]);
    }

    /// What a killed process leaves is a file without a lock.
    #[test]
    fn an_attempt_removes_what_dead_ones_left_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index.arrow");
        let living = file(&path).unwrap();
        fs::write(folder.path().join(".scratch-index.arrow.dead"), "half").unwrap();
        fs::write(folder.path().join(".scratch-index.arrow"), "not ours").unwrap();
        fs::write(folder.path().join(".scratch-other.dead"), "half").unwrap();
        let other = file(&path).unwrap();
        let name = |file: &NamedTempFile| file.path().file_name().unwrap().to_str().unwrap().to_owned();
        let mut expected = [
            name(&living),
            name(&other),
            ".scratch-index.arrow".to_owned(),
            ".scratch-other.dead".to_owned(),
        ];
        expected.sort();
        assert_eq!(names(folder.path()), expected);
        commit(living, &path).unwrap();
        commit(other, &path).unwrap();
        assert!(path.is_file());
    }

    #[test]
    fn a_folder_goes_with_its_lock() {
        let parent = tempfile::tempdir().unwrap();
        let living = ScratchFolder::create(parent.path(), "program.0-of-2").unwrap();
        fs::write(living.path().join("scores.csv"), "row").unwrap();
        let dead = parent.path().join("program.0-of-2.dead");
        fs::write(&dead, "").unwrap();
        fs::create_dir_all(folder_of(&dead).join("deep")).unwrap();
        let other_shard = parent.path().join("program.1-of-2.dead");
        fs::write(&other_shard, "").unwrap();

        let next = ScratchFolder::create(parent.path(), "program.0-of-2").unwrap();
        assert!(!dead.exists() && !folder_of(&dead).exists());
        assert!(other_shard.exists());
        assert!(living.path().join("scores.csv").exists());
        drop((living, next));
        assert_eq!(names(parent.path()), ["program.1-of-2.dead"]);
    }
}
