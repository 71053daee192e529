//! `curriculum inspect`: what the data set holds, and whether the store has an index for it.

use std::io::Write;
use std::path::Path;

use super::companions::{self, Companions};
use super::dataset::{Cell, DataFile, Dataset, Field, Kind, Part, ReadError, Root, is_lasting};
use super::error::{ScoringError, list_names};
use super::filter::{self, Sieve};
use super::groups::{GroupFault, Groups};
use super::manifest::{MANIFEST_VERSION, Manifest, SourceFile};
use super::offsets::OffsetsWriter;
use super::overrides;
use super::report::{FoundIndex, Inspection};
use super::store::{Store, StoredSummary};
use super::task::{Format, Task};
use super::validate;
use crate::curriculum::filter::Filtered;
use crate::curriculum::plan::MAX_GROUPS;
use crate::curriculum::split::Split;
use crate::store::scratch::{write_json, write_whole};
use crate::store::{StoreError, read_json};

/// Inspects the data set below `root`, writes the manifest and the rows' groups to the store, and looks for an index there.
///
/// A row whose group is null, absent or unreadable belongs to the group named by the empty text. Groups are in numeric order
/// when every name but the empty one is a number, else in the order of their bytes; the empty one comes first.
///
/// # Errors
/// Those of the data set (exit code 65), and of the store.
pub fn inspect(task: &Task, root: &Root, store: &Store) -> Result<Inspection, ScoringError> {
    let dataset = Dataset::open(task, root)?;
    let people = overrides::Survey::begin(task, root)?;
    let mut survey = Survey::make(task, &dataset, store, people)?;
    if survey.rows == 0 {
        return Err(ScoringError::DatasetEmpty(format!(
            "{} has no rows; at least one is needed",
            task.shown()
        )));
    }
    let (sieve, people) = (survey.sieve.take(), survey.people.take());
    let (mut manifest, groups) = survey.finish(task, dataset)?;
    hold_out(task, &mut manifest, &groups)?;
    manifest.companions = companions::digests(task, root)?;
    let said = people.map(|people| people.end(&manifest)).transpose()?;
    let mut kept = None;
    if sieve.is_some() || overrides::may_leave_out(task) {
        let out = said.iter().flatten().flat_map(overrides::Said::left_out);
        kept = Some(filter::leave(task, store, &mut manifest, &groups, sieve, out)?);
    }
    if let Some(said) = said {
        overrides::leave(task, store, &mut manifest, said, kept.as_deref())?;
    }
    if task.group_column.is_some() {
        let path = store.groups(task);
        write_whole(&path, |writer| {
            writer
                .write_all(&groups)
                .map_err(|e| ScoringError::io("write", &path, e))
        })?;
    }
    write_json(&store.manifest(task), &manifest)?;
    let named_groups = find_groups(task, &manifest)?;
    if manifest.filtered.is_some() {
        // Without it nobody knows the rows to train on, so it must be there, unlike what else is pushed.
        store.shared().push(&store.trained(task))?;
    }
    let asked = push(task, store, &manifest).and_then(|()| find_index(task, store, &manifest));
    let (found, stale_index) = match asked {
        // Training goes on without the scores, and for that the rows are enough. Scoring will say what is wrong.
        Err(error @ ScoringError::Io { .. }) if store.shared().is_remote() => {
            tracing::warn!(%error, "the store does not answer");
            (None, None)
        }
        asked => asked?,
    };
    Ok(Inspection {
        rows: manifest.trained_rows(),
        held_out_rows: manifest.held_out.map_or(0, |held_out| held_out.rows),
        named_groups,
        group_rows: manifest.trained_group_rows(),
        bad_rows: manifest.bad_rows,
        filtered: manifest.filtered,
        found,
        stale_index,
    })
}

/// Puts what was found where the other pods of the task find it, the manifest last: who has it has the rest.
fn push(task: &Task, store: &Store, manifest: &Manifest) -> Result<(), ScoringError> {
    let groups = (!manifest.group_names.is_empty()).then(|| store.groups(task));
    let offsets = (task.format != Format::Parquet).then(|| store.offsets(task));
    let usable = matches!(manifest.overrides, Some(overrides::Found::Usable { .. }));
    let ranks = usable.then(|| store.overrides(task));
    let before = groups.into_iter().chain(offsets).chain(ranks);
    for path in before.chain([store.manifest(task)]) {
        store.shared().push(&path)?;
    }
    Ok(())
}

