//! How a program ends at SIGTERM.

use nix::sys::signal::{Signal, kill};

use crate::common::cluster::until_started;
use crate::common::http::{Connection, get};
use crate::common::{folder, pid};
use crate::{has_node, has_packages, start, until_listening};

/// What the log says of the first worker's end after it was sent SIGTERM during a request, which it
/// answers nevertheless.
fn end_of(program: &str) -> String {
    let folder = folder();
    let (master, address) = start(&folder.path().join("m.sock"), 1, program);
    let worker = until_started(&master, 1)[0].1;
    let mut idle = Connection::open(address).unwrap();
    assert!(!idle.get("/quick", "").unwrap().is_last);
    let mut busy = Connection::open(address).unwrap();
    busy.ask("/", "").unwrap();
    master.stdout().until_contains("asked");
    kill(pid(worker), Signal::SIGTERM).unwrap();
    let answer = busy.answer().unwrap();
    assert_eq!(answer.body, worker.to_string());
    assert!(answer.is_last, "the client is told not to ask again");
    assert_eq!(busy.until_closed().unwrap(), b"");
    assert_eq!(idle.until_closed().unwrap(), b"");
    let end = master.stderr().until_contains("worker ended");
    until_listening(&master, 2);
    assert_ne!(get(address, "/quick").unwrap().body, worker.to_string());
    end
}

#[test]
fn a_request_is_finished_and_an_idle_connection_closed() {
    if has_node() {
        let end = end_of("slow.js");
        assert!(end.contains("cause=exit code 0"), "{end}");
    }
}

#[test]
fn what_keeps_a_program_alive_besides_its_servers_is_not_waited_for() {
    if has_node() {
        let end = end_of("slow.js pool");
        assert!(end.contains("cause=exit code 0"), "{end}");
    }
}

#[test]
fn a_bystander_that_listens_to_every_signal_is_no_handler() {
    if has_packages() {
        for version in ["signal-exit", "signal-exit3"] {
            let end = end_of(&format!("slow.js pool {version}"));
            assert!(end.contains("cause=exit code 0"), "{version}: {end}");
        }
    }
}

#[test]
fn a_request_that_comes_on_an_idle_connection_meanwhile_is_answered() {
    if !has_node() {
        return;
    }
    let folder = folder();
    let (master, address) = start(&folder.path().join("m.sock"), 1, "slow.js");
    let worker = until_started(&master, 1)[0].1;
    let mut idle = Connection::open(address).unwrap();
    idle.get("/quick", "").unwrap();
    let mut busy = Connection::open(address).unwrap();
    busy.ask("/", "").unwrap();
    master.stdout().until_contains("asked");
    kill(pid(worker), Signal::SIGTERM).unwrap();
    assert!(busy.answer().unwrap().is_last);
    let late = idle.get("/quick", "").unwrap();
    assert_eq!(late.body, worker.to_string());
    assert!(late.is_last);
}

#[test]
fn a_quiet_connection_that_was_upgraded_does_not_hold_the_end() {
    if !has_node() {
        return;
    }
    let folder = folder();
    let (master, address) = start(&folder.path().join("m.sock"), 1, "slow.js upgrade");
    let worker = until_started(&master, 1)[0].1;
    let mut upgraded = Connection::open(address).unwrap();
    upgraded
        .ask("/", "Connection: upgrade\r\nUpgrade: x\r\n")
        .unwrap();
    assert!(upgraded.head().unwrap()[0].contains("101"));
    kill(pid(worker), Signal::SIGTERM).unwrap();
    assert_eq!(upgraded.until_closed().unwrap(), b"");
    let end = master.stderr().until_contains("worker ended");
    assert!(end.contains("cause=exit code 0"), "{end}");
}

#[test]
fn a_handler_of_the_programs_own_decides() {
    if !has_node() {
        return;
    }
    let folder = folder();
    let (master, _) = start(&folder.path().join("m.sock"), 1, "slow.js handler");
    let worker = until_started(&master, 1)[0].1;
    kill(pid(worker), Signal::SIGTERM).unwrap();
    master.stdout().until_contains("its own handler");
    let end = master.stderr().until_contains("worker ended");
    assert!(end.contains("cause=exit code 7"), "{end}");
}

#[test]
fn a_program_that_does_not_listen_is_ended_by_the_signal() {
    if !has_node() {
        return;
    }
    let folder = folder();
    let (master, _) = start(&folder.path().join("m.sock"), 1, "slow.js deaf");
    let worker = until_started(&master, 1)[0].1;
    kill(pid(worker), Signal::SIGTERM).unwrap();
    let end = master.stderr().until_contains("worker ended");
    assert!(end.contains("cause=killed by SIGTERM"), "{end}");
}
