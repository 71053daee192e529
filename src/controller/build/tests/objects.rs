//! Data sets in object stores: who gets the credentials, and who gets copies.

use k8s_openapi::api::core::v1::PodSpec;

use super::*;

const VOLUME: &str = "    volume: {persistentVolumeClaim: {claimName: digits}}\n";

/// The full job with its data in a bucket, and `more` of `objectStore`.
fn in_bucket(more: &str) -> Run {
    let store = format!(
        "    objectStore: {{url: \"s3://corpus/v3\", endpoint: \"https://s3.example.com\", region: eu-1, \
         envFrom: [{{secretRef: {{name: reader}}}}]{more}}}\n"
    );
    parsed(&FULL.replacen(VOLUME, &store, 1))
}

fn pod(job: &Job) -> &PodSpec {
    job.spec.as_ref().unwrap().template.spec.as_ref().unwrap()
}

/// Name of each container, init containers first: whether it has the Secret's variables, and what it has of the data set.
fn seen(job: &Job) -> Vec<(&str, bool, &str)> {
    let pod = pod(job);
    let all = pod.init_containers.iter().flatten().chain(&pod.containers);
    all.map(|container| {
        let mut mounts = container.volume_mounts.iter().flatten();
        let mount = mounts.find(|mount| mount.mount_path == "/curriculum/dataset");
        let files = match mount.map(|mount| (mount.name.as_str(), mount.read_only)) {
            None => "none",
            Some(("curriculum-dataset", Some(true))) => "reads",
            Some(("curriculum-dataset", None)) => "writes",
            // The template's own volume at that place, where the operator mounts nothing.
            Some(_) => "none",
        };
        (container.name.as_str(), container.env_from.is_some(), files)
    })
    .collect()
}

fn variable(job: &Job, name: &str) -> Option<String> {
    let trainer = pod(job)
        .containers
        .iter()
        .find(|container| container.name == "trainer")?;
    let env = trainer.env.iter().flatten().find(|variable| variable.name == name)?;
    env.value.clone()
}

#[test]
fn scorers_read_the_store_and_programs_read_copies_of_their_shard() {
    let run = in_bucket("");
    let task = task(&run);
    assert_eq!(
        seen(&inspect_job(&settings(), &run, &task)),
        [("inspect", true, "none")]
    );
    assert_eq!(
        seen(&count_job(&settings(), &run, &task).unwrap()),
        [("count", true, "none")]
    );
    let scores = score_job(&settings(), &run, &task);
    assert_eq!(
        seen(&scores),
        [
            ("tools", false, "none"),
            ("curriculum-copy", true, "writes"),
            ("score", true, "reads"),
            ("scorer-teacher", false, "reads"),
        ]
    );
    let copy = &pod(&scores).init_containers.as_ref().unwrap()[1];
    assert_eq!(
        copy.args.as_deref().unwrap(),
        ["fetch", "--to=/curriculum/dataset", "--size-limit=50Gi", "--of-shard"]
    );
    let objects = task.objects.unwrap();
    assert_eq!(
        (
            objects.url.as_str(),
            objects.endpoint.as_deref(),
            objects.region.as_deref()
        ),
        ("s3://corpus/v3", Some("https://s3.example.com"), Some("eu-1"))
    );
}

#[test]
fn the_trainer_reads_copies_or_the_store() {
    let train = |more: &str| train_job(&settings(), &in_bucket(more), &phase(), 0, ScoreSource::Scored);
    let copies = train(", sizeLimit: 7Gi");
    assert_eq!(
        seen(&copies),
        [
            ("sampler", false, "none"),
            ("curriculum-copy", true, "writes"),
            ("prepare", false, "none"),
            ("logger", false, "none"),
            ("trainer", false, "reads"),
        ]
    );
    assert_eq!(
        variable(&copies, "CURRICULUM_DATASET").as_deref(),
        Some("/curriculum/dataset/data/train.parquet")
    );
    let volumes = pod(&copies).volumes.as_ref().unwrap();
    let place = volumes
        .iter()
        .find(|volume| volume.name == "curriculum-dataset")
        .unwrap();
    let limit = place.empty_dir.as_ref().unwrap().size_limit.as_ref().unwrap();
    assert_eq!(limit.0, "7Gi");

    let direct = train(", trainerReads: Store");
    let expected = |name| (name, name == "trainer", "none");
    assert_eq!(seen(&direct), ["sampler", "prepare", "logger", "trainer"].map(expected));
    for (name, value) in [
        ("CURRICULUM_DATASET", "s3://corpus/v3/data/train.parquet"),
        ("CURRICULUM_DATASET_ROOT", "s3://corpus/v3"),
        ("CURRICULUM_DATASET_ENDPOINT", "https://s3.example.com"),
        ("CURRICULUM_DATASET_REGION", "eu-1"),
    ] {
        assert_eq!(variable(&direct, name).as_deref(), Some(value), "{name}");
    }
}

#[test]
fn another_place_is_other_data_and_who_reads_it_is_not() {
    let keys = |run: &Run| (task(run).key, task(run).dataset_key);
    let first = keys(&in_bucket(""));
    assert_eq!(first, keys(&in_bucket(", trainerReads: Store, sizeLimit: 1Ti")));
    let elsewhere = FULL.replacen(VOLUME, "    objectStore: {url: \"s3://corpus/v4\"}\n", 1);
    let other = keys(&parsed(&elsewhere));
    assert!(first.0 != other.0 && first.1 != other.1);
}
