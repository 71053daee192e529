//! The rows that a filter leaves, as an order of rows: what is drawn from where there is no score index.

use std::io;
use std::sync::Arc;

use super::contract::IndexFault;
use super::index::{folder, reason};
use super::source::{SharedOrder, Unusable};
use crate::curriculum::filter::Filtered;
use crate::curriculum::plan::Plan;
use crate::index::trained::{TrainedError, TrainedRows};
use crate::store::{Shared, StoreError};

/// Maps `scores/<key>/trained.u64` of the store and checks it against the plan. A copy that is not that file
/// is replaced once.
///
/// # Errors
/// Says in words why the rows cannot be known, and whether that may pass.
pub fn open(store: &Shared, plan: &Plan, filtered: &Filtered) -> Result<SharedOrder, Unusable> {
    let key = folder(&filtered.key).ok_or_else(|| Unusable {
        fault: IndexFault::DigestMismatch,
        message: "the plan's key of the rows to train on is no name of a folder".to_owned(),
    })?;
    let name = format!("scores/{key}/trained.u64");
    let path = store.root().join(&name);
    let away = |error: StoreError| Unusable {
        fault: if error.is_missing() {
            IndexFault::Missing
        } else {
            IndexFault::Unreadable
        },
        message: format!("{name}: {}", reason(&error)),
    };
    let open = || {
        let opened = TrainedRows::open(&path, &filtered.digest, plan.rows, plan.dataset_rows());
        opened.map_err(|error| Unusable {
            fault: fault(&error),
            message: format!("{name}: {error}"),
        })
    };
    store.pull(&path).map_err(away)?;
    let opened = match open() {
        Err(other) if other.fault == IndexFault::DigestMismatch && store.is_remote() => {
            store.pull_again(&path).map_err(away)?;
            open()
        }
        opened => opened,
    };
    Ok(Arc::new(opened?))
}

