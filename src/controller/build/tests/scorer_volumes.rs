//! Volumes of container scorers: in their own containers only, and in the key of the scores.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{PodSpec, VolumeMount};

use super::*;

/// With everything that a scorer may mount, in the place of `resources`.
const VOLUMES: &str = r#"sharedMemory: 1Gi
        envFrom: [{secretRef: {name: hub}}, {prefix: APP_, configMapRef: {name: app}}]
        volumes:
        - {name: weights, mountPath: /weights, subPath: llama, persistentVolumeClaim: {claimName: models}}
        - {name: tokens, mountPath: /etc/tokens, secret: {secretName: tokens}}
        - {name: words, mountPath: /words, image: {reference: "registry.example.com/words:3"}}
        - {name: exports, mountPath: /exports, nfs: {server: nfs.example.com, path: /models}}
        - {name: cache, mountPath: /root/.cache, emptyDir: {sizeLimit: 5Gi}}
        - {name: out, mountPath: /out, readOnly: false, persistentVolumeClaim: {claimName: outputs}}
        resources"#;

fn with_volumes() -> String {
    FULL.replacen("resources", VOLUMES, 1)
}

fn scored(yaml: &str) -> Job {
    let run = parsed(yaml);
    score_job(&settings(), &run, &task(&run))
}

fn pod(job: &Job) -> &PodSpec {
    job.spec.as_ref().unwrap().template.spec.as_ref().unwrap()
}

fn mounts<'a>(job: &'a Job, container: &str) -> Vec<&'a VolumeMount> {
    let found = containers(job).find(|known| known.name == container).unwrap();
    found.volume_mounts.iter().flatten().collect()
}

#[test]
fn score_with_volumes_of_a_program() {
    insta::assert_yaml_snapshot!(scored(&with_volumes()));
}

#[test]
fn other_containers_and_jobs_stay_as_they_are() {
    let (before, after) = (parsed(FULL), parsed(&with_volumes()));
    let made = score_job(&settings(), &after, &task(&after));
    assert_eq!(mounts(&made, "score"), mounts(&scored(FULL), "score"));
    let volumes = |job: &Job| pod(job).volumes.clone();
    assert_eq!(
        volumes(&inspect_job(&settings(), &after, &task(&after))),
        volumes(&inspect_job(&settings(), &before, &task(&before)))
    );
}

#[test]
fn volumes_of_scorers_are_told_apart() {
    let second = r#"
    - name: teacher--a
      container: {image: "b:1", command: [b], volumes: [{name: weights, mountPath: /w, configMap: {name: b}}]}
    - {name: rare, "#;
    let made = scored(&with_volumes().replacen("\n    - {name: rare, ", second, 1));
    let names: Vec<&str> = pod(&made).volumes.iter().flatten().map(|v| v.name.as_str()).collect();
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{names:?}");
    let of = |container: &str, path: &str| {
        let found = mounts(&made, container)
            .into_iter()
            .find(|mount| mount.mount_path == path);
        found.unwrap().name.clone()
    };
    assert_eq!(of("scorer-teacher", "/weights"), "teacher--weights");
    assert_eq!(of("scorer-teacher--a", "/w"), "teacher--a--weights");
    assert!(names.iter().all(|name| name.len() <= 63));
}

#[test]
fn a_claim_that_is_mounted_twice_is_one_volume() {
    for (claim, read_only) in [("digits", Some(true)), ("shared", None)] {
        let made = scored(&with_volumes().replace("claimName: models", &format!("claimName: {claim}")));
        let claims = pod(&made)
            .volumes
            .iter()
            .flatten()
            .filter_map(|v| v.persistent_volume_claim.as_ref());
        let same: Vec<_> = claims.filter(|source| source.claim_name == claim).collect();
        assert_eq!(same.len(), 1, "{claim}");
        assert_eq!(same[0].read_only, read_only, "{claim}");
        let weights = mounts(&made, "scorer-teacher");
        let weights = weights.iter().find(|mount| mount.mount_path == "/weights").unwrap();
        assert_eq!(weights.read_only, Some(true), "{claim}");
    }
}

#[test]
fn the_key_follows_what_a_program_reads() {
    let key = |yaml: &str| task(&parsed(yaml)).key;
    let before = key(&with_volumes());
    assert_ne!(before, key(FULL));
    for (from, to) in [
        ("claimName: models", "claimName: others"),
        ("subPath: llama", "subPath: gemma"),
        ("mountPath: /weights", "mountPath: /models"),
        ("words:3", "words:4"),
        ("path: /models", "path: /others"),
        ("secretName: tokens", "secretName: others"),
        ("secretRef: {name: hub}", "secretRef: {name: other}"),
        ("prefix: APP_", "prefix: APPS_"),
    ] {
        assert!(with_volumes().contains(from), "{from}");
        assert_ne!(key(&with_volumes().replace(from, to)), before, "{from} -> {to}");
    }
    for (from, to) in [
        ("sharedMemory: 1Gi", "sharedMemory: 2Gi"),
        ("        sharedMemory: 1Gi\n", ""),
        ("sizeLimit: 5Gi", "sizeLimit: 6Gi"),
        ("mountPath: /root/.cache", "mountPath: /cache"),
        ("readOnly: false, ", ""),
        ("subPath: llama,", "subPath: llama, readOnly: true,"),
    ] {
        assert!(with_volumes().contains(from.trim_start()), "{from}");
        assert_eq!(key(&with_volumes().replace(from, to)), before, "{from} -> {to}");
    }
}
