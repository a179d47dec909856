//! Many threads, one stream: requests go out, and each reply finds the thread that waits for it.
//!
//! There is no thread for reading. A thread that waits for a reply reads for everybody if nobody
//! else does, puts what belongs to others into their slots, and hands reading over when it goes.
//! A thread alone on the connection so makes one `send` and one `recv` per call and its reply is
//! decoded where it was read.
//!
//! A writer never blocks the stream: where there is no room it reads (or leaves that to who is
//! reading already), because the master may wait for us to take its replies before it takes more
//! requests. A frame that went out in part and not in whole in time ends the connection.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::PollFlags;

use super::error::Broken;
use super::input::{Dry, Input, KEEP};
use super::slots::{Sent, State, Stray, Wants};
use super::socket::Socket;
use crate::protocol::frame::{self, Frame};
use crate::protocol::{ErrorCode, Reply, codec};
use crate::sys;

/// Appends requests to the buffer, with consecutive ids from the given one on.
pub(super) type Encode<'a> = dyn FnMut(&mut Vec<u8>, u32) + 'a;
/// Takes the reply to the request of this index, from zero. It runs while its thread reads for
/// everybody, so it must not call the same connection.
pub(super) type Sink<'a> = dyn FnMut(u32, Frame<'_>) -> Result<(), Broken> + 'a;

/// Why not all replies came.
#[derive(Debug)]
pub(super) struct Halt {
    /// The reason.
    pub(super) cause: Cause,
    /// How many bytes of the encoded requests surely left; the others surely did not.
    pub(super) written: usize,
}

/// The reason of a [`Halt`].
#[derive(Debug)]
pub(super) enum Cause {
    /// The time is over.
    TimedOut,
    /// The connection cannot be used any more.
    Broken(Broken),
}

impl From<Broken> for Cause {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

/// One stream, shared.
#[derive(Debug)]
pub(super) struct Exchange {
    socket: Socket,
    forks: u32,
    state: Mutex<State>,
}

impl Exchange {
    pub(super) fn new(socket: Socket, max_body: usize) -> Self {
        Self {
            socket,
            forks: sys::forks(),
            state: Mutex::new(State::new(Input::new(max_body))),
        }
    }

    /// From now on replies may be so large. Nothing may be in flight.
    pub(super) fn set_max_body(&self, max_body: usize) {
        let mut state = self.lock();
        debug_assert!(state.input.is_some(), "somebody is reading");
        if let Some(input) = &mut state.input {
            input.set_max_body(max_body);
        }
    }

    /// Whether every further call will be refused.
    pub(super) fn is_broken(&self) -> bool {
        self.lock().broken.is_some()
    }

    /// The socket, for those who only look at it.
    pub(super) fn socket(&self) -> &Socket {
        &self.socket
    }

    /// What it was made of, and what was read and not used. Nothing may be in flight.
    #[cfg(feature = "tokio")]
    pub(super) fn into_parts(self) -> (Socket, Input) {
        let state = self.state.into_inner();
        let state = state.unwrap_or_else(PoisonError::into_inner);
        let input = state.input.expect("who reads borrows the exchange");
        (self.socket, input)
    }

