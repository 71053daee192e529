use super::*;
use crate::curriculum::order::Identity;
use crate::curriculum::plan::{Facts, PlanScores, compile};

#[test]
fn smoke() {
    let spec = serde_json::from_value(serde_json::json!({
        "batchSize": 64, "balance": "Group", "uniformFloor": "0.05",
        "phases": [{"name": "a", "pool": {"fraction": "0.2"}, "duration": {"steps": 300}},
                   {"name": "b", "pool": {"pacing": {"function": "Linear", "from": "0.2", "to": "1", "steps": 800}}, "replay": "0.1", "duration": {"steps": 1000}}]}))
    .unwrap();
    let facts = Facts {
        seed: 1,
        rows: 1000,
        group_rows: vec![300, 0, 700],
        scores: Some(PlanScores {
            key: "k".into(),
            digest: "sha256:".into(),
        }),
    };
    let plan = compile(&spec, &facts).unwrap();
    println!("{}", plan.to_canonical_json().len());
    let sampler = Sampler::new(plan).unwrap();
    let mut out = vec![];
    for step in 0..1300 {
        sampler.batch(step, &Identity, &mut out).unwrap();
        assert_eq!(out.len(), 64);
    }
}
