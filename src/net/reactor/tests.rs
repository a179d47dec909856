//! A reactor with an echo behind it and real sockets before it.

mod admission;
mod held;
mod pressure;

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream as Socket;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::*;
use crate::net::lock::Mastership;
use crate::net::testing::{BROKEN, Echo, GARBAGE, GOODBYE, INFLATE, request};
use crate::protocol::frame;

/// What only tests need to look at.
impl<T> Reactor<T> {
    /// How many connections there are, those not buried yet included.
    fn connections(&self) -> usize {
        self.slots.len()
    }

    /// Closes a connection at this time, unless [cleared](Self::clear_deadline) before.
    fn set_deadline(&mut self, id: ConnectionId, at: Millis) {
        if alive(&mut self.slots, id).is_some() {
            self.deadlines.set(id, at);
        }
    }

    fn clear_deadline(&mut self, id: ConnectionId) {
        self.deadlines.clear(id);
    }
}

const ECHO: u8 = 0x10;

/// A master's loop without the master. Time stands still unless a test moves it.
struct Master {
    reactor: Reactor<u64>,
    echo: Echo,
    now: Millis,
    ticks: usize,
}

impl Master {
    fn new(limits: Limits) -> Self {
        Self {
            reactor: Reactor::new(limits).unwrap(),
            echo: Echo::default(),
            now: Millis::from_unix(1_000_000),
            ticks: 0,
        }
    }

    fn listening(limits: Limits, path: &Path) -> Self {
        let mut master = Self::new(limits);
        let socket = PathSocket::bind(&Mastership::acquire(path).unwrap(), &[]).unwrap();
        master.reactor.listen(socket).unwrap();
        master
    }

    fn tick(&mut self) {
        self.reactor.poll(Some(Duration::from_millis(10))).unwrap();
        self.reactor.turn(self.now, &mut self.echo);
        self.reactor.flush();
        self.reactor.bury(&mut self.echo);
        self.ticks += 1;
    }

    /// Ticks until `is_so`; fails where it does not become so.
    fn until(&mut self, what: &str, mut is_so: impl FnMut(&mut Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !is_so(self) {
            assert!(Instant::now() < deadline, "never came: {what}");
            self.tick();
        }
    }

    fn adopt(&mut self) -> (ConnectionId, Client) {
        let (ours, theirs) = Socket::pair().unwrap();
        let id = self.reactor.adopt(ours, 0).unwrap();
        (id, Client::of(theirs))
    }

    /// Sees to it that a request of `client` is answered.
    fn assert_serves(&mut self, client: &mut Client) {
        let ping = request(ECHO, 4_711, b"ping");
        client.got.clear();
        client.send(&ping);
        self.until("the reply", |_| client.receive() == ping);
    }

    fn assert_closed(&mut self, id: ConnectionId, why: CloseReason) {
        self.until("the end of the connection", |master| {
            !master.echo.closed.is_empty()
        });
        assert_eq!(self.echo.closed, [(id, why)]);
        assert!(self.reactor.session_mut(id).is_none());
    }
}

/// The peer's end. Nothing in it blocks, for the master's loop runs on the same thread.
struct Client {
    socket: Socket,
    /// What the socket did not take yet.
    unsent: Vec<u8>,
    got: Vec<u8>,
    is_closed: bool,
}

impl Client {
    fn of(socket: Socket) -> Self {
        socket.set_nonblocking(true).unwrap();
        Self {
            socket,
            unsent: Vec::new(),
            got: Vec::new(),
            is_closed: false,
        }
    }

    fn connect(path: &Path) -> Self {
        Self::of(Socket::connect(path).unwrap())
    }

    fn send(&mut self, bytes: &[u8]) {
        self.unsent.extend_from_slice(bytes);
        self.push();
    }

