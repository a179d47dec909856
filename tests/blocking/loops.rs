//! What goes on while a backend is stuck, and in which order things come after.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::thread;

use memstore_cluster::config::Limits;
use memstore_cluster::protocol::{ErrorCode, Reply};
use memstore_cluster::{Options, Role, Secret};

use super::gate::Gate;
use super::peer::{Peer, World, command, set};

#[test]
fn the_loop_goes_on_while_the_backend_is_stuck() {
    let world = World::new();
    let mut stuck = world.stuck_peer();
    let before = world.master.load().unwrap();
    let mut peers: Vec<_> = (0..20).map(|_| world.peer()).collect();
    for (number, peer) in peers.iter_mut().enumerate() {
        peer.send(format!("SET k{number} v\r\nGET k{number}\r\n"));
    }
    world.until_queued(21);
    let after = world.master.load().unwrap();
    let ticks = |load: &memstore_cluster::exec::redis::Load| load.ticks.iter().sum::<u64>();
    assert!(ticks(&after) > ticks(&before));
    assert_eq!(after.requests, before.requests, "nothing was run meanwhile");
    world.gate.open();
    stuck.expect("$-1\r\n");
    for peer in &mut peers {
        peer.expect("+OK\r\n$1\r\nv\r\n");
    }
}

/// Who is let in is the loop's to say.
#[test]
fn peers_are_taken_in_and_sent_away_while_the_backend_is_stuck() {
    let folder = tempfile::tempdir().unwrap();
    let (gate, sock) = (Gate::default(), folder.path().join("s"));
    let limits = Limits {
        max_clients: 2,
        ..Limits::default()
    };
    let options = Options {
        serve: true,
        sock: Some(sock.clone()),
        store: gate.source(),
        limits,
        ..Options::default()
    };
    let store = options.create().unwrap();
    assert_eq!(store.role(), Role::Master);
    gate.shut("stuck");
    let mut stuck = Peer::of(UnixStream::connect(&sock).unwrap());
    stuck.send("GET stuck\r\n");
    gate.until_inside("stuck");
    let mut waiting = Peer::of(UnixStream::connect(&sock).unwrap());
    waiting.send("PING\r\n");
    let mut refused = Peer::of(UnixStream::connect(&sock).unwrap());
    refused.send("PING\r\n");
    let told = refused.rest();
    assert_eq!(told, b"-ERR max number of clients reached\r\n");
    gate.open();
    waiting.expect("+PONG\r\n");
    stuck.expect("$-1\r\n");
}

#[test]
fn a_long_pipeline_is_answered_in_its_order() {
    const COUNT: usize = 20_000;
    let world = World::new();
    let mut peer = world.peer();
    let mut writer = peer.0.try_clone().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || {
            let requests: Vec<_> = (0..COUNT).map(|_| "INCR n\r\n").collect();
            writer.write_all(requests.concat().as_bytes()).unwrap();
        });
        for number in 1..=COUNT {
            peer.expect(format!(":{number}\r\n"));
        }
    });
    let load = world.master.load().unwrap();
    assert!(
        load.turns < COUNT as u64 / 10,
        "many requests share a turn: {load:?}"
    );
}

#[test]
fn requests_for_one_key_are_run_one_after_the_other() {
    let world = World::new();
    thread::scope(|scope| {
        for _ in 0..4 {
            let mut peer = world.peer();
            scope.spawn(move || {
                let mut last = 0;
                for _ in 0..200 {
                    peer.send("INCR n\r\nINCR n\r\n");
                    for _ in 0..2 {
                        let now: u64 = peer.line()[1..].parse().unwrap();
                        assert!(now > last, "{now} after {last}");
                        last = now;
                    }
                }
            });
        }
    });
    world.peer().ask("GET n", "$4\r\n1600\r\n");
}

