use proptest::prelude::*;

use super::*;

#[test]
fn what_counts_begins_at_the_first_step_and_ends_at_the_first_hole() {
    let mut s = Stretches::new(100);
    assert_eq!(s.add(100, 110), Mark::Joined);
    assert_eq!(s.add(120, 130), Mark::Hole(110));
    assert_eq!(s.served(), 110);
    assert_eq!(s.add(110, 120), Mark::Joined);
    assert_eq!(s.served(), 130);
}

#[test]
fn asking_again_changes_nothing_and_steps_before_the_first_add_nothing() {
    let mut s = Stretches::new(150);
    s.add(150, 180);
    assert_eq!(s.add(140, 150), Mark::Joined);
    assert_eq!(s.add(110, 120), Mark::Joined);
    assert_eq!(s.add(160, 170), Mark::Joined);
    assert_eq!((s.first(), s.served()), (150, 180));
}

#[test]
fn a_leap_to_the_end_is_a_hole() {
    let mut s = Stretches::new(100);
    assert_eq!(s.add(199, 200), Mark::Hole(100));
    assert_eq!(s.add(200, 200), Mark::Hole(100), "nor does asking past the end fill it");
    assert_eq!(s.served(), 100);
}

#[test]
fn many_holes_do_not_cost_memory_nor_the_first_stretch() {
    let mut s = Stretches::new(500_000);
    s.add(500_000, 500_010);
    for i in 0..1000 {
        s.add(600_000 + 2 * i, 600_001 + 2 * i);
        s.add(2 * i, 2 * i + 1);
    }
    assert_eq!(s.stretches.len(), STRETCHES);
    s.add(500_010, 500_020);
    assert_eq!(s.served(), 500_020);
}

#[test]
fn what_is_of_another_phase_does_not_fit() {
    let mut s = Stretches::new(110);
    s.add(110, 120);
    assert!(s.fits(100, 200) && s.fits(110, 120));
    assert!(!s.fits(111, 200) && !s.fits(100, 119));
}

proptest! {
    /// Against a bitmap: the run of marked steps from the first step.
    #[test]
    fn served_is_the_run_without_a_hole(first in 0u64..60, requests in prop::collection::vec((0u64..60, 0u64..8), 1..40)) {
        let mut s = Stretches::new(first);
        let mut bitmap = [false; 61];
        for (from, count) in requests {
            let to = (from + count).min(60);
            s.add(from, to);
            (from..to).for_each(|s| bitmap[s as usize] = true);
            let run = (first..60).take_while(|&s| bitmap[s as usize]).count() as u64;
            prop_assert_eq!(s.served(), first + run);
        }
    }
}
