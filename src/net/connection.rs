//! One connection: bytes in, requests to the handler, replies out, within bounds.
//!
//! Generic over its stream, so that the tests can script every accident; knows neither mio nor
//! time. The reactor tells it what events said ([`readable`](Connection::readable),
//! [`writable`](Connection::writable)), gives it turns and has it flushed.
//!
//! The invariant: after every call [`wants_turn`](Connection::wants_turn) and
//! [`wants_flush`](Connection::wants_flush) say whether it can go on without a further event, for
//! an edge that was seen never comes again. What an event said is forgotten only when a read or a
//! write has shown that it no longer holds.

use std::io::{self, Read, Write};

use super::buffer::{Input, Output, Pool};
use super::handler::{Answer, CloseReason, Handler, Taken, Verdict};
use super::token::ConnectionId;
use crate::config::Limits;

/// Requests that are run in one turn; then others have theirs.
pub(super) const REQUESTS_PER_TURN: usize = 64;
/// Bytes that are read in one turn, by one read.
pub(super) const BYTES_PER_TURN: usize = 64 << 10;
/// Bytes that are written in one pass, by one write.
const BYTES_PER_FLUSH: usize = 64 << 10;

/// What is known of the stream's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inflow {
    /// Nothing is there; an event will tell when there is.
    Dry,
    /// There may be something.
    Flowing,
    /// There may be something, and after it comes the end, of which no further event tells.
    Ending,
}

/// Whether requests of the peer wait for somebody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hold {
    No,
    /// Some were taken along and are not answered yet.
    Away,
    /// There was no room to take any along.
    Full,
}

/// What a turn needs besides the connection.
pub(super) struct Turn<'a, H: Handler> {
    pub(super) id: ConnectionId,
    pub(super) handler: &'a mut H,
    pub(super) session: &'a mut H::Session,
    pub(super) limits: &'a Limits,
    pub(super) pool: &'a mut Pool,
    /// Requests that may still be run.
    pub(super) budget: usize,
    /// Whether the peer has introduced itself in this turn.
    pub(super) introduced: bool,
}

pub(super) struct Connection<S> {
    stream: S,
    input: Input,
    output: Output,
    inflow: Inflow,
    /// The input may hold a whole request: a budget or a pause stopped the parsing.
    unparsed: bool,
    /// The peer does not read; until it does, nothing of it is read or run.
    paused: bool,
    /// The stream took less than it was offered; an event will tell when it takes more.
    blocked: bool,
    /// While it is held, nothing of it is read or run.
    hold: Hold,
    /// It closes when its output is written. Nothing more is read or run.
    closing: Option<CloseReason>,
}

impl<S> Connection<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            input: Input::default(),
            output: Output::default(),
            inflow: Inflow::Dry,
            unparsed: false,
            paused: false,
            blocked: false,
            hold: Hold::No,
            closing: None,
        }
    }

    pub(super) fn stream_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    /// An event said that there is something to read.
    pub(super) fn readable(&mut self) {
        if self.inflow == Inflow::Dry {
            self.inflow = Inflow::Flowing;
        }
    }

    /// An event said that the peer sends no more, or that the stream failed.
    pub(super) fn ending(&mut self) {
        self.inflow = Inflow::Ending;
    }

    /// An event said that the stream takes output.
    pub(super) fn writable(&mut self) {
        self.blocked = false;
    }

    /// Whether a turn would find something to do.
    pub(super) fn wants_turn(&self) -> bool {
        self.is_open() && (self.unparsed || self.inflow != Inflow::Dry)
    }

    /// Whether there is output that the stream may take.
    pub(super) fn wants_flush(&self) -> bool {
        self.has_output() && !self.blocked
    }

    #[cfg(test)]
    pub(super) fn pending_output(&self) -> usize {
        self.output.len()
    }

    pub(super) fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    /// Whether only an event can tell that output may be written again.
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused
    }

    /// Whether it waits for room to have its requests taken along.
    pub(super) fn is_full(&self) -> bool {
        self.hold == Hold::Full
    }

    /// Whether it waits for others than its peer.
    pub(super) fn is_held(&self) -> bool {
        self.hold != Hold::No
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.is_some()
    }

    /// Why it is over, once everything is written that is to be.
    pub(super) fn finished(&self) -> Option<CloseReason> {
        self.closing.filter(|_| self.output.is_empty())
    }

    /// Gives back the memory that others can use.
    pub(super) fn release(&mut self, pool: &mut Pool) {
        self.output.clear(pool);
    }

    /// Whether requests of the peer may be run.
    fn is_open(&self) -> bool {
        !self.paused && self.hold == Hold::No && self.closing.is_none()
    }

    /// There may be room now to take requests along.
    pub(super) fn resume(&mut self) {
        if self.is_full() {
            self.hold = Hold::No;
        }
    }

    /// Goes on after what was taken along. An error is why the connection is to be closed at once.
    pub(super) fn answer(
        &mut self,
        answer: Answer<'_>,
        limits: &Limits,
        pool: &mut Pool,
    ) -> Result<(), CloseReason> {
        debug_assert_eq!(self.hold, Hold::Away, "only what was taken is answered");
        self.hold = Hold::No;
        if !answer.unread.is_empty() {
            self.input.unread(answer.unread);
            self.unparsed = true;
        }
        self.push(answer.out, limits, pool)?;
        self.paused = self.output.len() > limits.high_mark;
        if let Some(why) = answer.close {
            self.close_after_flush(why);
        }
        Ok(())
    }

    /// Appends output that no request of this peer asked for. An error is why the connection is
    /// to be closed at once.
    pub(super) fn push(
        &mut self,
        bytes: &[u8],
        limits: &Limits,
        pool: &mut Pool,
    ) -> Result<(), CloseReason> {
        if self.closing.is_some() {
            return Ok(());
        }
        self.output.append(pool, |out| out.extend_from_slice(bytes));
        if self.output.len() > limits.hard_cap() {
            return Err(CloseReason::OutputCap);
        }
        Ok(())
    }

    fn close_after_flush(&mut self, why: CloseReason) {
        self.closing = Some(why);
        self.input = Input::default();
        self.unparsed = false;
        self.inflow = Inflow::Dry;
    }

    /// Runs the requests at the front of `bytes` and says how many bytes they had. Leaves
    /// `unparsed` true where a whole one may be left.
    fn run<H: Handler>(
        &mut self,
        bytes: &[u8],
        turn: &mut Turn<'_, H>,
    ) -> Result<usize, CloseReason> {
        let mut used = 0;
        self.unparsed = false;
        while used < bytes.len() {
            if turn.budget == 0 || !self.is_open() {
                self.unparsed = self.closing.is_none();
                break;
            }
            let (handler, session) = (&mut *turn.handler, &mut *turn.session);
            let taken = self.output.append(turn.pool, |out| {
                handler.request(turn.id, session, &bytes[used..], out)
            });
            match taken {
                Taken::Nothing => break,
                Taken::Request(len, verdict) => {
                    used += len;
                    turn.budget -= 1;
                    match verdict {
                        Verdict::Continue => {}
                        Verdict::Introduced => turn.introduced = true,
                        Verdict::Close(why) => self.closing = Some(CloseReason::Rejected(why)),
                    }
                }
                Taken::Along(len) => {
                    used += len;
                    turn.budget -= 1;
                    self.hold = Hold::Away;
                }
                Taken::Full => self.hold = Hold::Full,
                Taken::Garbage(why) => self.closing = Some(CloseReason::Garbage(why)),
            }
            if self.output.len() > turn.limits.hard_cap() {
                return Err(CloseReason::OutputCap);
            }
            self.paused = self.output.len() > turn.limits.high_mark;
        }
        Ok(used)
    }
}

