//! The load: closed loops that send the next requests as soon as the replies are there.
//!
//! One connection is driven with blocking calls, so that nothing but the write, the wait and the
//! read is between two requests; several are driven from one thread by a mio loop. Both are the
//! same for every dialect, allocate nothing per request, and take the time once per reply: the end
//! of one request is the start of the next.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use nix::poll::{PollFd, PollFlags, PollTimeout};

use super::Result;
use super::connection::Connection;
use super::dialect::Dialect;
use super::histogram::Histogram;
use super::wire::{Batch, Exchange, Keys, Op, Order, Replies};

/// Bytes read at once.
const BUFFER: usize = 256 << 10;
/// A server that is silent for so long has failed.
const PATIENCE: Duration = Duration::from_secs(10);
/// Requests per write while the keys are written for the first time.
const PRELOAD_DEPTH: usize = 50;

/// How many connections there are and how many requests each has under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Shape {
    pub(crate) connections: usize,
    pub(crate) depth: usize,
}

/// A load that is connected and can be run several times.
pub(crate) struct Load {
    keys: Keys,
    buffer: Vec<u8>,
    driver: Driver,
}

enum Driver {
    One(Lane),
    Many(Many),
}

impl Load {
    /// Connects, to ask for these keys.
    ///
    /// # Errors
    /// Where the peer does not accept or does not greet.
    pub(crate) fn connect(
        sock: &Path,
        dialect: Dialect,
        exchange: &Exchange,
        shape: Shape,
        keys: Keys,
    ) -> Result<Self> {
        let mut lanes = Vec::new();
        for _ in 0..shape.connections {
            lanes.push(Lane::connect(sock, dialect, exchange, shape.depth)?);
        }
        let driver = if lanes.len() == 1 {
            Driver::One(lanes.remove(0))
        } else {
            Driver::Many(Many::new(lanes)?)
        };
        Ok(Self {
            keys,
            buffer: vec![0; BUFFER],
            driver,
        })
    }

    /// Asks for `time`, then waits for the last replies. Every latency is recorded. Says how many
    /// requests of the connection that got the fewest were answered: a server that goes on with
    /// one connection as long as that asks has a splendid median, and starves the others.
    ///
    /// # Errors
    /// Where the peer goes away or answers anything but what it must.
    pub(crate) fn run(&mut self, time: Duration, histogram: &mut Histogram) -> Result<u64> {
        let until = Instant::now() + time;
        match &mut self.driver {
            Driver::One(lane) => {
                let mut now = Instant::now();
                while now < until {
                    now = lane.round(now, &mut self.keys, &mut self.buffer, histogram)?;
                }
                Ok(histogram.total())
            }
            Driver::Many(many) => many.run(until, &mut self.keys, &mut self.buffer, histogram),
        }
    }
}

/// Writes every one of so many keys, and checks that a value comes back as it was written.
///
/// # Errors
/// As [`Load::run`], and where the value that comes back is another one.
pub(crate) fn preload(sock: &Path, dialect: Dialect, value: &[u8], count: usize) -> Result<()> {
    let mut keys = Keys::new(count, Order::Sequential(0));
    let mut buffer = vec![0; BUFFER];
    let mut discarded = Histogram::new();
    let set = dialect.exchange(Op::Set, value);
    let mut writer = Lane::connect(sock, dialect, &set, PRELOAD_DEPTH)?;
    for _ in 0..count.div_ceil(PRELOAD_DEPTH) {
        writer.round(Instant::now(), &mut keys, &mut buffer, &mut discarded)?;
    }

    let get = dialect.exchange(Op::Get, value);
    let mut reader = Lane::connect(sock, dialect, &get, 1)?;
    reader.send(&mut keys)?;
    let reply = &mut buffer[..get.reply_len()];
    reader.stream.read_exact(reply)?;
    reader
        .replies
        .take(reply)
        .map_err(|error| error.to_string())?;
    if !get.value_in(reply).starts_with(value) {
        return Err("the value that was read is not the value that was written".into());
    }
    Ok(())
}

