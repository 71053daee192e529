//! Where on this machine a pod's volumes are, and a container's paths in terms of that.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Volume;

use super::run::VOLUMES;

/// Folders that the user named, and the run's own.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// The run's folder.
    folder: PathBuf,
    /// By name of a claim, ConfigMap, Secret or volume; or by a path that an image has.
    given: BTreeMap<String, PathBuf>,
    /// Claims that begin empty: that of the store, and of the checkpoints.
    own_claims: BTreeSet<String>,
}

/// What a volume is here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A folder, which there is or which is made.
    Folder(PathBuf),
    /// The files of that ConfigMap.
    ConfigMap(String),
    /// An empty folder for each pod.
    Scratch,
}

impl Places {
    /// Places below that folder; `given` are `NAME=DIR`.
    ///
    /// # Errors
    /// Names each that is not of that form, or whose folder is not there.
    pub(crate) fn new(folder: &Path, given: &[String], own_claims: BTreeSet<String>) -> Result<Self, Vec<String>> {
        let mut places = Self {
            folder: folder.to_owned(),
            given: BTreeMap::new(),
            own_claims,
        };
        let mut problems = Vec::new();
        for text in given {
            match text.split_once('=') {
                Some((name, path)) if !name.is_empty() && !path.is_empty() => match std::path::absolute(path) {
                    Ok(path) if path.is_dir() => drop(places.given.insert(name.to_owned(), path)),
                    _ => problems.push(format!("--volume {text}: there is no folder '{path}'")),
                },
                _ => problems.push(format!("--volume {text}: must be NAME=DIR")),
            }
        }
        if problems.is_empty() { Ok(places) } else { Err(problems) }
    }

    /// What a volume of a pod is here. `is_ours` knows the ConfigMaps of the run, and those beside the job in its file; a folder that was given goes first.
    ///
    /// # Errors
    /// In words that say what to do.
    pub(crate) fn of(&self, volume: &Volume, is_ours: impl Fn(&str) -> bool) -> Result<Place, String> {
        let given = |name: &str, what: &str| {
            let place = self.given.get(name).cloned().map(Place::Folder);
            place.ok_or_else(|| format!("{what}: say which folder that is here, with --volume {name}=DIR"))
        };
        if let Some(claim) = &volume.persistent_volume_claim {
            let name = &claim.claim_name;
            if self.own_claims.contains(name) && !self.given.contains_key(name) {
                return Ok(Place::Folder(self.folder.join(VOLUMES).join(name)));
            }
            return given(name, &format!("the claim '{name}'"));
        }
        if let Some(map) = &volume.config_map {
            if is_ours(&map.name) && !self.given.contains_key(&map.name) {
                return Ok(Place::ConfigMap(map.name.clone()));
            }
            return given(&map.name, &format!("the ConfigMap '{}'", map.name));
        }
        if let Some(secret) = &volume.secret {
            let name = secret.secret_name.as_deref().unwrap_or_default();
            return match given(name, &format!("the Secret '{name}'")) {
                Err(_) if secret.optional == Some(true) => Ok(Place::Scratch),
                place => place,
            };
        }
        if volume.empty_dir.is_some() {
            return Ok(Place::Scratch);
        }
        if let Some(host) = &volume.host_path
            && !self.given.contains_key(&volume.name)
        {
            let path = Path::new(&host.path);
            return match path.is_dir() {
                true => Ok(Place::Folder(path.to_owned())),
                false => given(&volume.name, &format!("'{}', which is not on this machine", host.path)),
            };
        }
        given(&volume.name, &format!("the volume '{}'", volume.name))
    }

    /// The folder that the user gave for a Secret or ConfigMap, claim or volume.
    pub(crate) fn given(&self, name: &str) -> Option<&Path> {
        self.given.get(name).map(PathBuf::as_path)
    }

    /// Paths that images have and this machine has elsewhere.
    pub(crate) fn of_images(&self) -> impl Iterator<Item = (&str, &Path)> {
        let all = self.given.iter().filter(|(name, _)| name.starts_with('/'));
        all.map(|(path, place)| (path.as_str(), place.as_path()))
    }
}

/// A container's paths, and what they are here.
#[derive(Clone, Debug, Default)]
pub(crate) struct Paths(Vec<(String, String)>);

impl Paths {
    pub(crate) fn add(&mut self, path: &str, place: &Path) {
        let path = path.trim_end_matches('/').to_owned();
        self.0.push((path, place.to_string_lossy().into_owned()));
        // The longest first: a mount below another one is not of that one.
        self.0.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
    }

