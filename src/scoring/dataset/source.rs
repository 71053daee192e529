//! Bytes of files: where they come from, and files that were compressed as a whole.
//!
//! ```text
//! Disk ─open─► Input ─first bytes─► as they are │ gzip │ zstd ─► text from an offset on        (CSV, JSON Lines)
//!                    └────────────► Chunks: any range of the bytes                             (Parquet)
//! ```

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::reader::{ChunkReader, Length};

use super::ReadError;

/// Bytes that are read at once.
const BUFFER: usize = 1 << 18;
/// Frames of zstd that remember more than this (as a power of two) are refused by the library unless told otherwise;
/// 2³¹ is what its own `--long=31` writes.
const ZSTD_WINDOW: u32 = 31;

/// What there is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Length in bytes.
    pub bytes: u64,
    /// When it was written last; `None` where the file system does not say, or says what is no time.
    pub modified: Option<jiff::Timestamp>,
    /// True for a file, false for a folder or something else.
    pub is_file: bool,
}

/// What there is in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name in the folder.
    pub name: OsString,
    /// What it is.
    pub kind: EntryKind,
}

/// Kind of an [`Entry`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A file, or a link to one; also what cannot be looked at, which shows when it is read.
    File,
    /// A folder.
    Folder,
    /// A link to a folder.
    FolderLink,
}

/// Where files are read from: the machine's file systems, or in a test one that fails.
pub trait Disk: fmt::Debug + Send + Sync {
    /// What there is at a path.
    ///
    /// # Errors
    /// Those of the file system.
    fn look(&self, path: &Path) -> io::Result<Found>;

    /// What there is in a folder, in any order.
    ///
    /// # Errors
    /// Those of the file system.
    fn list(&self, folder: &Path) -> io::Result<Vec<Entry>>;

    /// Opens a file for reading.
    ///
    /// # Errors
    /// Those of the file system.
    fn open(&self, path: &Path) -> io::Result<Box<dyn Input>>;
}

/// Where the paths of a data set begin.
#[derive(Clone, Debug)]
pub struct Root {
    /// What its files are read from.
    pub disk: Arc<dyn Disk>,
    /// The folder that all of them are below.
    pub path: PathBuf,
}

impl Root {
    /// A folder of this machine.
    pub fn local(path: impl Into<PathBuf>) -> Self {
        Self {
            disk: Arc::new(LocalDisk),
            path: path.into(),
        }
    }
}

/// An open file.
pub trait Input: Read + Seek + Send {}

impl<T: Read + Seek + Send> Input for T {}

/// The machine's file systems.
#[derive(Clone, Copy, Debug)]
pub struct LocalDisk;

