//! The loop's one poll and all its connections.
//!
//! Here are the queues that decide who has a turn when, the bookkeeping with mio and the burying
//! of connections; their taking in is in [`admission`], what they do while their requests are run
//! elsewhere in [`held`]. How one connection reads, parses and writes is in
//! [`connection`](super::connection); what frames mean is the [`Handler`]'s. Driven by the master,
//! in the order that [the module above](super) shows.
//!
//! The invariant: after every change to a connection [`settle`](Reactor::settle) brings the
//! queues, the interest and the end of the connection in line with what it wants. A slot is freed
//! only at the end of a tick, so no event of a batch can meet another connection than its own.

mod admission;
mod held;

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net;
use std::sync::Arc;
use std::time::Duration;

use mio::net::UnixStream;
use mio::{Events, Interest, Poll};

use super::accept::Reserve;
use super::alarm::Alarm;
use super::buffer::Pool;
use super::connection::{BYTES_PER_TURN, Connection, REQUESTS_PER_TURN, Turn};
use super::counters::Counters;
use super::handler::{CloseReason, Handler};
use super::listener::PathSocket;
use super::lobby::Lobby;
use super::signals::{Signal, SignalSet, Signals};
use super::slots::Slots;
use super::throttle::Throttle;
use super::timers::Timers;
use super::token::{ConnectionId, Source};
use crate::config::Limits;
use crate::time::Millis;

/// Events taken from the system at once; the others come with the next poll.
const EVENTS: usize = 1_024;
/// How long a connection that is to be closed may take to read what is still to be sent.
const LINGER: Duration = Duration::from_secs(5);
/// When to try again to accept, where nothing will tell that it is possible again.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// One connection in its slot.
struct Entry<T> {
    connection: Connection<UnixStream>,
    session: T,
    /// mio is to tell when it can be written.
    armed: bool,
    /// It stands in the ready queue.
    ready: bool,
    /// It stands in the dirty queue.
    dirty: bool,
    /// It is closed and waits for its burial.
    dead: Option<CloseReason>,
}

struct Acceptor {
    socket: PathSocket,
    /// There may be connections in its queue.
    ready: bool,
    /// It failed, and nothing will tell when it works again.
    stalled: bool,
}

/// The event loop of a master; `T` is the handler's session.
pub(crate) struct Reactor<T> {
    poll: Poll,
    events: Events,
    waker: Waker,
    alarm: Alarm,
    signals: Option<Signals>,
    signalled: bool,
    acceptors: Vec<Acceptor>,
    reserve: Reserve,
    slots: Slots<Entry<T>>,
    /// Connections that were made to others.
    joined: BTreeSet<ConnectionId>,
    /// Connections that can go on without a further event.
    ready: VecDeque<ConnectionId>,
    /// Connections with output that may be written.
    dirty: VecDeque<ConnectionId>,
    /// Connections for whose requests there was no room, those first that wait longest.
    full: Vec<ConnectionId>,
    /// Connections to be buried.
    dead: Vec<ConnectionId>,
    deadlines: Timers<ConnectionId>,
    scratch: Box<[u8]>,
    pool: Pool,
    limits: Limits,
    counters: Counters,
    refusals: Throttle,
    accept_failures: Throttle,
    /// Peers that are not let in.
    lobby: Lobby,
}

/// Makes the loop turn, from any thread.
#[derive(Debug, Clone)]
pub(crate) struct Waker(Arc<mio::Waker>);

impl Waker {
    /// Makes the present poll return, or the next one if there is none.
    pub(crate) fn wake(&self) -> io::Result<()> {
        self.0.wake()
    }
}

