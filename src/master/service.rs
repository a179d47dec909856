//! What the bytes of connections mean: the reactor's handler over the backend.
//!
//! The first byte that a peer sends decides which dialect it speaks. A [`Service`] lives as long as the master; a [`Turn`] of it holds the backend's lock and the
//! time for one turn of the loop, so that neither is paid for per request.

use std::collections::HashMap;
use std::sync::{MutexGuard, PoisonError};

use crate::backend::{Backend, SharedBackend};
use crate::config::Limits;
use crate::exec::{ClientId, Conversation, Host, Hub, Message, Next, Origin, SharedHub, redis};
use crate::net::{AllowedUids, CloseReason, ConnectionId, Handler, Peer, Refusal, Taken, Verdict};
use crate::protocol::auth::{Bytes32, Secret};
use crate::protocol::resp::{Protocol, Writer};
use crate::protocol::{Dialect, ErrorCode, frame};
use crate::supervisor::event::WorkerId;
use crate::time::Millis;

/// What is remembered of a connection.
pub(crate) struct Session {
    origin: Origin,
    talk: Talk,
    /// Whose channel it is; `None` through the path socket.
    worker: Option<WorkerId>,
}

/// What is spoken on a connection.
enum Talk {
    /// Nothing was said yet.
    Silence,
    Native(Conversation),
    Redis(Box<redis::Session>),
}

impl Session {
    /// A channel that this slot inherits; `worker` where a supervisor started it.
    pub(super) fn of_channel(slot: u16, worker: Option<WorkerId>) -> Self {
        Self {
            origin: Origin::Channel { slot },
            talk: Talk::Silence,
            worker,
        }
    }

    /// Whether the peer has introduced itself.
    fn is_open(&self) -> bool {
        match &self.talk {
            Talk::Silence => false,
            Talk::Native(conversation) => conversation.is_open(),
            Talk::Redis(session) => session.is_open(),
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
    pub(super) hub: SharedHub,
    pub(super) limits: Limits,
    pub(super) secret: Option<Secret>,
    pub(super) allowed: AllowedUids,
    pub(super) workers: u32,
    pub(super) generation: u32,
    pub(super) pid: u32,
    pub(super) events: Vec<ChannelEvent>,
    pub(super) redis: redis::Shared,
    /// The connections on which something was said.
    pub(super) clients: HashMap<ClientId, ConnectionId>,
}

impl Service {
    /// Takes the backend for one turn of the loop.
    pub(super) fn turn(&mut self, now: Millis) -> Turn<'_> {
        // The lock and the rest of the service are borrowed apart from each other.
        let Self {
            backend,
            hub,
            limits,
            secret,
            allowed,
            workers,
            generation,
            pid,
            events,
            redis,
            clients,
        } = self;
        Turn {
            // A panic of a backend that happened in a call of a handle in this process does not
            // take the loop down: what it left behind is the backend's own concern.
            backend: backend.lock().unwrap_or_else(PoisonError::into_inner),
            hub: hub.lock(),
            now,
            limits,
            secret: secret.as_ref(),
            allowed,
            workers: *workers,
            generation: *generation,
            pid: *pid,
            events,
            redis,
            clients,
        }
    }

    /// The connections that clients have had closed.
    pub(super) fn killed(&mut self) -> impl Iterator<Item = ConnectionId> + use<'_> {
        let Self { redis, clients, .. } = self;
        redis
            .take_killed()
            .filter_map(|client| clients.get(&client).copied())
    }

    /// What is to be sent to connections that did not ask for it, in order.
    pub(super) fn outbox(
        &mut self,
        now: Millis,
    ) -> impl Iterator<Item = (ConnectionId, Vec<Message>)> {
        let sent = self.hub.lock().outbox(now).into_iter();
        sent.filter_map(|(client, messages)| Some((*self.clients.get(&client)?, messages)))
    }
}

pub(super) struct Turn<'s> {
    pub(super) backend: MutexGuard<'s, Box<dyn Backend>>,
    hub: MutexGuard<'s, Hub>,
    now: Millis,
    limits: &'s Limits,
    secret: Option<&'s Secret>,
    allowed: &'s AllowedUids,
    workers: u32,
    generation: u32,
    pid: u32,
    events: &'s mut Vec<ChannelEvent>,
    redis: &'s mut redis::Shared,
    clients: &'s mut HashMap<ClientId, ConnectionId>,
}

