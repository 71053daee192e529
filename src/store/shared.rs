//! One folder of files for many pods: a volume that all of them mount, or a folder of each pod with copies of what a remote keeps.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{StoreError, scratch};

/// Where files are kept that no volume holds. Names have `/` between folders, such as `index/<key>/summary.json`.
///
/// There is no lock: nothing is ever changed in place. Whoever makes a file puts it whole, two who make the same one put the same
/// content, and the last one wins.
pub trait Remote: std::fmt::Debug + Send + Sync {
    /// Writes the content of a file to `out`.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] when there is none; others when it could not be asked, or not all of the content came.
    fn get(&self, name: &str, out: &mut File) -> io::Result<()>;

    /// Length of a file in bytes.
    ///
    /// # Errors
    /// As [`Remote::get`].
    fn bytes(&self, name: &str) -> io::Result<u64>;

    /// Puts a file in the place of what may be there. Others see the old content, or the whole new one.
    ///
    /// # Errors
    /// When it could not be put; what there was is still there.
    fn put(&self, name: &str, content: &mut File) -> io::Result<()>;

    /// Names of the files in a folder, without the folder's own, in any order; none where there is no such folder.
    ///
    /// # Errors
    /// When it could not be asked.
    fn list(&self, folder: &str) -> io::Result<Vec<String>>;

    /// Removes a file. That there is none is no error.
    ///
    /// # Errors
    /// When it could not be asked.
    fn remove(&self, name: &str) -> io::Result<()>;
}

/// The folder. Paths are those of this machine, below its root.
#[derive(Clone, Debug)]
pub struct Shared {
    root: PathBuf,
    remote: Option<Arc<dyn Remote>>,
}

impl Shared {
    /// A volume that all pods mount: what one writes, others read.
    pub fn volume(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            remote: None,
        }
    }

    /// A folder for this pod's copies of what `remote` keeps.
    pub fn copies(root: impl Into<PathBuf>, remote: Arc<dyn Remote>) -> Self {
        Self {
            root: root.into(),
            remote: Some(remote),
        }
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether files are kept elsewhere, so that what has been read once stays readable when the store does not answer.
    pub fn is_remote(&self) -> bool {
        self.remote.is_some()
    }

    /// Sees to it that the file is at that path, if the store has it. A copy that is there is not replaced.
    ///
    /// # Errors
    /// When the remote has no such file ([`io::ErrorKind::NotFound`]), or did not answer. Of a volume nothing is asked.
    pub fn pull(&self, path: &Path) -> Result<(), StoreError> {
        let is_there = self.remote.is_none() || path.exists();
        if is_there { Ok(()) } else { self.pull_again(path) }
    }

    /// Replaces the copy at that path by what the store has now.
    ///
    /// # Errors
    /// As [`Shared::pull`]; the copy that was there stays.
    pub fn pull_again(&self, path: &Path) -> Result<(), StoreError> {
        let Some(remote) = &self.remote else { return Ok(()) };
        let failed = |error| StoreError::io("read", path, error);
        let mut file = scratch::file(path)?;
        remote.get(&self.name(path)?, file.as_file_mut()).map_err(failed)?;
        scratch::commit(file, path)
    }

    /// Puts the file at that path where others find it.
    ///
    /// # Errors
    /// When the remote did not take it. Of a volume nothing is asked.
    pub fn push(&self, path: &Path) -> Result<(), StoreError> {
        let Some(remote) = &self.remote else { return Ok(()) };
        let name = self.name(path)?;
        File::open(path)
            .and_then(|mut file| remote.put(&name, &mut file))
            .map_err(|error| StoreError::io("write", path, error))
    }

    /// Length of a file in bytes; no copy is made.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] when there is none; others when it could not be asked.
    pub fn bytes(&self, path: &Path) -> Result<u64, StoreError> {
        let asked = match &self.remote {
            None => fs::metadata(path).map(|found| found.len()),
            Some(remote) => remote.bytes(&self.name(path)?),
        };
        asked.map_err(|error| StoreError::io("open", path, error))
    }

    /// Paths of the files in a folder, in any order; none where there is no such folder.
    ///
    /// # Errors
    /// When the folder cannot be read, or the remote did not answer.
    pub fn list(&self, folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
        let names = match &self.remote {
            None => names(folder),
            Some(remote) => remote.list(&self.name(folder)?),
        };
        let names = names.map_err(|error| StoreError::io("read", folder, error))?;
        Ok(names.into_iter().map(|name| folder.join(name)).collect())
    }

    /// Removes a file. That there is none is no error.
    ///
    /// # Errors
    /// When it is there and stays.
    pub fn remove(&self, path: &Path) -> Result<(), StoreError> {
        let failed = |error| StoreError::io("remove", path, error);
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        match &self.remote {
            None => Ok(()),
            Some(remote) => remote.remove(&self.name(path)?).map_err(failed),
        }
    }

    /// What the remote calls a file of the folder.
    fn name(&self, path: &Path) -> Result<String, StoreError> {
        let below = path.strip_prefix(&self.root).ok().and_then(Path::to_str);
        below
            .map(str::to_owned)
            .ok_or_else(|| StoreError::content(path, "it is not below the store's folder"))
    }
}

