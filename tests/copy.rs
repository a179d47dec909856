//! `copy` between stores of different kinds, by the real binary.

#![cfg(all(feature = "cli", feature = "redis"))]
#![allow(clippy::unwrap_used, reason = "helpers may panic as the tests do")]

mod common;
#[path = "redis_store/servers.rs"]
#[allow(dead_code, unreachable_pub, reason = "each test program uses its part")]
mod servers;

use std::path::Path;
use std::process::Output;
use std::time::Duration;

use common::redis::Master;
use common::{Running, connect, eventually, memstore};
use memstore_cluster::SetOptions;
use nix::sys::signal::Signal;
use servers::Server;

/// The other end, which may be a master's socket.
fn copy(from: &str, to: &str) -> Output {
    memstore(["copy", from, to]).output().unwrap()
}

fn master(sock: &Path) -> String {
    format!("master:{}", sock.display())
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn a_store_moves_to_redis_and_back_with_its_deadlines() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let first = Master::start(&[]);
    let store = connect(&first.sock());
    for number in 0..2_000 {
        let ttl = Duration::from_secs(1_000 + number);
        let options = SetOptions::new().ttl(ttl);
        store
            .set_with(format!("sess:{number}"), vec![b'v'; 100], options)
            .unwrap();
    }
    store.set("for ever", [0, 159, 146, 150]).unwrap();
    let output = copy(&master(&first.sock()), &server.url());
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("2001 written"), "{}", said(&output));
    assert!(
        said(&output).contains("verified: 2001 entries"),
        "{}",
        said(&output)
    );
    assert_eq!(server.cli(&["DBSIZE"]), "2001");
    let ttl: u64 = server.cli(&["TTL", "sess:500"]).parse().unwrap();
    assert!((1_400..=1_500).contains(&ttl), "{ttl}");

    // Once more only what is different is written.
    server.cli(&["DEL", "sess:7"]);
    server.cli(&["SET", "sess:8", "changed", "KEEPTTL"]);
    server.cli(&["PERSIST", "sess:9"]);
    server.cli(&["SET", "another", "stays"]);
    let output = copy(&master(&first.sock()), &server.url());
    assert!(said(&output).contains("3 written"), "{}", said(&output));
    assert!(said(&output).contains("another one"), "{}", said(&output));

    let second = Master::start(&[]);
    let output = copy(&server.url(), &master(&second.sock()));
    assert!(output.status.success(), "{}", said(&output));
    let moved = connect(&second.sock());
    assert_eq!(moved.length().unwrap(), 2_002);
    assert_eq!(
        moved.get("for ever").unwrap().unwrap().value,
        [0, 159, 146, 150]
    );
    let ttl = moved.get("sess:500").unwrap().unwrap().ttl.unwrap();
    assert!((1_400..=1_500).contains(&ttl.as_secs()), "{ttl:?}");
}

#[test]
fn a_live_copy_follows_until_it_is_ended() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let first = Master::start(&[]);
    let store = connect(&first.sock());
    store.set("a", "1").unwrap();
    store.set("b", "1").unwrap();
    let from = master(&first.sock());
    let url = server.url();
    let mut live = Running::start(&mut memstore(["copy", "--live", &from, &url]));
    live.stderr().until_contains("in step");
    store.set("a", "2").unwrap();
    store.destroy("b").unwrap();
    server.cli(&["SET", "theirs", "1"]);
    eventually("the copy follows", || {
        let is_there = server.cli(&["GET", "a"]) == "2" && server.cli(&["EXISTS", "b"]) == "0";
        is_there.then_some(())
    });
    store.set("c", "the last").unwrap();
    live.signal(Signal::SIGTERM);
    let ended = live.finish();
    assert!(ended.status.success(), "{:?}", ended.stderr);
    let said = ended.stderr.join("\n");
    assert!(said.contains("verified: 2 entries"), "{said}");
    assert_eq!(
        server.cli(&["MGET", "a", "b", "c", "theirs"]),
        "2\n\nthe last\n1"
    );
}

