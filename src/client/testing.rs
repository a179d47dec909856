//! Masters for the client's tests: one that serves a memory backend as the real one does, in a
//! blocking loop on a thread, and one that says exactly what a test wants said.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;
use std::time::Duration;

use super::{ConnectOptions, Connection};
use crate::backend::MemoryBackend;
use crate::config::{KeyspaceEvents, Limits};
use crate::contract::{Capabilities, Seq};
use crate::exec::{Conversation, Host, Hub, Next, Origin};
use crate::protocol::auth::Secret;
use crate::protocol::message::{Entry, Welcome};
use crate::protocol::{Header, Op, Reply, Request, codec, frame};
use crate::time::{Clock, SystemClock};

/// Long enough for the slowest machine; only a failing test waits so long.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// How a served connection came to be, and what the master wants of it.
pub(crate) struct Terms {
    pub(super) origin: Origin,
    pub(super) secret: Option<Secret>,
    pub(super) limits: Limits,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            origin: Origin::Channel { slot: 3 },
            secret: None,
            limits: Limits::default(),
        }
    }
}

/// Serves one connection to its end.
pub(super) fn serve(mut stream: UnixStream, terms: Terms) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut backend = MemoryBackend::new();
        let mut hub = Hub::new(&terms.limits, KeyspaceEvents::default());
        let mut conversation = Conversation::new(terms.origin, hub.enter());
        let clock = SystemClock::new();
        let (mut input, mut output) = (Vec::new(), Vec::new());
        let mut room = vec![0; 64 << 10];
        loop {
            let mut used = 0;
            let mut next = Next::Continue;
            while next == Next::Continue {
                let max_body = conversation.max_body(&terms.limits);
                let frame = match frame::split(&input[used..], max_body) {
                    Ok(Some(frame)) => frame,
                    Ok(None) => break,
                    Err(error) => {
                        Conversation::broken(error, &mut output);
                        next = Next::Close("no frame");
                        break;
                    }
                };
                used += frame.wire_len();
                let mut host = Host {
                    backend: &mut backend,
                    now: clock.now(),
                    limits: &terms.limits,
                    secret: terms.secret.as_ref(),
                    hub: &mut hub,
                    nonce: &|| [7; 32],
                    workers: 4,
                    generation: 1,
                    pid: std::process::id(),
                };
                next = conversation.answer(&mut host, frame, &mut output);
            }
            input.drain(..used);
            if stream.write_all(&output).is_err() || next != Next::Continue {
                return;
            }
            output.clear();
            match stream.read(&mut room) {
                Ok(0) | Err(_) => return,
                Ok(read) => input.extend_from_slice(&room[..read]),
            }
        }
    })
}

/// A connection to a master that does what a master does.
pub(crate) fn served() -> (Connection, JoinHandle<()>) {
    served_on(Terms::default())
}

/// The same, on these terms.
pub(crate) fn served_on(terms: Terms) -> (Connection, JoinHandle<()>) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let master = serve(theirs, terms);
    let connection = Connection::from_channel(ours.into(), &ConnectOptions::default()).unwrap();
    (connection, master)
}

/// A master that a test speaks for.
pub(super) struct Scripted {
    pub(super) stream: UnixStream,
    input: Vec<u8>,
}

impl Scripted {
    /// Speaks over this stream, and waits at most [`LONG`] for anything.
    pub(super) fn new(stream: UnixStream) -> Self {
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream.set_write_timeout(Some(LONG)).unwrap();
        Self {
            stream,
            input: Vec::new(),
        }
    }

