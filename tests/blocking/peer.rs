//! A master in this process, and peers that speak to it byte by byte.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use memstore_cluster::Options;
use memstore_cluster::protocol::message::{Failure, Hello, Set};
use memstore_cluster::protocol::{ErrorCode, Reply, Request, codec, frame};
use memstore_cluster::testing::TestMaster;
use memstore_cluster::time::{ManualClock, Millis};

use super::gate::{Gate, PATIENCE};

/// A master over a backend behind a gate, whose time stands still.
pub(crate) struct World {
    pub(crate) gate: Gate,
    pub(crate) clock: ManualClock,
    pub(crate) master: TestMaster,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(Options::default())
    }

    pub(crate) fn with(options: Options) -> Self {
        let gate = Gate::default();
        let clock = ManualClock::new(Millis::from_unix(1_000_000));
        let options = Options {
            store: gate.source(),
            ..options
        };
        let master = TestMaster::builder().options(options).clock(clock.clone());
        Self {
            master: master.start().unwrap(),
            gate,
            clock,
        }
    }

    pub(crate) fn peer(&self) -> Peer {
        Peer::of(self.master.raw_channel(0).unwrap())
    }

    /// A peer whose request the backend is stuck with.
    pub(crate) fn stuck_peer(&self) -> Peer {
        self.gate.shut("stuck");
        let mut peer = self.peer();
        peer.send("GET stuck\r\n");
        self.gate.until_inside("stuck");
        peer
    }

    /// Waits until so many chunks of requests are under way.
    pub(crate) fn until_queued(&self, count: u64) {
        until("the queue", || self.master.load().unwrap().queued == count);
    }

    /// Moves time on by this many times the backend's timeout, and has the loop see it.
    pub(crate) fn time_out(&self) {
        self.clock
            .advance(Options::default().limits.backend_timeout);
        // Whoever connects wakes the loop.
        drop(self.peer());
    }
}

/// Waits for something without a signal of its own.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "never came: {what}");
        std::thread::yield_now();
    }
}

/// One end of a connection.
pub(crate) struct Peer(pub(crate) UnixStream);

impl Peer {
    pub(crate) fn of(stream: UnixStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self(stream)
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).unwrap();
    }

    /// Whether nothing has come.
    pub(crate) fn is_silent(&mut self) -> bool {
        self.0.set_nonblocking(true).unwrap();
        let read = self.0.read(&mut [0]);
        self.0.set_nonblocking(false).unwrap();
        read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }

    /// Expects these bytes next.
    #[track_caller]
    pub(crate) fn expect(&mut self, expected: impl AsRef<[u8]>) {
        let expected = expected.as_ref();
        let mut got = vec![0; expected.len()];
        let mut filled = 0;
        while filled < got.len() && expected.starts_with(&got[..filled]) {
            match self.0.read(&mut got[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) => panic!("{error} after {:?}", got[..filled].escape_ascii()),
            }
        }
        let (got, expected) = (got[..filled].escape_ascii(), expected.escape_ascii());
        assert_eq!(got.to_string(), expected.to_string());
    }

    #[track_caller]
    pub(crate) fn ask(&mut self, line: &str, reply: impl AsRef<[u8]>) {
        self.send(format!("{line}\r\n"));
        self.expect(reply);
    }

    /// A line without its end.
    pub(crate) fn line(&mut self) -> String {
        let (mut line, mut byte) = (Vec::new(), [0]);
        while !line.ends_with(b"\r\n") {
            self.0.read_exact(&mut byte).unwrap();
            line.push(byte[0]);
        }
        String::from_utf8(line).unwrap().trim_end().to_owned()
    }

    /// Reads to the end of the connection.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        match self.0.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            Err(error) => panic!("{error}"),
        }
        rest
    }

    /// Introduces itself in the native dialect.
    pub(crate) fn hello(&mut self) {
        let hello = Hello {
            min_version: 1,
            max_version: 1,
            pid: 1,
        };
        self.request(1, &Request::Hello(hello));
        self.reply(|id, reply| assert!(matches!((id, reply), (1, Reply::Welcome(_)))));
    }

    pub(crate) fn request(&mut self, id: u32, request: &Request<'_>) {
        self.requests(&[(id, request)]);
    }

    /// Sends these at once.
    pub(crate) fn requests(&mut self, requests: &[(u32, &Request<'_>)]) {
        let mut bytes = Vec::new();
        for (id, request) in requests {
            codec::write_request(&mut bytes, *id, request);
        }
        self.send(bytes);
    }

    pub(crate) fn reply<R>(&mut self, read: impl FnOnce(u32, Reply<'_>) -> R) -> R {
        let mut bytes = vec![0; frame::HEADER_LEN];
        self.0.read_exact(&mut bytes).unwrap();
        let len = u32::from_le_bytes(bytes[8..12].try_into().unwrap());
        bytes.resize(frame::HEADER_LEN + usize::try_from(len).unwrap(), 0);
        self.0.read_exact(&mut bytes[frame::HEADER_LEN..]).unwrap();
        let frame = frame::split(&bytes, usize::MAX).unwrap().unwrap();
        read(frame.header.id, codec::read_reply(frame).unwrap())
    }

    /// The error that is the reply to this request.
    #[track_caller]
    pub(crate) fn error(&mut self, id: u32) -> (ErrorCode, String) {
        self.reply(|got, reply| match reply {
            Reply::Error(Failure { code, message }) if got == id => (code, message.into_owned()),
            other => panic!("{got}: {other:?}"),
        })
    }
}

/// A native request that writes.
pub(crate) fn set<'a>(key: &'a str, value: &'a [u8]) -> Request<'a> {
    Request::Set(Set {
        expiry: memstore_cluster::contract::Expiry::Never,
        condition: memstore_cluster::contract::Condition::Always,
        key: key.as_bytes(),
        value,
    })
}

/// A request of the Redis dialect.
pub(crate) fn command(words: &[&[u8]]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
    out
}
