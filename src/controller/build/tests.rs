//! One YAML snapshot per child and variant, and the keys' sensitivity.

use k8s_openapi::{
    api::{batch::v1::Job, core::v1::Container},
    apimachinery::pkg::apis::meta::v1::Time,
};
use kube::ResourceExt;

use super::pod::BINARY;
use super::*;
use crate::{
    api::{job::CurriculumJob, status::ScoreSource},
    controller::validate::validate,
    curriculum::plan::{PLAN_VERSION, PhasePlan, Plan, PlanScores, PoolPlan, Role, Segment, WHOLE},
    index::summary::IndexSummary,
};

mod keys;
mod objects;
mod scorer_volumes;
mod stores;

const SMALL: &str = r#"
apiVersion: curriculum.dev/v1alpha1
kind: CurriculumJob
metadata: {name: digits, namespace: team-a, uid: 5e6f2b1c}
spec:
  dataset: {volume: {persistentVolumeClaim: {claimName: digits}}, path: train.csv}
  scoring: {scorers: [{name: length, length: {column: text}}]}
  curriculum: {batchSize: 64, phases: [{name: all, pool: {fraction: "1"}, duration: {steps: 10}}]}
  training: {template: {spec: {containers: [{name: main, image: trainer:1}]}}}
"#;

const FULL: &str = r#"
apiVersion: curriculum.dev/v1alpha1
kind: CurriculumJob
metadata: {name: digits, namespace: team-a, uid: 5e6f2b1c}
spec:
  seed: 42
  dataset:
    volume: {persistentVolumeClaim: {claimName: digits}}
    path: data/train.parquet
    revision: "2026-11-20"
    groupColumn: label
  scoring:
    scorers:
    - name: teacher
      container:
        image: teacher:1
        imagePullPolicy: IfNotPresent
        command: [python3, /teacher.py]
        args: [--folds, "5"]
        env: [{name: OMP_NUM_THREADS, value: "1"}]
        resources: {limits: {nvidia.com/gpu: "1"}}
    - {name: rare, rarity: {column: text}, weight: "0.5"}
    shards: 4
    parallelism: 2
    backoffLimit: 1
    timeoutSeconds: 600
    minCoverage: "0.99"
    pod:
      serviceAccountName: scorer
      nodeSelector: {pool: cpu}
      tolerations: [{key: gpu, operator: Exists}]
      imagePullSecrets: [{name: registry}]
      securityContext: {runAsUser: 1000, runAsNonRoot: true}
      resources: {limits: {cpu: "1", memory: 1Gi}}
      labels: {team: vision}
      annotations: {sidecar.istio.io/inject: "false"}
  store: {claimName: shared}
  curriculum: {batchSize: 64, phases: [{name: easy, pool: {fraction: "0.2"}, duration: {steps: 300}}]}
  training:
    template:
      metadata: {labels: {team: vision}, annotations: {note: kept}}
      spec:
        serviceAccountName: trainer
        initContainers: [{name: prepare, image: prepare:1}]
        containers:
        - {name: logger, image: logger:1}
        - name: trainer
          image: trainer:1
          env: [{name: EPOCH_DIR, value: "$(CURRICULUM_CHECKPOINT_DIR)/e"}, {name: CURRICULUM_SEED, value: "7"}]
          resources: {limits: {nvidia.com/gpu: "1"}}
          volumeMounts: [{name: cache, mountPath: /cache}, {name: cache, mountPath: /curriculum/dataset}]
        volumes: [{name: cache, emptyDir: {}}, {name: curriculum-plan, emptyDir: {}}]
    sampling: File
    checkpoint: {volume: {persistentVolumeClaim: {claimName: ckpt}}, path: digits}
    sampler: {resources: {requests: {cpu: 100m}}}
"#;

fn job(yaml: &str) -> CurriculumJob {
    serde_saphyr::from_str(yaml).unwrap()
}

fn parsed(yaml: &str) -> Run {
    validate(&job(yaml)).unwrap()
}

fn settings() -> Settings {
    Settings {
        image: "curriculum:1".to_owned(),
        image_pull_policy: Some("IfNotPresent".to_owned()),
    }
}

