use super::*;

const RUN: &str = "5e6f2b1c";

fn sessions() -> Sessions {
    let facts = Facts {
        steps: 100..200,
        batch: 16,
        rows: 600,
        run: Some(RUN.into()),
    };
    Sessions::new(facts, 0xab)
}

fn opening(rank: u32, world: u32) -> Opening {
    Opening {
        rank,
        world,
        step: None,
        run: None,
        rows: None,
        key: None,
    }
}

fn resuming(rank: u32, world: u32, step: u64) -> Opening {
    Opening {
        step: Some(step),
        run: Some(RUN.into()),
        ..opening(rank, world)
    }
}

fn open(s: &mut Sessions, opening: &Opening) -> SessionId {
    s.open(opening).unwrap().id
}

fn refused(s: &mut Sessions, opening: &Opening) -> String {
    let before = s.record();
    let message = s.open(opening).unwrap_err().to_string();
    assert_eq!(s.record(), before, "a refusal changes nothing");
    message
}

#[test]
fn steps_count_once_every_rank_of_the_world_has_them() {
    let mut s = sessions();
    let zero = open(&mut s, &opening(0, 2));
    s.mark(zero, 100, 120);
    assert_eq!(s.served(), 100, "rank 1 has not come yet");
    let one = open(&mut s, &opening(1, 2));
    assert_eq!(s.served(), 100);
    s.mark(one, 100, 110);
    assert_eq!((s.served(), s.furthest()), (110, 120));
    s.mark(one, 110, 200);
    assert_eq!(s.served(), 120);
    s.mark(zero, 120, 230);
    assert_eq!(s.served(), 200, "what lies past the end is cut off");
}

#[test]
fn a_leap_to_the_last_step_or_past_the_end_is_a_hole() {
    let mut s = sessions();
    let id = open(&mut s, &opening(0, 1));
    assert_eq!(s.mark(id, 199, 200), Some(Mark::Hole(100)));
    assert_eq!(s.mark(id, 200, 210), Some(Mark::Hole(100)));
    assert_eq!((s.served(), s.resumed_at()), (100, None));
}

#[test]
fn a_resume_counts_from_its_checkpoint_and_is_told() {
    let mut s = sessions();
    let id = open(&mut s, &resuming(0, 1, 150));
    assert_eq!((s.served(), s.resumed_at()), (150, Some(150)));
    s.mark(id, 150, 200);
    assert_eq!(s.served(), 200);
    let mut s = sessions();
    open(&mut s, &resuming(0, 1, 200));
    assert_eq!(s.served(), 200, "the checkpoint was complete");
}

#[test]
fn a_resume_must_be_of_this_run_and_within_the_phase() {
    let mut s = sessions();
    let another = Opening {
        run: Some("77aa".into()),
        ..resuming(0, 1, 150)
    };
    assert_eq!(
        refused(&mut s, &another),
        "`step` is 150, after the phase's first step 100, but the checkpoint is of run `77aa`; expected a checkpoint of this run, \
         `5e6f2b1c`. Begin at the phase's first step, 100, to train on the weights of another run"
    );
    let end = Opening {
        step: Some(200),
        ..another.clone()
    };
    assert!(
        refused(&mut s, &end).contains("the checkpoint is of run `77aa`"),
        "a finished one is no exception"
    );
    let unsigned = Opening {
        run: None,
        ..resuming(0, 1, 150)
    };
    assert!(refused(&mut s, &unsigned).contains("but no run is given; expected"));
    let behind = refused(&mut s, &resuming(0, 1, 99));
    assert!(behind.starts_with("`step` is 99, before the phase"), "{behind}");
    let beyond = refused(&mut s, &resuming(0, 1, 201));
    assert_eq!(beyond, "`step` is 201, after the phase's end; expected 100 to 200");
    let first = Opening {
        step: Some(100),
        ..another
    };
    assert!(
        s.open(&first).is_ok(),
        "the weights of another run may be trained on, from the first step"
    );
}

