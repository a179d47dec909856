//! Sessions that requests use at the same time: nothing is lost and no logout undone, in either
//! dialect.

#![cfg(all(feature = "cli", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "helpers may panic as the tests do")]

mod common;

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use common::connect;
use common::redis::Master;
use memstore_cluster::config::Tombstone;
use memstore_cluster::contract::Capabilities;
use memstore_cluster::testing::{Builder, TestMaster};
use memstore_cluster::time::{ManualClock, Millis};
use memstore_cluster::{
    Batch, DestroyOptions, Error, Options, Outcome, SetOptions, Standalone, Store,
};

const TEN: Duration = Duration::from_secs(10);
const NIL: &str = "$-1\r\n";

fn sessions() -> Options {
    Options {
        tombstones: vec![Tombstone::new("sess:", TEN)],
        ..Options::default()
    }
}

/// A master whose clock stands still, and a worker's handle.
fn still(options: Options) -> (ManualClock, TestMaster, Store) {
    let clock = ManualClock::new(Millis::from_unix(1_000));
    let builder: Builder = TestMaster::builder().options(options);
    let master = builder.clock(clock.clone()).start().unwrap();
    let worker = master.worker(0).unwrap();
    (clock, master, worker)
}

fn is_gone<T>(result: &Result<T, Error>) -> bool {
    matches!(result, Err(Error::Conflict { found: None }))
}

#[test]
fn a_request_under_way_does_not_undo_a_logout() {
    let (clock, master, one) = still(sessions());
    let other = master.worker(1).unwrap();
    assert!(one.capabilities().has(Capabilities::TOMBSTONES));
    one.set("sess:1", "logged in").unwrap();
    let loaded = one.get("sess:1").unwrap().unwrap();
    assert!(other.destroy("sess:1").unwrap());
    assert!(is_gone(&one.set("sess:1", &loaded.value)));
    clock.advance(TEN.mul_f64(0.999));
    assert!(is_gone(&master.store().set("sess:1", &loaded.value)));
    assert!(one.get("sess:1").unwrap().is_none());
    one.set_with("sess:1", "a new one", SetOptions::new().if_absent())
        .unwrap();
    one.set("sess:1", "goes on").unwrap();
    other.destroy("sess:1").unwrap();
    clock.advance(TEN);
    one.set("sess:1", "much later").unwrap();
}

#[test]
fn a_call_has_a_tombstone_of_its_own_in_every_role() {
    let (clock, master, worker) = still(Options::default());
    let alone = Options {
        standalone: Standalone::Always,
        ..Options::default()
    };
    let second = DestroyOptions::new().tombstone(Duration::from_secs(1));
    for store in [&worker, master.store(), &alone.create().unwrap()] {
        store.set("a", "1").unwrap();
        assert!(!store.destroy_with("b", second).unwrap());
        assert!(store.destroy_with("a", second).unwrap());
        assert!(!store.destroy_with("a", second).unwrap());
        assert!(is_gone(&store.set("a", "2")));
        store.set("b", "was not there").unwrap();
        store.clear().unwrap();
        store.set("a", "3").unwrap();
    }
    let mut batch = Batch::new();
    batch
        .destroy_with("a", second)
        .set("a", "4", SetOptions::new())
        .destroy_with("b", DestroyOptions::new());
    let outcomes = worker.run(&batch);
    assert!(matches!(outcomes[0], Ok(Outcome::Found(true))));
    assert!(matches!(outcomes[1], Err(Error::Conflict { found: None })));
    assert!(matches!(outcomes[2], Ok(Outcome::Found(false))));
    clock.advance(Duration::from_secs(1));
    worker.set("a", "5").unwrap();
}