#[test]
fn what_cannot_be_copied_is_told() {
    for (from, to, code, part) in [
        ("memory:", "master:/none", 2, "in a master"),
        ("master:/none", "memory:/none/x", 69, "/none"),
        (
            "redis://127.0.0.1:1",
            "master:/none",
            1,
            "redis at 127.0.0.1:1",
        ),
        ("colour:x", "memory:x", 78, "colour"),
        ("master:/a", "master:/a", 2, "the same"),
        ("master:/tmp/a", "master:/tmp/../tmp/a", 69, "/tmp/a"),
        (
            "redis://h:1/2",
            "redis://h:1/2?prefix=x",
            2,
            "part of the other",
        ),
        (
            "redis://h?prefix=xy",
            "redis://h:6379?prefix=x",
            2,
            "part of the other",
        ),
        ("redis-cluster://a,b", "redis-cluster://c,a", 2, "the same"),
        (
            "sqlite:/x.db",
            "sqlite:/x.db?synchronous=off",
            2,
            "the same",
        ),
    ] {
        let output = copy(from, to);
        assert_eq!(output.status.code(), Some(code), "{from} {}", said(&output));
        assert!(said(&output).contains(part), "{from} {}", said(&output));
    }
}

#[test]
fn a_live_copy_goes_on_where_a_store_was_away() {
    let Some(mut server) = Server::start(&[]) else {
        return;
    };
    let first = Master::start(&[]);
    let store = connect(&first.sock());
    store.set("a", "1").unwrap();
    let (from, url) = (master(&first.sock()), server.url());
    let mut live = Running::start(&mut memstore(["copy", "--live", &from, &url]));
    live.stderr().until_contains("in step");
    server.kill();
    live.stderr().until_contains("trying again");
    store.set("b", "2").unwrap();
    server.restart();
    eventually("the copy is whole again", || {
        (server.cli(&["MGET", "a", "b"]) == "1\n2").then_some(())
    });
    live.signal(Signal::SIGTERM);
    assert!(live.finish().status.success());
}

#[test]
fn what_a_new_master_does_not_have_is_not_removed() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let folder = common::folder();
    let sock = folder.path().join("sock");
    let start = || {
        let mut serve = memstore(["serve", "--sock"]);
        let running = Running::start(serve.arg(&sock));
        running.stderr().until_contains("serving");
        running
    };
    let before = start();
    connect(&sock).set("a", "1").unwrap();
    let url = server.url();
    let mut live = Running::start(&mut memstore(["copy", "--live", &master(&sock), &url]));
    live.stderr().until_contains("in step");
    before.signal(Signal::SIGKILL);
    drop(before);
    let _after = start();
    connect(&sock).set("b", "2").unwrap();
    live.stderr().until_contains("another master");
    live.signal(Signal::SIGTERM);
    assert!(live.finish().status.success());
    assert_eq!(server.cli(&["MGET", "a", "b"]), "1\n2");
}

#[test]
fn large_values_are_copied_and_what_is_refused_is_named() {
    let folder = common::folder();
    let first = Master::start(&["--max-value", "16m"]);
    let store = connect(&first.sock());
    store.set("large", vec![b'x'; 10 << 20]).unwrap();
    let from = master(&first.sock());
    let sqlite = format!("sqlite:{}", folder.path().join("db").display());
    let output = copy(&from, &sqlite);
    assert!(output.status.success(), "{}", said(&output));
    let small = Master::start(&[]);
    let output = copy(&sqlite, &master(&small.sock()));
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let refusal = format!("cannot write large to master:{}", small.sock().display());
    assert!(said(&output).contains(&refusal), "{}", said(&output));
    assert!(said(&output).contains("--max-value"), "{}", said(&output));
}

