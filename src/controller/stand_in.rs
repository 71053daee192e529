//! Stand-in until the branch `core` lands.
#![allow(missing_docs)]
use crate::api::curriculum::CurriculumSpec;
use crate::curriculum::plan::{PhasePlan, Plan, PlanScores};

pub struct Facts {
    pub seed: u64,
    pub rows: u64,
    pub group_rows: Vec<u64>,
    pub scores: Option<PlanScores>,
}
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct PlanError(pub String);

pub fn compile(spec: &CurriculumSpec, facts: &Facts) -> Result<Plan, PlanError> {
    let mut start = 0;
    let mut phases = Vec::new();
    for (i, p) in spec.phases.iter().enumerate() {
        let steps = p.duration.steps.unwrap_or(10) as u64;
        phases.push(PhasePlan {
            index: i as u32,
            name: p.name.clone(),
            start_step: start,
            end_step: start + steps,
            segments: vec![],
        });
        start += steps;
    }
    if facts.rows == 0 {
        return Err(PlanError("no rows".into()));
    }
    Ok(Plan {
        version: 1,
        seed: facts.seed,
        batch_size: spec.batch_size as u64,
        order: spec.order,
        rows: facts.rows,
        group_rows: facts.group_rows.clone(),
        scores: facts.scores.clone(),
        phases,
    })
}
pub trait PlanExt {
    fn total_steps(&self) -> u64;
    fn for_phase(&self, index: u32) -> Option<Plan>;
    fn digest(&self) -> String;
}
impl PlanExt for Plan {
    fn total_steps(&self) -> u64 {
        self.phases.last().map_or(0, |p| p.end_step)
    }
    fn for_phase(&self, index: u32) -> Option<Plan> {
        let phase = self.phases.get(index as usize)?;
        Some(Plan {
            phases: vec![phase.clone()],
            ..self.clone()
        })
    }
    fn digest(&self) -> String {
        use sha2::Digest;
        let hash = sha2::Sha256::digest(serde_json::to_vec(self).unwrap_or_default());
        format!("sha256:{}", hash.iter().map(|b| format!("{b:02x}")).collect::<String>())
    }
}
