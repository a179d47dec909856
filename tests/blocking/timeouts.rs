//! A backend that takes too long: what is answered in its place, and what becomes of it later.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use memstore_cluster::Error;
use memstore_cluster::protocol::{ErrorCode, Reply, Request};

use super::gate::PATIENCE;
use super::peer::{World, command, set, until};

const NOT_DONE: &str = "-TIMEOUT the store's backend did not answer in time; nothing was done\r\n";
const UNKNOWN: &str =
    "-TIMEOUT the store's backend did not answer in time; it may or may not have been done\r\n";

#[test]
fn what_waits_too_long_gets_an_error_in_its_dialect_and_is_never_done() {
    let world = World::new();
    let (mut redis, mut native) = (world.peer(), world.peer());
    native.hello();
    let mut stuck = world.stuck_peer();
    redis.send("SET a 1\r\n\r\nSET b 1\r\nPING\r\n");
    native.requests(&[(7, &set("c", b"1")), (8, &Request::Ping)]);
    world.until_queued(3);
    world.time_out();
    stuck.expect(UNKNOWN);
    redis.expect(NOT_DONE.repeat(3));
    for id in [7, 8] {
        let (code, message) = native.error(id);
        assert_eq!(code, ErrorCode::Timeout);
        assert!(message.contains("nothing was done"), "{message}");
    }
    assert_eq!(world.master.load().unwrap().timed_out, 3);
    // All go on where they were, and a late result is nobody's.
    stuck.send("ECHO next\r\n");
    redis.send("EXISTS a b c\r\n");
    native.request(9, &Request::Length);
    world.gate.open();
    stuck.expect("$4\r\nnext\r\n");
    redis.expect(":0\r\n");
    native.reply(|id, reply| assert!(matches!((id, reply), (9, Reply::Length(0)))));
    world.until_queued(0);
}

#[test]
fn of_what_was_begun_the_rest_is_not_done() {
    let world = World::new();
    world.gate.shut("stuck");
    let (mut redis, mut native) = (world.peer(), world.peer());
    native.hello();
    redis.send("SET a 1\r\nSET stuck 1\r\nSET b 1\r\n");
    world.gate.until_inside("stuck");
    world.time_out();
    redis.expect(UNKNOWN.repeat(3));
    world.gate.open();
    redis.ask("EXISTS a", ":1\r\n");
    redis.ask("EXISTS stuck", ":1\r\n");
    redis.ask("EXISTS b", ":0\r\n");
    world.gate.shut("stuck");
    native.request(2, &set("stuck", b""));
    world.gate.until_inside("stuck");
    world.time_out();
    let (code, message) = native.error(2);
    assert_eq!(code, ErrorCode::Timeout);
    assert!(message.contains("may or may not"), "{message}");
    world.gate.open();
}

#[test]
fn a_commit_that_takes_too_long_leaves_open_what_was_done() {
    let world = World::new();
    world.gate.shut("commit");
    let mut peer = world.peer();
    peer.send("SET a 1\r\n");
    world.gate.until_inside("commit");
    world.time_out();
    peer.expect(UNKNOWN);
    world.gate.open();
    peer.ask("GET a", "$1\r\n1\r\n");
}

#[test]
fn who_finds_no_room_waits_no_longer_than_others() {
    /// Bytes of requests that may be under way.
    const ROOM: usize = 16 << 20;
    let world = World::new();
    let (mut redis, mut native) = (world.peer(), world.peer());
    redis.ask("PING", "+PONG\r\n");
    native.hello();
    std::thread::scope(|scope| {
        let mut stuck = world.stuck_peer();
        let mut left = ROOM - "GET stuck\r\n".len();
        let mut fillers = Vec::new();
        for _ in 0..3 {
            let mut value = vec![b'x'; 6 << 20];
            let empty = command(&[b"ECHO", &value]).len() - value.len();
            value.truncate(left - empty);
            let (mut peer, request) = (world.peer(), command(&[b"ECHO", &value]));
            left -= request.len();
            fillers.push(scope.spawn(move || {
                peer.send(request);
                peer.expect(NOT_DONE);
            }));
        }
        assert!(left < 10, "{left}");
        world.until_queued(4);
        redis.send("MULTI\r\nSET a 1\r\n");
        native.request(1, &Request::Length);
        // Their time begins now, or when it is the fillers' time.
        world.time_out();
        for filler in fillers {
            filler.join().unwrap();
        }
        stuck.expect(UNKNOWN);
        // Or even later, when the master comes to read what they ask.
        let are_told = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let begin = Instant::now();
                while !are_told.load(Ordering::Relaxed) && begin.elapsed() < PATIENCE {
                    world.time_out();
                    std::thread::yield_now();
                }
            });
            redis.expect(NOT_DONE.repeat(2));
            let (code, _) = native.error(1);
            are_told.store(true, Ordering::Relaxed);
            assert_eq!(code, ErrorCode::Timeout);
        });
        assert_eq!(
            world.master.load().unwrap().queued,
            4,
            "neither was ever under way"
        );
        world.gate.open();
        // What was to begin a transaction is lost, and so is all of it.
        redis.send("SET b 1\r\nEXEC\r\nEXISTS a b\r\n");
        assert_eq!(redis.line(), "+QUEUED");
        assert!(redis.line().starts_with("-EXECABORT "));
        redis.expect(":0\r\n");
    });
}

