//! A container as a program of this machine: its words, its environment, its folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use k8s_openapi::api::core::v1::{Container, EnvFromSource, EnvVar, Pod};
use kube::ResourceExt;

use super::error::LocalError;
use super::places::{Paths, Places};
use crate::controller::build::SCORER_PREFIX;

/// What is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Program {
    /// The program and its arguments.
    pub(super) words: Vec<String>,
    /// What its environment has beyond that of this process.
    pub(super) env: Vec<(String, String)>,
    /// Where it starts; `None`: where this process is.
    pub(super) folder: Option<PathBuf>,
}

/// Commands that the user gave in place of those of the manifest, by container.
#[derive(Clone, Debug, Default)]
pub(crate) struct Commands(BTreeMap<String, Vec<String>>);

impl Commands {
    /// Reads `NAME=COMMAND LINE`, with the quotes of a shell.
    ///
    /// # Errors
    /// Names each that is not of that form.
    pub(crate) fn new(given: &[String]) -> Result<Self, Vec<String>> {
        let (mut commands, mut problems) = (BTreeMap::new(), Vec::new());
        for text in given {
            let split = text.split_once('=').map(|(name, line)| (name, shlex::split(line)));
            match split {
                Some((name, Some(words))) if !name.is_empty() && !words.is_empty() => {
                    commands.insert(name.to_owned(), words);
                }
                _ => problems.push(format!(
                    "--command {text}: must be NAME='PROGRAM ARGUMENTS', with closed quotes"
                )),
            }
        }
        if problems.is_empty() {
            Ok(Self(commands))
        } else {
            Err(problems)
        }
    }

    /// The command of a container; a scorer may be called by its own name, without the container's prefix.
    fn of(&self, container: &str) -> Option<&Vec<String>> {
        let scorer = container.strip_prefix(SCORER_PREFIX);
        self.0.get(container).or_else(|| self.0.get(scorer?))
    }

    /// What keeps a container of the training pods from being started.
    pub(super) fn problem(&self, container: &Container) -> Option<String> {
        let name = &container.name;
        let told = container.command.as_ref().is_some_and(|command| !command.is_empty());
        (!told && self.of(name).is_none()).then(|| {
            format!("the command of '{name}', which is in its image: give it with --command {name}='PROGRAM ARGUMENTS'")
        })
    }

    /// Those that no container of `names` has.
    pub(super) fn strangers(&self, names: &[String]) -> Vec<String> {
        let known = |given: &&String| {
            names
                .iter()
                .any(|name| name == *given || name.strip_prefix(SCORER_PREFIX) == Some(given.as_str()))
        };
        let all: Vec<&str> = names
            .iter()
            .map(|name| name.strip_prefix(SCORER_PREFIX).unwrap_or(name))
            .collect();
        let strange = self.0.keys().filter(|given| !known(given));
        strange
            .map(|given| {
                format!(
                    "--command {given}=…: there is no container '{given}', only {}",
                    all.join(", ")
                )
            })
            .collect()
    }
}

/// What the paths and addresses of a pod are here.
#[derive(Clone, Debug, Default)]
pub(super) struct Here {
    pub(super) paths: Paths,
    /// Addresses of the pod, and what they are on this machine.
    pub(super) addresses: Vec<(String, String)>,
}

impl Here {
    fn text(&self, text: &str) -> String {
        let mut text = self.paths.in_text(text);
        for (there, here) in &self.addresses {
            text = text.replace(there, here);
        }
        text
    }
}

/// The program of a container in that pod. `whole` are its variables of whole Secrets and ConfigMaps, `extra` those that this machine
/// adds.
pub(super) fn program(
    container: &Container,
    pod: &Pod,
    commands: &Commands,
    here: &Here,
    whole: Vec<(String, String)>,
    extra: &[(String, String)],
) -> Program {
    // As the pod has it; what this machine has in its place comes last, and once.
    let mut env = whole;
    for variable in container.env.iter().flatten() {
        let value = match &variable.value_from {
            None => expand(variable.value.as_deref().unwrap_or_default(), &env),
            Some(_) => match from_pod(variable, pod) {
                Some(value) => value,
                // A Secret or a ConfigMap: `unset` has seen to it that the user has set the variable.
                None => continue,
            },
        };
        env.push((variable.name.clone(), value));
    }
    let mut words = container.command.clone().unwrap_or_default();
    words.extend(container.args.clone().unwrap_or_default());
    if let Some(given) = commands.of(&container.name) {
        // Of a scorer's words those before `--` are ours.
        let ours = words
            .iter()
            .position(|word| word == "--")
            .filter(|_| container.name.starts_with(SCORER_PREFIX));
        words.truncate(ours.map_or(0, |place| place + 1));
        words.extend(given.iter().cloned());
    }
    let words = words.iter().map(|word| here.text(&expand(word, &env))).collect();
    let mut env: Vec<_> = env.into_iter().map(|(name, value)| (name, here.text(&value))).collect();
    env.extend(extra.iter().cloned());
    let folder = container
        .working_dir
        .as_deref()
        .map(|folder| PathBuf::from(here.text(folder)));
    Program {
        words,
        env,
        folder: folder.filter(|folder| folder.is_dir()),
    }
}

