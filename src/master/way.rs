//! Where the requests of connections are run: the one thing in which masters differ.
//!
//! [`Here`] runs them on the loop's thread, as they come: for backends in memory.
//! [`Aside`](super::aside::Aside) has a thread of its own for them: for backends that block. The loop
//! sees no difference.

use std::io;
use std::sync::PoisonError;

use super::channels::OfChannel;
use super::service::{ChannelEvent, Service, Session};
use crate::backend::{MemoryUse, SharedBackend, Upkeep};
use crate::net::{Reactor, Waker};
use crate::time::Millis;

/// What the loop does about requests.
pub(super) trait Way {
    /// What the loop remembers of a connection.
    type Session: OfChannel;

    /// The loop has been woken.
    fn begin_tick(&mut self) {}

    /// Runs requests, and leaves the reactor with what is to be written; the backend's memory.
    ///
    /// # Errors
    /// The backend is not to be relied on: the master ends.
    fn turn(
        &mut self,
        now: Millis,
        reactor: &mut Reactor<Self::Session>,
    ) -> io::Result<Option<MemoryUse>>;

    /// Forgets what is closed.
    fn bury(&mut self, now: Millis, reactor: &mut Reactor<Self::Session>);

    /// What happened to channels since this was last asked.
    fn events(&mut self) -> Vec<ChannelEvent>;

    /// When it must have another turn.
    fn next_deadline(&self, now: Millis) -> Option<Millis>;

    /// The loop is about to sleep.
    fn end_tick(&mut self) {}

    /// Answers what was taken and is not answered, before the loop ends.
    ///
    /// # Errors
    /// The backend does not come to an end.
    fn finish(&mut self, _now: Millis, _reactor: &mut Reactor<Self::Session>) -> io::Result<()> {
        Ok(())
    }
}

/// Has a thread look at what there is to do.
pub(super) fn wake(waker: &Waker) {
    if let Err(error) = waker.wake() {
        tracing::error!(%error, "the loop was not woken");
    }
}

/// On the loop's thread: a turn of the loop is a turn of the backend.
pub(super) struct Here {
    backend: SharedBackend,
    service: Service,
    upkeep: Upkeep,
    /// When upkeep was last done, and how much memory there was then.
    kept: Millis,
    memory: Option<MemoryUse>,
}

impl Here {
    /// `waker` is that of the loop.
    pub(super) fn new(backend: SharedBackend, service: Service, waker: Waker) -> Self {
        service.hub().wake_with(move || wake(&waker));
        Self {
            backend,
            service,
            upkeep: Upkeep::Idle,
            kept: Millis::ZERO,
            memory: None,
        }
    }
}

impl Way for Here {
    type Session = Session;

    fn turn(
        &mut self,
        now: Millis,
        reactor: &mut Reactor<Session>,
    ) -> io::Result<Option<MemoryUse>> {
        // A panic of a backend that happened in a call of a handle in this process does not take
        // the loop down: what it left behind is the backend's own concern.
        let mut backend = self.backend.lock().unwrap_or_else(PoisonError::into_inner);
        let mut turn = self.service.turn(backend.as_mut(), now);
        reactor.turn(now, &mut turn);
        // Once a millisecond is often enough, and under load there are a hundred turns in one.
        // Until the next comes, what this turn has written is not known of.
        if self.upkeep == Upkeep::More || self.kept < now {
            self.upkeep = turn.backend.upkeep(now);
            self.kept = now;
            turn.tell_gone();
            self.memory = turn.backend.memory_use();
        } else {
            self.upkeep = Upkeep::Until(now.after_ms(1));
        }
        // What was not made to last is not acknowledged.
        turn.backend.commit().map_err(io::Error::other)?;
        drop(turn);
        drop(backend);
        for id in self.service.killed() {
            reactor.close(id);
        }
        for (to, messages) in self.service.outbox(now) {
            for message in messages {
                reactor.push(to, &message);
            }
        }
        Ok(self.memory)
    }

    fn bury(&mut self, now: Millis, reactor: &mut Reactor<Session>) {
        if !reactor.has_dead() {
            return;
        }
        let mut backend = self.backend.lock().unwrap_or_else(PoisonError::into_inner);
        reactor.bury(&mut self.service.turn(backend.as_mut(), now));
    }

    fn events(&mut self) -> Vec<ChannelEvent> {
        std::mem::take(&mut self.service.events)
    }

    fn next_deadline(&self, now: Millis) -> Option<Millis> {
        let for_upkeep = match self.upkeep {
            Upkeep::More => Some(now),
            Upkeep::Until(then) => Some(then),
            Upkeep::Idle => None,
        };
        let for_subscribers = self.service.hub().next_deadline();
        for_upkeep.into_iter().chain(for_subscribers).min()
    }
}
