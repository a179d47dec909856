//! Requests on a thread of the backend's own, for backends that block.
//!
//! The loop only reads, tells whole requests apart and writes; the backend's thread has the
//! [service](super::service) and with it all that requests mean. Where the backend asks a server
//! that understands a request as it is, the loop can do so [itself](lane).
//!
//! | file | holds |
//! |---|---|
//! | `turn` | what the loop does with what comes |
//! | `line` | what the loop knows of a connection |
//! | `chunk` | requests on their way, and what came of them |
//! | `desk` | where both threads meet |
//! | `engine` | the backend's thread: its turns |
//! | `groups`, `runs` | requests that wait for a turn, and how they are run in it |
//! | `lane` | plain requests, asked of the store's server by the loop itself |
//! | `sweeps` | requests that go over all entries, between the turns |
//! | `noting`, `ledger` | what a turn did, and what of it a failed commit takes back |
//! | `refusal` | errors in place of replies |
//! | `caller` | the way of handles in this process |
//! | `gauges` | what is counted |
//!
//! What holds it together: of each connection one [`Chunk`] at most is under way, so its requests
//! are run in their order; one thread runs all, so those for one key are too. How much is under way
//! at once is bounded, and who finds no room is not read any more. What takes longer than
//! `backend_timeout` is answered with errors by the loop, also while the backend is stuck within a
//! call; what comes of it later is dropped.
//!
//! A peer that leaves while its requests are under way is noticed when they come back or are given
//! up, for only then is it read again; so a supervisor may hear of the end of a worker's channel by
//! so much later.
//!
//! A panic that no request is answerable for, and a commit after which the backend is
//! [broken](crate::backend::BackendError::Broken), end the master, as they do where requests are run
//! on the loop's thread: whoever started the master replaces it, and nobody works on with what nobody
//! understands. What is under way is answered with errors before.

mod caller;
mod chunk;
mod desk;
mod engine;
mod gauges;
mod groups;
mod lane;
mod ledger;
mod line;
mod noting;
mod refusal;
mod runs;
mod sweeps;
mod turn;

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::Instant;

pub(crate) use caller::Caller;
use chunk::{Author, Chunk, Done};
use desk::{Desk, Job};
use engine::{Engine, Parts};
use gauges::count;
use lane::{Lane, Trip};
use line::Line;
use turn::Turn;

use super::service::{ChannelEvent, Terms};
use super::way::{Way, wake};
use crate::backend::{BackendError, MemoryUse, Outcome, SharedBackend};
use crate::net::{Answer, CloseReason, ConnectionId, Reactor, Waker};
use crate::protocol::resp::Args;
use crate::time::{Clock, Millis};

/// The most chunks that are under way at once.
const MAX_CHUNKS: usize = 1_024;
/// The most bytes of requests in them, unless one request alone has more.
const MAX_BYTES: usize = 16 << 20;
/// Why a connection is closed with whose bytes neither side can do anything.
const NO_REQUEST: &str = "what it sent is no request";

/// The loop's side.
pub(super) struct Aside {
    desk: Arc<Desk>,
    thread: Option<JoinHandle<()>>,
    terms: Terms,
    /// To be handed over at the end of this tick.
    jobs: Vec<Job>,
    /// Chunks that are under way and are not given up, the oldest first, and when they are; those
    /// that are answered by now among them, but not at the front.
    due: VecDeque<(Millis, ConnectionId, Arc<Chunk>)>,
    lane: Lane,
    /// Chunks that are in the lane or that the engine has or is to have, given up or not, and bytes
    /// in them.
    chunks: usize,
    bytes: usize,
    /// When the connection that has found no room for longest is to be answered.
    full_until: Option<Millis>,
    events: Vec<ChannelEvent>,
    args: Args,
    /// It has not answered in time, and not since.
    is_stuck: bool,
    /// Nothing more is taken.
    is_ending: bool,
    clock: Arc<dyn Clock>,
    tick: Option<Instant>,
}

impl Aside {
    /// Starts the backend's thread.
    pub(super) fn start(
        backend: SharedBackend,
        terms: Terms,
        clock: Arc<dyn Clock>,
        waker: Waker,
    ) -> io::Result<Self> {
        let desk = Arc::new(Desk::new(terms.limits.backend_timeout));
        let parts = Parts {
            backend,
            terms: terms.clone(),
            clock: Arc::clone(&clock),
            desk: Arc::clone(&desk),
            waker: waker.clone(),
        };
        let lane = Lane::new(waker.clone());
        let theirs = Arc::clone(&desk);
        let run = move || {
            // What it has is gone before its end is told of: a lock on a file, and those who wait.
            let ended = catch_unwind(AssertUnwindSafe(|| Engine::new(parts).run()));
            let panicked = || {
                Err(BackendError::Broken(
                    "the store's backend panicked".to_owned(),
                ))
            };
            let ended = ended.unwrap_or_else(|_| panicked());
            theirs.end(ended.map_err(|error| error.to_string()));
            wake(&waker);
        };
        let thread = thread::Builder::new().name("memstore-backend".to_owned());
        Ok(Self {
            desk,
            thread: Some(thread.spawn(run)?),
            terms,
            jobs: Vec::new(),
            due: VecDeque::new(),
            lane,
            chunks: 0,
            bytes: 0,
            full_until: None,
            events: Vec::new(),
            args: Args::default(),
            is_stuck: false,
            is_ending: false,
            clock,
            tick: None,
        })
    }

