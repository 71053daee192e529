//! Stores that no volume holds: who asks them, with what, and who does not.

use k8s_openapi::api::core::v1::{Container, PodSpec};

use super::*;

const CLAIM: &str = "  store: {claimName: shared}\n";

fn stored(store: &str) -> Run {
    assert!(FULL.contains(CLAIM), "the job has another store by now");
    parsed(&FULL.replacen(CLAIM, &format!("  store: {store}\n"), 1))
}

fn in_redis() -> Run {
    stored("{redis: {url: \"rediss://cache:6379/3\", secretName: cache}}")
}

fn in_bucket() -> Run {
    stored(
        "{objectStore: {url: \"s3://scores/v1\", region: eu-1, envFrom: [{secretRef: {name: writer}}, {prefix: MY_, configMapRef: {name: more}}]}}",
    )
}

fn pod(job: &Job) -> &PodSpec {
    job.spec.as_ref().unwrap().template.spec.as_ref().unwrap()
}

fn containers(job: &Job) -> impl Iterator<Item = &Container> {
    let pod = pod(job);
    pod.init_containers.iter().flatten().chain(&pod.containers)
}

/// The containers that are told where the store is, with the prefixes of their variables and whether they have the Secret's files.
fn asking(job: &Job) -> Vec<(&str, Vec<&str>, bool)> {
    let told = containers(job).filter(|container| {
        let mut env = container.env.iter().flatten();
        env.any(|variable| variable.name == "CURRICULUM_STORE")
    });
    told.map(|container| {
        let prefixes = container.env_from.iter().flatten();
        let mut mounts = container.volume_mounts.iter().flatten();
        let has_secret =
            mounts.any(|mount| mount.mount_path == "/curriculum/credentials" && mount.read_only == Some(true));
        (
            container.name.as_str(),
            prefixes.filter_map(|source| source.prefix.as_deref()).collect(),
            has_secret,
        )
    })
    .collect()
}

fn place(job: &Job) -> String {
    let mut env = containers(job).flat_map(|container| container.env.iter().flatten());
    let told = env.find(|variable| variable.name == "CURRICULUM_STORE").unwrap();
    told.value.clone().unwrap()
}

#[test]
fn every_container_of_the_operator_asks_redis_with_the_files_of_the_secret() {
    let run = in_redis();
    let (settings, task) = (settings(), task(&run));
    assert!(claim(&run).is_none());
    for (job, name) in [
        (inspect_job(&settings, &run, &task), "inspect"),
        (count_job(&settings, &run, &task).unwrap(), "count"),
        (index_job(&settings, &run, &task), "index"),
    ] {
        assert_eq!(asking(&job), [(name, vec![], true)]);
    }
    let score = score_job(&settings, &run, &task);
    assert_eq!(
        asking(&score),
        [("score", vec![], true), ("scorer-teacher", vec![], true)],
        "the wrapper of a program asks, the copy of the binary does not"
    );
    assert_eq!(
        place(&score),
        r#"{"redis":{"url":"rediss://cache:6379/3","keyPrefix":"curriculum:"}}"#
    );
    assert_eq!(pod(&score).affinity, None, "shards run on any nodes");
    let volumes = pod(&score).volumes.as_ref().unwrap();
    let secrets: Vec<_> = volumes.iter().filter_map(|volume| volume.secret.as_ref()).collect();
    let [secret] = secrets[..] else { panic!("{secrets:?}") };
    assert_eq!(
        (secret.secret_name.as_deref(), secret.optional),
        (Some("cache"), Some(true)),
        "without it pods start, and training goes on uniformly"
    );
    let copies = volumes.iter().find(|volume| volume.name == "curriculum-store").unwrap();
    assert!(copies.empty_dir.is_some());

    let train = train_job(&settings, &run, &phase(), 0, ScoreSource::Scored);
    assert_eq!(asking(&train), [("sampler", vec![], true)], "the trainer does not");
    let sampler = containers(&train)
        .find(|container| container.name == "sampler")
        .unwrap();
    let mut mounts = sampler.volume_mounts.iter().flatten();
    let store = mounts.find(|mount| mount.mount_path == "/curriculum/store").unwrap();
    assert_eq!(store.read_only, None, "it makes copies");
    let uniform = train_job(&settings, &run, &phase(), 0, ScoreSource::Uniform);
    assert!(asking(&uniform).is_empty());
}

#[test]
fn variables_of_a_bucket_with_scores_are_not_those_of_one_with_data() {
    let run = in_bucket();
    let (settings, task) = (settings(), task(&run));
    let prefixes = vec!["CURRICULUM_STORE_", "CURRICULUM_STORE_MY_"];
    for job in [
        inspect_job(&settings, &run, &task),
        train_job(&settings, &run, &phase(), 0, ScoreSource::Scored),
    ] {
        assert_eq!(asking(&job).len(), 1);
        assert_eq!((&asking(&job)[0].1, asking(&job)[0].2), (&prefixes, false));
        assert_eq!(place(&job), r#"{"objects":{"url":"s3://scores/v1","region":"eu-1"}}"#);
    }
    assert!(
        pod(&inspect_job(&settings, &run, &task))
            .volumes
            .as_ref()
            .unwrap()
            .iter()
            .all(|volume| volume.secret.is_none())
    );
}

#[test]
fn who_copies_data_has_a_place_for_copies_of_the_store() {
    let data = "    volume: {persistentVolumeClaim: {claimName: digits}}\n";
    let objects = "    objectStore: {url: \"s3://corpus\"}\n";
    let of_claim = FULL.replacen(data, objects, 1);
    let of_redis = of_claim.replacen(CLAIM, "  store: {redis: {url: \"redis://cache\"}}\n", 1);
    for (manifest, read_only) in [(of_claim, Some(true)), (of_redis, None)] {
        let run = parsed(&manifest);
        let jobs = [
            score_job(&settings(), &run, &task(&run)),
            train_job(&settings(), &run, &phase(), 0, ScoreSource::Scored),
        ];
        for job in jobs {
            let copy = containers(&job)
                .find(|container| container.name == "curriculum-copy")
                .unwrap();
            let mut mounts = copy.volume_mounts.iter().flatten();
            let store = mounts.find(|mount| mount.mount_path == "/curriculum/store").unwrap();
            assert_eq!(store.read_only, read_only);
        }
    }
}

#[test]
fn where_scores_are_kept_is_not_of_their_key() {
    assert_eq!(task(&in_redis()).key, task(&in_bucket()).key);
}
