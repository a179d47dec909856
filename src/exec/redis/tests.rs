//! Sessions over the memory backend: what no Redis can be asked, because it is ours.

use super::{Host, Session, Shared, Taken};
use crate::backend::{Backend, Cursor, EntryRef, MemoryBackend, Walk};
use crate::config::{KeyspaceEvents, Limits};
use crate::exec::{Hub, Origin};
use crate::time::Millis;

const NOW: Millis = Millis::from_unix(5_000);

/// A server with one connection.
struct World {
    backend: MemoryBackend,
    limits: Limits,
    shared: Shared,
    hub: Hub,
    session: Session,
    now: Millis,
}

impl World {
    fn new(backend: MemoryBackend, limits: Limits) -> Self {
        let mut backend = backend;
        let mut shared = Shared::new(NOW, 1);
        let mut hub = Hub::new(&limits, KeyspaceEvents::default());
        let mut host = Host {
            backend: &mut backend,
            now: NOW,
            limits: &limits,
            secret: None,
            shared: &mut shared,
            hub: &mut hub,
        };
        let session = Session::new(&mut host, Origin::Path);
        Self {
            backend,
            limits,
            shared,
            hub,
            session,
            now: NOW,
        }
    }

    /// The reply to a line.
    fn ask(&mut self, line: &str) -> String {
        let mut host = Host {
            backend: &mut self.backend,
            now: self.now,
            limits: &self.limits,
            secret: None,
            shared: &mut self.shared,
            hub: &mut self.hub,
        };
        let mut out = Vec::new();
        let line = format!("{line}\r\n");
        let taken = self.session.request(&mut host, line.as_bytes(), &mut out);
        assert!(matches!(taken, Taken::Request(..)), "{taken:?}");
        String::from_utf8(out).unwrap().trim_end().to_owned()
    }

    /// Everything there is, in order.
    fn content(&mut self) -> Vec<(Vec<u8>, Vec<u8>, Option<Millis>)> {
        let (mut content, mut next) = (Vec::new(), Some(Cursor::default()));
        while let Some(cursor) = next {
            let visit = &mut |key: &[u8], entry: EntryRef<'_>| {
                content.push((key.to_vec(), entry.value.to_vec(), entry.deadline));
                Walk::On
            };
            next = self.backend.all(NOW, cursor, visit).unwrap();
        }
        content.sort();
        content
    }
}

fn world() -> World {
    World::new(MemoryBackend::new(), Limits::default())
}

/// Where the largest bulk reply or the whole of many is beyond the cap.
fn tight() -> World {
    let limits = Limits {
        max_value: 4 << 20,
        ..Limits::default()
    };
    World::new(MemoryBackend::new(), limits)
}

#[test]
fn a_value_is_replaced_if_it_is_still_the_one_that_was_read() {
    let mut world = world();
    assert_eq!(world.ask("GETSEQ k"), "*-1");
    world.ask("SET k one");
    let read = world.ask("GETSEQ k");
    let seq = read.lines().nth(1).unwrap()[1..].to_owned();
    assert_eq!(read, format!("*2\r\n:{seq}\r\n$3\r\none"));
    assert_eq!(world.ask("EXPIRE k 100"), ":1", "which is no write");
    assert_eq!(world.ask(&format!("SET k two IFSEQ {seq} KEEPTTL")), "+OK");
    assert_eq!(world.ask("TTL k"), ":100");
    assert_eq!(world.ask(&format!("SET k three IFSEQ {seq}")), "$-1");
    assert_eq!(
        world.ask(&format!("SET k three IFSEQ {seq} GET")),
        "$3\r\ntwo"
    );
    assert_eq!(world.ask("GET k"), "$3\r\ntwo");
}