#[test]
fn without_a_name_of_the_run_nothing_is_compared() {
    let mut s = sessions();
    s.facts.run = None;
    assert!(s.open(&resuming(0, 1, 150)).is_ok());
    let mut s = sessions();
    s.facts.run = None;
    assert!(
        s.open(&Opening {
            step: Some(150),
            ..opening(0, 1)
        })
        .is_ok()
    );
}

#[test]
fn rows_ranks_and_worlds_are_compared_with_the_plan() {
    let mut s = sessions();
    let cases = [
        (
            Opening {
                rows: Some(599),
                ..opening(0, 1)
            },
            "the trainer's data set has 599 rows, the plan's 600; expected the same rows in the same order",
        ),
        (opening(1, 1), "`rank` is `1`; expected less than `world`, which is 1"),
        (
            opening(0, 17),
            "`world` is `17`; expected 1 to 16: a batch has 16 rows, and every rank needs one",
        ),
        (
            opening(0, 0),
            "`world` is `0`; expected 1 to 16: a batch has 16 rows, and every rank needs one",
        ),
        (
            Opening {
                key: Some("a\nb".into()),
                ..opening(0, 1)
            },
            "`key` has 3 characters; expected 1 to 128 of a single line",
        ),
    ];
    for (opening, message) in cases {
        assert_eq!(refused(&mut s, &opening), message);
    }
}

#[test]
fn two_processes_with_one_name_collide_and_then_nothing_counts() {
    let mut s = sessions();
    let first = open(&mut s, &opening(0, 1));
    s.mark(first, 100, 150);
    let second = open(&mut s, &opening(0, 1));
    assert_eq!(s.served(), 100, "the second one begins anew");
    assert_eq!(s.collision(), None, "the first one may have ended");
    assert_eq!(s.mark(first, 150, 160), None, "a reply that is still going out");
    s.mark(second, 100, 200);
    assert_eq!(s.served(), 200);

    let message = s.find(&first.to_string()).unwrap_err();
    assert!(matches!(message, Refusal::Conflict(_)));
    let message = message.to_string();
    assert!(
        message.starts_with("two processes claim rank 0 of world 1: "),
        "{message}"
    );
    assert!(message.contains("RANK and WORLD_SIZE"), "{message}");
    assert_eq!((s.served(), s.collision()), (100, Some(&*message)));
    assert_eq!(s.find(&second.to_string()), Ok(second), "who holds the name goes on");
    open(&mut s, &opening(0, 1));
    assert_eq!(s.collision(), Some(&*message), "no restart mends it");
}

#[test]
fn a_trainer_that_starts_again_begins_a_generation_in_any_order_of_its_ranks() {
    let mut s = sessions();
    for rank in 0..2 {
        let id = open(&mut s, &opening(rank, 2));
        s.mark(id, 100, 170);
    }
    assert_eq!(s.served(), 170);
    let one = open(&mut s, &resuming(1, 2, 150));
    assert_eq!(s.served(), 100, "rank 0 must come again too");
    let zero = open(&mut s, &resuming(0, 2, 150));
    assert_eq!((s.served(), s.generation()), (150, 2));
    s.mark(one, 150, 200);
    s.mark(zero, 150, 200);
    assert_eq!((s.served(), s.resumed_at(), s.collision()), (200, Some(150), None));
}

#[test]
fn a_survivor_of_the_generation_before_collides() {
    let mut s = sessions();
    let survivor = open(&mut s, &opening(0, 2));
    open(&mut s, &opening(1, 2));
    open(&mut s, &opening(1, 2));
    let message = s.find(&survivor.to_string()).unwrap_err().to_string();
    assert!(
        message.starts_with("the session of rank 0 of world 2 ended when rank 1 of world 2 opened one"),
        "{message}"
    );
}

