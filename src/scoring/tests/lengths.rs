//! Lengths of rows, kept in the score index beside the scores.

use super::*;
use crate::curriculum::order::{RowOrder, UNKNOWN_LENGTH};
use crate::index::summary::Lengths;

/// Six rows; of one the length is not known.
const ROWS: &[u8] = b"difficulty,tokens\n5,2.5\n4,0\n3,\n2,5\n1,2\n0,4\n";

fn place() -> Place {
    let of = |column: &str| ScorerKind::Column {
        column: column.to_owned(),
    };
    let mut length = scorer("tokens", of("tokens"));
    "0".clone_into(&mut length.weight);
    let mut place = Place::new("csv", ROWS, vec![scorer("given", of("difficulty")), length]);
    place.task.min_coverage = "0.5".to_owned();
    place
}

#[test]
fn a_scorers_scores_are_kept_as_lengths() {
    let mut place = place();
    place.task.length_scorer = Some("tokens".to_owned());
    let (summary, index) = place.run().unwrap();
    let expected = Lengths {
        rows: 5,
        tokens: 15,
        longest: 5,
    };
    assert_eq!(summary.lengths, Some(expected));
    let lengths = [3, 1, UNKNOWN_LENGTH, 5, 2, 4];
    assert_eq!(index.row_lengths(), Some(&lengths[..]));
    let mut out = [0; 3];
    index.lengths(&[5, 2, 0], &mut out);
    assert_eq!(out, [4, UNKNOWN_LENGTH, 3]);
    // The scorer of weight 0 orders nothing; the row that it has no score for is ranked last.
    assert_eq!(index.rows(), [5, 4, 3, 1, 0, 2]);

    // However many shards there are.
    place.task.shards = 5;
    place.inspect().unwrap();
    place.score().unwrap();
    assert_eq!(place.index().unwrap().digest, summary.digest);
}

#[test]
fn an_index_without_lengths_is_what_it_was_before() {
    let place = place();
    let (summary, index) = place.run().unwrap();
    assert_eq!(summary.lengths, None);
    assert_eq!(index.row_lengths(), None);
    let mut out = [0; 2];
    index.lengths(&[5, 2], &mut out);
    assert_eq!(out, [UNKNOWN_LENGTH; 2]);
    let summary = serde_json::to_value(summary).unwrap();
    assert!(summary.get("lengths").is_none(), "{summary}");
}