    pub(super) fn caller(&self) -> Caller {
        Caller::new(Arc::clone(&self.desk))
    }

    /// Passes on what came back.
    fn hear(&mut self, now: Millis, reactor: &mut Reactor<Line>) -> io::Result<Option<MemoryUse>> {
        let news = self.desk.news();
        self.lane.hear(news.fast);
        let is_room = !news.done.is_empty();
        for (chunk, done) in news.done {
            self.note_answer();
            self.settle(now, &chunk, &done, reactor);
        }
        for (to, bytes) in news.mail {
            reactor.push(to, &bytes);
        }
        for id in news.killed {
            reactor.close(id);
        }
        if let Some(Err(reason)) = news.end {
            let error = BackendError::Broken(reason.clone());
            self.give_up(now, Millis::MAX, |_| error.clone(), reactor);
            reactor.flush();
            return Err(io::Error::other(reason));
        }
        let timed_out = |outcome| BackendError::TimedOut { outcome };
        self.give_up(now, now, timed_out, reactor);
        if is_room || self.full_until.is_some_and(|until| until <= now) {
            self.full_until = None;
            reactor.resume();
        }
        Ok(news.memory)
    }

    /// A chunk came back.
    fn settle(&mut self, now: Millis, chunk: &Chunk, done: &Done, reactor: &mut Reactor<Line>) {
        self.leave(chunk);
        self.note_wait(chunk);
        let Author::Connection { id, .. } = chunk.author else {
            return;
        };
        let Some(line) = reactor.session_mut(id) else {
            return;
        };
        line.is_open = done.is_open;
        line.unsent = done.unsent;
        line.manner.clone_from(&done.manner);
        if !chunk.answer() {
            return;
        }
        let is_introduced = done.is_open && !line.is_introduced && done.close.is_none();
        line.is_introduced |= is_introduced;
        if let (true, Some(worker)) = (is_introduced, line.worker) {
            self.events.push(ChannelEvent::Introduced(worker));
        }
        let answer = Answer {
            out: &done.out,
            unread: if done.close.is_none() {
                &chunk.bytes[done.used..]
            } else {
                &[]
            },
            is_introduced,
            close: done.close,
        };
        reactor.answer(now, id, answer);
    }

    /// A chunk is not under way any more.
    fn leave(&mut self, chunk: &Chunk) {
        self.chunks -= 1;
        self.bytes -= chunk.bytes.len();
    }

    /// Looks after the lane: answers who is back, and who will not come back.
    fn tend(&mut self, now: Millis, reactor: &mut Reactor<Line>) {
        while let Some(trip) = self.lane.take_back() {
            self.note_answer();
            self.arrive(now, &trip, reactor);
            self.lane.recycle(trip);
        }
        let is_late = self.lane.is_late(now);
        for mut trip in self.lane.renew(reactor) {
            trip.done.manner = None;
            let outcome = Outcome::Unknown;
            if is_late {
                let error = BackendError::TimedOut { outcome };
                self.refuse_rest(&mut trip, &error, reactor);
                self.note_timeout(&error);
            } else if trip.is_doubtful {
                let why = format!("the connection to the store's server was lost; {outcome}");
                self.refuse_rest(&mut trip, &BackendError::Failed(why), reactor);
            }
            self.arrive(now, &trip, reactor);
        }
        self.lane.send(reactor);
    }

    /// Has what was not answered of a chunk answered with this error.
    fn refuse_rest(&self, trip: &mut Trip, error: &BackendError, reactor: &mut Reactor<Line>) {
        let rest = &trip.chunk.bytes[trip.done.used..];
        let limits = &self.terms.limits;
        let line = reactor.session_mut(trip.id);
        if let Some(replies) = line.and_then(|line| line.refuse(rest, error, limits)) {
            trip.done.out.extend_from_slice(&replies);
            trip.done.used = trip.chunk.bytes.len();
        }
    }

    /// A chunk came back from the lane.
    fn arrive(&mut self, now: Millis, trip: &Trip, reactor: &mut Reactor<Line>) {
        self.settle(now, &trip.chunk, &trip.done, reactor);
        if self.full_until.take().is_some() {
            reactor.resume();
        }
    }

    /// Answers in the engine's place what is under way and was to be answered by `until`.
    fn give_up(
        &mut self,
        now: Millis,
        until: Millis,
        error: impl Fn(Outcome) -> BackendError,
        reactor: &mut Reactor<Line>,
    ) {
        while let Some((deadline, id, chunk)) = self.due.front() {
            if !chunk.is_answered() {
                if *deadline > until {
                    break;
                }
                let (id, chunk) = (*id, Arc::clone(chunk));
                self.refuse(now, id, &chunk, &error, reactor);
            }
            self.due.pop_front();
        }
    }