/// By these a queueing controller knows the queue and the priority; other labels are the user's own business.
#[test]
fn labels_of_a_queue_reach_every_job_and_no_other_label_does() {
    let mut labelled = job(SMALL);
    let queue = [
        ("kueue.x-k8s.io/queue-name", "gpus"),
        ("kueue.x-k8s.io/priority-class", "low"),
    ];
    for (key, value) in queue.into_iter().chain([("team", "vision")]) {
        labelled.labels_mut().insert(key.to_owned(), value.to_owned());
    }
    let run = validate(&labelled).unwrap();
    let task = task(&run);
    let jobs = [
        inspect_job(&settings(), &run, &task),
        score_job(&settings(), &run, &task),
        index_job(&settings(), &run, &task),
        train_job(&settings(), &run, &phase(), 0, ScoreSource::Scored),
    ];
    for job in jobs {
        for (key, value) in queue {
            assert_eq!(job.labels()[key], value, "{}", job.name_any());
        }
        assert!(!job.labels().contains_key("team"), "{}", job.name_any());
    }
}

fn phase() -> PhasePlan {
    let segments = vec![Segment {
        start_step: 300,
        shares: vec![WHOLE],
    }];
    PhasePlan {
        index: 1,
        name: "easy".to_owned(),
        start_step: 300,
        end_step: 600,
        pools: vec![PoolPlan::everything(Role::Own)],
        segments,
        transitions: None,
        left_at: None,
    }
}

fn plan() -> Plan {
    Plan {
        version: PLAN_VERSION,
        seed: 42,
        batch_size: 64,
        tokens: None,
        order: crate::api::curriculum::Order::EasyFirst,
        rows: 1797,
        group_rows: vec![897, 900],
        held_out: None,
        filtered: None,
        scores: Some(PlanScores {
            key: "ab".repeat(32),
            digest: format!("sha256:{}", "cd".repeat(32)),
        }),
        phases: vec![phase()],
    }
}

fn summary() -> IndexSummary {
    IndexSummary {
        key: "ab".repeat(32),
        digest: format!("sha256:{}", "cd".repeat(32)),
        rows: 1797,
        scored_rows: 1790,
        quantiles: vec![0.5, 1.0, 2.5],
        histogram: vec![1700, 97],
        group_rows: vec![897, 900],
        group_names: vec!["0".to_owned(), "1".to_owned()],
        group_mean_ranks: vec![0.25, 0.75],
        lengths: None,
        overrides: None,
    }
}

fn containers(job: &Job) -> impl Iterator<Item = &Container> {
    let pod = job.spec.as_ref().unwrap().template.spec.as_ref().unwrap();
    pod.init_containers.iter().flatten().chain(&pod.containers)
}

#[test]
fn inspect() {
    let run = parsed(SMALL);
    insta::assert_yaml_snapshot!(inspect_job(&settings(), &run, &task(&run)));
}

#[test]
fn count() {
    let (small, full) = (parsed(SMALL), parsed(FULL));
    assert_eq!(count_job(&settings(), &small, &task(&small)), None);
    insta::assert_yaml_snapshot!(count_job(&settings(), &full, &task(&full)));
}

#[test]
fn score_with_built_in_scorers_only() {
    let run = parsed(SMALL);
    insta::assert_yaml_snapshot!(score_job(&settings(), &run, &task(&run)));
}

#[test]
fn score_with_a_program_and_a_built_in_scorer() {
    let run = parsed(FULL);
    insta::assert_yaml_snapshot!(score_job(&settings(), &run, &task(&run)));
}

#[test]
fn score_with_programs_only_has_no_container_of_ours_beside_them() {
    let mut run = parsed(FULL);
    run.scoring.scorers.truncate(1);
    let made = score_job(&settings(), &run, &task(&run));
    assert_eq!(
        containers(&made).map(|c| c.name.as_str()).collect::<Vec<_>>(),
        ["tools", "scorer-teacher"]
    );
    let policy = made.spec.unwrap().pod_failure_policy.unwrap();
    assert!(
        policy.rules.iter().all(|rule| rule.on_exit_codes.is_none()),
        "no rule may name a container that is not there"
    );
}