impl<T> Reactor<T> {
    pub(crate) fn new(limits: Limits) -> io::Result<Self> {
        let poll = Poll::new()?;
        let alarm = Alarm::new()?;
        alarm.register(poll.registry(), Source::Alarm.token())?;
        let waker = mio::Waker::new(poll.registry(), Source::Waker.token())?;
        Ok(Self {
            poll,
            events: Events::with_capacity(EVENTS),
            waker: Waker(Arc::new(waker)),
            alarm,
            signals: None,
            signalled: false,
            acceptors: Vec::new(),
            reserve: Reserve::new()?,
            slots: Slots::new(),
            joined: BTreeSet::new(),
            ready: VecDeque::new(),
            dirty: VecDeque::new(),
            full: Vec::new(),
            dead: Vec::new(),
            deadlines: Timers::new(),
            scratch: vec![0; BYTES_PER_TURN].into_boxed_slice(),
            pool: Pool::default(),
            limits,
            counters: Counters::default(),
            refusals: Throttle::default(),
            accept_failures: Throttle::default(),
            lobby: Lobby::default(),
        })
    }

    /// A handle that wakes the loop from another thread.
    pub(crate) fn waker(&self) -> Waker {
        self.waker.clone()
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Catches these signals from here on; [`signals`](Self::signals) tells which came.
    pub(crate) fn catch_signals(&mut self, signals: &[Signal]) -> io::Result<()> {
        let signals = Signals::catch(signals)?;
        signals.register(self.poll.registry(), Source::Signals.token())?;
        self.signals = Some(signals);
        Ok(())
    }

    /// The signals that came since the last call.
    pub(crate) fn signals(&mut self) -> SignalSet {
        match &mut self.signals {
            Some(signals) if std::mem::take(&mut self.signalled) => signals.take(),
            _ => SignalSet::default(),
        }
    }

    /// Takes connections from this socket too.
    pub(crate) fn listen(&mut self, mut socket: PathSocket) -> io::Result<()> {
        let number = u32::try_from(self.acceptors.len()).expect("listeners are few");
        self.poll.registry().register(
            socket.listener_mut(),
            Source::Listener(number).token(),
            Interest::READABLE,
        )?;
        self.acceptors.push(Acceptor {
            socket,
            ready: false,
            stalled: false,
        });
        Ok(())
    }

    /// Takes over a connected stream, such as the master's end of a worker's channel. It counts
    /// towards `max_clients` but is never refused for it, and it has no deadline.
    pub(crate) fn adopt(
        &mut self,
        stream: net::UnixStream,
        session: T,
    ) -> io::Result<ConnectionId> {
        stream.set_nonblocking(true)?;
        let id = self.insert(UnixStream::from_std(stream), session)?;
        self.counters.adopted += 1;
        Ok(id)
    }

    /// Takes over a connection that was made to somebody else, of any family: what comes from there
    /// are answers. It does not count towards `max_clients`, and it has no deadline.
    pub(crate) fn join(&mut self, stream: OwnedFd, session: T) -> io::Result<ConnectionId> {
        // To read and to write, all stream sockets are the same.
        let stream = net::UnixStream::from(stream);
        stream.set_nonblocking(true)?;
        let id = self.insert(UnixStream::from_std(stream), session)?;
        self.joined.insert(id);
        Ok(id)
    }

    fn insert(&mut self, mut stream: UnixStream, session: T) -> io::Result<ConnectionId> {
        let registry = self.poll.registry();
        let inserted = self.slots.insert(|id| {
            registry.register(&mut stream, id.token(), Interest::READABLE)?;
            Ok(Entry {
                connection: Connection::new(stream),
                session,
                armed: false,
                ready: false,
                dirty: false,
                dead: None,
            })
        });
        inserted.unwrap_or_else(|| Err(io::Error::other("there is no number for a connection")))
    }

    /// Closes a connection; what is not written yet is lost. The handler learns of it at the end
    /// of the tick. Nothing happens where it is closed already.
    pub(crate) fn close(&mut self, id: ConnectionId) {
        self.kill(id, CloseReason::Asked);
    }

    /// When the next connection is to be closed for its deadline, or a peer to be sent away, if no
    /// [`turn`](Self::turn) changes that.
    pub(crate) fn next_deadline(&self) -> Option<Millis> {
        match (self.deadlines.next(), self.lobby.next()) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }

    /// Waits for something to happen, at the longest until this time; not at all while there is
    /// something to do. It may end early.
    pub(crate) fn wait(&mut self, now: Millis, until: Option<Millis>) -> io::Result<()> {
        match until {
            Some(at) if at <= now => self.poll(Some(Duration::ZERO)),
            Some(at) => {
                self.alarm.ring_by(now, at)?;
                self.poll(None)
            }
            None => self.poll(None),
        }
    }

    /// Waits at most so long.
    fn poll(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = if self.has_work() {
            Some(Duration::ZERO)
        } else if self.acceptors.iter().any(|acceptor| acceptor.stalled) {
            Some(timeout.map_or(ACCEPT_AGAIN, |timeout| timeout.min(ACCEPT_AGAIN)))
        } else {
            timeout
        };
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.events.clear(),
            Err(error) => return Err(error),
            Ok(()) => {}
        }
        self.take_events();
        Ok(())
    }

