//! The probe: asks the same at fixed times, and never waits for an answer before it asks again.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;

use super::answers::Answers;
use super::connection::Connection;
use super::dialect::Dialect;
use super::histogram::Histogram;
use super::{Result, driver};

/// A server that is silent for so long has failed.
const PATIENCE: Duration = Duration::from_secs(120);
const CHUNK: usize = 64 << 10;

/// An open loop over one connection.
pub(crate) struct Probe {
    stream: UnixStream,
    request: Vec<u8>,
    answers: Answers,
    interval: Duration,
    output: Vec<u8>,
    chunk: Vec<u8>,
    /// When the requests without an answer should have been sent, the oldest first.
    due: VecDeque<Instant>,
    histogram: Histogram,
}

impl Probe {
    /// Takes a connection over, to send this request once in each `interval`.
    ///
    /// # Errors
    /// Where the connection is gone.
    pub(crate) fn new(
        connection: Connection,
        dialect: Dialect,
        request: Vec<u8>,
        interval: Duration,
    ) -> Result<Self> {
        let stream = connection.into_stream();
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            request,
            answers: Answers::new(dialect),
            interval,
            output: Vec::with_capacity(1 << 20),
            chunk: vec![0; CHUNK],
            due: VecDeque::with_capacity(1 << 16),
            histogram: Histogram::new(),
        })
    }

    /// Asks until it is over, then waits for the last answers. What was waited for each, from when
    /// it should have been sent.
    ///
    /// # Errors
    /// The server is gone, silent, or refuses.
    pub(crate) fn run(mut self, is_over: &AtomicBool) -> Result<Histogram> {
        let mut next = Instant::now();
        loop {
            let now = Instant::now();
            if is_over.load(Ordering::Relaxed) {
                if self.due.is_empty() {
                    return Ok(self.histogram);
                }
                next = now + self.interval;
            }
            while next <= now {
                self.output.extend_from_slice(&self.request);
                self.due.push_back(next);
                next += self.interval;
            }
            self.send()?;
            self.receive()?;
            if self.due.front().is_some_and(|due| due.elapsed() > PATIENCE) {
                return Err(format!("no answer in {PATIENCE:?}").into());
            }
            self.wait(next.saturating_duration_since(Instant::now()))?;
        }
    }

    /// Sends what the socket takes.
    fn send(&mut self) -> Result<()> {
        while !self.output.is_empty() {
            match self.stream.write(&self.output) {
                Ok(n) => drop(self.output.drain(..n)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Takes the answers that are there.
    fn receive(&mut self) -> Result<()> {
        loop {
            match self.stream.read(&mut self.chunk) {
                Ok(0) => return Err("the server has hung up on the probe".into()),
                Ok(n) => self.answers.feed(&self.chunk[..n]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
            let now = Instant::now();
            while self.answers.next()?.is_some() {
                let due = self
                    .due
                    .pop_front()
                    .ok_or("an answer that nobody asked for")?;
                self.histogram.record_duration(now - due);
            }
        }
    }

    /// Waits for an answer, for room where there was none, or for as long as this.
    fn wait(&self, most: Duration) -> Result<()> {
        driver::check_interrupt()?;
        let mut flags = PollFlags::POLLIN;
        flags.set(PollFlags::POLLOUT, !self.output.is_empty());
        let mut fds = [PollFd::new(self.stream.as_fd(), flags)];
        match ppoll(&mut fds, Some(TimeSpec::from(most)), None) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
