//! Phases that end by what the trainer reported.

use k8s_openapi::api::batch::v1::JobCondition;
use serde_json::json;

use super::*;
use crate::api::status::VisitOutcome;
use crate::curriculum::plan::Plan;
use crate::curriculum::snapshot;
use crate::curriculum::transition::{Decision, Kind};
use crate::sampler::contract::SamplerStatus;

/// Three phases of 10 steps; the first two end early, the second may also go back to the first, once.
fn adaptive() -> Case {
    let good = json!({"allOf": [{"metric": "val", "atLeast": "0.9"}], "minimumSteps": 2});
    let bad = json!({"to": "easy", "anyOf": [{"metric": "val", "drop": {"goal": "Maximize", "by": "0.1"}}]});
    training(json!({"curriculum": {"batchSize": 4, "phases": [
        {"name": "easy", "pool": {"fraction": "0.2"}, "duration": {"steps": 10}, "advance": good},
        {"name": "middle", "pool": {"pacing": {"function": "Linear", "from": "0.3", "to": "0.6"}},
         "duration": {"steps": 10}, "advance": good, "regress": bad},
        {"name": "all", "pool": {"fraction": "1"}, "replay": "0.5", "duration": {"steps": 10}},
    ]}}))
}

impl Case {
    /// What the sampler of the running visit says at its end; `ends`: how it is left, after so many of its steps.
    fn result(&self, ends: Option<(Kind, u64)>) -> SamplerStatus {
        let current = self.status().current_visit.clone().unwrap();
        let (start, end) = (current.start_step.unsigned_abs(), current.end_step.unsigned_abs());
        let decision = ends.map(|(kind, steps)| Decision {
            kind,
            step: start + steps,
            reported: (start + steps).saturating_sub(1),
            because: "val is 0.95, at least 0.9".to_owned(),
            evidence: format!("sha256:{}", "e".repeat(64)),
        });
        SamplerStatus {
            start_step: start,
            end_step: end,
            served_step: decision.as_ref().map_or(end, |decision| decision.step),
            decision,
            ..sampler_status(&self.plan_digest(), current.phase_index.unsigned_abs(), 0)
        }
    }

    /// The running visit ends so, and the next one's pod runs.
    fn ends(&mut self, ends: Option<(Kind, u64)>) -> Actions {
        self.says_at_the_end(&self.result(ends));
        let actions = self.turn();
        let over = self.status().completion_time.is_some();
        if !over {
            self.turn();
            self.runs("train");
        }
        actions
    }

    fn says_at_the_end(&mut self, result: &SamplerStatus) {
        self.completes("train", exited("sampler", 0, Some(&as_json(result))));
    }

    /// Phase, first and last step of each visit that ended.
    fn visits(&self) -> Vec<(&str, i64, i64, VisitOutcome)> {
        let visits = self.status().visits.iter();
        visits
            .map(|v| (v.phase_name.as_str(), v.start_step, v.end_step, v.outcome))
            .collect()
    }
}

/// The plan that was made last.
fn plan(actions: &Actions) -> Plan {
    let plan = actions.ensure.iter().find_map(|ensure| match ensure {
        Ensure::ConfigMap(map) => map.data.as_ref()?.get("plan.json"),
        _ => None,
    });
    serde_json::from_str(plan.expect("a plan")).unwrap()
}

#[test]
fn a_phase_that_ends_early_lets_the_next_one_begin_where_it_ended() {
    let mut case = adaptive();
    assert_eq!(case.status().progress.as_ref().unwrap().summary, "0/30");
    let actions = case.ends(Some((Kind::Advance, 4)));
    assert_eq!(told(&actions), [""; 0], "a milestone is no event");
    assert_eq!(case.visits(), [("easy", 0, 4, VisitOutcome::Advanced)]);
    let decision = case.status().visits[0].decision.clone().unwrap();
    assert_eq!(
        (decision.reported, decision.because.as_str()),
        (3, "val is 0.95, at least 0.9")
    );
    let current = case.status().current_visit.clone().unwrap();
    assert_eq!((current.phase_index, current.start_step, current.end_step), (1, 4, 14));
    assert_eq!(
        case.status().progress.as_ref().unwrap().summary,
        "4/24",
        "6 steps are saved"
    );
    let snapshot = actions.ensure.iter().find_map(|ensure| match ensure {
        Ensure::Snapshot(snapshot) => Some(snapshot.spec.state.clone()),
        _ => None,
    });
    let state: snapshot::State = serde_json::from_str(&snapshot.unwrap()).unwrap();
    assert_eq!(
        (state.step, state.decision.map(|decision| decision.kind)),
        (4, Some(Kind::Advance))
    );
    case.ends(None);
    case.ends(None);
    assert_eq!(case.says(ConditionType::Succeeded), ("True", "Completed"));
    assert_eq!(case.visits()[2], ("all", 14, 24, VisitOutcome::Completed));
    assert_eq!(case.status().progress.as_ref().unwrap().summary, "24/24");
}