#[test]
fn a_transaction_that_lost_a_part_is_not_done() {
    for (lost, later) in [
        ("MULTI\r\nSET a 1\r\n", "SET b 1\r\nEXEC\r\n"),
        ("SET x 1\r\nMULTI\r\n", "SET a 1\r\nEXEC\r\n"),
    ] {
        let world = World::new();
        let mut peer = world.peer();
        let _stuck = world.stuck_peer();
        peer.send(lost);
        world.until_queued(2);
        world.time_out();
        peer.expect(NOT_DONE.repeat(2));
        peer.send(later);
        world.gate.open();
        assert_eq!(peer.line(), "+QUEUED");
        assert!(peer.line().starts_with("-EXECABORT "));
        peer.ask("EXISTS a b x", ":0\r\n");
        peer.send("MULTI\r\nSET a 1\r\nEXEC\r\n");
        peer.expect("+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n");
    }
    let world = World::new();
    let mut peer = world.peer();
    peer.send("MULTI\r\nSET a 1\r\n");
    peer.expect("+OK\r\n+QUEUED\r\n");
    let _stuck = world.stuck_peer();
    peer.send("SET b 1\r\n");
    world.until_queued(2);
    world.time_out();
    peer.expect(NOT_DONE);
    peer.send("EXEC\r\n");
    world.gate.open();
    assert!(peer.line().starts_with("-EXECABORT "));
    peer.ask("EXISTS a b", ":0\r\n");
}

#[test]
fn who_wants_no_replies_gets_no_errors_either() {
    let world = World::new();
    let (mut mute, mut skipping) = (world.peer(), world.peer());
    mute.send("CLIENT REPLY OFF\r\n");
    skipping.send("CLIENT REPLY SKIP\r\n");
    until("both", || world.master.load().unwrap().requests == 2);
    let mut stuck = world.stuck_peer();
    mute.send("SET a 1\r\n");
    skipping.send("SET b 1\r\nSET c 1\r\n");
    world.until_queued(3);
    world.time_out();
    stuck.expect(UNKNOWN);
    skipping.expect(NOT_DONE);
    mute.send("CLIENT REPLY ON\r\n");
    skipping.send("PING\r\n");
    world.gate.open();
    mute.expect("+OK\r\n");
    skipping.expect("+PONG\r\n");
}

#[test]
fn a_handle_in_the_masters_process_is_not_kept_waiting_either() {
    let world = World::new();
    let mut stuck = world.stuck_peer();
    let hasty = world.master.store().with_timeout(Duration::from_millis(20));
    for _ in 0..3 {
        let error = hasty.set("a", "1").unwrap_err();
        assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
    }
    world.gate.open();
    stuck.expect("$-1\r\n");
    assert!(world.master.store().get("a").unwrap().is_none());
    hasty.with_timeout(PATIENCE).set("a", "1").unwrap();
}

#[test]
fn an_introduction_that_comes_late_is_one() {
    let world = World::new();
    let stuck = world.stuck_peer();
    let mut peer = world.peer();
    peer.request(1, &Request::Length);
    world.until_queued(2);
    world.time_out();
    let (code, _) = peer.error(1);
    assert_eq!(code, ErrorCode::Timeout);
    world.gate.open();
    drop(stuck);
    peer.hello();
    peer.request(2, &Request::Ping);
    peer.reply(|id, reply| assert!(matches!((id, reply), (2, Reply::Pong))));
}
