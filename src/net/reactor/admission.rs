//! Who is taken in from a listener, and how the others are sent away.
//!
//! Part of the reactor. A peer that is refused waits in the lobby until it has said something; then
//! it is told why, as far as its socket takes it at once, and is forgotten.

use std::io::{ErrorKind, Read, Write};

use mio::Interest;
use mio::net::UnixStream;

use super::Reactor;
use crate::net::accept::{ACCEPTS_PER_TICK, Attempt, attempt};
use crate::net::handler::{Handler, Refusal};
use crate::net::lobby::Unwelcome;
use crate::net::peer::Peer;
use crate::net::token::Source;
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
                    // There is no descriptor to let it wait.
                    |stream| {
                        let peer = Unwelcome {
                            stream,
                            why: Refusal::Full,
                        };
                        say_no(handler, peer, &mut self.scratch);
                    },
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
        if self.slots.len() - self.joined.len() >= self.limits.max_clients {
            self.turn_away(now, handler, stream, Refusal::Full);
            return self.note_refusal(now, Refusal::Full, "there are too many (--max-clients)");
        }
        let peer = match Peer::of(&stream) {
            Ok(peer) => peer,
            Err(error) => return tracing::debug!(%error, "cannot tell who connected"),
        };
        let session = match handler.accepted(peer) {
            Ok(session) => session,
            Err(why) => {
                self.turn_away(now, handler, stream, why);
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

    fn turn_away<H: Handler<Session = T>>(
        &mut self,
        now: Millis,
        handler: &mut H,
        mut stream: UnixStream,
        why: Refusal,
    ) {
        let (place, interest) = (self.lobby.place(), Interest::READABLE);
        let registry = self.poll.registry();
        let watched = registry.register(&mut stream, Source::Lobby(place).token(), interest);
        let peer = Unwelcome { stream, why };
        let leaves = match watched {
            Ok(()) => self.lobby.enter(place, now, peer),
            Err(_) => Some(peer),
        };
        if let Some(peer) = leaves {
            say_no(handler, peer, &mut self.scratch);
        }
    }

    /// Tells those who are not let in, once they have said something or have waited long enough.
    pub(super) fn empty_lobby<H: Handler<Session = T>>(&mut self, now: Millis, handler: &mut H) {
        while let Some(peer) = self.lobby.leave(now) {
            say_no(handler, peer, &mut self.scratch);
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

/// What it has said is taken off its socket: closed with something unread in it, the socket would
/// tell of an error.
fn say_no<H: Handler>(handler: &mut H, peer: Unwelcome, scratch: &mut [u8]) {
    let Unwelcome { mut stream, why } = peer;
    let said = match stream.read(scratch) {
        Ok(0) => return,
        Ok(len) => &scratch[..len],
        Err(error) if error.kind() == ErrorKind::WouldBlock => &[],
        Err(error) => return tracing::debug!(%error, "a refused peer is gone"),
    };
    let mut out = Vec::new();
    handler.refused(why, said, &mut out);
    if let Err(error) = stream.write(&out) {
        tracing::debug!(%error, "a refused peer was not told why");
    }
}
