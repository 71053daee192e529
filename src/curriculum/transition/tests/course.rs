//! The course of a run: which visits follow from reports, and their rows.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::json;

use crate::api::curriculum::CurriculumSpec;
use crate::curriculum::order::Identity;
use crate::curriculum::plan::{Curriculum, Facts, Leg, PhasePlan};
use crate::curriculum::sampler::Sampler;
use crate::curriculum::transition::{Course, Ended, Evidence, Kind, lasted};

/// Phases `easy` (fixed), `grow` (its pool grows) and `all`, of 100 steps each at most.
fn adaptive(limit: u32) -> Curriculum {
    let up = json!({"allOf": [{"metric": "a", "atLeast": "0.8", "smoothing": "0.5"}], "minimumSteps": 20});
    let down = |to: &str| json!({"to": to, "limit": limit, "anyOf": [{"metric": "a", "atMost": "0.6", "smoothing": "0.5"}], "minimumSteps": 10});
    let spec: CurriculumSpec = serde_json::from_value(json!({"batchSize": 4, "phases": [
        {"name": "easy", "pool": {"fraction": "0.2"}, "duration": {"steps": 100}, "advance": up},
        {"name": "grow", "pool": {"pacing": {"function": "Linear", "from": "0.2"}}, "replay": "0.25", "duration": {"steps": 100},
         "advance": up, "regress": down("easy")},
        {"name": "all", "pool": {"fraction": "1"}, "replay": "0.25", "duration": {"steps": 100}, "regress": down("grow")},
    ]}))
    .unwrap();
    Curriculum::read(&spec).unwrap()
}

fn facts() -> Facts {
    Facts {
        seed: 3,
        rows: 500,
        scores: Some(crate::curriculum::arbitrary::scores()),
        ..Facts::default()
    }
}

fn play(curriculum: &Curriculum, reports: &[(u64, f64)]) -> Course {
    let metrics: Vec<BTreeMap<String, f64>> = reports
        .iter()
        .map(|&(_, a)| BTreeMap::from([("a".to_owned(), a)]))
        .collect();
    let none = BTreeMap::new();
    let evidence: Vec<Evidence<'_>> = (reports.iter().zip(&metrics))
        .map(|(&(step, _), metrics)| Evidence {
            step,
            metrics,
            groups: &none,
        })
        .collect();
    Course::play(curriculum, &facts(), &evidence).unwrap()
}

fn steps(course: &Course) -> Vec<(&str, u64, u64)> {
    let phases = course.plan.phases.iter();
    phases
        .map(|phase| (phase.name.as_str(), phase.start_step, phase.end()))
        .collect()
}

#[test]
fn a_course_goes_by_what_is_reported() {
    let curriculum = adaptive(1);
    let without = play(&curriculum, &[]);
    assert_eq!(
        steps(&without),
        [("easy", 0, 100), ("grow", 100, 200), ("all", 200, 300)]
    );
    assert_eq!(without.decisions, [None, None, None]);
    // Good at 30; bad at 50, 19 steps after `grow` began; then good.
    let course = play(&curriculum, &[(10, 0.9), (30, 0.9), (50, 0.1), (90, 0.9), (120, 0.9)]);
    assert_eq!(
        steps(&course),
        [
            ("easy", 0, 31),
            ("grow", 31, 51),
            ("easy", 51, 91),
            ("grow", 91, 121),
            ("all", 121, 221)
        ]
    );
    let kinds: Vec<_> = course
        .decisions
        .iter()
        .flatten()
        .map(|decision| decision.kind)
        .collect();
    assert_eq!(kinds, [Kind::Advance, Kind::Regress, Kind::Advance, Kind::Advance]);
    course.plan.check().unwrap();
    // What is said of the last step of a phase is told to nobody else: `all` does not know that it was better once.
    let course = play(&curriculum, &[(100, 0.95), (101, 0.5)]);
    assert_eq!(course.decisions[1].as_ref().map(|decision| decision.kind), None);
}