impl Disk for LocalDisk {
    fn look(&self, path: &Path) -> io::Result<Found> {
        let found = fs::metadata(path)?;
        let modified = found.modified().ok();
        Ok(Found {
            bytes: found.len(),
            modified: modified.and_then(|time| jiff::Timestamp::try_from(time).ok()),
            is_file: found.is_file(),
        })
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<Entry>> {
        let entry = |entry: io::Result<fs::DirEntry>| {
            let entry = entry?;
            let kind = entry.file_type()?;
            let is_folder_link = || kind.is_symlink() && fs::metadata(entry.path()).is_ok_and(|found| found.is_dir());
            Ok(Entry {
                name: entry.file_name(),
                kind: if kind.is_dir() {
                    EntryKind::Folder
                } else if is_folder_link() {
                    EntryKind::FolderLink
                } else {
                    EntryKind::File
                },
            })
        };
        fs::read_dir(folder)?.map(entry).collect()
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Input>> {
        Ok(Box::new(File::open(path)?))
    }
}

/// What a file's first bytes say that it is.
enum Content {
    Plain,
    Gzip,
    Zstd,
    /// Something that is read here only under another `format`, or not at all: what it is, and what to do.
    Other(&'static str),
}

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// A skippable frame of zstd, as parallel compressors write before the first one; its first byte is 0x50 to 0x5f.
const ZSTD_SKIPPABLE: &[u8] = &[0x2a, 0x4d, 0x18];
/// First bytes of files that are taken for text by mistake.
const OTHERS: [(&[u8], &str); 10] = [
    (
        b"BZh91AY&SY",
        "it is compressed with bzip2; unpack it, or compress it with gzip or zstd",
    ),
    (
        b"\xfd7zXZ\0",
        "it is compressed with xz; unpack it, or compress it with gzip or zstd",
    ),
    (b"PK\x03\x04", "it is a zip archive; unpack it"),
    (
        b"\x04\x22\x4d\x18",
        "it is compressed with lz4; unpack it, or compress it with gzip or zstd",
    ),
    (
        b"\xff\x06\0\0sNaPpY",
        "it is compressed with snappy; unpack it, or compress it with gzip or zstd",
    ),
    (b"PAR1", "it is a Parquet file; set `dataset.format: Parquet`"),
    (b"ARROW1", "it is an Arrow file; write it as Parquet"),
    (b"\xff\xfe\0\0", "its text is UTF-32; write it as UTF-8"),
    (b"\xff\xfe", "its text is UTF-16; write it as UTF-8"),
    (b"\xfe\xff", "its text is UTF-16; write it as UTF-8"),
];
const LONGEST_MAGIC: usize = 16;

impl Content {
    fn of(start: &[u8]) -> Self {
        if start.starts_with(GZIP) {
            return Self::Gzip;
        }
        let skippable = matches!(start, [0x50..=0x5f, rest @ ..] if rest.starts_with(ZSTD_SKIPPABLE));
        if start.starts_with(ZSTD) || skippable {
            return Self::Zstd;
        }
        let other = OTHERS.iter().find(|(magic, _)| start.starts_with(magic));
        other.map_or(Self::Plain, |(_, what)| Self::Other(what))
    }
}

fn open(disk: &dyn Disk, path: &Path) -> Result<(Box<dyn Input>, Vec<u8>), ReadError> {
    let mut file = disk.open(path).map_err(ReadError::from_io)?;
    let mut start = Vec::new();
    (&mut file)
        .take(LONGEST_MAGIC as u64)
        .read_to_end(&mut start)
        .map_err(ReadError::from_io)?;
    Ok((file, start))
}

/// The text of a file from `offset` on, unpacked where the file is packed. Offsets are those of the unpacked text: of a packed file
/// everything before is unpacked too, and forgotten.
pub(super) fn text(disk: &dyn Disk, path: &Path, offset: u64) -> Result<BufReader<Box<dyn Read + Send>>, ReadError> {
    let (mut file, start) = open(disk, path)?;
    let (mut reader, packed): (Box<dyn Read + Send>, _) = match Content::of(&start) {
        Content::Other(what) => return Err(ReadError::Content(what.to_owned())),
        Content::Plain => {
            file.seek(SeekFrom::Start(offset)).map_err(ReadError::from_io)?;
            return Ok(BufReader::with_capacity(BUFFER, Box::new(file)));
        }
        Content::Gzip => {
            file.rewind().map_err(ReadError::from_io)?;
            let packed = BufReader::with_capacity(BUFFER, file);
            (Box::new(MultiGzDecoder::new(packed)), "gzip")
        }
        Content::Zstd => {
            file.rewind().map_err(ReadError::from_io)?;
            let packed = BufReader::with_capacity(BUFFER, file);
            let mut decoder = zstd::Decoder::with_buffer(packed).map_err(ReadError::from_io)?;
            decoder.window_log_max(ZSTD_WINDOW).map_err(ReadError::from_io)?;
            (Box::new(decoder), "zstd")
        }
    };
    reader = Box::new(Unpacked { reader, packed });
    let skipped = io::copy(&mut (&mut reader).take(offset), &mut io::sink()).map_err(ReadError::from_io)?;
    if skipped < offset {
        return Err(ReadError::Content(
            "it is shorter than when it was inspected".to_owned(),
        ));
    }
    Ok(BufReader::with_capacity(BUFFER, reader))
}

/// Says of the errors of a decoder that they are its own.
struct Unpacked {
    reader: Box<dyn Read + Send>,
    packed: &'static str,
}

impl Read for Unpacked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer).map_err(|error| match error.raw_os_error() {
            Some(_) => error,
            None if error.kind() == io::ErrorKind::Interrupted => error,
            None => {
                let words = format!("its {} data are damaged or cut off: {error}", self.packed);
                io::Error::new(io::ErrorKind::InvalidData, words)
            }
        })
    }
}

