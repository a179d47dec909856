//! Peers and workers that do what they should not: each harms itself and nobody else.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "helpers may panic as the tests do")]

mod common;

use std::ffi::OsString;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::cluster::{resident_kib, run, start_part, started, until_started};
use common::peer::{Peer, Said, hello, request};
use common::redis::Wire;
use common::{
    Running, binary, connect, diligent, eventually, folder, is_alive, open_fds, parts, pid,
};
use memstore_cluster::protocol::Request;
use memstore_cluster::protocol::frame::{HEADER_LEN, MAGIC, VERSION};
use memstore_cluster::protocol::message::{ErrorCode, Hello, Op};
use memstore_cluster::{Error, Options, Store};
use nix::sys::signal::{Signal, kill};
use tempfile::TempDir;

/// No test of its own: workers of the tests run it.
#[test]
fn play_a_part() {
    if parts::asked().is_some() {
        diligent::work();
    }
}

/// A master without workers, and a client that behaves.
struct Served {
    master: Running,
    sock: PathBuf,
    good: Store,
    _folder: TempDir,
}

fn serve(flags: &str) -> Served {
    let folder = folder();
    let sock = folder.path().join("m.sock");
    let master = parts::serve(&sock, flags.split_whitespace());
    let good = connect(&sock);
    good.set("good", "kept").unwrap();
    Served {
        master,
        sock,
        good,
        _folder: folder,
    }
}

impl Served {
    fn peer(&self) -> Peer {
        Peer::connect(&self.sock)
    }

    /// The old client goes on, and a new one is let in.
    fn check(&self) {
        for client in [&self.good, &connect(&self.sock)] {
            assert_eq!(client.get("good").unwrap().unwrap().value, b"kept");
        }
    }
}

/// A header that announces a body of `len` bytes.
fn header(op: Op, len: u32) -> Vec<u8> {
    let mut header = vec![MAGIC, VERSION, op as u8, 0, 7, 0, 0, 0];
    header.extend(len.to_le_bytes());
    header.extend([0; 4]);
    assert_eq!(header.len(), HEADER_LEN);
    header
}

#[test]
fn what_is_no_frame_gets_a_reason_and_an_end() {
    let served = serve("");
    let mut reserved = header(Op::Ping, 0);
    reserved[15] = 1;
    let cases: [(&[u8], ErrorCode, &str); 7] = [
        (b"garbage", ErrorCode::BadRequest, "0xb5"),
        (
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            ErrorCode::BadRequest,
            "0xb5",
        ),
        (b"*1\r\n$4\r\nPING\r\n", ErrorCode::BadRequest, "0xb5"),
        (&[0; 10_000], ErrorCode::BadRequest, "0xb5"),
        (
            &[MAGIC, 9],
            ErrorCode::Version,
            "version 9 is not spoken here",
        ),
        (&reserved, ErrorCode::BadRequest, "must be zero"),
        (
            &header(Op::Set, u32::MAX),
            ErrorCode::TooLarge,
            "4294967295 bytes",
        ),
    ];
    for (bytes, code, words) in cases {
        for is_introduced in [false, true] {
            // As the first byte of all it is of the other dialect.
            if !is_introduced && bytes[0] != MAGIC {
                continue;
            }
            let mut peer = served.peer();
            if is_introduced {
                peer = Peer::introduced(&served.sock);
            }
            peer.send(bytes);
            let (told, message) = peer.hear_the_end();
            assert_eq!(told, code, "{message}");
            assert!(message.contains(words), "{message}");
            served.check();
        }
    }
}

#[test]
fn what_came_before_the_garbage_is_answered() {
    let served = serve("");
    let mut peer = Peer::introduced(&served.sock);
    let good = [request(2, &Request::Ping), request(3, &Request::Length)].concat();
    peer.send(&[&good[..], b"garbage"].concat());
    assert_eq!(peer.hear(), Said::Reply(2, "pong"));
    assert_eq!(peer.hear(), Said::Reply(3, "length"));
    assert_eq!(peer.hear_the_end().0, ErrorCode::BadRequest);
    served.check();
}

