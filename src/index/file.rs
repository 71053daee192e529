//! Writing the score index: an Arrow IPC file of one uncompressed record batch, aligned to 64 bytes, so that it can be
//! memory-mapped.
//!
//! ```text
//! row: UInt64        all rows, easy first          score: Float64, rank: Float64   aligned with `row`
//! groupRow: UInt64   the rows of group 0 easy first, then those of group 1, …; equal to `row` without groups
//! length: UInt32     where kept: tokens of row 0, 1, …; 2³²−1 where not known
//! schema metadata    version, key, rows, groupRows (JSON), groupNames (JSON)
//! ```

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, RecordBatch, UInt32Array, UInt64Array};
use arrow_ipc::MetadataVersion;
use arrow_ipc::writer::{FileWriter, IpcWriteOptions};
use arrow_schema::{ArrowError, DataType, Field, Schema};
use sha2::{Digest, Sha256};

use super::order::Order;
use crate::curriculum::canonical;
use crate::store::{StoreError, scratch};

/// Version of the index's format.
pub const INDEX_VERSION: &str = "1";
/// The columns, in this order.
pub const COLUMNS: [(&str, DataType); 4] = [
    ("row", DataType::UInt64),
    ("score", DataType::Float64),
    ("rank", DataType::Float64),
    ("groupRow", DataType::UInt64),
];
/// The column that stands behind them where lengths are kept.
pub const LENGTH_COLUMN: (&str, DataType) = ("length", DataType::UInt32);
/// Alignment of every column in the file, in bytes.
pub const ALIGNMENT: usize = 64;

/// What goes into an index.
#[derive(Debug)]
pub struct IndexContent {
    /// Key of the scores.
    pub key: String,
    /// Rows of each group; empty without groups.
    pub group_rows: Vec<u64>,
    /// The groups' values; empty without groups.
    pub group_names: Vec<String>,
    /// All rows.
    pub order: Order,
    /// The rows group by group; `None` without groups.
    pub grouped: Option<Vec<u64>>,
    /// Each row's length in tokens, by its number; `None` where they are not kept.
    pub lengths: Option<Vec<u32>>,
}

/// A written index.
#[derive(Debug, PartialEq, Eq)]
pub struct Written {
    /// SHA-256 as `sha256:…`.
    pub digest: String,
    /// Length in bytes.
    pub bytes: u64,
}

/// Writes an index whole.
///
/// # Errors
/// Errors of the file system.
pub fn write(path: &Path, content: IndexContent) -> Result<Written, StoreError> {
    let scratch = scratch::file(path)?;
    let mut writer = Hashing {
        file: scratch.as_file(),
        hash: Sha256::new(),
        bytes: 0,
    };
    // The summary says that the index is complete: a crash of the node must not keep the one and lose the other.
    write_batch(&mut writer, content)
        .map_err(io::Error::other)
        .and_then(|()| writer.file.sync_all())
        .map_err(|e| StoreError::io("write", path, e))?;
    let written = Written {
        digest: canonical::digest(writer.hash),
        bytes: writer.bytes,
    };
    scratch::commit(scratch, path)?;
    Ok(written)
}

fn write_batch(writer: &mut impl Write, content: IndexContent) -> Result<(), ArrowError> {
    let json = |e: serde_json::Error| ArrowError::ExternalError(Box::new(e));
    let metadata = HashMap::from([
        ("version".to_owned(), INDEX_VERSION.to_owned()),
        ("key".to_owned(), content.key),
        ("rows".to_owned(), content.order.rows.len().to_string()),
        (
            "groupRows".to_owned(),
            serde_json::to_string(&content.group_rows).map_err(json)?,
        ),
        (
            "groupNames".to_owned(),
            serde_json::to_string(&content.group_names).map_err(json)?,
        ),
    ]);
    let fields: Vec<Field> = COLUMNS
        .into_iter()
        .chain(content.lengths.is_some().then_some(LENGTH_COLUMN))
        .map(|(name, kind)| Field::new(name, kind, false))
        .collect();
    let schema = Arc::new(Schema::new_with_metadata(fields, metadata));
    let rows = UInt64Array::from(content.order.rows);
    let grouped = content.grouped.map_or_else(|| rows.clone(), UInt64Array::from);
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(rows),
        Arc::new(Float64Array::from(content.order.scores)),
        Arc::new(Float64Array::from(content.order.ranks)),
        Arc::new(grouped),
    ];
    if let Some(lengths) = content.lengths {
        columns.push(Arc::new(UInt32Array::from(lengths)));
    }
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns)?;
    let options = IpcWriteOptions::try_new(ALIGNMENT, false, MetadataVersion::V5)?;
    let mut file = FileWriter::try_new_with_options(writer, &schema, options)?;
    file.write(&batch)?;
    file.finish()
}

/// Hashes and counts what it passes on.
struct Hashing<'a> {
    file: &'a File,
    hash: Sha256,
    bytes: u64,
}

/// Bytes from which on a column is brought to the disk while it is hashed.
const LARGE: usize = 1 << 20;

impl Write for Hashing<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.write_all(data)?;
        Ok(data.len())
    }

    fn write_all(&mut self, data: &[u8]) -> io::Result<()> {
        self.bytes += data.len() as u64;
        if data.len() < LARGE {
            self.hash.update(data);
            return self.file.write_all(data);
        }
        // The disk has work while the processor hashes.
        std::thread::scope(|scope| {
            let disk = scope.spawn(|| {
                self.file.write_all(data)?;
                self.file.sync_data()
            });
            self.hash.update(data);
            disk.join()
                .unwrap_or_else(|_| Err(io::Error::other("the writer panicked")))
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
