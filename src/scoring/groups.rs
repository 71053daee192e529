//! The groups of a data set: names as they come, row by row, and in the end their order and one name for each.

use std::collections::HashMap;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;

use super::dataset::{Cell, is_decimal};
use super::error::ScoringError;
use super::reading::Readings;
use super::store::Store;
use super::task::Task;
use crate::curriculum::plan::MAX_GROUPS;

/// The group of each of `rows` by its place in the manifest; `None` without a group column.
///
/// # Errors
/// When `curriculum inspect` has not left them, or they are not readable.
pub(super) fn of_rows(task: &Task, store: &Store, rows: &Range<u64>) -> Result<Option<Vec<u8>>, ScoringError> {
    if task.group_column.is_none() {
        return Ok(None);
    }
    let path = store.groups(task);
    store.shared().pull(&path)?;
    let mut groups = vec![0; usize::try_from(rows.end - rows.start).unwrap_or(usize::MAX)];
    let read = store.disk().open(&path).and_then(|mut file| {
        file.seek(SeekFrom::Start(rows.start))?;
        file.read_exact(&mut groups)
    });
    read.map_err(|e| ScoringError::io("read", &path, e))?;
    Ok(Some(groups))
}

/// Values of a group column, by first appearance.
#[derive(Debug, Default)]
pub(super) struct Groups {
    names: Vec<String>,
    ids: HashMap<String, u8>,
    /// Group of each row.
    of_rows: Vec<u8>,
}

/// Why a row has no group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GroupFault {
    /// Its value is a list or an object.
    Unsuitable,
    /// There are too many groups already.
    TooMany,
}

/// The groups in their order.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ordered {
    /// Names; the empty one, of rows without a value, comes first.
    pub(super) names: Vec<String>,
    /// Rows of each.
    pub(super) rows: Vec<u64>,
    /// Each row's group by its place among the names.
    pub(super) of_rows: Vec<u8>,
}

impl Groups {
    /// Adds a row. Null, absent, empty and unreadable values are the group of the empty name.
    pub(super) fn add(&mut self, cell: Cell<'_>) -> Result<(), GroupFault> {
        let name = match cell {
            Cell::Text(name) => name,
            Cell::Empty | Cell::Unreadable => "",
            Cell::Number(_) | Cell::Unsuitable | Cell::Items(_) | Cell::Vector(_) => {
                return Err(GroupFault::Unsuitable);
            }
        };
        let id = match self.ids.get(name) {
            Some(&id) => id,
            None => {
                let id = u8::try_from(self.names.len()).map_err(|_| GroupFault::TooMany)?;
                self.names.push(name.to_owned());
                self.ids.insert(name.to_owned(), id);
                id
            }
        };
        self.of_rows.push(id);
        Ok(())
    }

    /// The groups in numeric order when all names but the empty one are numbers, else in the order of their bytes.
    ///
    /// `untyped`: the file says of no value what it is, as CSV does. Then a column that has numbers only, or flags only, has them
    /// under the names that they have in a file with types: `1.0` is `1`, `True` is `true`, and `nan` is no value.
    pub(super) fn finish(self, untyped: bool) -> Ordered {
        let names = if untyped { typed(&self.names) } else { self.names };
        let mut sorted: Vec<&String> = names.iter().collect();
        sort(&mut sorted);
        sorted.dedup();
        let mut place_of = [0_u8; MAX_GROUPS];
        for (place, name) in place_of.iter_mut().zip(&names) {
            let found = sorted.iter().position(|other| *other == name).unwrap_or_default();
            *place = u8::try_from(found).unwrap_or(u8::MAX);
        }
        let mut of_rows = self.of_rows;
        let mut rows = vec![0; sorted.len()];
        for group in &mut of_rows {
            *group = place_of[usize::from(*group)];
            rows[usize::from(*group)] += 1;
        }
        Ordered {
            names: sorted.into_iter().cloned().collect(),
            rows,
            of_rows,
        }
    }
}

/// Names as a file with types would have them.
fn typed(names: &[String]) -> Vec<String> {
    let mut readings = Readings::default();
    names.iter().for_each(|name| readings.see(name));
    let reading = readings.end();
    names.iter().map(|name| reading.name(name).into_owned()).collect()
}

fn sort(names: &mut [&String]) {
    let all = |fits: fn(&str) -> bool| names.iter().all(|name| name.is_empty() || fits(name));
    if all(|name| name.parse::<i128>().is_ok()) {
        names.sort_by_key(|name| (name.parse().unwrap_or(i128::MIN), *name));
    } else if all(is_decimal) {
        let key = |name: &str| name.parse().unwrap_or(f64::NEG_INFINITY);
        names.sort_by(|a, b| key(a).total_cmp(&key(b)).then_with(|| a.cmp(b)));
    } else {
        names.sort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(names: &[&str], untyped: bool) -> Ordered {
        let mut groups = Groups::default();
        for name in names {
            groups.add(Cell::Text(name)).unwrap();
        }
        groups.finish(untyped)
    }

    #[test]
    fn numbers_without_types_are_those_with_types() {
        let found = of(&["0.0", "10.0", "", "2.0", "1", "1.0", "nan", "-0.0"], true);
        assert_eq!(found.names, ["", "0", "1", "2", "10"]);
        assert_eq!(found.rows, [2, 2, 2, 1, 1]);
        assert_eq!(found.of_rows, [1, 4, 0, 3, 2, 2, 0, 1]);
        assert_eq!(of(&["True", "", "False", "true"], true).names, ["", "false", "true"]);
        assert_eq!(
            of(&["0.50", "-1.5", "1e1", "2"], true).names,
            ["-1.5", "0.5", "2", "10"]
        );
    }

    #[test]
    fn names_that_look_like_numbers_stay_names() {
        for names in [
            &["007", "1.0"][..],
            &["1.0", "v1.0"],
            &["nan", "NaN"],
            &["True", "yes"],
            &["1.0", "inf"],
        ] {
            let mut expected: Vec<&str> = names.to_vec();
            expected.sort_unstable();
            assert_eq!(of(names, true).names, expected);
        }
        assert_eq!(of(&["1.0", "1", "True"], false).names, ["1", "1.0", "True"]);
    }

    #[test]
    fn numbers_stand_in_numeric_order() {
        assert_eq!(of(&["10", "9", "-3", ""], false).names, ["", "-3", "9", "10"]);
        assert_eq!(of(&["10.5", "9", "2.25", ""], false).names, ["", "2.25", "9", "10.5"]);
        assert_eq!(
            of(&["18446744073709551616", "9"], false).names,
            ["9", "18446744073709551616"]
        );
        assert_eq!(of(&["b", "a", "10", ""], false).names, ["", "10", "a", "b"]);
        assert_eq!(of(&["01", "1"], false).names, ["01", "1"]);
    }
}
