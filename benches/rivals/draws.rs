//! Our side of the comparison with other samplers: answers one request per line of standard input with one line of JSON.
//!
//! ```text
//! {"prepare": {"curriculum": "balanced", "rows": 1000000, "index": true}}   -> {"seconds": …}
//! {"draw": {"from": 0, "batches": 1000}}                                    -> {"seconds": …, "rows": 1024000}
//! {"spread": {"from": 0, "batches": 1000, "parts": 8}}                      -> {"counts": […]}
//! {"compile": {"phases": 32, "replay": true}}                                -> {"seconds": …, "segments": 8192}
//! ```
//! Times are processor time of the process, which has one thread: what else runs on the machine counts less. `spread` counts rows by equal parts of the data set.

#![allow(missing_docs, reason = "a benchmark")]

#[path = "../curricula/mod.rs"]
mod curricula;

use std::error::Error;
use std::hint::black_box;
use std::io::{self, BufRead, Write};

use curricula::Index;
use curriculum_operator::curriculum::order::{Identity, RowOrder};
use curriculum_operator::curriculum::plan::compile;
use curriculum_operator::curriculum::sampler::Sampler;
use rustix::time::{ClockId, clock_gettime};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum Request {
    Prepare { curriculum: String, rows: u64, index: bool },
    Draw { from: u64, batches: u64 },
    Spread { from: u64, batches: u64, parts: u64 },
    Compile { phases: u32, replay: bool },
}

struct Prepared {
    sampler: Sampler,
    order: Box<dyn RowOrder>,
    rows: u64,
}

impl Prepared {
    fn new(curriculum: &str, rows: u64, index: bool) -> Result<Self, Box<dyn Error>> {
        let plan = compile(&curricula::spec(curriculum)?, &curricula::facts(rows))?;
        let order: Box<dyn RowOrder> = if index {
            Box::new(Index::new(rows))
        } else {
            Box::new(Identity)
        };
        Ok(Self {
            sampler: Sampler::new(plan)?,
            order,
            rows,
        })
    }

    /// Calls `visit` with the rows of each batch.
    fn draw(&self, from: u64, batches: u64, mut visit: impl FnMut(&[u64])) -> Result<(), Box<dyn Error>> {
        let mut out = Vec::new();
        for step in from..from + batches {
            self.sampler.batch(black_box(step), &*self.order, &mut out)?;
            visit(black_box(&out));
        }
        Ok(())
    }
}

fn answer(request: Request, prepared: &mut Option<Prepared>) -> Result<Value, Box<dyn Error>> {
    let start = processor_seconds();
    let seconds = || processor_seconds() - start;
    let ready = || "`prepare` comes first";
    match request {
        Request::Prepare {
            curriculum,
            rows,
            index,
        } => {
            // The index before goes first: there may not be memory for two.
            *prepared = None;
            *prepared = Some(Prepared::new(&curriculum, rows, index)?);
            Ok(json!({"seconds": seconds()}))
        }
        Request::Draw { from, batches } => {
            let mut rows = 0;
            let prepared = prepared.as_ref().ok_or_else(ready)?;
            prepared.draw(from, batches, |batch| rows += batch.len())?;
            Ok(json!({"seconds": seconds(), "rows": rows}))
        }
        Request::Spread { from, batches, parts } => {
            let prepared = prepared.as_ref().ok_or_else(ready)?;
            let mut counts = vec![0_u64; usize::try_from(parts)?];
            let part = prepared.rows.div_ceil(parts);
            prepared.draw(from, batches, |batch| {
                batch.iter().for_each(|row| counts[(row / part) as usize] += 1);
            })?;
            Ok(json!({"counts": counts}))
        }
        Request::Compile { phases, replay } => {
            let (spec, facts) = (curricula::growing(phases, replay)?, curricula::facts(100_000_000));
            let start = processor_seconds();
            let plan = black_box(compile(black_box(&spec), &facts)?);
            let seconds = processor_seconds() - start;
            let segments: usize = plan.phases.iter().map(|phase| phase.segments.len()).sum();
            Ok(json!({"seconds": seconds, "segments": segments}))
        }
    }
}

/// Processor time of the process so far.
fn processor_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut prepared = None;
    for line in io::stdin().lock().lines() {
        let reply = answer(serde_json::from_str(&line?)?, &mut prepared)?;
        println!("{reply}");
        io::stdout().flush()?;
    }
    Ok(())
}
