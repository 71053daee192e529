//! Every job in `config/samples` is compiled and sampled as a run would, and does what it is there for.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod run;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;

use curriculum_operator::api::curriculum::Order;
use curriculum_operator::curriculum::order::OrderScope;
use curriculum_operator::curriculum::plan::{Curriculum, Facts, PhasePlan, Role, compile};
use curriculum_operator::curriculum::transition::{Course, Evidence};

use run::{Data, Run, facts, files, folder, jobs};

/// Steps at which something begins or ends, and some in between.
fn some_steps(run: &Run) -> BTreeSet<u64> {
    let of_phase = |phase: &PhasePlan| {
        let (start, end) = (phase.start_step, phase.end_step);
        let starts = phase.segments.iter().map(|segment| segment.start_step);
        let between = (start..end).step_by(((end - start) / 16).max(1) as usize);
        starts
            .flat_map(|start| [start.saturating_sub(1), start])
            .chain(between)
            .chain([end - 1])
            .collect::<Vec<_>>()
    };
    run.sampler.plan().phases.iter().flat_map(of_phase).collect()
}

#[test]
fn every_sample_runs_through_all_its_phases_within_its_pools() {
    let jobs = jobs();
    assert!(jobs.len() >= 15, "only {} jobs", jobs.len());
    for (name, job) in &jobs {
        let run = Run::of(job);
        let plan = run.sampler.plan();
        assert_eq!(plan.phases.len(), job.spec.curriculum.phases.len(), "{name}");
        for step in some_steps(&run) {
            let mut admitted = vec![false; run.data.rows()];
            for (scope, interval) in run.look(step).pools.iter().flat_map(|pool| &pool.intervals) {
                let rows = match scope {
                    OrderScope::All => &run.data.all,
                    OrderScope::Group(group) => &run.data.of_group[*group as usize],
                };
                let (start, end) = (interval.start as usize, interval.end as usize);
                let interval = match plan.order {
                    Order::EasyFirst => &rows[start..end],
                    Order::HardFirst => &rows[rows.len() - end..rows.len() - start],
                    // Which rows is the seed's affair.
                    Order::Random => rows,
                };
                interval.iter().for_each(|&row| admitted[row as usize] = true);
            }
            let batch = run.batch(step);
            assert_eq!(batch.len() as u64, run.batch_size(), "{name}, step {step}");
            let strangers = batch.iter().filter(|&&row| !admitted[row as usize]).count();
            assert_eq!(strangers, 0, "{name}, step {step}");
        }
        let data = Data::of(job);
        let without = Facts {
            scores: None,
            ..facts(job, &data)
        };
        let fallback = compile(&job.spec.curriculum, &without).unwrap();
        assert_eq!(fallback.total_steps(), plan.total_steps(), "{name}");
    }
}

#[test]
fn every_sample_is_in_the_table() {
    let table = fs::read_to_string(folder().join("README.md")).unwrap();
    for file in files() {
        let file = file.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(
            table.contains(&format!("[{file}]({file})")),
            "{file} is not in the table"
        );
    }
}

#[test]
fn texts_come_bin_by_bin_then_fade_in_then_all_of_them_once() {
    let run = Run::named("text-by-length");
    let rows = run.data.rows() as u64;
    let bins = run.steps("bins");
    for (step, bin) in [(0, 1), (499, 1), (500, 2), (2250, 5), (4999, 10)] {
        assert_eq!(run.look(bins.start + step).own_rows(), rows * bin / 10, "step {step}");
    }
    let fade = run.steps("fade");
    let first_and_last = |step| {
        let look = run.look(step);
        let own = || look.pools.iter().filter(|pool| pool.plan.role == Role::Own);
        assert_eq!(own().count(), 10);
        let (first, last) = (own().next().unwrap(), own().next_back().unwrap());
        f64::from(first.share) / f64::from(last.share)
    };
    // e^(0.9 / T): 6.05 for a temperature of 0.5, 1.01 for 100; each stretch of constant shares has those of its middle.
    let (start, end) = (first_and_last(fade.start), first_and_last(fade.end - 1));
    assert!(
        (5.4..6.05).contains(&start) && (1.009..1.02).contains(&end),
        "{start}, {end}"
    );
    // Its last batch begins a second pass.
    let all = run.rows(run.steps("all"));
    assert_eq!(all.len() as u64, rows.div_ceil(128) * 128);
    assert_eq!(
        all[..rows as usize / 128 * 128].iter().collect::<BTreeSet<_>>().len() as u64,
        rows / 128 * 128
    );
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len() as u64, rows);
}

