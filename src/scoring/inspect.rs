//! `curriculum inspect`: what the data set holds, and whether the store has an index for it.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use super::dataset::{Cell, Dataset, Field, Kind, Part};
use super::error::ScoringError;
use super::manifest::{MANIFEST_VERSION, Manifest, OFFSET_STRIDE};
use super::report::{FoundIndex, Inspection};
use super::scratch::{write_json, write_whole};
use super::store::{Store, StoredSummary, read_json};
use super::task::{Format, Task};
use super::validate;
use crate::curriculum::plan::MAX_GROUPS;

/// Inspects the data set below `root`, writes the manifest and the rows' groups to the store, and looks for an index there.
///
/// A row whose group is null or absent belongs to the group named by the empty text. Groups are in numeric order when
/// every name but the empty one is a whole number, else in the order of their bytes; the empty one comes first.
///
/// # Errors
/// Those of the data set (exit code 65), and of the store.
pub fn inspect(task: &Task, root: &Path, store: &Store) -> Result<Inspection, ScoringError> {
    let dataset = Dataset::open(task, root)?;
    let survey = Survey::make(task, &dataset)?;
    if survey.rows == 0 {
        return Err(ScoringError::DatasetEmpty(format!(
            "`dataset.path` `{}` has no rows; at least one is needed",
            task.path
        )));
    }
    let (manifest, groups) = survey.finish(dataset.bytes());
    if task.group_column.is_some() {
        let path = store.groups(task);
        write_whole(&path, |writer| {
            writer
                .write_all(&groups)
                .map_err(|e| ScoringError::io("write", &path, e))
        })?;
    }
    write_json(&store.manifest(task), &manifest)?;
    let found = find_index(task, store, &manifest)?;
    let place = |name: &String| manifest.group_names.iter().position(|other| other == name);
    let named_groups = task
        .named_groups
        .iter()
        .map(|name| place(name).and_then(|place| u32::try_from(place).ok()));
    Ok(Inspection {
        rows: manifest.rows,
        named_groups: named_groups.collect(),
        group_rows: manifest.group_rows,
        found,
    })
}

/// One pass over the file.
#[derive(Default)]
struct Survey {
    rows: u64,
    offsets: Vec<u64>,
    /// Group of each row, by first appearance.
    row_groups: Vec<u8>,
    names: Vec<String>,
    group_rows: Vec<u64>,
    ids: HashMap<String, u8>,
}

impl Survey {
    fn make(task: &Task, dataset: &Dataset) -> Result<Self, ScoringError> {
        let explain = |e| dataset.explain(e);
        let mut fields: Vec<Field> = task.scorers.iter().filter_map(validate::field).collect();
        if let Some(column) = &task.group_column {
            let group = Field {
                column: column.clone(),
                kind: Kind::Group,
                asked_by: "`dataset.groupColumn`".to_owned(),
            };
            fields.insert(0, group);
        }
        let file = dataset.file();
        let mut survey = Self::default();
        // Checks names and, where the format has them, types, before a pass that may take long.
        drop(file.read(&fields, Part::default()).map_err(explain)?);
        if let Some(rows) = file.stated_rows().map_err(explain)? {
            survey.rows = rows;
            if task.group_column.is_none() {
                return Ok(survey);
            }
            fields.truncate(1);
        }
        survey.pass(task, dataset, &fields)?;
        Ok(survey)
    }

    fn pass(&mut self, task: &Task, dataset: &Dataset, fields: &[Field]) -> Result<(), ScoringError> {
        let mut cursor = dataset
            .file()
            .read(fields, Part::default())
            .map_err(|e| dataset.explain(e))?;
        let mut usable = vec![false; fields.len()];
        let mut rows = 0_u64;
        while cursor.advance().map_err(|e| dataset.explain(e))? {
            if let Some(offset) = cursor.offset().filter(|_| rows.is_multiple_of(OFFSET_STRIDE)) {
                self.offsets.push(offset);
            }
            for (place, field) in fields.iter().enumerate() {
                let cell = cursor.cell(place);
                usable[place] |= matches!(cell, Cell::Number(_) | Cell::Text(_));
                if field.kind == Kind::Group {
                    self.count_group(cell, &field.column)?;
                }
            }
            rows += 1;
        }
        if task.format == Format::Parquet && rows != self.rows {
            return Err(ScoringError::DatasetUnreadable(format!(
                "`dataset.path` `{}` states {} rows but holds {rows}",
                task.path, self.rows
            )));
        }
        self.rows = rows;
        // Formats without types show only here that a column is absent or of the wrong kind.
        if task.format != Format::Parquet
            && rows > 0
            && let Some((field, _)) = fields.iter().zip(&usable).find(|(_, usable)| !**usable)
        {
            let columns = dataset.file().columns().map_err(|e| dataset.explain(e))?;
            return Err(unusable(field, &columns));
        }
        Ok(())
    }

