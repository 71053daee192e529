//! What a spec is refused for, and what is made of one that is not.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use serde_json::json;

use super::*;
use crate::api::curriculum::{Balance, Fraction, Order};
use crate::api::job::CurriculumJobSpec;
use crate::api::scoring::{ColumnScorer, Combine, OnFailure, RarityScorer, ScoringPodSpec};
use crate::api::training::Sampling;
use crate::controller::test_support::{at, curriculum_job};
use crate::curriculum::plan::{self, Phase, Pool, PoolKind};
use crate::scoring::task::Unit;

/// With every choice of the API made otherwise than by default.
fn full() -> CurriculumJob {
    let mut job = curriculum_job(json!({
        "suspend": true,
        "dataset": {"format": "Csv", "delimiter": ";", "maxBadRows": 3, "revision": "2", "groupColumn": "label"},
        "scoring": {
            "scorers": [
                {"name": "long", "length": {"column": "text", "unit": "Bytes"}, "weight": "0.50"},
                {"name": "rare", "rarity": {"column": "text"}},
                {"name": "taught", "container": {"image": "teacher:1", "command": ["teach"]}},
            ],
            "shards": 4, "parallelism": 2, "backoffLimit": 1, "timeoutSeconds": 60, "minCoverage": "0.9",
            "onFailure": "Fail", "combine": "Max",
        },
        "store": {"claimName": "shared"},
        "training": {
            "progressDeadlineSeconds": 90,
            "sampling": "File",
            "checkpoint": {"volume": {"persistentVolumeClaim": {"claimName": "checkpoints"}}},
            "template": {
                "metadata": {"annotations": {"note": "kept"}},
                "spec": {"hostname": "box", "containers": [{"name": "one"}, {"name": "trainer"}, {"name": "two"}]},
            },
        },
        "snapshots": {"keep": 3},
        "ttlSecondsAfterFinished": 0,
    }));
    job.metadata.labels = Some(
        [("kueue.x-k8s.io/queue-name", "gpus"), ("team", "vision")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
    );
    job
}

fn container(name: &str) -> Container {
    Container {
        name: name.to_owned(),
        ..Container::default()
    }
}

fn phase((name, fraction): (&str, &str)) -> Phase {
    Phase {
        name: name.to_owned(),
        pool: Pool {
            kind: PoolKind::Fraction(fraction.into()),
            window: None,
        },
        duration: plan::Duration::Steps(10),
        replay: None,
        hard_negatives: None,
        mixing: None,
        weighting: None,
        warm_up_steps: None,
        advance: None,
        regress: None,
    }
}

#[test]
fn a_job_of_the_least_gets_what_is_meant_by_default() {
    let job = curriculum_job(json!({}));
    let run = validate(&job).unwrap();
    let trainer = Container {
        image: Some("trainer:1".to_owned()),
        ..container("trainer")
    };
    let claim = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}});
    let expected = Run {
        head: Head {
            id: JobId {
                namespace: "lab".to_owned(),
                name: "digits".to_owned(),
                uid: "uid-cjob".to_owned(),
            },
            generation: Some(1),
            deleting: false,
            suspended: false,
            // Statuses of earlier releases hold this very text.
            template_digest: "sha256:c1ed484c49bb7bb0bdb4262a434bdd1977bc677f6c4dfefa380bdcb4c8601463".to_owned(),
        },
        queue_labels: BTreeMap::new(),
        seed: 7,
        dataset: Dataset {
            source: Source::Volume(Box::new(job.spec.dataset.volume.unwrap())),
            paths: Paths::One("train.csv".to_owned()),
            format: Format::Csv,
            delimiter: ',',
            max_bad_rows: 0,
            revision: None,
            filter: Vec::new(),
            split: None,
            group_column: None,
        },
        scoring: Scoring {
            scorers: vec![Scorer {
                name: "difficulty".to_owned(),
                weight: "1".to_owned(),
                kind: ScorerKind::Column(ColumnScorer {
                    column: "score".to_owned(),
                }),
            }],
            combine: Combine::MeanRank,
            overrides: None,
            min_coverage: "1".to_owned(),
            shards: 1,
            parallelism: 1,
            backoff_limit: 2,
            timeout: Duration::from_secs(3600),
            on_failure: OnFailure::Uniform,
            pod: ScoringPodSpec::default(),
        },
        store: Store::Own(serde_json::from_value(claim).unwrap()),
        curriculum: Curriculum {
            course: Vec::new(),
            batch_size: 4,
            batch_tokens: None,
            order: Order::EasyFirst,
            balance: Balance::None,
            uniform_floor: None,
            group_shares: None,
            phases: [("easy", "0.2"), ("middle", "0.6"), ("all", "1")].map(phase).into(),
        },
        training: Training {
            template: Template {
                metadata: ObjectMeta::default(),
                pod: PodSpec::default(),
                before: Vec::new(),
                trainer,
                after: Vec::new(),
            },
            backoff_limit: 2,
            progress_deadline: None,
            sampling: Sampling::Http,
            checkpoint: None,
            sampler_resources: None,
        },
        snapshots_to_keep: 10,
        archives_snapshots: false,
        time_to_live: None,
    };
    assert_eq!(run, expected);
}