proptest! {
    /// However a metric jumps about, the transitions of a run are bounded: each phase goes back no more than `limit` times, each
    /// visit that was left early lasted its minimum, and so the run ends.
    #[test]
    fn a_noisy_metric_does_not_oscillate(limit in 1..5u32, noise in vec(0.0..1.5f64, 0..400), every in 1..20u64) {
        let curriculum = adaptive(limit);
        let reports: Vec<(u64, f64)> = (1..).map(|i| i * every).zip(noise).collect();
        let course = play(&curriculum, &reports);
        course.plan.check().unwrap();
        let back = |name: &str| {
            let left = course.plan.phases.iter().zip(&course.decisions);
            left.filter(|(phase, d)| phase.name == name && d.as_ref().is_some_and(|d| d.kind == Kind::Regress)).count()
        };
        prop_assert!(back("grow") <= limit as usize && back("all") <= limit as usize);
        for (phase, decision) in course.plan.phases.iter().zip(&course.decisions) {
            let minimum = match decision.as_ref().map(|decision| decision.kind) {
                Some(Kind::Advance) => 20,
                Some(Kind::Regress) => 10,
                None => 100,
            };
            prop_assert!(phase.steps() >= minimum);
        }
        let transitions = course.decisions.iter().flatten().count() as u64;
        prop_assert!(transitions <= course.plan.total_steps() / 10);
        prop_assert!(transitions <= 4 * u64::from(limit) + 2, "{} of them", transitions);
        prop_assert_eq!(course.plan.phases.last().map(|phase| phase.name.as_str()), Some("all"));
    }

    /// The rows of a run are those of its visits' plans, one after the other: each as long as it lasted.
    #[test]
    fn the_course_has_the_rows_of_its_visits(noise in vec(0.0..1.5f64, 0..60), every in 3..20u64) {
        let curriculum = adaptive(2);
        let reports: Vec<(u64, f64)> = (1..).map(|i| i * every).zip(noise).collect();
        let course = play(&curriculum, &reports);
        let whole = Sampler::new(course.plan.clone()).unwrap();
        let mut ended: Vec<Ended> = Vec::new();
        let (mut expected, mut found) = (Vec::new(), Vec::new());
        for (phase, decision) in course.plan.phases.iter().zip(&course.decisions) {
            let facts = Facts { lasted: lasted(&ended), ..facts() };
            let compiled = curriculum.compile(&facts).unwrap();
            let visit = curriculum.visit(&compiled, &ended, phase.index, phase.start_step).unwrap();
            let visit = Sampler::new(visit).unwrap();
            for step in phase.start_step..phase.end() {
                visit.batch(step, &Identity, &mut expected).unwrap();
                whole.batch(step, &Identity, &mut found).unwrap();
                prop_assert_eq!(&expected, &found, "step {}", step);
            }
            ended.push(Ended {
                phase: phase.index,
                start_step: phase.start_step,
                end_step: phase.end(),
                left: decision.as_ref().map(|decision| decision.kind),
            });
        }
    }

    /// A run that was steered by metrics, frozen: its visits as a course, without rules. The rows are the same.
    #[test]
    fn a_frozen_run_has_the_rows_of_the_run(noise in vec(0.0..1.5f64, 0..60), every in 3..20u64) {
        let curriculum = adaptive(2);
        let reports: Vec<(u64, f64)> = (1..).map(|i| i * every).zip(noise).collect();
        let course = play(&curriculum, &reports);
        let mut frozen = curriculum;
        for phase in &mut frozen.phases {
            (phase.advance, phase.regress) = (None, None);
        }
        let leg = |phase: &PhasePlan| Leg { phase: phase.index, steps: phase.steps() as i64 };
        frozen.course = course.plan.phases.iter().map(leg).collect();
        let again = play(&frozen, &[]);
        prop_assert_eq!(steps(&again), steps(&course));
        let (a, b) = (Sampler::new(course.plan.clone()).unwrap(), Sampler::new(again.plan).unwrap());
        let (mut expected, mut found) = (Vec::new(), Vec::new());
        for step in 0..course.plan.total_steps() {
            a.batch(step, &Identity, &mut expected).unwrap();
            b.batch(step, &Identity, &mut found).unwrap();
            prop_assert_eq!(&expected, &found, "step {}", step);
        }
    }
}

#[test]
fn a_course_that_cannot_be_is_refused() {
    let refusal = |change: fn(&mut Curriculum)| {
        let mut curriculum = adaptive(1);
        for phase in &mut curriculum.phases {
            (phase.advance, phase.regress) = (None, None);
        }
        curriculum.course = std::vec![Leg { phase: 0, steps: 10 }, Leg { phase: 2, steps: 100 }];
        assert!(curriculum.compile(&facts()).is_ok());
        change(&mut curriculum);
        curriculum.compile(&facts()).unwrap_err().to_string()
    };
    assert_eq!(
        refusal(|curriculum| curriculum.course[1].steps = 101),
        "curriculum.course[1].steps: 101 is not between 1 and the 100 steps of phase 'all'"
    );
    assert_eq!(
        refusal(|curriculum| curriculum.phases[1].advance = adaptive(1).phases[1].advance.clone()),
        "curriculum.phases[1]: `advance` and `regress` must be absent where `course` is set: the course says when a phase is left"
    );
    assert_eq!(
        refusal(|curriculum| curriculum.course = std::vec![curriculum.course[0]; 129]),
        "curriculum.course: 129 visits; at most 128 are possible"
    );
}