#[test]
fn the_target_domain_takes_over_from_the_nearest_half_of_the_source() {
    let run = Run::named("transfer-mixing");
    let (source, shift, target) = (run.steps("source"), run.steps("shift"), run.steps("target"));
    assert_eq!(
        (run.planned(source.start, "source"), run.planned(source.start, "target")),
        (900_000, 100_000)
    );
    assert_eq!(
        (run.pool_of(source.start, "source"), run.pool_of(source.start, "target")),
        (4500, 1000)
    );
    let served = |start: u64, end: u64| run.served(shift.start + start..shift.start + end, "target");
    let quarters = [
        served(0, 200),
        served(1000, 1200),
        served(2000, 2200),
        served(3000, 3200),
        served(3800, 4000),
    ];
    for (served, line) in quarters.iter().zip([0.12, 0.32, 0.52, 0.72, 0.88]) {
        assert!((served - line).abs() < 0.005, "{quarters:?}");
    }
    // 90 % of its own, and of the tenth that is replayed a half: 10 % and 90 % of the two phases before.
    let last = run.served(target.clone(), "target");
    let slots = ((target.end - target.start) * run.batch_size()) as f64;
    assert!((last - 0.95).abs() < 4.0 / slots, "{last}");
}

#[test]
fn rare_classes_keep_the_minimum_and_are_sampled_more_and_more() {
    let job = &jobs()["imbalanced-classes"];
    let run = Run::of(job);
    let minimum: f64 = job
        .spec
        .curriculum
        .group_shares
        .as_ref()
        .unwrap()
        .minimum
        .as_ref()
        .unwrap()
        .0
        .parse()
        .unwrap();
    let (natural, oversample, all) = (run.steps("natural"), run.steps("oversample"), run.steps("all"));
    for (class, rows) in [("benign", 1500), ("healthy", 8000), ("malignant", 400), ("rare", 100)] {
        assert_eq!(run.pool_of(natural.start, class), rows / 5, "the pool is balanced");
        assert_eq!(run.pool_of(all.start, class), rows);
    }
    // 1 % of the rows, and what the minimum makes of it.
    let slots = |steps: &Range<u64>| ((steps.end - steps.start) * run.batch_size()) as f64;
    let bound = 3.0;
    let first = run.served(natural.clone(), "rare");
    assert!((first - minimum).abs() < bound / slots(&natural), "{first}");
    let shares: Vec<u32> = oversample
        .clone()
        .step_by(100)
        .map(|step| run.planned(step, "rare"))
        .collect();
    assert!(shares.is_sorted() && shares[0] == 40_000, "{shares:?}");
    // rows^0.3 of each class.
    let weights = [1500.0_f64, 8000.0, 400.0, 100.0].map(|rows| rows.powf(0.3));
    let expected = weights[3] / weights.iter().sum::<f64>();
    assert!(expected > minimum);
    let last = run.served(all.clone(), "rare");
    assert!(
        (last - expected).abs() < bound / slots(&all) + 1e-6,
        "{last} instead of {expected}"
    );
    // Not only on the whole: every batch of 128 has at least ⌊0.04 · 128⌋ rows of each, less what the quotas may be off.
    for step in natural.step_by(50).chain(oversample.step_by(50)).chain(all.step_by(50)) {
        for class in ["benign", "healthy", "malignant", "rare"] {
            let rows = run.served(step..step + 1, class) * 128.0;
            assert!(rows > minimum * 128.0 - bound, "{rows} rows of {class} at step {step}");
        }
    }
}