fn fault(error: &TrainedError) -> IndexFault {
    match error {
        TrainedError::Io(error) if error.kind() == io::ErrorKind::NotFound => IndexFault::Missing,
        TrainedError::Io(_) => IndexFault::Unreadable,
        TrainedError::Digest { .. } | TrainedError::Invalid(_) => IndexFault::DigestMismatch,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::collection::vec;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::curriculum::plan::{Facts, PlanScores, compile};
    use crate::curriculum::split::{HeldOut, Split};
    use crate::index::file::{self, IndexContent};
    use crate::index::order::Order;
    use crate::index::trained;
    use crate::sampler::contract::Source;
    use crate::sampler::part::Part;
    use crate::sampler::source::{InEffect, drawn};
    use crate::sampler::{index, source};

    /// A store with the index and the rows of a data set in two groups, of which a filter leaves some, and a
    /// plan for it.
    struct Case {
        folder: tempfile::TempDir,
        plan: Plan,
        trained: Vec<u64>,
    }

    impl Case {
        fn new(rows: &[(f64, bool)], held_out: Option<HeldOut>, curriculum: &Value) -> Option<Self> {
            let all = rows.len() as u64;
            let split = held_out.map(|held_out| Split::new(all, held_out));
            let apart: Vec<u64> = split.iter().flat_map(Split::held_out).collect();
            let is_left = |row: &u64| rows[*row as usize].1 && !apart.contains(row);
            let (trained, others): (Vec<u64>, Vec<u64>) = (0..all).partition(is_left);
            if trained.is_empty() {
                return None;
            }
            let folder = tempfile::tempdir().unwrap();
            let path = |name: &str| {
                let path = folder.path().join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                path
            };
            let group_of = |row: &u64| u8::from(row.is_multiple_of(3));
            let groups: Vec<u8> = (0..all).map(|row| group_of(&row)).collect();
            let count = |rows: &[u64]| {
                let second = rows.iter().filter(|row| group_of(row) == 1).count() as u64;
                vec![rows.len() as u64 - second, second]
            };
            let group_rows = count(&(0..all).collect::<Vec<_>>());
            let order = Order::new(rows.iter().map(|row| row.0).collect(), 1, others.iter().copied());
            let content = IndexContent {
                key: "k".to_owned(),
                grouped: Some(order.by_group(&groups, &group_rows)),
                lengths: None,
                group_rows,
                group_names: vec!["a".to_owned(), "b".to_owned()],
                order,
            };
            let written = file::write(&path("index/k/index.arrow"), content).unwrap();
            let mut bytes = Vec::new();
            let digest = trained::write(&mut bytes, trained.iter().copied()).unwrap();
            fs::write(path("scores/k/trained.u64"), bytes).unwrap();
            let facts = Facts {
                seed: 5,
                rows: trained.len() as u64,
                group_rows: count(&trained),
                held_out,
                filtered: Some(Filtered {
                    rows: (others.len() - apart.len()) as u64,
                    key: "k".to_owned(),
                    digest,
                }),
                scores: Some(PlanScores {
                    key: "k".to_owned(),
                    digest: written.digest,
                }),
                ..Facts::default()
            };
            let curriculum = serde_json::from_value(curriculum.clone()).unwrap();
            let plan = compile(&curriculum, &facts).unwrap();
            assert_eq!(plan.dataset_rows(), all);
            Some(Self { folder, plan, trained })
        }

        fn in_effect(&self) -> Result<InEffect, source::RowsUnknown> {
            let store = Shared::volume(self.folder.path());
            InEffect::new(
                self.plan.clone(),
                |scores| index::open(&store, scores),
                |plan, filtered| open(&store, plan, filtered),
            )
        }

        fn remove(&self, name: &str) {
            fs::remove_file(self.folder.path().join(name)).unwrap();
        }
    }

    fn curricula() -> Vec<Value> {
        let phases = |phases: Value| json!({"batchSize": 5, "phases": phases});
        let steps = |steps: u32| json!({"steps": steps});
        let growing = json!({"name": "grow", "duration": steps(40), "replay": "0.2",
            "hardNegatives": {"share": "0.1", "fraction": "0.1"},
            "pool": {"pacing": {"function": "Linear", "from": "0.1", "to": "1"}}});
        let first = json!({"name": "easy", "duration": steps(20), "pool": {"fraction": "0.3"}});
        let with = |mut spec: Value, more: Value| {
            json_patch::merge(&mut spec, &more);
            spec
        };
        let several = phases(json!([first, growing]));
        vec![
            several.clone(),
            with(several.clone(), json!({"balance": "Group", "uniformFloor": "0.2"})),
            with(several.clone(), json!({"order": "HardFirst"})),
            with(several, json!({"order": "Random"})),
            phases(json!([{"name": "score", "duration": steps(40), "warmUpSteps": 5,
                "pool": {"score": {"function": "Linear", "from": "0", "to": "9"}}}])),
            phases(
                json!([{"name": "bins", "duration": steps(40), "pool": {"fraction": "1"},
                "weighting": {"bins": 4, "temperature": "0.5", "finalTemperature": "2"}}]),
            ),
        ]
    }

    proptest! {
        #[test]
        fn no_batch_of_any_phase_holds_a_row_that_is_filtered_out(
            rows in vec((prop_oneof![4 => 0.0..9.0_f64, 1 => Just(f64::NAN)], prop::bool::weighted(0.6)), 20..120),
            held_out in prop::option::of((1..10_u64, 0..99_u64)),
            curriculum in prop::sample::select(curricula()),
        ) {
            let held_out = held_out.map(|(rows, seed)| HeldOut { rows, seed });
            let case = Case::new(&rows, held_out, &curriculum);
            prop_assume!(case.is_some());
            let case = case.unwrap();
            for (source, gone) in [(Source::Index, None), (Source::UniformIndexUnusable, Some("index/k/index.arrow"))] {
                gone.into_iter().for_each(|name| case.remove(name));
                let found = case.in_effect().unwrap();
                prop_assert_eq!(found.source, source);
                let rows = drawn(&found.plan, &found.order).unwrap();
                let mut batch = Vec::new();
                for step in 0..found.plan.total_steps() {
                    rows.batch(step, Part::WHOLE, &mut batch).unwrap();
                    prop_assert!(batch.iter().all(|row| case.trained.binary_search(row).is_ok()), "{:?} at {}", source, step);
                }
            }
            case.remove("scores/k/trained.u64");
            prop_assert!(case.in_effect().is_err());
        }
    }

    #[test]
    fn rows_that_cannot_be_known_are_not_drawn() {
        let rows: Vec<(f64, bool)> = (0..60).map(|row| (f64::from(row), row % 2 == 0)).collect();
        let case = || Case::new(&rows, None, &curricula()[0]).unwrap();
        let refusal = |case: &Case| case.in_effect().err().unwrap().to_string();
        let start = "there is no score index to draw from, and which rows `dataset.filter` and `scoring.overrides` leave cannot be known, so nothing is \
                     drawn: ";
        // The index alone is enough: its first rows are those.
        let served = case();
        served.remove("scores/k/trained.u64");
        assert_eq!(served.in_effect().unwrap().source, Source::Index);
        served.remove("index/k/index.arrow");
        let said = refusal(&served);
        assert!(
            said.starts_with(start) && said.contains("scores/k/trained.u64: "),
            "{said}"
        );
        // Nor from another file, nor without scores at all, nor from a plan that names no folder.
        let mut uniform = case();
        uniform.plan = uniform.plan.uniform();
        assert_eq!(uniform.in_effect().unwrap().source, Source::Uniform);
        fs::write(uniform.folder.path().join("scores/k/trained.u64"), "other bytes").unwrap();
        assert!(refusal(&uniform).contains("have digest sha256:"));
        uniform.remove("scores/k/trained.u64");
        assert!(refusal(&uniform).contains("No such file"));
        if let Some(filtered) = &mut uniform.plan.filtered {
            filtered.key = "../k".to_owned();
        }
        assert!(refusal(&uniform).contains("is no name of a folder"));
    }

    #[test]
    fn what_the_system_says_tells_whether_waiting_helps() {
        let of = |code| fault(&TrainedError::Io(io::Error::from_raw_os_error(code)));
        assert_eq!((of(2), of(5)), (IndexFault::Missing, IndexFault::Unreadable));
        assert_eq!(fault(&TrainedError::Invalid("")), IndexFault::DigestMismatch);
    }
}