#[test]
fn going_back_begins_the_earlier_phase_anew_as_often_as_it_may() {
    let mut case = adaptive();
    case.ends(Some((Kind::Advance, 4)));
    let actions = case.ends(Some((Kind::Regress, 5)));
    assert_eq!(told(&actions), ["Regressed"]);
    let current = case.status().current_visit.clone().unwrap();
    assert_eq!((current.phase_index, current.start_step, current.end_step), (0, 9, 19));
    assert_eq!(case.status().progress.as_ref().unwrap().summary, "9/39");
    case.says_at_the_end(&case.result(Some((Kind::Advance, 3))));
    case.turn();
    let made = plan(&case.turn());
    let transitions = made.phases[0].transitions.clone().unwrap();
    assert!(
        transitions.advance.is_some() && transitions.regress.is_none(),
        "its limit of 1 is reached"
    );
    assert_eq!(
        (made.phases[0].start_step, made.phases[0].segments[0].start_step),
        (12, 12)
    );
    case.runs("train");
    case.ends(None);
    case.ends(None);
    assert_eq!(
        case.visits(),
        [
            ("easy", 0, 4, VisitOutcome::Advanced),
            ("middle", 4, 9, VisitOutcome::Regressed),
            ("easy", 9, 12, VisitOutcome::Advanced),
            ("middle", 12, 22, VisitOutcome::Completed),
            ("all", 22, 32, VisitOutcome::Completed),
        ]
    );
    assert_eq!(case.says(ConditionType::Succeeded), ("True", "Completed"));
}

/// The pool of `middle` grows: a phase that replays it shows what it had come to, not what it was to come to.
#[test]
fn replay_knows_how_long_a_phase_lasted() {
    let replayed = |steps: Option<(Kind, u64)>| {
        let mut case = adaptive();
        case.ends(Some((Kind::Advance, 4)));
        case.says_at_the_end(&case.result(steps));
        case.turn();
        plan(&case.turn()).phases[0].pools.clone()
    };
    assert_ne!(replayed(Some((Kind::Advance, 5))), replayed(Some((Kind::Advance, 9))));
    assert_eq!(replayed(Some((Kind::Advance, 10))), replayed(None));
}

#[test]
fn a_retry_goes_on_in_the_phase_that_was_gone_back_to() {
    let mut case = adaptive();
    case.ends(Some((Kind::Advance, 4)));
    case.ends(Some((Kind::Regress, 5)));
    case.fails("train", "BackoffLimitExceeded", exited("trainer", 1, None));
    case.turn();
    case.pass(10);
    let made = plan(&case.turn());
    assert_eq!(
        (made.phases[0].index, made.phases[0].start_step, made.phases[0].end_step),
        (0, 9, 19)
    );
    assert_eq!(case.phase(), (0, 3, 1));
}

/// What a sampler cannot have decided is no success: a rule that the phase has not, steps beyond it, steps that nobody trained.
#[test]
fn a_decision_that_the_curriculum_does_not_make_completes_nothing() {
    let mut wrong = Vec::new();
    let case = adaptive();
    wrong.push(case.result(Some((Kind::Regress, 4))));
    wrong.push(case.result(Some((Kind::Advance, 11))));
    wrong.push(case.result(Some((Kind::Advance, 0))));
    let early = case.result(Some((Kind::Advance, 4)));
    wrong.push(SamplerStatus {
        served_step: 3,
        ..early.clone()
    });
    wrong.push(SamplerStatus {
        served_step: 10,
        ..early
    });
    for result in wrong {
        let mut case = adaptive();
        case.says_at_the_end(&result);
        assert_eq!(told(&case.turn()), ["ResultMismatch"], "{result:?}");
        assert_eq!(case.visits(), []);
    }
}

#[test]
fn metrics_that_never_came_are_missed() {
    let told_of = |mut case: Case, unheard| {
        let mut result = case.result(None);
        result.unheard = unheard;
        case.says_at_the_end(&result);
        let actions = case.turn();
        (told(&actions), actions.events.first().map(|event| event.note.clone()))
    };
    let (reasons, note) = told_of(adaptive(), 0b1);
    assert_eq!(reasons, ["MetricsMissing"]);
    assert!(
        note.unwrap()
            .ends_with("the trainer never reported what may end it early, val")
    );
    assert_eq!(
        told_of(adaptive(), 0).0,
        [""; 0],
        "it was heard, and was never good enough"
    );
    assert_eq!(
        told_of(training(json!({})), u32::MAX).0,
        [""; 0],
        "nothing may end the phase"
    );
}

#[test]
fn a_run_that_ends_early_is_at_its_end() {
    let mut case = training(json!({"curriculum": {"batchSize": 4, "phases": [
        {"name": "easy", "pool": {"fraction": "0.2"}, "duration": {"steps": 10},
         "advance": {"allOf": [{"metric": "val", "atLeast": "0.9"}]}}]}}));
    case.ends(Some((Kind::Advance, 4)));
    assert_eq!(case.says(ConditionType::Succeeded), ("True", "Completed"));
    assert_eq!(case.status().progress.as_ref().unwrap().summary, "4/4");
}

/// A trainer that calls its last checkpoint CURRICULUM_END_STEP would skip the steps that a phase was left before.
#[test]
fn a_checkpoint_of_the_planned_end_of_a_phase_that_was_left_fails_the_run_loudly() {
    let goes_on_from = |step, suspended: bool| {
        let mut case = adaptive();
        case.ends(Some((Kind::Advance, 4)));
        let mut result = case.result(None);
        result.resumed_at = Some(step);
        case.says_at_the_end(&result);
        if suspended {
            let mut job = Job::clone(&case.job("train"));
            let conditions = job.status.get_or_insert_default().conditions.get_or_insert_default();
            conditions.push(JobCondition {
                type_: "Suspended".to_owned(),
                status: "False".to_owned(),
                ..JobCondition::default()
            });
            case.replace(job);
        }
        case.turn();
        case
    };
    let case = goes_on_from(10, false);
    assert_eq!(case.says(ConditionType::Failed), ("True", "ResultMismatch"));
    assert!(
        case.condition(ConditionType::Failed)
            .message
            .contains("it was left at step 4")
    );
    assert_eq!(goes_on_from(9, false).phase().0, 2, "any other step is its own");
    assert_eq!(goes_on_from(10, true).phase().0, 2, "a pod of before may have made it");
}
