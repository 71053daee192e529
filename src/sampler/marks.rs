//! `sampling: File`: how far each rank has read, by the marks that the trainer leaves beside the rows file.
//!
//! A mark is a file `<rows file>.read.<rank>-of-<world>` of one line, replaced by rename:
//! ```text
//! FIRST NEXT RUN      300 410 5e6f2b1c-…
//! ```
//! FIRST is the step that the rank began with: the phase's first, or its checkpoint's. NEXT is the first step that it has not read.
//! RUN is the run that it trains, or that its checkpoint is of. What it says is judged as sessions are.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::time::SystemTime;

use super::part::Part;
use super::sessions::{Facts, MAX_WORLD};

/// Between the name of the rows file and the rank.
const INFIX: &str = ".read.";
/// Bytes of the longest line.
const LINE_BYTES: u64 = 512;

/// One rank's mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The rank.
    pub part: Part,
    /// The step that it began with.
    pub first: u64,
    /// First step that it has not read.
    pub next: u64,
    /// The run that it says.
    pub run: String,
    /// When it was written.
    pub time: SystemTime,
}

/// What the marks of an attempt say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// First step that not every rank has read; `None` before all ranks of a world left a mark that counts.
    pub served: Option<u64>,
    /// First step that no rank has read.
    pub furthest: Option<u64>,
    /// Step of the checkpoint that the trainer went on from.
    pub resumed_at: Option<u64>,
    /// Why the marks do not count, in words that name the mend.
    pub fault: Option<String>,
}

/// The marks beside a rows file. What is no mark is left out.
pub fn find(rows_file: &Path) -> Vec<Mark> {
    let (Some(dir), Some(name)) = (rows_file.parent(), rows_file.file_name()) else {
        return Vec::new();
    };
    let prefix = format!("{}{INFIX}", name.to_string_lossy());
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let read = |entry: fs::DirEntry| {
        let name = entry.file_name();
        let part = part(name.to_str()?.strip_prefix(&prefix)?)?;
        let file = fs::File::open(entry.path()).ok()?;
        let time = file.metadata().and_then(|m| m.modified()).ok()?;
        let mut line = String::new();
        file.take(LINE_BYTES).read_to_string(&mut line).ok()?;
        parse(part, &line, time)
    };
    entries.filter_map(read).collect()
}

/// `<rank>-of-<world>`
fn part(text: &str) -> Option<Part> {
    let (rank, world) = text.split_once("-of-")?;
    let part = Part {
        rank: rank.parse().ok()?,
        world: world.parse().ok()?,
    };
    (part.rank < part.world && part.world <= MAX_WORLD).then_some(part)
}

fn parse(part: Part, line: &str, time: SystemTime) -> Option<Mark> {
    let (first, rest) = line.trim().split_once(' ')?;
    let (next, run) = rest.split_once(' ').unwrap_or((rest, ""));
    Some(Mark {
        part,
        first: first.parse().ok()?,
        next: next.parse().ok()?,
        run: run.to_owned(),
        time,
    })
}

/// Judges the marks: those of the world that wrote last count, once all of its ranks have one.
pub fn judge(facts: &Facts, marks: &[Mark]) -> Reading {
    let Some(newest) = marks.iter().max_by_key(|mark| (mark.time, mark.part.world)) else {
        return Reading::default();
    };
    let world = newest.part.world;
    let marks: Vec<&Mark> = marks.iter().filter(|mark| mark.part.world == world).collect();
    if let Some(fault) = marks.iter().find_map(|mark| fault(facts, mark, newest)) {
        return Reading {
            fault: Some(fault),
            ..Reading::default()
        };
    }
    let next = |mark: &&Mark| mark.next.clamp(mark.first, facts.steps.end);
    let all = marks.len() == world as usize;
    Reading {
        served: marks.iter().map(next).min().filter(|_| all),
        furthest: marks.iter().map(next).max(),
        resumed_at: Some(newest.first).filter(|&first| first > facts.steps.start),
        fault: None,
    }
}

