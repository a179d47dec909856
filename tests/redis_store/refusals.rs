//! Writes that are refused now and then, while many read and write at once.

use std::collections::BTreeSet;
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::common::redis::{Master, Wire};
use crate::servers::Server;

const CLIENTS: usize = 6;
const TURNS: usize = 100;
/// So many turns of all clients lie between two times at which writes are refused.
const APART: usize = 60;

/// What is answered to a `GET`, or why nothing is.
fn value(wire: &mut Wire) -> Result<Option<String>, String> {
    let head = wire.line();
    match head.strip_prefix('$') {
        Some("-1") => Ok(None),
        Some(_) => Ok(Some(wire.line())),
        None => Err(head),
    }
}

/// Writes and reads a key of its own, and one that all write. What its own may have in the end.
fn client(number: usize, mut wire: Wire, turns: &AtomicUsize) -> BTreeSet<Option<String>> {
    let mut possible = BTreeSet::from([None]);
    for turn in 0..TURNS {
        turns.fetch_add(1, Ordering::Relaxed);
        let written = format!("{number}-{turn}");
        wire.send(format!(
            "GET own{number}\r\nSET own{number} {written}\r\nGET own{number}\r\nSET all {written}\r\n\
             GET all\r\nGET own{number}\r\n"
        ));
        let before = value(&mut wire);
        let check = |read: Result<Option<String>, String>, possible: &BTreeSet<_>| {
            if let Ok(read) = read {
                let is_possible = possible.contains(&read);
                assert!(
                    is_possible,
                    "client {number}, turn {turn}: {read:?}, not {possible:?}"
                );
            }
        };
        check(before, &possible);
        match wire.line().as_str() {
            "+OK" => possible = BTreeSet::from([Some(written.clone())]),
            // It was a replica.
            refused if refused.starts_with("-READONLY") => {}
            unknown => {
                assert!(unknown.starts_with('-'), "{unknown}");
                possible.insert(Some(written.clone()));
            }
        }
        check(value(&mut wire), &possible);
        let is_shared_written = wire.line() == "+OK";
        if let (Ok(None), true) = (value(&mut wire), is_shared_written) {
            panic!("client {number}, turn {turn}: what was written is gone");
        }
        check(value(&mut wire), &possible);
    }
    possible
}

#[test]
fn nobody_reads_what_was_not_written_while_writes_are_refused_now_and_then() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let master = Master::start(&["--store", &server.url()]);
    let (turns, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let possible: Vec<_> = thread::scope(|scope| {
        let (master, turns, done) = (&master, &turns, &done);
        let clients = (0..CLIENTS).map(|number| {
            scope.spawn(move || {
                let possible = catch_unwind(|| client(number, master.connect(), turns));
                done.fetch_add(1, Ordering::Release);
                possible
            })
        });
        let clients: Vec<_> = clients.collect();
        let mut next = APART;
        while done.load(Ordering::Acquire) < CLIENTS {
            if turns.load(Ordering::Relaxed) >= next {
                server.cli(&["REPLICAOF", "127.0.0.1", "1"]);
                server.cli(&["REPLICAOF", "NO", "ONE"]);
                next += APART;
            }
            thread::yield_now();
        }
        let possible = clients.into_iter().map(|client| client.join().unwrap());
        possible.map(|possible| possible.unwrap()).collect()
    });
    for (number, possible) in possible.into_iter().enumerate() {
        let left = server.cli(&["GET", &format!("own{number}")]);
        assert!(
            possible.contains(&Some(left.clone())),
            "{left}, not {possible:?}"
        );
    }
}
