//! The data set's file: finding it on its volume, and saying what is wrong with it.

use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Component, Path};
use std::sync::Arc;

use super::{Cursor, Disk, Field, Part, ReadError, RowFile, is_lasting, is_missing};
use crate::scoring::error::{ScoringError, list_names};
use crate::scoring::fingerprint::Fingerprint;
use crate::scoring::manifest::Manifest;
use crate::scoring::task::{Format, Task};

/// The data set of a task.
#[derive(Clone, Debug)]
pub struct Dataset {
    file: RowFile,
    shown: String,
    fingerprint: Fingerprint,
}

impl Dataset {
    /// Finds the data set's file below `root`.
    ///
    /// # Errors
    /// [`ScoringError::DatasetNotFound`]; [`ScoringError::DatasetUnreadable`] when it is not a file, or not for this user to read;
    /// [`ScoringError::Io`] when the disk or the network failed, which may pass.
    pub fn open(task: &Task, root: &Path, disk: &Arc<dyn Disk>) -> Result<Self, ScoringError> {
        let shown = task.path.clone();
        let inside = Path::new(&task.path)
            .components()
            .all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
        if !inside || shown.is_empty() {
            return Err(ScoringError::InvalidTask(format!(
                "`dataset.path` is `{shown}`; it must be a path relative to the volume's root, without `..`"
            )));
        }
        let path = root.join(&task.path);
        let explain = |error| explain_open(error, task, &path);
        let found = disk.look(&path).map_err(explain)?;
        if !found.is_file {
            return Err(ScoringError::DatasetUnreadable(format!(
                "`dataset.path` is `{shown}`, which is a folder; give the path of one {} file: a data set of several files is not \
                 read yet",
                format_name(task.format)
            )));
        }
        let fingerprint = Fingerprint::take(disk.as_ref(), &path, task.revision.as_deref()).map_err(explain)?;
        Ok(Self {
            file: RowFile {
                path,
                format: task.format,
                delimiter: task.delimiter(),
                disk: Arc::clone(disk),
            },
            shown,
            fingerprint,
        })
    }

    /// Finds the data set's file and checks that it is still the one that was inspected, as far as its length and its ends show.
    ///
    /// # Errors
    /// As [`Self::open`], and [`ScoringError::DatasetUnreadable`] when it has changed.
    pub fn open_inspected(
        task: &Task,
        root: &Path,
        disk: &Arc<dyn Disk>,
        manifest: &Manifest,
    ) -> Result<Self, ScoringError> {
        let dataset = Self::open(task, root, disk)?;
        let (now, then) = (&dataset.fingerprint, &manifest.source);
        let changed = |what: String| {
            Err(ScoringError::DatasetUnreadable(format!(
                "`dataset.path` `{}` {what}; a data set must not change during a run",
                dataset.shown
            )))
        };
        if now.bytes != then.bytes {
            return changed(format!(
                "had {} bytes when it was inspected and now has {}",
                then.bytes, now.bytes
            ));
        }
        if !now.has_edges_of(then) {
            return changed("has other content than when it was inspected".to_owned());
        }
        Ok(dataset)
    }

    /// The file.
    pub fn file(&self) -> &RowFile {
        &self.file
    }

    /// What tells this content from another.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// Turns an error of reading this data set into the command's.
    pub fn explain(&self, error: ReadError) -> ScoringError {
        match error {
            ReadError::Content(message) => ScoringError::DatasetUnreadable(format!(
                "`dataset.path` `{}` cannot be read as {}: {message}",
                self.shown,
                format_name(self.file.format)
            )),
            ReadError::Column(message) => ScoringError::ColumnNotFound(message),
            ReadError::Io(source) => ScoringError::io("read", &self.file.path, source),
        }
    }

    /// Reads `fields` of the rows `rows` and hands each row's number and cursor to `visit`.
    ///
    /// # Errors
    /// See [`RowFile::read`]; [`ScoringError::DatasetUnreadable`] when there are fewer rows than the manifest says;
    /// whatever `visit` returns.
    pub fn for_each_row(
        &self,
        fields: &[Field],
        rows: Range<u64>,
        manifest: &Manifest,
        mut visit: impl FnMut(u64, &dyn Cursor) -> Result<(), ScoringError>,
    ) -> Result<(), ScoringError> {
        if rows.is_empty() {
            return Ok(());
        }
        let start = manifest.seek(rows.start);
        let part = Part {
            rows: Some(rows.clone()),
            start,
        };
        let mut cursor = self.file.read(fields, part).map_err(|e| self.explain(e))?;
        for row in rows {
            if !cursor.advance().map_err(|e| self.explain(e))? {
                return Err(ScoringError::DatasetUnreadable(format!(
                    "`dataset.path` `{}` has fewer rows than when it was inspected; a data set must not change during a run",
                    self.shown
                )));
            }
            visit(row, cursor.as_ref())?;
        }
        Ok(())
    }
}

/// What it means that the data set's file could not be looked at or opened.
fn explain_open(error: io::Error, task: &Task, path: &Path) -> ScoringError {
    let shown = &task.path;
    let format = format_name(task.format);
    if !is_lasting(&error) {
        return ScoringError::io("open", path, error);
    }
    if is_missing(&error) {
        let pattern = if shown.contains(['*', '?', '[']) {
            "; patterns are not read, nor is a data set of several files"
        } else {
            ""
        };
        return ScoringError::DatasetNotFound(format!(
            "`dataset.path` is `{shown}`, but the volume has no such file; give the path of a {format} file relative to the \
             volume's root{pattern}{}",
            hint(path)
        ));
    }
    let mend = if error.kind() == io::ErrorKind::PermissionDenied {
        "; the scoring pods run as the user of `scoring.pod.securityContext`, by default 65532, who must be allowed to read it"
    } else {
        ""
    };
    ScoringError::DatasetUnreadable(format!("`dataset.path` `{shown}`: {error}{mend}"))
}

/// Name of a format in messages.
fn format_name(format: Format) -> &'static str {
    match format {
        Format::Parquet => "Parquet",
        Format::Csv => "CSV",
        Format::JsonLines => "JSON Lines",
    }
}

/// Names of data files beside a missing one: the usual cause is a misspelt name or a wrong folder.
fn hint(missing: &Path) -> String {
    const EXTENSIONS: [&str; 8] = ["parquet", "csv", "tsv", "jsonl", "ndjson", "json", "gz", "zst"];
    const READ: usize = 10_000;
    let Some(entries) = missing.parent().and_then(|folder| fs::read_dir(folder).ok()) else {
        return String::new();
    };
    let mut names: Vec<String> = entries
        .take(READ)
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| {
            Path::new(name)
                .extension()
                .is_some_and(|e| EXTENSIONS.iter().any(|known| e == *known))
        })
        .collect();
    names.sort();
    if names.is_empty() {
        return String::new();
    }
    format!(" (that folder has {})", list_names(names.iter().map(String::as_str)))
}
