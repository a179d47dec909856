//! Publish and subscribe, and what is told of changes of keys, over raw sockets to the real binary.

#![cfg(all(feature = "cli", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "helpers may panic as the tests do")]

mod common;

use std::time::Duration;

use common::redis::{Master, Wire};
use common::{connect, eventually};

/// An array or push of strings and, where it starts with a colon, integers.
fn message(marker: char, parts: &[&str]) -> String {
    let mut text = format!("{marker}{}\r\n", parts.len());
    for part in parts {
        if !part.starts_with(':') {
            text += "$";
            text += &part.len().to_string();
            text += "\r\n";
        }
        text += part;
        text += "\r\n";
    }
    text
}

fn resp3(master: &Master) -> Wire {
    let mut wire = master.connect();
    wire.send("HELLO 3\r\n");
    wire.expect("%7\r\n");
    while wire.line() != "*0" {}
    wire
}

#[test]
fn a_message_reaches_every_subscriber_in_its_protocol() {
    let master = Master::start(&[]);
    let (mut two, mut three, mut publisher) = (master.connect(), resp3(&master), master.connect());
    two.ask("SUBSCRIBE a", &message('*', &["subscribe", "a", ":1"]));
    two.ask(
        "PSUBSCRIBE a* b*",
        &(message('*', &["psubscribe", "a*", ":2"]) + &message('*', &["psubscribe", "b*", ":3"])),
    );
    three.ask("SUBSCRIBE a", &message('>', &["subscribe", "a", ":1"]));
    three.ask("SSUBSCRIBE a", &message('>', &["ssubscribe", "a", ":1"]));
    publisher.ask("PUBLISH a hello", ":3\r\n");
    two.expect(message('*', &["message", "a", "hello"]));
    two.expect(message('*', &["pmessage", "a*", "a", "hello"]));
    three.expect(message('>', &["message", "a", "hello"]));
    publisher.ask("SPUBLISH a hi", ":1\r\n");
    three.expect(message('>', &["smessage", "a", "hi"]));
    publisher.ask("PUBLISH nobody hi", ":0\r\n");
    publisher.ask("PUBSUB NUMSUB a b", &message('*', &["a", ":2", "b", ":0"]));
    publisher.ask("PUBSUB NUMPAT", ":2\r\n");
    publisher.ask("PUBSUB CHANNELS", &message('*', &["a"]));
    publisher.ask("PUBSUB SHARDNUMSUB a", &message('*', &["a", ":1"]));
}

#[test]
fn a_subscribed_connection_may_do_little_in_resp2_and_all_in_resp3() {
    let master = Master::start(&[]);
    let (mut two, mut three) = (master.connect(), resp3(&master));
    two.ask("SUBSCRIBE a", &message('*', &["subscribe", "a", ":1"]));
    let only = "only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this \
                context";
    two.ask("GET k", &format!("-ERR Can't execute 'get': {only}\r\n"));
    two.ask(
        "CLIENT ID",
        &format!("-ERR Can't execute 'client|id': {only}\r\n"),
    );
    two.ask("PING", &message('*', &["pong", ""]));
    two.ask("PING x", &message('*', &["pong", "x"]));
    two.ask("UNSUBSCRIBE", &message('*', &["unsubscribe", "a", ":0"]));
    two.ask("UNSUBSCRIBE", "*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n");
    two.ask("GET k", "$-1\r\n");
    three.ask("SUBSCRIBE a", &message('>', &["subscribe", "a", ":1"]));
    three.ask("GET k", "_\r\n");
    three.ask("PING", "+PONG\r\n");
    three.ask(
        "PUBLISH a x",
        &(message('>', &["message", "a", "x"]) + ":1\r\n"),
    );
    three.ask("QUIT", "+OK\r\n");
    assert_eq!(three.until_closed(), 0);
}

#[test]
fn messages_and_replies_come_in_the_order_in_which_things_happened() {
    let master = Master::start(&[]);
    let (mut subscriber, mut publisher) = (resp3(&master), master.connect());
    subscriber.ask("SUBSCRIBE a", &message('>', &["subscribe", "a", ":1"]));
    // One write: whoever is served in which turn, nothing comes after the confirmation.
    subscriber.send("PUBLISH a 1\r\nUNSUBSCRIBE a\r\nPUBLISH a 2\r\n");
    subscriber.expect(message('>', &["message", "a", "1"]));
    subscriber.expect(":1\r\n");
    subscriber.expect(message('>', &["unsubscribe", "a", ":0"]));
    subscriber.expect(":0\r\n");
    for round in 0..200 {
        subscriber.ask("SUBSCRIBE a", &message('>', &["subscribe", "a", ":1"]));
        publisher.send(format!("PUBLISH a {round:03}\r\n"));
        subscriber.send("UNSUBSCRIBE a\r\n");
        if publisher.line() == ":1" {
            subscriber.expect(message('>', &["message", "a", &format!("{round:03}")]));
        }
        subscriber.expect(message('>', &["unsubscribe", "a", ":0"]));
    }
}