/// A file of which any part can be read, as the Parquet library wants it.
///
/// The library turns errors into texts on their way, and some damaged files make it panic: what the disk said is kept here.
#[derive(Clone)]
pub(super) struct Chunks(Arc<Shared>);

struct Shared {
    file: Mutex<Box<dyn Input>>,
    bytes: u64,
    failed: Mutex<Option<io::Error>>,
}

impl Chunks {
    pub(super) fn open(disk: &dyn Disk, path: &Path) -> Result<Self, ReadError> {
        let bytes = disk.look(path).map_err(ReadError::from_io)?.bytes;
        let (file, start) = open(disk, path)?;
        let packed = match Content::of(&start) {
            Content::Gzip => "gzip",
            Content::Zstd => "zstd",
            Content::Plain | Content::Other(_) => "",
        };
        if !packed.is_empty() {
            return Err(ReadError::Content(format!(
                "it is compressed with {packed} as a whole; unpack it: a Parquet file is compressed inside"
            )));
        }
        let shared = Shared {
            file: Mutex::new(file),
            bytes,
            failed: Mutex::new(None),
        };
        Ok(Self(Arc::new(shared)))
    }

    /// What the library made of a failure: the disk's own error if there was one.
    pub(super) fn explain(&self, error: impl fmt::Display) -> ReadError {
        let mut failed = self.0.failed.lock().unwrap_or_else(PoisonError::into_inner);
        match failed.take() {
            Some(error) => ReadError::from_io(error),
            None => ReadError::Content(error.to_string()),
        }
    }

    fn read_at(&self, start: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_from(start, |file| {
            loop {
                match file.read(buffer) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    other => break other,
                }
            }
        })
    }

    /// So many bytes, or as many as there are.
    fn read_range(&self, start: u64, length: usize) -> io::Result<Vec<u8>> {
        self.read_from(start, |file| {
            let mut bytes = Vec::with_capacity(length);
            file.take(length as u64).read_to_end(&mut bytes)?;
            Ok(bytes)
        })
    }

    fn read_from<T>(&self, start: u64, read: impl FnOnce(&mut Box<dyn Input>) -> io::Result<T>) -> io::Result<T> {
        let mut file = self.0.file.lock().unwrap_or_else(PoisonError::into_inner);
        let read = file.seek(SeekFrom::Start(start)).and_then(|_| read(&mut file));
        read.map_err(|error| {
            let told = error
                .raw_os_error()
                .map_or_else(|| error.kind().into(), io::Error::from_raw_os_error);
            *self.0.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            told
        })
    }
}

impl Length for Chunks {
    fn len(&self) -> u64 {
        self.0.bytes
    }
}

impl ChunkReader for Chunks {
    type T = BufReader<Chunk>;

    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        let chunk = Chunk {
            file: self.clone(),
            at: start,
        };
        Ok(BufReader::new(chunk))
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        let end = start.checked_add(length as u64).filter(|end| *end <= self.0.bytes);
        if end.is_none() {
            return Err(ParquetError::EOF(format!("it has no {length} bytes at {start}")));
        }
        let bytes = self.read_range(start, length)?;
        if bytes.len() < length {
            return Err(ParquetError::EOF("it became shorter while it was read".to_owned()));
        }
        Ok(bytes.into())
    }
}

/// The bytes of a file from some place on.
pub(super) struct Chunk {
    file: Chunks,
    at: u64,
}

impl Read for Chunk {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(self.at, buffer)?;
        self.at += read as u64;
        Ok(read)
    }
}
