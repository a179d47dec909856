//! Standalone: the command takes the place of the program that was asked to run it.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "helpers may panic as the tests do")]

mod common;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;

use common::cluster::{
    STILL, bound, descriptors, environment, field, run, start, until_started, until_still,
};
use common::parts::start_on_one_core;
use common::{Finished, Running, example, folder};
use nix::sys::signal::Signal;

const ALWAYS: &str = "--standalone=always";

fn to_the_end(sock: &Path, flags: &str, script: &str) -> (u32, Finished) {
    let mut running = start(sock, flags, &["sh", "-c", script]);
    let pid = running.pid();
    (pid, running.finish())
}

#[test]
fn the_command_is_the_same_process_and_ends_as_it_ends() {
    let folder = folder();
    let sock = folder.path().join("m.sock");
    for flag in [ALWAYS, "--standalone"] {
        let (pid, end) = to_the_end(&sock, flag, "echo $$; exit 7");
        assert_eq!(
            (end.status.code(), end.stdout),
            (Some(7), vec![pid.to_string()]),
            "{flag}"
        );
    }
    let (_, end) = to_the_end(&sock, ALWAYS, "kill -USR1 $$");
    assert_eq!(end.status.signal(), Some(Signal::SIGUSR1 as i32));
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert!(left.is_empty(), "a standalone command made {left:?}");
}

#[test]
fn the_command_is_told_that_it_is_alone() {
    let folder = folder();
    let mut command = run(&folder.path().join("m.sock"), ALWAYS, &STILL);
    // What an outer master told us is about us and not about the command.
    for name in [
        "MEMSTORE_FD",
        "MEMSTORE_WORKER",
        "LISTEN_FDS",
        "NODE_APP_INSTANCE",
    ] {
        command.env(name, "5");
    }
    let running = Running::start(&mut command);
    until_still(running.pid());
    let told = environment(running.pid());
    let expected = [("MEMSTORE_ROLE", "standalone"), ("NODE_APP_INSTANCE", "5")];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(told, BTreeMap::from(expected));
    assert_eq!(
        descriptors(running.pid()).into_keys().collect::<Vec<_>>(),
        [0, 1, 2]
    );
}

#[test]
fn listeners_are_handed_over_as_to_a_worker() {
    let folder = folder();
    let flags = format!("{ALWAYS} --node-preload never --bind 127.0.0.1:0 --bind 127.0.0.1:0");
    let running = start(&folder.path().join("m.sock"), &flags, &STILL);
    until_still(running.pid());
    let pid = running.pid().to_string();
    let expected = [
        ("LISTEN_FDNAMES", "bind0:bind1"),
        ("LISTEN_FDS", "2"),
        ("LISTEN_PID", &pid),
        ("MEMSTORE_ROLE", "standalone"),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(environment(running.pid()), BTreeMap::from(expected));
    let open: Vec<u32> = descriptors(running.pid()).into_keys().collect();
    assert_eq!(open, [0, 1, 2, 3, 4]);
}

#[test]
fn the_web_application_runs_alone_behind_the_same_flags() {
    use std::io::{Read, Write};
    let folder = folder();
    let flags = format!("{ALWAYS} --bind 127.0.0.1:0");
    let mut running = start(&folder.path().join("m.sock"), &flags, &[example("web")]);
    let address: SocketAddr = bound(&running);
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    assert!(page.contains("<b id=visits>1</b>"), "{page}");
    assert!(page.contains("<b id=worker>standalone</b>"), "{page}");
    assert!(
        page.contains(&format!("<b id=pid>{}</b>", running.pid())),
        "{page}"
    );
    running.signal(Signal::SIGTERM);
    assert_eq!(running.finish().status.code(), Some(0));
}

#[test]
fn a_command_that_cannot_run_ends_as_in_the_shell() {
    let folder = folder();
    let sock = folder.path().join("m.sock");
    for (command, code, sentence) in [
        ("./missing", 127, "there is no such file"),
        (
            "no-such-command-anywhere",
            127,
            "no directory in PATH has this command",
        ),
        ("/etc/passwd", 126, "may not execute it"),
        ("/", 126, "it is a directory"),
    ] {
        let end = start(&sock, ALWAYS, &[command]).finish();
        assert_eq!(end.status.code(), Some(code), "{command}: {end:#?}");
        let said = end.stderr.join("\n");
        assert!(
            said.contains("cannot start") && said.contains(sentence),
            "{said}"
        );
    }
}

#[test]
fn on_one_core_the_command_is_alone_unless_something_else_is_asked_for() {
    let folder = folder();
    let sock = folder.path().join("m.sock");
    let script = ["sh", "-c", "echo $MEMSTORE_ROLE $$"];
    let mut alone = start_on_one_core(&mut run(&sock, "--restart never", &script));
    let pid = alone.pid();
    assert_eq!(alone.finish().stdout, [format!("standalone {pid}")]);

    for (flags, workers) in [("--workers 2", 2), ("--standalone=never", 1)] {
        let flags = format!("--restart never {flags}");
        let mut master = start_on_one_core(&mut run(&sock, &flags, &script));
        let started = until_started(&master, workers);
        assert_eq!(started.len(), workers, "{flags:?}");
        let mut said = master.finish().stdout;
        said.sort();
        let mut expected: Vec<String> = started
            .iter()
            .map(|(_, pid)| format!("worker {pid}"))
            .collect();
        expected.sort();
        assert_eq!(said, expected, "{flags:?}");
    }
}

#[test]
fn the_log_says_how_many_workers_were_chosen_and_why() {
    let folder = folder();
    let sock = folder.path().join("m.sock");
    let flags = "--standalone=never --restart never";
    let end = start_on_one_core(&mut run(&sock, flags, &["true"])).finish();
    let line = end
        .stderr
        .iter()
        .find(|line| line.contains("workers="))
        .unwrap();
    assert_eq!(field::<usize>(line, "workers="), 1, "{line}");
    assert!(line.contains("affinity"), "{line}");
}
