use std::sync::mpsc;

use super::*;
use crate::curriculum::sampler::rank_slots;
use crate::sampler::source::DrawError;

/// Row `s · batch + i` in slot `i` of step `s`, so that the sequence is 0, 1, 2, …
struct Counting {
    batch: u64,
}

impl Rows for Counting {
    fn batch(&self, step: u64, part: Part, out: &mut Vec<u64>) -> Result<(), DrawError> {
        let slots = rank_slots(self.batch, part.rank, part.world);
        out.clear();
        out.extend(step * self.batch + slots.start..step * self.batch + slots.end);
        Ok(())
    }
}

const LIMIT: Duration = Duration::from_secs(60);

fn expected_digest(rows: Range<u64>) -> String {
    let bytes: Vec<u8> = rows.flat_map(u64::to_le_bytes).collect();
    crate::sampler::audit::sha256_text(Sha256::new_with_prefix(bytes))
}

#[test]
fn the_digest_covers_all_rows_of_the_phase_and_exposure_what_was_served() {
    // Of more than one piece.
    let batch = 70_000;
    let groups = RowGroups::new(3, (0..350_000).map(|row| (row % 3) as u8).collect());
    let (done, ended) = mpsc::channel();
    let audit = Audit::start(Arc::new(Counting { batch }), Some(groups), 1..5, batch, move || {
        done.send(()).unwrap();
    });
    assert_eq!(
        audit.now(),
        Audited {
            step: 1,
            ..Audited::default()
        }
    );
    audit.advance(3);
    let half = audit.settle(LIMIT);
    assert_eq!(
        half,
        Audited {
            step: 3,
            tokens: None,
            digest: None,
            exposure: vec![46_666, 46_667, 46_667]
        }
    );
    audit.advance(5);
    let whole = audit.settle(LIMIT);
    assert_eq!(whole.digest, Some(expected_digest(70_000..350_000)));
    let mut digest = SequenceDigest::default();
    for step in 1..5 {
        digest.add(&Counting { batch }, step, batch).unwrap();
    }
    assert_eq!(whole.digest, Some(digest.finish()));
    assert_eq!(whole.exposure, vec![93_333, 93_334, 93_333]);
    ended.recv_timeout(LIMIT).unwrap();
}

#[test]
fn a_phase_that_is_too_long_is_not_audited_and_nobody_waits_for_it() {
    let audit = Audit::start(Arc::new(Counting { batch: 1 << 20 }), None, 0..257, 1 << 20, || ());
    audit.advance(257);
    assert_eq!(audit.settle(LIMIT), Audited::default());
}

#[test]
fn nobody_waits_longer_than_the_limit() {
    struct Stuck(std::sync::Mutex<mpsc::Receiver<()>>);
    impl Rows for Stuck {
        fn batch(&self, _: u64, _: Part, _: &mut Vec<u64>) -> Result<(), DrawError> {
            let _ = self.0.lock().unwrap().recv();
            Ok(())
        }
    }
    let (release, stuck) = mpsc::channel();
    let audit = Audit::start(Arc::new(Stuck(stuck.into())), None, 0..2, 1, || ());
    audit.advance(1);
    assert_eq!(audit.settle(Duration::from_millis(10)).step, 0);
    drop(release);
}

#[test]
fn a_batch_that_cannot_be_drawn_ends_the_audit_and_nobody_waits_for_it() {
    struct Nothing;
    impl Rows for Nothing {
        fn batch(&self, _: u64, _: Part, _: &mut Vec<u64>) -> Result<(), DrawError> {
            Err(DrawError::IndexChanged)
        }
    }
    let audit = Audit::start(Arc::new(Nothing), None, 0..2, 1, || ());
    audit.advance(2);
    assert_eq!(audit.settle(LIMIT), Audited::default());
}
