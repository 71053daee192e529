//! A scorer: of exactly one kind, and of a program's volumes and variables none that is in the operator's way.

use std::collections::BTreeSet;

use super::{Failure, Scorer, ScorerKind, at_least, joined, refused};
use crate::api::names::{ENV_PREFIX, MOUNT_SHARED_MEMORY, MOUNTS};
use crate::api::scorer_volume::ScorerVolume;
use crate::api::scoring::{ContainerScorer, DuplicatesScorer, FileScorer, LengthScorer, LengthUnit, ScorerSpec};
use crate::scoring::quantity::bytes_of;
use crate::scoring::task::Unit;

const KINDS: &str = "`column`, `length`, `rarity`, `duplicates`, `centreDistance`, `file` and `container`";
const DEFAULT_WEIGHT: &str = "1";
/// Name of the volume of `sharedMemory`, which a user's own must not have.
const SHARED_MEMORY: &str = "shared-memory";
const SOURCES: &str =
    "`persistentVolumeClaim`, `nfs`, `csi`, `hostPath`, `configMap`, `secret`, `image` and `emptyDir`";

pub(super) fn scorer((place, spec): (usize, &ScorerSpec)) -> Result<Scorer, Failure> {
    let field = |kind: &str| format!("scoring.scorers[{place}].{kind}");
    let column = spec.column.clone().map(ScorerKind::Column);
    let rarity = spec.rarity.clone().map(ScorerKind::Rarity);
    let distance = spec.centre_distance.clone().map(ScorerKind::CentreDistance);
    let mut kinds = [
        column.map(Ok),
        spec.length.as_ref().map(|spec| length(spec, &field("length"))),
        rarity.map(Ok),
        spec.duplicates
            .as_ref()
            .map(|spec| duplicates(spec, &field("duplicates"))),
        distance.map(Ok),
        spec.file.as_ref().map(|spec| file(spec, &field("file"))),
        spec.container.as_ref().map(|spec| {
            let program = program(spec, &field("container"))?;
            Ok(ScorerKind::Container(Box::new(program)))
        }),
    ]
    .into_iter()
    .flatten();
    let (Some(kind), None) = (kinds.next(), kinds.next()) else {
        return refused(format!("exactly one of {KINDS} must be set in scorer '{}'", spec.name));
    };
    Ok(Scorer {
        name: spec.name.clone(),
        weight: spec.weight.clone().unwrap_or_else(|| DEFAULT_WEIGHT.to_owned()),
        kind: kind?,
    })
}

fn duplicates(spec: &DuplicatesScorer, field: &str) -> Result<ScorerKind, Failure> {
    Ok(ScorerKind::Duplicates {
        column: spec.column.clone(),
        shingle: at_least(1, spec.shingle, &format!("{field}.shingle"))?,
    })
}

fn length(spec: &LengthScorer, field: &str) -> Result<ScorerKind, Failure> {
    let column = spec.column.clone();
    let unit = match (spec.unit, &spec.tokenizer) {
        (LengthUnit::Words, None) => Unit::Words,
        (LengthUnit::Characters, None) => Unit::Characters,
        (LengthUnit::Bytes, None) => Unit::Bytes,
        (LengthUnit::Tokens, Some(tokenizer)) if is_relative(&tokenizer.path) => {
            let tokenizer = tokenizer.clone();
            return Ok(ScorerKind::Tokens { column, tokenizer });
        }
        (LengthUnit::Tokens, Some(tokenizer)) => {
            return refused(format!(
                "`{field}.tokenizer.path` is '{}'; it must be a path relative to the root of the data set's volume, without '..'",
                tokenizer.path
            ));
        }
        (LengthUnit::Tokens, None) | (_, Some(_)) => {
            return refused(format!(
                "`{field}.tokenizer` must be set where `unit` is 'Tokens', and only there"
            ));
        }
    };
    Ok(ScorerKind::Length { column, unit })
}

fn file(spec: &FileScorer, field: &str) -> Result<ScorerKind, Failure> {
    Ok(ScorerKind::File {
        file: joined::of_scores(spec, field)?,
        spec: spec.clone(),
    })
}