#[test]
fn what_a_job_says_is_taken_over() {
    let job = full();
    let run = validate(&job).unwrap();
    assert!(run.head.suspended && !run.head.deleting);
    assert_eq!(
        run.queue_labels,
        BTreeMap::from([("kueue.x-k8s.io/queue-name".to_owned(), "gpus".to_owned())])
    );
    let Dataset {
        format,
        delimiter,
        max_bad_rows,
        revision,
        group_column,
        ..
    } = run.dataset;
    assert_eq!((format, delimiter, max_bad_rows), (Format::Csv, ';', 3));
    assert_eq!(
        (revision.as_deref(), group_column.as_deref()),
        (Some("2"), Some("label"))
    );
    let scoring = run.scoring;
    let kinds = [
        ScorerKind::Length {
            column: "text".to_owned(),
            unit: Unit::Bytes,
        },
        ScorerKind::Rarity(RarityScorer {
            column: "text".to_owned(),
        }),
        ScorerKind::Container(Box::new(job.spec.scoring.scorers[2].container.clone().unwrap())),
    ];
    assert!(scoring.scorers.iter().map(|scorer| &scorer.kind).eq(&kinds));
    assert!(
        scoring
            .scorers
            .iter()
            .map(|scorer| &scorer.weight)
            .eq(["0.50", "1", "1"])
    );
    assert_eq!((scoring.shards, scoring.parallelism, scoring.backoff_limit), (4, 2, 1));
    assert_eq!((scoring.combine, scoring.on_failure), (Combine::Max, OnFailure::Fail));
    assert_eq!(
        (scoring.timeout, scoring.min_coverage.as_str()),
        (Duration::from_secs(60), "0.9")
    );
    assert_eq!(run.store, Store::Claim("shared".to_owned()));
    let training = run.training;
    assert_eq!(training.progress_deadline, Some(Duration::from_secs(90)));
    assert_eq!(
        (training.sampling, training.checkpoint),
        (Sampling::File, job.spec.training.checkpoint)
    );
    let Template {
        metadata,
        pod,
        before,
        trainer,
        after,
    } = training.template;
    assert_eq!(metadata.annotations.unwrap()["note"], "kept");
    assert_eq!((pod.hostname.as_deref(), pod.containers.len()), (Some("box"), 0));
    assert_eq!(
        (before, trainer.name.as_str(), after),
        (vec![container("one")], "trainer", vec![container("two")])
    );
    assert_eq!((run.snapshots_to_keep, run.time_to_live), (3, Some(Duration::ZERO)));
}

#[test]
fn the_first_container_is_the_trainer_where_none_is_named_so() {
    let mut job = full();
    let pod = job.spec.training.template.spec.as_mut().unwrap();
    pod.containers.retain(|container| container.name != "trainer");
    let template = validate(&job).unwrap().training.template;
    assert_eq!(
        (template.before, template.trainer, template.after),
        (Vec::new(), container("one"), vec![container("two")])
    );
}

#[test]
fn a_phase_has_what_it_inherits() {
    let phases = json!([
        {"name": "easy", "pool": {"fraction": "0.2", "window": "0.1"}, "duration": {"steps": 10}, "replay": "0"},
        {"name": "longer", "inherit": true, "duration": {"epochs": 3}, "warmUpSteps": 2},
    ]);
    let run = validate(&curriculum_job(json!({"curriculum": {"phases": phases}}))).unwrap();
    let [first, second] = &run.curriculum.phases[..] else {
        panic!("{:?}", run.curriculum)
    };
    assert_eq!((first.duration, first.warm_up_steps), (plan::Duration::Steps(10), None));
    let expected = Phase {
        name: "longer".to_owned(),
        duration: plan::Duration::Epochs(3),
        warm_up_steps: Some(2),
        ..first.clone()
    };
    assert_eq!(*second, expected);
}