/// Writes down which rows are held out, and how many of each group.
fn hold_out(task: &Task, manifest: &mut Manifest, groups: &[u8]) -> Result<(), ScoringError> {
    let Some(held_out) = validate::held_out(task, manifest.rows)? else {
        return Ok(());
    };
    if held_out.rows >= manifest.rows {
        return Err(ScoringError::DatasetEmpty(format!(
            "`dataset.split` holds out {} of {} rows, which leaves none to train on; lower `dataset.split.heldOut`",
            held_out.rows, manifest.rows
        )));
    }
    manifest.held_out = Some(held_out);
    if !groups.is_empty() {
        manifest.held_out_group_rows = vec![0; manifest.group_rows.len()];
        for row in Split::new(manifest.rows, held_out).held_out() {
            manifest.held_out_group_rows[usize::from(groups[row as usize])] += 1;
        }
    }
    Ok(())
}

/// The places of the groups that the curriculum names. A name that is no group is most often written in another way: so the error
/// says which there are.
fn find_groups(task: &Task, manifest: &Manifest) -> Result<Vec<Option<u32>>, ScoringError> {
    let Some(column) = &task.group_column else {
        return Ok(vec![None; task.named_groups.len()]);
    };
    let place = |name: &String| {
        let found = manifest.group_names.iter().position(|other| other == name);
        found.and_then(|place| u32::try_from(place).ok()).ok_or_else(|| {
            let names = manifest.group_names.iter().map(|name| match name.as_str() {
                "" => "(no value)",
                name => name,
            });
            ScoringError::InvalidTask(format!(
                "the curriculum names group `{name}`, which is no value of `dataset.groupColumn` `{column}`; its values are {}",
                list_names(names)
            ))
        })
    };
    task.named_groups.iter().map(|name| place(name).map(Some)).collect()
}

/// One pass over the files.
#[derive(Default)]
struct Survey<'a> {
    rows: u64,
    /// Rows of each file.
    file_rows: Vec<u64>,
    bad_rows: u64,
    /// What is wrong with the first bad row, and in which file.
    first_bad: Option<(usize, String)>,
    offsets: Option<OffsetsWriter>,
    groups: Groups,
    sieve: Option<Sieve>,
    people: Option<overrides::Survey<'a>>,
}

impl<'a> Survey<'a> {
    fn make(
        task: &Task,
        dataset: &Dataset,
        store: &Store,
        people: Option<overrides::Survey<'a>>,
    ) -> Result<Self, ScoringError> {
        let group = task.group_column.iter().map(|column| Field {
            column: column.clone(),
            kind: Kind::Group,
            asked_by: "`dataset.groupColumn`".to_owned(),
        });
        // Those whose values the survey itself needs stand first.
        let mut fields: Vec<Field> = group
            .chain(filter::fields(task))
            .chain(overrides::field(task))
            .collect();
        let own = fields.len();
        fields.extend(task.scorers.iter().filter_map(validate::field));
        let mut survey = Self {
            sieve: Sieve::new(task)?,
            people,
            ..Self::default()
        };
        // Checks names and, where the format has them, types, before a pass that may take long.
        for data in dataset.files.iter().filter(|data| has_text(dataset, data)) {
            let stated = data.file.check(&fields).map_err(|error| dataset.explain(data, error))?;
            survey.file_rows.extend(stated);
        }
        if task.format == Format::Parquet {
            survey.rows = survey.file_rows.iter().sum();
            if own == 0 {
                return Ok(survey);
            }
            fields.truncate(own);
        } else {
            survey.offsets = Some(OffsetsWriter::create(store.offsets(task))?);
        }
        survey.read(task, dataset, &fields)?;
        Ok(survey)
    }

    fn read(&mut self, task: &Task, dataset: &Dataset, fields: &[Field]) -> Result<(), ScoringError> {
        let stated = std::mem::take(&mut self.file_rows);
        self.rows = 0;
        let mut usable = vec![false; fields.len()];
        for (place, data) in dataset.files.iter().enumerate() {
            let rows = if has_text(dataset, data) {
                self.read_file(task, dataset, place, fields, &mut usable)?
            } else {
                0
            };
            if let Some(stated) = stated.get(place).filter(|stated| **stated != rows) {
                let message = format!("it states {stated} rows but holds {rows}");
                return Err(dataset.explain(data, ReadError::Content(message)));
            }
            self.rows += rows;
            self.file_rows.push(rows);
        }
        // Formats without types show only here that a column is absent or of the wrong kind.
        if task.format != Format::Parquet
            && self.rows > 0
            && let Some((field, _)) = fields.iter().zip(&usable).find(|(_, usable)| !**usable)
        {
            let data = dataset.files.iter().find(|data| has_text(dataset, data));
            let columns = data.map(|data| data.file.columns().map_err(|e| dataset.explain(data, e)));
            return Err(unusable(field, &columns.transpose()?.unwrap_or_default()));
        }
        Ok(())
    }

