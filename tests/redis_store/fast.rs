//! The fast path: what a master's loop asks the server itself is answered as everything else is.

use std::thread;
use std::time::{Duration, Instant};

use memstore_cluster::{DestroyOptions, SetOptions};
use nix::sys::signal::Signal;

use crate::common::redis::{Master, Wire};
use crate::common::{self, eventually};
use crate::servers::Server;

/// How many requests have gone by the fast path.
fn gone_fast(wire: &mut Wire) -> u64 {
    let info = wire.bulk("INFO backend");
    let line = info.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name == "backend_fast_path_requests").then(|| value.trim().parse().expect("a number"))
    });
    line.expect("it is told")
}

/// Waits until plain requests of this connection go by the fast path.
fn until_open(wire: &mut Wire) {
    eventually("the fast path is open", || {
        let before = gone_fast(wire);
        wire.ask("GET none", "$-1\r\n");
        (gone_fast(wire) > before).then_some(())
    });
}

#[test]
fn sessions_of_both_dialects_go_by_the_fast_path() {
    let Some(server) = Server::start(&["--requirepass", "secret"]) else {
        return;
    };
    let url = server.url().replace("//", "//:secret@");
    let master = Master::start(&["--store", &format!("{url}/3?prefix=sess%3A")]);
    let mut wire = master.connect();
    until_open(&mut wire);
    let before = gone_fast(&mut wire);
    wire.ask("SET a one EX 100", "+OK\r\n");
    wire.ask("GET a", "$3\r\none\r\n");
    wire.ask("PEXPIRE a 200000\r\nEXPIRE none 1", ":1\r\n:0\r\n");
    let cli = |args: &[&str]| {
        let login = ["--no-auth-warning", "-a", "secret", "-n", "3"];
        server.cli(&[&login[..], args].concat())
    };
    assert_eq!(cli(&["GET", "sess:a"]), "one");
    let ttl: u64 = cli(&["TTL", "sess:a"]).parse().unwrap();
    assert!((190..=200).contains(&ttl), "{ttl}");
    wire.ask("UNLINK a\r\nDEL a\r\nGET a", ":1\r\n:0\r\n$-1\r\n");
    assert_eq!(gone_fast(&mut wire) - before, 7);

    let store = common::connect(&master.sock());
    let hour = Duration::from_secs(3_600);
    let seq = store.set("b", "native").unwrap();
    let lasting = SetOptions::new().ttl(hour).if_seq(seq);
    let seq = store.set_with("b", "lasting", lasting).unwrap();
    let found = store.get("b").unwrap().unwrap();
    assert_eq!((found.value.as_slice(), found.seq), (&b"lasting"[..], seq));
    assert!(found.ttl.is_some_and(|ttl| ttl <= hour));
    assert!(store.touch("b", Some(hour)).unwrap() && !store.touch("none", Some(hour)).unwrap());
    assert!(store.destroy("b").unwrap() && !store.destroy("b").unwrap());
    assert_eq!(store.get("b").unwrap().map(|found| found.value), None);
    assert!(gone_fast(&mut wire) - before >= 14);
}

#[test]
fn what_a_connection_has_chosen_is_kept_to() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let url = server.url();
    let master = Master::start(&["--store", &url]);
    let mut wire = master.connect();
    until_open(&mut wire);
    let before = gone_fast(&mut wire);
    // In the third version of the protocol there is another nothing.
    wire.send("HELLO 3\r\n");
    while wire.line() != "*0" {}
    wire.ask("GET none", "_\r\n");
    wire.ask("SET k v", "+OK\r\n");
    let mut other = master.connect();
    other.ask("CLIENT REPLY SKIP\r\nGET k\r\nGET k", "$1\r\nv\r\n");
    other.ask("CLIENT REPLY OFF\r\nGET k\r\nCLIENT REPLY ON", "+OK\r\n");
    assert!(gone_fast(&mut other) > before);
}

#[test]
fn what_is_told_of_requests_counts_those_that_were_fast() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let url = server.url();
    let master = Master::start(&["--store", &url]);
    let (mut wire, mut other) = (master.connect(), master.connect());
    until_open(&mut wire);
    wire.ask("CLIENT SETNAME me\r\nCONFIG RESETSTAT", "+OK\r\n+OK\r\n");
    let before = gone_fast(&mut wire);
    for _ in 0..10 {
        wire.ask("SET k v", "+OK\r\n");
        wire.ask("get k\r\nGET k", "$1\r\nv\r\n$1\r\nv\r\n");
    }
    assert!(gone_fast(&mut other) > before);
    let stats = other.bulk("INFO commandstats");
    for line in ["cmdstat_get:calls=20,", "cmdstat_set:calls=10,"] {
        assert!(stats.contains(line), "{line} {stats}");
    }
    wire.ask("GET k", "$1\r\nv\r\n");
    let list = other.bulk("CLIENT LIST");
    let me = list.lines().find(|line| line.contains(" name=me "));
    assert!(me.is_some_and(|me| me.contains(" cmd=get ")), "{list}");
}

