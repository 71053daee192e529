//! The data set's files on their volume: as they are found, as they were inspected, and what is wrong with them.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::find::{denied, find};
use super::{Cursor, Field, Part, ReadError, Root, RowFile, format_name, is_lasting};
use crate::scoring::error::ScoringError;
use crate::scoring::fingerprint::{Edges, Fingerprint, edge};
use crate::scoring::manifest::Manifest;
use crate::scoring::offsets::Offsets;
use crate::scoring::store::Store;
use crate::scoring::task::{Format, Task};

/// A file of a data set.
#[derive(Clone, Debug)]
pub struct DataFile {
    /// Path relative to the volume's root.
    pub name: String,
    /// To read its rows.
    pub file: RowFile,
    /// What tells its content from another.
    pub edges: Edges,
}

/// The files of a data set as they are now.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// In the order of their rows.
    pub files: Vec<DataFile>,
    /// What tells this content from another.
    pub fingerprint: Fingerprint,
    naming: Naming,
}

/// How messages name a data set and its files.
#[derive(Clone, Debug)]
struct Naming {
    shown: String,
    format: Format,
    several: bool,
}

impl Dataset {
    /// Finds the data set's files below `root`.
    ///
    /// # Errors
    /// [`ScoringError::DatasetNotFound`]; [`ScoringError::DatasetUnreadable`] when a file is not for this user to read;
    /// [`ScoringError::InvalidTask`] when a path is none; [`ScoringError::Io`] when the disk or the network failed, which may pass.
    pub fn open(task: &Task, root: &Root) -> Result<Self, ScoringError> {
        let names = find(task, root)?;
        let naming = Naming::of(task, names.len());
        let looked = |name: &String| {
            let path = root.path.join(name);
            let found = root.disk.look(&path);
            found
                .map(|found| found.bytes)
                .map_err(|e| naming.failed(name, &path, e))
        };
        let bytes = names.iter().map(looked).sum::<Result<u64, ScoringError>>()?;
        let edge = edge(names.len(), bytes);
        let files = names
            .into_iter()
            .map(|name| naming.open(name, task, root, edge))
            .collect::<Result<Vec<_>, _>>()?;
        let fingerprint = Fingerprint::new(
            files.iter().map(|file| (file.name.as_str(), &file.edges)),
            task.revision.as_deref(),
        );
        Ok(Self {
            files,
            fingerprint,
            naming,
        })
    }

    /// Whether rows may be in several files.
    pub fn has_several(&self) -> bool {
        self.naming.several
    }

    /// Turns an error of reading a file into the command's.
    pub fn explain(&self, file: &DataFile, error: ReadError) -> ScoringError {
        self.naming.explain(file, error)
    }
}

/// Rows of a data set that was inspected, in files that are still those, as far as their lengths and ends show.
#[derive(Debug)]
pub struct Inspected {
    /// The files that hold the rows asked for, each with the rows that it holds, counted over the whole data set.
    pub files: Vec<(DataFile, Range<u64>)>,
    rows: Range<u64>,
    /// Where rows begin, and the file that says so.
    offsets: Option<(Offsets, PathBuf)>,
    naming: Naming,
}

