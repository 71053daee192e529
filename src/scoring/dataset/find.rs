//! Which files a data set is made of: each path of the spec is a file, a folder, or a pattern.
//!
//! Files of a folder or a pattern stand in the order of their paths' bytes, as `sorted(glob.glob(…))` of Python has them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path};

use glob::{MatchOptions, Pattern};

use super::{Disk, EntryKind, Root, format_name, is_lasting, is_missing};
use crate::scoring::error::{ScoringError, list_names};
use crate::scoring::task::{Format, Task};

/// Most files of a data set, and most names that are looked at to find them.
pub const MAX_FILES: usize = 100_000;
/// Folders below each other that are looked into.
const MAX_DEPTH: usize = 32;

/// `*` and `?` stay within one folder.
const OPTIONS: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

/// Finds the files below `root`: their paths relative to it, in the order of their rows.
///
/// # Errors
/// [`ScoringError::DatasetNotFound`] when a path leads to nothing, or a part of a numbered set is missing;
/// [`ScoringError::InvalidTask`] when a path is none; [`ScoringError::DatasetUnreadable`] when a folder cannot be read by this user;
/// [`ScoringError::Io`] when the disk or the network failed, which may pass.
pub(super) fn find(task: &Task, root: &Root) -> Result<Vec<String>, ScoringError> {
    let mut found: Vec<String> = Vec::new();
    let mut first_named: BTreeMap<String, String> = BTreeMap::new();
    for (field, given) in task.entries() {
        let search = Search {
            field: &field,
            given,
            format: task.format,
            root: &root.path,
            disk: root.disk.as_ref(),
        };
        let files = search.files()?;
        for name in &files {
            if let Some(before) = first_named.insert(name.clone(), field.clone()) {
                return Err(ScoringError::InvalidTask(format!(
                    "`{field}` `{given}` has file `{name}`, which `{before}` has already; name each file once"
                )));
            }
        }
        found.extend(files);
        if found.len() > MAX_FILES {
            return Err(search.unreadable(&format!("has more than {MAX_FILES} files; write fewer and larger ones")));
        }
    }
    Ok(found)
}

/// The search for one path of the task.
struct Search<'a> {
    field: &'a str,
    given: &'a str,
    format: Format,
    root: &'a Path,
    disk: &'a dyn Disk,
}

impl Search<'_> {
    fn files(&self) -> Result<Vec<String>, ScoringError> {
        let name = self.normal()?;
        let path = self.root.join(&name);
        // A name with a star in it may be a file's own.
        match self.disk.look(&path) {
            Ok(found) if found.is_file => return Ok(vec![name]),
            Ok(_) => {
                let files = self.walk(&name, &|file| self.has_extension(file), MAX_DEPTH)?;
                return self.checked(files, &|_| true);
            }
            Err(error) if is_missing(&error) && is_pattern(&name) => {}
            Err(error) => return Err(self.failed(&path, error)),
        }
        let pattern = Pattern::new(&name).map_err(|error| {
            let message = format!(
                "`{}` is `{}`, which is no pattern: {}; write a `[` that is meant as such as `[[]`",
                self.field, self.given, error.msg
            );
            ScoringError::InvalidTask(message)
        })?;
        let matches = |file: &str| pattern.matches_with(file, OPTIONS);
        let plain: Vec<&str> = name.split('/').take_while(|part| !is_pattern(part)).collect();
        let deep = name.split('/').any(|part| part == "**");
        let depth = if deep {
            MAX_DEPTH
        } else {
            name.split('/').count() - plain.len()
        };
        let files = self.walk(&plain.join("/"), &matches, depth)?;
        self.checked(files, &matches)
    }

    /// The path without `.` and doubled slashes.
    fn normal(&self) -> Result<String, ScoringError> {
        let mut parts = Vec::new();
        let mut inside = !self.given.is_empty();
        for part in Path::new(self.given).components() {
            match part {
                Component::Normal(part) => parts.extend(part.to_str()),
                Component::CurDir => {}
                _ => inside = false,
            }
        }
        if inside {
            return Ok(parts.join("/"));
        }
        Err(ScoringError::InvalidTask(format!(
            "`{}` is `{}`; it must be a path relative to the volume's root, without `..`",
            self.field, self.given
        )))
    }

    /// Files below `folder` that are wanted, by their bytes' order. Names that begin with `.` or `_` are those of programs.
    fn walk(&self, folder: &str, wanted: &dyn Fn(&str) -> bool, depth: usize) -> Result<Vec<String>, ScoringError> {
        let mut files = Vec::new();
        let mut seen = 0;
        let mut open = vec![(folder.to_owned(), depth)];
        while let Some((folder, depth)) = open.pop() {
            let path = self.root.join(&folder);
            let entries = match self.disk.list(&path) {
                // Nothing is there any more, or never was.
                Err(error) if is_missing(&error) => continue,
                entries => entries.map_err(|error| self.failed(&path, error))?,
            };
            seen += entries.len();
            if seen > 10 * MAX_FILES {
                return Err(self.unreadable(&format!("has more than {} names to look through", 10 * MAX_FILES)));
            }
            for entry in entries {
                let Some(own) = entry.name.to_str() else {
                    let shown = entry.name.to_string_lossy();
                    return Err(self.unreadable(&format!("has a name that is not UTF-8, `{shown}`; rename it")));
                };
                if own.starts_with(['.', '_']) {
                    continue;
                }
                let name = if folder.is_empty() {
                    own.to_owned()
                } else {
                    format!("{folder}/{own}")
                };
                match entry.kind {
                    EntryKind::File if wanted(&name) => files.push(name),
                    EntryKind::File => {}
                    EntryKind::Folder if depth > 1 => open.push((name, depth - 1)),
                    // Its rows would be lost without a word.
                    EntryKind::FolderLink if depth > 1 => {
                        return Err(self.unreadable(&format!(
                            "has `{name}`, a link to a folder, which is not followed; name it in `dataset.paths`"
                        )));
                    }
                    EntryKind::Folder | EntryKind::FolderLink => {}
                }
            }
        }
        files.sort();
        Ok(files)
    }

    fn has_extension(&self, file: &str) -> bool {
        Format::of_name(file).is_some_and(|(format, _)| format == self.format)
    }

    /// Refuses an empty result, and a numbered set of which a part is missing that would have been `wanted`.
    fn checked(&self, files: Vec<String>, wanted: &dyn Fn(&str) -> bool) -> Result<Vec<String>, ScoringError> {
        let (field, given) = (self.field, self.given);
        if files.is_empty() {
            let format = format_name(self.format);
            let message = if is_pattern(given) {
                format!("`{field}` is `{given}`, but the volume has no file whose path is like that")
            } else {
                format!("`{field}` is `{given}`, a folder that has no {format} file in it or below")
            };
            return Err(ScoringError::DatasetNotFound(message));
        }
        if let Some((missing, of)) = missing_parts(&files, wanted) {
            let names = list_names(missing.iter().map(String::as_str));
            return Err(ScoringError::DatasetNotFound(format!(
                "`{field}` `{given}`: by their names there are {of} parts, of which {} are missing: {names}; bring them to the \
                 volume, or name those that you want in `dataset.paths`",
                missing.len()
            )));
        }
        Ok(files)
    }

    fn unreadable(&self, what: &str) -> ScoringError {
        ScoringError::DatasetUnreadable(format!("`{}` `{}` {what}", self.field, self.given))
    }

    /// What it means that a file or folder could not be looked at.
    fn failed(&self, path: &Path, error: io::Error) -> ScoringError {
        let (field, given) = (self.field, self.given);
        if !is_lasting(&error) {
            return ScoringError::io("open", path, error);
        }
        if is_missing(&error) {
            let format = format_name(self.format);
            return ScoringError::DatasetNotFound(format!(
                "`{field}` is `{given}`, but the volume has no such file; give the path of a {format} file, a folder or a pattern, \
                 relative to the volume's root{}",
                self.hint(path)
            ));
        }
        denied(&format!("`{field}` `{given}`"), &error)
    }

    /// Names of data files beside a missing one: the usual cause is a misspelt name or a wrong folder.
    fn hint(&self, missing: &Path) -> String {
        const EXTENSIONS: [&str; 8] = ["parquet", "csv", "tsv", "jsonl", "ndjson", "json", "gz", "zst"];
        const READ: usize = 10_000;
        let folder = missing.parent().map(Path::to_owned).unwrap_or_default();
        let entries = self.disk.list(&folder).unwrap_or_default();
        let mut names: Vec<String> = entries
            .into_iter()
            .take(READ)
            .filter_map(|entry| entry.name.into_string().ok())
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
}