#[test]
fn a_frame_that_is_no_request_is_answered_and_the_connection_goes_on() {
    let served = serve("");
    let mut peer = Peer::introduced(&served.sock);
    let mut unknown = header(Op::Ping, 0);
    unknown[2] = 0x6f;
    peer.send(&unknown);
    assert!(matches!(
        peer.hear(),
        Said::Error(7, ErrorCode::UnknownOp, _)
    ));
    peer.send(&[&header(Op::Set, 5)[..], &[0xff; 5]].concat());
    assert!(matches!(
        peer.hear(),
        Said::Error(7, ErrorCode::BadRequest, _)
    ));
    peer.send(&request(8, &Request::Ping));
    assert_eq!(peer.hear(), Said::Reply(8, "pong"));
}

#[test]
fn a_stranger_can_neither_ask_nor_send_much() {
    let served = serve("");
    let mut peer = served.peer();
    peer.send(&request(5, &Request::Clear));
    assert!(matches!(
        peer.hear(),
        Said::Error(5, ErrorCode::AuthRequired, _)
    ));
    // What would be fine after an introduction is too much before it.
    peer.send(&header(Op::Set, 1 << 20));
    assert_eq!(peer.hear_the_end().0, ErrorCode::TooLarge);
    served.check();
}

#[test]
fn without_a_common_protocol_version_the_connection_ends_with_both_named() {
    let served = serve("");
    let mut peer = served.peer();
    let hello = Hello {
        min_version: 2,
        max_version: 4,
        pid: 1,
    };
    peer.send(&request(6, &Request::Hello(hello)));
    let Said::Error(6, ErrorCode::Version, message) = peer.hear() else {
        panic!("no word about versions");
    };
    assert!(
        message.contains("versions 2 to 4, this master speaks 1"),
        "{message}"
    );
    assert_eq!(peer.hear(), Said::Bye);
    served.check();
}

#[test]
fn half_a_frame_holds_up_nobody() {
    let served = serve("");
    let fds = open_fds(served.master.pid());
    let whole = request(2, &Request::Get { key: b"good" });
    let mut silent: Vec<Peer> = (1..whole.len())
        .map(|len| {
            let mut peer = Peer::introduced(&served.sock);
            peer.send(&whole[..len]);
            peer
        })
        .collect();
    served.check();
    // The second half may take its time.
    for (len, peer) in (1..).zip(&mut silent) {
        peer.send(&whole[len..]);
        assert_eq!(peer.hear(), Said::Reply(2, "entry"));
        peer.send(&whole[..len]);
    }
    // Now they go in the middle.
    drop(silent);
    served.check();
    eventually("their descriptors are closed", || {
        (open_fds(served.master.pid()) == fds).then_some(())
    });
}

/// Random bytes, most of them behind a good header, so that they come as far as possible.
#[test]
fn no_bytes_whatever_harm_the_others() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let served = serve("");
    for _ in 0..300 {
        let mut peer = if rng.bool() {
            Peer::introduced(&served.sock)
        } else {
            served.peer()
        };
        for _ in 0..rng.usize(1..4) {
            let mut body = vec![0; rng.usize(0..200)];
            rng.fill(&mut body);
            let announced = if rng.u8(..) < 200 {
                body.len()
            } else {
                rng.usize(0..1 << 32)
            };
            // `clear` is no harm, and yet not what this test wants.
            let harmless = Op::EVERY.map(|op| if op == Op::Clear { Op::All } else { op });
            let op = *rng.choice(&harmless).unwrap();
            let mut frame = header(op, u32::try_from(announced).unwrap());
            if rng.u8(..) < 30 {
                let at = rng.usize(0..frame.len());
                frame[at] ^= 1 << rng.u8(0..8);
            }
            // A `destroy` or a flipped bit that hits the good key by chance is a lottery win.
            peer.send(&frame);
            peer.send(&body);
        }
    }
    served.check();
}