    /// Reads a file to its end, and says how many rows it has.
    fn read_file(
        &mut self,
        task: &Task,
        dataset: &Dataset,
        place: usize,
        fields: &[Field],
        usable: &mut [bool],
    ) -> Result<u64, ScoringError> {
        let data = &dataset.files[place];
        let explain = |error| dataset.explain(data, error);
        let mut cursor = data.file.read(fields, Part::default()).map_err(explain)?;
        let ids = overrides::field(task).map(|_| usize::from(task.group_column.is_some()) + task.filter.len());
        let mut rows = 0;
        while cursor.advance().map_err(explain)? {
            if let (Some(writer), Some(offset)) = (&mut self.offsets, cursor.offset()) {
                writer.push(offset)?;
            }
            let bad = cursor.bad();
            let is_bad = bad.is_some();
            if let Some(what) = bad {
                self.bad_rows += 1;
                let (place, what) = self.first_bad.get_or_insert((place, what));
                if self.bad_rows > task.max_bad_rows {
                    return Err(too_many_bad(task, dataset, &dataset.files[*place], what));
                }
            }
            // The column of the groups stands first; others of this kind are conditions' and ids.
            let of_groups = task.group_column.is_some().then_some(0);
            for (place, field) in fields.iter().enumerate() {
                let cell = cursor.cell(place);
                usable[place] |= matches!(cell, Cell::Number(_) | Cell::Text(_) | Cell::Items(_) | Cell::Vector(_));
                if Some(place) == of_groups {
                    self.groups.add(cell).map_err(|fault| no_group(fault, &field.column))?;
                }
            }
            if let Some(sieve) = &mut self.sieve {
                let first = usize::from(of_groups.is_some());
                sieve.add(is_bad, |place| cursor.cell(first + place))?;
            }
            if let (Some(people), Some(place)) = (&mut self.people, ids) {
                people.see(self.rows + rows, cursor.cell(place));
            }
            rows += 1;
        }
        Ok(rows)
    }

    /// The manifest, and the group of each row by its position there. Puts the offsets in their place.
    fn finish(self, task: &Task, dataset: Dataset) -> Result<(Manifest, Vec<u8>), ScoringError> {
        let groups = self.groups.finish(task.format == Format::Csv);
        if let Some(offsets) = self.offsets {
            offsets.finish()?;
        }
        let files = dataset.files.into_iter().zip(self.file_rows);
        let manifest = Manifest {
            version: MANIFEST_VERSION,
            format: Some(task.format),
            delimiter: (task.format == Format::Csv).then_some(task.delimiter),
            rows: self.rows,
            source: dataset.fingerprint,
            held_out: None,
            filtered: None,
            companions: Companions::new(),
            overrides: None,
            bad_rows: self.bad_rows,
            group_names: groups.names,
            group_rows: groups.rows,
            held_out_group_rows: Vec::new(),
            filtered_group_rows: Vec::new(),
            files: files
                .map(|(data, rows)| SourceFile {
                    path: data.name,
                    rows,
                    bytes: data.edges.bytes,
                    edges: data.edges.digest,
                })
                .collect(),
        };
        Ok((manifest, groups.of_rows))
    }
}

/// False for an empty file among others: such a part has no rows, and no header either.
fn has_text(dataset: &Dataset, data: &DataFile) -> bool {
    data.file.format == Format::Parquet || data.edges.bytes > 0 || !dataset.has_several()
}

fn no_group(fault: GroupFault, column: &str) -> ScoringError {
    match fault {
        GroupFault::Unsuitable => ScoringError::ColumnNotFound(format!(
            "`dataset.groupColumn` names column `{column}`, which has values that are neither text nor number nor boolean; name a \
             column with one plain value per row"
        )),
        GroupFault::TooMany => ScoringError::TooManyGroups(format!(
            "`dataset.groupColumn` names column `{column}`, which has more than {MAX_GROUPS} distinct values; name a column with \
             at most {MAX_GROUPS}"
        )),
    }
}

fn too_many_bad(task: &Task, dataset: &Dataset, data: &DataFile, first: &str) -> ScoringError {
    let message = match task.max_bad_rows {
        0 => format!("{first}; mend it, or allow such rows by `dataset.maxBadRows`: they stay rows, without a score"),
        allowed => {
            format!("more rows are bad than `dataset.maxBadRows` allows, which is {allowed}; the first one: {first}")
        }
    };
    dataset.explain(data, ReadError::Content(message))
}