    fn has_work(&self) -> bool {
        let accepting = |acceptor: &Acceptor| acceptor.ready && !acceptor.stalled;
        !self.ready.is_empty()
            || !self.dirty.is_empty()
            || !self.dead.is_empty()
            || self.lobby.has_ready()
            || self.acceptors.iter().any(accepting)
    }

    fn take_events(&mut self) {
        let events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        for event in &events {
            match Source::of(event.token()) {
                Source::Waker => {}
                Source::Signals => self.signalled = true,
                Source::Alarm => self.alarm.rang(),
                Source::Lobby(place) => self.lobby.ready(place),
                Source::Listener(number) => {
                    let number = usize::try_from(number).unwrap_or(usize::MAX);
                    if let Some(acceptor) = self.acceptors.get_mut(number) {
                        acceptor.ready = true;
                    }
                }
                Source::Connection(id) => {
                    let Some(entry) = alive(&mut self.slots, id) else {
                        continue;
                    };
                    if event.is_readable() {
                        entry.connection.readable();
                    }
                    if event.is_read_closed() || event.is_error() {
                        entry.connection.ending();
                    }
                    if event.is_writable() || event.is_write_closed() || event.is_error() {
                        entry.connection.writable();
                    }
                    self.settle(id, Ok(()));
                }
            }
        }
        self.events = events;
    }

    /// Takes connections in, gives every connection that can go on one turn, and closes those
    /// whose deadline has passed.
    pub(crate) fn turn<H: Handler<Session = T>>(&mut self, now: Millis, handler: &mut H) {
        self.accept(now, handler);
        self.empty_lobby(now, handler);
        for _ in 0..self.ready.len() {
            let Some(id) = self.ready.pop_front() else {
                break;
            };
            let Some(entry) = alive(&mut self.slots, id) else {
                continue;
            };
            entry.ready = false;
            let was_paused = entry.connection.is_paused();
            let mut turn = Turn {
                id,
                handler,
                session: &mut entry.session,
                limits: &self.limits,
                pool: &mut self.pool,
                budget: REQUESTS_PER_TURN,
                introduced: false,
            };
            let result = entry.connection.turn(&mut turn, &mut self.scratch);
            self.counters.requests += (REQUESTS_PER_TURN - turn.budget) as u64;
            if turn.introduced {
                self.deadlines.clear(id);
            }
            // Not moved where one is set, and set once, for a closing connection has no more turns.
            if entry.connection.is_closing() && !self.deadlines.is_set(id) {
                self.deadlines.set(id, now.after(LINGER));
            }
            if entry.connection.is_full() {
                self.full.push(id);
            }
            if entry.connection.is_paused() && !was_paused {
                self.counters.pauses += 1;
            }
            self.settle(id, result);
        }
        // After the turns, so that a loop that was late does not close who was in time.
        while let Some(id) = self.deadlines.expired(now) {
            if !self.spare(now, id) {
                self.kill(id, CloseReason::Deadline);
            }
        }
    }

