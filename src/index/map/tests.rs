use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::index::file::{self, IndexContent};
use crate::index::order::Order;

fn written(scores: Vec<f64>, groups: Option<(&[u8], &[u64])>) -> (TempDir, PathBuf, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index/index.arrow");
    let order = Order::new(scores, 7, None);
    let grouped = groups.map(|(of, rows)| order.by_group(of, rows));
    let group_rows = groups.map_or(Vec::new(), |(_, rows)| rows.to_vec());
    let group_names = (0..group_rows.len()).map(|group| format!("group {group}")).collect();
    let content = IndexContent {
        key: "abc".to_owned(),
        group_rows,
        group_names,
        order,
        grouped,
        lengths: None,
    };
    let written = file::write(&path, content).unwrap();
    assert_eq!(written.bytes, fs::metadata(&path).unwrap().len());
    (folder, path, written.digest)
}

fn example() -> (TempDir, PathBuf, String) {
    written(vec![0.5, 0.1, f64::NAN, 0.3, 0.7], Some((&[1, 0, 1, 1, 0], &[2, 3])))
}

#[test]
fn an_index_comes_back_as_it_was_written() {
    let (_folder, path, digest) = example();
    let index = ScoreIndex::open(&path, Some(&digest)).unwrap();
    assert_eq!((index.key(), index.len(), index.is_empty()), ("abc", 5, false));
    assert_eq!(index.rows(), [1, 3, 0, 4, 2]);
    assert_eq!(index.scores()[..4], [0.1, 0.3, 0.5, 0.7]);
    assert!(index.scores()[4].is_nan());
    assert_eq!(index.ranks(), [0.2, 0.4, 0.6, 0.8, 1.0]);
    assert_eq!(index.group_offsets(), [0, 2, 5]);
    assert_eq!(index.group_rows(), [2, 3]);
    assert_eq!(index.group_names(), ["group 0", "group 1"]);
    assert_eq!(index.group_rows_order(0), [1, 4]);
    assert_eq!(index.group_rows_order(1), [3, 0, 2]);
    assert!(index.group_rows_order(2).is_empty() && index.group_rows_order(u32::MAX).is_empty());
}

#[test]
fn the_order_of_the_core_is_that_of_the_index() {
    let (_folder, path, _) = example();
    let index = ScoreIndex::open(&path, None).unwrap();
    assert_eq!(index.row(OrderScope::All, 1), 3);
    assert_eq!(index.row(OrderScope::Group(1), 2), 2);
    let mut positions = [2, 0];
    RowOrder::rows(&index, OrderScope::Group(1), &mut positions);
    assert_eq!(positions, [2, 3]);
    assert_eq!(index.row(OrderScope::Group(1), 3), 0);
}

#[test]
fn without_groups_all_rows_are_one_group() {
    let (_folder, path, digest) = written(vec![2.0, 1.0], None);
    let index = ScoreIndex::open(&path, Some(&digest)).unwrap();
    assert_eq!(index.group_offsets(), [0, 2]);
    assert!(index.group_names().is_empty());
    assert_eq!(index.group_rows_order(0), index.rows());
}

#[test]
fn other_arrow_readers_can_read_it() {
    let (_folder, path, _) = example();
    let reader = arrow_ipc::reader::FileReader::try_new(fs::File::open(&path).unwrap(), None).unwrap();
    let batches: Vec<_> = reader.collect::<Result<_, _>>().unwrap();
    assert_eq!((batches.len(), batches[0].num_rows()), (1, 5));
    assert_eq!(batches[0].schema().metadata()["groupRows"], "[2,3]");
}

#[test]
fn another_file_than_the_promised_one_is_refused() {
    let (_folder, path, digest) = example();
    let mut bytes = fs::read(&path).unwrap();
    for place in 0..bytes.len() {
        bytes[place] ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert!(
            matches!(ScoreIndex::open(&path, Some(&digest)), Err(IndexError::Digest { .. })),
            "byte {place}"
        );
        bytes[place] ^= 1;
    }
    fs::write(&path, &bytes).unwrap();
    ScoreIndex::open(&path, Some(&digest)).unwrap();
    assert!(matches!(
        ScoreIndex::open(&path.join("no"), None),
        Err(IndexError::Io(_))
    ));
}

#[test]
fn a_file_of_another_shape_says_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index.arrow");
    let content = |group_rows: Vec<u64>, rows: Vec<u64>, grouped: Vec<u64>| IndexContent {
        key: String::new(),
        group_names: vec![String::new(); group_rows.len()],
        group_rows,
        order: Order {
            scores: vec![0.0; rows.len()],
            ranks: vec![0.5; rows.len()],
            scored: rows.len(),
            rows,
        },
        grouped: Some(grouped),
        lengths: None,
    };
    for (content, complaint) in [
        (
            content(vec![], vec![0, 2], vec![0, 1]),
            "it names rows that do not exist",
        ),
        (
            content(vec![2], vec![0, 1], vec![0, 2]),
            "it names rows that do not exist",
        ),
        (
            content(vec![1], vec![0, 1], vec![0, 1]),
            "its groups do not sum to its rows",
        ),
        (
            content(vec![u64::MAX, 3], vec![0, 1], vec![0, 1]),
            "its groups have too many rows",
        ),
    ] {
        file::write(&path, content).unwrap();
        let error = ScoreIndex::open(&path, None).unwrap_err().to_string();
        assert_eq!(error, format!("the file is no score index: {complaint}"));
    }
    for (bytes, complaint) in [(&b""[..], "it is too short"), (&[b'x'; 100], "it is no Arrow file")] {
        fs::write(&path, bytes).unwrap();
        let error = ScoreIndex::open(&path, None).unwrap_err().to_string();
        assert!(error.ends_with(complaint), "{error}");
    }
}

/// Opens a file of these bytes without a digest and, if that works, reads everything.
fn open_bytes(bytes: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index.arrow");
    fs::write(&path, bytes).unwrap();
    if let Ok(index) = ScoreIndex::open(&path, None) {
        let all = index.len();
        assert!(index.rows().iter().all(|row| *row < all));
        assert_eq!((index.scores().len() as u64, index.ranks().len() as u64), (all, all));
        let groups = index.group_offsets().len() as u32 - 1;
        let rows: usize = (0..groups).map(|group| index.group_rows_order(group).len()).sum();
        assert_eq!(rows as u64, all);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn garbage_is_an_error_and_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        open_bytes(&bytes);
        open_bytes(&[b"ARROW1\0\0", &bytes[..], b"ARROW1"].concat());
    }

    #[test]
    fn a_damaged_index_is_an_error_and_no_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4), length in any::<prop::sample::Index>(), cut: bool) {
        let (_folder, path, _) = example();
        let mut bytes = fs::read(path).unwrap();
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        if cut {
            bytes.truncate(length.index(bytes.len()));
        }
        open_bytes(&bytes);
    }
}
