//! A file beside the data whose lines speak of rows: which row a line means, by the row's number or by an id.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::dataset::{Cell, Field, Kind, Root, RowFile};
use super::task::{Format, Join};

/// The first half of an id's SHA-256: ids may be long, and two of 10⁹ are alike with a probability below 10⁻²⁰.
pub(super) type Id = [u8; 16];

pub(super) fn id_of(text: &str) -> Id {
    let mut id = Id::default();
    id.copy_from_slice(&Sha256::digest(text)[..16]);
    id
}

/// What a line names a row by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    /// The row's number.
    Row(u64),
    /// Its id.
    Id(Id),
}

impl Key {
    /// The key in a cell of the column that [`field`] asks for; `None`: there is none.
    pub(super) fn of(cell: Cell<'_>) -> Option<Self> {
        match cell {
            // Exact below 2⁵³, and what is beyond is no row of any data set.
            Cell::Number(row) if row >= 0.0 && row.fract() == 0.0 => Some(Self::Row(row as u64)),
            Cell::Text(id) => Some(Self::Id(id_of(id))),
            _ => None,
        }
    }
}

/// Name of the column of the file that tells which row a line means.
pub(super) fn column(join: &Join) -> &str {
    match join {
        Join::Row { column } | Join::Id { column, .. } => column,
    }
}

/// That column, as it is read.
pub(super) fn field(join: &Join, asked_by: &str) -> Field {
    Field {
        column: column(join).to_owned(),
        kind: match join {
            Join::Row { .. } => Kind::Number,
            Join::Id { .. } => Kind::Group,
        },
        asked_by: asked_by.to_owned(),
    }
}

/// The column of the data set that has the same ids; `None`: rows are known by their numbers.
pub(super) fn field_of_data(join: &Join, asked_by: &str) -> Option<Field> {
    let Join::Id { dataset_column, .. } = join else {
        return None;
    };
    Some(Field {
        column: dataset_column.clone(),
        kind: Kind::Group,
        asked_by: asked_by.to_owned(),
    })
}

/// The file below the data set's mount.
pub(super) fn file(root: &Root, path: &str, format: Format, delimiter: char) -> RowFile {
    RowFile {
        path: root.path.join(path),
        format,
        delimiter: u8::try_from(delimiter).unwrap_or(b','),
        disk: Arc::clone(&root.disk),
    }
}
