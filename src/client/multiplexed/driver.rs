//! The task that writes and reads for everybody.
//!
//! It is the only one that touches the socket. It reads whenever there is something, also while it
//! has to wait with writing: the master may wait for us to take its replies before it takes more
//! requests.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::Interest;
use tokio::net::UnixStream;

use super::Shared;
use super::inflight::Next;
use crate::client::error::Broken;
use crate::client::exchange::complaint;
use crate::client::input::{Input, KEEP};
use crate::client::socket::{self, Socket};

/// A connection's task. It ends with the connection.
pub(super) struct Driver {
    stream: UnixStream,
    input: Input,
    /// Whole requests, of which the first `sent` bytes are out.
    output: Vec<u8>,
    sent: usize,
    /// Bytes of requests that are out, ever.
    written: u64,
    shared: Arc<Shared>,
}

impl Driver {
    pub(super) fn new(socket: Socket, input: Input, shared: Arc<Shared>) -> io::Result<Self> {
        let stream = std::os::unix::net::UnixStream::from(OwnedFd::from(socket));
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream: UnixStream::from_std(stream)?,
            input,
            output: Vec::new(),
            sent: 0,
            written: 0,
            shared,
        })
    }

    /// Does what can be done now; what cannot wakes the task when it can.
    fn turn(&mut self, context: &mut Context<'_>) -> Result<(), Broken> {
        self.read(context)?;
        match self.write(context) {
            Ok(()) => Ok(()),
            // What the master said before it closed the connection is worth more.
            Err(broken) => self.read(context).and(Err(broken)),
        }
    }

    fn write(&mut self, context: &mut Context<'_>) -> Result<(), Broken> {
        loop {
            if self.sent == self.output.len() && !self.refill(context)? {
                return Ok(());
            }
            let Poll::Ready(ready) = self.stream.poll_write_ready(context) else {
                return Ok(());
            };
            ready?;
            let rest = &self.output[self.sent..];
            let send = || socket::send_now(self.stream.as_fd(), rest);
            match self.stream.try_io(Interest::WRITABLE, send) {
                Ok(len) => {
                    self.sent += len;
                    self.written += len as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Takes what was queued. Whether there is something.
    fn refill(&mut self, context: &mut Context<'_>) -> Result<bool, Broken> {
        self.sent = 0;
        self.output.clear();
        if self.output.capacity() > KEEP {
            self.output = Vec::new();
        }
        let waker = context.waker();
        match self.shared.lock().take_queue(&mut self.output, waker) {
            Next::Write => Ok(true),
            Next::Sleep => Ok(false),
            Next::End => Err(Broken::Closed),
        }
    }

    fn read(&mut self, context: &mut Context<'_>) -> Result<(), Broken> {
        while let Poll::Ready(filled) = self.fill(context) {
            filled?;
            self.deliver()?;
        }
        Ok(())
    }

    /// Reads some bytes.
    fn fill(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        loop {
            ready!(self.stream.poll_read_ready(context))?;
            let read = || self.input.read_now(self.stream.as_fd());
            match self.stream.try_io(Interest::READABLE, read) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result.map_err(Broken::from)),
            }
        }
    }

    /// Gives the replies that were read to whom they belong.
    fn deliver(&mut self) -> Result<(), Broken> {
        loop {
            let Some(frame) = self.input.frame()? else {
                return Ok(());
            };
            let waiter = self.shared.lock().leave(frame.header.id);
            let waiter =
                waiter.map_err(|stray| complaint(frame).unwrap_or_else(|| stray.into()))?;
            if !waiter.is_closed() {
                // Whoever gave up since then need not know.
                let _ = waiter.send(Ok(frame.into()));
            }
            let len = frame.wire_len();
            self.input.consume(len);
        }
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match self.turn(context) {
            Ok(()) => Poll::Pending,
            Err(broken) => {
                self.shared.lock().end(&broken, self.written);
                Poll::Ready(())
            }
        }
    }
}

/// Also where the runtime ends before the connection.
impl Drop for Driver {
    fn drop(&mut self) {
        self.shared.lock().end(&Broken::Closed, self.written);
    }
}
