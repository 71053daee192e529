//! Phases that end by what the trainer reports.

use std::collections::BTreeMap;

use curriculum_operator::api::conditions::Reason;
use curriculum_operator::api::status::VisitOutcome;
use curriculum_operator::controller::validate::validate;
use curriculum_operator::curriculum::order::Identity;
use curriculum_operator::curriculum::plan::{Facts, PlanScores};
use curriculum_operator::curriculum::sampler::Sampler;
use curriculum_operator::curriculum::snapshot::State;
use curriculum_operator::curriculum::transition::{Course, Evidence};
use e2e::Result;
use e2e::case::with_temp_ns;
use e2e::fixture::{BATCH, Example, ROWS};
use e2e::observe::{ensure, status};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::DeleteParams;
use serde_json::{Map, Value, json};

/// What the trainer reports after so many steps: good at 5, before the least steps of the phase; again good; then worse, which
/// takes it back once; then good; and worse again, which takes it back no more.
const REPORTS: [(u64, f64); 8] = [
    (3, 0.95),
    (5, 0.95),
    (7, 0.95),
    (10, 0.9),
    (12, 0.6),
    (21, 0.95),
    (30, 0.9),
    (33, 0.5),
];

/// Case 24.
#[tokio::test]
async fn metrics_move_a_run_forward_and_back_and_a_lost_pod_changes_nothing() -> Result {
    with_temp_ns("transitions", |case| async move {
        case.data_set().await?;
        case.claim("checkpoints").await?;
        let reports: Map<String, Value> = REPORTS.iter().map(|(step, val)| (step.to_string(), json!(val))).collect();
        let example = Example::new("run")
            .checkpoint("checkpoints", "run")
            .trainer("REPORTS", &json!(reports).to_string())
            .trainer("STEP_SECONDS", "0.2")
            .with(&json!({"curriculum": {"phases": [
                {"name": "easy", "pool": {"fraction": "0.25"}, "duration": {"steps": 40},
                 "advance": {"allOf": [{"metric": "val", "atLeast": "0.9"}], "minimumSteps": 6}},
                {"name": "all", "pool": {"fraction": "1"}, "replay": "0.25", "duration": {"steps": 20},
                 "regress": {"to": "easy", "anyOf": [{"metric": "val", "drop": {"goal": "Maximize", "by": "0.2"}}]}}]}}));
        let job = case.submit(&example).await?;
        // In the last visit, after its first report, the pod goes away.
        let running = case.visit("run", 3).await?;
        case.trained_step(&running, 31).await?;
        for pod in case.pods_of(&running).await? {
            case.api::<Pod>().delete(&pod.name_any(), &DeleteParams::default()).await?;
        }
        let ended = case.succeeded("run").await?;
        let found = status(&ended)?;

        let visits = found.visits.iter();
        let visits: Vec<_> = visits.map(|v| (v.phase_name.as_str(), v.start_step, v.end_step, v.outcome)).collect();
        let expected = [
            ("easy", 0, 8, VisitOutcome::Advanced),
            ("all", 8, 13, VisitOutcome::Regressed),
            ("easy", 13, 22, VisitOutcome::Advanced),
            ("all", 22, 42, VisitOutcome::Completed),
        ];
        ensure(visits == expected, || format!("{visits:?}"))?;
        let because = found.visits[1].decision.as_ref().map(|decision| decision.because.as_str());
        ensure(because == Some("val is 0.6, worse than 0.9 by at least 0.2"), || format!("{because:?}"))?;
        let events = case.events("run", "Normal").await?;
        ensure(events.contains_key(Reason::Regressed.as_str()), || format!("{events:?}"))?;
        let lost = case.events("run", "Warning").await?;
        ensure(lost.contains_key(Reason::Interrupted.as_str()), || format!("{lost:?}"))?;

        // The rows are those that `curriculum simulate --metrics` shows, to the last one.
        let metrics = REPORTS.map(|(_, val)| BTreeMap::from([("val".to_owned(), val)]));
        let groups = BTreeMap::new();
        let evidence: Vec<_> = (REPORTS.iter().zip(&metrics))
            .map(|(&(step, _), metrics)| Evidence { step, metrics, groups: &groups })
            .collect();
        let scores = found.scores.clone().ok_or("no scores")?;
        let facts = Facts {
            seed: 7,
            rows: ROWS,
            group_rows: vec![ROWS / 2; 2],
            scores: scores.key.zip(scores.digest).map(|(key, digest)| PlanScores { key, digest }),
            ..Facts::default()
        };
        let run = validate(&job).map_err(|failure| failure.message)?;
        let sampler = Sampler::new(Course::play(&run.curriculum, &facts, &evidence)?.plan)?;
        let trained = case.trained("run").await?;
        ensure(trained.is_complete(42), || format!("{trained:?}"))?;
        let mut rows = Vec::new();
        for step in 0..42 {
            sampler.batch(step, &Identity, &mut rows)?;
            ensure(trained.rows(step, step + 1) == rows, || format!("step {step}: {rows:?} was to come"))?;
        }
        ensure(rows.len() as u64 == BATCH, || format!("{rows:?}"))?;

        let chain = case.snapshot_chain(&ended).await?;
        ensure(chain.len() == 4, || format!("{} snapshots", chain.len()))?;
        let state: State = serde_json::from_str(&chain[0].spec.state)?;
        let decision = state.decision.ok_or("the snapshot does not say why the phase ended")?;
        ensure((decision.step, decision.reported) == (8, 7), || format!("{decision:?}"))
    })
    .await
}
