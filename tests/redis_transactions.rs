//! Transactions of the Redis dialect, over raw sockets to the real binary. Texts are Redis 7.0's.

#![cfg(all(feature = "cli", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "helpers may panic as the tests do")]

mod common;

use std::time::Duration;

use common::redis::{Master, Wire};
use common::{connect, eventually};

const OK: &str = "+OK\r\n";
const QUEUED: &str = "+QUEUED\r\n";
const ABORTED: &str = "*-1\r\n";

fn begin(wire: &mut Wire) {
    wire.ask("MULTI", OK);
    wire.ask("GET k", QUEUED);
}

#[test]
fn what_is_queued_is_done_at_once_and_answered_in_order() {
    let master = Master::start(&[]);
    let (mut one, mut other) = (master.connect(), master.connect());
    one.ask("MULTI", OK);
    one.ask("SET k v", QUEUED);
    one.ask("GET k", QUEUED);
    one.ask("SET k v NX XX", QUEUED);
    one.ask("ECHO \"two words\"", QUEUED);
    other.ask("GET k", "$-1\r\n");
    one.ask(
        "EXEC",
        "*4\r\n+OK\r\n$1\r\nv\r\n-ERR syntax error\r\n$9\r\ntwo words\r\n",
    );
    other.ask("GET k", "$1\r\nv\r\n");
    one.ask("EXEC", "-ERR EXEC without MULTI\r\n");
    one.ask("DISCARD", "-ERR DISCARD without MULTI\r\n");
}

#[test]
fn nothing_of_a_discarded_transaction_is_done() {
    let master = Master::start(&[]);
    let mut wire = master.connect();
    wire.ask("MULTI", OK);
    wire.ask("SET k v", QUEUED);
    wire.ask("DISCARD", OK);
    wire.ask("GET k", "$-1\r\n");
}

#[test]
fn an_error_while_queueing_aborts_and_one_that_is_answered_at_once_does_not() {
    let master = Master::start(&[]);
    let mut wire = master.connect();
    let aborted = "-EXECABORT Transaction discarded because of previous errors.\r\n";
    for (bad, why) in [
        (
            "NOSUCH",
            "-ERR unknown command 'NOSUCH', with args beginning with: \r\n",
        ),
        (
            "GET",
            "-ERR wrong number of arguments for 'get' command\r\n",
        ),
        (
            "CLIENT NOPE",
            "-ERR unknown subcommand 'NOPE'. Try CLIENT HELP.\r\n",
        ),
    ] {
        wire.ask("MULTI", OK);
        wire.ask("SET k v", QUEUED);
        wire.ask(bad, why);
        wire.ask("SET k w", QUEUED);
        wire.ask("EXEC", aborted);
        wire.ask("GET k", "$-1\r\n");
    }
    wire.ask("MULTI", OK);
    wire.ask("MULTI", "-ERR MULTI calls can not be nested\r\n");
    wire.ask("WATCH k", "-ERR WATCH inside MULTI is not allowed\r\n");
    wire.ask("EXEC", "*0\r\n");
    wire.ask("MULTI", OK);
    let why = "wrong number of arguments for 'exec' command";
    wire.ask(
        "EXEC now",
        &format!("-EXECABORT Transaction discarded because of: {why}\r\n"),
    );
    wire.ask("EXEC", "-ERR EXEC without MULTI\r\n");
}

#[test]
fn a_watched_key_that_changed_aborts_whoever_changed_it() {
    let master = Master::start(&[]);
    let (mut one, mut other) = (master.connect(), master.connect());
    let native = connect(&master.sock());
    native.set("k", "0").unwrap();
    let mut changes: Vec<Box<dyn FnMut()>> = vec![
        Box::new(|| other.ask("SET k 1", OK)),
        Box::new(|| {
            native.set("k", "1").unwrap();
        }),
        Box::new(|| {
            native.touch("k", Some(Duration::from_secs(900))).unwrap();
        }),
        Box::new(|| {
            native.destroy("k").unwrap();
        }),
        Box::new(|| {
            native.set("k", "2").unwrap();
        }),
    ];
    for change in &mut changes {
        one.ask("WATCH other k", OK);
        change();
        begin(&mut one);
        one.ask("EXEC", ABORTED);
        begin(&mut one);
        one.ask(
            "EXEC",
            &native.get("k").unwrap().map_or_else(
                || "*1\r\n$-1\r\n".to_owned(),
                |entry| format!("*1\r\n$1\r\n{}\r\n", entry.value.escape_ascii()),
            ),
        );
    }
}

#[test]
fn a_watched_key_that_expires_aborts() {
    let master = Master::start(&[]);
    let (mut one, mut other) = (master.connect(), master.connect());
    other.ask("SET k v PX 20", OK);
    one.ask("WATCH k", OK);
    eventually("it expires", || {
        other.send("GET k\r\n");
        let line = other.line();
        (line == "$-1").then_some(()).or_else(|| {
            other.line();
            None
        })
    });
    begin(&mut one);
    one.ask("EXEC", ABORTED);
}

#[test]
fn what_is_no_longer_watched_does_not_count() {
    let master = Master::start(&[]);
    let (mut one, mut other) = (master.connect(), master.connect());
    let mut forget = |how: &[(&str, &str)]| {
        one.ask("WATCH k", OK);
        other.ask("SET k v", OK);
        for (command, reply) in how {
            one.ask(command, reply);
        }
        begin(&mut one);
        one.ask("EXEC", "*1\r\n$1\r\nv\r\n");
    };
    forget(&[("UNWATCH", OK)]);
    forget(&[("MULTI", OK), ("DISCARD", OK)]);
    forget(&[("MULTI", OK), ("EXEC", ABORTED)]);
    forget(&[("RESET", "+RESET\r\n")]);
}

#[test]
fn a_transaction_is_bounded() {
    let master = Master::start(&["--max-value", "64KiB"]);
    let mut wire = master.connect();
    let value = "v".repeat(60 << 10);
    wire.ask(&format!("SET k {value}"), OK);
    // The replies of these would be 3 GiB.
    wire.ask("MULTI", OK);
    for _ in 0..50 {
        wire.send("GET k\r\n".repeat(1_000));
        wire.expect(QUEUED.repeat(1_000));
    }
    wire.ask("SET done 1", QUEUED);
    wire.ask(
        "EXEC",
        "-ERR the transaction was done, but its replies are too large to be sent\r\n",
    );
    wire.ask("GET done", "$1\r\n1\r\n");
    // More requests than are kept.
    wire.ask("MULTI", OK);
    for _ in 0..64 {
        wire.send("PING\r\n".repeat(1 << 10));
        wire.expect(QUEUED.repeat(1 << 10));
    }
    wire.ask("PING", "-ERR the transaction is too large\r\n");
    wire.ask("PING", QUEUED);
    wire.ask(
        "EXEC",
        "-EXECABORT Transaction discarded because of previous errors.\r\n",
    );
}