#[test]
fn every_change_of_many_at_once_is_in_the_result() {
    const THREADS: usize = 4;
    const CHANGES: usize = 50;
    let master = TestMaster::start().unwrap();
    let store = master.worker(0).unwrap();
    store
        .set_json("cart", &Vec::<usize>::new(), SetOptions::new().ttl(TEN))
        .unwrap();
    store.set("visits", "0").unwrap();
    let start = Barrier::new(THREADS);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let store = master.worker(u16::try_from(thread).unwrap()).unwrap();
            let start = &start;
            scope.spawn(move || {
                start.wait();
                for change in 0..CHANGES {
                    let number = thread * CHANGES + change;
                    let add = |cart: &mut Vec<usize>| cart.push(number);
                    let cart = store.update_json("cart", add).unwrap().unwrap();
                    assert_eq!(cart.last(), Some(&number));
                    let count = |visits: &[u8]| {
                        let visits: usize = std::str::from_utf8(visits).unwrap().parse().unwrap();
                        (visits + 1).to_string()
                    };
                    assert!(store.update("visits", count).unwrap().is_some());
                }
            });
        }
    });
    let mut cart: Vec<usize> = store.get_json("cart").unwrap().unwrap();
    cart.sort_unstable();
    assert!(cart.into_iter().eq(0..THREADS * CHANGES));
    let visits = store.get("visits").unwrap().unwrap();
    assert_eq!(visits.value, (THREADS * CHANGES).to_string().as_bytes());
    assert!(store.get("cart").unwrap().unwrap().ttl.is_some());
}

#[test]
fn an_update_ends_with_the_entry_and_after_so_many_tries() {
    let master = TestMaster::start().unwrap();
    let (store, other) = (master.worker(0).unwrap(), master.store());
    assert_eq!(store.update("none", |_| "x").unwrap(), None);
    store.set("k", "1").unwrap();
    let destroyed = store.update("k", |_| {
        other.destroy("k").unwrap();
        "2"
    });
    assert_eq!(destroyed.unwrap(), None);
    assert!(store.get("k").unwrap().is_none());
    store.set("k", "1").unwrap();
    let (mut tries, mut last) = (0, None);
    let hopeless = store.update("k", |_| {
        tries += 1;
        last = Some(other.set("k", "other").unwrap());
        "mine"
    });
    assert!(matches!(hopeless, Err(Error::Conflict { found }) if found == last));
    assert_eq!(tries, 64);
    assert!(matches!(
        store.update_json("k", |_: &mut u32| ()),
        Err(Error::Json(_))
    ));
}

#[test]
fn a_session_gets_a_new_id_and_the_old_one_serves_who_is_under_way() {
    let (clock, master, store) = still(sessions());
    let hour = SetOptions::new().ttl(Duration::from_secs(3600));
    for (number, store) in [&store, master.store()].into_iter().enumerate() {
        let [old, new, other] = ["old", "new", "other"].map(|id| format!("sess:{id}:{number}"));
        let grace = Duration::from_secs(5);
        assert_eq!(store.regenerate(&old, &new, grace).unwrap(), None);
        let seq = store.set_with(&old, "cart", hour).unwrap();
        let moved = store.regenerate(&old, &new, grace).unwrap().unwrap();
        assert!(seq < moved);
        store
            .update(&new, |cart| [cart, b", admin"].concat())
            .unwrap();
        assert_eq!(store.get(&old).unwrap().unwrap().value, b"cart");
        store.set_with(&old, "a late save", hour).unwrap();
        assert_eq!(store.get(&old).unwrap().unwrap().ttl, Some(grace));
        assert_eq!(store.regenerate(&old, &other, grace).unwrap(), None);
        let taken = store.regenerate(&new, &old, grace);
        assert!(matches!(taken, Err(Error::Conflict { found: Some(_) })));
        clock.advance(grace);
        assert!(store.get(&old).unwrap().is_none());
        assert!(is_gone(&store.set_with(&old, "a later save", hour)));
        let entry = store.get(&new).unwrap().unwrap();
        assert_eq!(entry.value, b"cart, admin");
        assert!(entry.ttl > Some(Duration::from_secs(3590)));
    }
    let long = "x".repeat(1 << 20);
    assert!(matches!(
        store.regenerate("sess:new:0", &long, TEN),
        Err(Error::KeyTooLong { .. })
    ));
}