/// Every peer asks for as much as it may and reads nothing.
#[test]
fn who_does_not_read_is_not_read_and_costs_little_memory() {
    const PEERS: usize = 32;
    const VALUE: usize = 64 << 10;
    let served = serve("");
    // A long key: the master has taken few requests when it stops to read, yet many replies.
    let key = [b'k'; 4000];
    served.good.set(key, vec![b'v'; VALUE]).unwrap();
    let before = resident_kib(served.master.pid());
    let ask = request(2, &Request::Get { key: &key });
    let mut peers: Vec<(Peer, usize)> = (0..PEERS)
        .map(|_| (Peer::introduced(&served.sock), 0))
        .collect();
    for (peer, sent) in &mut peers {
        let mut refused = 0;
        while refused < 3 {
            let rest = &ask[*sent % ask.len()..];
            match peer.send_now(rest) {
                // The loop has had a turn when another is answered.
                0 => {
                    served.good.ping().unwrap();
                    refused += 1;
                }
                taken => {
                    *sent += taken;
                    refused = 0;
                }
            }
        }
    }
    served.check();
    let grown = resident_kib(served.master.pid()).saturating_sub(before);
    let asked: usize = peers.iter().map(|(_, sent)| sent / ask.len()).sum();
    let asked_kib = (asked * VALUE / 1024) as u64;
    assert!(
        asked_kib > 100 << 10,
        "the peers asked for too little: {asked_kib} KiB"
    );
    assert!(
        grown < 40 << 10,
        "{grown} KiB for {asked_kib} KiB of replies"
    );
    // Whoever reads at last gets everything.
    for (peer, sent) in &mut peers {
        for _ in 0..*sent / ask.len() {
            assert_eq!(peer.hear(), Said::Reply(2, "entry"));
        }
        peer.send(&ask[*sent % ask.len()..]);
        assert_eq!(peer.hear(), Said::Reply(2, "entry"));
    }
}

#[test]
fn thousands_of_connections_come_and_go() {
    let served = serve("");
    let fds = open_fds(served.master.pid());
    for round in 0..3000 {
        match round % 3 {
            0 => drop(UnixStream::connect(&served.sock).unwrap()),
            1 => served.peer().send(&hello()),
            _ => drop(Peer::introduced(&served.sock)),
        }
    }
    served.check();
    eventually("their descriptors are closed", || {
        (open_fds(served.master.pid()) == fds).then_some(())
    });
}

#[test]
fn one_connection_too_many_is_told_so_and_one_that_goes_makes_room() {
    let served = serve("--max-clients 4");
    let mut inside: Vec<Peer> = (0..3).map(|_| Peer::introduced(&served.sock)).collect();
    for _ in 0..100 {
        let mut outside = served.peer();
        outside.send(&hello());
        let (code, message) = outside.hear_the_end();
        assert_eq!(code, ErrorCode::Busy, "{message}");
        assert!(message.contains("--max-clients"), "{message}");
    }
    served.good.ping().unwrap();
    drop(inside.pop());
    connect(&served.sock).ping().unwrap();
    for peer in &mut inside {
        peer.send(&request(3, &Request::Ping));
        assert_eq!(peer.hear(), Said::Reply(3, "pong"));
    }
}

#[test]
fn a_master_without_descriptors_left_refuses_and_goes_on() {
    let folder = folder();
    let sock = folder.path().join("m.sock");
    let mut command = std::process::Command::new("sh");
    let script = "ulimit -n 32; exec \"$0\" serve --sock \"$1\"";
    let master = Running::start(command.args(["-c", script]).arg(binary()).arg(&sock));
    let good = connect(&sock);
    let mut outside: Vec<Wire> = (0..64).map(|_| Wire::connect(&sock)).collect();
    let last = outside.last_mut().unwrap();
    last.expect("-ERR max number of clients reached\r\n");
    good.set("k", "v").unwrap();
    let hasty = Options {
        sock: Some(sock.clone()),
        connect: true,
        patience: Duration::from_millis(200),
        ..Options::default()
    };
    let Err(Error::Unreachable { source, .. }) = hasty.create() else {
        panic!("there is no room");
    };
    // As soon as it has spoken, in its own dialect; else in the other, which it understands.
    let why = source.to_string();
    let told = ["max number of clients", "as many connections as it takes"];
    assert!(told.iter().any(|told| why.contains(told)), "{why}");
    drop(outside);
    connect(&sock).ping().unwrap();
    assert!(is_alive(master.pid()));
}

