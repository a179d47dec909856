//! Bytes that were read and are not yet used.
//!
//! Whoever holds the [`Input`] of a connection is its reader. The buffer grows as bytes arrive and
//! never by a length that a peer declares.

use std::io::ErrorKind;
#[cfg(feature = "tokio")]
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use nix::poll::PollFlags;

use super::error::Broken;
#[cfg(feature = "tokio")]
use super::socket;
use super::socket::{Socket, Wait};
use crate::protocol::frame::{self, Frame};
use crate::protocol::resp::{DENIED, FULL};

/// Bytes of room in the beginning: most replies arrive whole in one read.
const ROOM: usize = 32 << 10;
/// A larger buffer is given back when nothing is in it.
pub(super) const KEEP: usize = 1 << 20;

/// The read buffer of a connection.
#[derive(Debug)]
pub(super) struct Input {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    max_body: usize,
    /// What the socket was told last.
    patience: Duration,
}

/// Why there are no more bytes.
#[derive(Debug)]
pub(super) enum Dry {
    /// The time is over.
    TimedOut,
    /// There will never be more.
    Broken(Broken),
}

impl From<std::io::Error> for Dry {
    fn from(error: std::io::Error) -> Self {
        Self::Broken(error.into())
    }
}

impl Input {
    /// An empty buffer that takes frames with bodies of up to `max_body` bytes.
    pub(super) fn new(max_body: usize) -> Self {
        Self {
            bytes: vec![0; ROOM],
            start: 0,
            end: 0,
            max_body,
            patience: Duration::ZERO,
        }
    }

    /// From now on frames may be so large.
    pub(super) fn set_max_body(&mut self, max_body: usize) {
        self.max_body = max_body;
    }

    /// The first whole frame, if there is one.
    pub(super) fn frame(&self) -> Result<Option<Frame<'_>>, Broken> {
        let bytes = &self.bytes[self.start..self.end];
        frame::split(bytes, self.max_body).map_err(|error| {
            sent_away(bytes).unwrap_or_else(|| Broken::Protocol(error.to_string()))
        })
    }

    /// Forgets the first `len` bytes.
    pub(super) fn consume(&mut self, len: usize) {
        self.start += len;
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if self.bytes.len() > KEEP {
                self.bytes = vec![0; ROOM];
            }
        }
    }

    /// Reads some bytes, waiting for them until `deadline`, which may be overstepped by a
    /// thirty-second part of what is left of it: for that the socket is told how long to wait
    /// only when it matters, and a caller alone on the connection pays for one `recv`.
    pub(super) fn fill(&mut self, socket: &Socket, deadline: Instant) -> Result<(), Dry> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Dry::TimedOut);
            }
            if self.patience.abs_diff(left) > left / 32 {
                socket.set_patience(left)?;
                self.patience = left;
            }
            match self.read(|room| socket.recv(room, Wait::Patiently)) {
                // Too early where the socket was told of an earlier deadline, or where somebody
                // made it non-blocking: this waits in any case.
                Err(error) if is_early(&error) => socket.poll(PollFlags::POLLIN, deadline)?,
                result => return Ok(result?),
            };
        }
    }

    /// Reads what is there now.
    pub(super) fn fill_now(&mut self, socket: &Socket) -> Result<(), Broken> {
        match self.read(|room| socket.recv(room, Wait::Never)) {
            Err(error) if is_early(&error) => Ok(()),
            result => Ok(result?),
        }
    }

    /// Reads some of what is there now; [`ErrorKind::WouldBlock`] where there is nothing.
    #[cfg(feature = "tokio")]
    pub(super) fn read_now(&mut self, socket: BorrowedFd<'_>) -> std::io::Result<()> {
        self.read(|room| socket::receive(socket, room, Wait::Never))
    }

    fn read(
        &mut self,
        receive: impl FnOnce(&mut [u8]) -> std::io::Result<usize>,
    ) -> std::io::Result<()> {
        self.make_room();
        match receive(&mut self.bytes[self.end..])? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            read => {
                self.end += read;
                Ok(())
            }
        }
    }

    fn make_room(&mut self) {
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.bytes.len() {
            let largest = self.max_body.saturating_add(frame::HEADER_LEN);
            let len = self.bytes.len().saturating_mul(2);
            // A frame that fills a buffer of the largest size is whole, so this always grows.
            self.bytes.resize(len.min(largest).max(self.end + 1), 0);
        }
    }
}

/// Whether there was nothing to read yet.
fn is_early(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// What a master says that had no time to wait for our first word, and took us for a client of
/// Redis.
fn sent_away(bytes: &[u8]) -> Option<Broken> {
    let text = bytes.strip_prefix(b"-")?;
    let line = text.split(|byte| *byte == b'\r').next()?;
    let line = || String::from_utf8_lossy(line).into_owned();
    if text.starts_with(FULL.as_bytes()) {
        return Some(Broken::Full(line()));
    }
    text.starts_with(DENIED.as_bytes())
        .then(|| Broken::Refused(line()))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    #[test]
    fn the_buffer_grows_for_a_giant_and_shrinks_after_it() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let socket = Socket::adopt(ours.into()).unwrap();
        let giant = vec![5; 3 << 20];
        let mut bytes = Vec::new();
        frame::write(&mut bytes, 1, 1, |out| out.extend_from_slice(&giant));
        frame::write(&mut bytes, 2, 2, |_| ());
        let writer = std::thread::spawn(move || {
            theirs.write_all(&bytes).unwrap();
            theirs
        });
        let mut input = Input::new(4 << 20);
        let mut codes = Vec::new();
        while codes.len() < 2 {
            let found = input
                .frame()
                .unwrap()
                .map(|frame| (frame.header.code, frame.body.len(), frame.wire_len()));
            match found {
                Some((code, len, wire_len)) => {
                    codes.push((code, len));
                    input.consume(wire_len);
                }
                None => input.fill(&socket, soon()).unwrap(),
            }
        }
        assert_eq!(codes, [(1, 3 << 20), (2, 0)]);
        assert_eq!(input.bytes.len(), ROOM);
        drop(writer.join().unwrap());
        assert!(matches!(
            input.fill(&socket, soon()),
            Err(Dry::Broken(Broken::Closed))
        ));
    }

    #[test]
    fn a_socket_that_somebody_made_non_blocking_is_waited_for_all_the_same() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let alias = ours.try_clone().unwrap();
        let socket = Socket::adopt(ours.into()).unwrap();
        alias.set_nonblocking(true).unwrap();
        let mut input = Input::new(1 << 10);
        let short = Instant::now() + Duration::from_millis(20);
        assert!(matches!(input.fill(&socket, short), Err(Dry::TimedOut)));
        assert!(Instant::now() >= short);
        theirs.write_all(&[frame::MAGIC]).unwrap();
        input.fill(&socket, soon()).unwrap();
        assert_eq!(input.frame(), Ok(None));
    }

    #[test]
    fn who_is_sent_away_before_a_word_understands_it() {
        let told = |line: &str| {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            let socket = Socket::adopt(ours.into()).unwrap();
            theirs.write_all(format!("-{line}\r\n").as_bytes()).unwrap();
            let mut input = Input::new(1 << 10);
            input.fill(&socket, soon()).unwrap();
            input.frame().unwrap_err()
        };
        assert_eq!(told(FULL), Broken::Full(FULL.to_owned()));
        let stranger = format!("{DENIED} user 7 may not connect");
        assert_eq!(told(&stranger), Broken::Refused(stranger));
        assert!(matches!(told("ERR unknown command"), Broken::Protocol(_)));
    }
}
