//! Who is taken in from a listener, and how the others are sent away.
//!
//! Part of the reactor. A peer that is refused is told so as far as its socket takes it at once,
//! and is forgotten.

use std::io::Write;

use mio::net::UnixStream;

use super::Reactor;
use crate::net::accept::{ACCEPTS_PER_TICK, Attempt, attempt};
use crate::net::handler::{Handler, Refusal};
use crate::net::peer::Peer;
use crate::time::Millis;

impl<T> Reactor<T> {
    /// Takes in what has come to the listeners, each within the bound of a tick.
    pub(super) fn accept<H: Handler<Session = T>>(&mut self, now: Millis, handler: &mut H) {
        for number in 0..self.acceptors.len() {
            for _ in 0..ACCEPTS_PER_TICK {
                let acceptor = &mut self.acceptors[number];
                if !acceptor.ready {
                    break;
                }
                let listener = acceptor.socket.listener_mut();
                let attempt = attempt(
                    || listener.accept().map(|(stream, _)| stream),
                    &mut self.reserve,
                    |stream| say_no(handler, Refusal::Full, stream),
                );
                acceptor.stalled = matches!(attempt, Attempt::Failed(_));
                match attempt {
                    Attempt::Taken(stream) => self.admit(now, handler, stream),
                    Attempt::Refused => {
                        self.note_refusal(now, Refusal::Full, "no file descriptor is left");
                    }
                    Attempt::Again => {}
                    Attempt::Empty => acceptor.ready = false,
                    Attempt::Failed(error) => {
                        if let Some(suppressed) = self.accept_failures.admit(now) {
                            tracing::error!(%error, suppressed, "cannot accept connections");
                        }
                        break;
                    }
                }
            }
        }
    }

    fn admit<H: Handler<Session = T>>(&mut self, now: Millis, handler: &mut H, stream: UnixStream) {
        if self.slots.len() >= self.limits.max_clients {
            say_no(handler, Refusal::Full, stream);
            return self.note_refusal(now, Refusal::Full, "there are too many (--max-clients)");
        }
        let peer = match Peer::of(&stream) {
            Ok(peer) => peer,
            Err(error) => return tracing::debug!(%error, "cannot tell who connected"),
        };
        let session = match handler.accepted(peer) {
            Ok(session) => session,
            Err(why) => {
                say_no(handler, why, stream);
                return self.note_refusal(now, why, "its user may not connect");
            }
        };
        match self.insert(stream, session) {
            Ok(id) => {
                self.counters.accepted += 1;
                self.deadlines
                    .set(id, now.after(self.limits.handshake_timeout));
                tracing::debug!(connection = ?id, uid = peer.uid, pid = peer.pid, "accepted");
            }
            Err(error) => tracing::warn!(%error, "cannot watch a connection"),
        }
    }

    fn note_refusal(&mut self, now: Millis, why: Refusal, reason: &'static str) {
        match why {
            Refusal::Full => self.counters.refused_full += 1,
            Refusal::Stranger { .. } => self.counters.refused_stranger += 1,
        }
        if let Some(suppressed) = self.refusals.admit(now) {
            tracing::warn!(?why, suppressed, "refused a connection: {reason}");
        }
    }
}

fn say_no<H: Handler>(handler: &mut H, why: Refusal, mut stream: UnixStream) {
    let mut out = Vec::new();
    handler.refused(why, &mut out);
    if let Err(error) = stream.write(&out) {
        tracing::debug!(%error, "a refused peer was not told why");
    }
}
