//! The floor: a server that does nothing but move the bytes.
//!
//! It runs as a process of its own (the driver starts itself again) on a mio loop, as the real
//! server does. Of a request it looks at where its length is and no further; its reply is what the real
//! one would be, with the length of the value that was last written. No key is read, nothing is
//! stored: no store behind a socket can be faster, and the distance to it is what a store costs.
//! It speaks the native dialect and that of Redis, as the first byte of a request says.

use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;

use memstore_cluster::contract::{Capabilities, Seq};
use memstore_cluster::protocol::frame::{self, HEADER_LEN};
use memstore_cluster::protocol::message::{Entry, Op, Welcome};
use memstore_cluster::protocol::{Reply, codec};
use mio::net::{UnixListener, UnixStream};
use mio::{Events, Interest, Poll, Token};

use super::dialect::Dialect;
use super::{keys, wire};

const LISTENER: Token = Token(usize::MAX);
const SCRATCH: usize = 64 << 10;
/// Bytes from the digits of a value's length on in which they end. Every `SET` has so many.
const MAX_DIGITS: usize = 8;
/// Room for the longest head.
const HEAD: usize = 128;

/// Serves until it is killed.
///
/// # Errors
/// Where the path cannot be bound or the loop fails.
pub(crate) fn serve(path: &Path) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut listener = UnixListener::bind(path)?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(1024);
    let mut scratch = vec![0; SCRATCH];
    let mut answers = Answers::new();
    let mut peers: Vec<Option<Peer>> = Vec::new();
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            outcome => outcome?,
        }
        for event in &events {
            if event.token() == LISTENER {
                accept(&listener, &poll, &mut peers)?;
                continue;
            }
            let place = &mut peers[event.token().0];
            let Some(peer) = place else { continue };
            if !peer.advance(&poll, event.token(), &mut scratch, &mut answers)? {
                *place = None;
            }
        }
    }
}

fn accept(listener: &UnixListener, poll: &Poll, peers: &mut Vec<Option<Peer>>) -> io::Result<()> {
    loop {
        let mut stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        let free = peers.iter().position(Option::is_none);
        let index = free.unwrap_or_else(|| {
            peers.push(None);
            peers.len() - 1
        });
        poll.registry()
            .register(&mut stream, Token(index), Interest::READABLE)?;
        peers[index] = Some(Peer {
            stream,
            head: [0; HEAD],
            have: 0,
            skip: 0,
            output: Vec::new(),
            sent: 0,
            is_blocked: false,
        });
    }
}

struct Peer {
    stream: UnixStream,
    head: [u8; HEAD],
    /// Bytes of the head that are there.
    have: usize,
    /// Bytes of the request that are still to come.
    skip: usize,
    output: Vec<u8>,
    sent: usize,
    is_blocked: bool,
}

