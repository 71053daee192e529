//! A file beside the data whose lines speak of rows: of scores that somebody has, or of what people say.

use super::scorer::is_relative;
use super::{Failure, FileOfRows, Overrides, format, refused};
use crate::api::dataset;
use crate::api::overrides::OverridesSpec;
use crate::api::scoring::FileScorer;
use crate::scoring::task::{Format, Join};

const DEFAULT_ROW_COLUMN: &str = "row";

/// What the spec says of such a file, whatever it holds.
struct Named<'a> {
    path: &'a str,
    format: Option<dataset::Format>,
    row_column: &'a Option<String>,
    id_column: &'a Option<String>,
    dataset_id_column: &'a Option<String>,
}

pub(super) fn of_scores(spec: &FileScorer, field: &str) -> Result<FileOfRows, Failure> {
    let named = Named {
        path: &spec.path,
        format: spec.format,
        row_column: &spec.row_column,
        id_column: &spec.id_column,
        dataset_id_column: &spec.dataset_id_column,
    };
    file(&named, field)
}

pub(super) fn of_people(spec: &OverridesSpec) -> Result<Overrides, Failure> {
    let named = Named {
        path: &spec.path,
        format: spec.format,
        row_column: &spec.row_column,
        id_column: &spec.id_column,
        dataset_id_column: &spec.dataset_id_column,
    };
    Ok(Overrides {
        file: file(&named, "scoring.overrides")?,
        spec: spec.clone(),
    })
}

fn file(named: &Named<'_>, field: &str) -> Result<FileOfRows, Failure> {
    if !is_relative(named.path) {
        return refused(format!(
            "`{field}.path` is '{}'; it must be a path relative to the root of the data set's volume, without '..'",
            named.path
        ));
    }
    let join = match (named.row_column, named.id_column, named.dataset_id_column) {
        (row, None, None) => Join::Row {
            column: row.clone().unwrap_or_else(|| DEFAULT_ROW_COLUMN.to_owned()),
        },
        (None, Some(id), of_data) => Join::Id {
            column: id.clone(),
            dataset_column: of_data.as_ref().unwrap_or(id).clone(),
        },
        _ => {
            return refused(format!(
                "`{field}` must have at most one of `rowColumn` and `idColumn`, and no `datasetIdColumn` without `idColumn`"
            ));
        }
    };
    let told = Format::of_name(named.path);
    Ok(FileOfRows {
        format: format(named.format, &[told].into()),
        delimiter: told.map_or(',', |(_, delimiter)| delimiter),
        join,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::controller::test_support::curriculum_job;
    use crate::controller::validate::{Run, ScorerKind, validate};

    /// The run of a file of scores, and of overrides, that are named so.
    fn parsed(spec: &Value) -> [Result<Run, String>; 2] {
        let scorers = json!({"scoring": {"scorers": [{"name": "given", "file": spec}]}});
        let overrides = json!({"scoring": {"overrides": spec}});
        [scorers, overrides].map(|patch| validate(&curriculum_job(patch)).map_err(|failure| failure.message))
    }

    #[test]
    fn every_such_file_is_read_by_row_or_by_id_in_the_format_that_its_name_tells() {
        let by_id = |of_data: &str| Join::Id {
            column: "id".to_owned(),
            dataset_column: of_data.to_owned(),
        };
        let by_row = |column: &str| Join::Row {
            column: column.to_owned(),
        };
        for (spec, format, delimiter, join) in [
            (json!({"path": "a/o.csv"}), Format::Csv, ',', by_row("row")),
            (
                json!({"path": "o.tsv", "rowColumn": "r"}),
                Format::Csv,
                '\t',
                by_row("r"),
            ),
            (
                json!({"path": "o.txt", "format": "JsonLines", "idColumn": "id"}),
                Format::JsonLines,
                ',',
                by_id("id"),
            ),
            (
                json!({"path": "o.parquet", "idColumn": "id", "datasetIdColumn": "uuid"}),
                Format::Parquet,
                ',',
                by_id("uuid"),
            ),
        ] {
            let expected = FileOfRows {
                format,
                delimiter,
                join,
            };
            let [scores, people] = parsed(&spec).map(Result::unwrap);
            assert_eq!(people.scoring.overrides.unwrap().file, expected);
            let ScorerKind::File { file, .. } = &scores.scoring.scorers[0].kind else {
                panic!("{spec}")
            };
            assert_eq!(*file, expected);
        }
    }

    #[test]
    fn what_contradicts_itself_is_refused_by_its_field() {
        for (spec, words) in [
            (
                json!({"path": "../o.csv"}),
                ".path` is '../o.csv'; it must be a path relative to",
            ),
            (
                json!({"path": "/o.csv"}),
                ".path` is '/o.csv'; it must be a path relative to",
            ),
            (
                json!({"path": "o.csv", "rowColumn": "r", "idColumn": "i"}),
                "` must have at most one of `rowColumn` and `idColumn`",
            ),
            (
                json!({"path": "o.csv", "datasetIdColumn": "i"}),
                "no `datasetIdColumn` without `idColumn`",
            ),
        ] {
            let [scores, people] = parsed(&spec).map(Result::unwrap_err);
            assert!(
                scores.starts_with("`scoring.scorers[0].file") && scores.contains(words),
                "{scores}"
            );
            assert!(
                people.starts_with("`scoring.overrides") && people.contains(words),
                "{people}"
            );
        }
    }
}
