//! One commit for many, and what is answered where it fails.

use std::thread;

use memstore_cluster::Error;
use memstore_cluster::backend::BackendError;
use memstore_cluster::protocol::{ErrorCode, Reply, Request};

use super::peer::{World, set};

fn full() -> BackendError {
    BackendError::Failed("the disk is full".to_owned())
}

#[test]
fn what_many_write_while_one_commits_is_committed_at_once() {
    let world = World::new();
    world.gate.shut("commit");
    let mut first = world.peer();
    first.send("SET first 1\r\n");
    world.gate.until_inside("commit");
    let mut peers: Vec<_> = (0..50).map(|_| world.peer()).collect();
    for (number, peer) in peers.iter_mut().enumerate() {
        peer.send(format!("SET k{number} v\r\nSET l{number} v\r\n"));
    }
    world.until_queued(51);
    assert_eq!(world.gate.commits(), (0, 0));
    world.gate.open();
    first.expect("+OK\r\n");
    for peer in &mut peers {
        peer.expect("+OK\r\n+OK\r\n");
    }
    assert_eq!(world.gate.commits(), (2, 0));
}

#[test]
fn what_threads_of_the_masters_own_process_write_is_committed_together_too() {
    let world = World::new();
    world.gate.shut("commit");
    let mut first = world.peer();
    first.send("SET first 1\r\n");
    world.gate.until_inside("commit");
    thread::scope(|scope| {
        for number in 0..20 {
            let store = world.master.store().clone();
            scope.spawn(move || store.set(format!("k{number}"), "v").unwrap());
        }
        // They are no connections, so the loop does not count them; some may come late.
        thread::yield_now();
        world.gate.open();
    });
    first.expect("+OK\r\n");
    let (commits, _) = world.gate.commits();
    assert!((2..=21).contains(&commits), "{commits}");
    assert_eq!(world.master.store().length().unwrap(), 21);
}

#[test]
fn a_commit_that_fails_takes_back_what_depends_on_it_and_nothing_else() {
    let world = World::new();
    let mut peer = world.peer();
    peer.send("HELLO 3\r\nSET a old\r\n");
    while peer.line() != "+OK" {}
    world.gate.fail(Some(full()));
    peer.send("GET a\r\nPING\r\nSET a new\r\nSUBSCRIBE news\r\nGET a\r\nSELECT 0\r\n");
    peer.expect("$3\r\nold\r\n+PONG\r\n");
    peer.expect("-ERR the disk is full\r\n");
    peer.expect(">3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n");
    peer.expect("-ERR the disk is full\r\n");
    peer.expect("+OK\r\n");
    peer.ask("GET a", "$3\r\nold\r\n");
    peer.send("MULTI\r\nSET a new\r\nGET a\r\nEXEC\r\nGET a\r\n");
    peer.expect("+OK\r\n+QUEUED\r\n+QUEUED\r\n-ERR the disk is full\r\n-ERR the disk is full\r\n");
    let mut native = world.peer();
    native.hello();
    native.request(5, &Request::Get { key: b"a" });
    native.request(6, &set("a", b"new"));
    native.request(7, &Request::Ping);
    native.reply(|id, reply| assert!(matches!((id, reply), (5, Reply::Entry(_)))));
    assert_eq!(
        native.error(6),
        (ErrorCode::Backend, "the disk is full".to_owned())
    );
    native.reply(|id, reply| assert!(matches!((id, reply), (7, Reply::Pong))));
    let error = world.master.store().set("a", "new").unwrap_err();
    assert!(
        matches!(&error, Error::Backend(why) if why == "the disk is full"),
        "{error:?}"
    );
    world.gate.fail(None);
    peer.ask("SET a new", "+OK\r\n");
    peer.ask("GET a", "$3\r\nnew\r\n");
}

/// Until something was committed again, everybody has a turn of their own.
#[test]
fn who_only_reads_is_answered_while_nobody_can_write() {
    let world = World::new();
    let (mut writer, mut reader) = (world.peer(), world.peer());
    reader.ask("SET a 1", "+OK\r\n");
    world.gate.fail(Some(full()));
    writer.ask("SET b 1", "-ERR the disk is full\r\n");
    for _ in 0..50 {
        let mut stuck = world.stuck_peer();
        writer.send("SET a 2\r\n");
        world.until_queued(2);
        reader.send("GET a\r\n");
        world.until_queued(3);
        world.gate.open();
        writer.expect("-ERR the disk is full\r\n");
        reader.expect("$1\r\n1\r\n");
        stuck.expect("$-1\r\n");
    }
    world.gate.fail(None);
    writer.ask("SET b 1", "+OK\r\n");
}
