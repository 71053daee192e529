//! The demo on this machine.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::outcome::{Outcome, table};
use super::picture;
use crate::local::{self, LocalError, Options};

/// The two runs; each has a manifest of its name.
const RUNS: [&str; 2] = ["digits-curriculum", "digits-uniform"];
/// What the demo is made of, by path in its folder.
const FILES: [(&str, &[u8]); 8] = [
    ("digits.csv.gz", include_bytes!("../../e2e/demo/data/digits.csv.gz")),
    (
        "digits-curriculum.yaml",
        include_bytes!("../../config/samples/digits-curriculum.yaml"),
    ),
    (
        "digits-uniform.yaml",
        include_bytes!("../../config/samples/digits-uniform.yaml"),
    ),
    (
        "programs/digits.py",
        include_bytes!("../../e2e/demo/programs/digits.py"),
    ),
    (
        "programs/models.py",
        include_bytes!("../../e2e/demo/programs/models.py"),
    ),
    (
        "programs/prepare.py",
        include_bytes!("../../e2e/demo/programs/prepare.py"),
    ),
    (
        "programs/teacher.py",
        include_bytes!("../../e2e/demo/programs/teacher.py"),
    ),
    ("programs/train.py", include_bytes!("../../e2e/demo/programs/train.py")),
];
/// Folders of the demo's claims and of its image, by the name that the manifests have for them.
const PLACES: [(&str, &str); 4] = [
    ("digits", "data"),
    ("digits-scores", "scores"),
    ("digits-checkpoints", "checkpoints"),
    ("/demo", "programs"),
];
/// What the programs import.
const PACKAGES: &str = "import numpy, curriculum_client";

/// How the demo ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demo {
    /// Both runs succeeded.
    Shown,
    /// A run ended otherwise.
    Ended(local::Outcome),
}

/// Runs the demo in that folder, which is made; ends with a table, a picture, and what to do next.
///
/// # Errors
/// When the folder cannot be written, the programs have not what they need, or a run cannot be started.
pub async fn run(folder: &Path, interrupted: impl Future<Output = ()>) -> Result<Demo, LocalError> {
    let folder = std::path::absolute(folder).map_err(|source| failed(folder, source))?;
    unpack(&folder).map_err(|source| failed(&folder, source))?;
    prepare(&folder)?;
    tokio::pin!(interrupted);
    let mut outcomes = Vec::new();
    for name in RUNS {
        println!();
        let options = options(&folder, name);
        let ended = local::run(&options, &mut interrupted).await?;
        if ended.outcome != local::Outcome::Succeeded {
            println!("{}", ended.text);
            return Ok(Demo::Ended(ended.outcome));
        }
        let left = local::left(&folder.join("runs").join(name))?;
        let outcome = Outcome::new(&left.job, &left.trainer_logs, &left.plans).map_err(LocalError::Process)?;
        outcomes.push(Outcome {
            snapshots: left.snapshots,
            ..outcome
        });
    }
    let picture = folder.join("demo.svg");
    picture::draw(&picture, &outcomes).map_err(|source| failed(&picture, source))?;
    println!("\n{}", table(&outcomes));
    println!("{}", closing(&folder, &picture));
    Ok(Demo::Shown)
}

fn failed(path: &Path, source: io::Error) -> LocalError {
    LocalError::Io {
        path: path.to_owned(),
        source,
    }
}

fn unpack(folder: &Path) -> io::Result<()> {
    for (path, content) in FILES {
        let path = folder.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, content)?;
    }
    for (_, place) in PLACES {
        fs::create_dir_all(folder.join(place))?;
    }
    Ok(())
}

/// Makes the data set, with the Python that the runs will find.
fn prepare(folder: &Path) -> Result<(), LocalError> {
    let python = || {
        let mut command = Command::new("python3");
        local::find_beside(&mut command);
        command
    };
    let imported = python().args(["-c", PACKAGES]).output();
    let imported = imported.map_err(|error| LocalError::Process(format!("python3: {error}; the demo needs Python")))?;
    if !imported.status.success() {
        let words = String::from_utf8_lossy(&imported.stderr);
        let last = words.lines().last().unwrap_or_default();
        return Err(LocalError::Process(format!(
            "the demo's programs cannot import what they need ({last}): pip install numpy"
        )));
    }
    let script = folder.join("programs/prepare.py");
    let mut command = python();
    command
        .arg(&script)
        .arg(folder.join("data"))
        .arg("--digits")
        .arg(folder.join("digits.csv.gz"));
    let made = command.status().map_err(|source| failed(&script, source))?;
    match made.success() {
        true => Ok(()),
        false => Err(LocalError::Process("the data set could not be made".to_owned())),
    }
}

fn options(folder: &Path, name: &str) -> Options {
    let volume = |(of, place): (&str, &str)| format!("{of}={}", folder.join(place).display());
    Options {
        manifest: folder.join(format!("{name}.yaml")),
        folder: Some(folder.join("runs").join(name)),
        volumes: PLACES.map(volume).to_vec(),
        commands: Vec::new(),
        again: true,
    }
}

fn closing(folder: &Path, picture: &Path) -> String {
    let shown: PathBuf = std::env::current_dir()
        .ok()
        .and_then(|here| Some(folder.strip_prefix(here).ok()?.to_owned()))
        .unwrap_or_else(|| folder.to_owned());
    let (shown, name) = (shown.display(), RUNS[0]);
    format!(
        "Picture: {}

Try next:
  # The hardest rows first: this should hurt.
  cd {shown}
  sed 's/EasyFirst/HardFirst/; s/{name}/digits-hard/' {name}.yaml > hard.yaml
  curriculum run -f hard.yaml -v digits=data -v digits-scores=scores -v /demo=programs
  # What the sampler served, as a page.
  curriculum simulate -f {name}.yaml --index scores/index/*/index.arrow -o html --out page.html",
        picture.display()
    )
}
