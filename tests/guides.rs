//! The programs in the guides must run as they are printed.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

/// The n-th code block of a language in a file of `docs/`.
fn block(file: &str, language: &str, n: usize) -> String {
    let text = fs::read_to_string(format!("{}/docs/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let start = text.split(&format!("```{language}\n")).nth(n + 1).unwrap();
    start.split_once("```").unwrap().0.to_owned()
}

#[test]
fn the_scorer_of_the_guide_scores_its_rows() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("a.csv"), folder.path().join("b.csv"));
    fs::write(&first, "text,stars\n\"a, b\",1\nabc,0\n").unwrap();
    fs::write(&second, "stars,text\n2,abcdef\n4,x\n").unwrap();
    let files = folder.path().join("files.csv");
    let list = format!("path,start,end\n{},0,2\n{},2,4\n", first.display(), second.display());
    fs::write(&files, list).unwrap();
    let output = Command::new("python3")
        .args(["-c", &block("scorers.md", "python", 0)])
        .env("CURRICULUM_FILES", &files)
        .env("CURRICULUM_ROW_START", "1")
        .env("CURRICULUM_ROW_END", "3")
        .env("CURRICULUM_OUTPUT", folder.path().join("scores"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let scores = fs::read_to_string(folder.path().join("scores.csv")).unwrap();
    assert_eq!(scores.replace('\r', ""), "row,score\n1,3.0\n2,2.0\n");
}

/// Steps 300 to 302 with 2 rows each: row numbers 10·step and 10·step + 1.
const MODEL: &str = "
import os
log = open(os.environ['TRAINED'], 'a')
def load_checkpoint(): return (int(os.environ['CHECKPOINT']), 'this run') if 'CHECKPOINT' in os.environ else None
def save_checkpoint(step, run): print('save', step, run, file=log, flush=True)
def train_on(rows): print('train', list(rows), file=log, flush=True)
def evaluate(): return 0.5
";

fn rows(step: u64) -> Vec<u8> {
    [10 * step, 10 * step + 1].map(u64::to_le_bytes).concat()
}

/// Runs a Python program of the trainers' guide from a checkpoint, and gives what it did.
fn train(program: &str, checkpoint: Option<u64>, environment: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let trained = folder.path().join("trained");
    fs::write(folder.path().join("model.py"), MODEL).unwrap();
    let output = Command::new("python3")
        .args(["-c", program])
        .env("PYTHONPATH", folder.path())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("TRAINED", &trained)
        .envs(checkpoint.map(|step| ("CHECKPOINT", step.to_string())))
        .env("CURRICULUM_RUN", "this run")
        .env("CURRICULUM_START_STEP", "300")
        .env("CURRICULUM_END_STEP", "303")
        .env("CURRICULUM_BATCH_SIZE", "2")
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::read_to_string(trained).unwrap()
}

/// Answers requests as the sampler does, until the listener is dropped with the process. A session is named after its first step.
fn fake_sampler() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let (path, sent) = request(&mut BufReader::new(&stream));
            let (status, body) = match path.strip_prefix("/v1/batches?session=from-") {
                Some(query) => batches(query),
                None => {
                    assert_eq!(
                        (&*path, &sent["run"], &sent["world"]),
                        ("/v1/sessions", &json!("this run"), &json!(1))
                    );
                    let session = json!({"session": format!("from-{}", sent["step"]), "batchRows": 2});
                    ("201 Created", session.to_string().into_bytes())
                }
            };
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            stream.write_all(&[head.as_bytes(), &body].concat()).unwrap();
        }
    });
    address
}

/// The path of a request, and its body as JSON.
fn request(stream: &mut BufReader<&std::net::TcpStream>) -> (String, Value) {
    let (mut path, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        match line.trim_end().split_once(' ') {
            None => break,
            Some((name, value)) if name.eq_ignore_ascii_case("content-length:") => length = value.parse().unwrap(),
            Some((_, target)) if path.is_empty() => path = target.split(' ').next().unwrap().to_owned(),
            Some(_) => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    (path, serde_json::from_slice(&body).unwrap_or_default())
}

/// `<first step of the session>&from=S&count=C`: without a hole from the first step on.
fn batches(query: &str) -> (&'static str, Vec<u8>) {
    let numbers: Vec<u64> = query
        .split('&')
        .map(|n| n.rsplit('=').next().unwrap().parse().unwrap())
        .collect();
    let [first, from, count] = numbers[..] else {
        panic!("{query}")
    };
    assert!(from >= first && from <= 303, "{query}");
    let body = (from..303.min(from + count)).flat_map(rows).collect::<Vec<u8>>();
    (if body.is_empty() { "204 No Content" } else { "200 OK" }, body)
}

const FROM_THE_START: &str = "train [3000, 3001]\ntrain [3010, 3011]\ntrain [3020, 3021]\nsave 303 this run\n";
const FROM_A_CHECKPOINT: &str = "train [3020, 3021]\nsave 303 this run\n";

#[test]
fn the_http_trainer_of_the_guide_trains_each_step_once() {
    let program = block("trainers.md", "python", 0);
    let environment = [("CURRICULUM_SAMPLER", &*fake_sampler())];
    assert_eq!(train(&program, None, &environment), FROM_THE_START);
    assert_eq!(train(&program, Some(302), &environment), FROM_A_CHECKPOINT);
    assert_eq!(train(&program, Some(303), &environment), "save 303 this run\n");
}

#[test]
fn the_file_trainer_of_the_guide_trains_each_step_once() {
    let program = block("trainers.md", "python", 1);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rows.u64");
    fs::write(&file, (300..303).flat_map(rows).collect::<Vec<u8>>()).unwrap();
    let environment = [("CURRICULUM_ROWS_FILE", file.to_str().unwrap())];
    let mark = || fs::read_to_string(folder.path().join("rows.u64.read.0-of-1")).unwrap();
    assert_eq!(train(&program, None, &environment), FROM_THE_START);
    assert_eq!(mark(), "300 303 this run\n");
    assert_eq!(train(&program, Some(302), &environment), FROM_A_CHECKPOINT);
    assert_eq!(mark(), "302 303 this run\n");
    assert_eq!(train(&program, Some(303), &environment), "save 303 this run\n");
    assert_eq!(mark(), "303 303 this run\n");
}

/// GitHub's anchor of a heading.
fn anchor(heading: &str) -> String {
    let kept = heading
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.flat_map(char::to_lowercase)
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

fn anchors(markdown: &str) -> BTreeSet<String> {
    let headings = markdown.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| anchor(line.trim_start_matches('#').trim()))
        .collect()
}

/// Relative links of a Markdown text.
fn links(markdown: &str) -> Vec<&str> {
    let targets = markdown
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target);
    targets.filter(|target| !target.contains("://")).collect()
}

/// The Markdown files in a folder of the repository.
fn pages(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect()
}

/// The pages on design, with their texts.
fn design() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = pages("docs/design");
    files.push(root.join("ARCHITECTURE.md"));
    assert!(files.len() >= 4, "{files:?}");
    let read = |file: &PathBuf| {
        let name = file.strip_prefix(root).unwrap().display().to_string();
        (name, fs::read_to_string(file).unwrap())
    };
    files.iter().map(read).collect()
}

