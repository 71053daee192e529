//! Whether data are still those that were scored, without reading them whole.

use std::io::{self, Read, SeekFrom};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::dataset::Disk;
use crate::curriculum::canonical;

/// Bytes that are hashed at each end of a file. A data set of at most twice as many is hashed whole.
const EDGE: u64 = 1 << 20;
/// The same of each of very many files, which share one [`EDGE`].
const LEAST_EDGE: u64 = 4096;

/// What tells one content of a data set from another: bounded in size and in what must be read for it.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fingerprint {
    /// Length in bytes, of all files together.
    pub bytes: u64,
    /// SHA-256 of the first and the last MiB as `sha256:…`; of the whole file when it has no more than these. Of several files that of
    /// the name, length and [`Edges`] of each.
    pub edges: String,
    /// When the files were written last, where the file system says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified: Option<jiff::Timestamp>,
    /// What the job calls this content: `dataset.revision`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
}

/// What tells one content of a file from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edges {
    /// Length in bytes.
    pub bytes: u64,
    /// Bytes that were hashed at each end.
    pub edge: u64,
    /// SHA-256 of both ends as `sha256:…`; of the whole file when it has no more than these.
    pub digest: String,
    /// When it was written last.
    pub modified: Option<jiff::Timestamp>,
}

/// How many bytes are hashed at each end of a data set's files, of which there are `files` with `bytes` bytes together.
pub fn edge(files: usize, bytes: u64) -> u64 {
    if bytes <= 2 * EDGE {
        return EDGE;
    }
    (EDGE / (files as u64).max(1)).max(LEAST_EDGE)
}

impl Edges {
    /// Hashes `edge` bytes at each end of a file.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn take(disk: &dyn Disk, path: &Path, edge: u64) -> io::Result<Self> {
        let found = disk.look(path)?;
        let mut file = disk.open(path)?;
        let mut hash = Sha256::new();
        let mut add = |from: u64, to: u64| -> io::Result<()> {
            let mut bytes = Vec::new();
            file.seek(SeekFrom::Start(from))?;
            (&mut file).take(to - from).read_to_end(&mut bytes)?;
            hash.update(bytes);
            Ok(())
        };
        if found.bytes <= 2 * edge {
            add(0, found.bytes)?;
        } else {
            add(0, edge)?;
            add(found.bytes - edge, found.bytes)?;
        }
        Ok(Self {
            bytes: found.bytes,
            edge,
            digest: canonical::digest(hash),
            modified: found.modified,
        })
    }
}

impl Fingerprint {
    /// The fingerprint of a data set: name and edges of each file.
    pub fn new<'a>(files: impl IntoIterator<Item = (&'a str, &'a Edges)>, revision: Option<&str>) -> Self {
        let files: Vec<_> = files.into_iter().collect();
        let edges = match &files[..] {
            [(_, only)] => only.digest.clone(),
            several => {
                let mut hash = Sha256::new();
                for (name, edges) in several {
                    // No name has a line break without its length before it.
                    hash.update(format!("{} {name} {} {}\n", name.len(), edges.bytes, edges.digest));
                }
                canonical::digest(hash)
            }
        };
        Self {
            bytes: files.iter().map(|(_, edges)| edges.bytes).sum(),
            edges,
            modified: files.iter().filter_map(|(_, edges)| edges.modified).max(),
            revision: revision.map(str::to_owned),
        }
    }

    /// What shows that `now` is not the content that this is the fingerprint of; `None`: nothing does.
    ///
    /// The time counts for files that are not hashed whole, unless both have the same `revision`: then the user says that the
    /// content is the same.
    pub fn difference(&self, now: &Self) -> Option<String> {
        if self.bytes != now.bytes {
            return Some(format!(
                "their length was {} bytes and is now {}",
                self.bytes, now.bytes
            ));
        }
        if self.edges != now.edges {
            return Some("their length is the same, their content is not".to_owned());
        }
        let told = self.revision.is_some() && self.revision == now.revision;
        if self.bytes <= 2 * EDGE || told || self.modified == now.modified {
            return None;
        }
        let time = |time: Option<jiff::Timestamp>| time.map_or_else(|| "an unknown time".to_owned(), |t| t.to_string());
        Some(format!(
            "they were written at {}, and what was scored at {}; where that is the same content, name it by `dataset.revision`",
            time(now.modified),
            time(self.modified)
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::time::{Duration, SystemTime};

    use super::super::dataset::LocalDisk;
    use super::*;

    fn take(path: &Path, revision: Option<&str>) -> Fingerprint {
        let edges = Edges::take(&LocalDisk, path, EDGE).unwrap();
        Fingerprint::new([("data", &edges)], revision)
    }

    fn written_at(path: &Path, seconds: u64) {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        File::options()
            .write(true)
            .open(path)
            .unwrap()
            .set_modified(time)
            .unwrap();
    }

    #[test]
    fn a_small_file_is_known_by_all_of_its_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        fs::write(&path, "1\n2\n").unwrap();
        written_at(&path, 100);
        let before = take(&path, None);
        written_at(&path, 200);
        assert_eq!(
            before.difference(&take(&path, None)),
            None,
            "the same bytes at another time"
        );
        fs::write(&path, "2\n1\n").unwrap();
        written_at(&path, 100);
        let now = take(&path, None);
        assert_ne!(before.edges, now.edges);
        assert_eq!(
            before.difference(&now).as_deref(),
            Some("their length is the same, their content is not")
        );
        fs::write(&path, "1\n2\n3\n").unwrap();
        assert_eq!(
            before.difference(&take(&path, Some("b"))).as_deref(),
            Some("their length was 4 bytes and is now 6")
        );
    }

    #[test]
    fn a_large_file_is_known_by_its_ends_and_its_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        let mut bytes = vec![b'a'; 3 << 20];
        fs::write(&path, &bytes).unwrap();
        written_at(&path, 100);
        let (before, named) = (take(&path, None), take(&path, Some("a")));
        // Between the ends.
        bytes[3 << 19] = b'b';
        fs::write(&path, &bytes).unwrap();
        written_at(&path, 200);
        let now = take(&path, None);
        assert_eq!(before.edges, now.edges);
        assert_eq!(
            before.difference(&now).as_deref(),
            Some(
                "they were written at 1970-01-01T00:03:20Z, and what was scored at 1970-01-01T00:01:40Z; where that is the same \
                 content, name it by `dataset.revision`"
            )
        );
        assert_eq!(named.difference(&take(&path, Some("a"))), None, "the user says so");
        assert!(named.difference(&take(&path, Some("b"))).is_some());
        bytes[(3 << 20) - 1] = b'c';
        fs::write(&path, &bytes).unwrap();
        assert_ne!(before.edges, take(&path, None).edges);
    }
}
