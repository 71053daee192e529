//! Snapshots that are kept on the store too.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{BINARY, Local, words};

#[test]
fn snapshots_are_archived_on_the_store_and_verified_there() {
    let local = Local::new(&json!({"snapshots": {"archive": true}}));
    local.succeeds();
    let status = local.status();
    let run = fs::read_dir(local.path("run/volumes/small-store/snapshots/local/small")).unwrap();
    let run = run.map(|entry| entry.unwrap().path()).next().unwrap();
    let verify = |files: &[&str]| {
        let output = Command::new(BINARY)
            .arg("verify")
            .args(files.iter().map(|name| run.join(name)))
            .output();
        let output = output.unwrap();
        (output.status.success(), words(&output))
    };
    for (visit, archived) in status["visits"].as_array().unwrap().iter().zip(["0.json", "1.json"]) {
        assert_eq!(visit["archive"], "Archived");
        let manifest: Value = serde_json::from_slice(&fs::read(run.join(archived)).unwrap()).unwrap();
        assert_eq!(manifest["spec"]["digest"], visit["snapshotDigest"]);
        assert_eq!(manifest["kind"], "CurriculumSnapshot");
    }
    let (whole, said) = verify(&["1.json", "0.json"]);
    assert!(
        whole && said.contains("small-0") && said.contains("An unbroken history"),
        "{said}"
    );
    let width = |line: &str| line.chars().count();
    assert!(
        said.lines()
            .filter(|line| !line.contains("sha256:"))
            .all(|line| width(line) <= 80),
        "{said}"
    );
    let (alone, said) = verify(&["1.json"]);
    assert!(alone && said.contains("What came before is not here"), "{said}");
    let text = fs::read_to_string(run.join("0.json")).unwrap();
    fs::write(run.join("0.json"), text.replace("\\\"seed\\\":7", "\\\"seed\\\":8")).unwrap();
    let (forged, said) = verify(&["0.json", "1.json"]);
    assert!(!forged && said.contains("the state was changed"), "{said}");
}
