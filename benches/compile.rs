//! How long a curriculum takes to compile, from the shortest to the longest that there is.

#![allow(missing_docs, clippy::expect_used, reason = "a benchmark")]

mod curricula;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use curriculum_operator::curriculum::plan::compile;

fn compiling(c: &mut Criterion) {
    let mut group = c.benchmark_group("compile");
    let facts = curricula::facts(100_000_000);
    for (phases, replay) in [(1, false), (32, false), (32, true)] {
        let spec = curricula::growing(phases, replay).expect("a valid spec");
        let name = format!("phases={phases}/refreshes=256/replay={replay}");
        group.bench_function(BenchmarkId::from_parameter(name), |b| {
            b.iter(|| black_box(compile(black_box(&spec), &facts).expect("a valid curriculum")));
        });
    }
    group.finish();
}

criterion_group!(benches, compiling);
criterion_main!(benches);
