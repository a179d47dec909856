//! A port of its own for each worker.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use nix::sys::signal::{Signal, kill};

use crate::common::cluster::{start_part, until_gone, until_started};
use crate::common::ended::end;
use crate::common::{Running, eventually, folder, free_ports, memstore, pid};

/// The part of a worker that listens at its `PORT` and tells whoever connects who it is.
pub(crate) const LONER: &str = "a loner";

pub(crate) fn keep_a_door() {
    let port: u16 = std::env::var("PORT").unwrap().parse().unwrap();
    let listener = TcpListener::bind(("127.0.0.1", port));
    let listener = listener.unwrap_or_else(|error| panic!("cannot listen at {port}: {error}"));
    let slot = std::env::var("MEMSTORE_WORKER").unwrap_or_default();
    let me = format!("{slot} {}", std::process::id());
    for stream in listener.incoming() {
        let _ = stream.unwrap().write_all(me.as_bytes());
    }
}

/// Who listens at a port, once somebody does.
fn who(port: u16) -> String {
    eventually("somebody listens", || {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
        let mut who = String::new();
        stream.read_to_string(&mut who).ok()?;
        Some(who).filter(|who| !who.is_empty())
    })
}

#[test]
fn each_worker_has_the_port_of_its_slot_and_so_has_its_replacement() {
    let folder = folder();
    let base = free_ports(3);
    let flags = format!("--workers 3 --port-base {base} --stable-after 0");
    let master = start_part(&folder.path().join("m.sock"), &flags, LONER);
    let workers = until_started(&master, 3);
    for (slot, pid) in &workers {
        assert_eq!(who(base + slot), format!("{slot} {pid}"));
    }
    let (slot, old) = workers[1];
    kill(pid(old), Signal::SIGKILL).unwrap();
    until_gone(old);
    let (same, new) = until_started(&master, 4)[3];
    assert_eq!(same, slot);
    assert_eq!(who(base + slot), format!("{slot} {new}"));
}

#[test]
fn a_port_that_is_taken_is_the_worker_s_own_error_and_the_others_go_on() {
    let folder = folder();
    let base = free_ports(2);
    let theirs = TcpListener::bind(("127.0.0.1", base + 1)).unwrap();
    let pace = "--backoff-min 1ms --backoff-max 5ms --max-restarts 0";
    let flags = format!("--workers 2 --port-base {base} {pace}");
    let master = start_part(&folder.path().join("m.sock"), &flags, LONER);
    let error = format!("cannot listen at {}", base + 1);
    master.stderr().until_contains(&error);
    let ended = master.stderr().until_contains("worker ended");
    assert!(ended.contains("worker=1"), "{ended}");
    assert!(who(base).starts_with("0 "));
    drop(theirs);
    assert!(who(base + 1).starts_with("1 "));
}

#[test]
fn a_command_that_stands_alone_has_the_first_port() {
    let mut command = memstore(["run", "--standalone", "--port-base", "8123"]);
    command
        .args(["--", "sh", "-c", "echo $PORT"])
        .env("PORT", "1");
    let ended = end(&mut command).with(0, &[]);
    assert_eq!(ended.text(), "8123\n");
}

#[test]
fn ports_that_cannot_be_are_a_mistake_wherever_they_are_said() {
    let folder = folder();
    let sock = folder.path().join("m.sock");
    let said = |flags: &str| {
        let mut run = crate::common::cluster::run(&sock, flags, &["echo", "started"]);
        let end = Running::start(&mut run).finish();
        assert_eq!(end.stdout, [""; 0], "something was started");
        (end.status.code(), end.stderr.join("\n"))
    };
    let (code, text) = said("--workers 2 --port-base 65535");
    assert_eq!(code, Some(2), "{text}");
    assert!(
        text.contains("must be at most 65534 for 2 workers"),
        "{text}"
    );
    let (code, text) = said("--bind :0 --port-base 8000");
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("leave out one of the two"), "{text}");
    if num_cpus::get() > 1 {
        let (code, text) = said("--standalone=never --port-base 65535");
        assert_eq!(code, Some(78), "{text}");
        assert!(
            text.contains("--port-base 65535: must be at most"),
            "{text}"
        );
    }
}
