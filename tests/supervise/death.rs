//! What is left when the master is killed: nothing that keeps the next one from its place.

use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use nix::sys::signal::{Signal, kill};

use crate::common::cluster::{bound, start, until_gone, until_started};
use crate::common::{Running, connect, folder, is_alive, pid};

#[test]
fn a_killed_master_takes_its_workers_with_it() {
    let folder = folder();
    let script = "trap '' TERM HUP INT; echo up; while :; do read x <&$MEMSTORE_FD || :; done";
    let sock = folder.path().join("m.sock");
    let mut master = start(&sock, "--workers 4", &["sh", "-c", script]);
    let workers = until_started(&master, 4);
    master
        .stdout()
        .until("all are up", |lines| (lines.len() == 4).then_some(()));
    master.signal(Signal::SIGKILL);
    master.wait();
    for (_, worker) in workers {
        until_gone(worker);
    }
    assert!(
        UnixStream::connect(&sock).is_err(),
        "somebody still listens"
    );
}

#[test]
fn the_next_master_takes_socket_and_address_of_a_killed_one_at_once() {
    let folder = folder();
    let sock = folder.path().join("m.sock");
    let unix = format!("unix:{}", folder.path().join("app.sock").display());
    let begin = |address: &str| -> Running {
        let flags = format!("--workers 4 --bind {address} --bind {unix}");
        start(&sock, &flags, &["sleep", "600"])
    };
    let mut master = begin("127.0.0.1:0");
    let address = bound(&master);
    for round in 0..10 {
        until_started(&master, 4);
        connect(&sock).set("round", round.to_string()).unwrap();
        drop(TcpStream::connect(address).unwrap());
        // Killed and collected, and the next one is there before the workers are surely gone.
        master.signal(Signal::SIGKILL);
        master.wait();
        master = begin(&address.to_string());
        assert_eq!(bound(&master), address);
    }
    until_started(&master, 4);
    assert_eq!(
        connect(&sock).length().unwrap(),
        0,
        "another master, another store"
    );
}

#[test]
fn a_second_master_is_told_who_the_first_is_and_disturbs_nobody() {
    let folder = folder();
    let sock = folder.path().join("m.sock");
    let first = start(&sock, "--workers 1 --bind 127.0.0.1:0", &["sleep", "600"]);
    let (_, worker) = until_started(&first, 1)[0];
    let store = connect(&sock);
    store.set("mine", "kept").unwrap();
    let address = bound(&first).to_string();
    let end = start(
        &sock,
        &format!("--workers 1 --bind {address}"),
        &["sleep", "600"],
    )
    .finish();
    assert_eq!(end.status.code(), Some(1));
    let said = end.stderr.join("\n");
    let pid_of_first = format!("held by a live master (process {})", first.pid());
    assert!(said.contains(&pid_of_first), "{said}");
    assert!(!said.contains("worker started"), "{said}");
    assert!(is_alive(worker));
    assert_eq!(store.get("mine").unwrap().unwrap().value, b"kept");
}

#[test]
fn a_worker_that_dies_is_no_end_of_the_store() {
    let folder = folder();
    let sock = folder.path().join("m.sock");
    let master = start(&sock, "--workers 2", &["sleep", "600"]);
    let store = connect(&sock);
    store.set("k", "v").unwrap();
    for (_, worker) in until_started(&master, 2) {
        kill(pid(worker), Signal::SIGKILL).unwrap();
    }
    until_started(&master, 4);
    assert_eq!(store.get("k").unwrap().unwrap().value, b"v");
}
