//! Random histories of a phase that may end early: fetches, reports, restarts of the container, trainers that go back, other worlds.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::transitions::watched;
use super::*;
use crate::curriculum::canonical;
use crate::curriculum::sampler::Sampler;

/// One thing that happens.
#[derive(Clone, Debug)]
enum Op {
    /// A rank asks for some batches, as far as its world goes.
    Fetch { rank: u32, count: u64, hold: bool },
    /// A rank reports, of a step that somebody got.
    Report { back: u64, good: bool },
    /// The container is started again; what was not on file is lost.
    Restart,
    /// All ranks begin anew, from a checkpoint that is so many steps back.
    Rewind { world: u32, back: u64 },
}

fn ops() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (0..3u32, 1..6u64, any::<bool>()).prop_map(|(rank, count, hold)| Op::Fetch { rank, count, hold }),
        4 => (0..4u64, prop::bool::weighted(0.7)).prop_map(|(back, good)| Op::Report { back, good }),
        1 => Just(Op::Restart),
        1 => (1..4u32, 0..8u64).prop_map(|(world, back)| Op::Rewind { world, back }),
    ]
}

/// A sampler, its trainer, and what has been seen.
struct History {
    served: Served,
    expected: Sampler,
    /// Session and next step of each rank.
    ranks: Vec<(String, u64)>,
    /// First step beyond all that anybody got before the decision.
    furthest: u64,
    end: Option<u64>,
}

impl History {
    fn new() -> Self {
        let mut history = Self {
            served: serve(watched()),
            expected: Sampler::new(watched()).unwrap(),
            ranks: Vec::new(),
            furthest: 10,
            end: None,
        };
        history.begin(1, 10);
        history
    }

    /// All ranks of a world open their sessions.
    fn begin(&mut self, world: u32, step: u64) {
        let open = |rank| {
            let opening = json!({"rank": rank, "world": world, "step": step, "run": RUN});
            let opening: Opening = serde_json::from_value(opening).unwrap();
            (self.served.attempt.open_session(&opening).unwrap().id.to_string(), step)
        };
        self.ranks = (0..world).map(open).collect();
    }

    fn fetch(&mut self, rank: usize, count: u64, hold: bool) {
        let Some((session, next)) = self.ranks.get(rank).cloned() else {
            return;
        };
        let attempt = &self.served.attempt;
        let hold = if hold { "true" } else { "false" };
        let query: BTreeMap<String, String> = [
            ("session", session),
            ("from", next.to_string()),
            ("count", count.to_string()),
            ("hold", hold.to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        let parsed = BatchRequest::parse(&query, &(10..30), (12, 12), 1000, |name| attempt.find(name)).unwrap();
        let request = attempt.claim(parsed);
        let (mut rows, mut expected) = (Vec::new(), Vec::new());
        let order = index(&PlanScores {
            key: String::new(),
            digest: String::new(),
        })
        .unwrap()
        .order;
        for step in request.from..request.to {
            attempt.batch(step, request.part, &mut rows).unwrap();
            let (rank, world) = (request.part.rank, request.part.world);
            self.expected
                .batch_for_rank(step, rank, world, &*order, &mut expected)
                .unwrap();
            assert_eq!(rows, expected, "the rows of a step are the plan's");
            assert!(self.end.is_none_or(|end| step < end), "a step beyond the end");
        }
        // What is only looked at does not count.
        let Some(id) = request.session else { return };
        if request.from < request.to {
            attempt.hand_out(id, request.from, request.to);
            self.ranks[rank].1 = request.to;
            self.furthest = self.furthest.max(request.to);
        }
    }

    fn report(&mut self, back: u64, good: bool) {
        let most = self.ranks.iter().map(|(_, next)| *next).max().unwrap_or(10);
        let step = most.saturating_sub(back).max(10);
        let report = json!({"step": step, "metrics": {"val": if good { 0.95 } else { 0.1 }}}).to_string();
        let report = Report::parse(report.as_bytes(), 10, 30).unwrap();
        let Ok(answer) = self.served.attempt.report(report) else {
            return;
        };
        match (self.end, answer.decision) {
            (None, Some(_)) => {
                assert!(
                    answer.end > self.furthest || answer.end == 30,
                    "{} after {}",
                    answer.end,
                    self.furthest
                );
                self.end = Some(answer.end);
            }
            (end, decision) => assert_eq!((end.unwrap_or(30), end.is_some()), (answer.end, decision.is_some())),
        }
    }

    fn restart(&mut self) {
        let Served { state, attempt, .. } = std::mem::replace(&mut self.served, serve(watched()));
        drop(attempt);
        self.served = serve_from(watched(), state);
        assert_eq!(
            self.served.attempt.end_step(),
            self.end.unwrap_or(30),
            "the end outlives the container"
        );
    }

    fn rewind(&mut self, world: u32, back: u64) {
        let least = self.ranks.iter().map(|(_, next)| *next).min().unwrap_or(10);
        self.begin(world, least.saturating_sub(back).max(10));
    }

    /// Every rank goes on to the end, and what was trained is what the plan has up to there.
    fn finish(mut self) {
        let end = self.end.unwrap_or(30);
        for rank in 0..self.ranks.len() {
            for _ in 0..60 {
                self.fetch(rank, 7, false);
            }
            assert_eq!(self.ranks[rank].1, end);
        }
        let result = self.served.attempt.result(Duration::from_secs(60));
        assert_eq!((result.served_step, result.end()), (end, end));
        let order = index(&PlanScores {
            key: String::new(),
            digest: String::new(),
        })
        .unwrap()
        .order;
        let (mut bytes, mut rows) = (Vec::new(), Vec::new());
        for step in 10..end {
            self.expected.batch(step, &*order, &mut rows).unwrap();
            bytes.extend(rows.iter().flat_map(|row| row.to_le_bytes()));
        }
        assert_eq!(result.sequence_digest, Some(canonical::sha256(bytes)));
    }
}

fn cases() -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|asked| asked.parse().ok());
    ProptestConfig {
        cases: asked.unwrap_or(400),
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(cases())]

    /// Whatever happens, every rank of the last world gets the same steps with the plan's rows, to one end that nothing moves again.
    #[test]
    fn any_history_has_one_end_and_the_plans_rows(history in vec(ops(), 0..60)) {
        let mut seen = History::new();
        for op in history {
            match op {
                Op::Fetch { rank, count, hold } => seen.fetch(rank as usize, count, hold),
                Op::Report { back, good } => seen.report(back, good),
                Op::Restart => seen.restart(),
                Op::Rewind { world, back } => seen.rewind(world, back),
            }
        }
        seen.finish();
    }
}
