//! The task that the measurements have in common.

use curriculum_operator::scoring::task::{Combine, Format, Scorer, ScorerKind, Task};

/// One built-in scorer over the file `data`, in one shard; `number`, below 16, tells its scores from those of other tasks.
pub(crate) fn task(number: u8, format: Format, name: &str, kind: ScorerKind) -> Task {
    Task {
        objects: None,
        named_groups: Vec::new(),
        delimiter: ',',
        max_bad_rows: 0,
        revision: None,
        filter: Vec::new(),
        split: None,
        path: Some("data".to_owned()),
        paths: Vec::new(),
        format,
        group_column: None,
        dataset_key: "0".repeat(64),
        key: format!("{number:x}").repeat(64),
        seed: 1,
        shards: 1,
        scorers: vec![Scorer {
            name: name.to_owned(),
            weight: "1".to_owned(),
            kind,
        }],
        combine: Combine::MeanRank,
        min_coverage: "1".to_owned(),
        length_scorer: None,
        overrides: None,
    }
}
