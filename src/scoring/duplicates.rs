//! Near-duplicates: how much of a row's text an earlier row has already.
//!
//! ```text
//! count: text of each row ─► sketch ─► sketches of the shard, key by key
//! score: the shard's rows by one key ◄─ the same key of each row before ─► pairs of rows ─► the greatest similarity of each row
//! ```
//!
//! Rows with the same *key* are candidates: a band of their sketches, or the whole of it. So that a text that is there a million times
//! costs no more than a million others, a row is compared, for each key, with the first row that has it and with the last one before
//! it, and with no other. Which rows these are depends on all rows and not on how they are divided.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::io::{self, Read, Write};
use std::ops::Range;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::counted::{self, CountedFile};
use super::dataset::Cell;
use super::error::ScoringError;
use super::manifest::Manifest;
use super::minhash::{self, BANDS, Sketch, Sketcher, agreement, mix};
use super::shards::Unscored;
use super::store::{Shard, Store};
use super::task::Task;

/// Keys of a row: the bands, and the whole sketch.
const KEYS: usize = BANDS + 1;
const WHOLE: usize = BANDS;
const WIDTH: u64 = size_of::<u64>() as u64;
/// All orders agree: nothing is more alike.
const ALL: u8 = 128;
/// Pairs that are kept before those that stand there twice are removed.
const MANY_PAIRS: usize = 1 << 20;

/// What a shard's file has of a row besides its keys: whether it has a text and, if not, why.
const TEXT: u8 = 0;

fn state_of(unscored: Unscored) -> u8 {
    match unscored {
        Unscored::Empty => 1,
        Unscored::Unreadable => 2,
        _ => 3,
    }
}

fn unscored(state: u8) -> Option<Unscored> {
    match state {
        TEXT => None,
        1 => Some(Unscored::Empty),
        2 => Some(Unscored::Unreadable),
        _ => Some(Unscored::Unsuitable),
    }
}

/// The first line of a file of sketches.
#[derive(Serialize, Deserialize, Debug)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Of {
    rows: u64,
}

/// Sketches of a shard's texts, as they are counted.
pub(super) struct Sketches {
    sketcher: Sketcher,
    sketches: Vec<Sketch>,
    states: Vec<u8>,
}

impl Sketches {
    /// For `rows` rows, with shingles of so many words.
    pub(super) fn new(shingle: u32, rows: u64) -> Self {
        let rows = usize::try_from(rows).unwrap_or_default();
        Self {
            sketcher: Sketcher::new(shingle),
            sketches: Vec::with_capacity(rows),
            states: Vec::with_capacity(rows),
        }
    }

    /// Adds the next row.
    pub(super) fn add(&mut self, cell: Cell<'_>) {
        let (sketch, state) = match cell {
            Cell::Text(text) => (self.sketcher.sketch(text), TEXT),
            Cell::Empty => (Sketch::default(), state_of(Unscored::Empty)),
            Cell::Unreadable => (Sketch::default(), state_of(Unscored::Unreadable)),
            _ => (Sketch::default(), state_of(Unscored::Unsuitable)),
        };
        self.sketches.push(sketch);
        self.states.push(state);
    }

    /// Leaves them at that path: for each key that of all rows, and at the end the states. Keys of rows without a text are 0, which no
    /// text has but with a probability of 2⁻⁶⁴, and then it costs a comparison.
    pub(super) fn write(self, path: &Path, manifest: &Manifest) -> Result<(), ScoringError> {
        let rows = self.sketches.len() as u64;
        counted::write(path, manifest, &Of { rows }, |writer| {
            for key in 0..KEYS {
                for (sketch, state) in self.sketches.iter().zip(&self.states) {
                    let key = if *state == TEXT { key_of(sketch, key) } else { 0 };
                    writer.write_all(&key.to_le_bytes())?;
                }
            }
            writer.write_all(&self.states)
        })
    }
}

fn key_of(sketch: &Sketch, key: usize) -> u64 {
    sketch.get(key).copied().unwrap_or_else(|| minhash::whole(sketch))
}

/// A shard's file of sketches.
struct SketchFile {
    file: CountedFile,
    rows: Range<u64>,
}

impl SketchFile {
    fn open(store: &Store, task: &Task, scorer: &str, shard: Shard, manifest: &Manifest) -> Result<Self, ScoringError> {
        let rows = shard.rows(manifest.rows);
        let count = rows.end - rows.start;
        let path = store.sketches(task, scorer, shard);
        let (file, _) = CountedFile::open(store, path, manifest, |of: &Of| {
            (of.rows == count).then_some(count * (KEYS as u64 * WIDTH + 1))
        })?;
        Ok(Self { file, rows })
    }

    fn count(&self) -> u64 {
        self.rows.end - self.rows.start
    }

    /// Hands a key of each row to `visit`.
    fn keys(&self, key: usize, mut visit: impl FnMut(u64, u64)) -> Result<(), ScoringError> {
        self.file.read(key as u64 * self.count() * WIDTH, |file| {
            self.rows
                .clone()
                .try_for_each(|row| read_word(file).map(|word| visit(row, word)))
        })
    }

    fn sketches(&self) -> Result<Vec<Sketch>, ScoringError> {
        let mut sketches = vec![Sketch::default(); usize::try_from(self.count()).unwrap_or(usize::MAX)];
        self.file.read(0, |file| {
            for band in 0..BANDS {
                for sketch in &mut sketches {
                    sketch[band] = read_word(file)?;
                }
            }
            Ok(())
        })?;
        Ok(sketches)
    }