#[test]
fn an_unmodified_client_of_redis_does_not_undo_a_logout_either() {
    let master = Master::start(&["--tombstones", "sess:=1h"]);
    let (mut one, mut other) = (master.connect(), master.connect());
    // connect-redis: load, meanwhile a logout, save.
    one.ask("SET sess:1 {} EX 60", "+OK\r\n");
    one.ask("GET sess:1", "$2\r\n{}\r\n");
    other.ask("DEL sess:1", ":1\r\n");
    one.ask("SET sess:1 {} EX 60", NIL);
    one.ask("SETEX sess:1 60 {}", NIL);
    one.ask("PSETEX sess:1 60000 {}", NIL);
    one.ask("EXPIRE sess:1 60", ":0\r\n");
    one.ask("SET sess:1 {} GET", NIL);
    one.ask("GETSET sess:1 {}", NIL);
    one.ask("MSET other 1 sess:1 {}", NIL);
    one.ask("EXISTS sess:1 other", ":0\r\n");
    one.ask("HMSET sess:1 a b", NIL);
    let error = "-TOMBSTONE the key was removed a moment ago (--tombstones); SET it with NX\r\n";
    for command in [
        "HSET sess:1 a b",
        "INCR sess:1",
        "INCRBYFLOAT sess:1 1",
        "APPEND sess:1 x",
        "SETRANGE sess:1 1 x",
    ] {
        one.ask(command, error);
    }
    one.ask("SET other 1", "+OK\r\n");
    one.ask("RENAME other sess:1", error);
    one.ask("COPY other sess:1 REPLACE", ":0\r\n");
    one.ask("EXISTS sess:1 other", ":1\r\n");
    assert!(is_gone(&connect(&master.sock()).set("sess:1", "{}")));
    other.ask("MULTI", "+OK\r\n");
    other.ask("SET sess:1 {}", "+QUEUED\r\n");
    other.ask("EXEC", "*1\r\n$-1\r\n");
    // Elsewhere, and for whoever creates it, nothing is different.
    other.ask("SELECT 1", "+OK\r\n");
    other.ask("SET sess:1 {}", "+OK\r\n");
    other.ask("DEL sess:1", ":1\r\n");
    other.ask("SETNX sess:1 {}", ":1\r\n");
    other.ask("UNLINK sess:1", ":1\r\n");
    other.ask("MSETNX sess:1 a sess:1 b", ":1\r\n");
    other.ask("GETDEL sess:1", "$1\r\nb\r\n");
    other.ask("SET sess:1 {}", NIL);
    other.ask("FLUSHDB", "+OK\r\n");
    other.ask("SET sess:1 {}", "+OK\r\n");
    one.ask("SET sess:1 {} NX", "+OK\r\n");
    one.ask("SET sess:1 {} EX 60", "+OK\r\n");
    one.ask("HSET sess:h a b", ":1\r\n");
    one.ask("HDEL sess:h a", ":1\r\n");
    one.ask("HSET sess:h a b", ":1\r\n");
    one.ask("RENAME sess:1 sess:2", "+OK\r\n");
    one.ask("SET sess:1 {}", NIL);
}

#[test]
fn tombstones_end_with_their_time() {
    let master = Master::start(&["--tombstones", "sess:=20ms"]);
    let mut wire = master.connect();
    wire.ask("SET sess:1 {}", "+OK\r\n");
    wire.ask("DEL sess:1", ":1\r\n");
    common::eventually("it can be written again", || {
        wire.send("SET sess:1 {}\r\n");
        (wire.line() == "+OK").then_some(())
    });
}