/// The variables of a container that come from a Secret or a ConfigMap and that nobody has set here.
pub(super) fn unset(container: &str, env: &[EnvVar]) -> Vec<String> {
    let foreign = env
        .iter()
        .filter(|variable| variable.value_from.is_some() && from_pod(variable, &Pod::default()).is_none());
    let unset = foreign.filter(|variable| std::env::var_os(&variable.name).is_none());
    unset
        .map(|variable| format!("the variable {} of '{container}': set it", variable.name))
        .collect()
}

/// The Secrets and ConfigMaps that a container takes all variables of and for which no folder was given: which variables those are,
/// nobody can know here.
pub(super) fn untold(container: &str, from: &[EnvFromSource], places: &Places) -> Vec<String> {
    let unknown = from
        .iter()
        .filter_map(whole)
        .filter(|(_, name, optional)| !optional && places.given(name).is_none());
    unknown
        .map(|(kind, name, _)| {
            format!(
                "the {kind} '{name}' whose variables '{container}' has: give a folder with a file for each, or an empty one \
                 where they are set already, with --volume {name}=DIR"
            )
        })
        .collect()
}

/// The variables of whole Secrets and ConfigMaps: in the folder that was given for one, the file `NAME` has the value of `NAME`.
///
/// # Errors
/// When a file cannot be read as text.
pub(super) fn from_folders(from: &[EnvFromSource], places: &Places) -> Result<Vec<(String, String)>, LocalError> {
    let mut env = Vec::new();
    for source in from {
        let Some(folder) = whole(source).and_then(|(_, name, _)| places.given(name)) else {
            continue;
        };
        let entries = fs::read_dir(folder).map_err(|error| LocalError::io(folder, error))?;
        for entry in entries {
            let path = entry.map_err(|error| LocalError::io(folder, error))?.path();
            let Some(name) = path
                .file_name()
                .and_then(|name| name.to_str())
                .filter(|_| path.is_file())
            else {
                continue;
            };
            let value = fs::read_to_string(&path).map_err(|error| LocalError::io(&path, error))?;
            let prefix = source.prefix.as_deref().unwrap_or_default();
            env.push((format!("{prefix}{name}"), value));
        }
    }
    Ok(env)
}

/// Kind and name of what all variables are taken of, and whether it may be missing.
fn whole(from: &EnvFromSource) -> Option<(&'static str, &str, bool)> {
    let secret = from
        .secret_ref
        .as_ref()
        .map(|secret| ("Secret", secret.name.as_str(), secret.optional));
    let map = from
        .config_map_ref
        .as_ref()
        .map(|map| ("ConfigMap", map.name.as_str(), map.optional));
    let (kind, name, optional) = secret.or(map)?;
    Some((kind, name, optional == Some(true)))
}

/// A variable that names a field of its pod.
fn from_pod(variable: &EnvVar, pod: &Pod) -> Option<String> {
    let path = &variable.value_from.as_ref()?.field_ref.as_ref()?.field_path;
    let key = |list: &str| {
        path.strip_prefix(list)?
            .strip_prefix("['")?
            .strip_suffix("']")
            .map(str::to_owned)
    };
    match path.as_str() {
        "metadata.name" => Some(pod.name_any()),
        "metadata.namespace" => pod.namespace(),
        "metadata.uid" => pod.uid(),
        "status.podIP" | "status.hostIP" => Some("127.0.0.1".to_owned()),
        "spec.nodeName" => Some("localhost".to_owned()),
        _ => key("metadata.labels")
            .map(|key| pod.labels().get(&key).cloned().unwrap_or_default())
            .or_else(|| {
                key("metadata.annotations").map(|key| pod.annotations().get(&key).cloned().unwrap_or_default())
            }),
    }
}

