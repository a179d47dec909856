//! What a worker finds: its environment, its descriptors, its signals, its group.

use std::collections::BTreeMap;
use std::fs;

use crate::common::cluster::{
    STILL, bound, descriptors, environment, run, status, until_started, until_still,
};
use crate::common::{Running, binary, folder, memstore, pid};

#[test]
fn each_worker_is_told_its_slot_its_channel_and_its_listeners() {
    let folder = folder();
    let sock = folder.path().join("m.sock");
    let mut command = run(&sock, "--workers 3 --bind 127.0.0.1:0", &STILL);
    // What says something about an outer cluster is not for our workers.
    command
        .env("MEMSTORE_FD", "99")
        .env("MEMSTORE_ROLE", "worker");
    command
        .env("LISTEN_FDS", "7")
        .env("LISTEN_PID", "1")
        .env("WEB_CONCURRENCY", "8");
    let master = Running::start(&mut command);
    let workers = until_started(&master, 3);
    let slots: Vec<u16> = workers.iter().map(|(slot, _)| *slot).collect();
    assert_eq!(slots, [0, 1, 2]);
    let listeners = format!(r#"["{}"]"#, bound(&master));
    for (slot, worker) in workers {
        let (slot, pid) = (slot.to_string(), worker.to_string());
        let expected = [
            ("LISTEN_FDNAMES", "bind0"),
            ("LISTEN_FDS", "1"),
            ("LISTEN_PID", &pid),
            ("MEMSTORE_FD", "4"),
            ("MEMSTORE_GENERATION", "0"),
            ("MEMSTORE_NODE_LISTENERS", &listeners),
            ("MEMSTORE_ROLE", "worker"),
            ("MEMSTORE_SOCK", sock.to_str().unwrap()),
            ("MEMSTORE_WORKER", &slot),
            ("MEMSTORE_WORKERS", "3"),
            ("NODE_APP_INSTANCE", &slot),
            ("WEB_CONCURRENCY", "1"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(environment(still(worker)), BTreeMap::from(expected));
    }
}

#[test]
fn without_socket_and_listeners_nothing_is_said_of_them() {
    let folder = folder();
    let mut command = run(&folder.path().join("m.sock"), "--workers 1", &STILL);
    let master = Running::start(&mut command);
    let (_, worker) = until_started(&master, 1)[0];
    let told: Vec<_> = environment(still(worker)).into_keys().collect();
    assert!(
        !told.iter().any(|name| name.starts_with("LISTEN_")),
        "{told:?}"
    );

    let mut command = memstore(["run", "--sock", "none", "--workers", "1", "--"]);
    let master = Running::start(command.args(STILL));
    let (_, worker) = until_started(&master, 1)[0];
    let told = environment(still(worker));
    assert_eq!(told.get("MEMSTORE_FD").map(String::as_str), Some("3"));
    assert!(!told.contains_key("MEMSTORE_SOCK"), "{told:?}");
}

#[test]
fn only_the_standard_streams_the_listeners_and_the_channel_are_open() {
    let folder = folder();
    let flags = "--workers 2 --bind 127.0.0.1:0 --bind 127.0.0.1:0";
    let inner = run(&folder.path().join("m.sock"), flags, &STILL);
    // Whoever starts the master leaves a descriptor open, which is nobody's business.
    let mut command = std::process::Command::new("sh");
    command
        .args(["-c", "exec 9</dev/null; exec \"$0\" \"$@\""])
        .arg(binary());
    let master = Running::start(command.args(inner.get_args()));
    for (_, worker) in until_started(&master, 2) {
        let (ours, theirs) = (descriptors(master.pid()), descriptors(still(worker)));
        assert_eq!(ours[&9].to_str(), Some("/dev/null"));
        let numbers: Vec<u32> = theirs.keys().copied().collect();
        assert_eq!(numbers, [0, 1, 2, 3, 4, 5], "{theirs:#?}");
        assert_eq!(theirs[&0].to_str(), Some("/dev/null"));
        assert_eq!((&theirs[&1], &theirs[&2]), (&ours[&1], &ours[&2]));
        let listeners: Vec<_> = theirs.range(3..5).map(|(_, what)| what).collect();
        assert!(
            listeners
                .iter()
                .all(|what| ours.values().any(|our| our == *what))
        );
        let channel = theirs[&5].to_str().unwrap();
        assert!(channel.starts_with("socket:"), "{channel}");
        // Of the channel the master has the other end.
        assert!(!ours.values().any(|our| our.to_str() == Some(channel)));
    }
}

#[test]
fn signals_are_at_their_defaults_whatever_the_master_was_started_with() {
    let folder = folder();
    let inner = run(
        &folder.path().join("m.sock"),
        "--workers 1",
        &["sleep", "600"],
    );
    let mut command = std::process::Command::new("sh");
    let script = "trap '' HUP PIPE USR1 TSTP; exec \"$0\" \"$@\"";
    let master = Running::start(
        command
            .args(["-c", script])
            .arg(binary())
            .args(inner.get_args()),
    );
    let (_, worker) = until_started(&master, 1)[0];
    for name in ["SigBlk", "SigIgn", "SigCgt"] {
        assert_eq!(status(worker, name), "0000000000000000", "{name}");
    }
    assert_ne!(status(master.pid(), "SigIgn"), "0000000000000000");
}

#[test]
fn a_worker_leads_a_group_of_its_own_in_the_session_of_its_master() {
    let folder = folder();
    let sock = folder.path().join("m.sock");
    let master = crate::common::cluster::start(&sock, "--workers 2", &["sleep", "600"]);
    let master_stat = ids(master.pid());
    for (_, worker) in until_started(&master, 2) {
        let (parent, group, session) = ids(worker);
        assert_eq!(parent, pid(master.pid()).as_raw());
        assert_eq!(group, pid(worker).as_raw());
        assert_eq!(session, master_stat.2);
    }
}

fn still(worker: u32) -> u32 {
    until_still(worker);
    worker
}

/// Parent, group and session of a process.
fn ids(pid: u32) -> (i32, i32, i32) {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let mut fields = stat.rsplit(") ").next().unwrap().split(' ').skip(1);
    let mut next = || fields.next().unwrap().parse().unwrap();
    (next(), next(), next())
}

#[test]
fn output_of_workers_is_the_masters_and_their_input_is_empty() {
    let folder = folder();
    let script = "cat; echo out $MEMSTORE_WORKER; echo err $MEMSTORE_WORKER >&2";
    let flags = "--workers 2 --restart never --log off";
    let mut master = Running::start(&mut run(
        &folder.path().join("m.sock"),
        flags,
        &["sh", "-c", script],
    ));
    let mut end = master.finish();
    assert_eq!(end.status.code(), Some(0));
    end.stdout.sort();
    end.stderr.sort();
    assert_eq!(
        (end.stdout, end.stderr),
        (lines("out 0/out 1"), lines("err 0/err 1"))
    );
}

fn lines(text: &str) -> Vec<String> {
    text.split('/').map(str::to_owned).collect()
}
