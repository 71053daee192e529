//! How fast batches of 1,024 rows are drawn, with an index in memory as large as the data set.

#![allow(missing_docs, clippy::expect_used, reason = "a benchmark")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use curriculum_operator::api::curriculum::CurriculumSpec;
use curriculum_operator::curriculum::order::{OrderScope, RowOrder};
use curriculum_operator::curriculum::permute::Permutation;
use curriculum_operator::curriculum::plan::{Facts, PlanScores, compile};
use curriculum_operator::curriculum::sampler::Sampler;
use serde_json::json;

const BATCH: u64 = 1024;
const GROUPS: u64 = 10;

/// A score index: all rows in a random order, cut into groups of equal size.
struct Index(Vec<u64>);

impl Index {
    fn new(rows: u64) -> Self {
        let order = Permutation::new(rows, 1);
        Self((0..rows).map(|position| order.apply(position)).collect())
    }

    fn slice(&self, scope: OrderScope) -> &[u64] {
        let size = self.0.len() / GROUPS as usize;
        match scope {
            OrderScope::All => &self.0,
            OrderScope::Group(group) => &self.0[group as usize * size..][..size],
        }
    }
}

impl RowOrder for Index {
    fn row(&self, scope: OrderScope, position: u64) -> u64 {
        self.slice(scope)[position as usize]
    }

    fn rows(&self, scope: OrderScope, positions: &mut [u64]) {
        let slice = self.slice(scope);
        positions.iter_mut().for_each(|p| *p = slice[*p as usize]);
    }
}

/// `pool`: one stratum. `mixed`: a floor, a replayed pool and a pool balanced over ten groups, 21 strata.
fn sampler(kind: &str, rows: u64) -> Sampler {
    let phase = |name: &str, fraction: &str| json!({"name": name, "pool": {"fraction": fraction}, "duration": {"steps": 1_000_000_000}});
    let mut spec = json!({"batchSize": BATCH, "phases": [phase("a", "0.5"), phase("b", "0.6")]});
    if kind == "mixed" {
        spec["balance"] = "Group".into();
        spec["uniformFloor"] = "0.05".into();
        spec["phases"][1]["replay"] = "0.1".into();
    }
    let spec: CurriculumSpec = serde_json::from_value(spec).expect("a valid spec");
    let scores = PlanScores {
        key: "bench".into(),
        digest: "sha256:bench".into(),
    };
    let facts = Facts {
        seed: 42,
        rows,
        group_rows: vec![rows / GROUPS; GROUPS as usize],
        scores: Some(scores),
        ..Facts::default()
    };
    Sampler::new(compile(&spec, &facts).expect("a valid curriculum")).expect("a valid plan")
}

fn batches(c: &mut Criterion) {
    let mut group = c.benchmark_group("batch");
    group.throughput(Throughput::Elements(BATCH));
    for rows in [1_000_000, 100_000_000] {
        let index = Index::new(rows);
        for kind in ["pool", "mixed"] {
            let sampler = sampler(kind, rows);
            // The second phase begins at step 10⁹: the mixed plan has its 21 strata there.
            for first in [0, 1_000_000_000] {
                let mut out = Vec::new();
                let mut step = first;
                group.bench_function(BenchmarkId::new(kind, format!("rows={rows}/step={first}")), |b| {
                    b.iter(|| {
                        sampler
                            .batch(black_box(step), &index, &mut out)
                            .expect("a step of the plan");
                        step += 1;
                        black_box(out.last().copied())
                    });
                });
            }
        }
        let sampler = sampler("mixed", rows);
        let mut out = Vec::new();
        let mut step = 1_000_000_000;
        group.bench_function(
            BenchmarkId::new("rank 3 of 8", format!("rows={rows}/step={step}")),
            |b| {
                b.iter(|| {
                    sampler
                        .batch_for_rank(black_box(step), 3, 8, &index, &mut out)
                        .expect("a step of the plan");
                    step += 1;
                    black_box(out.last().copied())
                });
            },
        );
    }
    group.finish();
}

criterion_group!(benches, batches);
criterion_main!(benches);