impl Turn<'_> {
    fn native(&mut self, talk: &mut Conversation, bytes: &[u8], out: &mut Vec<u8>) -> Taken {
        let frame = match frame::split(bytes, talk.max_body(self.limits)) {
            Ok(Some(frame)) => frame,
            Ok(None) => return Taken::Nothing,
            Err(error) => {
                Conversation::broken(error, out);
                return Taken::Garbage("what it sent is no frame");
            }
        };
        let mut host = Host {
            backend: self.backend.as_mut(),
            now: self.now,
            limits: self.limits,
            secret: self.secret,
            hub: &mut self.hub,
            nonce: &nonce,
            workers: self.workers,
            generation: self.generation,
            pid: self.pid,
        };
        let next = talk.answer(&mut host, frame, out);
        Taken::Request(frame.wire_len(), verdict(next))
    }

    /// Tells subscribers which entries went by themselves.
    pub(super) fn tell_gone(&mut self) {
        self.hub.tell_gone(self.backend.as_mut());
    }

    fn redis_host(&mut self) -> redis::Host<'_> {
        redis::Host {
            backend: self.backend.as_mut(),
            now: self.now,
            limits: self.limits,
            secret: self.secret,
            shared: self.redis,
            hub: &mut self.hub,
        }
    }
}

impl Handler for Turn<'_> {
    type Session = Session;

    fn accepted(&mut self, peer: Peer) -> Result<Session, Refusal> {
        if !self.allowed.allows(peer) {
            return Err(Refusal::Stranger { uid: peer.uid });
        }
        Ok(Session {
            origin: Origin::Path,
            talk: Talk::Silence,
            worker: None,
        })
    }

    /// Who says nothing is taken for a client of Redis: one of the other dialect speaks at once.
    fn refused(&mut self, why: Refusal, said: &[u8], out: &mut Vec<u8>) {
        if said.first().copied().map(Dialect::of) == Some(Dialect::Native) {
            let code = match why {
                Refusal::Full => ErrorCode::Busy,
                Refusal::Stranger { .. } => ErrorCode::AuthFailed,
            };
            return Conversation::refused(code, &why.to_string(), out);
        }
        Writer::new(out, Protocol::Resp2).error(&match why {
            Refusal::Full => "ERR max number of clients reached".to_owned(),
            Refusal::Stranger { .. } => format!("DENIED {why}"),
        });
    }

    fn request(
        &mut self,
        id: ConnectionId,
        session: &mut Session,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) -> Taken {
        let was_open = session.is_open();
        if let Talk::Silence = session.talk {
            let (talk, client) = match Dialect::of(bytes[0]) {
                Dialect::Native => {
                    let native = Conversation::new(session.origin, self.hub.enter());
                    let client = native.id();
                    (Talk::Native(native), client)
                }
                Dialect::Resp => {
                    let redis = redis::Session::new(&mut self.redis_host(), session.origin);
                    let client = redis.id();
                    (Talk::Redis(Box::new(redis)), client)
                }
            };
            session.talk = talk;
            self.clients.insert(client, id);
        }
        let taken = match &mut session.talk {
            Talk::Silence => unreachable!("it was broken above"),
            Talk::Native(conversation) => self.native(conversation, bytes, out),
            Talk::Redis(talk) => match talk.request(&mut self.redis_host(), bytes, out) {
                redis::Taken::Nothing => Taken::Nothing,
                redis::Taken::Request(len, next) => Taken::Request(len, verdict(next)),
                redis::Taken::Garbage => Taken::Garbage("what it sent is no command"),
            },
        };
        if let Taken::Request(len, Verdict::Continue) = taken {
            if !was_open && session.is_open() {
                if let Some(worker) = session.worker {
                    self.events.push(ChannelEvent::Introduced(worker));
                }
                return Taken::Request(len, Verdict::Introduced);
            }
        }
        taken
    }

    fn closed(&mut self, id: ConnectionId, session: Session, why: CloseReason) {
        tracing::debug!(connection = ?id, origin = ?session.origin, %why, "closed");
        match session.talk {
            Talk::Silence => {}
            Talk::Native(conversation) => {
                self.clients.remove(&conversation.id());
                conversation.leave(&mut self.hub);
            }
            Talk::Redis(talk) => {
                self.clients.remove(&talk.id());
                talk.leave(&mut self.hub, self.redis);
            }
        }
        if let Some(worker) = session.worker {
            self.events.push(ChannelEvent::Closed(worker));
        }
    }
}

fn verdict(next: Next) -> Verdict {
    match next {
        Next::Continue => Verdict::Continue,
        Next::Close(why) => Verdict::Close(why),
    }
}

fn nonce() -> Bytes32 {
    let mut nonce = Bytes32::default();
    getrandom::fill(&mut nonce).expect("the system has random bytes");
    nonce
}