/// Names of the entries of a folder of this machine.
fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    };
    let name = |entry: io::Result<fs::DirEntry>| entry.map(|entry| entry.file_name().to_string_lossy().into_owned());
    entries.map(name).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::{Read as _, Write as _};
    use std::sync::Mutex;

    use super::*;

    /// Another folder, which can be away.
    #[derive(Debug)]
    struct Elsewhere {
        folder: PathBuf,
        away: Mutex<bool>,
    }

    impl Elsewhere {
        fn at(&self, name: &str) -> io::Result<PathBuf> {
            if *self.away.lock().unwrap() {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            Ok(self.folder.join(name))
        }
    }

    impl Remote for Elsewhere {
        fn get(&self, name: &str, out: &mut File) -> io::Result<()> {
            out.write_all(&fs::read(self.at(name)?)?)
        }

        fn bytes(&self, name: &str) -> io::Result<u64> {
            Ok(fs::metadata(self.at(name)?)?.len())
        }

        fn put(&self, name: &str, content: &mut File) -> io::Result<()> {
            let (path, mut all) = (self.at(name)?, Vec::new());
            content.read_to_end(&mut all)?;
            fs::create_dir_all(path.parent().unwrap())?;
            fs::write(path, all)
        }

        fn list(&self, folder: &str) -> io::Result<Vec<String>> {
            names(&self.at(folder)?)
        }

        fn remove(&self, name: &str) -> io::Result<()> {
            match fs::remove_file(self.at(name)?) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                removed => removed,
            }
        }
    }

    /// Pods with a folder each, and a remote that they share.
    pub(crate) struct Pods {
        folders: tempfile::TempDir,
        elsewhere: Arc<Elsewhere>,
    }

    impl Pods {
        pub(crate) fn new() -> Self {
            let folders = tempfile::tempdir().unwrap();
            let elsewhere = Arc::new(Elsewhere {
                folder: folders.path().join("elsewhere"),
                away: Mutex::new(false),
            });
            Self { folders, elsewhere }
        }

        pub(crate) fn pod(&self, name: &str) -> Shared {
            Shared::copies(
                self.folders.path().join(name),
                Arc::<Elsewhere>::clone(&self.elsewhere) as _,
            )
        }
    }

    fn kind<T: std::fmt::Debug>(failed: Result<T, StoreError>) -> io::ErrorKind {
        match failed.unwrap_err() {
            StoreError::Io { source, .. } => source.kind(),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn what_one_pod_puts_another_one_reads() {
        let pods = Pods::new();
        let (one, other) = (pods.pod("one"), pods.pod("other"));
        let (here, there) = (one.root().join("a/b.json"), other.root().join("a/b.json"));
        assert_eq!(kind(other.pull(&there)), io::ErrorKind::NotFound);
        assert!(!there.exists());
        scratch::write_json(&here, &[1, 2]).unwrap();
        one.push(&here).unwrap();
        assert_eq!(
            other.list(&other.root().join("a")).unwrap(),
            std::slice::from_ref(&there)
        );
        assert_eq!(other.bytes(&there).unwrap(), 5);
        other.pull(&there).unwrap();
        assert_eq!(fs::read(&there).unwrap(), b"[1,2]");
        other.remove(&there).unwrap();
        assert_eq!(kind(one.bytes(&here)), io::ErrorKind::NotFound);
        assert!(one.list(&one.root().join("none")).unwrap().is_empty());
    }

    #[test]
    fn a_copy_stays_readable_and_is_replaced_only_when_that_is_asked_for() {
        let pods = Pods::new();
        let (one, other) = (pods.pod("one"), pods.pod("other"));
        let (here, there) = (one.root().join("x"), other.root().join("x"));
        let put = |value: u32| {
            scratch::write_json(&here, &value).unwrap();
            one.push(&here).unwrap();
        };
        put(1);
        other.pull(&there).unwrap();
        put(2);
        other.pull(&there).unwrap();
        assert_eq!(fs::read(&there).unwrap(), b"1");
        *pods.elsewhere.away.lock().unwrap() = true;
        other.pull(&there).unwrap();
        assert_eq!(kind(other.pull_again(&there)), io::ErrorKind::ConnectionRefused);
        assert_eq!(fs::read(&there).unwrap(), b"1");
        assert_eq!(kind(other.bytes(&there)), io::ErrorKind::ConnectionRefused);
        *pods.elsewhere.away.lock().unwrap() = false;
        other.pull_again(&there).unwrap();
        assert_eq!(fs::read(&there).unwrap(), b"2");
    }

    #[test]
    fn of_a_volume_nothing_is_copied() {
        let folder = tempfile::tempdir().unwrap();
        let shared = Shared::volume(folder.path());
        let path = folder.path().join("a/x");
        shared.pull(&path).unwrap();
        assert!(!path.exists());
        scratch::write_json(&path, &1).unwrap();
        shared.push(&path).unwrap();
        assert_eq!(
            shared.list(&folder.path().join("a")).unwrap(),
            std::slice::from_ref(&path)
        );
        assert_eq!(shared.bytes(&path).unwrap(), 1);
        shared.remove(&path).unwrap();
        shared.remove(&path).unwrap();
    }
}