#[test]
fn who_does_not_introduce_itself_in_time_is_sent_away() {
    let served = serve("--handshake-timeout 200ms");
    let mut introduced = Peer::introduced(&served.sock);
    let mut silent = served.peer();
    let mut slow = served.peer();
    slow.send(&hello()[..10]);
    let mut asks = served.peer();
    asks.send(&request(5, &Request::Ping));
    assert!(matches!(
        asks.hear(),
        Said::Error(5, ErrorCode::AuthRequired, _)
    ));
    for peer in [&mut silent, &mut slow, &mut asks] {
        assert_eq!(peer.hear(), Said::Bye);
    }
    // Longer than those it has been silent.
    introduced.send(&request(2, &Request::Ping));
    assert_eq!(introduced.hear(), Said::Reply(2, "pong"));
    served.check();
}

/// A master of diligent workers, all of which work.
fn with_workers(sock: &Path, flags: &str) -> (Running, Vec<u32>) {
    let master = start_part(sock, &format!("--workers 2 {flags}"), diligent::PART);
    let workers: Vec<u32> = until_started(&master, 2)
        .into_iter()
        .map(|(_, pid)| pid)
        .collect();
    for worker in &workers {
        until_more_done(&master, *worker, 1);
    }
    (master, workers)
}

/// Waits until a worker has done so much more.
fn until_more_done(master: &Running, worker: u32, more: u64) {
    let done = |lines: &[String]| {
        diligent::acknowledged(lines)
            .get(&worker.to_string())
            .copied()
            .unwrap_or(0)
    };
    let goal = done(&master.stdout().so_far()) + more;
    master.stdout().until("the worker works", |lines| {
        (done(lines) >= goal).then_some(())
    });
}

#[test]
fn a_worker_that_stands_still_holds_up_nobody() {
    let folder = folder();
    let sock = folder.path().join("m.sock");
    let (mut master, workers) = with_workers(&sock, "--stop-timeout 200ms");
    let store = connect(&sock);
    for (stalled, other) in [(workers[0], workers[1]), (workers[1], workers[0])] {
        kill(pid(stalled), Signal::SIGSTOP).unwrap();
        until_more_done(&master, other, 50);
        for n in 0..50_u8 {
            store.set("k", [n]).unwrap();
            assert_eq!(store.get("k").unwrap().unwrap().value, [n]);
        }
        kill(pid(stalled), Signal::SIGCONT).unwrap();
        until_more_done(&master, stalled, 1);
    }
    assert_eq!(
        started(&master).len(),
        2,
        "nobody was replaced for being slow"
    );
    kill(pid(workers[0]), Signal::SIGSTOP).unwrap();
    master.signal(Signal::SIGTERM);
    assert_eq!(master.finish().status.code(), Some(0));
}

/// What a worker can do to its channel, as scripts that leave it in the lurch.
#[test]
fn what_a_worker_sends_through_its_channel_harms_only_itself() {
    for misdeed in [
        "echo garbage >&$MEMSTORE_FD; echo done; exec sleep 600",
        "printf '\\265\\001\\022' >&$MEMSTORE_FD; echo done; exec sleep 600",
        "printf '\\265\\001\\022' >&$MEMSTORE_FD; echo done; kill -9 $$",
        "eval \"exec $MEMSTORE_FD>&-\"; echo done; exec sleep 600",
        "head -c 1000000 /dev/zero >&$MEMSTORE_FD; echo done; exec sleep 600",
    ] {
        let folder = folder();
        let sock = folder.path().join("m.sock");
        let script = format!("test $MEMSTORE_WORKER = 1 && exec \"$@\"; {misdeed}");
        let mut command = ["sh", "-c", &script, "sh"].map(OsString::from).to_vec();
        command.extend(parts::line());
        let flags = "--workers 2 --backoff-min 1h --backoff-max 1h";
        let mut run = run(&sock, flags, &command);
        let mut master = Running::start(parts::ask(&mut run, diligent::PART, &sock));
        master.stdout().until_contains("done");
        let good = until_started(&master, 2)[1].1;
        until_more_done(&master, good, 20);
        connect(&sock).ping().unwrap();
        master.signal(Signal::SIGTERM);
        assert_eq!(master.finish().status.code(), Some(0), "{misdeed}");
    }
}