fn fault(facts: &Facts, mark: &Mark, newest: &Mark) -> Option<String> {
    let (rank, first, start, end) = (mark.part.rank, mark.first, facts.steps.start, facts.steps.end);
    if !(start..=end).contains(&first) {
        return Some(format!(
            "the mark of rank {rank} begins at step {first}; expected {start} to {end}"
        ));
    }
    if first != newest.first {
        return Some(format!(
            "the mark of rank {rank} begins at step {first}, that of rank {} at step {}; \
             expected all ranks to go on from the same checkpoint",
            newest.part.rank, newest.first
        ));
    }
    let run = facts.run.as_deref().filter(|run| first > start && *run != mark.run)?;
    Some(format!(
        "the mark of rank {rank} begins at step {first}, after the phase's first step {start}, with a checkpoint of run `{}`; \
         expected one of this run, `{run}`",
        mark.run
    ))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn facts() -> Facts {
        Facts {
            steps: 100..200,
            batch: 16,
            rows: 600,
            run: Some("ours".into()),
        }
    }

    fn mark(rank: u32, world: u32, line: &str, second: u64) -> Mark {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
        parse(Part { rank, world }, line, time).unwrap()
    }

    fn served(marks: &[Mark]) -> Option<u64> {
        judge(&facts(), marks).served
    }

    #[test]
    fn what_every_rank_has_read_counts() {
        assert_eq!(served(&[]), None);
        let zero = mark(0, 2, "100 150 ours", 1);
        assert_eq!(served(std::slice::from_ref(&zero)), None, "rank 1 left nothing");
        let both = [zero, mark(1, 2, "100 120", 2)];
        let reading = judge(&facts(), &both);
        assert_eq!(
            (reading.served, reading.furthest, reading.resumed_at),
            (Some(120), Some(150), None)
        );
        assert_eq!(served(&[mark(0, 1, "100 9000 ours", 1)]), Some(200));
    }

    #[test]
    fn a_resume_must_be_of_this_run() {
        let reading = judge(&facts(), &[mark(0, 1, "150 200 ours", 1)]);
        assert_eq!((reading.served, reading.resumed_at), (Some(200), Some(150)));
        assert_eq!(
            served(&[mark(0, 1, "200 200 ours", 1)]),
            Some(200),
            "the checkpoint was complete"
        );
        for line in [
            "150 200 theirs",
            "150 200",
            "200 200 theirs",
            "201 201 ours",
            "99 200 ours",
        ] {
            let reading = judge(&facts(), &[mark(0, 1, line, 1)]);
            assert!(reading.served.is_none() && reading.fault.is_some(), "{line}");
        }
        assert_eq!(
            served(&[mark(0, 1, "100 130 theirs", 1)]),
            Some(130),
            "its weights, from the first step"
        );
    }

    #[test]
    fn the_world_that_wrote_last_counts_and_its_ranks_begin_together() {
        let old = [mark(0, 2, "100 200 ours", 1), mark(1, 2, "100 200 ours", 1)];
        assert_eq!(served(&old), Some(200));
        let new = [&old[..], &[mark(0, 1, "150 160 ours", 2)]].concat();
        assert_eq!(served(&new), Some(160), "started again on one device");
        let apart = judge(
            &facts(),
            &[mark(0, 2, "150 200 ours", 1), mark(1, 2, "100 200 ours", 2)],
        );
        assert!(
            apart
                .fault
                .unwrap()
                .contains("expected all ranks to go on from the same checkpoint")
        );
    }

    #[test]
    fn only_whole_marks_of_the_file_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let rows = dir.path().join("rows.u64");
        assert_eq!(find(&rows), []);
        for (name, text) in [
            ("rows.u64.read.0-of-2", "100 110 5e6f and more\n"),
            ("rows.u64.read.1-of-2", "100 110"),
            ("rows.u64.read.2-of-2", "100 110"),
            ("rows.u64.read.0-of-1.tmp", "100 110"),
            ("rows.u64.read.0-of-3", "100"),
            ("rows.u64.read.0-of-4", "a b c"),
            ("rows.u64.read.x", "100 110"),
            ("other.u64.read.0-of-1", "100 110"),
        ] {
            fs::write(dir.path().join(name), text).unwrap();
        }
        let mut found: Vec<(Part, String)> = find(&rows).into_iter().map(|mark| (mark.part, mark.run)).collect();
        found.sort_by_key(|(part, _)| part.rank);
        let part = |rank| Part { rank, world: 2 };
        assert_eq!(found, [(part(0), "5e6f and more".to_owned()), (part(1), String::new())]);
    }
}
