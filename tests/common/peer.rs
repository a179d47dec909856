//! A peer at the path socket that speaks the protocol by hand, as well or as badly as it likes.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use memstore_cluster::protocol::frame::{self, VERSION};
use memstore_cluster::protocol::message::{ErrorCode, Hello};
use memstore_cluster::protocol::{Reply, Request, codec};

use super::PATIENCE;

/// The largest reply that a peer takes.
const MAX_BODY: usize = 16 << 20;

pub struct Peer {
    stream: UnixStream,
    input: Vec<u8>,
}

/// What the master says to a peer.
#[derive(Debug, PartialEq, Eq)]
pub enum Said {
    /// The answer to the request with this id.
    Reply(u32, &'static str),
    /// The answer to the request with this id, 0 for none.
    Error(u32, ErrorCode, String),
    /// It closed the connection.
    Bye,
}

impl Peer {
    pub fn connect(sock: &Path) -> Self {
        let stream = UnixStream::connect(sock).expect("the master listens");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a time that is not zero");
        stream
            .set_write_timeout(Some(PATIENCE))
            .expect("a time that is not zero");
        Self {
            stream,
            input: Vec::new(),
        }
    }

    /// A peer that has introduced itself.
    pub fn introduced(sock: &Path) -> Self {
        let mut peer = Self::connect(sock);
        peer.send(&hello());
        assert_eq!(peer.hear(), Said::Reply(1, "welcome"));
        peer
    }

    /// Sends these bytes. A master that has closed the connection is no surprise.
    pub fn send(&mut self, bytes: &[u8]) {
        match self.stream.write_all(bytes) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            sent => sent.expect("the master takes what it is sent"),
        }
    }

    /// Sends what there is room for now and says how much that was.
    pub fn send_now(&mut self, bytes: &[u8]) -> usize {
        self.stream
            .set_nonblocking(true)
            .expect("a socket has modes");
        let sent = self.stream.write(bytes);
        self.stream
            .set_nonblocking(false)
            .expect("a socket has modes");
        match sent {
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            sent => sent.expect("the master goes on with this connection"),
        }
    }

    /// Waits for what the master says next.
    pub fn hear(&mut self) -> Said {
        loop {
            let split = frame::split(&self.input, MAX_BODY).expect("the master sends frames");
            if let Some(frame) = split {
                let id = frame.header.id;
                let said = match codec::read_reply(frame).expect("the master sends replies") {
                    Reply::Error(failure) => {
                        Said::Error(id, failure.code, failure.message.into_owned())
                    }
                    reply => Said::Reply(id, reply.name()),
                };
                let used = frame.wire_len();
                self.input.drain(..used);
                return said;
            }
            let mut bytes = vec![0; 256 << 10];
            match self.stream.read(&mut bytes) {
                Ok(0) => return Said::Bye,
                Ok(read) => self.input.extend_from_slice(&bytes[..read]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Said::Bye,
                Err(error) => panic!("the master says nothing: {error}"),
            }
        }
    }

    /// Waits for an error that concerns the whole connection, and for its end.
    pub fn hear_the_end(&mut self) -> (ErrorCode, String) {
        let Said::Error(0, code, message) = self.hear() else {
            panic!("the master did not say why it ends the connection");
        };
        assert_eq!(self.hear(), Said::Bye);
        (code, message)
    }
}

pub fn request(id: u32, request: &Request<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    codec::write_request(&mut out, id, request);
    out
}

pub fn hello() -> Vec<u8> {
    let hello = Hello {
        min_version: VERSION,
        max_version: VERSION,
        pid: std::process::id(),
    };
    request(1, &Request::Hello(hello))
}