#[test]
fn our_binary_understands_what_its_containers_are_started_with() {
    use clap::Parser;
    let (small, full) = (parsed(SMALL), parsed(FULL));
    let mut understood = Vec::new();
    for run in [&small, &full] {
        let task = task(run);
        let jobs = [
            Some(inspect_job(&settings(), run, &task)),
            count_job(&settings(), run, &task),
            Some(score_job(&settings(), run, &task)),
            Some(index_job(&settings(), run, &task)),
            Some(train_job(&settings(), run, &phase(), 0, ScoreSource::Scored)),
        ];
        for made in jobs.iter().flatten() {
            let starts_ours = |container: &&Container| {
                container
                    .command
                    .iter()
                    .flatten()
                    .next()
                    .is_some_and(|program| program.ends_with("/curriculum"))
            };
            for container in containers(made).filter(starts_ours) {
                let line = [container.command.clone(), container.args.clone()]
                    .into_iter()
                    .flatten()
                    .flatten();
                crate::cli::Cli::try_parse_from(line).unwrap_or_else(|error| panic!("{}: {error}", container.name));
                understood.push(container.name.clone());
            }
        }
    }
    understood.sort();
    understood.dedup();
    assert_eq!(
        understood,
        [
            "count",
            "index",
            "inspect",
            "sampler",
            "score",
            "scorer-teacher",
            "tools"
        ]
    );
}

#[test]
fn index() {
    let run = parsed(FULL);
    insta::assert_yaml_snapshot!(index_job(&settings(), &run, &task(&run)));
}

#[test]
fn train_with_the_least() {
    insta::assert_yaml_snapshot!(train_job(&settings(), &parsed(SMALL), &phase(), 0, ScoreSource::Scored));
}

#[test]
fn train_with_everything() {
    insta::assert_yaml_snapshot!(train_job(&settings(), &parsed(FULL), &phase(), 2, ScoreSource::Scored));
}

#[test]
fn training_without_scores_does_not_wait_for_the_store() {
    let run = parsed(FULL);
    for (source, mounted) in [
        (ScoreSource::Uniform, false),
        (ScoreSource::LastGood, true),
        (ScoreSource::Cached, true),
    ] {
        let made = train_job(&settings(), &run, &phase(), 0, source);
        let pod = made.spec.as_ref().unwrap().template.spec.as_ref().unwrap();
        let claims: Vec<_> = pod
            .volumes
            .iter()
            .flatten()
            .filter_map(|v| Some(&v.persistent_volume_claim.as_ref()?.claim_name))
            .collect();
        assert_eq!(claims.iter().any(|name| *name == "shared"), mounted, "{source:?}");
        let store_mounts = containers(&made)
            .flat_map(|c| c.volume_mounts.iter().flatten())
            .filter(|m| m.name == volumes::STORE);
        assert_eq!(store_mounts.count(), usize::from(mounted), "{source:?}");
    }
}

#[test]
fn a_claim_that_serves_as_dataset_store_and_checkpoint_is_one_writable_volume() {
    let yaml = FULL
        .replace("claimName: shared", "claimName: digits")
        .replace("claimName: ckpt", "claimName: digits");
    let run = parsed(&yaml);
    for made in [
        train_job(&settings(), &run, &phase(), 0, ScoreSource::Scored),
        score_job(&settings(), &run, &task(&run)),
    ] {
        let pod = made.spec.as_ref().unwrap().template.spec.as_ref().unwrap();
        let claims: Vec<_> = pod
            .volumes
            .iter()
            .flatten()
            .filter_map(|v| v.persistent_volume_claim.as_ref())
            .collect();
        assert_eq!(claims.len(), 1);
        assert_eq!(claims[0].read_only, None);
        let names: Vec<_> = pod
            .volumes
            .iter()
            .flatten()
            .map(|volume| volume.name.as_str())
            .collect();
        for mount in containers(&made).flat_map(|c| c.volume_mounts.iter().flatten()) {
            assert!(
                names.contains(&mount.name.as_str()),
                "{} is mounted but not a volume",
                mount.name
            );
            if mount.mount_path == api_names::MOUNT_DATASET {
                assert_eq!(mount.read_only, Some(true));
            }
        }
    }
}

