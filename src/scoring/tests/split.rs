//! Rows that are held out of training: behind all others in the index, and in no count of what is trained on.

use std::collections::BTreeSet;

use super::*;
use crate::curriculum::split::{HeldOut, Split as Parts};
use crate::scoring::manifest::Manifest;
use crate::scoring::report::{EXIT_DATASET, FoundIndex};
use crate::scoring::task::Split;

/// Forty rows of three groups; every tenth row has no score.
fn place(seed: u64) -> Place {
    let rows: String = (0..40)
        .map(|row| match row % 10 {
            0 => format!(",{}\n", row % 3),
            _ => format!("{},{}\n", row * 7 % 40, row % 3),
        })
        .collect();
    let mut place = Place::new("csv", format!("n,g\n{rows}").as_bytes(), vec![column("n")]).grouped("g");
    place.task.min_coverage = "0.8".to_owned();
    place.task.split = Some(Split {
        held_out: "0.21".to_owned(),
        seed,
    });
    place
}

#[test]
fn held_out_rows_are_the_last_ones_of_the_index_and_of_each_group() {
    let place = place(5);
    let inspection = place.inspect().unwrap();
    assert_eq!((inspection.rows, inspection.held_out_rows), (31, 9));
    let apart: BTreeSet<u64> = Parts::new(40, HeldOut { rows: 9, seed: 5 }).held_out().collect();
    let (summary, index) = place.run().unwrap();
    let tail: BTreeSet<u64> = index.rows()[31..].iter().copied().collect();
    assert_eq!(tail, apart);
    assert!(
        index.scores()[31..]
            .iter()
            .chain(&index.ranks()[31..])
            .all(|score| score.is_nan())
    );
    // Ranks are those among the rows that are trained on; unscored rows come before the held-out ones.
    assert_eq!(
        index.ranks()[30],
        1.0 - (31 - summary.scored_rows - 1) as f64 / 2.0 / 31.0
    );
    let unscored = (0..40).filter(|row| row % 10 == 0 && !apart.contains(row)).count() as u64;
    assert_eq!((summary.rows, summary.scored_rows), (31, 31 - unscored));
    for group in 0..3_u32 {
        let all = index.group_rows()[group as usize];
        let trained = summary.group_rows[group as usize];
        for at in 0..all {
            let row =
                crate::curriculum::order::RowOrder::row(&index, crate::curriculum::order::OrderScope::Group(group), at);
            assert_eq!((apart.contains(&row), row % 3), (at >= trained, u64::from(group)));
        }
    }
    assert_eq!(summary.group_rows, inspection.group_rows);
    assert_eq!(summary.group_rows.iter().sum::<u64>(), 31);
    assert!(summary.group_mean_ranks.iter().all(|rank| (0.0..1.0).contains(rank)));
}

#[test]
fn scores_are_used_again_for_the_same_split_only() {
    let mut place = place(5);
    place.run().unwrap();
    let found = |place: &Place| place.inspect().unwrap().found;
    assert!(found(&place).is_some_and(|found| found.exact));
    // Another job of the same data, by its key: an index that has other rows at its end is none for it.
    place.task.key = "b".repeat(64);
    assert!(matches!(found(&place), Some(FoundIndex { exact: false, .. })));
    place.task.split.as_mut().unwrap().seed = 6;
    assert_eq!(found(&place), None);
    place.task.split = None;
    assert_eq!(found(&place), None);
    let manifest = Manifest::load(&place.store(), &place.task).unwrap();
    assert_eq!((manifest.trained_rows(), manifest.held_out), (40, None));
}

#[test]
fn a_split_that_leaves_nothing_is_refused() {
    let mut place = Place::new("csv", b"n\n1\n", vec![column("n")]);
    place.task.split = Some(Split {
        held_out: "0.5".to_owned(),
        seed: 0,
    });
    let error = place.inspect().unwrap_err();
    assert_eq!(error.exit_code(), EXIT_DATASET);
    assert_eq!(
        error.to_string(),
        "`dataset.split` holds out 1 of 1 rows, which leaves none to train on; lower `dataset.split.heldOut`"
    );
}