#[test]
fn hard_negatives_have_their_share_of_every_batch() {
    let run = Run::named("hard-negatives");
    let positions = run.positions();
    let rows = run.data.rows() as u64;
    let is_hard = |row: &u64, fraction: u64| positions[*row as usize] >= rows - rows / fraction;
    let easy = run.rows(run.steps("easy"));
    assert!(easy.iter().all(|row| positions[*row as usize] < rows / 2));
    // In every beginning of the phase the share is exact to one row.
    let (mut hard, mut slots) = (0_usize, 0);
    for step in run.steps("mixed") {
        let batch = run.batch(step);
        hard += batch.iter().filter(|row| is_hard(row, 10)).count();
        slots += batch.len();
        assert!(
            (hard as f64 - 0.2 * slots as f64).abs() < 1.0,
            "{hard} of {slots} at step {step}"
        );
    }
    // The warm-up begins with uniform sampling.
    let start = run.steps("hard").start;
    let look = run.look(start);
    let floor = look.pools.iter().find(|pool| pool.plan.role == Role::Floor).unwrap();
    assert!(floor.share > 980_000, "{}", floor.share);
    let rows = run.rows(start + 100..run.steps("hard").end);
    let hard = rows.iter().filter(|row| is_hard(row, 20)).count();
    assert!(
        (hard as f64 - 0.4 * rows.len() as f64).abs() < 2.0,
        "{hard} of {}",
        rows.len()
    );
}

#[test]
fn each_task_has_a_schedule_of_its_own() {
    let run = Run::named("multi-task");
    let (grow, all) = (run.steps("grow"), run.steps("all"));
    let tasks = ["classify", "reason", "summarize", "translate"];
    let pools = |step| tasks.map(|task| run.pool_of(step, task));
    // Linear and competence by their formulas; c(½) = (0.05² + (1 − 0.05²) / 2)^½ = 0.70799.
    assert_eq!(pools(grow.start), [3000, 450, 400, 300]);
    assert_eq!(pools(grow.start + 1500), [3000, 450, 1800, 4248]);
    assert_eq!(pools(all.start), [3000, 1500, 4000, 6000]);
    let late: Vec<u32> = [0, 1000, 2000, 2999]
        .map(|step| run.planned(grow.start + step, "reason"))
        .into();
    assert!(late[0] < 10_000 && late.is_sorted() && late[3] > 290_000, "{late:?}");
    let classify = run.served(grow.end - 300..grow.end, "classify");
    assert!((classify - 0.215).abs() < 0.005, "{classify}");
    // Square roots of the rows.
    let share = f64::from(run.planned(all.start, "reason")) / 1e6;
    let roots = [3000.0_f64, 1500.0, 4000.0, 6000.0].map(f64::sqrt);
    assert!((share - roots[1] / roots.iter().sum::<f64>()).abs() < 2e-6, "{share}");
}

#[test]
fn the_competence_is_that_of_the_paper() {
    let run = Run::named("competence");
    let (rows, positions) = (run.data.rows() as f64, run.positions());
    for t in [0, 1, 99, 2500, 5000, 7777, 9999] {
        let competence = (t as f64 / 10_000.0 * (1.0 - 0.01 * 0.01) + 0.01 * 0.01).sqrt();
        let admitted = run.look(t).own_rows();
        assert!(
            (admitted as f64 - (competence * rows).ceil()).abs() <= 1.0,
            "{admitted} at step {t}"
        );
        assert!(
            run.batch(t).iter().all(|row| positions[*row as usize] < admitted),
            "step {t}"
        );
    }
    assert_eq!(run.look(10_000).own_rows(), run.data.rows() as u64);
}

#[test]
fn difficulties_are_those_of_deepspeed_at_its_steps() {
    let run = Run::named("deepspeed-seqlen");
    // ⌊(t + 1) / 4000 · 1968 + 80⌋, down to a multiple of 8.
    for (t, difficulty) in [
        (0, 80),
        (15, 80),
        (16, 88),
        (1999, 1064),
        (3998, 2040),
        (3999, 2048),
        (4999, 2048),
    ] {
        let look = run.look(t);
        let admitted = run
            .data
            .scores
            .iter()
            .filter(|&&tokens| tokens <= difficulty as f64)
            .count() as u64;
        assert_eq!(
            (look.difficulty(), look.own_rows()),
            (Some(difficulty), admitted),
            "step {t}"
        );
        let longest = run
            .batch(t)
            .into_iter()
            .map(|row| run.data.scores[row as usize])
            .fold(0.0, f64::max);
        assert!(longest <= difficulty as f64, "{longest} tokens at step {t}");
    }
    let run = Run::named("deepspeed-rarity");
    // ⌊((t + 1) / 4000)^½ · 99 + 1⌋ hundredths of the rows, and never less than a batch.
    for (t, percent) in [(0, 2), (249, 25), (999, 50), (3998, 99), (3999, 100), (4999, 100)] {
        let look = run.look(t);
        let rows = run.data.rows() as u64 * percent / 100;
        assert_eq!((look.difficulty(), look.own_rows()), (Some(percent), rows), "step {t}");
    }
}