#[test]
fn who_wants_to_hear_of_changes_hears_of_all() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let url = server.url();
    let master = Master::start(&["--store", &url]);
    let (mut wire, mut listener) = (master.connect(), master.connect());
    until_open(&mut wire);
    listener.ask("CONFIG SET notify-keyspace-events KEA", "+OK\r\n");
    listener.send("SUBSCRIBE __keyspace@0__:k\r\n");
    listener.expect("*3\r\n$9\r\nsubscribe\r\n$16\r\n__keyspace@0__:k\r\n:1\r\n");
    for _ in 0..3 {
        wire.ask("SET k v", "+OK\r\n");
        listener.expect("*3\r\n$7\r\nmessage\r\n$16\r\n__keyspace@0__:k\r\n$3\r\nset\r\n");
    }
    wire.ask("CONFIG SET notify-keyspace-events \"\"", "+OK\r\n");
    until_open(&mut wire);
}

#[test]
fn what_was_destroyed_with_a_tombstone_stays_so() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let url = server.url();
    let master = Master::start(&["--store", &url]);
    let mut wire = master.connect();
    until_open(&mut wire);
    let store = common::connect(&master.sock());
    store.set("k", "v").unwrap();
    let tombstone = DestroyOptions::new().tombstone(Duration::from_secs(3_600));
    assert!(store.destroy_with("k", tombstone).unwrap());
    wire.ask("SET k late", "$-1\r\n");
    wire.ask("GET k", "$-1\r\n");
    store.set("k", "late").unwrap_err();
}

#[test]
fn a_transaction_is_seen_as_a_whole_while_others_read_fast() {
    const TIMES: u32 = 300;
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let url = server.url();
    let master = Master::start(&["--store", &url]);
    let mut wire = master.connect();
    wire.ask("MSET a 0 b 0", "+OK\r\n");
    until_open(&mut wire);
    let before = gone_fast(&mut wire);
    let value =
        |wire: &mut Wire, key: &str| -> u32 { wire.bulk(&format!("GET {key}")).parse().unwrap() };
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut wire = master.connect();
            for n in 1..=TIMES {
                // As large as what is between is written in several goes.
                let large = "x".repeat(20_000);
                let text =
                    format!("MULTI\r\nSET a {n}\r\nSET large {large}\r\nSET b {n}\r\nEXEC\r\n");
                wire.send(text);
                for reply in [
                    "+OK", "+QUEUED", "+QUEUED", "+QUEUED", "*3", "+OK", "+OK", "+OK",
                ] {
                    assert_eq!(wire.line(), reply);
                }
            }
        });
        for (first, then) in [("a", "b"), ("b", "a")] {
            let master = &master;
            scope.spawn(move || {
                let mut wire = master.connect();
                while value(&mut wire, first) < TIMES {
                    let (one, other) = (value(&mut wire, first), value(&mut wire, then));
                    assert!(one <= other, "{first} is {one}, and then {then} is {other}");
                }
            });
        }
    });
    assert!(gone_fast(&mut wire) > before);
}

#[test]
fn a_server_that_is_killed_under_load_costs_errors_and_no_wrong_replies() {
    let Some(mut server) = Server::start(&[]) else {
        return;
    };
    let url = format!("{}?timeout=2s", server.url());
    let master = Master::start(&["--store", &url]);
    let mut wire = master.connect();
    until_open(&mut wire);
    for _ in 0..3 {
        thread::scope(|scope| {
            let load: Vec<_> = (0..4)
                .map(|client| {
                    let master = &master;
                    scope.spawn(move || {
                        let mut wire = master.connect();
                        let (mut turn, mut failed) = (0, false);
                        while !failed {
                            turn += 1;
                            let (key, value) = (format!("k{client}"), format!("v{client}-{turn}"));
                            wire.send(format!("SET {key} {value}\r\nGET {key}\r\n"));
                            let stored = wire.line();
                            let found = match wire.line() {
                                line if line.starts_with('$') => wire.line(),
                                line => line,
                            };
                            failed = stored != "+OK" || found.starts_with('-');
                            // It may come back empty between the two.
                            assert!(failed || found == value, "{stored} {found}");
                        }
                    })
                })
                .collect();
            let fast = gone_fast(&mut wire);
            eventually("there is some load", || {
                (gone_fast(&mut wire) > fast + 500).then_some(())
            });
            server.kill();
            for client in load {
                client.join().unwrap();
            }
        });
        server.restart();
        eventually("what is written lasts again", || {
            wire.send("SET again 1\r\n");
            (wire.line() == "+OK").then_some(())
        });
        until_open(&mut wire);
    }
}

#[test]
fn a_server_that_hangs_is_waited_for_once_and_used_again_when_it_goes_on() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let url = format!("{}?timeout=1s", server.url());
    let master = Master::start(&["--store", &url]);
    let mut wire = master.connect();
    until_open(&mut wire);
    server.process().signal(Signal::SIGSTOP);
    wire.send("SET k v\r\nGET k\r\n");
    let unknown = "it may or may not have been done";
    for _ in 0..2 {
        let reply = wire.line();
        assert!(reply.starts_with('-') && reply.contains(unknown), "{reply}");
    }
    let begin = Instant::now();
    for _ in 0..10 {
        wire.send("GET k\r\n");
        let reply = wire.line();
        assert!(reply.starts_with("-ERR redis at "), "{reply}");
    }
    let each = begin.elapsed() / 10;
    assert!(each < Duration::from_millis(500), "{each:?} each");
    server.process().signal(Signal::SIGCONT);
    eventually("it is used again", || {
        wire.send("SET k v\r\n");
        (wire.line() == "+OK").then_some(())
    });
    until_open(&mut wire);
}