#[test]
fn what_memory_does_not_hold_changes_nothing() {
    let backend = MemoryBackend::new().max_memory(Some(3 << 20));
    let mut world = World::new(backend, Limits::default());
    world.ask("SET small 1 PX 100000");
    world.ask("SET gone 2");
    world.ask("SETRANGE large 1500000 x");
    let before = world.content();
    for line in [
        "COPY large other",
        "COPY large small REPLACE",
        "RENAME large other",
        "RENAME large small",
        "RENAMENX large other",
        "SETRANGE other 1500000 x",
        "SETRANGE small 1500000 x",
        "SETRANGE large 3000000 x",
    ] {
        let reply = world.ask(line);
        assert!(reply.starts_with("-OOM "), "{line}: {reply}");
        assert!(world.content() == before, "{line} has changed something");
    }
    assert_eq!(world.ask("DEL large"), ":1");
    assert_eq!(world.ask("RENAME gone small"), "+OK");
}

#[test]
fn a_reply_has_a_bound() {
    let mut world = tight();
    world.ask("SETRANGE k 4000000 x");
    assert!(world.ask("MGET k k").starts_with("*2\r\n$4000001\r\n"));
    let refused = world.ask(&format!("MGET{}", " k".repeat(10)));
    assert!(refused.starts_with("-ERR the reply"), "{refused:.50}");
    assert_eq!(world.ask("PING"), "+PONG");
}

#[test]
fn every_key_is_a_random_key_sooner_or_later() {
    let mut world = world();
    let mut left: Vec<_> = (0..4).map(|n| format!("key:{n:02}")).collect();
    for key in &left {
        world.ask(&format!("SET {key} x"));
    }
    // Where two keys are next to each other in the order of their hashes, the second one is rare.
    for _ in 0..1_000_000 {
        let key = world.ask("RANDOMKEY");
        let key = key.strip_prefix("$6\r\n").unwrap();
        left.retain(|other| other != key);
        if left.is_empty() {
            return;
        }
    }
    panic!("never: {left:?}");
}

#[test]
fn a_scan_that_asks_for_much_gets_some_of_it() {
    let mut world = world();
    for n in 0..11_000 {
        world.ask(&format!("SET {n} x"));
    }
    let page = world.ask("SCAN 0 COUNT 9000000000");
    assert!(!page.starts_with("*2\r\n$1\r\n0\r\n"), "there is more");
    assert!(page.contains("\r\n*10000\r\n"));
    assert!(world.ask("KEYS *").starts_with("*11000\r\n"));
    assert_eq!(world.ask("DBSIZE"), ":11000");
    assert!(world.ask("SCAN 18446744073709551615").starts_with("*2\r\n"));
}

#[test]
fn the_keys_that_expire_are_counted() {
    let mut world = world();
    let told = |world: &mut World| {
        let info = world.ask("INFO keyspace");
        info.lines().last().unwrap().to_owned()
    };
    world.ask("SET a 1 PX 100000");
    world.ask("SET b 1 PX 300000");
    world.ask("SET c 1 PX 50");
    world.ask("SET d 1");
    world.ask("PERSIST c");
    assert_eq!(told(&mut world), "db0:keys=4,expires=2,avg_ttl=200000");
    world.ask("PEXPIRE a 500000");
    world.ask("PEXPIRE c 10");
    world.ask("DEL b");
    world.now = NOW.after_ms(20);
    assert_eq!(world.ask("DBSIZE"), ":2");
    let told = told(&mut world);
    // The one that is gone but not yet removed is in the mean.
    assert!(told.starts_with("db0:keys=2,expires=1,avg_ttl="), "{told}");
    world.backend.upkeep(world.now);
    world.ask("FLUSHALL");
    assert_eq!(
        world.ask("INFO keyspace").lines().last(),
        Some("# Keyspace")
    );
}

#[test]
fn what_is_no_longer_watched_takes_no_memory() {
    let mut world = world();
    for end in [
        &["UNWATCH"][..],
        &["RESET"],
        &["MULTI", "DISCARD"],
        &["MULTI", "EXEC"],
        &["MULTI", "EXEC now"],
        &["MULTI", "NOSUCH", "EXEC"],
        &["SET k v", "DEL k", "UNWATCH"],
    ] {
        world.ask("WATCH k l k");
        assert!(!world.hub.watches.is_empty());
        for line in end {
            world.ask(line);
        }
        assert!(world.hub.watches.is_empty(), "{end:?}");
    }
    world.ask("WATCH k");
    world.session.leave(&mut world.hub, &mut world.shared);
    assert!(world.hub.watches.is_empty());
}