impl Inspected {
    /// The files that hold `rows`, as long as they are those of the manifest.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn find(
        task: &Task,
        root: &Root,
        manifest: &Manifest,
        rows: &Range<u64>,
    ) -> Result<Vec<(DataFile, Range<u64>)>, ScoringError> {
        let naming = Naming::of(task, manifest.files.len());
        let edge = edge(manifest.files.len(), manifest.source.bytes);
        let mut files = Vec::new();
        for (then, span) in manifest.spans() {
            if span.is_empty() || span.start >= rows.end || span.end <= rows.start {
                continue;
            }
            let now = naming.open(then.path.clone(), task, root, edge)?;
            if now.edges.bytes != then.bytes {
                let (before, after) = (then.bytes, now.edges.bytes);
                let what = format!("had {before} bytes when it was inspected and now has {after}");
                return Err(naming.changed(&now.name, &what));
            }
            if now.edges.digest != then.edges {
                return Err(naming.changed(&now.name, "has other content than when it was inspected"));
            }
            files.push((now, span));
        }
        Ok(files)
    }

    /// Opens the files that hold `rows`. They are those of the manifest: what came to a folder later is not the data set's.
    ///
    /// # Errors
    /// [`ScoringError::DatasetUnreadable`] when one of them has changed or is gone; as [`Dataset::open`] otherwise.
    pub fn open(
        task: &Task,
        root: &Root,
        store: &Store,
        manifest: &Manifest,
        rows: Range<u64>,
    ) -> Result<Self, ScoringError> {
        let files = Self::find(task, root, manifest, &rows)?;
        let naming = Naming::of(task, manifest.files.len());
        let path = store.offsets(task);
        let offsets = match task.format {
            Format::Parquet => None,
            Format::Csv | Format::JsonLines => Offsets::of_store(store.shared(), &path, manifest.rows)?,
        };
        Ok(Self {
            files,
            rows,
            offsets: offsets.map(|offsets| (offsets, path)),
            naming,
        })
    }

    /// Reads `fields` of the rows and hands each row's number and cursor to `visit`.
    ///
    /// # Errors
    /// See [`RowFile::read`]; [`ScoringError::DatasetUnreadable`] when there are fewer rows than the manifest says;
    /// whatever `visit` returns.
    pub fn for_each_row(
        &self,
        fields: &[Field],
        mut visit: impl FnMut(u64, &dyn Cursor) -> Result<(), ScoringError>,
    ) -> Result<(), ScoringError> {
        self.for_each_run(fields, |rows, cursor| visit(rows.start, cursor).map(|()| 1))
    }

    /// As [`Self::for_each_row`], but `visit` may take more than one row at once, of those that [`Cursor::numbers`] has: it gets
    /// the rows that are left of a file, the cursor at the first of them, and returns how many it has taken.
    ///
    /// # Errors
    /// As [`Self::for_each_row`].
    pub fn for_each_run(
        &self,
        fields: &[Field],
        mut visit: impl FnMut(Range<u64>, &dyn Cursor) -> Result<usize, ScoringError>,
    ) -> Result<(), ScoringError> {
        for (data, span) in &self.files {
            let rows = self.rows.start.max(span.start)..self.rows.end.min(span.end);
            let begins = |(offsets, path): &(Offsets, PathBuf)| {
                let offset = offsets.at(rows.start);
                offset.map_err(|e| ScoringError::io("read", path, e))
            };
            let offset = self.offsets.as_ref().map(begins).transpose()?;
            let part = Part {
                rows: Some(rows.start - span.start..rows.end - span.start),
                start: offset.map(|offset| (offset, 0)),
            };
            let explain = |error| self.naming.explain(data, error);
            let mut cursor = data.file.read(fields, part).map_err(explain)?;
            let mut left = rows;
            while !left.is_empty() {
                if !cursor.advance().map_err(explain)? {
                    let what = "has fewer rows than when it was inspected";
                    return Err(self.naming.changed(&data.name, what));
                }
                let taken = visit(left.clone(), cursor.as_ref())?.max(1);
                cursor.pass(taken - 1);
                left.start += taken as u64;
            }
        }
        Ok(())
    }
}

impl Naming {
    fn of(task: &Task, files: usize) -> Self {
        Self {
            shown: task.shown(),
            format: task.format,
            several: files > 1,
        }
    }

    /// A file in messages: the only one by the path that the user gave.
    fn file(&self, name: &str) -> String {
        if self.several {
            format!("{}: file `{name}`", self.shown)
        } else {
            self.shown.clone()
        }
    }

    fn open(&self, name: String, task: &Task, root: &Root, edge: u64) -> Result<DataFile, ScoringError> {
        let path = root.path.join(&name);
        let edges = Edges::take(root.disk.as_ref(), &path, edge).map_err(|e| self.failed(&name, &path, e))?;
        let file = RowFile {
            path,
            format: task.format,
            delimiter: task.delimiter(),
            disk: Arc::clone(&root.disk),
        };
        Ok(DataFile { name, file, edges })
    }

    fn failed(&self, name: &str, path: &Path, error: io::Error) -> ScoringError {
        if is_lasting(&error) {
            denied(&self.file(name), &error)
        } else {
            ScoringError::io("open", path, error)
        }
    }

    fn changed(&self, name: &str, what: &str) -> ScoringError {
        ScoringError::DatasetUnreadable(format!(
            "{} {what}; a data set must not change during a run",
            self.file(name)
        ))
    }

    fn explain(&self, data: &DataFile, error: ReadError) -> ScoringError {
        match error {
            ReadError::Content(message) => ScoringError::DatasetUnreadable(format!(
                "{} cannot be read as {}: {message}",
                self.file(&data.name),
                format_name(self.format)
            )),
            ReadError::Column(message) if self.several => {
                ScoringError::ColumnNotFound(format!("in file `{}`: {message}", data.name))
            }
            ReadError::Column(message) => ScoringError::ColumnNotFound(message),
            ReadError::Io(source) => ScoringError::io("read", &data.file.path, source),
        }
    }
}
