//! The score index as an order of rows.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tracing::warn;

use super::contract::IndexFault;
use super::source::{Index, Unusable};
use crate::curriculum::plan::PlanScores;
use crate::index::map::{IndexError, ScoreIndex};
use crate::store::{Shared, StoreError};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Where the index of a plan is, below the root of a store.
///
/// # Errors
/// When the plan's key is none.
pub fn name(scores: &PlanScores) -> Result<String, Unusable> {
    let key = folder(&scores.key).ok_or_else(|| Unusable {
        fault: IndexFault::DigestMismatch,
        message: "the plan's score key is no name of a folder".to_owned(),
    })?;
    Ok(format!("index/{key}/index.arrow"))
}

/// A key, if it is the name of one folder.
pub(super) fn folder(key: &str) -> Option<&str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    (!key.is_empty() && key.chars().all(plain)).then_some(key)
}

/// Maps `index/<key>/index.arrow` of the store and checks it against the plan's digest. A copy that is not that index is replaced once.
///
/// # Errors
/// Says in words why the index cannot be used, and of which kind that is.
pub fn open(store: &Shared, scores: &PlanScores) -> Result<Index, Unusable> {
    let name = name(scores)?;
    let path = store.root().join(&name);
    let away = |error: StoreError| Unusable {
        fault: if error.is_missing() {
            IndexFault::Missing
        } else {
            IndexFault::Unreadable
        },
        message: format!("{name}: {}", reason(&error)),
    };
    store.pull(&path).map_err(away)?;
    match open_file(&path, &name, scores) {
        Err(other) if other.fault == IndexFault::DigestMismatch && store.is_remote() => {
            store.pull_again(&path).map_err(away)?;
            open_file(&path, &name, scores)
        }
        opened => opened,
    }
}

/// Why, without the path on this machine, which says nothing to who reads the status.
pub(super) fn reason(error: &StoreError) -> String {
    match error {
        StoreError::Io { source, .. } => format!("the score store does not give it: {source}"),
        StoreError::Content { message, .. } => message.clone(),
    }
}

/// Asks the store whether it still has the index; `None`: it has.
pub fn fault_of_store(store: &Shared, scores: &PlanScores) -> Option<String> {
    let path = store.root().join(name(scores).ok()?);
    let error = store.bytes(&path).err()?;
    Some(reason(&error))
}

/// Maps an index that lies anywhere and checks it against the plan's digest. `name` is what messages call it.
///
/// # Errors
/// As [`open`].
pub fn open_file(path: &Path, name: &str, scores: &PlanScores) -> Result<Index, Unusable> {
    let index = ScoreIndex::open(path, Some(&scores.digest)).map_err(|error| Unusable {
        fault: fault(&error),
        message: format!("{name}: {error}"),
    })?;
    let group_rows = index.group_rows();
    Ok(Index {
        rows: index.len(),
        group_rows,
        order: Arc::new(index),
    })
}

fn fault(error: &IndexError) -> IndexFault {
    match error {
        IndexError::Io(error) if error.kind() == io::ErrorKind::NotFound => IndexFault::Missing,
        IndexError::Io(_) => IndexFault::Unreadable,
        IndexError::Digest { .. } | IndexError::Invalid(_) => IndexFault::DigestMismatch,
    }
}

