//! Whether a file is still the one that was scored, without reading it whole.

use std::io::{self, Read, SeekFrom};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::dataset::Disk;
use super::index_file::digest_text;

/// Bytes that are hashed at each end of a file. A file of at most twice as many is hashed whole.
const EDGE: u64 = 1 << 20;

/// What tells one content of a file from another: bounded in size and in what must be read for it.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fingerprint {
    /// Length in bytes.
    pub bytes: u64,
    /// SHA-256 of the first and the last MiB as `sha256:…`; of the whole file when it has no more than these.
    pub edges: String,
    /// When the file was written last, where the file system says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified: Option<jiff::Timestamp>,
    /// What the job calls this content: `dataset.revision`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
}

impl Fingerprint {
    /// Takes the fingerprint of a file.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn take(disk: &dyn Disk, path: &Path, revision: Option<&str>) -> io::Result<Self> {
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
        if found.bytes <= 2 * EDGE {
            add(0, found.bytes)?;
        } else {
            add(0, EDGE)?;
            add(found.bytes - EDGE, found.bytes)?;
        }
        Ok(Self {
            bytes: found.bytes,
            edges: digest_text(hash),
            modified: found.modified,
            revision: revision.map(str::to_owned),
        })
    }

    /// Whether the ends of the file, or the whole of a small one, are those of `other`. When it was written does not count: a
    /// volume that is made anew for every pod, such as a `ConfigMap`, has new times for the same content.
    pub fn has_edges_of(&self, other: &Self) -> bool {
        (self.bytes, &self.edges) == (other.bytes, &other.edges)
    }

    /// What shows that `now` is not the content that this is the fingerprint of; `None`: nothing does.
    ///
    /// The time counts for files that are not hashed whole, unless both have the same `revision`: then the user says that the
    /// content is the same.
    pub fn difference(&self, now: &Self) -> Option<String> {
        if self.bytes != now.bytes {
            return Some(format!("its length was {} bytes and is now {}", self.bytes, now.bytes));
        }
        if self.edges != now.edges {
            return Some("its length is the same, its content is not".to_owned());
        }
        let told = self.revision.is_some() && self.revision == now.revision;
        if self.bytes <= 2 * EDGE || told || self.modified == now.modified {
            return None;
        }
        let time = |time: Option<jiff::Timestamp>| time.map_or_else(|| "an unknown time".to_owned(), |t| t.to_string());
        Some(format!(
            "it was written at {}, and what was scored at {}; where that is the same content, name it by `dataset.revision`",
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
        Fingerprint::take(&LocalDisk, path, revision).unwrap()
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
        assert!(!before.has_edges_of(&now));
        assert_eq!(
            before.difference(&now).as_deref(),
            Some("its length is the same, its content is not")
        );
        fs::write(&path, "1\n2\n3\n").unwrap();
        assert_eq!(
            before.difference(&take(&path, Some("b"))).as_deref(),
            Some("its length was 4 bytes and is now 6")
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
        assert!(before.has_edges_of(&now));
        assert_eq!(
            before.difference(&now).as_deref(),
            Some(
                "it was written at 1970-01-01T00:03:20Z, and what was scored at 1970-01-01T00:01:40Z; where that is the same \
                 content, name it by `dataset.revision`"
            )
        );
        assert_eq!(named.difference(&take(&path, Some("a"))), None, "the user says so");
        assert!(named.difference(&take(&path, Some("b"))).is_some());
        bytes[(3 << 20) - 1] = b'c';
        fs::write(&path, &bytes).unwrap();
        assert!(!before.has_edges_of(&take(&path, None)));
    }
}