    /// The two ends of a channel.
    pub(super) fn pair() -> (OwnedFd, Self) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (ours.into(), Self::new(theirs))
    }

    /// A connection that was greeted, and the master for what follows.
    pub(super) fn greeted() -> (Connection, Self) {
        let (ours, mut peer) = Self::pair();
        let greeting = std::thread::spawn(move || {
            peer.welcome(welcome());
            peer
        });
        let connection = Connection::from_channel(ours, &ConnectOptions::default()).unwrap();
        (connection, greeting.join().unwrap())
    }

    /// Answers the hello.
    pub(super) fn welcome(&mut self, welcome: Welcome) {
        let (op, id) = self.request();
        assert_eq!(op, Op::Hello);
        self.reply(id, &Reply::Welcome(welcome));
    }

    /// The next request: what it is and its id.
    pub(super) fn request(&mut self) -> (Op, u32) {
        let (header, _) = self.frame();
        (Op::from_code(header.code).unwrap(), header.id)
    }

    /// The next request whole.
    pub(super) fn frame(&mut self) -> (Header, Vec<u8>) {
        loop {
            let found = frame::split(&self.input, 1 << 30)
                .unwrap()
                .map(|frame| (frame.header, frame.body.to_vec(), frame.wire_len()));
            if let Some((header, body, used)) = found {
                self.input.drain(..used);
                return (header, body);
            }
            let mut room = [0; 4 << 10];
            let read = self.stream.read(&mut room).unwrap();
            assert_ne!(read, 0, "the client closed the connection");
            self.input.extend_from_slice(&room[..read]);
        }
    }

    /// Waits until a request begins to arrive, and takes its first byte.
    pub(super) fn first_byte(&mut self) -> u8 {
        let mut first = [0];
        self.stream.read_exact(&mut first).unwrap();
        first[0]
    }

    /// The same master, once more before a byte that was read past it.
    pub(super) fn take_back(mut self, byte: u8) -> Self {
        self.input.push(byte);
        self
    }

    /// Sends a reply.
    pub(super) fn reply(&mut self, id: u32, reply: &Reply<'_>) {
        let bytes = encoded(id, reply);
        self.stream.write_all(&bytes).unwrap();
    }

    /// Whether the client closes the connection now; what it still sends is thrown away.
    pub(super) fn sees_the_end(&mut self) -> bool {
        let mut room = [0; 4 << 10];
        loop {
            match self.stream.read(&mut room) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() == ErrorKind::ConnectionReset,
            }
        }
    }
}

/// A reply's bytes.
pub(super) fn encoded(id: u32, reply: &Reply<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec::write_reply(&mut bytes, id, reply);
    bytes
}

/// A welcome with the default limits.
pub(super) fn welcome() -> Welcome {
    let limits = Limits::default();
    Welcome {
        version: frame::VERSION,
        capabilities: Capabilities::ALL,
        max_key: limits.max_key as u64,
        max_value: limits.max_value as u64,
        max_body: limits.max_body() as u64,
        slot: Some(3),
        workers: 4,
        generation: 1,
        pid: 9,
        proof: None,
    }
}

/// Answers each `get` with its key, the others of no value; holds back what chance says.
pub(super) fn moody(mut stream: UnixStream, rng: &mut fastrand::Rng) {
    let (mut input, mut held, mut out) = (Vec::new(), Vec::new(), Vec::new());
    let mut room = vec![0; 64 << 10];
    loop {
        // Only where nothing is held back may the next bytes be waited for.
        stream.set_nonblocking(!held.is_empty()).unwrap();
        let len = rng.usize(1..room.len());
        match stream.read(&mut room[..len]) {
            Ok(0) => return,
            Ok(read) => input.extend_from_slice(&room[..read]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => panic!("{error}"),
        }
        let mut used = 0;
        while let Some(frame) = frame::split(&input[used..], 1 << 20).unwrap() {
            used += frame.wire_len();
            assert_eq!(frame.header.code, Op::Get as u8);
            let Ok(Request::Get { key }) = codec::read_request(frame) else {
                panic!("{frame:?}")
            };
            let (seq, ttl_ms) = (Seq(1), None);
            let value = key.into();
            let reply = Reply::Entry(Entry { seq, ttl_ms, value });
            held.push(encoded(frame.header.id, &reply));
        }
        input.drain(..used);
        for _ in 0..rng.usize(0..=held.len()) {
            let reply = held.swap_remove(rng.usize(..held.len()));
            out.extend_from_slice(&reply);
        }
        stream.set_nonblocking(false).unwrap();
        // In pieces that respect no frame.
        while !out.is_empty() {
            let piece = rng.usize(1..=out.len());
            stream.write_all(&out[..piece]).unwrap();
            out.drain(..piece);
        }
    }
}