    /// The text with every path that begins with one of ours as it is here.
    pub(crate) fn in_text(&self, text: &str) -> String {
        let (mut out, mut rest, mut in_path) = (String::with_capacity(text.len()), text, false);
        while let Some(next) = rest.chars().next() {
            let begins = |(path, place): &(String, String)| {
                let after = rest.strip_prefix(path.as_str())?;
                let ends = after.chars().next().is_none_or(|next| next == '/' || !is_of_path(next));
                ends.then(|| (place.clone(), after))
            };
            match self.0.iter().find_map(begins).filter(|_| !in_path) {
                Some((place, after)) => {
                    out.push_str(&place);
                    (rest, in_path) = (after, true);
                }
                None => {
                    out.push(next);
                    (rest, in_path) = (&rest[next.len_utf8()..], is_of_path(next));
                }
            }
        }
        out
    }
}

fn is_of_path(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '~')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn places(given: &[String]) -> Result<Places, Vec<String>> {
        Places::new(Path::new("/runs/a"), given, BTreeSet::from(["scores".to_owned()]))
    }

    fn volume(source: &serde_json::Value) -> Volume {
        let mut volume = json!({"name": "v"});
        volume
            .as_object_mut()
            .unwrap()
            .extend(source.as_object().unwrap().clone());
        serde_json::from_value(volume).unwrap()
    }

    #[test]
    fn a_volume_is_a_named_folder_or_one_of_the_run() {
        let data = tempfile::tempdir().unwrap();
        let here = data.path().to_string_lossy();
        let places = places(&[format!("digits={here}"), format!("v={here}"), format!("/demo={here}")]).unwrap();
        let of = |source: serde_json::Value| places.of(&volume(&source), |map| map == "a-plan-0");
        let folder = || Ok(Place::Folder(data.path().to_owned()));
        assert_eq!(of(json!({"persistentVolumeClaim": {"claimName": "digits"}})), folder());
        assert_eq!(
            of(json!({"persistentVolumeClaim": {"claimName": "scores"}})),
            Ok(Place::Folder("/runs/a/volumes/scores".into()))
        );
        assert_eq!(
            of(json!({"configMap": {"name": "a-plan-0"}})),
            Ok(Place::ConfigMap("a-plan-0".to_owned()))
        );
        assert_eq!(of(json!({"emptyDir": {}})), Ok(Place::Scratch));
        assert_eq!(of(json!({"nfs": {"server": "s", "path": "/p"}})), folder());
        assert_eq!(of(json!({"hostPath": {"path": "/nowhere/at/all"}})), folder());
        assert_eq!(places.of_images().collect::<Vec<_>>(), [("/demo", data.path())]);
    }

    #[test]
    fn what_is_missing_is_said_with_the_option_that_mends_it() {
        let places = places(&[]).unwrap();
        let of = |source: serde_json::Value| places.of(&volume(&source), |_| false).unwrap_err();
        assert_eq!(
            of(json!({"persistentVolumeClaim": {"claimName": "digits"}})),
            "the claim 'digits': say which folder that is here, with --volume digits=DIR"
        );
        assert!(of(json!({"configMap": {"name": "words"}})).contains("--volume words=DIR"));
        assert!(of(json!({"secret": {"secretName": "key"}})).contains("--volume key=DIR"));
        assert!(of(json!({"csi": {"driver": "d"}})).contains("--volume v=DIR"));
        let problems = self::places(&["digits".to_owned(), "digits=/nowhere/at/all".to_owned()]).unwrap_err();
        assert_eq!(problems[0], "--volume digits: must be NAME=DIR");
        assert_eq!(
            problems[1],
            "--volume digits=/nowhere/at/all: there is no folder '/nowhere/at/all'"
        );
    }

    #[test]
    fn paths_change_where_they_begin_and_nowhere_else() {
        let mut paths = Paths::default();
        paths.add("/curriculum/dataset", Path::new("/home/a/data"));
        paths.add("/curriculum/dataset/more", Path::new("/more"));
        paths.add("/data/", Path::new("/curriculum/dataset"));
        for (text, expected) in [
            ("/curriculum/dataset", "/home/a/data"),
            ("/curriculum/dataset/train.csv", "/home/a/data/train.csv"),
            ("/curriculum/dataset/more/x", "/more/x"),
            ("/curriculum/datasets/x", "/curriculum/datasets/x"),
            (
                "--plan=/data/a:/data/b",
                "--plan=/curriculum/dataset/a:/curriculum/dataset/b",
            ),
            ("/mnt/data/x ./data/x", "/mnt/data/x ./data/x"),
            (
                "open('/data/x') # /data",
                "open('/curriculum/dataset/x') # /curriculum/dataset",
            ),
            ("", ""),
        ] {
            assert_eq!(paths.in_text(text), expected);
        }
    }
}
