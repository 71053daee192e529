//! How fast batches of 1,024 rows are drawn, with an index in memory as large as the data set.

#![allow(missing_docs, clippy::expect_used, reason = "a benchmark")]

mod curricula;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use curricula::{BATCH, Index, SECOND_PHASE};
use curriculum_operator::curriculum::plan::compile;
use curriculum_operator::curriculum::sampler::Sampler;

fn sampler(name: &str, rows: u64) -> Sampler {
    let spec = curricula::spec(name).expect("a valid spec");
    let plan = compile(&spec, &curricula::facts(rows)).expect("a valid curriculum");
    Sampler::new(plan).expect("a valid plan")
}

fn batches(c: &mut Criterion) {
    let mut group = c.benchmark_group("batch");
    group.throughput(Throughput::Elements(BATCH));
    for rows in [1_000_000, 100_000_000] {
        let index = Index::new(rows);
        for name in ["pool", "balanced"] {
            let sampler = sampler(name, rows);
            for first in [0, SECOND_PHASE] {
                let mut out = Vec::new();
                let mut step = first;
                group.bench_function(BenchmarkId::new(name, format!("rows={rows}/step={first}")), |b| {
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
        let sampler = sampler("balanced", rows);
        let mut out = Vec::new();
        let mut step = SECOND_PHASE;
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