    fn states(&self) -> Result<Vec<u8>, ScoringError> {
        let mut states = vec![0; usize::try_from(self.count()).unwrap_or(usize::MAX)];
        self.file
            .read(KEYS as u64 * self.count() * WIDTH, |file| file.read_exact(&mut states))?;
        Ok(states)
    }
}

fn read_word(file: &mut impl Read) -> io::Result<u64> {
    let mut bytes = [0; WIDTH as usize];
    file.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

/// The rows that have a key, as far as they were seen: the first and the last.
#[derive(Clone, Copy)]
struct Holders {
    first: u64,
    last: u64,
}

impl Holders {
    const NONE: Self = Self {
        first: u64::MAX,
        last: u64::MAX,
    };

    fn add(&mut self, row: u64) {
        if self.first == u64::MAX {
            self.first = row;
        }
        self.last = row;
    }
}

/// Keys by a hash that takes all of their bytes: similar texts have some in common.
#[derive(Default)]
struct KeyHasher(u64);

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

type KeyTable = HashMap<u64, Holders, BuildHasherDefault<KeyHasher>>;

/// How much of each of a shard's rows is in an earlier row.
pub(super) struct Similarities {
    /// In how many orders a row agrees with the most similar of the earlier rows that it was compared with.
    agreements: Vec<u8>,
    states: Vec<u8>,
}

impl Similarities {
    /// Compares the rows of a shard with those before them, of all shards up to this one.
    ///
    /// # Errors
    /// When the sketches of a shard are missing or not readable.
    pub(super) fn find(
        store: &Store,
        task: &Task,
        scorer: &str,
        shard: Shard,
        manifest: &Manifest,
    ) -> Result<Self, ScoringError> {
        let open = |index| {
            let shard = Shard { index, ..shard };
            SketchFile::open(store, task, scorer, shard, manifest)
        };
        let before = (0..shard.index).map(open).collect::<Result<Vec<_>, _>>()?;
        let own = open(shard.index)?;
        let mut search = Search {
            first: own.rows.start,
            sketches: own.sketches()?,
            found: Self {
                agreements: vec![0; usize::try_from(own.count()).unwrap_or(usize::MAX)],
                states: own.states()?,
            },
            table: KeyTable::default(),
            pairs: Vec::new(),
        };
        // Copies first: what is a copy need not be compared by any other key.
        for key in (0..KEYS).rev() {
            search.by_key(key, &before)?;
        }
        search.compare_pairs(&before)?;
        Ok(search.found)
    }

    /// The score of the shard's row at `place`.
    pub(super) fn of(&self, place: usize) -> Result<f64, Unscored> {
        match unscored(self.states[place]) {
            None => Ok(minhash::similarity(u32::from(self.agreements[place]))),
            Some(reason) => Err(reason),
        }
    }
}

/// A search in progress.
struct Search {
    /// The shard's first row.
    first: u64,
    sketches: Vec<Sketch>,
    found: Similarities,
    table: KeyTable,
    /// Rows of shards before, each with the place of a row to compare it with.
    pairs: Vec<(u64, u64)>,
}

impl Search {
    /// Compares, or puts down to be compared, each row with the rows before it that it is to be compared with for having the same key.
    fn by_key(&mut self, key: usize, before: &[SketchFile]) -> Result<(), ScoringError> {
        let has_text = |place: &usize| self.found.states[*place] == TEXT;
        let places: Vec<usize> = (0..self.sketches.len()).filter(has_text).collect();
        self.table.clear();
        for place in &places {
            self.table.insert(key_of(&self.sketches[*place], key), Holders::NONE);
        }
        for file in before {
            file.keys(key, |row, key| {
                if let Some(holders) = self.table.get_mut(&key) {
                    holders.add(row);
                }
            })?;
        }
        for place in places {
            let Some(holders) = self.table.get_mut(&key_of(&self.sketches[place], key)) else {
                continue;
            };
            let Holders { first, last } = *holders;
            holders.add(self.first + place as u64);
            if first == u64::MAX || self.found.agreements[place] == ALL {
                continue;
            }
            if key == WHOLE {
                self.found.agreements[place] = ALL;
                continue;
            }
            self.compare(first, place);
            if last != first {
                self.compare(last, place);
            }
        }
        if self.pairs.len() >= MANY_PAIRS.max(self.sketches.len()) {
            self.pairs.sort_unstable();
            self.pairs.dedup();
        }
        Ok(())
    }

    fn compare(&mut self, earlier: u64, place: usize) {
        match earlier.checked_sub(self.first) {
            Some(earlier) => {
                let earlier = self.sketches[earlier as usize];
                self.take(&earlier, place);
            }
            None => self.pairs.push((earlier, place as u64)),
        }
    }

    fn take(&mut self, earlier: &Sketch, place: usize) {
        let agreement = agreement(earlier, &self.sketches[place]);
        let greatest = &mut self.found.agreements[place];
        *greatest = (*greatest).max(u8::try_from(agreement).unwrap_or(ALL));
    }

    /// Compares the pairs whose other row is in a shard before, shard by shard.
    fn compare_pairs(&mut self, before: &[SketchFile]) -> Result<(), ScoringError> {
        let mut pairs = std::mem::take(&mut self.pairs);
        pairs.sort_unstable();
        pairs.dedup();
        for of_file in pairs.chunk_by(|a, b| file_of(before, a.0) == file_of(before, b.0)) {
            let file = &before[file_of(before, of_file[0].0)];
            let sketches = file.sketches()?;
            for (earlier, place) in of_file {
                self.take(&sketches[(earlier - file.rows.start) as usize], *place as usize);
            }
        }
        Ok(())
    }
}

/// The place of the file that a row is in.
fn file_of(files: &[SketchFile], row: u64) -> usize {
    files.partition_point(|file| file.rows.end <= row)
}
