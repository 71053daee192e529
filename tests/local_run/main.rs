//! `curriculum run` with real programs: what a cluster would do, without one.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test; it waits no longer than two minutes"
)]

mod archive;
mod harness;
mod overrides;
mod tokens;
mod transitions;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use harness::{BINARY, Local, STEPS, eventually, words};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

fn kill(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal).unwrap();
}

/// Of every snapshot: phase and digest of its rows.
fn snapshots(local: &Local) -> Vec<(String, String)> {
    let mut files: Vec<_> = fs::read_dir(local.path("run/snapshots"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let state = |path| -> Value {
        let snapshot: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        serde_json::from_str(snapshot["spec"]["state"].as_str().unwrap()).unwrap()
    };
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    files
        .into_iter()
        .map(state)
        .map(|state| (text(&state["phaseName"]), text(&state["sequenceDigest"])))
        .collect()
}

#[test]
fn parts_of_a_data_set_train_as_the_whole() {
    let whole = Local::new(&json!({}));
    whole.succeeds();
    let parts = Local::new(&json!({
        "dataset": {"path": "parts", "format": "Csv"},
        "scoring": {"shards": 3, "scorers": [{"name": "given", "column": null, "container": {
            "image": "none", "command": ["python3", "/tests/fake_scorer.py"], "env": [{"name": "MODE", "value": "column"}],
        }}]},
    }));
    fs::create_dir(parts.path("data/parts")).unwrap();
    let text = fs::read_to_string(parts.path("data/data.csv")).unwrap();
    let rows: Vec<&str> = text.lines().skip(1).collect();
    for (place, rows) in rows.chunks(13).enumerate() {
        let name = format!("data/parts/part-{place:05}-of-00008.csv");
        fs::write(parts.path(&name), format!("difficulty\n{}\n", rows.join("\n"))).unwrap();
    }
    parts.succeeds();
    assert_eq!(
        parts.status()["scores"]["quantiles"],
        whole.status()["scores"]["quantiles"]
    );
    assert_eq!(snapshots(&parts), snapshots(&whole));
    assert_eq!(parts.rows(), whole.rows());

    // A ninth of the parts is missing: nothing is trained, and the message names it.
    fs::remove_file(parts.path("data/parts/part-00003-of-00008.csv")).unwrap();
    fs::remove_dir_all(parts.path("run")).unwrap();
    let said = words(&parts.run());
    assert!(
        said.contains("8 parts, of which 1 are missing: `parts/part-00003-of-00008.csv`"),
        "{said}"
    );
}

#[test]
fn rows_that_are_held_out_are_trained_on_in_no_phase_with_scores_or_without() {
    let split = json!({"dataset": {"split": {"heldOut": "0.15"}}});
    let scored = Local::new(&split);
    let said = scored.succeeds();
    assert!(said.contains("rows           85, and 15 held out"), "{said}");
    assert_eq!(scored.rows(), scored.expected());
    let dataset = scored.status()["dataset"].clone();
    assert_eq!((&dataset["rows"], &dataset["heldOutRows"]), (&json!(85), &json!(15)));

    let mut fails = split;
    fails["scoring"] = json!({"backoffLimit": 0, "scorers": [{"name": "given", "column": null, "container": {
        "image": "none", "command": ["python3", "-c", "raise SystemExit(1)"],
    }}]});
    fails["curriculum"] =
        json!({"phases": [{"name": "all", "pool": {"fraction": "1"}, "duration": {"steps": 2 * STEPS}}]});
    let uniform = Local::new(&fails);
    uniform.succeeds();
    assert_eq!(uniform.status()["scores"]["source"], "Uniform");
    let distinct = |local: &Local| local.rows().into_iter().flatten().collect::<BTreeSet<u64>>();
    // 320 rows of 85: all of them, and nothing else. Which they are does not depend on the scores.
    assert_eq!(distinct(&uniform).len(), 85);
    assert!(distinct(&scored).is_subset(&distinct(&uniform)));
}

#[test]
fn rows_that_a_filter_leaves_out_are_trained_on_in_no_phase_with_scores_or_without() {
    let filter = json!({"dataset": {
        "split": {"heldOut": "0.1"},
        "filter": [{"column": "difficulty", "min": "20", "max": "79.5"}, {"column": "difficulty", "notIn": ["30", "40"]}],
    }});
    let left = |row: &u64| (20..80).contains(row) && ![30, 40].contains(row);
    let distinct = |local: &Local| local.rows().into_iter().flatten().collect::<BTreeSet<u64>>();
    let scored = Local::new(&filter);
    let said = scored.succeeds();
    let dataset = scored.status()["dataset"].clone();
    let (rows, filtered) = (
        dataset["rows"].as_u64().unwrap(),
        dataset["filteredRows"].as_u64().unwrap(),
    );
    assert_eq!((rows + filtered, dataset["heldOutRows"].as_u64()), (90, Some(10)));
    let told = format!("rows           {rows}, and 10 held out, and {filtered} filtered out");
    assert!(said.contains(&told), "{said}");
    assert_eq!(scored.rows(), scored.expected());
    let of_scored = distinct(&scored);
    assert!(of_scored.iter().all(left) && of_scored.len() as u64 <= rows);

    let mut fails = filter;
    fails["scoring"] = json!({"backoffLimit": 0, "scorers": [{"name": "given", "column": null, "container": {
        "image": "none", "command": ["python3", "-c", "raise SystemExit(1)"],
    }}]});
    fails["curriculum"] =
        json!({"phases": [{"name": "all", "pool": {"fraction": "1"}, "duration": {"steps": 2 * STEPS}}]});
    let uniform = Local::new(&fails);
    uniform.succeeds();
    assert_eq!(uniform.status()["scores"]["source"], "Uniform");
    let of_uniform = distinct(&uniform);
    assert_eq!(of_uniform.len() as u64, rows, "320 draws show each of them");
    assert!(of_uniform.iter().all(left) && of_scored.is_subset(&of_uniform));

    // Nothing is left: nothing is trained, and the message says by what.
    let none = Local::new(&json!({"dataset": {"filter": [{"column": "difficulty", "min": "100"}]}}));
    let said = words(&none.run());
    assert!(
        said.contains("`dataset.filter` leaves none of 100 rows") && said.contains("`difficulty` 0"),
        "{said}"
    );
}

#[test]
fn a_run_trains_exactly_the_rows_of_its_curriculum() {
    let local = Local::new(&json!({}));
    let said = local.succeeds();
    assert_eq!(local.rows(), local.expected());
    assert_eq!(local.starts(), 2, "once for each phase");
    assert_eq!(local.status()["stage"], "Succeeded");
    assert_eq!(local.status()["scores"]["source"], "Scored");
    let phases: Vec<String> = snapshots(&local).into_iter().map(|(phase, _)| phase).collect();
    assert_eq!(phases, ["easy", "all"]);
    for line in [
        "state          succeeded after ",
        "scores         Scored",
        "kubectl apply -f job.yaml",
    ] {
        assert!(said.contains(line), "{said}");
    }
    local.nothing_runs();
    // It is over: the same command says so again, and trains nothing.
    assert!(local.succeeds().contains("succeeded after"));
    assert_eq!(local.starts(), 2);
}

#[test]
fn another_run_with_the_same_seed_serves_the_same_rows() {
    let local = Local::new(&json!({}));
    local.succeeds();
    let first = snapshots(&local);
    let again = local.command().arg("--again").output().unwrap();
    assert!(again.status.success(), "{}", words(&again));
    assert_eq!(snapshots(&local), first);
    assert_eq!(local.status()["scores"]["source"], "Cached");
}

#[test]
fn an_interrupted_run_ends_in_order_and_goes_on() {
    let local = Local::new(&Local::trainer("STEP_SECONDS", "0.05"));
    let child = local.start(STEPS / 2);
    kill(child.id(), Signal::INT);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert!(local.programs().is_empty(), "it waits for the end of what it started");
    local.succeeds();
    assert_eq!(local.rows(), local.expected());
    assert_eq!(local.starts(), 3);
    assert_eq!(
        local.status()["visits"][0]["attempts"],
        1,
        "an interruption costs no retry"
    );
}

#[test]
fn what_a_killed_run_had_started_ends_with_it_and_the_run_goes_on() {
    let local = Local::new(&Local::trainer("STEP_SECONDS", "0.05"));
    let mut child = local.start(STEPS + STEPS / 2);
    kill(child.id(), Signal::KILL);
    child.wait().unwrap();
    local.nothing_runs();
    let left = local.path("run/pods/small-train-1/curriculum-shared/left");
    fs::write(&left, "of the pod that was killed").unwrap();
    let mut child = local.start(STEPS + STEPS / 2 + 1);
    assert!(!left.exists(), "a new pod begins with empty folders");
    kill(child.id(), Signal::TERM);
    child.wait().unwrap();
    local.succeeds();
    assert_eq!(local.rows(), local.expected());
}

/// Ends at no request, and says so when another one lives.
const STUBBORN: &str = "
import fcntl, os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
alone = open('alone', 'w')
try:
    fcntl.flock(alone, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError:
    open('met', 'w').close()
open(f'begun-{os.getpid()}', 'w').close()
time.sleep(60)
";

#[test]
fn a_run_goes_on_only_when_the_programs_of_a_killed_one_are_gone() {
    let local = Local::new(&json!({}));
    fs::write(local.path("stubborn.py"), STUBBORN).unwrap();
    let start = || {
        let mut command = local.command();
        command
            .args(["-c", "trainer=python3 stubborn.py"])
            .stdout(Stdio::null());
        command.spawn().unwrap()
    };
    let begun = || {
        let names = fs::read_dir(local.path("."))
            .unwrap()
            .map(|entry| entry.unwrap().file_name());
        names
            .filter(|name| name.to_string_lossy().starts_with("begun-"))
            .count()
    };
    let mut first = start();
    eventually("the first trainer begins", || begun() == 1);
    kill(first.id(), Signal::KILL);
    let mut second = start();
    first.wait().unwrap();
    eventually("the second trainer begins", || begun() == 2);
    kill(second.id(), Signal::TERM);
    second.wait().unwrap();
    assert!(!local.path("met").exists(), "two trainers met");
}

#[test]
fn a_folder_without_a_run_keeps_what_it_has() {
    let local = Local::new(&json!({}));
    fs::create_dir_all(local.path("run/logs")).unwrap();
    fs::write(local.path("run/logs/mine"), "of somebody else").unwrap();
    assert!(local.command().arg("--again").output().unwrap().status.success());
    assert!(local.path("run/logs/mine").exists());
}

#[test]
fn a_trainer_that_fails_is_tried_again_from_its_checkpoint() {
    let local = Local::new(&Local::trainer("FAIL_STARTS", "1"));
    let said = local.succeeds();
    assert!(said.contains("cannot allocate memory for the optimizer"), "{said}");
    assert_eq!(local.rows(), local.expected());
    assert_eq!(local.status()["visits"][0]["attempts"], 2);
}

#[test]
fn a_trainer_that_leaves_early_is_no_success() {
    let local = Local::new(&Local::trainer("EXIT_EARLY", "1"));
    let output = local.run();
    assert_eq!(output.status.code(), Some(1), "{}", words(&output));
    assert_eq!(local.status()["stage"], "Failed");
}

#[test]
fn training_goes_on_without_scores_when_scoring_fails() {
    let scorers = json!([{"name": "teacher", "container": {
        "image": "none", "command": ["python3", "/tests/fake_scorer.py"], "env": [{"name": "MODE", "value": "exit1"}]}}]);
    let local = Local::new(&json!({"scoring": {"backoffLimit": 0, "shards": 2, "scorers": scorers}}));
    let said = local.succeeds();
    assert!(said.contains("the teacher's weights are missing"), "{said}");
    assert_eq!(local.status()["scores"]["source"], "Uniform");
    assert_eq!(local.rows().len() as u64, 2 * STEPS);
}

#[test]
fn a_scorer_may_have_another_command_here_and_the_scores_stay_the_same() {
    let scorers = json!([{"name": "teacher", "container": {"image": "none", "command": ["teacher"]}}]);
    let local = Local::new(&json!({"scoring": {"shards": 3, "parallelism": 2, "scorers": scorers}}));
    let output = local
        .command()
        .args(["-c", "teacher=python3 /tests/fake_scorer.py"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", words(&output));
    assert_eq!(local.status()["scores"]["source"], "Scored");
    assert_eq!(local.rows(), local.expected());
}

/// Scores by a table that it finds where its arguments and variables say, and by a variable of a Secret.
const WEIGHED: &str = "
import os, sys
weights = dict(line.split(',') for line in open(sys.argv[1] + '/weights.csv').read().split())
assert open(os.environ['WORDS']).read() == 'words', 'a file of a ConfigMap'
assert os.environ['HUB_TOKEN'] == 'secret', 'a variable of a Secret'
open(sys.argv[2] + '/written', 'x').close()
assert os.path.isdir(sys.argv[3]), 'this machine has shared memory of its own'
start, end = int(os.environ['CURRICULUM_ROW_START']), int(os.environ['CURRICULUM_ROW_END'])
with open(os.environ['CURRICULUM_OUTPUT'] + '.csv', 'w') as output:
    print('row,score', file=output)
    for row in range(start, end):
        print(row, float(weights['sign']) * row, sep=',', file=output)
";

#[test]
fn a_scorer_reads_weights_of_a_volume() {
    let scorers = json!([{"name": "teacher", "container": {
        "image": "none",
        "command": ["python3", "score.py"], "args": ["/weights", "/cache", "/dev/shm"],
        "env": [{"name": "WORDS", "value": "/etc/words.txt"}],
        "envFrom": [{"prefix": "HUB_", "secretRef": {"name": "hub"}}],
        "sharedMemory": "64Mi",
        "volumes": [
            {"name": "weights", "mountPath": "/weights", "subPath": "v2", "persistentVolumeClaim": {"claimName": "models"}},
            {"name": "words", "mountPath": "/etc/words.txt", "subPath": "words.txt", "image": {"reference": "words:1"}},
            {"name": "cache", "mountPath": "/cache", "emptyDir": {}},
        ],
    }}]);
    let local = Local::new(&json!({"scoring": {"shards": 2, "scorers": scorers}}));
    fs::write(local.path("score.py"), WEIGHED).unwrap();
    for (file, text) in [
        ("models/v2/weights.csv", "sign,-1\n"),
        ("words/words.txt", "words"),
        ("hub/TOKEN", "secret"),
    ] {
        let path = local.path(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let output = local.run();
    assert_eq!(output.status.code(), Some(2));
    for line in [
        "the claim 'models': say which folder that is here, with --volume models=DIR",
        "the volume 'teacher--words': say which folder that is here, with --volume teacher--words=DIR",
        "the Secret 'hub' whose variables 'teacher' has: give a folder with a file for each",
    ] {
        assert!(words(&output).contains(line), "{}", words(&output));
    }
    let mut command = local.command();
    command.args(["-v", "models=models", "-v", "teacher--words=words", "-v", "hub=hub"]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", words(&output));
    assert_eq!(local.status()["scores"]["source"], "Scored");
    let rows = local.rows();
    assert_eq!(rows, local.expected());
    // With these weights the last rows are the easy ones.
    assert!(
        rows[..STEPS as usize].iter().flatten().all(|&row| row >= 75),
        "{rows:?}"
    );
}

#[test]
fn texts_are_measured_in_tokens_and_without_a_tokenizer_training_goes_on() {
    let length = json!({"column": "difficulty", "unit": "Tokens", "tokenizer": {"path": "models/t.json"}});
    let scorers = json!([{"name": "long", "length": length}]);
    let local = Local::new(&json!({"scoring": {"scorers": scorers}}));
    let said = local.succeeds();
    for words in [
        "`scoring.scorers[0].length.tokenizer.path`",
        "which does not exist; give the path",
    ] {
        assert!(said.contains(words), "{said}");
    }
    assert_eq!(local.status()["scores"]["source"], "Uniform");
    // A token for each digit: the numbers below ten are the easy ones.
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "[0-9]"}, "behavior": "Isolated", "invert": false},
        "post_processor": null, "decoder": null,
        "model": {"type": "WordLevel", "vocab": {"[UNK]": 0}, "unk_token": "[UNK]"},
    });
    fs::create_dir(local.path("data/models")).unwrap();
    fs::write(local.path("data/models/t.json"), tokenizer.to_string()).unwrap();
    let again = local.command().arg("--again").output().unwrap();
    assert!(again.status.success(), "{}", words(&again));
    assert_eq!(local.status()["scores"]["source"], "Scored");
    let rows = local.rows();
    assert_eq!(rows, local.expected());
    let easy: Vec<u64> = rows[..STEPS as usize].concat();
    assert!((0..10).all(|row| easy.contains(&row)), "{easy:?}");
}

#[test]
fn a_file_of_rows_works_as_well() {
    let local = Local::new(&json!({"training": {"sampling": "File"}}));
    local.succeeds();
    assert_eq!(local.rows(), local.expected());
}

#[test]
fn everything_that_is_missing_is_said_before_anything_runs() {
    let local = Local::new(&json!({
        "dataset": {"volume": {"configMap": null, "persistentVolumeClaim": {"claimName": "reviews"}}},
        "training": {"template": {"spec": {"containers": [{"name": "trainer", "image": "none"}]}}},
    }));
    let output = local.command().args(["-c", "tutor=python3 t.py"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    for line in [
        "--volume reviews=DIR",
        "--command trainer='PROGRAM",
        "there is no container 'tutor', only trainer",
    ] {
        assert!(words(&output).contains(line), "{}", words(&output));
    }
    assert!(!local.path("run").exists());
}

#[test]
fn a_folder_is_of_one_spec_and_of_one_process() {
    let local = Local::new(&Local::trainer("STEP_SECONDS", "0.05"));
    let mut child = local.start(1);
    let second = local.run();
    assert_eq!(second.status.code(), Some(2));
    assert!(
        words(&second).contains("another process works on this run"),
        "{}",
        words(&second)
    );
    kill(child.id(), Signal::TERM);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    local.write(&json!({"seed": 8}));
    let other = local.run();
    assert_eq!(other.status.code(), Some(2));
    assert!(words(&other).contains("--again begins anew"), "{}", words(&other));
}

/// `config/samples/first-run.yaml` as it is: its data set and its trainer are in a ConfigMap of the same file.
#[test]
fn the_first_of_the_samples_learns_with_plain_python() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/samples/first-run.yaml");
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(BINARY)
        .args(["run", "-d", "run", "-f"])
        .arg(sample)
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = words(&output);
    assert!(output.status.success(), "{said}");
    let accuracies: Vec<f64> = said
        .lines()
        .filter(|line| line.contains("completed: steps"))
        .map(|line| line.rsplit(' ').next().unwrap().parse().unwrap())
        .collect();
    assert_eq!(accuracies.len(), 3, "{said}");
    assert!(accuracies[2] > 0.95 && accuracies[2] > accuracies[0], "{said}");
}

#[test]
fn a_manifest_that_is_none_is_refused_with_its_field() {
    let local = Local::new(&json!({"seed": "seven"}));
    let output = local.run();
    assert_eq!(output.status.code(), Some(2));
    assert!(words(&output).contains("`spec.seed`"), "{}", words(&output));
    local.write(&json!({"suspend": true}));
    assert!(words(&local.run()).contains("`spec.suspend`"), "nothing would run");
    fs::write(local.path("job.yaml"), "kind: ConfigMap\n").unwrap();
    assert!(words(&local.run()).contains("exactly one object of kind CurriculumJob"));
}