    /// Sends `count` requests and waits for their replies, each of which is given to `sink` as it
    /// comes, in any order.
    pub(super) fn run(
        &self,
        count: u32,
        deadline: Instant,
        encode: &mut Encode<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<(), Halt> {
        if sys::forks() != self.forks {
            return Err(Halt {
                cause: Broken::Forked.into(),
                written: 0,
            });
        }
        let mut seat = Seat::take(self, count);
        let result = seat
            .wait_for_output(deadline)
            .and_then(|()| seat.send(deadline, encode, sink))
            .and_then(|()| seat.receive(deadline, sink));
        result.map_err(|cause| Halt {
            cause,
            written: seat.written,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock; if it did, the state would still be whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the connection, for everybody.
    fn end(&self, broken: &Broken) {
        let sleepers = self.lock().end(broken.clone());
        self.socket.shutdown();
        sleepers.iter().for_each(thread::Thread::unpark);
    }

    /// Gives a reply to whoever waits for it.
    fn deliver(&self, frame: Frame<'_>) -> Result<(), Broken> {
        let delivered = self.lock().deliver(frame);
        match delivered {
            Ok(owner) => {
                if let Some(owner) = owner {
                    owner.unpark();
                }
                Ok(())
            }
            Err(stray) => Err(complaint(frame).unwrap_or_else(|| stray.into())),
        }
    }
}

/// What the master says before it closes the connection because of us.
pub(super) fn complaint(frame: Frame<'_>) -> Option<Broken> {
    match codec::read_reply(frame) {
        Ok(Reply::Error(failure)) if frame.header.id == 0 => {
            let message = failure.message.into_owned();
            Some(match failure.code {
                ErrorCode::AuthRequired | ErrorCode::AuthFailed => Broken::Refused(message),
                ErrorCode::Busy => Broken::Full(message),
                _ => Broken::Protocol(message),
            })
        }
        _ => None,
    }
}

/// A thread's place in the exchange: its slot, and the buffers it took. Dropping it, also by a
/// panic in a sink, gives everything back and wakes who may use it.
struct Seat<'e> {
    exchange: &'e Exchange,
    first: u32,
    count: u32,
    /// Replies that the sink took.
    seen: u32,
    /// Those among them that this thread read itself.
    read_itself: u32,
    output: Option<Vec<u8>>,
    input: Option<Input>,
    /// Bytes of the requests that are out.
    written: usize,
}

impl<'e> Seat<'e> {
    fn take(exchange: &'e Exchange, count: u32) -> Self {
        let mut state = exchange.lock();
        Self {
            exchange,
            first: state.enter(count),
            count,
            seen: 0,
            read_itself: 0,
            output: match state.broken {
                None => state.output.take(),
                Some(_) => None,
            },
            input: None,
            written: 0,
        }
    }

    /// Waits until it is our turn to write.
    fn wait_for_output(&mut self, deadline: Instant) -> Result<(), Cause> {
        while self.output.is_none() {
            let mut state = self.exchange.lock();
            if let Some(broken) = &state.broken {
                return Err(broken.clone().into());
            }
            self.output = state.take_output(self.first);
            if self.output.is_none() {
                let left = left(deadline)?;
                state.sleep(self.first, Wants::Output);
                drop(state);
                thread::park_timeout(left);
            }
        }
        Ok(())
    }

    fn send(
        &mut self,
        deadline: Instant,
        encode: &mut Encode<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<(), Cause> {
        if let Some(output) = &mut self.output {
            encode(output, self.first);
        }
        while let Some(rest @ [_, ..]) = self.output.as_ref().map(|all| &all[self.written..]) {
            match self.exchange.socket.send(rest) {
                Ok(written) => self.written += written,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    self.wait_for_room(deadline, sink)?;
                }
                Err(error) => {
                    self.hear_last_words(sink)?;
                    // Replies that are underway can still be read.
                    let broken = Broken::from(error);
                    self.exchange.lock().refuse(broken.clone());
                    return Err(broken.into());
                }
            }
        }
        Ok(())
    }

    /// Fails with what the master said before it closed the connection, if it said why and nobody
    /// else is reading.
    fn hear_last_words(&mut self, sink: &mut Sink<'_>) -> Result<(), Cause> {
        let mail = self.take_input(&mut self.exchange.lock());
        self.open(&mail, sink)?;
        if let Some(input) = &mut self.input {
            // What it fails with is told already.
            let _ = input.fill_now(&self.exchange.socket);
        }
        self.sort(sink)
    }

    /// Waits until there may be room to write, and reads meanwhile.
    fn wait_for_room(&mut self, deadline: Instant, sink: &mut Sink<'_>) -> Result<(), Cause> {
        let (mail, open) = {
            let mut state = self.exchange.lock();
            (self.take_input(&mut state), check_open(&state))
        };
        self.open(&mail, sink)?;
        open?;
        self.sort(sink)?;
        let flags = PollFlags::POLLIN | PollFlags::POLLOUT;
        let ready = self.exchange.socket.poll(flags, deadline);
        let ready = ready.map_err(Broken::from)?;
        match &mut self.input {
            Some(input) if ready.readable => {
                if let Err(broken) = input.fill_now(&self.exchange.socket) {
                    self.exchange.end(&broken);
                    return Err(broken.into());
                }
                self.sort(sink)?;
            }
            // Who reads has not come to these bytes yet. To wait only for room would be wrong: it
            // may go, and leave the reading to us.
            None if ready.readable && !ready.writable => thread::yield_now(),
            _ => {}
        }
        if !ready.writable {
            left(deadline)?;
        }
        Ok(())
    }

    fn receive(&mut self, deadline: Instant, sink: &mut Sink<'_>) -> Result<(), Cause> {
        loop {
            self.sort(sink)?;
            if self.seen == self.count {
                return Ok(());
            }
            let Some(input) = &mut self.input else {
                let mail = self.wait_for_input(deadline)?;
                self.open(&mail, sink)?;
                continue;
            };
            match input.fill(&self.exchange.socket, deadline) {
                Ok(()) => {}
                Err(Dry::TimedOut) => return Err(Cause::TimedOut),
                Err(Dry::Broken(broken)) => {
                    self.exchange.end(&broken);
                    return Err(broken.into());
                }
            }
        }
    }

    /// Waits until others have read something for us or it is our turn to read.
    fn wait_for_input(&mut self, deadline: Instant) -> Result<Vec<u8>, Cause> {
        loop {
            let mut state = self.exchange.lock();
            self.give_back(&mut state);
            let mail = self.take_input(&mut state);
            if mail.is_empty() {
                check_open(&state)?;
            }
            if !mail.is_empty() || self.input.is_some() {
                release(state);
                return Ok(mail);
            }
            let left = left(deadline)?;
            state.sleep(self.first, Wants::Reply);
            release(state);
            thread::park_timeout(left);
        }
    }

    /// Takes what is there for us: what others have read, and the reading if nobody does it.
    fn take_input(&mut self, state: &mut State) -> Vec<u8> {
        if self.input.is_none() {
            self.input = state.input.take();
        }
        state.take_mail(self.first)
    }

    fn give_back(&mut self, state: &mut State) {
        if let Some(mut output) = self.output.take() {
            output.clear();
            if output.capacity() > KEEP {
                output = Vec::new();
            }
            state.output = Some(output);
        }
        if let Some(input) = self.input.take() {
            state.input = Some(input);
        }
    }

    /// Takes the replies that others have read for us.
    fn open(&mut self, mut mail: &[u8], sink: &mut Sink<'_>) -> Result<(), Cause> {
        while let Ok(Some(frame)) = frame::split(mail, usize::MAX) {
            let index = frame.header.id.wrapping_sub(self.first);
            if let Err(broken) = sink(index, frame) {
                self.exchange.end(&broken);
                return Err(broken.into());
            }
            self.seen += 1;
            mail = &mail[frame.wire_len()..];
        }
        Ok(())
    }

    /// Takes our replies from what was read and gives the others to whom they belong.
    fn sort(&mut self, sink: &mut Sink<'_>) -> Result<(), Cause> {
        let Err(broken) = self.sort_frames(sink) else {
            return Ok(());
        };
        self.exchange.end(&broken);
        if self.seen == self.count {
            return Ok(());
        }
        Err(broken.into())
    }

    fn sort_frames(&mut self, sink: &mut Sink<'_>) -> Result<(), Broken> {
        let Some(input) = &mut self.input else {
            return Ok(());
        };
        loop {
            let Some(frame) = input.frame()? else {
                return Ok(());
            };
            let (id, len) = (frame.header.id, frame.wire_len());
            let index = id.wrapping_sub(self.first);
            if index >= self.count {
                self.exchange.deliver(frame)?;
            } else if self.seen < self.count {
                sink(index, frame)?;
                self.seen += 1;
                self.read_itself += 1;
            } else {
                return Err(Stray(id).into());
            }
            input.consume(len);
        }
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let all = self.output.as_ref().map_or(0, Vec::len);
        let is_torn = (1..all).contains(&self.written);
        let sent = match self.written {
            0 => Sent::Nothing,
            _ => Sent::Some,
        };
        let mut state = self.exchange.lock();
        if is_torn {
            state.refuse(Broken::Stalled);
            self.exchange.socket.shutdown();
        }
        self.give_back(&mut state);
        state.leave(self.first, self.read_itself, sent);
        release(state);
    }
}

/// Gives up the lock, and wakes who can go on after what was put back under it.
fn release(mut state: MutexGuard<'_, State>) {
    let next = state.next_up();
    drop(state);
    next.into_iter()
        .flatten()
        .for_each(|thread| thread.unpark());
}

fn check_open(state: &State) -> Result<(), Cause> {
    match &state.broken {
        Some(broken) if state.is_over => Err(broken.clone().into()),
        _ => Ok(()),
    }
}

fn left(deadline: Instant) -> Result<Duration, Cause> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(Cause::TimedOut);
    }
    Ok(left)
}

#[cfg(test)]
#[path = "exchange_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "stress_tests.rs"]
mod stress;