#[test]
fn another_world_takes_the_place_of_the_first() {
    let mut s = sessions();
    let two: Vec<SessionId> = (0..2).map(|rank| open(&mut s, &opening(rank, 2))).collect();
    for &id in &two {
        s.mark(id, 100, 180);
    }
    let four: Vec<SessionId> = (0..4).map(|rank| open(&mut s, &resuming(rank, 4, 175))).collect();
    assert_eq!(s.served(), 175, "resumed on four devices");
    for &id in &four {
        s.mark(id, 175, 200);
    }
    assert_eq!((s.served(), s.collision()), (200, None));
    assert!(s.find(&two[0].to_string()).is_err());
    assert_eq!(s.served(), 100, "two worlds at once are no training");
}

#[test]
fn ranks_must_begin_at_the_same_step() {
    let mut s = sessions();
    open(&mut s, &resuming(0, 2, 150));
    assert_eq!(
        refused(&mut s, &opening(1, 2)),
        "rank 1 begins at step 100, but rank 0 of the same world at step 150; expected all ranks to go on from the same checkpoint"
    );
    open(&mut s, &resuming(1, 2, 150));
}

#[test]
fn asked_again_with_the_same_key_it_is_the_same_session() {
    let mut s = sessions();
    let keyed = |key: &str| Opening {
        key: Some(key.into()),
        ..opening(0, 2)
    };
    let first = s.open(&keyed("a")).unwrap();
    s.mark(first.id, 100, 120);
    let again = s.open(&keyed("a")).unwrap();
    assert_eq!((again.id, again.new_generation), (first.id, false));
    assert_eq!(s.served_of(0), Some(120), "nothing is lost");
    let other = s.open(&keyed("b")).unwrap();
    assert!(other.id != first.id && other.new_generation);
}

#[test]
fn what_no_sampler_of_this_attempt_opened_is_unknown_and_no_collision() {
    let mut s = sessions();
    open(&mut s, &opening(0, 1));
    let other = SessionId {
        epoch: 1,
        generation: 0,
        part: Part::WHOLE,
    };
    let later = "00000000000000ab-7-0-1";
    for name in ["", "x", "1-2-3", "-1-0-0-1", "ab-1-9-1", later, &other.to_string()] {
        let error = s.find(name).unwrap_err();
        assert!(matches!(error, Refusal::Unknown(_)), "{name}: {error}");
    }
    assert_eq!(s.collision(), None);
}

#[test]
fn a_restart_keeps_sessions_collisions_and_what_was_handed_out() {
    let mut s = sessions();
    let zero = open(&mut s, &opening(0, 2));
    let one = open(&mut s, &opening(1, 2));
    s.mark(zero, 100, 120);
    s.mark(one, 100, 120);
    s.mark(one, 130, 140);
    let mut back = Sessions::restore(s.facts.clone(), s.record()).unwrap();
    assert_eq!((back.record(), back.served()), (s.record(), 120));
    // The record was a moment old: rank 0 had got more.
    back.fill(0, 125);
    back.fill(7, 125);
    back.fill(1, 0);
    assert_eq!((back.served_of(0), back.served_of(1)), (Some(125), Some(120)));
    assert_eq!(back.find(&zero.to_string()), Ok(zero));
    assert_eq!(back.mark(zero, 130, 140), Some(Mark::Hole(125)), "a leap stays one");
    assert_eq!(back.mark(one, 120, 130), Some(Mark::Joined));
    assert_eq!(back.served_of(1), Some(140));

    open(&mut s, &opening(0, 2));
    s.find(&zero.to_string()).unwrap_err();
    let back = Sessions::restore(s.facts.clone(), s.record()).unwrap();
    assert!(back.collision().is_some());
}

#[test]
fn a_record_of_another_phase_is_not_used() {
    let mut s = sessions();
    open(&mut s, &opening(0, 1));
    let earlier = Facts {
        steps: 0..99,
        ..s.facts.clone()
    };
    assert!(Sessions::restore(earlier, s.record()).is_none());
}
