//! From acceptance to a choice of scores.

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::api::status::ScoreSource;
use crate::controller::actions::Kind;
use crate::controller::test_support::{complains, waiting};
use crate::scoring::report::FoundIndex;

use ConditionType::{Degraded, Failed, Ready, ScoresReady, Stalled};

fn key_of(case: &Case) -> String {
    super::super::build::task(&case.observed.job).key
}

/// A case whose inspection has ended and whose scoring Job lives.
fn scoring(patch: Value, found: Option<FoundIndex>) -> Case {
    let mut case = case(patch);
    case.turn();
    case.turn();
    case.completes("inspect", exited("inspect", 0, Some(&inspected(found))));
    case.turn();
    case
}

fn indexing(patch: Value, found: Option<FoundIndex>) -> Case {
    let mut case = scoring(patch, found);
    case.completes("score", exited("score", 0, None));
    case.turn();
    case
}

#[test]
fn the_inspection_comes_first_and_brings_the_claim() {
    let mut own = case(json!({}));
    own.turn();
    let made = ensured(&own.turn());
    assert_eq!(made[0], "digits-store");
    assert!(made[1].starts_with("digits-inspect-"), "{made:?}");
    assert_eq!(made.len(), 2);
    assert_eq!(ensured(&own.turn()), Vec::<String>::new(), "nothing more while it runs");

    let mut shared = case(json!({"store": {"claimName": "shared"}}));
    shared.turn();
    assert_eq!(ensured(&shared.turn()).len(), 1, "a claim of the user's is not made");
}

#[test]
fn counting_comes_before_scoring_with_a_rarity_scorer_only() {
    let rarity = json!({"scoring": {"scorers": [{"name": "rare", "rarity": {"column": "text"}}]}});
    for (patch, next) in [(json!({}), "digits-score-"), (rarity, "digits-count-")] {
        let mut case = case(patch);
        case.turn();
        case.turn();
        case.completes("inspect", exited("inspect", 0, Some(&inspected(None))));
        let made = ensured(&case.turn());
        assert!(made.len() == 1 && made[0].starts_with(next), "{made:?}");
    }
}

#[test]
fn an_index_of_this_key_ends_scoring_at_once() {
    let mut case = case(json!({}));
    case.turn();
    case.turn();
    let found = FoundIndex {
        exact: true,
        summary: summary(&key_of(&case)),
    };
    case.completes("inspect", exited("inspect", 0, Some(&inspected(Some(found)))));
    assert_eq!(ensured(&case.turn()), ["digits-scores"]);
    assert_eq!(case.says(ScoresReady), ("True", "Cached"));
    assert_eq!(case.status().scores.as_ref().unwrap().source, ScoreSource::Cached);
    assert_eq!(case.phase(), (0, 0, 0));
}

#[test]
fn an_index_that_is_said_to_fit_but_has_another_key_is_not_used() {
    let case = scoring(
        json!({}),
        Some(FoundIndex {
            exact: true,
            summary: summary(&"0".repeat(64)),
        }),
    );
    assert!(case.status().scores.is_none());
    assert_eq!(component(&case.job("score").metadata), Some("score"));
}

#[test]
fn data_scores_and_the_first_intent_are_one_write() {
    let case = scored(json!({}));
    let status = case.status();
    assert_eq!(status.dataset.as_ref().unwrap().rows, 100);
    let scores = status.scores.as_ref().unwrap();
    assert_eq!(
        (scores.source, scores.coverage.as_deref()),
        (ScoreSource::Scored, Some("1"))
    );
    assert_eq!(case.says(ScoresReady), ("True", "Scored"));
    assert_eq!(status.progress.as_ref().unwrap().summary, "0/30");
    let current = status.current_visit.as_ref().unwrap();
    assert_eq!(
        (current.start_step, current.end_step, current.job_uid.as_ref()),
        (0, 10, None)
    );
}

