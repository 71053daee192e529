//! How far each rank is, on file at every step: a restart of the sampler's container must neither forget a batch nor invent one.
//!
//! One little-endian u64 for each rank of a generation of sessions, overwritten in place: what was written stays when the process is
//! killed, and costs no more than a system call. A node that dies takes the pod with it, so nothing is synced.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

const PREFIX: &str = "handed-out-";

/// The file of one generation.
#[derive(Debug)]
pub struct Frontiers {
    file: File,
}

impl Frontiers {
    /// A new file for `world` ranks; those of other generations go.
    ///
    /// A process that dies in between leaves files of generations that no journal names: the next generation removes them.
    ///
    /// # Errors
    /// When the folder or the file cannot be written.
    pub fn create(dir: &Path, generation: u32, world: u32) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(PREFIX) {
                fs::remove_file(entry.path())?;
            }
        }
        let mut options = OpenOptions::new();
        let file = options
            .write(true)
            .create(true)
            .truncate(true)
            .open(path(dir, generation))?;
        file.set_len(8 * u64::from(world))?;
        Ok(Self { file })
    }

    /// The file as it was left, and the first step that each rank did not get; 0 for a rank that got nothing.
    ///
    /// # Errors
    /// When it is missing or cannot be read.
    pub fn open(dir: &Path, generation: u32) -> io::Result<(Self, Vec<u64>)> {
        let path = path(dir, generation);
        let steps = fs::read(&path)?
            .as_chunks::<8>()
            .0
            .iter()
            .map(|bytes| u64::from_le_bytes(*bytes))
            .collect();
        let file = OpenOptions::new().write(true).open(path)?;
        Ok((Self { file }, steps))
    }

    /// Notes the first step that a rank did not get.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn set(&self, rank: u32, step: u64) -> io::Result<()> {
        self.file.write_all_at(&step.to_le_bytes(), 8 * u64::from(rank))
    }
}

fn path(dir: &Path, generation: u32) -> std::path::PathBuf {
    dir.join(format!("{PREFIX}{generation}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_set_is_there_at_once_and_only_the_newest_generation_stays() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("not/there/yet");
        Frontiers::create(&state, 1, 2).unwrap();
        let file = Frontiers::create(&state, 2, 3).unwrap();
        file.set(2, 17).unwrap();
        file.set(0, 1 << 40).unwrap();
        assert_eq!(Frontiers::open(&state, 2).unwrap().1, [1 << 40, 0, 17]);
        assert_eq!(Frontiers::open(&state, 1).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