    /// Sends what the socket takes of what is unsent.
    fn push(&mut self) {
        while !self.unsent.is_empty() {
            match self.socket.write(&self.unsent) {
                Ok(n) => drop(self.unsent.drain(..n)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                // The other end does not want it; what it said first is still to be read.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => self.unsent.clear(),
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Everything that came so far.
    fn receive(&mut self) -> &[u8] {
        let mut buffer = vec![0; 64 << 10];
        while !self.is_closed {
            match self.socket.read(&mut buffer) {
                Ok(0) => self.is_closed = true,
                Ok(n) => self.got.extend_from_slice(&buffer[..n]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => self.is_closed = true,
                Err(error) => panic!("{error}"),
            }
        }
        &self.got
    }
}

struct Place {
    _directory: tempfile::TempDir,
    path: PathBuf,
}

fn place() -> Place {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.sock");
    Place {
        _directory: directory,
        path,
    }
}

#[test]
fn a_request_is_answered_in_the_tick_it_is_seen_in() {
    let mut master = Master::new(Limits::default());
    let (_, mut client) = master.adopt();
    master.tick();
    let small = request(ECHO, 1, b"x");
    client.send(&small);
    master.tick();
    assert_eq!(client.receive(), small);
    assert!(!master.reactor.has_work(), "the next poll may wait");
    assert_eq!(master.reactor.counters().requests, 1);
    assert_eq!(master.reactor.counters().adopted, 1);
}

#[test]
fn a_peer_that_leaves_is_buried_and_its_slot_used_again_under_another_id() {
    let mut master = Master::new(Limits::default());
    let (id, client) = master.adopt();
    drop(client);
    master.assert_closed(id, CloseReason::Eof);
    assert_eq!(master.reactor.counters().closed.eof, 1);
    assert_eq!(master.reactor.connections(), 0);

    let (next, mut client) = master.adopt();
    assert_eq!(next.index(), id.index());
    // What is still said of the one that is gone touches nobody.
    master.reactor.close(id);
    master.reactor.set_deadline(id, Millis::ZERO);
    master.assert_serves(&mut client);
}

#[test]
fn a_slot_is_not_used_again_within_the_tick_that_closed_it() {
    let mut master = Master::new(Limits::default());
    let (id, _client) = master.adopt();
    master.reactor.close(id);
    let (next, mut client) = master.adopt();
    assert_ne!(next.index(), id.index());
    master.assert_serves(&mut client);
    assert_eq!(master.echo.closed, [(id, CloseReason::Asked)]);
}

#[test]
fn an_event_of_the_batch_that_closed_its_connection_is_harmless() {
    let mut master = Master::new(Limits::default());
    let (id, mut client) = master.adopt();
    client.send(&request(ECHO, 1, b"too late"));
    master.reactor.poll(Some(Duration::ZERO)).unwrap();
    master.reactor.close(id);
    master.tick();
    assert_eq!(master.echo.closed, [(id, CloseReason::Asked)]);
    assert_eq!(master.reactor.counters().requests, 0);
    assert!(client.receive().is_empty() && client.is_closed);
}

#[test]
fn garbage_is_answered_and_closed_and_harms_nobody() {
    let mut master = Master::new(Limits::default());
    let (_, mut other) = master.adopt();
    let (id, mut client) = master.adopt();
    client.send(
        &[
            request(ECHO, 1, b"good"),
            b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        ]
        .concat(),
    );
    master.assert_closed(id, CloseReason::Garbage(GARBAGE));
    let told = [request(ECHO, 1, b"good"), request(BROKEN, 0, b"")].concat();
    assert_eq!(client.receive(), told);
    assert!(client.is_closed);
    master.assert_serves(&mut other);
}

#[test]
fn a_peer_that_dies_within_a_frame_harms_nobody() {
    let mut master = Master::new(Limits::default());
    let (_, mut other) = master.adopt();
    let (id, mut client) = master.adopt();
    client.send(&request(ECHO, 1, b"half")[..18]);
    master.tick();
    drop(client);
    master.assert_closed(id, CloseReason::MidRequest);
    master.assert_serves(&mut other);
}

#[test]
fn a_peer_that_sends_and_leaves_at_once_is_served_and_noticed() {
    let mut master = Master::new(Limits::default());
    let (id, mut client) = master.adopt();
    client.send(&request(ECHO, 1, b"and goodbye"));
    client.socket.shutdown(Shutdown::Write).unwrap();
    master.assert_closed(id, CloseReason::Eof);
    assert_eq!(client.receive(), request(ECHO, 1, b"and goodbye"));
}

#[test]
fn a_closed_connection_is_forgotten_by_the_system_even_where_its_socket_lives_on() {
    let mut master = Master::new(Limits::default());
    let (ours, theirs) = Socket::pair().unwrap();
    let _leaked = ours.try_clone().unwrap();
    let id = master.reactor.adopt(ours, 0).unwrap();
    master.reactor.close(id);
    master.tick();
    Client::of(theirs).send(b"anybody there?");
    master.reactor.poll(Some(Duration::ZERO)).unwrap();
    assert!(master.reactor.events.is_empty());
}

#[test]
fn a_frame_far_larger_than_a_turn_arrives_whole() {
    let mut master = Master::new(Limits::default());
    let (_, mut client) = master.adopt();
    let body: Vec<u8> = (0..900_000u32).map(|i| i.to_le_bytes()[0]).collect();
    let large = request(ECHO, 1, &body);
    client.send(&large);
    master.until("the large reply", |_| {
        client.push();
        client.receive().len() >= large.len()
    });
    assert!(client.got == large);
    master.assert_serves(&mut client);
}

#[test]
fn a_waker_ends_a_poll_from_another_thread() {
    let mut master = Master::new(Limits::default());
    let waker = master.reactor.waker();
    let thread = std::thread::spawn(move || waker.wake().unwrap());
    master.reactor.poll(None).unwrap();
    thread.join().unwrap();
}

#[test]
fn a_signal_ends_a_poll_and_is_told_once() {
    let mut master = Master::new(Limits::default());
    master.reactor.catch_signals(&[Signal::User2]).unwrap();
    assert_eq!(master.reactor.signals(), SignalSet::default());
    nix::sys::signal::raise(nix::sys::signal::SIGUSR2).unwrap();
    let mut came = SignalSet::default();
    master.until("the signal", |master| {
        came = master.reactor.signals();
        came.has(Signal::User2)
    });
    assert_eq!(master.reactor.signals(), SignalSet::default());
}

#[test]
fn a_deadline_closes_who_has_not_been_cleared() {
    let mut master = Master::new(Limits::default());
    let (late, _client) = master.adopt();
    let (cleared, mut other) = master.adopt();
    let at = master.now.after_ms(50);
    master.reactor.set_deadline(late, at);
    master.reactor.set_deadline(cleared, at);
    master.reactor.clear_deadline(cleared);
    assert_eq!(master.reactor.next_deadline(), Some(at));
    master.tick();
    assert!(master.echo.closed.is_empty());
    master.now = at;
    master.assert_closed(late, CloseReason::Deadline);
    assert_eq!(master.reactor.next_deadline(), None);
    master.assert_serves(&mut other);
}

#[test]
fn a_peer_that_does_not_read_its_last_replies_is_not_waited_for_forever() {
    let mut master = Master::new(Limits {
        high_mark: 8 << 20,
        ..Limits::default()
    });
    let (id, mut client) = master.adopt();
    let large = request(INFLATE, 1, &(4u32 << 20).to_le_bytes());
    client.send(&large);
    master.until("the socket to be full", |master| {
        let entry = alive(&mut master.reactor.slots, id).unwrap();
        entry.connection.is_blocked()
    });
    client.send(&request(GOODBYE, 2, b""));
    master.until("the goodbye", |master| {
        master.reactor.counters().requests == 2
    });
    let end = master.now.after(LINGER);
    assert_eq!(master.reactor.next_deadline(), Some(end));
    for _ in 0..10 {
        master.now = master.now.after_ms(1);
        client.receive();
        master.tick();
    }
    assert_eq!(master.reactor.next_deadline(), Some(end), "it moves not");
    assert!(master.echo.closed.is_empty());
    master.now = end;
    master.assert_closed(id, CloseReason::Deadline);
}

#[test]
fn what_is_pushed_arrives_behind_the_replies_and_not_at_who_is_gone() {
    let mut master = Master::new(Limits::default());
    let (id, mut client) = master.adopt();
    client.send(&request(ECHO, 1, b"asked"));
    master.until("the reply", |master| {
        master
            .reactor
            .session_mut(id)
            .is_some_and(|frames| *frames == 1)
    });
    master.reactor.push(id, b"not asked");
    let expected = [&request(ECHO, 1, b"asked")[..], b"not asked"].concat();
    master.until("both", |_| client.receive() == expected);
    master.reactor.close(id);
    master.reactor.push(id, b"lost");
}

#[test]
fn who_does_not_read_what_is_pushed_is_closed() {
    let limits = Limits::default();
    let mut master = Master::new(limits.clone());
    let (id, _client) = master.adopt();
    let message = vec![7; 1 << 20];
    for _ in 0..=limits.hard_cap() / message.len() {
        master.reactor.push(id, &message);
    }
    master.assert_closed(id, CloseReason::OutputCap);
}
