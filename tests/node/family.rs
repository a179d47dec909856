//! What a worker starts itself is nothing to us: children, threads, Node's own clusters.

use std::collections::BTreeSet;
use std::fs;

use nix::sys::signal::Signal;

use crate::common::cluster::{bound, run, until_started};
use crate::common::http::get;
use crate::common::{Running, folder};
use crate::{app, common, has_node, start, until_listening};

#[test]
fn children_and_threads_listen_to_what_they_ask_for() {
    if !has_node() {
        return;
    }
    let folder = folder();
    let flags = "--workers 1 --bind 127.0.0.1:0";
    let mut run = run(&folder.path().join("m.sock"), flags, &app("family.js"));
    run.env("NODE_OPTIONS", "--no-deprecation");
    let master = Running::start(&mut run);
    until_listening(&master, 1);
    let said = master.stdout().so_far();
    let expected = [
        "options --no-deprecation",
        "child true",
        "thread true",
        "listening",
    ];
    assert_eq!(said, expected);
    assert_eq!(get(bound(&master), "/").unwrap().body, "main");
}

#[test]
fn a_runner_of_scripts_says_that_it_cannot_pass_listeners_on() {
    if !has_node() {
        return;
    }
    let folder = folder();
    let npm = folder.path().join("npm");
    fs::write(&npm, "setInterval(() => {}, 1000)").unwrap();
    let flags = "--workers 1 --bind 127.0.0.1:0";
    let command = ["node".as_ref(), npm.as_os_str()];
    let master = common::cluster::start(&folder.path().join("m.sock"), flags, &command);
    master
        .stderr()
        .until_contains("MemstoreWarning: npm cannot pass the shared listeners on");
}

#[test]
fn a_cluster_of_nodes_own_works_inside_of_a_worker() {
    if !has_node() {
        return;
    }
    let folder = folder();
    let (mut master, address) = start(&folder.path().join("m.sock"), 1, "inner.js");
    until_listening(&master, 2);
    let worker = until_started(&master, 1)[0].1;
    let mut pids = BTreeSet::new();
    for _ in 0..10 {
        let body = get(address, "/").unwrap().body;
        let (parent, pid) = body.split_once(' ').unwrap();
        assert_eq!(parent, worker.to_string());
        pids.insert(pid.to_owned());
    }
    assert_eq!(pids.len(), 2, "{pids:?}");
    master.signal(Signal::SIGTERM);
    let log = master.finish().stderr.join("\n");
    assert!(log.contains("cause=exit code 0"), "{log}");
}