fn unusable(field: &Field, columns: &[String]) -> ScoringError {
    let names = list_names(columns.iter().map(String::as_str));
    let (asked_by, column) = (&field.asked_by, &field.column);
    let message = if columns.contains(column) {
        let wanted = match field.kind {
            Kind::Number => "a number",
            Kind::Text => "a text",
            Kind::Length => "a text or a list",
            Kind::Vector => "a list of numbers",
            Kind::Group => "a value",
        };
        format!("{asked_by} names column `{column}`, which has {wanted} in no row")
    } else {
        format!("{asked_by} names column `{column}`, which does not exist; the columns of the first row are {names}")
    };
    ScoringError::ColumnNotFound(message)
}

/// Whether an index is one for this data set.
enum Fit {
    Yes,
    /// It is damaged, or for another number of rows or other groups.
    No,
    /// It may be for other data: in words.
    Stale(String),
}

fn fit(store: &Store, stored: &StoredSummary, manifest: &Manifest) -> Result<Fit, ScoringError> {
    let summary = &stored.summary;
    if !validate::is_key(&summary.key) {
        return Ok(Fit::No);
    }
    match store.bytes(&store.index(&summary.key)) {
        Ok(bytes) if bytes == stored.bytes => {}
        Ok(_) => return Ok(Fit::No),
        Err(ScoringError::Io { source, .. }) if is_lasting(&source) => return Ok(Fit::No),
        Err(error) => return Err(error),
    }
    let Some(source) = &stored.source else {
        let words = "the index was made by a version that did not record which content of the data it is for";
        return Ok(Fit::Stale(words.to_owned()));
    };
    if let Some(difference) = source.difference(&manifest.source) {
        return Ok(Fit::Stale(format!("the data have changed: {difference}")));
    }
    let same_rows = stored.held_out == manifest.held_out
        && Filtered::same_rows(stored.filtered.as_ref(), manifest.filtered.as_ref())
        && summary.rows == manifest.trained_rows()
        && summary.group_rows == manifest.trained_group_rows()
        && summary.group_names == manifest.group_names;
    Ok(if same_rows { Fit::Yes } else { Fit::No })
}

/// The index of this key if it fits the data set and has the coverage asked for; else the newest one of the same data set that
/// fits; and why one that was looked at first is not used.
fn find_index(
    task: &Task,
    store: &Store,
    manifest: &Manifest,
) -> Result<(Option<FoundIndex>, Option<String>), ScoringError> {
    let min_coverage = validate::min_coverage(task)?;
    let mut stale = None;
    if let Some(stored) = usable_summary(store, &store.summary(&task.key))?.filter(|s| s.summary.key == task.key) {
        let (scored, rows) = (stored.summary.scored_rows, stored.summary.rows);
        let covers = validate::coverage(scored, rows, manifest.trained_bad_rows(task)) >= min_coverage;
        // The newest of the same data may be by other files, as it may be by another scorer; the one of this key may not.
        let other = companions::difference(&stored.companions, &manifest.companions);
        match (fit(store, &stored, manifest)?, other) {
            (Fit::Yes, Some(words)) => stale = Some(words),
            (Fit::Yes, None) if covers => {
                let summary = stored.summary;
                return Ok((Some(FoundIndex { exact: true, summary }), None));
            }
            (Fit::Yes | Fit::No, _) => {}
            (Fit::Stale(words), _) => stale = Some(words),
        }
    }
    for stored in newest_first(task, store)? {
        match fit(store, &stored, manifest)? {
            Fit::Yes => {
                let summary = stored.summary;
                return Ok((Some(FoundIndex { exact: false, summary }), stale));
            }
            Fit::No => {}
            Fit::Stale(words) => stale = stale.or(Some(words)),
        }
    }
    Ok((None, stale))
}

/// Summaries of the data set's indexes.
fn newest_first(task: &Task, store: &Store) -> Result<Vec<StoredSummary>, ScoringError> {
    let mut found = Vec::new();
    for path in store.shared().list(&store.indexes(task))? {
        if path.extension().is_some_and(|extension| extension == "json") {
            found.extend(usable_summary(store, &path)?);
        }
    }
    found.sort_by(|a, b| (b.created, &b.summary.key).cmp(&(a.created, &a.summary.key)));
    Ok(found)
}

/// A summary, if there is one: whatever is wrong with an old index, the answer is to make a new one.
///
/// # Errors
/// Of a disk or network that may do better next time: to score again would be dear.
fn usable_summary(store: &Store, path: &Path) -> Result<Option<StoredSummary>, ScoringError> {
    let read = store
        .shared()
        .pull(path)
        .and_then(|()| read_json::<StoredSummary>(path));
    match read {
        Ok(stored) => Ok(Some(stored)),
        Err(error) if error.is_missing() => Ok(None),
        Err(StoreError::Io { action, path, source }) if !is_lasting(&source) => {
            Err(ScoringError::Io { action, path, source })
        }
        Err(error) => {
            tracing::warn!(%error, "an index on the store is not usable");
            Ok(None)
        }
    }
}