#[test]
fn controls_have_the_steps_and_pool_sizes_of_the_curriculum() {
    let names = ["column-score", "control-hard-first", "control-random"];
    let [curriculum, hard, random] = names.map(Run::named);
    let uniform = Run::named("control-uniform");
    let rows = curriculum.data.rows() as u64;
    let total = curriculum.sampler.plan().total_steps();
    for run in [&hard, &random, &uniform] {
        assert_eq!(run.sampler.plan().total_steps(), total);
        assert_eq!(run.sampler.plan().seed, curriculum.sampler.plan().seed);
    }
    let mut sizes = BTreeSet::new();
    for step in (0..total).step_by(50) {
        let size = curriculum.look(step).own_rows();
        assert_eq!(
            (hard.look(step).own_rows(), random.look(step).own_rows()),
            (size, size),
            "step {step}"
        );
        assert_eq!(uniform.look(step).own_rows(), rows);
        sizes.insert(size);
    }
    assert!(sizes.len() > 20, "{sizes:?}");

    // The first phase shows a fifth of the rows: the easiest, the hardest, or any.
    let positions = curriculum.positions();
    let shown = |run: &Run| {
        run.rows(0..1000)
            .into_iter()
            .map(|row| positions[row as usize])
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(shown(&curriculum), (0..rows / 5).collect());
    assert_eq!(shown(&hard), (rows - rows / 5..rows).collect());
    let any = shown(&random);
    let mean = any.iter().sum::<u64>() as f64 / any.len() as f64 / rows as f64;
    assert_eq!(any.len() as u64, rows / 5);
    // The mean of 2,000 of 10,000 is within 5 standard errors of one half.
    assert!((mean - 0.5).abs() < 0.03, "{mean}");
    assert_eq!(shown(&uniform).len() as u64, rows);
}

#[test]
fn every_class_is_in_the_first_pool_of_the_balanced_sample() {
    let run = Run::named("balanced-groups");
    for (class, rows) in run.data.group_names.iter().zip(&run.data.of_group) {
        let pool = run.pool_of(0, class);
        assert_eq!(pool, (rows.len() as u64).div_ceil(5));
        let served = run.served(0..200, class);
        assert!(
            (served - rows.len() as f64 / run.data.rows() as f64).abs() < 0.001,
            "{class}: {served}"
        );
    }
}

/// The agent masters the near starts, loses them among the further ones, and gets on after it went back.
#[test]
fn levels_are_left_when_they_are_mastered_and_gone_back_to_when_they_are_lost() {
    let jobs = jobs();
    let (_, job) = jobs.iter().find(|(name, _)| name.as_str() == "levels").unwrap();
    let data = Data::of(job);
    let success = |step: u64| match step {
        0..1600 => 0.9 - 0.9 * (-(step as f64) / 300.0).exp(),
        1600..2000 => 0.3,
        _ => 0.9,
    };
    let metrics: Vec<(u64, BTreeMap<String, f64>)> = (1..200)
        .map(|i| (i * 100, BTreeMap::from([("success".to_owned(), success(i * 100))])))
        .collect();
    let groups = BTreeMap::new();
    let evidence: Vec<Evidence<'_>> = metrics
        .iter()
        .map(|(step, metrics)| Evidence {
            step: *step,
            metrics,
            groups: &groups,
        })
        .collect();
    let curriculum = Curriculum::read(&job.spec.curriculum).unwrap();
    let course = Course::play(&curriculum, &facts(job, &data), &evidence).unwrap();
    let visits: Vec<&str> = course.plan.phases.iter().map(|phase| phase.name.as_str()).collect();
    assert_eq!(visits, ["near", "further", "near", "further", "anywhere"]);
    assert!(course.plan.total_steps() < 25_000, "steps are saved");
}
