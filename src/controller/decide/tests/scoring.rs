//! From acceptance to a choice of scores.

use k8s_openapi::api::core::v1::PodSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

use super::*;
use crate::api::status::ScoreSource;
use crate::controller::actions::Kind;
use crate::controller::test_support::{complains, waiting};
use crate::scoring::report::FoundIndex;

use ConditionType::{Degraded, Failed, Ready, ScoresReady, Stalled};

fn key_of(case: &Case) -> String {
    super::super::build::task(&validate(&case.job).unwrap()).key
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
fn counting_comes_before_scoring_where_a_scorer_needs_it() {
    let counted = ["rarity", "duplicates", "centreDistance"].map(|kind| {
        let scorer = json!({"name": "counted", kind: {"column": "text"}});
        (json!({"scoring": {"scorers": [scorer]}}), "digits-count-")
    });
    for (patch, next) in counted.into_iter().chain([(json!({}), "digits-score-")]) {
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
                case.turn();
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
            "its report was cut off after 1 bytes",
        ),
        (
            "SummaryMissing",
            |case| {
                *case = indexing(json!({}), None);
                let other = crate::index::summary::IndexSummary {
                    rows: 99,
                    scored_rows: 99,
                    ..summary(&key_of(case))
                };
                case.completes("index", exited("index", 0, Some(&indexed(other))));
            },
            "does not fit the data set",
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
    let other = crate::index::summary::IndexSummary {
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
fn trouble_of_the_inspection_is_said_and_tried_again_without_end() {
    type Break = fn(&mut Case);
    let breaks: [(Break, &str); 5] = [
        (
            |case| case.completes("inspect", exited("inspect", 0, None)),
            "it left no report",
        ),
        (
            |case| case.completes("inspect", exited("inspect", 0, Some("{\"inspected\":"))),
            "cut off after 13 bytes",
        ),
        (
            |case| case.fails("inspect", "DeadlineExceeded", exited("inspect", 143, None)),
            "ran longer than `scoring.timeoutSeconds`",
        ),
        (
            |case| {
                case.fails(
                    "inspect",
                    "BackoffLimitExceeded",
                    exited("inspect", 70, Some("stale file handle")),
                );
            },
            "stale file handle",
        ),
        (
            |case| {
                let job = Job::clone(&case.job("inspect"));
                case.replace(finished(job, "Failed", "BackoffLimitExceeded"));
            },
            "Job has Failed",
        ),
    ];
    for (break_it, words) in breaks {
        let mut case = case(json!({}));
        case.turn();
        case.turn();
        break_it(&mut case);
        let mut job = Job::clone(&case.job("inspect"));
        let ended = job.status.as_mut().unwrap().conditions.as_mut().unwrap();
        ended[0].last_transition_time = Some(Time(at(0)));
        case.replace(job);
        let actions = case.turn();
        assert_eq!((told(&actions), actions.delete.len()), (vec!["InspectionFailed"], 0));
        assert_eq!(case.says(Ready), ("False", "InspectionFailed"));
        assert_eq!(case.says(Failed), ("False", "InProgress"));
        let message = case.condition(Ready).message.clone();
        assert!(message.contains(words), "{message}");
        assert_eq!(case.turn().requeue, Some(Duration::from_secs(60)));
        case.pass(60);
        let deleted = case.turn().delete;
        assert_eq!((deleted.len(), deleted[0].kind), (1, Kind::Job));
        case.loses("inspect");
        assert!(ensured(&case.turn())[0].starts_with("digits-inspect-"));
        assert_eq!(
            case.says(Ready),
            ("False", "InspectionFailed"),
            "until it has ended well"
        );
        assert_eq!(case.turn().status, None);
        case.completes("inspect", exited("inspect", 0, Some(&inspected(None))));
        case.turn();
        assert_eq!(case.says(Ready), ("True", "Scoring"));
    }
}

#[test]
fn an_inspection_without_a_pod_is_run_again() {
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
fn what_was_inspected_is_known_when_its_job_is_gone() {
    let found = FoundIndex {
        exact: false,
        summary: summary(&"0".repeat(64)),
    };
    let mut case = scoring(json!({"scoring": {"onFailure": "LastGood"}}), Some(found));
    assert_eq!(case.status().dataset.as_ref().unwrap().rows, 100, "at once");
    case.loses("inspect");
    assert_eq!(case.turn(), Actions::default(), "it is not inspected again");
    case.fails("score", "BackoffLimitExceeded", exited("scorer-teacher", 1, None));
    case.turn();
    let scores = case.status().scores.as_ref().unwrap();
    assert_eq!(scores.source, ScoreSource::LastGood);
    assert_eq!(scores.key.as_deref(), Some("0".repeat(64).as_str()));
    assert!(Case::plan_has_scores(&case.turn()));
}

#[test]
fn scores_that_are_not_used_again_are_told_of() {
    let mut case = case(json!({}));
    case.turn();
    case.turn();
    let why = "the data have changed: it has 12 bytes more";
    let said = inspected(None).replacen("\"rows\"", &format!("\"staleIndex\":\"{why}\",\"rows\""), 1);
    case.completes("inspect", exited("inspect", 0, Some(&said)));
    let actions = case.turn();
    assert_eq!(told(&actions), ["StaleIndex"]);
    assert!(!actions.events[0].warning && actions.events[0].note.contains(why));
    assert!(told(&case.turn()).is_empty(), "once");
}

/// A pull may have taken minutes when it fails for the first time: only the time since then counts.
#[test]
fn a_missing_image_counts_after_its_grace_from_its_first_failure() {
    let mut case = scoring(json!({}), None);
    let job = case.job("score");
    let pulling = |reason| pod(&job, "Pending", vec![waiting("scorer-teacher", reason)]);
    case.has_pod(pulling("ContainerCreating"));
    case.pass(300);
    case.turn();
    case.has_pod(pulling("ImagePullBackOff"));
    let actions = case.turn();
    assert_eq!((actions.status, actions.requeue), (None, Some(Duration::from_secs(60))));
    case.pass(25);
    assert_eq!(case.turn().requeue, Some(Duration::from_secs(35)));
    case.has_pod(pulling("ContainerCreating"));
    case.turn();
    case.pass(25);
    case.has_pod(pulling("ErrImagePull"));
    case.pass(25);
    case.turn();
    assert_eq!(case.status().scores, None, "it was on its way in between");
    case.pass(60);
    assert_eq!(told(&case.turn()), ["ImageUnavailable"]);
}

#[test]
fn one_bad_node_among_many_gives_no_scores_up() {
    let mut case = scoring(json!({"scoring": {"shards": 2, "parallelism": 2}}), None);
    let job = case.job("score");
    let mut bad = pod(&job, "Pending", vec![waiting("scorer-teacher", "ErrImagePull")]);
    bad.metadata.name = Some("bad".to_owned());
    bad.metadata.uid = Some("bad".to_owned());
    bad.metadata.creation_timestamp = Some(Time(at(0)));
    bad.spec = Some(PodSpec {
        node_name: Some("cpu-3".to_owned()),
        ..PodSpec::default()
    });
    case.has_pod(bad);
    case.has_pod(pod(&job, "Running", vec![running("scorer-teacher")]));
    case.turn();
    case.pass(3600);
    assert_eq!(case.turn().status, None, "the other shard runs");
    case.has_pod(pod(&job, "Succeeded", vec![exited("scorer-teacher", 0, None)]));
    let mut job = Job::clone(&job);
    job.status.get_or_insert_default().succeeded = Some(1);
    case.replace(job);
    case.turn();
    assert_eq!(case.status().scores, None);
    assert_eq!(case.says(Ready), ("False", "ImageUnavailable"));
    assert!(case.condition(Ready).message.contains("on node 'cpu-3'"));
}

#[test]
fn the_operators_own_image_is_waited_for() {
    let mut case = case(json!({}));
    case.turn();
    case.turn();
    let job = case.job("inspect");
    case.has_pod(pod(&job, "Pending", vec![waiting("inspect", "ErrImageNeverPull")]));
    case.turn();
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
    case.turn();
    case.pass(60);
    assert!(case.turn().delete.is_empty(), "not with the decision");
    let deleted = case.turn().delete;
    assert_eq!(
        deleted.iter().map(|delete| delete.name.as_str()).collect::<Vec<_>>(),
        [job.name_any()]
    );
}
