//! Rows with few distinct keys, such as lengths in words: put in order by counting them, which compares none.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::Range;

use super::mix;

/// Most distinct keys. The rows of each are written in a place of their own, and a processor has so many at hand.
pub(super) const MOST: usize = 2048;

/// A value of each distinct key.
pub(super) type ByKey<V> = HashMap<u64, V, BuildHasherDefault<KeyHasher>>;

/// The places that the rows of each distinct key take together, keys ascending; `None` when the keys are not few.
pub(super) fn levels(keys: impl Iterator<Item = u64>) -> Option<Vec<(u64, Range<usize>)>> {
    let mut counts: ByKey<usize> = HashMap::default();
    for key in keys {
        *counts.entry(key).or_default() += 1;
        if counts.len() > MOST {
            return None;
        }
    }
    let mut counts: Vec<(u64, usize)> = counts.into_iter().collect();
    counts.sort_unstable();
    let mut start = 0;
    let places = counts.into_iter().map(|(key, count)| {
        start += count;
        (key, start - count..start)
    });
    Some(places.collect())
}

/// The hashes of all rows, by key and then by hash. `hash` is that of a row's number.
pub(super) fn sort(keys: &[u64], levels: &[(u64, Range<usize>)], hash: impl Fn(u64) -> u64) -> Vec<u64> {
    let mut next: ByKey<usize> = levels.iter().map(|(key, places)| (*key, places.start)).collect();
    let mut hashes = vec![0; keys.len()];
    for (key, row) in keys.iter().zip(0..) {
        if let Some(place) = next.get_mut(key) {
            hashes[*place] = hash(row);
            *place += 1;
        }
    }
    for (_, places) in levels {
        hashes[places.clone()].sort_unstable();
    }
    hashes
}

/// The hash of a key, for a table: [`mix`] is enough, since nobody chooses keys to meet in one place of it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = mix(self.0 ^ key);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
