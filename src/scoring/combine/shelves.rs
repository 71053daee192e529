//! Sorting rows that have few distinct scores: a shelf for each score, and only the ties are sorted, by their hashes.

use rustc_hash::FxHashMap;

/// Distinct scores up to which this is worth it. Lengths, levels and votes have fewer; measured values have more at once.
const FEW: usize = 1 << 12;

/// The scores of all rows by number of their shelf.
pub(super) struct Shelves {
    /// Sort key of each shelf.
    keys: Vec<u64>,
    /// Rows on each shelf.
    counts: Vec<usize>,
    /// Shelf of each row.
    shelf_of: Vec<u16>,
}

impl Shelves {
    /// Takes the rows' sort keys; `None` once there are too many distinct ones.
    pub(super) fn new(keys: impl ExactSizeIterator<Item = u64>) -> Option<Self> {
        let mut shelves = Self {
            keys: Vec::new(),
            counts: Vec::new(),
            shelf_of: Vec::with_capacity(keys.len()),
        };
        let mut known = FxHashMap::default();
        for key in keys {
            let shelf = *known.entry(key).or_insert_with(|| {
                shelves.keys.push(key);
                shelves.counts.push(0);
                shelves.keys.len() - 1
            });
            if shelf == FEW {
                return None;
            }
            shelves.counts[shelf] += 1;
            // Less than FEW.
            shelves.shelf_of.push(shelf as u16);
        }
        Some(shelves)
    }

    /// The keys in ascending order, each with its number of rows; and, in the same order, `hash` of each row, ascending within a key.
    pub(super) fn sorted(self, hash: impl Fn(u64) -> u64) -> (Vec<(u64, usize)>, Vec<u64>) {
        let mut by_key: Vec<usize> = (0..self.keys.len()).collect();
        by_key.sort_unstable_by_key(|&shelf| self.keys[shelf]);
        let mut next = vec![0; self.keys.len()];
        let mut start = 0;
        for &shelf in &by_key {
            next[shelf] = start;
            start += self.counts[shelf];
        }
        let mut hashes = vec![0; self.shelf_of.len()];
        for (&shelf, row) in self.shelf_of.iter().zip(0..) {
            let place = &mut next[usize::from(shelf)];
            hashes[*place] = hash(row);
            *place += 1;
        }
        drop(self.shelf_of);
        let mut rest = hashes.as_mut_slice();
        let mut sizes = Vec::with_capacity(by_key.len());
        for shelf in by_key {
            let (ties, others) = rest.split_at_mut(self.counts[shelf]);
            ties.sort_unstable();
            rest = others;
            sizes.push((self.keys[shelf], self.counts[shelf]));
        }
        (sizes, hashes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_score_too_many_is_left_to_others() {
        let all = 0..FEW as u64;
        assert!(Shelves::new(all.clone().map(|key| key * 7).collect::<Vec<_>>().into_iter()).is_some());
        let keys: Vec<u64> = all.chain([u64::MAX]).collect();
        assert!(Shelves::new(keys.into_iter()).is_none());
    }

    proptest! {
        #[test]
        fn shelves_sort_as_sorting_does(keys in prop::collection::vec(0..9_u64, 0..300), seed: u64) {
            let hash = |row: u64| (row ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let (sizes, hashes) = Shelves::new(keys.clone().into_iter()).unwrap().sorted(hash);
            let found = sizes.iter().flat_map(|&(key, count)| std::iter::repeat_n(key, count)).zip(hashes);
            let mut expected: Vec<(u64, u64)> = keys.into_iter().zip((0..).map(hash)).collect();
            expected.sort_unstable();
            prop_assert_eq!(found.collect::<Vec<_>>(), expected);
        }
    }
}