/// The user's error of a file or folder that is not for this user, or not what it should be.
pub(super) fn denied(what: &str, error: &io::Error) -> ScoringError {
    let mend = if error.kind() == io::ErrorKind::PermissionDenied {
        "; the scoring pods run as the user of `scoring.pod.securityContext`, by default 65532, who must be allowed to read it"
    } else {
        ""
    };
    ScoringError::DatasetUnreadable(format!("{what}: {error}{mend}"))
}

fn is_pattern(path: &str) -> bool {
    path.contains(['*', '?', '['])
}

/// Part `index` of `of`, as in `train-00007-of-00123.parquet`, a name that many writers of data sets give.
struct Numbered<'a> {
    before: &'a str,
    index: &'a str,
    of: &'a str,
    after: &'a str,
}

impl<'a> Numbered<'a> {
    fn parse(file: &'a str) -> Option<Self> {
        let (left, right) = file.rsplit_once("-of-")?;
        let (before, index) = left.rsplit_once('-')?;
        let of = &right[..right.bytes().take_while(u8::is_ascii_digit).count()];
        let numbers = !index.is_empty() && !of.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit());
        numbers.then_some(Self {
            before,
            index,
            of,
            after: &right[of.len()..],
        })
    }
}

/// Parts that are missing in the first numbered set that is not whole, and of how many parts it is. What was not `wanted` is not missed.
fn missing_parts(files: &[String], wanted: &dyn Fn(&str) -> bool) -> Option<(Vec<String>, usize)> {
    let mut sets: BTreeMap<(&str, &str), Vec<Numbered<'_>>> = BTreeMap::new();
    for part in files.iter().filter_map(|file| Numbered::parse(file)) {
        sets.entry((part.before, part.of)).or_default().push(part);
    }
    sets.into_values().find_map(|parts| {
        let of: usize = parts[0].of.parse().ok().filter(|of| *of <= MAX_FILES)?;
        let present: BTreeSet<usize> = parts.iter().filter_map(|part| part.index.parse().ok()).collect();
        // Most count from 0, some from 1.
        let first = usize::from(!present.contains(&0) && present.contains(&of));
        let missing: Vec<String> = (first..first + of)
            .filter(|index| !present.contains(index))
            .map(|index| {
                let Numbered {
                    before,
                    index: digits,
                    of,
                    after,
                } = &parts[0];
                format!("{before}-{index:0width$}-of-{of}{after}", width = digits.len())
            })
            .filter(|name| wanted(name))
            .collect();
        (!missing.is_empty()).then_some((missing, of))
    })
}
