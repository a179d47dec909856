//! Connections whose requests are run elsewhere, and what becomes of those.
//!
//! Part of the reactor. A handler that does not answer at once takes requests
//! [along](super::super::handler::Taken::Along); their connection is held until they are answered,
//! and so is one for whose requests there was no room. What is held has no turns, so its peer is not
//! read either: nothing grows.

use std::time::Duration;

use super::{LINGER, Reactor, alive};
use crate::net::handler::Answer;
use crate::net::token::ConnectionId;
use crate::time::Millis;

/// The least that is added to a deadline that passes while the peer waits for us.
const LEAST_RESPITE: Duration = Duration::from_millis(100);

impl<T> Reactor<T> {
    /// The session of a connection that is not closed.
    pub(crate) fn session_mut(&mut self, id: ConnectionId) -> Option<&mut T> {
        alive(&mut self.slots, id).map(|entry| &mut entry.session)
    }

    /// Tells what became of requests that were taken along. Nothing happens where the connection
    /// is closed already.
    pub(crate) fn answer(&mut self, now: Millis, id: ConnectionId, answer: Answer<'_>) {
        let Some(entry) = alive(&mut self.slots, id) else {
            return;
        };
        let connection = &mut entry.connection;
        let was_paused = connection.is_paused();
        let is_introduced = answer.is_introduced;
        let result = connection.answer(answer, &self.limits, &mut self.pool);
        if is_introduced {
            self.deadlines.clear(id);
        }
        if connection.is_closing() && !self.deadlines.is_set(id) {
            self.deadlines.set(id, now.after(LINGER));
        }
        if connection.is_paused() && !was_paused {
            self.counters.pauses += 1;
        }
        self.settle(id, result);
    }

    /// There is room again: those for whose requests there was none are asked again, before
    /// others and in their order.
    pub(crate) fn resume(&mut self) {
        for id in std::mem::take(&mut self.full).into_iter().rev() {
            let Some(entry) = alive(&mut self.slots, id) else {
                continue;
            };
            entry.connection.resume();
            if entry.connection.wants_turn() && !entry.ready {
                entry.ready = true;
                self.ready.push_front(id);
            }
        }
    }

    /// Moves a deadline that has passed, where it is not the peer who took so long.
    pub(super) fn spare(&mut self, now: Millis, id: ConnectionId) -> bool {
        let is_held = alive(&mut self.slots, id).is_some_and(|entry| entry.connection.is_held());
        if is_held {
            let respite = self.limits.handshake_timeout.max(LEAST_RESPITE);
            self.deadlines.set(id, now.after(respite));
        }
        is_held
    }
}