/// `$(NAME)` as the kubelet replaces it: by the value of a variable before it, or not at all; `$$` is a `$`.
fn expand(text: &str, env: &[(String, String)]) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let name = after.strip_prefix('(').and_then(|inner| inner.split_once(')'));
        match name {
            _ if after.starts_with('$') => {
                out.push('$');
                rest = &after[1..];
            }
            Some((name, end)) => {
                match env.iter().rev().find(|(known, _)| known == name) {
                    Some((_, value)) => out.push_str(value),
                    None => out.push_str(&format!("$({name})")),
                }
                rest = end;
            }
            None => {
                out.push('$');
                rest = after;
            }
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;

    fn container(value: serde_json::Value) -> Container {
        serde_json::from_value(value).unwrap()
    }

    fn here() -> Here {
        let mut paths = Paths::default();
        paths.add("/curriculum/dataset", Path::new("/data"));
        Here {
            paths,
            addresses: vec![("127.0.0.1:7070".to_owned(), "127.0.0.1:4711".to_owned())],
        }
    }

    #[test]
    fn a_container_is_a_program_with_the_paths_and_addresses_of_this_machine() {
        let container = container(json!({
            "name": "trainer", "command": ["python3", "$(SCRIPT)"], "args": ["--data=/curriculum/dataset"],
            "env": [
                {"name": "CURRICULUM_SAMPLER", "value": "http://127.0.0.1:7070"},
                {"name": "SCRIPT", "value": "train-$$(X)-$(NONE).py"},
                {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            ],
        }));
        let pod = Pod {
            metadata: serde_json::from_value(json!({"name": "p"})).unwrap(),
            ..Pod::default()
        };
        let extra = [("MORE".to_owned(), "1".to_owned())];
        let made = program(&container, &pod, &Commands::default(), &here(), vec![], &extra);
        assert_eq!(made.words, ["python3", "train-$(X)-$(NONE).py", "--data=/data"]);
        let env: Vec<_> = made.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(
            env,
            [
                "CURRICULUM_SAMPLER=http://127.0.0.1:4711",
                "SCRIPT=train-$(X)-$(NONE).py",
                "POD=p",
                "MORE=1"
            ]
        );
    }

    #[test]
    fn a_given_command_takes_the_place_of_the_users_words_only() {
        let commands = Commands::new(&["teacher=python3 't e.py' /curriculum/dataset".to_owned()]).unwrap();
        let wrapped = container(
            json!({"name": "scorer-teacher", "command": ["/tools/curriculum", "exec", "--", "old"], "args": ["x"]}),
        );
        let made = program(&wrapped, &Pod::default(), &commands, &here(), vec![], &[]);
        assert_eq!(
            made.words,
            ["/tools/curriculum", "exec", "--", "python3", "t e.py", "/data"]
        );
        let plain = container(json!({"name": "teacher", "args": ["x"]}));
        let made = program(&plain, &Pod::default(), &commands, &here(), vec![], &[]);
        assert_eq!(made.words, ["python3", "t e.py", "/data"]);
    }

    #[test]
    fn what_is_missing_is_said_with_the_option_that_mends_it() {
        let commands = Commands::new(&["trainer=python3 t.py".to_owned()]).unwrap();
        assert_eq!(commands.problem(&container(json!({"name": "trainer"}))), None);
        assert_eq!(
            commands.problem(&container(json!({"name": "logs", "command": ["tail"]}))),
            None
        );
        let problem = commands.problem(&container(json!({"name": "logs", "args": ["-f"]})));
        assert!(problem.unwrap().contains("--command logs='"));
        let names = ["scorer-a".to_owned(), "main".to_owned()];
        assert_eq!(
            commands.strangers(&names),
            ["--command trainer=…: there is no container 'trainer', only a, main"]
        );
        assert!(Commands::new(&["trainer='x".to_owned()]).unwrap_err()[0].contains("closed quotes"));
        let secret = container(json!({"name": "trainer", "env": [
            {"name": "NOBODY_HAS_SET_THIS", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
        ]}));
        let missing = unset("trainer", secret.env.as_deref().unwrap());
        assert_eq!(missing, ["the variable NOBODY_HAS_SET_THIS of 'trainer': set it"]);
    }
}