#[test]
fn an_own_claim_is_what_its_template_says() {
    let template = json!({"storageClassName": "fast", "accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "5Gi"}}});
    let run = validate(&curriculum_job(json!({"store": {"claimTemplate": template}}))).unwrap();
    assert_eq!(run.store, Store::Own(serde_json::from_value(template).unwrap()));
}

fn hold_out(job: &mut CurriculumJob, fraction: &str, seed: i64) {
    job.spec.dataset.split = Some(SplitSpec {
        held_out: Fraction(fraction.to_owned()),
        seed,
    });
}

fn store(job: &mut CurriculumJob, spec: serde_json::Value) {
    job.spec.store = serde_json::from_value(spec).unwrap();
}

#[test]
fn each_check_refuses_and_names_the_field() {
    type Break = fn(&mut CurriculumJob);
    let cases: [(Break, &str); 25] = [
        (
            |job| store(job, json!({"claimName": "c", "redis": {"url": "redis://cache"}})),
            "at most one of `store.claimName`, `store.claimTemplate`, `store.objectStore` and `store.redis`",
        ),
        (
            |job| store(job, json!({"redis": {"url": "redis://me:word@cache"}})),
            "`store.redis`: `url` must be `redis://HOST:PORT/DATABASE`",
        ),
        (
            |job| store(job, json!({"objectStore": {"url": "https://host/scores"}})),
            "`store.objectStore.url` is 'https://host/scores', where nothing can be put",
        ),
        (
            |job| store(job, json!({"objectStore": {"url": "gs://scores", "region": "eu"}})),
            "`store.objectStore.region` must be left out",
        ),
        (
            |job| hold_out(job, "1.0", 0),
            "`dataset.split.heldOut` must be greater than 0 and less than 1",
        ),
        (|job| hold_out(job, "0.1", -1), "`dataset.split.seed`"),
        (
            |job| job.spec.dataset.path = None,
            "exactly one of `dataset.path` and `dataset.paths`",
        ),
        (
            |job| job.spec.dataset.paths = vec!["a.csv".to_owned()],
            "exactly one of `dataset.path` and `dataset.paths`",
        ),
        (
            |job| {
                job.spec.dataset.path = None;
                job.spec.dataset.format = None;
                job.spec.dataset.delimiter = None;
                job.spec.dataset.paths = vec!["a.csv".to_owned(), "b.tsv.gz".to_owned()];
            },
            "`dataset.delimiter` must be set",
        ),
        (|job| job.metadata.name = Some("x".repeat(41)), "`metadata.name`"),
        (|job| job.spec.curriculum.phases.clear(), "`curriculum.phases`"),
        (
            |job| job.spec.curriculum.phases[2].name = "easy".to_owned(),
            "`curriculum.phases`",
        ),
        (
            |job| job.spec.curriculum.phases[1].duration.as_mut().unwrap().epochs = Some(1),
            "`duration` of phase 'middle'",
        ),
        (
            |job| job.spec.curriculum.phases[1].pool.as_mut().unwrap().fraction = None,
            "`pool` of phase 'middle'",
        ),
        (
            |job| job.spec.curriculum.phases[1].duration = None,
            "`duration` of phase 'middle'",
        ),
        (
            |job| job.spec.curriculum.phases[1].pool = None,
            "`pool` of phase 'middle'",
        ),
        (
            |job| job.spec.curriculum.phases[0].inherit = true,
            "`curriculum.phases[0].inherit`: the first phase",
        ),
        (
            |job| {
                for (i, phase) in job.spec.curriculum.phases.iter_mut().enumerate() {
                    let weights: Vec<_> = (0..100)
                        .map(|n| json!({"name": format!("{i}-{n}"), "weight": "1"}))
                        .collect();
                    phase.mixing = serde_json::from_value(json!({"weights": weights})).unwrap();
                }
            },
            "must not name more than 256 groups, but name 300",
        ),
        (
            |job| {
                job.spec.scoring.scorers[0].rarity = Some(RarityScorer { column: "t".to_owned() });
            },
            "scorer 'difficulty'",
        ),
        (
            |job| job.spec.scoring.scorers[0].column = None::<ColumnScorer>,
            "scorer 'difficulty'",
        ),
        (
            |job| job.spec.dataset.volume = None,
            "exactly one of `dataset.volume` and `dataset.objectStore`",
        ),
        (
            |job| {
                job.spec.dataset.volume = None;
                let store = json!({"url": "s3://corpus/..", "envFrom": []});
                job.spec.dataset.object_store = serde_json::from_value(store).unwrap();
            },
            "`dataset.objectStore.url` `s3://corpus/..` must have no `.` and no `..`",
        ),
        (
            |job| {
                job.spec.dataset.volume = None;
                let store = json!({"url": "s3://corpus", "sizeLimit": "50GB"});
                job.spec.dataset.object_store = serde_json::from_value(store).unwrap();
            },
            "`dataset.objectStore.sizeLimit` is '50GB'; it must be a size greater than 0",
        ),
        (
            |job| job.spec.training.template.spec = None,
            "`training.template.spec.containers`",
        ),
        (
            |job| job.spec.training.template.spec.as_mut().unwrap().containers[0].name = "sampler".to_owned(),
            "may be named 'sampler'",
        ),
    ];
    for (break_it, words) in cases {
        let mut job = curriculum_job(json!({}));
        break_it(&mut job);
        let failure = validate(&job).unwrap_err();
        assert_eq!(failure.reason, Reason::InvalidSpec);
        assert!(failure.message.contains(words), "{}", failure.message);
    }
}

#[test]
fn a_number_below_what_the_api_means_is_refused() {
    type Break = fn(&mut CurriculumJobSpec);
    let cases: [(Break, &str); 12] = [
        (|spec| spec.seed = -1, "`seed` must be at least 0, but is -1"),
        (
            |spec| spec.dataset.max_bad_rows = -1,
            "`dataset.maxBadRows` must be at least 0, but is -1",
        ),
        (
            |spec| spec.scoring.shards = 0,
            "`scoring.shards` must be at least 1, but is 0",
        ),
        (
            |spec| {
                let duplicates = json!({"name": "repeated", "duplicates": {"column": "text", "shingle": 0}});
                spec.scoring.scorers[1] = serde_json::from_value(duplicates).unwrap();
            },
            "`scoring.scorers[1].duplicates.shingle` must be at least 1, but is 0",
        ),
        (
            |spec| spec.scoring.parallelism = 0,
            "`scoring.parallelism` must be at least 1, but is 0",
        ),
        (
            |spec| spec.scoring.backoff_limit = -1,
            "`scoring.backoffLimit` must be at least 0, but is -1",
        ),
        (
            |spec| spec.scoring.timeout_seconds = 0,
            "`scoring.timeoutSeconds` must be at least 1, but is 0",
        ),
        (
            |spec| spec.training.backoff_limit = -1,
            "`training.backoffLimit` must be at least 0, but is -1",
        ),
        (
            |spec| spec.training.progress_deadline_seconds = Some(0),
            "`training.progressDeadlineSeconds` must be at least 1, but is 0",
        ),
        (
            |spec| {
                spec.curriculum.batch_tokens = Some(crate::api::curriculum::BatchTokensSpec {
                    budget: 10,
                    max_length: 1,
                    length_scorer: "none".to_owned(),
                });
            },
            "`curriculum.batchTokens.lengthScorer` is 'none', which is none of `scoring.scorers`; these are 'long', 'rare', 'taught'",
        ),
        (
            |spec| spec.snapshots.keep = 0,
            "`snapshots.keep` must be at least 1, but is 0",
        ),
        (
            |spec| spec.ttl_seconds_after_finished = Some(i32::MIN),
            "`ttlSecondsAfterFinished` must be at least 0, but is -2147483648",
        ),
    ];
    for (break_it, message) in cases {
        let mut job = full();
        break_it(&mut job.spec);
        assert_eq!(validate(&job), Err(Failure::new(Reason::InvalidSpec, message)));
    }
}

/// What is said about a spec that did not parse, and what is done about its Jobs, needs no more than this.
#[test]
fn a_job_whose_spec_contradicts_itself_has_a_head() {
    let mut job = full();
    job.metadata.deletion_timestamp = Some(Time(at(0)));
    job.spec.training.template.spec = None;
    let head = Head::of(&job);
    assert!(validate(&job).is_err() && head.suspended && head.deleting);
    assert_eq!((head.id.name.as_str(), head.generation), ("digits", Some(1)));
    assert_ne!(head.template_digest, Head::of(&full()).template_digest);
}