#[test]
fn a_failure_of_scoring_is_named_and_training_goes_on() {
    type Break = fn(&mut Case);
    let cases: [(&str, Break, &str); 7] = [
        (
            "ScorerFailed",
            |case| {
                *case = scoring(json!({}), None);
                case.fails(
                    "score",
                    "BackoffLimitExceeded",
                    exited("scorer-teacher", 1, Some("no\nmodel\u{7}")),
                );
            },
            "Container 'scorer-teacher' exited with code 1: no model",
        ),
        (
            "ScorerFailed",
            |case| {
                *case = scoring(json!({}), None);
                let said = complains("DatasetUnreadable", "a scorer that blames the data");
                case.fails("score", "PodFailurePolicy", exited("scorer-teacher", 65, Some(&said)));
            },
            "A scorer that blames the data",
        ),
        (
            "ScoringTimedOut",
            |case| {
                *case = scoring(json!({}), None);
                case.fails("score", "DeadlineExceeded", exited("score", 137, None));
            },
            "ran longer than `scoring.timeoutSeconds`",
        ),
        (
            "ImageUnavailable",
            |case| {
                *case = scoring(json!({}), None);
                let job = case.job("score");
                case.has_pod(pod(&job, "Pending", vec![waiting("scorer-teacher", "ErrImagePull")]));
                case.pass(60);
            },
            "Image 'scorer-teacher:1' of container 'scorer-teacher' cannot be pulled",
        ),
        (
            "CoverageTooLow",
            |case| {
                *case = indexing(json!({}), None);
                let said = complains("CoverageTooLow", "50 of 100 rows have a score");
                case.fails("index", "PodFailurePolicy", exited("index", 66, Some(&said)));
            },
            "50 of 100 rows have a score",
        ),
        (
            "SummaryMissing",
            |case| {
                *case = indexing(json!({}), None);
                case.completes("index", exited("index", 0, Some("{")));
            },
            "left no summary",
        ),
        (
            "SummaryMissing",
            |case| {
                *case = indexing(json!({}), None);
                let other = crate::scoring::report::IndexSummary {
                    rows: 99,
                    scored_rows: 99,
                    ..summary(&key_of(case))
                };
                case.completes("index", exited("index", 0, Some(&indexed(other))));
            },
            "fits the data set",
        ),
    ];
    for (reason, break_it, words) in cases {
        let mut case = case(json!({}));
        break_it(&mut case);
        let actions = case.turn();
        assert_eq!(told(&actions), [reason], "one Warning");
        assert_eq!(case.says(ScoresReady), ("False", reason));
        assert_eq!(case.says(Degraded), ("True", "UniformFallback"));
        assert_eq!(case.says(Ready), ("True", "Training"));
        let message = &case.condition(ScoresReady).message;
        assert!(message.contains(words), "{message}");
        assert_eq!(case.status().scores.as_ref().unwrap().source, ScoreSource::Uniform);
        assert_eq!(ensured(&case.turn()), ["digits-plan-0", "digits-train-0"]);
    }
}

#[test]
fn on_failure_decides_what_is_used_instead() {
    let found = || {
        Some(FoundIndex {
            exact: false,
            summary: summary(&"0".repeat(64)),
        })
    };
    for (on_failure, found, source) in [
        ("Uniform", found(), Some(ScoreSource::Uniform)),
        ("LastGood", found(), Some(ScoreSource::LastGood)),
        ("LastGood", None, Some(ScoreSource::Uniform)),
        ("Fail", found(), None),
    ] {
        let mut case = scoring(json!({"scoring": {"onFailure": on_failure}}), found);
        case.fails("score", "BackoffLimitExceeded", exited("scorer-teacher", 1, None));
        case.turn();
        assert_eq!(
            case.status().scores.as_ref().map(|scores| scores.source),
            source,
            "{on_failure}"
        );
        match source {
            None => {
                assert_eq!(case.says(Failed), ("True", "ScorerFailed"));
                assert_eq!(case.says(Stalled), ("True", "ScorerFailed"));
                assert!(ensured(&case.turn()).is_empty(), "no training Job");
            }
            Some(ScoreSource::LastGood) => assert_eq!(case.says(Degraded), ("True", "LastGoodFallback")),
            Some(_) => assert_eq!(case.says(Degraded), ("True", "UniformFallback")),
        }
    }
}