impl<S: Read + Write> Connection<S> {
    /// Runs what was read before, then reads once and runs that, until the budget is spent.
    /// An error is why the connection is to be closed at once.
    pub(super) fn turn<H: Handler>(
        &mut self,
        turn: &mut Turn<'_, H>,
        scratch: &mut [u8],
    ) -> Result<(), CloseReason> {
        self.run_input(turn)?;
        if self.is_open() && !self.unparsed && self.inflow != Inflow::Dry && turn.budget > 0 {
            self.read_and_run(turn, scratch)?;
        }
        if let Some(why) = self.closing {
            self.close_after_flush(why);
        }
        Ok(())
    }

    fn run_input<H: Handler>(&mut self, turn: &mut Turn<'_, H>) -> Result<(), CloseReason> {
        if self.unparsed {
            let mut input = std::mem::take(&mut self.input);
            let used = self.run(input.rest(), turn)?;
            input.consume(used);
            self.input = input;
        }
        Ok(())
    }

    fn read_and_run<H: Handler>(
        &mut self,
        turn: &mut Turn<'_, H>,
        scratch: &mut [u8],
    ) -> Result<(), CloseReason> {
        let n = match retry_interrupted(|| self.stream.read(scratch)) {
            Ok(0) if self.input.is_empty() => {
                self.closing = Some(CloseReason::Eof);
                return Ok(());
            }
            Ok(0) => {
                self.closing = Some(CloseReason::MidRequest);
                return Ok(());
            }
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.inflow = Inflow::Dry;
                return Ok(());
            }
            Err(error) => return Err(CloseReason::Failed(error.kind())),
        };
        // A stream that gave less than was asked for is empty (epoll(7)), which saves a read; the
        // end of input is the exception, for no event will tell of it again.
        if n < scratch.len() && self.inflow == Inflow::Flowing {
            self.inflow = Inflow::Dry;
        }
        if self.input.is_empty() {
            let used = self.run(&scratch[..n], turn)?;
            self.input.push(&scratch[used..n]);
            Ok(())
        } else {
            self.input.push(&scratch[..n]);
            self.unparsed = true;
            self.run_input(turn)
        }
    }

    /// Writes once, if there is anything that the stream may take. An error is why the connection
    /// is to be closed at once.
    pub(super) fn flush(&mut self, limits: &Limits, pool: &mut Pool) -> Result<(), CloseReason> {
        if !self.wants_flush() {
            return Ok(());
        }
        let write = || {
            self.output
                .write_to(&mut self.stream, BYTES_PER_FLUSH, pool)
        };
        match retry_interrupted(write) {
            Ok(written) if written.taken == 0 => {
                return Err(CloseReason::Failed(io::ErrorKind::WriteZero));
            }
            // Short means full. To ask for an event is right also where that has changed since,
            // because asking reports a state that holds already.
            Ok(written) => self.blocked = written.taken < written.offered,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.blocked = true,
            Err(error) => return Err(CloseReason::Failed(error.kind())),
        }
        if self.output.len() <= limits.low_mark.min(limits.high_mark) {
            self.paused = false;
        }
        Ok(())
    }
}

fn retry_interrupted<T>(mut operation: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match operation() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests;