/// Opens an index, or the rows that a filter leaves (`what`, for the log), again and again for as long as
/// waiting may help: a network file system that hangs, or shows a new file late, must not cost the
/// curriculum. No try begins once `patience` is over; `now` is the time since the first one, `pause` does the
/// waiting.
///
/// # Errors
/// The last opening's.
pub fn patiently<T>(
    what: &str,
    patience: Duration,
    now: impl Fn() -> Duration,
    mut pause: impl FnMut(Duration),
    mut open: impl FnMut() -> Result<T, Unusable>,
) -> Result<T, Unusable> {
    let mut next = FIRST_PAUSE;
    loop {
        let ended = open();
        let left = patience.saturating_sub(now());
        match ended {
            Err(unusable) if unusable.fault.is_transient() && !left.is_zero() => {
                warn!(reason = %unusable.message, seconds_left = left.as_secs(), "{what} is tried again");
            }
            ended => return ended,
        }
        pause(next.min(left));
        next = (2 * next).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::sampler::source::tests::index;

    fn scores() -> PlanScores {
        PlanScores {
            key: "k".into(),
            digest: "sha256:d".into(),
        }
    }

    type Opened = Result<Index, Unusable>;

    fn unusable(fault: IndexFault) -> Unusable {
        Unusable {
            fault,
            message: format!("{fault:?}"),
        }
    }

    #[test]
    fn an_index_that_comes_late_or_cannot_be_read_for_a_while_is_used() {
        for fault in [IndexFault::Missing, IndexFault::Unreadable] {
            let (mut tries, waited) = (0, Cell::new(Duration::ZERO));
            let opened: Opened = patiently(
                "it",
                Duration::from_secs(60),
                || waited.get(),
                |pause| waited.set(waited.get() + pause),
                || {
                    tries += 1;
                    if tries < 9 {
                        Err(unusable(fault))
                    } else {
                        index(&scores())
                    }
                },
            );
            assert!(opened.is_ok() && tries == 9, "{fault:?}: {tries}");
            assert!(waited.get() < Duration::from_secs(60));
        }
    }

    #[test]
    fn the_waiting_has_an_end_and_what_does_not_match_is_not_waited_for() {
        let (mut tries, waited) = (0, Cell::new(Duration::ZERO));
        let opened: Opened = patiently(
            "it",
            Duration::from_secs(60),
            || waited.get(),
            |pause| waited.set(waited.get() + pause),
            || {
                tries += 1;
                Err(unusable(IndexFault::Unreadable))
            },
        );
        assert_eq!(opened.err().map(|error| error.fault), Some(IndexFault::Unreadable));
        assert_eq!(waited.get(), Duration::from_secs(60));
        assert!((10..30).contains(&tries), "{tries}");
        // A server that takes the question and never answers: the time of the tries counts.
        let (mut tries, waited) = (0, Cell::new(Duration::ZERO));
        let hangs = || {
            tries += 1;
            waited.set(waited.get() + Duration::from_secs(25));
            Opened::Err(unusable(IndexFault::Unreadable))
        };
        let pause = |pause| waited.set(waited.get() + pause);
        assert!(patiently("it", Duration::from_secs(60), || waited.get(), pause, hangs).is_err());
        assert_eq!(tries, 3);
        let mut tries = 0;
        let opened: Opened = patiently(
            "it",
            Duration::from_secs(60),
            || Duration::ZERO,
            |_| panic!("waited"),
            || {
                tries += 1;
                Err(unusable(IndexFault::DigestMismatch))
            },
        );
        assert!(opened.is_err() && tries == 1);
    }

    #[test]
    fn what_the_system_says_tells_the_kind() {
        let of = |code| fault(&IndexError::Io(io::Error::from_raw_os_error(code)));
        let (enoent, eio, estale, etimedout) = (2, 5, 116, 110);
        assert_eq!(of(enoent), IndexFault::Missing);
        for code in [eio, estale, etimedout] {
            assert_eq!(of(code), IndexFault::Unreadable);
        }
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(
            open(&Shared::volume(dir.path()), &scores()).err().map(|e| e.fault),
            Some(IndexFault::Missing)
        );
        std::fs::create_dir_all(dir.path().join("index/k/index.arrow")).unwrap();
        assert_eq!(
            open(&Shared::volume(dir.path()), &scores()).err().map(|e| e.fault),
            Some(IndexFault::Unreadable),
            "a folder"
        );
        std::fs::remove_dir(dir.path().join("index/k/index.arrow")).unwrap();
        std::fs::write(dir.path().join("index/k/index.arrow"), "other bytes").unwrap();
        assert_eq!(
            open(&Shared::volume(dir.path()), &scores()).err().map(|e| e.fault),
            Some(IndexFault::DigestMismatch)
        );
    }
}