#[test]
fn claim_by_default_from_a_template_and_of_the_user() {
    insta::assert_yaml_snapshot!(claim(&parsed(SMALL)));
    assert_eq!(claim(&parsed(FULL)), None);
    let template = "claimTemplate: {storageClassName: fast, accessModes: [ReadWriteMany]}";
    let run = parsed(&FULL.replace("claimName: shared", template));
    let spec = claim(&run).unwrap().spec.unwrap();
    assert_eq!(spec.storage_class_name.as_deref(), Some("fast"));
    assert_eq!(spec.access_modes.as_deref(), Some(&["ReadWriteMany".to_owned()][..]));
    assert_eq!(spec.resources.unwrap().requests.unwrap()["storage"].0, "1Gi");
}

#[test]
fn scores() {
    insta::assert_yaml_snapshot!(scores_config_map(&parsed(SMALL).head.id, &summary()));
}

#[test]
fn scores_of_many_groups_with_long_values_stay_small() {
    let summary = IndexSummary {
        histogram: vec![u64::MAX; 64],
        quantiles: vec![-1.234_567_890_123_456_7e-300; 21],
        group_rows: vec![u64::MAX; 256],
        group_names: vec!["\u{1}".repeat(10_000); 256],
        group_mean_ranks: vec![0.123_456_789_012_345_68; 256],
        lengths: Some(crate::index::summary::Lengths {
            rows: 3,
            tokens: 700,
            longest: 512,
        }),
        ..summary()
    };
    let data = scores_config_map(&parsed(SMALL).head.id, &summary).data.unwrap();
    assert!(data.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>() <= 64 * 1024);
    let groups: Vec<serde_json::Value> = serde_json::from_str(&data["groups.json"]).unwrap();
    assert_eq!(groups.len(), 256);
    assert_eq!(data["lengths.json"], r#"{"longest":512,"rows":3,"tokens":700}"#);
}

#[test]
fn coverage_never_claims_more_than_there_is() {
    let cases = [
        (0, 3, "0"),
        (1, 3, "0.333333333"),
        (1, 2, "0.5"),
        (3, 3, "1"),
        (0, 0, "1"),
        (1, 4_000_000_000, "0"),
    ];
    for (scored, rows, expected) in cases {
        assert_eq!(coverage(scored, rows), expected, "{scored} of {rows}");
    }
    assert_eq!(coverage(u64::MAX - 1, u64::MAX), "0.999999999");
}

#[test]
fn plan_of_a_visit() {
    insta::assert_yaml_snapshot!(plan_config_map(&parsed(FULL).head.id, 2, &plan()));
}

#[test]
fn snapshot_of_a_phase() {
    let snapshot = snapshot(&parsed(FULL).head.id, &ended());
    insta::assert_yaml_snapshot!(snapshot);
}

#[test]
fn archive_of_a_phase() {
    let run = parsed(FULL);
    let snapshot = snapshot(&run.head.id, &ended());
    insta::assert_yaml_snapshot!(archive_job(&settings(), &run, 2, &snapshot));
}

fn ended() -> SnapshotInput {
    SnapshotInput {
        phase_index: 1,
        phase_name: "easy".to_owned(),
        visit: 2,
        step: 600,
        time: Time("2026-11-20T10:00:00Z".parse().unwrap()),
        previous: Some(format!("sha256:{}", "01".repeat(32))),
        state_json: "{}".to_owned(),
        digest: format!("sha256:{}", "23".repeat(32)),
    }
}

#[test]
fn no_volume_is_mounted_below_the_binary() {
    let run = parsed(FULL);
    let scoring = inspect_job(&settings(), &run, &task(&run));
    let training = train_job(&settings(), &run, &phase(), 0, ScoreSource::Scored);
    for container in containers(&scoring).chain(containers(&training)) {
        for mount in container.volume_mounts.iter().flatten() {
            assert!(
                !mount.mount_path.starts_with(&format!("{BINARY}/")),
                "{}: {}",
                container.name,
                mount.mount_path
            );
        }
    }
}