/// The program with every choice of its volumes made.
fn program(spec: &ContainerScorer, field: &str) -> Result<ContainerScorer, Failure> {
    let mut program = spec.clone();
    let (mut names, mut paths) = (BTreeSet::new(), BTreeSet::new());
    if let Some(size) = &spec.shared_memory {
        if !is_memory_size(&size.0) {
            return refused(format!(
                "`{field}.sharedMemory` is '{}'; it must be a size of memory greater than 0, such as '1Gi'",
                size.0
            ));
        }
        names.insert(SHARED_MEMORY);
        paths.insert(MOUNT_SHARED_MEMORY);
    }
    for (place, volume) in spec.volumes.iter().enumerate() {
        let field = format!("{field}.volumes[{place}]");
        check(volume, &field)?;
        if !names.insert(&volume.name) {
            return refused(format!(
                "`{field}.name`: there must be one volume '{}' only",
                volume.name
            ));
        }
        if !paths.insert(&volume.mount_path) {
            return refused(format!(
                "`{field}.mountPath`: only one volume may be mounted at '{}'{}",
                volume.mount_path,
                if volume.mount_path == MOUNT_SHARED_MEMORY {
                    ", where `sharedMemory` is"
                } else {
                    ""
                }
            ));
        }
    }
    for volume in &mut program.volumes {
        volume.read_only.get_or_insert(volume.empty_dir.is_none());
    }
    let of_ours = |prefix: &Option<String>| prefix.as_ref().is_some_and(|text| text.starts_with(ENV_PREFIX));
    for (place, from) in spec.env_from.iter().enumerate() {
        let field = format!("{field}.envFrom[{place}]");
        if from.secret_ref.is_some() == from.config_map_ref.is_some() {
            return refused(format!(
                "`{field}` must have exactly one of `secretRef` and `configMapRef`"
            ));
        }
        if of_ours(&from.prefix) {
            return refused(format!("`{field}.prefix` must not begin with '{ENV_PREFIX}'"));
        }
    }
    if let Some(variable) = spec.env.iter().find(|variable| variable.name.starts_with(ENV_PREFIX)) {
        return refused(format!(
            "`{field}.env` must not set '{}': names that begin with '{ENV_PREFIX}' are the operator's",
            variable.name
        ));
    }
    Ok(program)
}

fn check(volume: &ScorerVolume, field: &str) -> Result<(), Failure> {
    if !is_name(&volume.name) {
        return refused(format!(
            "`{field}.name` is '{}'; it must consist of lower case letters, digits and single '-'",
            volume.name
        ));
    }
    if volume.name == SHARED_MEMORY {
        return refused(format!(
            "`{field}.name` must not be '{SHARED_MEMORY}': that is the volume of `sharedMemory`"
        ));
    }
    let path = &volume.mount_path;
    if !is_plain_path(path) {
        return refused(format!(
            "`{field}.mountPath` is '{path}'; it must be an absolute path such as '/weights', without ':', '.', '..' \
             and empty parts"
        ));
    }
    if path
        .strip_prefix(MOUNTS)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    {
        return refused(format!(
            "`{field}.mountPath` is '{path}'; it must not be '{MOUNTS}' or below it, where the operator mounts the data \
             set and the store"
        ));
    }
    if let Some(path) = &volume.sub_path
        && !is_relative(path)
    {
        return refused(format!(
            "`{field}.subPath` is '{path}'; it must be a path relative to the volume's root, without '..'"
        ));
    }
    let sources = [
        volume.persistent_volume_claim.is_some(),
        volume.nfs.is_some(),
        volume.csi.is_some(),
        volume.host_path.is_some(),
        volume.config_map.is_some(),
        volume.secret.is_some(),
        volume.image.is_some(),
        volume.empty_dir.is_some(),
    ];
    if sources.into_iter().filter(|is_set| *is_set).count() != 1 {
        return refused(format!("exactly one of {SOURCES} must be set in `{field}`"));
    }
    let never_written = volume.config_map.is_some() || volume.secret.is_some() || volume.image.is_some();
    if never_written && volume.read_only == Some(false) {
        return refused(format!(
            "`{field}.readOnly` must not be false: nobody can write to a ConfigMap, a Secret or an image"
        ));
    }
    Ok(())
}