impl Peer {
    /// Reads, answers and writes until the socket has no more; `false` once the peer is gone.
    fn advance(
        &mut self,
        poll: &Poll,
        token: Token,
        scratch: &mut [u8],
        answers: &mut Answers,
    ) -> io::Result<bool> {
        loop {
            if !self.flush(poll, token)? {
                return Ok(true);
            }
            match self.stream.read(scratch) {
                Ok(0) => return Ok(false),
                Ok(n) => {
                    self.count(&scratch[..n], answers);
                    // A short read has emptied the socket; what comes later is a new event.
                    if n < scratch.len() {
                        self.flush(poll, token)?;
                        return Ok(true);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Ok(false),
            }
        }
    }

    fn count(&mut self, mut chunk: &[u8], answers: &mut Answers) {
        while !chunk.is_empty() {
            if self.skip == 0 {
                let missing = answers.needs(&self.head[..self.have]) - self.have;
                let part = chunk.len().min(missing);
                self.head[self.have..self.have + part].copy_from_slice(&chunk[..part]);
                self.have += part;
                chunk = &chunk[part..];
                if answers.needs(&self.head[..self.have]) > self.have {
                    continue;
                }
                let len = answers.append(&self.head[..self.have], &mut self.output);
                self.skip = len - self.have;
                self.have = 0;
            }
            let part = chunk.len().min(self.skip);
            self.skip -= part;
            chunk = &chunk[part..];
        }
    }

    /// Writes what there is; `false` where the socket takes no more now.
    fn flush(&mut self, poll: &Poll, token: Token) -> io::Result<bool> {
        while self.sent < self.output.len() {
            match self.stream.write(&self.output[self.sent..]) {
                Ok(n) => self.sent += n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.block(poll, token, true)?;
                    return Ok(false);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // The next read sees it too, and ends the connection.
                Err(_) => self.sent = self.output.len(),
            }
        }
        self.output.clear();
        self.sent = 0;
        self.block(poll, token, false)?;
        Ok(true)
    }

    /// Wants to hear of room for output only while there is too little: a socket tells of it each
    /// time the other side reads.
    fn block(&mut self, poll: &Poll, token: Token, is_blocked: bool) -> io::Result<()> {
        if self.is_blocked == is_blocked {
            return Ok(());
        }
        self.is_blocked = is_blocked;
        let interest = if is_blocked {
            Interest::READABLE | Interest::WRITABLE
        } else {
            Interest::READABLE
        };
        poll.registry()
            .reregister(&mut self.stream, token, interest)
    }
}

/// Ready replies.
struct Answers {
    native: Native,
    resp: Resp,
}

impl Answers {
    fn new() -> Self {
        Self {
            native: Native::new(),
            resp: Resp::new(),
        }
    }

    /// How many bytes of a request have to be there, of which these are, to know its length.
    fn needs(&self, head: &[u8]) -> usize {
        match head {
            [frame::MAGIC, ..] => HEADER_LEN,
            [_, b'5', ..] => self.resp.size_at + MAX_DIGITS,
            _ => 2,
        }
    }

    /// Answers the request that begins so, and says how long it is.
    fn append(&mut self, head: &[u8], output: &mut Vec<u8>) -> usize {
        match head {
            [frame::MAGIC, ..] => self.native.append(head, output),
            _ => self.resp.append(head, output),
        }
    }
}

struct Native {
    welcome: Vec<u8>,
    stored: Vec<u8>,
    entry: Vec<u8>,
    /// The body of the `set` for which `entry` was made.
    set_body: usize,
    /// What the body of a `set` has besides the value.
    set_overhead: usize,
}

impl Native {
    fn new() -> Self {
        let reply = |reply: &Reply<'_>| {
            let mut bytes = Vec::new();
            codec::write_reply(&mut bytes, 0, reply);
            bytes
        };
        let empty_set = Dialect::Native.exchange(wire::Op::Set, b"").batch(1);
        let set_overhead = empty_set.bytes().len() - HEADER_LEN;
        Self {
            welcome: reply(&Reply::Welcome(welcome())),
            stored: reply(&Reply::Stored { seq: Seq(1) }),
            entry: entry(0),
            set_body: set_overhead,
            set_overhead,
        }
    }

    fn append(&mut self, header: &[u8], output: &mut Vec<u8>) -> usize {
        let [_, _, op, _, i0, i1, i2, i3, a, b, c, d, ..] = header else {
            unreachable!("a whole header is needed");
        };
        let body = u32::from_le_bytes([*a, *b, *c, *d]) as usize;
        let reply = if *op == Op::Get as u8 {
            &self.entry
        } else if *op == Op::Set as u8 {
            if body != self.set_body {
                self.set_body = body;
                self.entry = entry(body.saturating_sub(self.set_overhead));
            }
            &self.stored
        } else {
            &self.welcome
        };
        let start = output.len();
        output.extend_from_slice(reply);
        output[start + 4..start + 8].copy_from_slice(&[*i0, *i1, *i2, *i3]);
        HEADER_LEN + body
    }
}

/// All keys are of one length, so all of a request is in fixed places but for the value.
struct Resp {
    get_len: usize,
    /// Where in a `SET` the digits are that say how long the value is.
    size_at: usize,
    /// What a `SET` has besides the value and those digits.
    set_overhead: usize,
    value_len: usize,
    bulk: Vec<u8>,
}

impl Resp {
    fn new() -> Self {
        let len = |op, value: &[u8]| Dialect::Resp.exchange(op, value).batch(1).bytes().len();
        let get_len = len(wire::Op::Get, b"");
        Self {
            get_len,
            size_at: get_len + b"$".len(),
            set_overhead: len(wire::Op::Set, b"") - b"0".len(),
            value_len: 0,
            bulk: bulk(0),
        }
    }

    fn append(&mut self, head: &[u8], output: &mut Vec<u8>) -> usize {
        let Some(size) = head.get(self.size_at..) else {
            output.extend_from_slice(&self.bulk);
            return self.get_len;
        };
        let digits = size.iter().take_while(|byte| byte.is_ascii_digit());
        let (digits, value_len) = digits.fold((0, 0), |(digits, value), digit| {
            (digits + 1, value * 10 + usize::from(digit - b'0'))
        });
        if value_len != self.value_len {
            self.value_len = value_len;
            self.bulk = bulk(value_len);
        }
        output.extend_from_slice(b"+OK\r\n");
        self.set_overhead + digits + value_len
    }
}

fn bulk(value_len: usize) -> Vec<u8> {
    let mut bytes = format!("${value_len}\r\n").into_bytes();
    bytes.extend_from_slice(&keys::value(value_len));
    bytes.extend_from_slice(b"\r\n");
    bytes
}

fn entry(value_len: usize) -> Vec<u8> {
    let entry = Entry {
        seq: Seq(1),
        ttl_ms: Some(wire::TTL_SECONDS * 1_000),
        value: keys::value(value_len).into(),
    };
    let mut bytes = Vec::new();
    codec::write_reply(&mut bytes, 0, &Reply::Entry(entry));
    bytes
}

fn welcome() -> Welcome {
    Welcome {
        version: frame::VERSION,
        capabilities: Capabilities::BASIC,
        max_key: 4 << 10,
        max_value: 8 << 20,
        max_body: 9 << 20,
        slot: None,
        workers: 0,
        generation: 0,
        pid: std::process::id(),
        proof: None,
    }
}
