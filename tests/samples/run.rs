//! A sample's whole run: its plan on data that it could have been written for.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use curriculum_operator::api::job::CurriculumJob;
use curriculum_operator::curriculum::order::{OrderScope, RowOrder};
use curriculum_operator::curriculum::plan::{Curriculum, Facts, PhasePlan, PlanScores, Role, Scope, compile};
use curriculum_operator::curriculum::sampler::{Look, Sampler};
use serde_json::Value;

pub(super) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config/samples")
}

pub(super) fn files() -> Vec<PathBuf> {
    let entries = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries
        .filter(|path| path.extension().is_some_and(|e| e == "yaml"))
        .collect();
    files.sort();
    files
}

/// The jobs by name.
pub(super) fn jobs() -> BTreeMap<String, CurriculumJob> {
    let texts = files().into_iter().map(|file| fs::read_to_string(file).unwrap());
    let documents = texts.flat_map(|text| serde_saphyr::from_multiple::<Value>(&text).unwrap());
    let jobs = documents.filter(|document| document["kind"] == "CurriculumJob");
    jobs.map(|job| {
        let name = job["metadata"]["name"].as_str().unwrap().to_owned();
        (name, serde_json::from_value(job).unwrap())
    })
    .collect()
}

/// Rows of groups, one group after the other, each row with a score.
pub(super) struct Data {
    pub(super) group_names: Vec<String>,
    /// Score of each row.
    pub(super) scores: Vec<f64>,
    /// Group of each row.
    pub(super) group_of: Vec<usize>,
    /// Rows, easy first.
    pub(super) all: Vec<u64>,
    /// The same of each group.
    pub(super) of_group: Vec<Vec<u64>>,
}

impl Data {
    pub(super) fn new(groups: &[(&str, usize)], score: impl Fn(u64) -> f64) -> Self {
        let group_of: Vec<usize> = groups
            .iter()
            .enumerate()
            .flat_map(|(group, &(_, rows))| vec![group; rows])
            .collect();
        let scores: Vec<f64> = (0..group_of.len() as u64).map(score).collect();
        let mut all: Vec<u64> = (0..group_of.len() as u64).collect();
        all.sort_by(|&a, &b| scores[a as usize].total_cmp(&scores[b as usize]));
        let of = |group| {
            all.iter()
                .copied()
                .filter(|&row| group_of[row as usize] == group)
                .collect()
        };
        Self {
            group_names: groups.iter().map(|&(name, _)| name.to_owned()).collect(),
            of_group: (0..groups.len()).map(of).collect(),
            scores,
            group_of,
            all,
        }
    }

    /// What a sample could have been written for.
    pub(super) fn of(job: &CurriculumJob) -> Self {
        let name = job.metadata.name.as_deref().unwrap();
        let groups: &[(&str, usize)] = match name {
            "transfer-mixing" => &[("source", 9000), ("target", 1000)],
            "imbalanced-classes" => &[("benign", 1500), ("healthy", 8000), ("malignant", 400), ("rare", 100)],
            "multi-task" => &[
                ("classify", 3000),
                ("reason", 1500),
                ("summarize", 4000),
                ("translate", 6000),
            ],
            _ if job.spec.dataset.group_column.is_some() => &[
                ("0", 1000),
                ("1", 900),
                ("2", 1100),
                ("3", 1500),
                ("4", 500),
                ("5", 1000),
            ],
            _ => &[("", 10_000)],
        };
        match name {
            "deepspeed-seqlen" => Self::new(groups, |row| (1.0 + 3000.0 * scatter(row)).floor()),
            _ => Self::new(groups, scatter),
        }
    }

    pub(super) fn rows(&self) -> usize {
        self.all.len()
    }

    pub(super) fn group(&self, name: &str) -> usize {
        self.group_names.iter().position(|group| group == name).unwrap()
    }
}

/// Numbers from 0 to 1, evenly spread and all different.
pub(super) fn scatter(row: u64) -> f64 {
    (row.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 11) as f64 / (1_u64 << 53) as f64
}

impl RowOrder for Data {
    fn row(&self, scope: OrderScope, position: u64) -> u64 {
        match scope {
            OrderScope::All => self.all[position as usize],
            OrderScope::Group(group) => self.of_group[group as usize][position as usize],
        }
    }