#[test]
fn both_dialects_and_handles_see_one_store() {
    let world = World::new();
    let (worker, own) = (world.master.worker(3).unwrap(), world.master.store());
    worker.set("a", "1").unwrap();
    own.set("b", "2").unwrap();
    let mut peer = world.peer();
    peer.ask("MGET a b", "*2\r\n$1\r\n1\r\n$1\r\n2\r\n");
    peer.ask("SET c 3", "+OK\r\n");
    assert_eq!(own.get("c").unwrap().unwrap().value, b"3");
    assert_eq!(worker.get("c").unwrap().unwrap().value, b"3");
    assert_eq!((own.length().unwrap(), worker.length().unwrap()), (3, 3));
    let mut keys: Vec<_> = own.all().map(|item| item.unwrap().0).collect();
    keys.sort();
    assert_eq!(keys, [b"a", b"b", b"c"]);
    let too_long = "k".repeat(Limits::default().max_key + 1);
    for store in [&worker, own] {
        let error = store.set(&too_long, "").unwrap_err().to_string();
        assert!(error.contains("--max-key"), "{error}");
        let huge = vec![0; Limits::default().max_value + 1];
        let error = store.set("huge", &huge).unwrap_err().to_string();
        assert!(error.contains("--max-value"), "{error}");
    }
}

/// Each of these is nearly half of what may be under way.
#[test]
fn no_more_is_under_way_than_there_is_room_for() {
    let world = World::new();
    let mut stuck = world.stuck_peer();
    let large = vec![b'x'; 7 << 20];
    thread::scope(|scope| {
        for number in 0..6 {
            let (mut peer, large) = (world.peer(), &large);
            scope.spawn(move || {
                let key = format!("k{number}");
                peer.send(command(&[b"SET", key.as_bytes(), large]));
                peer.expect("+OK\r\n");
            });
        }
        world.until_queued(3);
        world.gate.open();
        stuck.expect("$-1\r\n");
    });
    let load = world.master.load().unwrap();
    assert!(load.most_queued <= 3, "{load:?}");
    for number in 0..6 {
        let strlen = format!("STRLEN k{number}");
        stuck.ask(&strlen, format!(":{}\r\n", large.len()));
    }
}

#[test]
fn what_is_no_request_is_said_so_and_closes() {
    let world = World::new();
    let mut peer = world.peer();
    peer.send("SET a 1\r\n*1\r\nnonsense\r\n");
    let told = String::from_utf8(peer.rest()).unwrap();
    assert_eq!(
        told,
        "+OK\r\n-ERR Protocol error: expected '$', got 'n'\r\n"
    );
    let mut peer = world.peer();
    peer.hello();
    peer.request(2, &set("b", b"2"));
    peer.reply(|id, reply| assert!(matches!((id, reply), (2, Reply::Stored { .. }))));
    peer.send(b"GET a\r\n");
    let (code, _) = peer.error(0);
    assert_eq!(code, ErrorCode::BadRequest);
    assert!(peer.rest().is_empty());
}

/// How large a request may be depends on the one before.
#[test]
fn who_proves_to_know_the_secret_may_send_more_behind_the_proof() {
    let folder = tempfile::tempdir().unwrap();
    let (gate, sock) = (Gate::default(), folder.path().join("s"));
    let secret = "correct-horse-battery";
    let options = Options {
        sock: Some(sock.clone()),
        secret: Some(Secret::new(secret.as_bytes()).unwrap()),
        ..Options::default()
    };
    let serving = Options {
        serve: true,
        store: gate.source(),
        ..options.clone()
    };
    let _master = serving.create().unwrap();
    let large = vec![b'x'; 20 << 10];
    let set = command(&[b"SET", b"a", &large]);
    let mut peer = Peer::of(UnixStream::connect(&sock).unwrap());
    peer.send([command(&[b"AUTH", secret.as_bytes()]), set.clone()].concat());
    peer.expect("+OK\r\n+OK\r\n");
    peer.send([command(&[b"RESET"]), set].concat());
    peer.expect("+RESET\r\n-ERR Protocol error: unauthenticated bulk length\r\n");
    assert!(peer.rest().is_empty());
    let client = Options {
        connect: true,
        ..options
    };
    let client = client.create().unwrap();
    assert_eq!(client.get("a").unwrap().unwrap().value, large);
    client.set("b", &large).unwrap();
}

