//! The sampler as a process: files, signals, sockets. What needs none of them is tested beside the code.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    missing_docs,
    reason = "a test may stop at the first thing that is not as it should be"
)]

mod filter;
mod harness;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use curriculum_operator::curriculum::canonical::sha256;
use curriculum_operator::curriculum::plan::MAX_BATCH;
use curriculum_operator::sampler::contract::{IndexFault, Source};
use harness::{Bench, PATIENCE};
use serde_json::json;

#[test]
fn an_attempt_from_the_first_batch_to_the_result() {
    let bench = Bench::new();
    let sampler = bench.start(&[]);
    assert!(sampler.look("/healthz").starts_with("HTTP/1.1 200"));
    let plan = sampler.json("/v1/plan");
    assert_eq!(
        (&plan["source"], &plan["planDigest"]),
        (&json!("Index"), &json!(bench.plan.digest()))
    );
    let whole = bench.expected(&bench.plan, 100..150);
    let id = sampler.session(100);
    let (first, rest) = (sampler.take(&id, 100, 30), sampler.take(&id, 130, 30));
    assert_eq!([first, rest].concat(), whole);
    assert_eq!(sampler.get(&format!("/v1/batches?session={id}&from=150")).0, 204);
    assert_eq!(sampler.report(r#"{"step":150,"metrics":{"val_accuracy":0.75}}"#).0, 200);

    assert!(sampler.terminate().success());
    let result = bench.result();
    assert_eq!(result.plan_digest, bench.plan.digest());
    assert_eq!(
        (
            result.phase_index,
            result.start_step,
            result.end_step,
            result.served_step
        ),
        (2, 100, 150, 150)
    );
    assert_eq!((result.source, result.source_message), (Source::Index, None));
    assert_eq!(
        (
            result.metrics["val_accuracy"].value,
            result.metrics["val_accuracy"].step
        ),
        (0.75, 150)
    );
    assert_eq!(result.sequence_digest, Some(sha256(&whole)));
    let of_group = |g| {
        whole
            .chunks(8)
            .filter(|row| u64::from_le_bytes((*row).try_into().unwrap()) % 3 == g)
            .count() as u64
    };
    assert_eq!(result.exposure, [of_group(0), of_group(1), of_group(2)]);
}

#[test]
fn a_trainer_that_stops_early_leaves_a_result_that_says_so() {
    let bench = Bench::new();
    let sampler = bench.start(&[]);
    sampler.take(&sampler.session(100), 100, 20);
    assert!(sampler.terminate().success());
    let result = bench.result();
    assert_eq!((result.served_step, result.sequence_digest), (120, None));
    assert_eq!(result.exposure.iter().sum::<u64>(), 20 * 16);
}

#[test]
fn a_trainer_that_skips_steps_is_told_about_once_however_often_it_asks() {
    let bench = Bench::new();
    let sampler = bench.start(&[]);
    let id = sampler.session(100);
    for step in [100, 102, 103, 104, 106] {
        sampler.take(&id, step, 1);
    }
    let metrics = sampler.look("/metrics");
    assert!(metrics.contains("\ncurriculum_sampler_holes_total 4\n"), "{metrics}");
    let events = sampler.events();
    let told = events
        .iter()
        .filter(|event| event.contains("the trainer skipped steps"));
    assert_eq!(told.count(), 1, "{events:#?}");
    assert_eq!(bench.result().served_step, 101);
}

#[test]
fn a_restart_of_the_container_keeps_what_was_served_and_reported() {
    let bench = Bench::new();
    let sampler = bench.start(&[]);
    let id = sampler.session(110);
    sampler.take(&id, 110, 20);
    sampler.report(r#"{"step":120,"metrics":{"loss":0.5}}"#);
    assert!(sampler.terminate().success());
    let sampler = bench.start(&[]);
    assert_eq!(sampler.json("/v1/status")["servedStep"], 130);
    assert_eq!(sampler.take(&id, 130, 20), bench.expected(&bench.plan, 130..150));
    assert!(sampler.terminate().success());
    let result = bench.result();
    assert_eq!((result.served_step, result.metrics["loss"].step), (150, 120));
    assert_eq!(result.resumed_at, Some(110));
    assert_eq!(
        result.sequence_digest,
        Some(sha256(bench.expected(&bench.plan, 100..150))),
        "the whole phase's"
    );
}

/// Neither the journal's second nor a signal: what a reply held counts, and nothing else.
#[test]
fn killed_at_any_moment_it_knows_what_it_handed_out() {
    let bench = Bench::new();
    let sampler = bench.start(&[]);
    let ids = [sampler.session_of(0, 2, 100), sampler.session_of(1, 2, 100)];
    sampler.take(&ids[0], 100, 20);
    sampler.take(&ids[1], 100, 7);
    sampler.kill();
    let sampler = bench.start(&[]);
    assert_eq!(sampler.json("/v1/status")["servedStep"], 107);
    sampler.take(&ids[1], 149, 1);
    assert_eq!(
        sampler.json("/v1/status")["servedStep"],
        107,
        "a leap is a hole, also after a restart"
    );
    sampler.take(&ids[1], 107, 43);
    sampler.take(&ids[0], 120, 30);
    assert!(sampler.terminate().success());
    assert_eq!(bench.result().served_step, 150);
}

#[test]
fn two_processes_that_claim_one_rank_fail_the_attempt_with_words() {
    let bench = Bench::new();
    let sampler = bench.start(&[]);
    let first = sampler.session(100);
    sampler.take(&first, 100, 50);
    let second = sampler.session(100);
    sampler.take(&second, 100, 50);
    while fs::read_to_string(bench.path("termination-log")).unwrap().is_empty() {
        sampler.get("/v1/status");
    }
    let (status, body) = sampler.get(&format!("/v1/batches?session={first}&from=149"));
    assert_eq!(status, 409, "{}", String::from_utf8_lossy(&body));
    assert!(sampler.terminate().success());
    let result = bench.result();
    assert_eq!(result.served_step, 100, "the result that was left early is taken back");
    let fault = result.trainer_fault.unwrap();
    assert!(fault.starts_with("two processes claim rank 0 of world 1"), "{fault}");
}

#[test]
fn killed_after_the_end_the_result_is_there_already() {
    let bench = Bench::new();
    let sampler = bench.start(&[]);
    sampler.take(&sampler.session(100), 100, 50);
    while fs::read_to_string(bench.path("termination-log")).unwrap().is_empty() {
        sampler.get("/v1/status");
    }
    sampler.kill();
    assert_eq!(bench.result().served_step, 150);
}

#[test]
fn a_file_holds_the_same_bytes_as_http() {
    let bench = Bench::new();
    let file = bench.path("rows.u64");
    let flags = ["--rows-file", file.to_str().unwrap()];
    let sampler = bench.start(&flags);
    let written = fs::read(&file).unwrap();
    assert_eq!(written, bench.expected(&bench.plan, 100..150));
    assert_eq!(sampler.get("/v1/batches?from=100&count=50&peek=true").1, written);
    assert_eq!(sampler.json("/v1/status")["servedStep"], 100, "written is not read");
    let mark = |line: &str| fs::write(bench.path("rows.u64.read.0-of-1"), line).unwrap();
    mark("100 130 5e6f2b1c\n");
    assert_eq!(sampler.report(r#"{"step":130,"metrics":{"loss":1}}"#).0, 200);
    assert_eq!(sampler.report(r#"{"step":131,"metrics":{"loss":1}}"#).0, 400);
    mark("100 150 5e6f2b1c\n");
    assert!(sampler.terminate().success());
    assert_eq!(
        (bench.result().served_step, bench.result().sequence_digest),
        (150, Some(sha256(&written)))
    );

    // A trainer may hold the file: a restart leaves it alone. The mark is not what the sampler would write.
    let mark = vec![0xaa; written.len()];
    fs::write(&file, &mark).unwrap();
    bench.start(&flags).kill();
    assert_eq!(fs::read(&file).unwrap(), mark);
    fs::write(&file, "cut off").unwrap();
    bench.start(&flags).kill();
    assert_eq!(fs::read(&file).unwrap(), written);
}

/// A trainer that never read the file, was killed half-way, or read for another run.
#[test]
fn a_file_that_was_not_read_to_its_end_is_no_training() {
    for (line, served, fault) in [
        (None, 100, false),
        (Some("100 125 5e6f2b1c"), 125, false),
        (Some("120 150 77aa"), 100, true),
    ] {
        let bench = Bench::new();
        let file = bench.path("rows.u64");
        let sampler = bench.start(&["--rows-file", file.to_str().unwrap()]);
        if let Some(line) = line {
            fs::write(bench.path("rows.u64.read.0-of-1"), line).unwrap();
        }
        assert!(sampler.terminate().success());
        let result = bench.result();
        assert_eq!(
            (result.served_step, result.trainer_fault.is_some()),
            (served, fault),
            "{line:?}"
        );
    }
}

#[test]
fn a_phase_that_is_too_long_for_a_file_is_refused_with_words() {
    let phase = json!({"name": "easy", "pool": {"fraction": "0.5"}, "duration": {"steps": 2000}});
    let bench = Bench::of(json!({"batchSize": MAX_BATCH, "phases": [phase]}));
    let file = bench.path("rows.u64");
    let sampler = bench.start(&["--rows-file", file.to_str().unwrap()]);
    let fault = sampler.json("/v1/status")["trainerFault"].as_str().unwrap().to_owned();
    assert!(
        fault.contains("would have 16777216000 bytes, more than 8589934592"),
        "{fault}"
    );
    assert!(!file.exists());
    assert!(sampler.terminate().success());
    assert_eq!(bench.result().trainer_fault, Some(fault));
}

#[test]
fn an_index_that_is_garbage_cut_off_or_missing_means_every_row_equally_likely() {
    type Damage = fn(&Bench);
    let damage: [(&str, Damage); 5] = [
        ("cannot open the score index: Is a directory", |b| {
            fs::remove_file(b.index()).unwrap();
            fs::create_dir(b.index()).unwrap();
        }),
        ("has digest sha256:", |b| fs::write(b.index(), "garbage").unwrap()),
        ("has digest sha256:", |b| {
            let bytes = fs::read(b.index()).unwrap();
            fs::write(b.index(), &bytes[..bytes.len() / 2]).unwrap();
        }),
        ("has digest sha256:", |b| fs::write(b.index(), "").unwrap()),
        (
            "index/abc/index.arrow: cannot open the score index: No such file",
            |b| fs::remove_file(b.index()).unwrap(),
        ),
    ];
    for (message, damage) in damage {
        let bench = Bench::new();
        damage(&bench);
        let sampler = bench.start(&[]);
        assert!(
            sampler.log.contains("the score index cannot be used"),
            "{}",
            sampler.log
        );
        let rows = sampler.take(&sampler.session(100), 100, 50);
        assert_eq!(rows, bench.expected(&bench.plan.uniform(), 100..150));
        assert!(sampler.terminate().success());
        let result = bench.result();
        assert_eq!((result.source, result.served_step), (Source::UniformIndexUnusable, 150));
        assert_eq!(
            result.plan_digest,
            bench.plan.digest(),
            "it is still this plan's result"
        );
        let found = result.source_message.unwrap();
        assert!(found.contains(message), "{found}");
        let fault = match message {
            m if m.contains("No such file") => IndexFault::Missing,
            m if m.contains("Is a directory") => IndexFault::Unreadable,
            _ => IndexFault::DigestMismatch,
        };
        assert_eq!(result.index_fault, Some(fault));
    }
}

/// As a network file system shows a new file late.
#[test]
fn an_index_that_comes_late_is_waited_for() {
    let bench = Bench::new();
    let aside = bench.path("aside");
    fs::rename(bench.index(), &aside).unwrap();
    let mut child = bench.command(&[PATIENCE, "600"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut until = |words: &str| {
        lines
            .find(|line| line.as_ref().unwrap().contains(words))
            .unwrap()
            .unwrap()
    };
    let told = until("the score index is tried again");
    assert!(told.contains("No such file"), "{told}");
    fs::rename(&aside, bench.index()).unwrap();
    let ready = until("rows are ready");
    assert!(ready.contains("Index"), "{ready}");
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Training goes on: the container is started again by the kubelet, as this test does.
#[test]
fn an_index_that_is_written_over_while_it_is_in_use_ends_the_process_and_the_next_one_goes_on_without_it() {
    let bench = Bench::new();
    let sampler = bench.start(&[]);
    let id = sampler.session(100);
    sampler.take(&id, 100, 20);
    let length = fs::metadata(bench.index()).unwrap().len();
    let mut file = fs::OpenOptions::new().write(true).open(bench.index()).unwrap();
    file.write_all(&vec![0xff; length as usize]).unwrap();
    let request = format!("GET /v1/batches?session={id}&from=120 HTTP/1.1\r\nhost: a\r\n\r\n");
    let reply = sampler.send(request.as_bytes());
    let reply = String::from_utf8_lossy(&reply);
    assert!(
        reply.is_empty() || reply.ends_with("\r\n\r\n"),
        "no rows rather than wrong ones: {reply}"
    );
    assert_eq!(sampler.wait().code(), Some(1));
    let message = fs::read_to_string(bench.path("termination-log")).unwrap();
    assert!(
        message.starts_with("the score index changed while it was in use"),
        "{message}"
    );

    let sampler = bench.start(&[]);
    assert_eq!(sampler.json("/v1/status")["servedStep"], 120);
    let rest = sampler.take(&id, 120, 30);
    assert_eq!(rest, bench.expected(&bench.plan.uniform(), 120..150));
    assert!(sampler.terminate().success());
    assert_eq!(
        (bench.result().served_step, bench.result().source),
        (150, Source::UniformIndexUnusable)
    );
}

#[test]
fn garbage_changes_nothing() {
    let bench = Bench::new();
    let sampler = bench.start(&[]);
    let mut noise: u64 = 1;
    let mut random = || {
        noise = noise
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (noise >> 56) as u8
    };
    for length in [1, 10, 1000, 100_000] {
        let bytes: Vec<u8> = (0..length).map(|_| random()).collect();
        sampler.send(&[&bytes, b"\r\n\r\n".as_slice()].concat());
    }
    for head in [
        "GET /v1/batches?from=\u{0}",
        "GET /v1/batches?from=1e3",
        "DELETE /v1/plan",
        "GET /../../etc/passwd",
    ] {
        let reply = sampler.send(format!("{head} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").as_bytes());
        assert!(
            reply.starts_with(b"HTTP/1.1 4"),
            "{head}: {}",
            String::from_utf8_lossy(&reply)
        );
    }
    sampler
        .send(b"POST /v1/report HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n");
    assert_eq!(sampler.report(&"[".repeat(60_000)).0, 400);
    assert_eq!(sampler.report(&" ".repeat(70_000)).0, 413);
    let rows = sampler.take(&sampler.session(100), 100, 5);
    assert_eq!(rows, bench.expected(&bench.plan, 100..105));
    assert!(sampler.terminate().success());
    assert_eq!(bench.result().served_step, 105);
}

/// 8 devices with 16 workers each, which keep their connections, beside others that take what they can get.
#[test]
fn neither_many_workers_nor_many_others_keep_anybody_waiting() {
    let bench = Bench::new();
    let sampler = bench.start(&[]);
    let request = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
    let mut workers: Vec<TcpStream> = (0..128)
        .map(|_| TcpStream::connect(&sampler.address).unwrap())
        .collect();
    let mut others: Vec<TcpStream> = (0..200).map(|_| TcpStream::connect(&sampler.status).unwrap()).collect();
    let begin = Instant::now();
    for stream in &mut workers {
        stream.write_all(request("/v1/batches?from=100").as_bytes()).unwrap();
    }
    for stream in &mut workers {
        let mut reply = [0; 12];
        stream.read_exact(&mut reply).unwrap();
        assert_eq!(&reply, b"HTTP/1.1 200");
    }
    // The same address has all its places: the kubelet and the operator come from another.
    let elsewhere = Command::new("python3")
        .args(["-c", ELSEWHERE, &sampler.status])
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&elsewhere.stdout).trim(),
        "HTTP/1.1 200",
        "{elsewhere:?}"
    );
    assert!(
        begin.elapsed() < Duration::from_secs(8),
        "somebody waited for idle connections to be closed"
    );
    others.clear();
    assert!(sampler.terminate().success());
}

/// Asks for the status from another loopback address.
const ELSEWHERE: &str = "
import socket, sys
host, port = sys.argv[1].split(':')
with socket.create_connection((host, int(port)), 30, ('127.0.0.2', 0)) as s:
    s.sendall(b'GET /v1/status HTTP/1.1\\r\\nhost: a\\r\\n\\r\\n')
    print(s.recv(12).decode())
";

/// The largest batch there is, asked for by four clients at once.
#[test]
fn memory_stays_small_beside_the_map_however_large_the_batch() {
    let phase = json!({"name": "easy", "pool": {"fraction": "0.5"}, "duration": {"steps": 1}});
    let bench = Bench::of(json!({"batchSize": MAX_BATCH, "phases": [phase]}));
    let sampler = bench.start(&[]);
    let whole = bench.expected(&bench.plan, 0..1);
    let left = AtomicUsize::new(4);
    let mut most = 0;
    std::thread::scope(|scope| {
        let client = || {
            let (_, rows) = sampler.get("/v1/batches?from=0");
            left.fetch_sub(1, Ordering::Relaxed);
            assert!(rows == whole);
        };
        (0..4).for_each(|_| drop(scope.spawn(client)));
        while left.load(Ordering::Relaxed) > 0 {
            most = sampler.memory().max(most);
        }
    });
    assert!(most < 32 << 20, "{most} bytes");
    assert!(sampler.terminate().success());
}

#[test]
fn without_a_plan_the_termination_log_says_why() {
    let bench = Bench::new();
    fs::write(bench.path("plan.json"), "{}").unwrap();
    let output = bench.command(&[]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let message = fs::read_to_string(bench.path("termination-log")).unwrap();
    assert!(
        message.contains("plan.json does not parse: missing field `version`"),
        "{message}"
    );
}

#[test]
fn a_journal_that_is_garbage_or_cannot_be_written_stops_nothing() {
    let bench = Bench::new();
    fs::create_dir(bench.path("state")).unwrap();
    fs::write(bench.path("state/journal.json"), "garbage").unwrap();
    let sampler = bench.start(&[]);
    assert!(sampler.log.contains("the journal cannot be used"), "{}", sampler.log);
    assert!(sampler.terminate().success());

    fs::remove_dir_all(bench.path("state")).unwrap();
    fs::write(bench.path("state"), "a file where the folder should be").unwrap();
    let sampler = bench.start(&[]);
    sampler.take(&sampler.session(100), 100, 50);
    assert!(sampler.terminate().success());
    assert_eq!(bench.result().served_step, 150);
}
