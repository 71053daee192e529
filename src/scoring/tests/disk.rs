//! Disks and networks that fail for a moment: whatever call it hits, the command may be tried again.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow_array::{ArrayRef, Int64Array, StringArray};
use rustix::io::Errno;

use super::centre::centre_distance;
use super::duplicates::duplicates;
use super::tokens::{tokens, words};
use super::*;
use crate::scoring::dataset::{Disk, Entry, Found, Input, LocalDisk, Root};
use crate::scoring::report::EXIT_IO;
use crate::scoring::task::Metric;
use crate::store::Shared;

const ERRORS: [Errno; 6] = [
    Errno::STALE,
    Errno::IO,
    Errno::TIMEDOUT,
    Errno::AGAIN,
    Errno::NOTCONN,
    Errno::HOSTDOWN,
];

/// A disk of which one call fails.
#[derive(Clone, Debug)]
struct Faulty {
    calls: Arc<AtomicU64>,
    fails: u64,
}

impl Faulty {
    fn new(fails: u64) -> Self {
        Self {
            calls: Arc::default(),
            fails,
        }
    }

    fn call(&self) -> io::Result<()> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        if call != self.fails {
            return Ok(());
        }
        let error = ERRORS[call as usize % ERRORS.len()];
        Err(io::Error::from_raw_os_error(error.raw_os_error()))
    }

    fn has_failed(&self) -> bool {
        self.calls.load(Ordering::Relaxed) > self.fails
    }

    /// The decoder of gzip asks once more by itself when it is told to.
    fn may_go_on(&self) -> bool {
        ERRORS[self.fails as usize % ERRORS.len()] == Errno::AGAIN
    }
}

impl Disk for Faulty {
    fn look(&self, path: &Path) -> io::Result<Found> {
        self.call()?;
        LocalDisk.look(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<Entry>> {
        self.call()?;
        LocalDisk.list(folder)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Input>> {
        self.call()?;
        let file = File::open(path)?;
        Ok(Box::new(FaultyFile {
            file,
            disk: self.clone(),
        }))
    }
}

struct FaultyFile {
    file: File,
    disk: Faulty,
}

impl Read for FaultyFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.disk.call()?;
        self.file.read(buffer)
    }
}

impl Seek for FaultyFile {
    fn seek(&mut self, place: SeekFrom) -> io::Result<u64> {
        self.disk.call()?;
        self.file.seek(place)
    }
}

/// Fails one call after the other, until the work needs no more calls. Returns how many it needs.
fn sweep(place: &Place, work: impl Fn(&Root, &Store) -> Result<(), ScoringError>) -> u64 {
    for fails in 0.. {
        let disk = Faulty::new(fails);
        let store = Store::on(Arc::new(disk.clone()), Shared::volume(place.store_root()));
        let root = Root {
            disk: Arc::new(disk.clone()),
            path: place.root(),
        };
        match work(&root, &store) {
            Ok(()) if !disk.has_failed() => return fails,
            Ok(()) if disk.may_go_on() => {}
            Ok(()) => panic!("call {fails} failed, and nothing came of it"),
            Err(error) => assert_eq!(error.exit_code(), EXIT_IO, "call {fails}: {error:?}"),
        }
    }
    unreachable!("some number of calls is enough")
}

#[test]
fn no_call_that_fails_for_a_moment_blames_the_data_or_the_scores() {
    let csv = b"n,text,g\n1,a b,0\n2,\"c\nd\",1\n3,e,0\n";
    let json = b"{\"n\":1,\"text\":\"a\",\"g\":0}\n{\"n\":2,\"text\":\"b\",\"g\":1}\n";
    let parquet = parquet_of(vec![
        ("n", Arc::new(Int64Array::from(vec![1, 2, 3])) as ArrayRef),
        ("text", Arc::new(StringArray::from(vec!["a", "b c", "d"]))),
        ("g", Arc::new(Int64Array::from(vec![0, 1, 0]))),
    ]);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    io::Write::write_all(&mut gzip, csv).unwrap();
    for (extension, content) in [
        ("csv", csv.to_vec()),
        ("csv", gzip.finish().unwrap()),
        ("jsonl", json.to_vec()),
        ("jsonl", zstd::encode_all(&json[..], 1).unwrap()),
        ("parquet", parquet),
    ] {
        let place = Place::new(extension, &content, vec![column("n"), rarity("text"), tokens("t.json")]).grouped("g");
        std::fs::write(place.root().join("t.json"), words().to_string()).unwrap();
        let task = &place.task;
        let calls = sweep(&place, |root, store| {
            inspect(task, root, store)?;
            place
                .shards()
                .try_for_each(|shard| count_shard(task, root, store, shard))?;
            place
                .shards()
                .try_for_each(|shard| score_shard(task, root, store, shard))?;
            build_index(task, store, jiff::Timestamp::UNIX_EPOCH).map(drop)
        });
        assert!(calls > 20, "{extension}: {calls}");
        // With an index there: a moment's failure must not have everything scored again.
        sweep(&place, |root, store| {
            let found = inspect(task, root, store)?.found;
            assert!(found.is_some_and(|found| found.exact));
            Ok(())
        });
    }
}

#[test]
fn no_call_that_fails_for_a_moment_blames_what_was_counted() {
    let json = b"{\"text\":\"a b\",\"e\":[1]}\n{\"text\":\"A b\",\"e\":[2]}\n{\"text\":\"c\",\"e\":[3]}\n";
    let scorers = vec![duplicates("text", 2), centre_distance("e", Metric::Euclidean)];
    let place = Place::new("jsonl", json, scorers).grouped("text");
    place.inspect().unwrap();
    let task = &place.task;
    let calls = sweep(&place, |root, store| {
        let mut shards = place.shards();
        shards.try_for_each(|shard| count_shard(task, root, store, shard))?;
        place
            .shards()
            .try_for_each(|shard| score_shard(task, root, store, shard))
    });
    assert!(calls > 40, "{calls}");
}