#[test]
fn subscriptions_end_with_their_connection_and_by_reset() {
    let master = Master::start(&[]);
    let (mut gone, mut stays, mut asker) = (master.connect(), master.connect(), master.connect());
    gone.ask("SUBSCRIBE a", &message('*', &["subscribe", "a", ":1"]));
    stays.ask("PSUBSCRIBE *", &message('*', &["psubscribe", "*", ":1"]));
    asker.ask("PUBSUB NUMPAT", ":1\r\n");
    stays.ask("RESET", "+RESET\r\n");
    drop(gone);
    eventually("it is forgotten", || {
        asker.send("PUBLISH a x\r\n");
        (asker.line() == ":0").then_some(())
    });
    asker.ask("PUBSUB CHANNELS", "*0\r\n");
    asker.ask("PUBSUB NUMPAT", ":0\r\n");
}

#[test]
fn a_subscriber_that_does_not_read_is_cut_and_the_others_are_served() {
    let master = Master::start(&[]);
    let (mut slow, mut good, mut publisher) =
        (master.connect(), master.connect(), master.connect());
    slow.ask("SUBSCRIBE a", &message('*', &["subscribe", "a", ":1"]));
    good.ask("SUBSCRIBE a", &message('*', &["subscribe", "a", ":1"]));
    let text = "x".repeat(1 << 20);
    eventually("the slow one is cut", || {
        publisher.send(format!("PUBLISH a {}\r\n", &text[..60 << 10]));
        let count = publisher.line();
        good.expect(message('*', &["message", "a", &text[..60 << 10]]));
        (count == ":1").then_some(())
    });
    assert!(slow.until_closed() > 0);
}

#[test]
fn one_connection_has_so_many_subscriptions_and_no_more() {
    let master = Master::start(&[]);
    let mut wire = resp3(&master);
    let pattern = "x".repeat(300);
    wire.ask(
        &format!("PSUBSCRIBE ok {pattern}"),
        "-ERR too many subscriptions on one connection\r\n",
    );
    wire.ask("PUBSUB NUMPAT", ":0\r\n");
}

#[test]
fn changes_of_keys_are_told_as_the_flag_says_in_both_dialects() {
    let master = Master::start(&["--notify-keyspace-events", "KEA"]);
    let native = connect(&master.sock());
    let mut wire = resp3(&master);
    wire.send("PSUBSCRIBE __key*\r\n");
    wire.expect(message('>', &["psubscribe", "__key*", ":1"]));
    let mut tells = |event: &str| {
        let (space, of) = ("__keyspace@0__:k", format!("__keyevent@0__:{event}"));
        wire.expect(message('>', &["pmessage", "__key*", space, event]));
        wire.expect(message('>', &["pmessage", "__key*", &of, "k"]));
    };
    native.set("k", "v").unwrap();
    tells("set");
    native.touch("k", Some(Duration::from_secs(60))).unwrap();
    tells("expire");
    native.destroy("k").unwrap();
    tells("del");
    native.destroy("k").unwrap();
    wire.ask(
        "CONFIG GET notify-*",
        "%1\r\n$22\r\nnotify-keyspace-events\r\n$3\r\nAKE\r\n",
    );
    wire.ask("CONFIG SET notify-keyspace-events Eg", "+OK\r\n");
    native.set("k", "v").unwrap();
    native.destroy("k").unwrap();
    wire.expect(message(
        '>',
        &["pmessage", "__key*", "__keyevent@0__:del", "k"],
    ));
    wire.ask("CONFIG SET notify-keyspace-events \"\"", "+OK\r\n");
    native.set("k", "v").unwrap();
    wire.ask("PING", "+PONG\r\n");
}

#[test]
fn what_went_by_itself_is_told_in_order_and_without_being_asked_for() {
    let master = Master::start(&["--notify-keyspace-events", "Ex$"]);
    let (mut wire, mut other) = (resp3(&master), master.connect());
    wire.send("PSUBSCRIBE *\r\n");
    wire.expect(message('>', &["psubscribe", "*", ":1"]));
    other.ask("SET k v PX 20", "+OK\r\n");
    let mut tells = |channel: &str, key: &str| {
        wire.expect(message('>', &["pmessage", "*", channel, key]));
    };
    tells("__keyevent@0__:set", "k");
    tells("__keyevent@0__:expired", "k");
    other.ask("SELECT 3", "+OK\r\n");
    other.ask("SET k v PX 20", "+OK\r\n");
    tells("__keyevent@3__:set", "k");
    tells("__keyevent@3__:expired", "k");
}

#[test]
fn what_was_evicted_is_told() {
    let memory = ["--max-memory", "4MiB", "--max-memory-policy", "evict"];
    let master = Master::start(&[&memory[..], &["--notify-keyspace-events", "Ee"]].concat());
    let (mut wire, mut other) = (resp3(&master), master.connect());
    wire.send("SUBSCRIBE __keyevent@0__:evicted\r\n");
    wire.expect(message('>', &["subscribe", "__keyevent@0__:evicted", ":1"]));
    let value = "v".repeat(10_000);
    for number in 0..1_000 {
        other.ask(&format!("SET key:{number:04} {value}"), "+OK\r\n");
    }
    wire.expect(">3\r\n$7\r\nmessage\r\n$22\r\n__keyevent@0__:evicted\r\n$8\r\nkey:");
    other.ask(
        "CONFIG GET maxmemory-policy",
        "*2\r\n$16\r\nmaxmemory-policy\r\n$11\r\nallkeys-lru\r\n",
    );
}
