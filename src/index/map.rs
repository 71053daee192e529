//! Reading the score index without copying it: a memory map, checked once, whose columns are slices.
//!
//! The file is found on a volume that others can write to: whatever its bytes are, opening it gives an index or an error.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use arrow_buffer::{Buffer, ScalarBuffer};
use arrow_ipc::convert::try_fb_to_schema;
use arrow_ipc::{MessageHeader, root_as_footer, root_as_message};
use memmap2::{Advice, Mmap};
use sha2::{Digest, Sha256};

use crate::curriculum::canonical;
use crate::curriculum::order::{OrderScope, RowOrder, UNKNOWN_LENGTH};

use super::file::{ALIGNMENT, COLUMNS, INDEX_VERSION, LENGTH_COLUMN};

const MAGIC: &[u8] = b"ARROW1";
/// Bytes of length and magic at the end of the file.
const TAIL: usize = 10;
/// Bytes before a message: a continuation marker and a length.
const PREFIX: usize = 8;
const HASH_CHUNK: usize = 1 << 20;

/// Why an index cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The file does not exist or cannot be mapped.
    #[error("cannot open the score index: {0}")]
    Io(#[from] io::Error),
    /// The file is not the one that was promised.
    #[error("the score index has digest {found}, expected {expected}")]
    Digest {
        /// Digest of the file.
        found: String,
        /// Digest that was promised.
        expected: String,
    },
    /// The file is no score index.
    #[error("the file is no score index: {0}")]
    Invalid(String),
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`, which hands over the error")]
fn invalid(message: impl ToString) -> IndexError {
    IndexError::Invalid(message.to_string())
}

/// A score index, mapped into memory.
#[derive(Clone, Debug)]
pub struct ScoreIndex {
    key: String,
    rows: ScalarBuffer<u64>,
    scores: ScalarBuffer<f64>,
    ranks: ScalarBuffer<f64>,
    grouped: ScalarBuffer<u64>,
    lengths: Option<ScalarBuffer<u32>>,
    group_names: Vec<String>,
    group_offsets: Vec<u64>,
}

impl ScoreIndex {
    /// Maps the index at `path`, after checking its SHA-256 against `expected_digest` (`sha256:…`) when one is given. Every
    /// row number is checked to be less than the number of rows.
    ///
    /// # Errors
    /// [`IndexError`]; never panics on a file's content.
    ///
    /// # Assumptions
    /// Nobody shortens the file while it is mapped (that would end the process with SIGBUS). The operator only replaces indexes by renaming.
    pub fn open(path: &Path, expected_digest: Option<&str>) -> Result<Self, IndexError> {
        let mut file = File::open(path)?;
        // Read, not mapped: a network file system that fails then gives an error, and not a signal that ends the process.
        if let Some(expected) = expected_digest {
            let found = digest_of(&mut file)?;
            if found != expected {
                return Err(IndexError::Digest {
                    found,
                    expected: expected.to_owned(),
                });
            }
        }
        let (map, bytes) = mapped(&file)?;
        let index = Self::parse(&bytes)?;
        // Rows are looked up all over the file: reading ahead would fill the memory with what nobody asked for.
        map.advise(Advice::Random)?;
        Ok(index)
    }

    fn parse(file: &Buffer) -> Result<Self, IndexError> {
        if cfg!(target_endian = "big") {
            return Err(invalid("this machine is big-endian, the index is not"));
        }
        let footer_bytes = footer(file)?;
        let footer = root_as_footer(footer_bytes).map_err(invalid)?;
        let schema = try_fb_to_schema(footer.schema().ok_or_else(|| invalid("no schema"))?).map_err(invalid)?;
        let found = schema.fields().iter().map(|f| (f.name().as_str(), f.data_type()));
        let with_lengths = schema.fields().len() > COLUMNS.len();
        let wanted = COLUMNS.iter().chain(with_lengths.then_some(&LENGTH_COLUMN));
        if !found.eq(wanted.map(|(name, kind)| (*name, kind))) {
            return Err(invalid("its columns are not those of a score index"));
        }
        let value = |key: &str| {
            schema
                .metadata()
                .get(key)
                .ok_or_else(|| invalid(format!("`{key}` is missing")))
        };
        if value("version")? != INDEX_VERSION {
            return Err(invalid(format!("its version is not {INDEX_VERSION}")));
        }
        let count: u64 = value("rows")?.parse().map_err(invalid)?;
        let group_rows: Vec<u64> = serde_json::from_str(value("groupRows")?).map_err(invalid)?;
        let group_names: Vec<String> = serde_json::from_str(value("groupNames")?).map_err(invalid)?;
        let group_offsets = offsets(&group_rows, &group_names, count)?;

        let blocks = footer.recordBatches().ok_or_else(|| invalid("no record batch"))?;
        if blocks.len() != 1 {
            return Err(invalid("it must have one record batch"));
        }
        let block = blocks.get(0);
        let ([rows, scores, ranks, grouped], lengths) =
            columns(file, block.offset(), block.metaDataLength(), count, with_lengths)?;
        let (rows, grouped) = (ScalarBuffer::<u64>::from(rows), ScalarBuffer::<u64>::from(grouped));
        if rows.iter().chain(grouped.iter()).any(|row| *row >= count) {
            return Err(invalid("it names rows that do not exist"));
        }
        Ok(Self {
            key: value("key")?.clone(),
            rows,
            scores: ScalarBuffer::from(scores),
            ranks: ScalarBuffer::from(ranks),
            grouped,
            lengths: lengths.map(ScalarBuffer::from),
            group_names,
            group_offsets,
        })
    }

    /// Key of the scores.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Number of rows.
    pub fn len(&self) -> u64 {
        self.rows.len() as u64
    }

    /// True without rows; no index that the operator writes is.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// All rows, easy first.
    pub fn rows(&self) -> &[u64] {
        &self.rows
    }

    /// Combined scores, aligned with [`Self::rows`]; NaN at the end for rows without one.
    pub fn scores(&self) -> &[f64] {
        &self.scores
    }

    /// Average ranks in (0, 1], aligned with [`Self::rows`].
    pub fn ranks(&self) -> &[f64] {
        &self.ranks
    }

    /// Length of each row in tokens, by its number, where they are kept; [`UNKNOWN_LENGTH`] for rows of unknown length.
    pub fn row_lengths(&self) -> Option<&[u32]> {
        self.lengths.as_deref()
    }

    /// Where each group begins in the rows group by group, and last the number of rows. `[0, rows]` without groups.
    pub fn group_offsets(&self) -> &[u64] {
        &self.group_offsets
    }

    /// The groups' values; empty without groups.
    pub fn group_names(&self) -> &[String] {
        &self.group_names
    }

    /// Rows of each group, in the order of the groups; one entry without groups.
    pub fn group_rows(&self) -> Vec<u64> {
        self.group_offsets
            .windows(2)
            .map(|bounds| bounds[1] - bounds[0])
            .collect()
    }

    fn scope(&self, scope: OrderScope) -> &[u64] {
        match scope {
            OrderScope::All => &self.rows,
            OrderScope::Group(group) => self.group_rows_order(group),
        }
    }

    /// Rows of group `group`, easy first; empty when there is no such group. Without groups, group 0 is all rows.
    pub fn group_rows_order(&self, group: u32) -> &[u64] {
        let group = group as usize;
        match (self.group_offsets.get(group), self.group_offsets.get(group + 1)) {
            (Some(&start), Some(&end)) => &self.grouped[start as usize..end as usize],
            _ => &[],
        }
    }
}

impl RowOrder for ScoreIndex {
    /// # Assumptions
    /// The scope and the position exist, as they do when the plan's rows and groups are the index's; row 0 otherwise.
    fn row(&self, scope: OrderScope, position: u64) -> u64 {
        self.scope(scope).get(position as usize).copied().unwrap_or(0)
    }

    fn rows(&self, scope: OrderScope, positions: &mut [u64]) {
        let rows = self.scope(scope);
        for position in positions {
            *position = rows.get(*position as usize).copied().unwrap_or(0);
        }
    }

    /// Rows without a score come last and are never admitted by one.
    fn at_most(&self, score: f64) -> u64 {
        self.scores.partition_point(|found| *found <= score) as u64
    }

    fn with_ties(&self, rows: u64) -> u64 {
        let last = rows.checked_sub(1).and_then(|last| self.scores.get(last as usize));
        match last {
            Some(&score) if !score.is_nan() => self.at_most(score),
            _ => rows,
        }
    }

    fn lengths(&self, rows: &[u64], out: &mut [u32]) {
        let lengths = self.row_lengths().unwrap_or_default();
        for (length, row) in out.iter_mut().zip(rows) {
            *length = lengths.get(*row as usize).copied().unwrap_or(UNKNOWN_LENGTH);
        }
    }
}

/// Maps a file of the store.
pub(super) fn mapped(file: &File) -> io::Result<(Arc<Mmap>, Buffer)> {
    // SAFETY: the bytes are only read, through types for which every bit pattern is valid. The operator never
    // writes to a file under its final name, so that they do not change while they are mapped.
    #[expect(unsafe_code, reason = "the memory map, the one place of the crate that needs it")]
    let map = Arc::new(unsafe { Mmap::map(file)? });
    let bytes = Buffer::from(bytes::Bytes::from_owner(Shared(Arc::clone(&map))));
    Ok((map, bytes))
}

/// The map, for several owners.
struct Shared(Arc<Mmap>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// SHA-256 of the file of an index, as a plan names it: `sha256:…`.
///
/// # Errors
/// When the file cannot be read.
pub fn digest(path: &Path) -> io::Result<String> {
    digest_of(&mut File::open(path)?)
}

pub(super) fn digest_of(file: &mut File) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut chunk = vec![0; HASH_CHUNK];
    loop {
        match file.read(&mut chunk) {
            Ok(0) => return Ok(canonical::digest(hash)),
            Ok(read) => hash.update(&chunk[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The footer's bytes.
fn footer(file: &[u8]) -> Result<&[u8], IndexError> {
    let body = file.len().checked_sub(TAIL).ok_or_else(|| invalid("it is too short"))?;
    let (rest, tail) = file.split_at(body);
    let (length, magic) = tail.split_at(4);
    if magic != MAGIC || !file.starts_with(MAGIC) {
        return Err(invalid("it is no Arrow file"));
    }
    let length = <[u8; 4]>::try_from(length).map(i32::from_le_bytes).map_err(invalid)?;
    let start = usize::try_from(length)
        .ok()
        .and_then(|length| rest.len().checked_sub(length));
    start
        .map(|start| &rest[start..])
        .ok_or_else(|| invalid("its footer is cut off"))
}

/// Where groups begin.
fn offsets(group_rows: &[u64], group_names: &[String], count: u64) -> Result<Vec<u64>, IndexError> {
    if group_rows.len() != group_names.len() {
        return Err(invalid("groups and their names differ in number"));
    }
    if group_rows.is_empty() {
        return Ok(vec![0, count]);
    }
    let mut offsets = vec![0_u64];
    let mut end = 0_u64;
    for rows in group_rows {
        end = end
            .checked_add(*rows)
            .ok_or_else(|| invalid("its groups have too many rows"))?;
        offsets.push(end);
    }
    if end == count {
        Ok(offsets)
    } else {
        Err(invalid("its groups do not sum to its rows"))
    }
}

/// The columns' bytes, checked to be inside of the file, aligned, `count` values long and without nulls: the four, and the lengths.
fn columns(
    file: &Buffer,
    offset: i64,
    metadata: i32,
    count: u64,
    with_lengths: bool,
) -> Result<([Buffer; 4], Option<Buffer>), IndexError> {
    let cut = || invalid("its record batch is cut off");
    let start = usize::try_from(offset).map_err(|_| cut())?;
    let header = Range {
        start,
        end: start
            .checked_add(usize::try_from(metadata).map_err(|_| cut())?)
            .ok_or_else(cut)?,
    };
    let message = file
        .get(header.clone())
        .and_then(|bytes| bytes.get(PREFIX..))
        .ok_or_else(cut)?;
    let message = root_as_message(message).map_err(invalid)?;
    if message.header_type() != MessageHeader::RecordBatch {
        return Err(invalid("its record batch is something else"));
    }
    let batch = message.header_as_record_batch().ok_or_else(cut)?;
    if batch.compression().is_some() {
        return Err(invalid("it is compressed"));
    }
    let (nodes, buffers) = (batch.nodes().ok_or_else(cut)?, batch.buffers().ok_or_else(cut)?);
    // A column without nulls has a buffer of validity bits, possibly empty, and one of values.
    let number = COLUMNS.len() + usize::from(with_lengths);
    if nodes.len() != number || buffers.len() != 2 * number {
        return Err(invalid("its record batch does not match its columns"));
    }
    let column = |place: usize, width: usize| {
        let bytes = usize::try_from(count).ok().and_then(|count| count.checked_mul(width));
        let bytes = bytes.ok_or_else(cut)?;
        let node = nodes.get(place);
        let values = buffers.get(2 * place + 1);
        if u64::try_from(node.length()).ok() != Some(count) || node.null_count() != 0 {
            return Err(invalid("a column does not have one value for each row"));
        }
        let start = usize::try_from(values.offset())
            .ok()
            .and_then(|o| header.end.checked_add(o))
            .ok_or_else(cut)?;
        let long_enough = usize::try_from(values.length()).is_ok_and(|length| length >= bytes);
        if !long_enough || start.checked_add(bytes).is_none_or(|end| end > file.len()) {
            return Err(cut());
        }
        if start % ALIGNMENT != 0 {
            return Err(invalid("a column is not aligned"));
        }
        Ok(file.slice_with_length(start, bytes))
    };
    let lengths = with_lengths.then(|| column(COLUMNS.len(), 4)).transpose()?;
    Ok(([column(0, 8)?, column(1, 8)?, column(2, 8)?, column(3, 8)?], lengths))
}

#[cfg(test)]
mod tests;