    fn refuse(
        &mut self,
        now: Millis,
        id: ConnectionId,
        chunk: &Chunk,
        error: impl Fn(Outcome) -> BackendError,
        reactor: &mut Reactor<Line>,
    ) {
        let error = error(chunk.give_up());
        self.note_wait(chunk);
        self.note_timeout(&error);
        let Some(line) = reactor.session_mut(id) else {
            return;
        };
        let replies = line.refuse(&chunk.bytes, &error, &self.terms.limits);
        let answer = Answer {
            out: replies.as_deref().unwrap_or_default(),
            unread: &[],
            is_introduced: false,
            close: match replies {
                Some(_) => None,
                None => Some(CloseReason::Garbage(NO_REQUEST)),
            },
        };
        reactor.answer(now, id, answer);
    }

    fn note_wait(&self, chunk: &Chunk) {
        let micros = u64::try_from(chunk.since.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.desk
            .gauges
            .longest_wait
            .fetch_max(micros, Ordering::Relaxed);
    }

    fn note_answer(&mut self) {
        if std::mem::take(&mut self.is_stuck) {
            tracing::info!("the store's backend answers again");
        }
    }

    fn note_timeout(&mut self, error: &BackendError) {
        if let BackendError::TimedOut { .. } = error {
            count(&self.desk.gauges.timed_out);
            if !std::mem::replace(&mut self.is_stuck, true) {
                let chunks = self.chunks;
                tracing::error!(chunks, "the store's backend does not answer in time");
            }
        }
    }

    /// Hands over what this tick has gathered, unless it has to wait for the lane.
    fn hand_over(&mut self) {
        if !self.jobs.is_empty() && self.lane.is_empty() {
            self.desk.ask(self.jobs.drain(..));
        }
        let queued = self.chunks as u64;
        self.desk.gauges.queued.store(queued, Ordering::Relaxed);
        self.desk
            .gauges
            .most_queued
            .fetch_max(queued, Ordering::Relaxed);
    }

    /// Takes nothing more, and waits for what is in the lane, as long as that may take. The present.
    fn empty_lane(&mut self, mut now: Millis, reactor: &mut Reactor<Line>) -> io::Result<Millis> {
        self.is_ending = true;
        while let (false, Some(until)) = (self.lane.is_empty(), self.next_deadline(now)) {
            reactor.wait(now, Some(until))?;
            now = self.clock.now();
            let timed_out = |outcome| BackendError::TimedOut { outcome };
            self.give_up(now, now, timed_out, reactor);
            reactor.turn(now, &mut Turn { aside: self, now });
            self.tend(now, reactor);
            reactor.flush();
            reactor.bury(&mut Turn { aside: self, now });
        }
        self.hand_over();
        Ok(now)
    }

    /// Waits for the thread to end, and leaves it behind if it does not in time.
    fn end(&mut self) -> bool {
        self.desk.stop();
        let is_ended = self.desk.wait_for_end();
        if let (Some(thread), true) = (self.thread.take(), is_ended) {
            // It catches its own panics.
            let _ = thread.join();
        }
        is_ended
    }
}

impl Way for Aside {
    type Session = Line;

    fn begin_tick(&mut self) {
        self.tick = Some(Instant::now());
    }

    fn turn(&mut self, now: Millis, reactor: &mut Reactor<Line>) -> io::Result<Option<MemoryUse>> {
        let memory = self.hear(now, reactor)?;
        reactor.turn(now, &mut Turn { aside: self, now });
        self.tend(now, reactor);
        self.hand_over();
        Ok(memory)
    }

    fn bury(&mut self, now: Millis, reactor: &mut Reactor<Line>) {
        reactor.bury(&mut Turn { aside: self, now });
        self.tend(now, reactor);
        self.hand_over();
    }

    fn events(&mut self) -> Vec<ChannelEvent> {
        std::mem::take(&mut self.events)
    }

    fn next_deadline(&self, _now: Millis) -> Option<Millis> {
        let first = self.due.front().map(|(deadline, ..)| *deadline);
        let all = [first, self.full_until, self.lane.next_deadline()];
        all.into_iter().flatten().min()
    }

    fn end_tick(&mut self) {
        if let Some(began) = self.tick.take() {
            let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
            self.desk.gauges.tick(micros);
        }
    }

    fn finish(&mut self, now: Millis, reactor: &mut Reactor<Line>) -> io::Result<()> {
        let now = self.empty_lane(now, reactor)?;
        let is_ended = self.end();
        let heard = self.hear(now, reactor);
        let timed_out = |outcome| BackendError::TimedOut { outcome };
        self.give_up(now, Millis::MAX, timed_out, reactor);
        reactor.flush();
        let load = self.desk.gauges.load();
        tracing::debug!(?load, "the backend's thread has ended");
        if is_ended {
            return heard.map(|_| ());
        }
        let reason = "the store's backend is stuck in a call";
        Err(io::Error::new(io::ErrorKind::TimedOut, reason))
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.end();
        }
    }
}

#[cfg(test)]
mod lane_tests;
#[cfg(test)]
mod tests;