    /// Sends bytes that no request of this connection asked for. Nothing happens where it is
    /// closed already.
    pub(crate) fn push(&mut self, id: ConnectionId, bytes: &[u8]) {
        let Some(entry) = alive(&mut self.slots, id) else {
            return;
        };
        let result = entry.connection.push(bytes, &self.limits, &mut self.pool);
        self.settle(id, result);
    }

    /// Writes what waits to be written, one write for each connection that has something.
    pub(crate) fn flush(&mut self) {
        for _ in 0..self.dirty.len() {
            let Some(id) = self.dirty.pop_front() else {
                break;
            };
            let Some(entry) = alive(&mut self.slots, id) else {
                continue;
            };
            entry.dirty = false;
            let result = entry.connection.flush(&self.limits, &mut self.pool);
            self.settle(id, result);
        }
    }

    /// Whether anything was closed in this tick.
    pub(crate) fn has_dead(&self) -> bool {
        !self.dead.is_empty()
    }

    /// Frees what was closed in this tick and tells the handler.
    pub(crate) fn bury<H: Handler<Session = T>>(&mut self, handler: &mut H) {
        for id in std::mem::take(&mut self.dead) {
            let Some(mut entry) = self.slots.remove(id) else {
                continue;
            };
            entry.connection.release(&mut self.pool);
            self.joined.remove(&id);
            let why = entry.dead.unwrap_or(CloseReason::Asked);
            self.counters.closed.count(why);
            handler.closed(id, entry.session, why);
        }
    }

    /// Brings everything in line with what a connection wants after a change.
    fn settle(&mut self, id: ConnectionId, result: Result<(), CloseReason>) {
        let Some(entry) = alive(&mut self.slots, id) else {
            return;
        };
        let connection = &mut entry.connection;
        if let Some(why) = result.err().or_else(|| connection.finished()) {
            return self.kill(id, why);
        }
        if connection.wants_turn() && !entry.ready {
            entry.ready = true;
            self.ready.push_back(id);
        }
        if connection.wants_flush() && !entry.dirty {
            entry.dirty = true;
            self.dirty.push_back(id);
        }
        // Once armed it stays so until all is written: to change it twice per write costs more
        // than the events do.
        let arm = connection.is_blocked() || (entry.armed && connection.has_output());
        if arm != entry.armed {
            entry.armed = arm;
            let interest = if arm {
                Interest::READABLE | Interest::WRITABLE
            } else {
                Interest::READABLE
            };
            let registry = self.poll.registry();
            if let Err(error) = registry.reregister(connection.stream_mut(), id.token(), interest) {
                self.kill(id, CloseReason::Failed(error.kind()));
            }
        }
    }

    fn kill(&mut self, id: ConnectionId, why: CloseReason) {
        let Some(entry) = alive(&mut self.slots, id) else {
            return;
        };
        entry.dead = Some(why);
        self.dead.push(id);
        self.deadlines.clear(id);
        let stream = entry.connection.stream_mut();
        log_if_err(
            "deregister a connection",
            self.poll.registry().deregister(stream),
        );
        if why == CloseReason::OutputCap {
            tracing::warn!(connection = ?id, %why, "closed");
        } else {
            tracing::debug!(connection = ?id, %why, "closed");
        }
    }
}

/// The entry of a connection that is not closed.
fn alive<T>(slots: &mut Slots<Entry<T>>, id: ConnectionId) -> Option<&mut Entry<T>> {
    slots.get_mut(id).filter(|entry| entry.dead.is_none())
}

/// For what cannot be helped and harms nobody.
fn log_if_err(action: &'static str, result: io::Result<()>) {
    if let Err(error) = result {
        tracing::debug!(%error, "cannot {action}");
    }
}

#[cfg(test)]
mod tests;