#[test]
fn the_pages_on_design_have_short_lines() {
    const LONGEST: usize = 110;
    for (page, text) in design() {
        for (i, line) in text.lines().enumerate() {
            let length = line.chars().count();
            assert!(length <= LONGEST, "{page}:{}: {length} characters", i + 1);
        }
    }
}

/// Files and folders of the repository that a text names between backticks, such as `src/api/job.rs`.
fn named_paths(text: &str) -> BTreeSet<&str> {
    let prose = text.split("```").step_by(2);
    let quoted = prose.flat_map(|prose| prose.split('`').skip(1).step_by(2));
    let ours = ["src/", "tests/", "e2e/", "scripts/", "config/", "docs/", "benches/"];
    quoted
        .filter(|quoted| ours.iter().any(|folder| quoted.starts_with(folder)))
        .collect()
}

#[test]
fn every_file_that_the_pages_on_design_name_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut named = 0;
    for (page, text) in design() {
        for path in named_paths(&text) {
            named += 1;
            assert!(root.join(path).exists(), "{page} names {path}, which does not exist");
        }
    }
    assert!(named > 40, "only {named} files are named");
}

/// Where the table of bounds says that constants stand: name and file of each.
#[test]
fn every_bound_stands_where_the_contracts_say() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("docs/design/contracts.md")).unwrap();
    let table = text.split("| bound | value | constant |").nth(1).unwrap();
    let table = table.split("\n\n").next().unwrap();
    let mut source = String::new();
    let mut found = 0;
    for row in table.lines() {
        if let Some(path) = named_paths(row).into_iter().next() {
            source = fs::read_to_string(root.join(path)).unwrap();
        }
        let quoted = row.split('`').skip(1).step_by(2);
        for name in quoted.filter(|quoted| !quoted.contains('/')) {
            found += 1;
            assert!(source.contains(&format!("const {name}: ")), "{row}");
        }
    }
    assert!(found > 10, "only {found} bounds are named");
}

#[test]
fn every_link_within_the_documentation_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut broken = Vec::new();
    let mut checked = 0;
    for page in ["", "docs", "docs/curricula", "docs/design"]
        .into_iter()
        .flat_map(pages)
    {
        let text = fs::read_to_string(&page).unwrap();
        for link in links(&text) {
            checked += 1;
            if !lands(&page, link) {
                broken.push(format!("{}: {link}", page.strip_prefix(root).unwrap().display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(checked > 80, "only {checked} links");
}

/// Whether a link on a page leads to a file or folder, and to a heading of it if it names one.
fn lands(page: &Path, link: &str) -> bool {
    let (file, fragment) = link.split_once('#').unwrap_or((link, ""));
    let target = match file {
        "" => page.to_owned(),
        file => page.parent().unwrap().join(file),
    };
    match fragment {
        "" => target.exists(),
        fragment => fs::read_to_string(&target).is_ok_and(|text| anchors(&text).contains(fragment)),
    }
}

#[test]
fn every_metric_is_in_the_operations_guide() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let guide = fs::read_to_string(root.join("docs/operations.md")).unwrap();
    for (file, least) in [("src/controller/metrics.rs", 7), ("src/sampler/meters.rs", 12)] {
        let source = fs::read_to_string(root.join(file)).unwrap();
        let names = source
            .split('"')
            .filter(|text| text.starts_with("curriculum_"))
            .collect::<BTreeSet<_>>();
        assert!(names.len() >= least, "{file} has only {names:?}");
        for name in names {
            assert!(
                guide.contains(&format!("`{name}")),
                "{name} of {file} is not in docs/operations.md"
            );
        }
    }
}