/// Single '-' only: so `<scorer>--<name>` is the name of one volume of one scorer.
fn is_name(name: &str) -> bool {
    let letters = |part: &str| part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    name.len() <= 30 && name.split('-').all(|part| !part.is_empty() && letters(part))
}

/// Within the volume that it is a path of.
pub(super) fn is_relative(path: &str) -> bool {
    !path.is_empty() && !path.starts_with('/') && path.split('/').all(|part| part != "..")
}

fn is_plain_path(path: &str) -> bool {
    let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(':');
    path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(plain))
}

/// Greater than 0.
fn is_memory_size(size: &str) -> bool {
    bytes_of(size).is_some_and(|bytes| bytes > 0)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::api::scoring::TokenizerSpec;
    use crate::controller::test_support::curriculum_job;
    use crate::controller::validate::validate;

    /// Parses a program with `patch` on top.
    fn parsed(patch: &Value) -> Result<ContainerScorer, String> {
        let mut container = json!({
            "image": "teacher:1", "command": ["teach"], "sharedMemory": "1Gi",
            "env": [{"name": "HF_HOME", "value": "/cache"}],
            "envFrom": [{"secretRef": {"name": "hub"}}],
            "volumes": [
                {"name": "weights", "mountPath": "/weights", "persistentVolumeClaim": {"claimName": "models"}},
                {"name": "cache", "mountPath": "/cache", "emptyDir": {}},
            ],
        });
        json_patch::merge(&mut container, patch);
        let scorers = json!([{"name": "teacher", "container": container}]);
        let job = curriculum_job(json!({"scoring": {"scorers": scorers}}));
        let scoring = validate(&job).map_err(|failure| failure.message)?.scoring;
        match scoring.scorers.into_iter().next().map(|scorer| scorer.kind) {
            Some(ScorerKind::Container(program)) => Ok(*program),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_tokenizer_is_for_tokens_only() {
        let kind = |length: Value| {
            let scorers = json!([{"name": "long", "length": length}]);
            let run = validate(&curriculum_job(json!({"scoring": {"scorers": scorers}})));
            run.map(|run| run.scoring.scorers[0].kind.clone())
                .map_err(|failure| failure.message)
        };
        let tokens = ScorerKind::Tokens {
            column: "text".to_owned(),
            tokenizer: TokenizerSpec {
                path: "a/t.json".to_owned(),
            },
        };
        assert_eq!(
            kind(json!({"column": "text", "unit": "Tokens", "tokenizer": {"path": "a/t.json"}})),
            Ok(tokens)
        );
        for length in [
            json!({"column": "text", "unit": "Tokens"}),
            json!({"column": "text", "tokenizer": {"path": "t.json"}}),
        ] {
            assert_eq!(
                kind(length).unwrap_err(),
                "`scoring.scorers[0].length.tokenizer` must be set where `unit` is 'Tokens', and only there"
            );
        }
        for path in ["", "/t.json", "../t.json", "a/../../t.json"] {
            let message = kind(json!({"column": "text", "unit": "Tokens", "tokenizer": {"path": path}})).unwrap_err();
            assert!(
                message.starts_with(&format!("`scoring.scorers[0].length.tokenizer.path` is '{path}'")),
                "{message}"
            );
        }
    }

    #[test]
    fn a_volume_is_read_only_unless_it_begins_empty() {
        let read_only = |patch: Value| {
            let volumes = parsed(&patch).unwrap().volumes;
            volumes
                .iter()
                .map(|volume| volume.read_only.unwrap())
                .collect::<Vec<_>>()
        };
        assert_eq!(read_only(json!({})), [true, false]);
        let volumes = json!([
            {"name": "out", "mountPath": "/out", "readOnly": false, "nfs": {"server": "s", "path": "/p"}},
            {"name": "empty", "mountPath": "/curriculums/a", "readOnly": true, "emptyDir": {}},
        ]);
        assert_eq!(read_only(json!({"volumes": volumes})), [false, true]);
    }

    #[test]
    fn a_volume_that_is_in_the_way_is_refused_by_its_field() {
        let mut patches = vec![
            (json!({"name": "Weights"}), "volumes[0].name` is 'Weights'"),
            (json!({"name": "a--b"}), "volumes[0].name` is 'a--b'"),
            (json!({"name": ""}), "volumes[0].name` is ''"),
            (json!({"name": "shared-memory"}), "must not be 'shared-memory'"),
            (json!({"subPath": "../x"}), "volumes[0].subPath` is '../x'"),
            (json!({"subPath": "/x"}), "volumes[0].subPath` is '/x'"),
            (json!({"claim": null}), "exactly one of `persistentVolumeClaim`, `nfs`"),
            (
                json!({"emptyDir": {}}),
                "must be set in `scoring.scorers[0].container.volumes[0]`",
            ),
            (
                json!({"name": "cache"}),
                "volumes[1].name`: there must be one volume 'cache' only",
            ),
            (
                json!({"mountPath": "/cache"}),
                "volumes[1].mountPath`: only one volume may be mounted at '/cache'",
            ),
            (
                json!({"mountPath": "/dev/shm"}),
                "at '/dev/shm', where `sharedMemory` is",
            ),
        ];
        for path in ["/curriculum", "/curriculum/dataset"] {
            patches.push((json!({"mountPath": path}), "must not be '/curriculum' or below it"));
        }
        for path in ["weights", "/", "", "/w/", "//w", "/./w", "/w/../curriculum", "/w:ro"] {
            patches.push((
                json!({"mountPath": path}),
                "must be an absolute path such as '/weights'",
            ));
        }
        for (patch, words) in patches {
            let source = if patch["claim"].is_null() && patch.get("claim").is_some() {
                json!({})
            } else {
                json!({"persistentVolumeClaim": {"claimName": "models"}})
            };
            let mut volume = json!({"name": "weights", "mountPath": "/weights"});
            json_patch::merge(&mut volume, &source);
            json_patch::merge(&mut volume, &patch);
            let cache = json!({"name": "cache", "mountPath": "/cache", "emptyDir": {}});
            let message = parsed(&json!({"volumes": [volume, cache]})).unwrap_err();
            assert!(message.contains("scoring.scorers[0].container.volumes["), "{message}");
            assert!(message.contains(words), "{patch}: {message}");
        }
        let secret = json!({"name": "s", "mountPath": "/s", "readOnly": false, "secret": {"secretName": "s"}});
        let message = parsed(&json!({"volumes": [secret]})).unwrap_err();
        assert!(message.contains("volumes[0].readOnly` must not be false"), "{message}");
        let shm = json!({"name": "shm", "mountPath": "/dev/shm", "emptyDir": {"medium": "Memory"}});
        assert!(parsed(&json!({"sharedMemory": null, "volumes": [shm]})).is_ok());
    }

    #[test]
    fn a_size_of_memory_is_digits_and_a_unit() {
        for size in ["1Gi", "512Mi", "1.5G", "64k", "1", "0.5Gi", "08Mi"] {
            assert!(is_memory_size(size), "{size}");
        }
        for size in [
            "", "0", "0Gi", "0.0Mi", "-1Gi", "1 Gi", "1GB", "1gi", "1e3", "1m", "Gi", ".5Gi", "5.Gi", "1Gi2", "१Gi",
        ] {
            assert!(!is_memory_size(size), "{size}");
        }
        let message = parsed(&json!({"sharedMemory": "1GB"})).unwrap_err();
        assert_eq!(
            message,
            "`scoring.scorers[0].container.sharedMemory` is '1GB'; it must be a size of memory greater than 0, such as '1Gi'"
        );
    }

    #[test]
    fn variables_of_the_operator_are_refused_by_their_field() {
        for (patch, words) in [
            (
                json!({"env": [{"name": "CURRICULUM_SEED", "value": "1"}]}),
                ".env` must not set 'CURRICULUM_SEED'",
            ),
            (
                json!({"envFrom": [{"prefix": "CURRICULUM_", "secretRef": {"name": "s"}}]}),
                ".envFrom[0].prefix` must not begin with 'CURRICULUM_'",
            ),
            (
                json!({"envFrom": [{}]}),
                "exactly one of `secretRef` and `configMapRef`",
            ),
        ] {
            let message = parsed(&patch).unwrap_err();
            assert!(message.contains(words), "{message}");
        }
    }
}