#[test]
fn who_leaves_while_its_requests_are_away_has_them_done_and_is_forgotten() {
    let world = World::new();
    let mut stuck = world.stuck_peer();
    let mut leaving = world.peer();
    leaving.send("CLIENT SETNAME leaving\r\nSUBSCRIBE news\r\nQUIT\r\nSET never 1\r\n");
    let mut gone = world.peer();
    gone.send("CLIENT SETNAME gone\r\nSET a 1\r\n");
    world.until_queued(3);
    drop(gone);
    world.gate.open();
    stuck.expect("$-1\r\n");
    assert!(leaving.rest().ends_with(b"+OK\r\n"));
    super::peer::until("the write", || {
        world.master.store().get("a").unwrap().is_some()
    });
    assert!(world.master.store().get("never").unwrap().is_none());
    super::peer::until("both to be forgotten", || {
        stuck.send("CLIENT LIST\r\n");
        let len: usize = stuck.line()[1..].parse().unwrap();
        let mut list = vec![0; len + 2];
        std::io::Read::read_exact(&mut stuck.0, &mut list).unwrap();
        String::from_utf8(list).unwrap().trim_end().lines().count() == 1
    });
    stuck.ask("PUBLISH news x", ":0\r\n");
}

#[test]
fn messages_and_transactions_are_as_on_the_loops_own_thread() {
    let world = World::new();
    let (mut one, mut other) = (world.peer(), world.peer());
    one.ask(
        "SUBSCRIBE news",
        "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n",
    );
    for number in 0..100 {
        other.ask(&format!("PUBLISH news {number:02}"), ":1\r\n");
    }
    for number in 0..100 {
        one.expect(format!(
            "*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$2\r\n{number:02}\r\n"
        ));
    }
    other.send("MULTI\r\nINCR n\r\n");
    other.expect("+OK\r\n+QUEUED\r\n");
    let mut third = world.peer();
    third.ask("GET n", "$-1\r\n");
    other.ask("GET n", "+QUEUED\r\n");
    other.ask("EXEC", "*2\r\n:1\r\n$1\r\n1\r\n");
    other.ask("WATCH n", "+OK\r\n");
    third.ask("INCR n", ":2\r\n");
    other.send("MULTI\r\nINCR n\r\nEXEC\r\n");
    other.expect("+OK\r\n+QUEUED\r\n*-1\r\n");
}

#[test]
fn what_expires_is_removed_and_told_of_while_nobody_asks() {
    let world = World::with(Options {
        keyspace_events: "Ex".parse().unwrap(),
        ..Options::default()
    });
    let (mut subscriber, mut writer) = (world.peer(), world.peer());
    subscriber.send("PSUBSCRIBE *\r\n");
    subscriber.expect("*3\r\n$10\r\npsubscribe\r\n$1\r\n*\r\n:1\r\n");
    writer.ask("SET a 1 PX 100", "+OK\r\n");
    world.clock.advance(std::time::Duration::from_secs(2));
    subscriber.expect(command(&[
        b"pmessage",
        b"*",
        b"__keyevent@0__:expired",
        b"a",
    ]));
}

#[test]
fn info_tells_how_the_backend_does() {
    let world = World::new();
    let mut peer = world.peer();
    peer.send("INFO backend\r\n");
    let len: usize = peer.line()[1..].parse().unwrap();
    let mut text = vec![0; len + 2];
    std::io::Read::read_exact(&mut peer.0, &mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    for name in [
        "backend_queue_depth:",
        "backend_timeouts:0",
        "loop_ticks_usec:below_",
    ] {
        assert!(text.contains(name), "{text}");
    }
}
