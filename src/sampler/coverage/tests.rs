use proptest::prelude::*;

use super::*;

fn phase() -> Coverage {
    Coverage::new(100, 200)
}

#[test]
fn steps_count_once_every_rank_has_them() {
    let mut c = phase();
    assert_eq!(c.served(), 100);
    c.mark(2, 0, 100, 120);
    assert_eq!(c.served(), 100, "rank 1 has nothing yet");
    c.mark(2, 1, 100, 110);
    assert_eq!(c.served(), 110);
    c.mark(2, 1, 110, 200);
    assert_eq!(c.served(), 120);
    c.mark(2, 0, 120, 200);
    assert_eq!(c.served(), 200);
}

#[test]
fn a_trainer_that_resumes_at_its_checkpoint_and_goes_to_the_end_is_complete() {
    let mut c = phase();
    c.mark(1, 0, 150, 170);
    assert_eq!(c.served(), 170);
    c.mark(1, 0, 170, 230);
    assert_eq!(c.served(), 200, "what lies past the end is cut off");
}

#[test]
fn a_trainer_whose_checkpoint_is_complete_only_asks_past_the_end() {
    let mut c = phase();
    c.mark(1, 0, 200, 210);
    assert_eq!(c.served(), 200);
    let mut c = phase();
    c.mark(1, 0, 5000, 5001);
    assert_eq!(c.served(), 200);
}

#[test]
fn asking_past_the_end_does_not_fill_a_hole() {
    let mut c = phase();
    c.mark(1, 0, 100, 150);
    assert_eq!(c.mark(1, 0, 200, 210), Mark::Hole(150));
    assert_eq!(c.served(), 150);
}

#[test]
fn a_restart_that_asks_again_changes_nothing() {
    let mut c = phase();
    c.mark(1, 0, 150, 180);
    assert_eq!(c.mark(1, 0, 140, 150), Mark::Joined);
    assert_eq!(c.mark(1, 0, 110, 120), Mark::Joined, "an earlier checkpoint");
    assert_eq!(c.served(), 180);
    c.mark(1, 0, 120, 185);
    assert_eq!(c.served(), 185);
}

#[test]
fn a_hole_counts_only_once_it_is_filled() {
    let mut c = phase();
    c.mark(1, 0, 100, 110);
    assert_eq!(c.mark(1, 0, 120, 130), Mark::Hole(110));
    assert_eq!(c.served(), 110);
    assert_eq!(c.mark(1, 0, 110, 120), Mark::Joined);
    assert_eq!(c.served(), 130);
}

#[test]
fn many_holes_do_not_cost_memory_nor_the_first_stretch() {
    let mut c = Coverage::new(0, 1_000_000);
    c.mark(1, 0, 500_000, 500_010);
    for i in 0..1000 {
        c.mark(1, 0, 600_000 + 2 * i, 600_001 + 2 * i);
        c.mark(1, 0, 2 * i, 2 * i + 1);
    }
    assert_eq!(c.worlds[0].ranks[&0].stretches.len(), STRETCHES);
    c.mark(1, 0, 500_010, 500_020);
    assert_eq!(c.served(), 500_020);
}

#[test]
fn another_world_begins_anew_and_does_not_disturb_the_first() {
    let mut c = phase();
    c.mark(2, 0, 100, 130);
    c.mark(2, 1, 100, 120);
    c.mark(1, 0, 100, 101);
    assert_eq!(c.served(), 120, "somebody looked at a batch");
    c.mark(2, 1, 120, 130);
    assert_eq!(c.served(), 130);
    for rank in 0..4 {
        c.mark(4, rank, 125, 200);
    }
    assert_eq!(c.served(), 200, "resumed on four devices");
}

#[test]
fn forgotten_worlds_do_not_lower_what_was_served() {
    let mut c = phase();
    c.mark(1, 0, 100, 190);
    for world in 2..20 {
        c.mark(world, 0, 100, 101);
    }
    assert_eq!((c.served(), c.worlds.len()), (190, WORLDS));
}

#[test]
fn a_journal_a_moment_old_leaves_no_hole() {
    let mut c = phase();
    c.mark(2, 0, 110, 130);
    c.mark(2, 1, 110, 130);
    let mut back = Coverage::restore(100, 200, c.served(), &c.records());
    assert_eq!((back.served(), back.records()), (130, c.records()));
    assert_eq!(back.mark(2, 0, 140, 150), Mark::Joined);
    assert_eq!(back.mark(2, 1, 120, 160), Mark::Joined);
    assert_eq!(back.served(), 150);
    assert_eq!(
        back.mark(2, 0, 160, 170),
        Mark::Hole(150),
        "only the first request after the restart"
    );
}

#[test]
fn records_of_another_phase_are_left_out() {
    let wrong = [
        RankRecord {
            world: 1,
            rank: 1,
            first: 100,
            served: 110,
        },
        RankRecord {
            world: 0,
            rank: 0,
            first: 100,
            served: 110,
        },
        RankRecord {
            world: 1,
            rank: 0,
            first: 100,
            served: 300,
        },
        RankRecord {
            world: 1,
            rank: 0,
            first: 120,
            served: 110,
        },
        RankRecord {
            world: 1,
            rank: 0,
            first: 20,
            served: 110,
        },
    ];
    assert_eq!(Coverage::restore(100, 200, 7, &wrong), phase());
}

proptest! {
    /// Against a bitmap: the run of marked steps from the first request's first step.
    #[test]
    fn served_is_the_run_without_a_hole_from_the_first_request(requests in prop::collection::vec((0u64..60, 0u64..8), 1..40)) {
        let mut c = Coverage::new(0, 60);
        let mut bitmap = [false; 61];
        let first = requests[0].0;
        for (from, count) in requests {
            let to = (from + count).min(60);
            c.mark(1, 0, from, to);
            (from..to).for_each(|s| bitmap[s as usize] = true);
            let run = (first..60).take_while(|&s| bitmap[s as usize]).count() as u64;
            prop_assert_eq!(c.served(), first + run);
        }
    }
}