    fn count_group(&mut self, cell: Cell<'_>, column: &str) -> Result<(), ScoringError> {
        let name = match cell {
            Cell::Text(name) => name,
            Cell::Empty => "",
            Cell::Number(_) | Cell::Unsuitable => {
                return Err(ScoringError::ColumnNotFound(format!(
                    "`dataset.groupColumn` names column `{column}`, which has values that are neither text nor number nor \
                     boolean; name a column with one plain value per row"
                )));
            }
        };
        let id = match self.ids.get(name) {
            Some(&id) => id,
            None => {
                let id = u8::try_from(self.names.len()).map_err(|_| {
                    ScoringError::TooManyGroups(format!(
                        "`dataset.groupColumn` names column `{column}`, which has more than {MAX_GROUPS} distinct values; \
                         name a column with at most {MAX_GROUPS}"
                    ))
                })?;
                self.names.push(name.to_owned());
                self.group_rows.push(0);
                self.ids.insert(name.to_owned(), id);
                id
            }
        };
        self.group_rows[usize::from(id)] += 1;
        self.row_groups.push(id);
        Ok(())
    }

    /// The manifest, and the group of each row by its position there.
    fn finish(self, bytes: u64) -> (Manifest, Vec<u8>) {
        let order = group_order(&self.names);
        let mut place_of = [0_u8; MAX_GROUPS];
        for (place, &id) in order.iter().enumerate() {
            place_of[id] = u8::try_from(place).unwrap_or(u8::MAX);
        }
        let mut groups = self.row_groups;
        for group in &mut groups {
            *group = place_of[usize::from(*group)];
        }
        let manifest = Manifest {
            version: MANIFEST_VERSION,
            rows: self.rows,
            bytes,
            group_names: order.iter().map(|&id| self.names[id].clone()).collect(),
            group_rows: order.iter().map(|&id| self.group_rows[id]).collect(),
            offsets: self.offsets,
        };
        (manifest, groups)
    }
}

fn unusable(field: &Field, columns: &[String]) -> ScoringError {
    let names = super::error::list_names(columns.iter().map(String::as_str));
    let (asked_by, column) = (&field.asked_by, &field.column);
    let message = if columns.contains(column) {
        let wanted = match field.kind {
            Kind::Number => "a number",
            Kind::Text => "a text",
            Kind::Group => "a group",
        };
        format!("{asked_by} names column `{column}`, which has {wanted} in no row")
    } else {
        format!("{asked_by} names column `{column}`, which does not exist; the columns of the first row are {names}")
    };
    ScoringError::ColumnNotFound(message)
}

/// Positions of the names in the order of the groups.
fn group_order(names: &[String]) -> Vec<usize> {
    let numbers: Option<Vec<i64>> = names
        .iter()
        .map(|name| {
            if name.is_empty() {
                Some(i64::MIN)
            } else {
                name.parse().ok()
            }
        })
        .collect();
    let mut order: Vec<usize> = (0..names.len()).collect();
    match numbers {
        Some(numbers) => order.sort_by_key(|&id| (numbers[id], &names[id])),
        None => order.sort_by_key(|&id| &names[id]),
    }
    order
}

/// The index of this key if it fits the data set and has the coverage asked for; else the newest one of the same data set that fits.
fn find_index(task: &Task, store: &Store, manifest: &Manifest) -> Result<Option<FoundIndex>, ScoringError> {
    let min_coverage = validate::min_coverage(task)?;
    let fits = |stored: &StoredSummary| {
        let summary = &stored.summary;
        let whole = validate::is_key(&summary.key)
            && fs::metadata(store.index(&summary.key)).is_ok_and(|found| found.len() == stored.bytes);
        let same_rows = summary.rows == manifest.rows
            && summary.group_rows == manifest.group_rows
            && summary.group_names == manifest.group_names;
        whole && same_rows
    };
    let exact = usable_summary(&store.summary(&task.key)).filter(|stored| {
        let coverage = stored.summary.scored_rows as f64 / stored.summary.rows as f64;
        stored.summary.key == task.key && coverage >= min_coverage && fits(stored)
    });
    if let Some(stored) = exact {
        return Ok(Some(FoundIndex {
            exact: true,
            summary: stored.summary,
        }));
    }
    let Ok(entries) = fs::read_dir(store.indexes(task)) else {
        return Ok(None);
    };
    let newest = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .filter_map(|path| usable_summary(&path))
        .filter(fits)
        .max_by(|a, b| (a.created, &a.summary.key).cmp(&(b.created, &b.summary.key)));
    Ok(newest.map(|stored| FoundIndex {
        exact: false,
        summary: stored.summary,
    }))
}

/// A summary, if there is one: whatever is wrong with an old index, the answer is to make a new one.
fn usable_summary(path: &Path) -> Option<StoredSummary> {
    match read_json::<StoredSummary>(path) {
        Ok(stored) => Some(stored),
        Err(ScoringError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => {
            tracing::warn!(%error, "an index on the store is not usable");
            None
        }
    }
}