#[test]
fn hashes_and_databases_are_copied_where_there_is_room_and_else_told_of() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let first = Master::start(&[]);
    let mut wire = first.connect();
    wire.ask(
        "SET a 1\r\nHSET h f v g w\r\nPEXPIRE h 1000000\r\nSELECT 3\r\nSET b 2 PX 1000000\r\n",
        "+OK\r\n:2\r\n:1\r\n+OK\r\n+OK\r\n",
    );
    let from = master(&first.sock());
    let second = Master::start(&[]);
    let to = master(&second.sock());
    let mut copying = Running::start(&mut memstore(["copy", "--live", &from, &to]));
    copying.stderr().until_contains("in step");
    wire.ask(
        "SELECT 5\r\nHSET i f v\r\nSELECT 3\r\nSET c 1\r\n",
        "+OK\r\n:1\r\n+OK\r\n+OK\r\n",
    );
    let mut copied = second.connect();
    eventually("the copy follows", || {
        copied.send("SELECT 3\r\nEXISTS c\r\n");
        copied.line();
        (copied.line() == ":1").then_some(())
    });
    wire.ask("DEL c\r\n", ":1\r\n");
    copying.signal(Signal::SIGTERM);
    let ended = copying.finish();
    let said_last = ended.stderr.join("\n");
    assert!(ended.status.success(), "{said_last}");
    assert!(
        said_last.contains("1 entries are the same in both"),
        "{said_last}"
    );
    assert!(
        said_last.contains("and 3 hashes and entries of other databases"),
        "{said_last}"
    );
    let mut copied = second.connect();
    copied.ask(
        "GET a\r\nHGET h g\r\nSELECT 5\r\nHGET i f\r\nSELECT 3\r\nGET b\r\nEXISTS c\r\n",
        "$1\r\n1\r\n$1\r\nw\r\n+OK\r\n$1\r\nv\r\n+OK\r\n$1\r\n2\r\n:0\r\n",
    );
    copied.send("PTTL b\r\nSELECT 0\r\nPTTL h\r\n");
    for expected in [true, false, true] {
        let line = copied.line();
        let is_ttl = line[1..]
            .parse()
            .is_ok_and(|ms: u64| (900_000..=1_000_000).contains(&ms));
        assert_eq!(is_ttl, expected, "{line}");
    }

    let output = copy(&from, &server.url());
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let left_out = "LEFT OUT: 1 hashes and 2 entries of other databases";
    assert!(said(&output).contains(left_out), "{}", said(&output));
    assert!(
        said(&output).contains("verified: 1 entries"),
        "{}",
        said(&output)
    );
    assert_eq!(server.cli(&["DBSIZE"]), "1");
}

#[test]
fn a_master_waits_with_its_end_for_who_follows_its_store_until_it_is_urged() {
    let folder = common::folder();
    let sqlite = format!("sqlite:{}", folder.path().join("db").display());
    for store in ["memory:", &sqlite] {
        for is_urged in [false, true] {
            let mut master = Master::start(&["--store", store]);
            let mut follower = master.connect();
            follower.ask(
                "SUBSCRIBE __memstore__:farewell\r\n",
                "*3\r\n$9\r\nsubscribe\r\n$21\r\n__memstore__:farewell\r\n:1\r\n",
            );
            master.running.signal(Signal::SIGTERM);
            follower.ask(
                "",
                "*3\r\n$7\r\nmessage\r\n$21\r\n__memstore__:farewell\r\n$0\r\n\r\n",
            );
            master.connect().ask("SET k v\r\n", "+OK\r\n");
            if is_urged {
                master.running.signal(Signal::SIGTERM);
            } else {
                drop(follower);
            }
            assert!(master.running.wait().success(), "{store} {is_urged}");
        }
    }
}

/// The three steps of the README, with an application that writes until the last moment.
#[test]
fn an_application_moves_to_redis_in_three_steps() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let folder = common::folder();
    let sock = folder.path().join("sock");
    let binary = memstore([""; 0]).get_program().to_owned();
    let script = r#"
        trap '"$BINARY" set sess:last "{}"; exit 0' TERM
        "$BINARY" set sess:first '{"n":1}'
        while :; do sleep 0.02; done"#;
    let mut run = memstore(["run", "--workers", "1", "--sock"]);
    run.arg(&sock)
        .env("BINARY", binary)
        .args(["--", "sh", "-c", script]);
    let mut before = Running::start(&mut run);
    before.stderr().until_contains("worker started");
    eventually("the application has written", || {
        let store = connect(&sock);
        store.get("sess:first").unwrap().map(drop)
    });
    // 1.
    let (from, url) = (master(&sock), server.url());
    let mut live = Running::start(&mut memstore(["copy", "--live", &from, &url]));
    live.stderr().until_contains("in step");
    // 2.
    before.signal(Signal::SIGTERM);
    let ended = live.finish();
    assert!(ended.status.success(), "{:?}", ended.stderr);
    let said = ended.stderr.join("\n");
    assert!(said.contains("verified: 2 entries"), "{said}");
    assert!(before.wait().success());
    // 3.
    let flags = ["--store", url.as_str(), "--sessions", "sess:=1d"];
    let (one, other) = (Master::start(&flags), Master::start(&flags));
    let store = connect(&one.sock());
    assert_eq!(
        store.get("sess:first").unwrap().unwrap().value,
        br#"{"n":1}"#
    );
    assert_eq!(store.get("sess:last").unwrap().unwrap().value, b"{}");
    store
        .set("sess:2", r#"{"cookie":{"expires":null}}"#)
        .unwrap();
    let found = connect(&other.sock()).get("sess:2").unwrap().unwrap();
    assert!(
        found
            .ttl
            .is_some_and(|ttl| ttl > Duration::from_secs(86_000)),
        "{found:?}"
    );
}