/// Connects, and is patient for a while only.
fn connect(sock: &Path, dialect: Dialect) -> Result<UnixStream> {
    let stream = Connection::open(sock, dialect)?.into_stream();
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// One connection.
struct Lane {
    stream: UnixStream,
    batch: Batch,
    replies: Replies,
    next_id: u32,
    started: Instant,
    answered: u64,
}

impl Lane {
    fn connect(sock: &Path, dialect: Dialect, exchange: &Exchange, depth: usize) -> Result<Self> {
        Ok(Self {
            stream: connect(sock, dialect)?,
            batch: exchange.batch(depth),
            replies: exchange.replies(),
            next_id: 0,
            started: Instant::now(),
            answered: 0,
        })
    }

    /// Sends a batch. On a non-blocking stream a batch that does not fit waits for room, which
    /// the server makes by reading: it owes no more than these few replies.
    fn send(&mut self, keys: &mut Keys) -> Result<()> {
        let mut rest = self.batch.fill(keys, &mut self.next_id);
        while !rest.is_empty() {
            match self.stream.write(rest) {
                Ok(n) => rest = &rest[n..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let timeout = PollTimeout::try_from(PATIENCE)?;
                    let mut room = [PollFd::new(self.stream.as_fd(), PollFlags::POLLOUT)];
                    if nix::poll::poll(&mut room, timeout)? == 0 {
                        return Err("the server reads no more".into());
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Sends a batch at `start`, waits for all its replies, and says when the last was there.
    fn round(
        &mut self,
        start: Instant,
        keys: &mut Keys,
        buffer: &mut [u8],
        histogram: &mut Histogram,
    ) -> Result<Instant> {
        self.send(keys)?;
        let mut missing = self.batch.depth();
        let mut now = start;
        while missing > 0 {
            let read = read(&mut self.stream, buffer)?;
            let complete = self.take(&buffer[..read], missing)?;
            missing -= complete;
            now = Instant::now();
            (0..complete).for_each(|_| histogram.record_duration(now - start));
        }
        Ok(now)
    }

    fn take(&mut self, chunk: &[u8], missing: usize) -> Result<usize> {
        let complete = self
            .replies
            .take(chunk)
            .map_err(|error| error.to_string())?;
        if complete > missing {
            return Err("more replies than requests".into());
        }
        Ok(complete)
    }
}

fn read(stream: &mut UnixStream, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match stream.read(buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}

/// Several connections with one request under way on each.
struct Many {
    poll: Poll,
    events: Events,
    lanes: Vec<Lane>,
}

impl Many {
    fn new(lanes: Vec<Lane>) -> Result<Self> {
        let poll = Poll::new()?;
        for (index, lane) in lanes.iter().enumerate() {
            assert_eq!(lane.batch.depth(), 1, "many connections are not pipelined");
            lane.stream.set_nonblocking(true)?;
            let fd = lane.stream.as_raw_fd();
            poll.registry()
                .register(&mut SourceFd(&fd), Token(index), Interest::READABLE)?;
        }
        Ok(Self {
            poll,
            events: Events::with_capacity(lanes.len()),
            lanes,
        })
    }

    fn run(
        &mut self,
        until: Instant,
        keys: &mut Keys,
        buffer: &mut [u8],
        histogram: &mut Histogram,
    ) -> Result<u64> {
        for lane in &mut self.lanes {
            lane.started = Instant::now();
            lane.answered = 0;
            lane.send(keys)?;
        }
        let mut busy = self.lanes.len();
        while busy > 0 {
            match self.poll.poll(&mut self.events, Some(PATIENCE)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                outcome => outcome?,
            }
            if self.events.is_empty() {
                return Err("the server answers no more".into());
            }
            for event in &self.events {
                let lane = &mut self.lanes[event.token().0];
                if !lane.is_answered(buffer)? {
                    continue;
                }
                let now = Instant::now();
                histogram.record_duration(now - lane.started);
                lane.answered += 1;
                if now < until {
                    lane.started = now;
                    lane.send(keys)?;
                } else {
                    busy -= 1;
                }
            }
        }
        let fewest = self.lanes.iter().map(|lane| lane.answered).min();
        Ok(fewest.unwrap_or(0))
    }
}

impl Lane {
    /// Reads until the reply is complete or the socket is empty. Nothing can follow the reply,
    /// so there is no need to read until the socket says so.
    fn is_answered(&mut self, buffer: &mut [u8]) -> Result<bool> {
        loop {
            let n = match read(&mut self.stream, buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                outcome => outcome?,
            };
            if self.take(&buffer[..n], 1)? == 1 {
                return Ok(true);
            }
        }
    }
}
