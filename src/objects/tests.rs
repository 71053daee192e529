//! Reading objects through the disk, against a store in memory that counts and fails.

use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use object_store::memory::InMemory;
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt as _, PutPayload};
use proptest::prelude::*;

use super::address::Address;
use super::disk::ObjectDisk;
use super::runtime::wait;
use crate::scoring::dataset::{Disk as _, EntryKind};

fn put(store: &Arc<InMemory>, key: &str, content: Vec<u8>) {
    wait(store.put(&Key::parse(key).unwrap(), PutPayload::from(content))).unwrap();
}

fn disk(store: &Arc<InMemory>, url: &str) -> ObjectDisk {
    let store: Arc<dyn ObjectStore> = Arc::clone(store) as _;
    ObjectDisk::new(Address::parse(url).unwrap(), store, None)
}

/// Bytes that differ from block to block.
fn content(bytes: usize) -> Vec<u8> {
    (0..bytes)
        .map(|at| u8::try_from((at * 31 + at / 1000) % 251).unwrap())
        .collect()
}

#[test]
fn folders_are_what_stands_before_a_slash() {
    let store = Arc::new(InMemory::new());
    for key in ["data/a.csv", "data/b/c.csv", "data/b/d/e.csv", "other.csv"] {
        put(&store, key, vec![1, 2, 3]);
    }
    let disk = disk(&store, "s3://bucket/data");
    let found = disk.look(Path::new("a.csv")).unwrap();
    assert!(found.is_file && found.bytes == 3 && found.modified.is_some());
    assert!(!disk.look(Path::new("b")).unwrap().is_file);
    for missing in ["other.csv", "b/c", "nothing"] {
        let error = disk.look(Path::new(missing)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound, "{missing}: {error}");
    }
    let mut names: Vec<(String, EntryKind)> = disk
        .list(Path::new(""))
        .unwrap()
        .into_iter()
        .map(|entry| (entry.name.into_string().unwrap(), entry.kind))
        .collect();
    names.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(
        names,
        [
            ("a.csv".to_owned(), EntryKind::File),
            ("b".to_owned(), EntryKind::Folder)
        ]
    );
}

#[test]
fn an_object_that_changes_while_it_is_read_is_noticed() {
    let store = Arc::new(InMemory::new());
    put(&store, "a", content(5 << 20));
    let disk = disk(&store, "s3://bucket");
    let mut file = disk.open(Path::new("a")).unwrap();
    let mut some = [0; 100];
    file.read_exact(&mut some).unwrap();
    put(&store, "a", content(5 << 20));
    let error = io::copy(&mut file, &mut io::sink()).unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (io::ErrorKind::InvalidData, "it changed while it was read")
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever is read in whatever order is what a file would give.
    #[test]
    fn an_object_reads_as_a_file(
        bytes in 0..(20_usize << 20),
        reads in prop::collection::vec((any::<prop::sample::Index>(), 1..(3_usize << 20)), 1..12),
    ) {
        let store = Arc::new(InMemory::new());
        let all = content(bytes);
        put(&store, "p/a", all.clone());
        let mut file = disk(&store, "s3://bucket/p").open(Path::new("a")).unwrap();
        for (place, length) in reads {
            let start = place.index(bytes + 1);
            file.seek(SeekFrom::Start(start as u64)).unwrap();
            let mut got = Vec::new();
            (&mut file).take(length as u64).read_to_end(&mut got).unwrap();
            let end = (start + length).min(bytes);
            let expected = &all[start..end];
            prop_assert!(got == expected);
        }
        let end = file.seek(SeekFrom::End(-(bytes.min(10) as i64))).unwrap();
        prop_assert_eq!(end, (bytes - bytes.min(10)) as u64);
    }
}
