//! What people use, unmodified, and what is spoken besides HTTP/1.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::process::Command;

use nix::sys::signal::{Signal, kill};

use crate::common::cluster::until_started;
use crate::common::http::get;
use crate::common::{folder, pid};
use crate::{app, has_node, has_packages, start, until_listening};

/// Both workers answer at the shared address, one more when another has replaced it, and all
/// end well.
fn works(program: &str) {
    let folder = folder();
    let (mut master, address) = start(&folder.path().join("m.sock"), 2, program);
    let mut pids = BTreeSet::new();
    for _ in 0..1000 {
        pids.insert(get(address, "/").unwrap().body);
        if pids.len() == 2 {
            break;
        }
    }
    let workers = until_started(&master, 2);
    let started: BTreeSet<String> = workers.iter().map(|(_, pid)| pid.to_string()).collect();
    assert_eq!(pids, started, "{program}");
    kill(pid(workers[0].1), Signal::SIGTERM).unwrap();
    until_started(&master, 3);
    until_listening(&master, 3);
    get(address, "/").unwrap();
    master.signal(Signal::SIGTERM);
    let finished = master.finish();
    let log = finished.stderr.join("\n");
    assert_eq!(finished.status.code(), Some(0), "{program}: {log}");
    let well = log.matches("cause=exit code 0").count();
    assert_eq!(well, 3, "{program}: {log}");
}

#[test]
fn plain_servers_share_the_port_as_modules_of_both_kinds() {
    if has_node() {
        works("plain.mjs");
        works("custom.js");
    }
}

#[test]
fn express_shares_the_port() {
    if has_packages() {
        works("express.js");
        works("express.js express4");
    }
}

#[test]
fn fastify_shares_the_port() {
    if has_packages() {
        works("fastify.mjs");
    }
}

#[test]
fn koa_shares_the_port() {
    if has_packages() {
        works("koa.js");
    }
}

fn ask(kind: &str, address: SocketAddr, path: &str) -> Command {
    let command = app(&format!("ask.mjs {kind} {} {path}", address.port()));
    let mut ask = Command::new(&command[0]);
    ask.args(&command[1..]);
    ask
}

#[test]
fn other_protocols_share_the_port_and_finish_what_was_asked() {
    if !has_node() {
        return;
    }
    for (kind, asked) in [
        ("https", "https"),
        ("http2", "http2"),
        ("h2", "h2"),
        ("h2", "https"),
        ("net", "net"),
    ] {
        let folder = folder();
        let sock = folder.path().join("m.sock");
        let (mut master, address) = start(&sock, 1, &format!("secure.js {kind}"));
        let worker = until_started(&master, 1)[0].1;
        let answer = |command: &mut Command| {
            let output = command.output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        let quick = answer(&mut ask(asked, address, "/"));
        assert_eq!(quick, worker.to_string(), "{kind} {asked}");
        if kind != "net" {
            let mut slow = ask(asked, address, "/slow");
            let asking = std::thread::spawn(move || answer(&mut slow));
            master.stdout().until_contains("asked");
            kill(pid(worker), Signal::SIGTERM).unwrap();
            assert_eq!(asking.join().unwrap(), worker.to_string(), "{kind} {asked}");
            until_listening(&master, 2);
        }
        master.signal(Signal::SIGTERM);
        let log = master.finish().stderr.join("\n");
        assert!(!log.contains("cause=killed"), "{kind} {asked}: {log}");
    }
}
