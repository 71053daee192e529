//! Scores are used again for the same data only.

use std::fs;

use super::*;
use crate::scoring::store::StoredSummary;
use crate::store::read_json;
use crate::store::scratch::write_json;

fn scored() -> Place {
    let place = Place::new("csv", b"n,m\n3,1\n1,2\n2,3\n", vec![column("n")]);
    place.run().unwrap();
    assert!(place.inspect().unwrap().found.unwrap().exact);
    place
}

fn stale(place: &Place) -> String {
    let inspection = place.inspect().unwrap();
    assert_eq!(inspection.found, None);
    inspection.stale_index.unwrap()
}

#[test]
fn a_file_that_was_sorted_in_place_is_scored_again() {
    let place = scored();
    fs::write(place.root().join("data.csv"), "n,m\n1,2\n2,3\n3,1\n").unwrap();
    assert_eq!(
        stale(&place),
        "the data have changed: their length is the same, their content is not"
    );
    place.run().unwrap();
    let inspection = place.inspect().unwrap();
    assert!(inspection.found.unwrap().exact && inspection.stale_index.is_none());
}

#[test]
fn the_last_good_scores_of_other_data_are_none() {
    let mut place = scored();
    place.task.key = "b".repeat(64);
    let inspection = place.inspect().unwrap();
    assert!(!inspection.found.unwrap().exact);
    assert_eq!(inspection.stale_index, None);
    fs::write(place.root().join("data.csv"), "n,m\n3,1\n1,2\n2,3\n4,4\n").unwrap();
    assert_eq!(
        stale(&place),
        "the data have changed: their length was 16 bytes and is now 20"
    );
}

/// Whose data nobody wrote down may be those of any file.
#[test]
fn an_index_without_a_record_of_its_file_is_not_used() {
    let place = scored();
    for path in [
        place.store().summary(&place.task.key),
        place
            .store()
            .indexes(&place.task)
            .join(format!("{}.json", place.task.key)),
    ] {
        let mut stored: StoredSummary = read_json(&path).unwrap();
        assert_eq!(stored.source.take().unwrap().bytes, 16);
        write_json(&path, &stored).unwrap();
    }
    assert_eq!(
        stale(&place),
        "the index was made by a version that did not record which content of the data it is for"
    );
}

#[test]
fn an_index_that_is_damaged_says_nothing_of_the_file() {
    let place = scored();
    fs::write(place.store().index(&place.task.key), "half").unwrap();
    let inspection = place.inspect().unwrap();
    assert_eq!((inspection.found, inspection.stale_index), (None, None));
}