#[test]
fn an_index_of_other_rows_is_no_last_good() {
    let other = crate::scoring::report::IndexSummary {
        rows: 50,
        scored_rows: 50,
        ..summary(&"0".repeat(64))
    };
    let patch = json!({"scoring": {"onFailure": "LastGood"}});
    let mut case = scoring(
        patch,
        Some(FoundIndex {
            exact: false,
            summary: other,
        }),
    );
    case.fails("score", "BackoffLimitExceeded", exited("scorer-teacher", 1, None));
    case.turn();
    assert_eq!(case.status().scores.as_ref().unwrap().source, ScoreSource::Uniform);
}

#[test]
fn a_data_set_at_fault_fails_the_run_whatever_on_failure_says() {
    for on_failure in ["Uniform", "LastGood", "Fail"] {
        for (job, reason) in [
            ("inspect", "ColumnNotFound"),
            ("score", "DatasetUnreadable"),
            ("inspect", "TooManyGroups"),
        ] {
            let patch = json!({"scoring": {"onFailure": on_failure}});
            let mut case = if job == "inspect" {
                super::case(patch)
            } else {
                scoring(patch, None)
            };
            if job == "inspect" {
                case.turn();
                case.turn();
            }
            case.fails(
                job,
                "PodFailurePolicy",
                exited(job, 65, Some(&complains(reason, "column 'x' is missing"))),
            );
            let actions = case.turn();
            assert_eq!(told(&actions), [reason]);
            for type_ in [Failed, Stalled] {
                assert_eq!(case.says(type_), ("True", reason));
            }
            assert_eq!(case.says(ScoresReady), ("False", reason));
            assert_eq!(case.condition(Ready).message, "Column 'x' is missing");
            assert!(case.turn().ensure.is_empty());
        }
    }
}

#[test]
fn an_inspection_without_a_report_fails_the_run_but_one_without_a_pod_is_run_again() {
    let mut silent = case(json!({}));
    silent.turn();
    silent.turn();
    silent.completes("inspect", exited("inspect", 0, None));
    silent.turn();
    assert_eq!(silent.says(Failed), ("True", "InspectionFailed"));

    let mut gone = case(json!({}));
    gone.turn();
    gone.turn();
    gone.completes("inspect", exited("inspect", 0, Some(&inspected(None))));
    gone.observed.pods.clear();
    let deleted = gone.turn().delete;
    assert_eq!((deleted.len(), deleted[0].kind), (1, Kind::Job));
    gone.loses("inspect");
    assert!(ensured(&gone.turn())[0].starts_with("digits-inspect-"));
}

#[test]
fn a_missing_image_counts_after_its_grace() {
    let mut case = scoring(json!({}), None);
    let job = case.job("score");
    case.has_pod(pod(
        &job,
        "Pending",
        vec![waiting("scorer-teacher", "ImagePullBackOff")],
    ));
    case.pass(25);
    let actions = case.turn();
    assert_eq!(actions.status, None);
    assert_eq!(actions.requeue, Some(Duration::from_secs(35)));
}

#[test]
fn the_operators_own_image_is_waited_for() {
    let mut case = case(json!({}));
    case.turn();
    case.turn();
    let job = case.job("inspect");
    case.has_pod(pod(&job, "Pending", vec![waiting("inspect", "ErrImageNeverPull")]));
    case.pass(60);
    assert_eq!(told(&case.turn()), ["ImageUnavailable"]);
    assert_eq!(case.says(Ready), ("False", "ImageUnavailable"));
    assert_eq!(case.says(Failed), ("False", "InProgress"));
    assert_eq!(case.turn().status, None, "said once");
}

#[test]
fn a_given_up_scoring_job_is_deleted_after_it_was_written_down() {
    let mut case = scoring(json!({}), None);
    let job = case.job("score");
    case.has_pod(pod(&job, "Pending", vec![waiting("scorer-teacher", "ErrImagePull")]));
    case.pass(60);
    assert!(case.turn().delete.is_empty(), "not with the decision");
    let deleted = case.turn().delete;
    assert_eq!(
        deleted.iter().map(|delete| delete.name.as_str()).collect::<Vec<_>>(),
        [job.name_any()]
    );
}
