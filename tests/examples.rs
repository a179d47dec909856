//! The examples do what they say. The web application has tests of its own.

#![cfg(all(feature = "cli", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "helpers may panic as the tests do")]

mod common;

use std::env;
use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::ended::end;
use common::{Running, binary, children, clean, example, folder, memstore, pid};
use nix::sys::signal::{Signal, kill};

const READ: &str = "foo=Some(\"bar\") baz=None";

#[test]
fn test_cluster_reads_in_the_master_and_in_every_worker() {
    let ended = end(&mut clean(example("test_cluster"))).with(0, &[]);
    let mut lines: Vec<_> = ended.text().lines().collect();
    assert_eq!(
        lines[0],
        format!("master: {READ}"),
        "the master writes before a worker reads"
    );
    lines.sort_unstable();
    let workers = (0..4).map(|slot| format!("worker {slot}: {READ}"));
    let expected: Vec<_> = [format!("master: {READ}")]
        .into_iter()
        .chain(workers)
        .collect();
    assert_eq!(lines, expected);
}

#[test]
fn test_standalone_reads_alone() {
    let ended = end(&mut clean(example("test_standalone"))).with(0, &[]);
    assert_eq!(ended.text(), format!("Standalone: {READ}\n"));
}

#[test]
fn session_race_shows_what_goes_wrong_and_what_helps() {
    let ended = end(&mut clean(example("session_race"))).with(0, &[]);
    assert_eq!(
        ended.text(),
        "both saved what they had loaded: [\"apple\"]\n\
         both updated it: [\"pear\", \"apple\"]\n\
         after a logout and a late save, alice is logged in: true\n\
         after a logout that is remembered: false\n\
         after a login the old id is visitor for at most 10s, the new one is alice\n\
         with --tombstones a late save is refused: true\n"
    );
}

#[test]
fn own_backend_is_under_a_store_and_says_what_it_lacks() {
    let ended = end(&mut clean(example("own_backend"))).with(0, &[]);
    let lines: Vec<_> = ended.text().lines().collect();
    let expected = [
        "sess:1 = hello",
        "1 entry, {\"length\", \"clear\", \"compare-and-set\", \"tombstones\"}",
        "all is not supported by the store's backend",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn embed_master_serves_the_command_line() {
    let folder = folder();
    let sock = folder.path().join("s");
    let mut program = clean(example("embed_master"))
        .arg(&sock)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "serving 1 entry");
    let ask = |line: &[&str]| end(memstore(line).arg("--sock").arg(&sock)).with(0, &[]);
    let greeting = ask(&["get", "greeting"]);
    assert_eq!(
        greeting.text(),
        "hello from the program that embeds the master"
    );
    ask(&["set", "foo", "bar"]);
    drop(program.stdin.take());
    assert_eq!(
        lines.next().unwrap().unwrap(),
        "serving 2 entries at the end"
    );
    assert_eq!(program.wait().unwrap().code(), Some(0));
    assert!(!sock.exists(), "it leaves no socket");
}

/// With the folder of the binary before the others.
fn path() -> OsString {
    let own = binary().parent().unwrap().to_owned();
    let others = env::var_os("PATH").unwrap_or_default();
    env::join_paths([own].into_iter().chain(env::split_paths(&others))).unwrap()
}

#[test]
fn worker_sh_counts_its_starts_in_the_masters_store() {
    let folder = folder();
    let sock = folder.path().join("s");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/worker.sh");
    let mut command = memstore(["run", "--workers", "2", "--backoff-min", "1ms", "--sock"]);
    command.arg(&sock).arg("--").arg(script).env("PATH", path());
    let mut master = Running::start(&mut command);
    for slot in 0..2 {
        master
            .stdout()
            .until_contains(&format!("worker {slot} of 2: start number 1, pid "));
    }
    let first = master
        .stdout()
        .until_contains("worker 0 of 2: start number 1, pid ");
    let worker: u32 = first.rsplit(' ').next().unwrap().parse().unwrap();
    assert!(children(master.pid()).contains(&worker), "{first}");
    kill(pid(worker), Signal::SIGKILL).unwrap();
    master
        .stdout()
        .until_contains("worker 0 of 2: start number 2, pid ");
    let ask = |line: &[&str]| end(memstore(line).arg("--sock").arg(&sock)).with(0, &[]);
    assert_eq!(ask(&["get", "starts:0"]).text(), "2");
    assert_eq!(ask(&["get", "starts:1"]).text(), "1");

    let started = Instant::now();
    master.signal(Signal::SIGTERM);
    assert_eq!(master.wait().code(), Some(0));
    assert!(
        started.elapsed() < Duration::from_secs(10),
        "the workers had to be killed"
    );
}
