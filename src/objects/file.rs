//! One object as a file: any range of it is had by a request, and who reads on gets the next range before asking.

use std::collections::VecDeque;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;

use bytes::Bytes;
use object_store::{GetOptions, GetRange, ObjectStore as _};
use tokio::task::JoinHandle;

use super::disk::Object;
use super::error::io_error;
use super::runtime::{spawn, wait};

/// Bytes of a block: what is asked for at least.
const BLOCK: u64 = 1 << 20;
/// Blocks of the longest request.
const LONGEST: u64 = 8;
/// Blocks that are kept.
const KEPT: usize = 32;
/// Places in the file from which it is read on at the same time, such as the columns of a table.
const STREAMS: usize = 4;

/// An object that is read as a file.
///
/// # Guarantees
/// All bytes are of one content, where the store names it by a strong entity tag: when it changes, reading fails.
pub(super) struct ObjectFile {
    object: Object,
    position: u64,
    /// The newest at the end.
    kept: VecDeque<(u64, Bytes)>,
    /// The one used last at the end.
    streams: Vec<Stream>,
}

/// Somebody who reads one block after the other.
struct Stream {
    /// The block that it will want next.
    next: u64,
    /// Blocks of its last request.
    length: u64,
    /// What was asked for before it is wanted.
    ahead: Option<(Range<u64>, JoinHandle<io::Result<Bytes>>)>,
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Some((_, asked)) = &self.ahead {
            asked.abort();
        }
    }
}

impl ObjectFile {
    pub(super) fn new(object: Object) -> Self {
        Self {
            object,
            position: 0,
            kept: VecDeque::new(),
            streams: Vec::new(),
        }
    }

    fn blocks(&self) -> u64 {
        self.object.bytes.div_ceil(BLOCK)
    }

    /// The content of a block.
    fn block(&mut self, block: u64) -> io::Result<Bytes> {
        if let Some((_, bytes)) = self.kept.iter().find(|(kept, _)| *kept == block) {
            return Ok(bytes.clone());
        }
        let waits = |stream: &Stream| {
            let ahead = stream.ahead.as_ref().is_some_and(|(blocks, _)| blocks.contains(&block));
            ahead || stream.next == block
        };
        let mut stream = match self.streams.iter().position(waits) {
            Some(place) => self.streams.remove(place),
            None => Stream {
                next: block,
                length: 0,
                ahead: None,
            },
        };
        let (blocks, bytes) = match stream.ahead.take() {
            Some((blocks, asked)) if blocks.contains(&block) => {
                let answer = wait(asked).map_err(io::Error::other)?;
                (blocks, answer?)
            }
            asked_for_another => {
                stream.ahead = asked_for_another;
                // The first time nobody knows whether it goes on.
                let length = (stream.length * 2).clamp(1, LONGEST);
                let blocks = block..(block + length).min(self.blocks());
                (blocks.clone(), wait(get(self.object.clone(), blocks))?)
            }
        };
        let goes_on = stream.length > 0;
        (stream.next, stream.length) = (blocks.end, blocks.end - blocks.start);
        if goes_on && stream.next < self.blocks() {
            let length = (stream.length * 2).min(LONGEST);
            let ahead = stream.next..(stream.next + length).min(self.blocks());
            stream.ahead = Some((ahead.clone(), spawn(get(self.object.clone(), ahead))));
        }
        if self.streams.len() == STREAMS {
            self.streams.remove(0);
        }
        self.streams.push(stream);
        self.keep(&blocks, &bytes);
        let place = self.kept.iter().find(|(kept, _)| *kept == block);
        place
            .map(|(_, bytes)| bytes.clone())
            .ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "it became shorter while it was read"))
    }

    fn keep(&mut self, blocks: &Range<u64>, bytes: &Bytes) {
        let mut rest = bytes.clone();
        for block in blocks.clone() {
            if rest.is_empty() {
                break;
            }
            let length = rest.len().min(usize::try_from(BLOCK).unwrap_or(usize::MAX));
            if self.kept.len() == KEPT {
                self.kept.pop_front();
            }
            self.kept.push_back((block, rest.split_to(length)));
        }
    }
}

/// Asks for blocks.
async fn get(object: Object, blocks: Range<u64>) -> io::Result<Bytes> {
    let range = blocks.start * BLOCK..(blocks.end * BLOCK).min(object.bytes);
    let options = GetOptions {
        range: Some(GetRange::Bounded(range)),
        if_match: object.tag.clone(),
        ..GetOptions::default()
    };
    let answer = object.client.get_opts(&object.key, options).await;
    let bytes = match answer {
        Ok(answer) => answer.bytes().await,
        Err(error) => Err(error),
    };
    bytes.map_err(|error| io_error(&error))
}

impl Read for ObjectFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() || self.position >= self.object.bytes {
            return Ok(0);
        }
        let block = self.block(self.position / BLOCK)?;
        let offset = usize::try_from(self.position % BLOCK).unwrap_or(usize::MAX);
        let Some(rest) = block.get(offset..).filter(|rest| !rest.is_empty()) else {
            let words = "it became shorter while it was read";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, words));
        };
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        self.position += length as u64;
        Ok(length)
    }
}

impl Seek for ObjectFile {
    fn seek(&mut self, place: SeekFrom) -> io::Result<u64> {
        let position = match place {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(offset) => self.object.bytes.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}
