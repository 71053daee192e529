//! The walls of the code, as far as the compiler does not keep them: what the pure parts must not name, and how long a file may be.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::fs;
use std::path::{Path, PathBuf};

/// Longest file under `src/`, in lines.
const MAX_LINES: usize = 500;

/// What no pure part may name: clients, async, files, processes, network and the clock.
const IMPURE: [&str; 16] = [
    "kube::Api",
    "kube::api",
    "kube::Client",
    "kube::client",
    "kube::runtime",
    "kube_",
    "tokio",
    "futures",
    "reqwest",
    "axum",
    "std::fs",
    "std::net",
    "std::process",
    "Instant",
    "SystemTime",
    "Timestamp::now",
];

/// What the curriculum core may not name either. Deciding may read Kubernetes objects, and reckon with times that it was told.
const FOREIGN: [&str; 4] = ["kube::", "k8s_openapi", "std::time", "jiff"];

/// The spec as the user wrote it.
const SPEC: [&str; 3] = ["api::job", "job::CurriculumJob", "CurriculumJobSpec"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below a folder of the repository.
fn sources(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The forbidden names in a text, with their lines. Comments may name anything.
fn trespasses(text: &str, forbidden: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or(line);
        // An import may hide a path in braces: `use std::{fs, io}`.
        let flat = code.replace(['{', ' '], "");
        let hidden = |name: &str| flat.starts_with("use") && flat.contains(name);
        let named = forbidden.iter().filter(|name| names(code, name) || hidden(name));
        found.extend(named.map(|name| format!("line {}: {name}", i + 1)));
    }
    found
}

/// Whether a name stands in a line on its own, not as the end of a longer one.
fn names(line: &str, name: &str) -> bool {
    line.match_indices(name)
        .any(|(at, _)| !line[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_'))
}

#[test]
fn the_walls_would_notice() {
    let found = |line: &str| !trespasses(line, &IMPURE).is_empty();
    for line in [
        "use kube::Client;",
        "use std::fs;",
        "use std::{fs, io};",
        "let now = jiff::Timestamp::now();",
        "tokio::spawn(x)",
        "fn f(t: Instant) {}",
        "std::time::SystemTime::now()",
    ] {
        assert!(found(line), "{line}");
    }
    for line in [
        "// kube::Client knows",
        "use std::fmt;",
        "use kube::ResourceExt;",
        "let x = 1; // std::fs",
        "Timestamp::from_second(0)",
        "self.instantiate()",
    ] {
        assert!(!found(line), "{line}");
    }
}

fn assert_free_of(forbidden: &[&str], files: &[PathBuf]) {
    for path in files {
        let found = trespasses(&fs::read_to_string(path).unwrap(), forbidden);
        assert!(
            found.is_empty(),
            "{} is pure and must not name: {}",
            path.display(),
            found.join(", ")
        );
    }
}

#[test]
fn the_core_knows_neither_cluster_nor_clock_nor_files() {
    let core = sources("src/curriculum");
    assert!(core.len() > 10, "the curriculum core is not where it was");
    assert_free_of(&IMPURE, &core);
    assert_free_of(&FOREIGN, &core);
}

/// The controller's files below folders, or in files, whose names begin so.
fn of_controller(beginnings: &[&str]) -> Vec<PathBuf> {
    let named = |part: &str| beginnings.iter().any(|beginning| part.starts_with(beginning));
    let mut files = sources("src/controller");
    files.retain(|path| path.iter().any(|part| named(&part.to_string_lossy())));
    assert!(files.len() > 10, "the decision core is not where it was");
    files
}

#[test]
fn deciding_touches_neither_cluster_nor_clock_nor_files() {
    assert_free_of(&IMPURE, &of_controller(&["decide", "build", "validate"]));
}

#[test]
fn below_validate_nobody_looks_at_the_spec() {
    let mut files = of_controller(&["decide", "build"]);
    files.retain(|path| !path.iter().any(|part| part.to_string_lossy().starts_with("tests")));
    assert_free_of(&SPEC, &files);
}

/// Folders of `src/` from the lowest on. Those of one line do not name each other, and none names one of a line below.
const LAYERS: [&[&str]; 8] = [
    &["api"],
    &["curriculum", "store"],
    &["index", "redis"],
    &["scoring"],
    &["objects", "simulate"],
    &["sampler"],
    &["controller"],
    &["local"],
];

#[test]
fn nothing_points_back() {
    for (place, layer) in LAYERS.iter().enumerate() {
        for folder in *layer {
            let above = LAYERS[place..].iter().flat_map(|layer| layer.iter());
            let others = above
                .filter(|other| *other != folder)
                .map(|other| format!("crate::{other}::"));
            let forbidden: Vec<String> = others.chain(["crate::cli::".to_owned()]).collect();
            let names: Vec<&str> = forbidden.iter().map(String::as_str).collect();
            let mut files = sources(&format!("src/{folder}"));
            files.retain(|path| !path.iter().any(|part| part.to_string_lossy().starts_with("tests")));
            assert_free_of(&names, &files);
        }
    }
}

#[test]
fn files_stay_small() {
    let long: Vec<String> = sources("src")
        .into_iter()
        .filter_map(|path| {
            let lines = fs::read_to_string(&path).unwrap().lines().count();
            (lines > MAX_LINES).then(|| format!("{}: {lines} lines", path.display()))
        })
        .collect();
    assert!(
        long.is_empty(),
        "more than {MAX_LINES} lines, split by concern:\n{}",
        long.join("\n")
    );
}
