//! The end of a master, or of its backend: what is answered before, and what is kept.

use std::thread;
use std::time::Duration;

use memstore_cluster::backend::BackendError;
use memstore_cluster::config::Limits;
use memstore_cluster::{Error, Options};

use super::peer::World;

/// The longest that anybody waits for the backend, by real time.
fn hasty() -> Limits {
    Limits {
        backend_timeout: Duration::from_millis(50),
        ..Limits::default()
    }
}

#[test]
fn what_is_queued_when_the_master_is_stopped_is_done_and_dumped() {
    let folder = tempfile::tempdir().unwrap();
    let dump = folder.path().join("dump");
    let world = World::with(Options {
        dump_on_exit: Some(dump.clone()),
        ..Options::default()
    });
    let World { gate, master, .. } = world;
    gate.shut("stuck");
    let mut peers: Vec<_> = (0..20)
        .map(|_| super::peer::Peer::of(master.raw_channel(0).unwrap()))
        .collect();
    peers[0].send("SET stuck 1\r\n");
    gate.until_inside("stuck");
    for (number, peer) in peers.iter_mut().enumerate().skip(1) {
        peer.send(format!("SET k{number} v\r\n"));
    }
    super::peer::until("the queue", || master.load().unwrap().queued == 20);
    thread::scope(|scope| {
        scope.spawn(move || drop(master));
        gate.open();
        for peer in &mut peers {
            assert_eq!(peer.rest(), b"+OK\r\n");
        }
    });
    let next = Options {
        load_on_start: Some(dump),
        standalone: memstore_cluster::Standalone::Always,
        ..Options::default()
    };
    assert_eq!(next.create().unwrap().length().unwrap(), 20);
}

#[test]
fn a_master_whose_backend_is_stuck_ends_without_it() {
    let folder = tempfile::tempdir().unwrap();
    let dump = folder.path().join("dump");
    let world = World::with(Options {
        dump_on_exit: Some(dump.clone()),
        limits: hasty(),
        ..Options::default()
    });
    let mut stuck = world.stuck_peer();
    let mut waiting = world.peer();
    waiting.send("SET a 1\r\n");
    world.until_queued(2);
    let World { gate, master, .. } = world;
    drop(master);
    let told = String::from_utf8(stuck.rest()).unwrap();
    assert!(told.contains("may or may not"), "{told}");
    let told = String::from_utf8(waiting.rest()).unwrap();
    assert!(told.contains("nothing was done"), "{told}");
    assert!(!dump.exists(), "nobody knows what would be in it");
    gate.open();
}

#[test]
fn a_request_at_which_the_backend_panics_fails_and_no_other() {
    let world = World::new();
    let mut peer = world.peer();
    peer.send("SET a 1\r\nSET panic 1\r\nGET a\r\n");
    peer.expect("+OK\r\n-ERR the store's backend panicked\r\n$1\r\n1\r\n");
    let error = world.master.store().set("panic", "").unwrap_err();
    assert!(error.to_string().contains("panicked"), "{error}");
    world.master.store().set("b", "1").unwrap();
}

#[test]
fn a_backend_that_panics_by_itself_ends_the_master_and_hangs_nobody() {
    let world = World::new();
    let mut stuck = world.stuck_peer();
    let (mut writer, mut waiting) = (world.peer(), world.peer());
    writer.send("SET rotten 1\r\n");
    world.until_queued(2);
    waiting.send("SET a 1\r\n");
    world.until_queued(3);
    world.clock.advance(Duration::from_millis(1));
    world.gate.open();
    assert!(stuck.rest().starts_with(b"$-1\r\n"));
    assert!(writer.rest().starts_with(b"+OK\r\n"));
    waiting.rest();
    let error = world.master.store().get("a").unwrap_err();
    assert!(matches!(error, Error::Backend(_)), "{error:?}");
    assert!(world.master.worker(0).is_err());
}

#[test]
fn a_backend_that_is_broken_ends_the_master_and_acknowledges_nothing() {
    let world = World::new();
    let (mut writer, mut reader) = (world.peer(), world.peer());
    reader.ask("PING", "+PONG\r\n");
    world
        .gate
        .fail(Some(BackendError::Broken("the disk is gone".to_owned())));
    writer.send("SET a 1\r\n");
    assert_eq!(writer.rest(), b"-ERR the disk is gone\r\n");
    assert!(reader.rest().is_empty());
    let error = world.master.store().set("a", "1").unwrap_err();
    assert!(matches!(error, Error::Backend(_)), "{error:?}");
}
