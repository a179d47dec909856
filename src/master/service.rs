//! What the frames mean: the reactor's handler over the backend.
//!
//! A [`Service`] lives as long as the master; a [`Turn`] of it holds the backend's lock and the
//! time for one turn of the loop, so that neither is paid for per request.

use std::sync::{MutexGuard, PoisonError};

use crate::backend::{Backend, SharedBackend};
use crate::config::Limits;
use crate::exec::{Conversation, Host, Next, Origin};
use crate::net::{AllowedUids, CloseReason, ConnectionId, Handler, Peer, Refusal, Taken, Verdict};
use crate::protocol::auth::{Bytes32, Secret};
use crate::protocol::{ErrorCode, frame};
use crate::supervisor::event::WorkerId;
use crate::time::Millis;

/// What is remembered of a connection.
pub(crate) struct Session {
    conversation: Conversation,
    /// Whose channel it is; `None` through the path socket.
    worker: Option<WorkerId>,
}

impl Session {
    /// A channel that this slot inherits; `worker` where a supervisor started it.
    pub(super) fn of_channel(slot: u16, worker: Option<WorkerId>) -> Self {
        Self {
            conversation: Conversation::new(Origin::Channel { slot }),
            worker,
        }
    }
}

/// What happened to the channels of workers in a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChannelEvent {
    /// The worker introduced itself.
    Introduced(WorkerId),
    /// The channel is closed.
    Closed(WorkerId),
}

pub(super) struct Service {
    pub(super) backend: SharedBackend,
    pub(super) limits: Limits,
    pub(super) secret: Option<Secret>,
    pub(super) allowed: AllowedUids,
    pub(super) workers: u32,
    pub(super) generation: u32,
    pub(super) pid: u32,
    pub(super) events: Vec<ChannelEvent>,
}

impl Service {
    /// Takes the backend for one turn of the loop.
    pub(super) fn turn(&mut self, now: Millis) -> Turn<'_> {
        // The lock and the rest of the service are borrowed apart from each other.
        let Self {
            backend,
            limits,
            secret,
            allowed,
            workers,
            generation,
            pid,
            events,
        } = self;
        Turn {
            // A panic of a backend that happened in a call of a handle in this process does not
            // take the loop down: what it left behind is the backend's own concern.
            backend: backend.lock().unwrap_or_else(PoisonError::into_inner),
            now,
            limits,
            secret: secret.as_ref(),
            allowed,
            workers: *workers,
            generation: *generation,
            pid: *pid,
            events,
        }
    }
}

pub(super) struct Turn<'s> {
    pub(super) backend: MutexGuard<'s, Box<dyn Backend>>,
    now: Millis,
    limits: &'s Limits,
    secret: Option<&'s Secret>,
    allowed: &'s AllowedUids,
    workers: u32,
    generation: u32,
    pid: u32,
    events: &'s mut Vec<ChannelEvent>,
}

impl Handler for Turn<'_> {
    type Session = Session;

    fn accepted(&mut self, peer: Peer) -> Result<Session, Refusal> {
        if !self.allowed.allows(peer) {
            return Err(Refusal::Stranger { uid: peer.uid });
        }
        Ok(Session {
            conversation: Conversation::new(Origin::Path),
            worker: None,
        })
    }

    fn refused(&mut self, why: Refusal, out: &mut Vec<u8>) {
        let code = match why {
            Refusal::Full => ErrorCode::Busy,
            Refusal::Stranger { .. } => ErrorCode::AuthFailed,
        };
        Conversation::refused(code, &why.to_string(), out);
    }

    fn request(
        &mut self,
        _id: ConnectionId,
        session: &mut Session,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) -> Taken {
        let frame = match frame::split(bytes, session.conversation.max_body(self.limits)) {
            Ok(Some(frame)) => frame,
            Ok(None) => return Taken::Nothing,
            Err(error) => {
                Conversation::broken(error, out);
                return Taken::Garbage("what it sent is no frame");
            }
        };
        let was_open = session.conversation.is_open();
        let mut host = Host {
            backend: self.backend.as_mut(),
            now: self.now,
            limits: self.limits,
            secret: self.secret,
            nonce: &nonce,
            workers: self.workers,
            generation: self.generation,
            pid: self.pid,
        };
        let verdict = match session.conversation.answer(&mut host, frame, out) {
            Next::Close(why) => Verdict::Close(why),
            Next::Continue if !was_open && session.conversation.is_open() => {
                if let Some(worker) = session.worker {
                    self.events.push(ChannelEvent::Introduced(worker));
                }
                Verdict::Introduced
            }
            Next::Continue => Verdict::Continue,
        };
        Taken::Request(frame.wire_len(), verdict)
    }

    fn closed(&mut self, id: ConnectionId, session: Session, why: CloseReason) {
        tracing::debug!(connection = ?id, origin = ?session.conversation.origin(), %why, "closed");
        if let Some(worker) = session.worker {
            self.events.push(ChannelEvent::Closed(worker));
        }
    }
}

fn nonce() -> Bytes32 {
    let mut nonce = Bytes32::default();
    getrandom::fill(&mut nonce).expect("the system has random bytes");
    nonce
}