    fn at_most(&self, score: f64) -> u64 {
        self.all.partition_point(|&row| self.scores[row as usize] <= score) as u64
    }

    fn with_ties(&self, rows: u64) -> u64 {
        match rows.checked_sub(1) {
            Some(last) => self.at_most(self.scores[self.all[last as usize] as usize]),
            None => 0,
        }
    }
}

/// A sample's whole run.
pub(super) struct Run {
    pub(super) data: Data,
    pub(super) sampler: Sampler,
}

pub(super) fn facts(job: &CurriculumJob, data: &Data) -> Facts {
    let grouped = job.spec.dataset.group_column.is_some();
    let places = data.group_names.iter().cloned().zip(0..);
    let curriculum = Curriculum::read(&job.spec.curriculum).unwrap();
    let named = curriculum.named_groups();
    Facts {
        seed: job.spec.seed.unsigned_abs(),
        rows: data.rows() as u64,
        group_rows: data
            .of_group
            .iter()
            .filter(|_| grouped)
            .map(|rows| rows.len() as u64)
            .collect(),
        held_out: None,
        filtered: None,
        groups: places.filter(|(name, _)| named.contains(name.as_str())).collect(),
        scores: Some(PlanScores {
            key: "a".repeat(64),
            digest: format!("sha256:{}", "b".repeat(64)),
        }),
        ..Facts::default()
    }
}

impl Run {
    pub(super) fn of(job: &CurriculumJob) -> Self {
        let data = Data::of(job);
        let plan = compile(&job.spec.curriculum, &facts(job, &data)).unwrap();
        Self {
            data,
            sampler: Sampler::new(plan).unwrap(),
        }
    }

    pub(super) fn named(name: &str) -> Self {
        Self::of(&jobs()[name])
    }

    pub(super) fn batch_size(&self) -> u64 {
        self.sampler.plan().batch_size
    }

    pub(super) fn phase(&self, name: &str) -> &PhasePlan {
        self.sampler
            .plan()
            .phases
            .iter()
            .find(|phase| phase.name == name)
            .unwrap()
    }

    pub(super) fn steps(&self, phase: &str) -> Range<u64> {
        let phase = self.phase(phase);
        phase.start_step..phase.end_step
    }

    pub(super) fn batch(&self, step: u64) -> Vec<u64> {
        let mut rows = Vec::new();
        self.sampler.batch(step, &self.data, &mut rows).unwrap();
        rows
    }

    pub(super) fn rows(&self, steps: Range<u64>) -> Vec<u64> {
        steps.flat_map(|step| self.batch(step)).collect()
    }

    pub(super) fn look(&self, step: u64) -> Look<'_> {
        self.sampler.look(step, &self.data).unwrap()
    }

    /// Share of the pools of a group at a step, in millionths.
    pub(super) fn planned(&self, step: u64, group: &str) -> u32 {
        let scope = Scope::Group(self.data.group(group) as u32);
        let look = self.look(step);
        look.pools
            .iter()
            .filter(|pool| pool.plan.scope == scope)
            .map(|pool| pool.share)
            .sum()
    }

    /// Rows of the phase's own pool of a group at a step.
    pub(super) fn pool_of(&self, step: u64, group: &str) -> u64 {
        let scope = OrderScope::Group(self.data.group(group) as u32);
        let look = self.look(step);
        let own = look.pools.iter().filter(|pool| pool.plan.role == Role::Own);
        let intervals = own.flat_map(|pool| &pool.intervals).filter(|(of, _)| *of == scope);
        intervals.map(|(_, interval)| interval.end - interval.start).sum()
    }

    /// Share of a group in the batches of some steps.
    pub(super) fn served(&self, steps: Range<u64>, group: &str) -> f64 {
        let group = self.data.group(group);
        let rows = self.rows(steps);
        let of_group = rows.iter().filter(|&&row| self.data.group_of[row as usize] == group);
        of_group.count() as f64 / rows.len() as f64
    }

    /// Position of each row in the order of all rows.
    pub(super) fn positions(&self) -> Vec<u64> {
        let mut positions = vec![0; self.data.rows()];
        for (position, &row) in self.data.all.iter().enumerate() {
            positions[row as usize] = position as u64;
        }
        positions
    }
}
